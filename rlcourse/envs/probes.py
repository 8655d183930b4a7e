"""Probe environments: problems so small that every value is known, each isolating one fault.

An agent that fails the first probe has a broken loss or optimizer; one that passes it and fails
the second does not look at its observation; and so on. All take seconds. The idea is Andy Jones's
("Debugging RL, Without the Agonizing Pain", 2021).

Every state has two actions; the last state is terminal. Q is known in closed form for the maximum
and for the KL-regularized problem with any prior and temperature.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rlcourse.envs.mdp import TabularMDP
from rlcourse.ops.kl import boltzmann_log_policy, soft_value

NUM_ACTIONS = 2


@dataclass(frozen=True, eq=False)
class Probe:
    """A tabular problem with its solution.

    Attributes:
        name: of the fault it isolates.
        isolates: what is likely broken in an agent that fails this probe and passes those before.
        mdp: S states of which the last is terminal, two actions, one successor each.
        gamma: the discount of the agent.
        last_q: [S, A] the action values of the states whose actions end the episode; elsewhere 0.
        leads_to: [S] the state that follows whatever the action, for states one step before those;
            elsewhere -1.
    """

    name: str
    isolates: str
    mdp: TabularMDP
    gamma: float
    last_q: Float[Tensor, "S A"]
    leads_to: Int[Tensor, " S"]

    def to(self, device: torch.device | str) -> "Probe":
        """Return the same probe on another device."""
        last_q, leads_to = self.last_q.to(device), self.leads_to.to(device)
        return replace(self, mdp=self.mdp.to(device), last_q=last_q, leads_to=leads_to)

    def optimal_q(self) -> Float[Tensor, "S A"]:
        """Return Q* [S, A] of the problem without regularization."""
        return self._one_step_earlier(self.last_q.amax(-1))

    def optimal_value(self) -> Float[Tensor, " S"]:
        """Return V* = max_a Q* [S]."""
        return self.optimal_q().amax(-1)

    def soft_q(
        self, log_prior: Float[Tensor, "*S A"], alpha: float | Tensor
    ) -> Float[Tensor, "S A"]:
        """Return Q [S, A] of the KL-regularized problem, with a prior [A] or [S, A]."""
        return self._one_step_earlier(soft_value(self.last_q, log_prior, alpha))

    def soft_value(
        self, log_prior: Float[Tensor, "*S A"], alpha: float | Tensor
    ) -> Float[Tensor, " S"]:
        """Return V = alpha log sum_a pi_0(a) exp(Q(a) / alpha) [S]."""
        return soft_value(self.soft_q(log_prior, alpha), log_prior, alpha)

    def soft_log_policy(
        self, log_prior: Float[Tensor, "*S A"], alpha: float | Tensor
    ) -> Float[Tensor, "S A"]:
        """Return the optimal policy log pi* = log pi_0 + (Q - V) / alpha [S, A]."""
        return boltzmann_log_policy(self.soft_q(log_prior, alpha), log_prior, alpha)

    def _one_step_earlier(self, last_value: Float[Tensor, " S"]) -> Float[Tensor, "S A"]:
        # These states pay nothing themselves: Q = gamma V of the state that follows.
        following = self.gamma * last_value[self.leads_to.clamp(min=0)]  # [S]
        return torch.where(self.leads_to[:, None] >= 0, following[:, None], self.last_q)


def probes(device: torch.device | str = "cpu") -> tuple[Probe, ...]:
    """Return the five probes, from the plainest on: debug the first that fails."""
    all_five = (
        _probe(
            "constant_value",
            "the value loss, its target or the optimizer: one state always pays 1",
            rewards=[[1.0, 1.0]],
        ),
        _probe(
            "observation_dependent_value",
            "the path of the observation into the network: one state pays +1, the other -1",
            rewards=[[1.0, 1.0], [-1.0, -1.0]],
        ),
        _probe(
            "two_step_discount",
            "bootstrapping, the discount or the order of time: a reward of 1 one step ahead",
            rewards=[[0.0, 0.0], [1.0, 1.0]],
            leads_to=[1, -1],
        ),
        _probe(
            "action_dependent_reward",
            "the policy, or the action's place in the update: action 1 pays +1, action 0 pays -1",
            rewards=[[-1.0, 1.0]],
        ),
        _probe(
            "observation_and_action_dependent_reward",
            "how observation and action go together: the action that matches the state pays +1",
            rewards=[[1.0, -1.0], [-1.0, 1.0]],
        ),
    )
    return tuple(probe.to(device) for probe in all_five)


def soft_backup_probe(device: torch.device | str = "cpu") -> Probe:
    """Return a sixth probe, in which only an agent that backs up soft values is right.

    Its first state pays nothing and leads to one where action 1 pays +1 and action 0 pays -1: Q in
    the first state is gamma times the second's soft value.
    """
    return _probe(
        "soft_backup",
        "the KL term of the target: the value one step ahead is not a plain maximum",
        rewards=[[0.0, 0.0], [-1.0, 1.0]],
        leads_to=[1, -1],
    ).to(device)


def _probe(
    name: str,
    isolates: str,
    rewards: list[list[float]],
    leads_to: list[int] | None = None,
    gamma: float = 0.9,
) -> Probe:
    """Build a probe from the rewards of its non-terminal states.

    Args:
        rewards: one row [A] per state; the terminal state is added.
        leads_to: per state, the state that follows, or -1 where the episode ends. Episodes start
            in every state that no other leads to, equally often.
    """
    num_states = len(rewards) + 1
    leads_to = [*(leads_to or [-1] * len(rewards)), -1]
    last_q = torch.tensor([*rewards, [0.0] * NUM_ACTIONS])
    successor = torch.tensor([s if s >= 0 else num_states - 1 for s in leads_to])  # [S]
    starts = [float(s not in leads_to) for s in range(num_states - 1)] + [0.0]
    initial = torch.tensor(starts)
    mdp = TabularMDP(
        reward=last_q[:, :, None].clone(),
        successors=successor[:, None, None].repeat(1, NUM_ACTIONS, 1),
        probabilities=torch.ones(num_states, NUM_ACTIONS, 1),
        continues=torch.tensor([1.0] * (num_states - 1) + [0.0]),
        initial=initial / initial.sum(),
    )
    return Probe(name, isolates, mdp, gamma, last_q, torch.tensor(leads_to))
