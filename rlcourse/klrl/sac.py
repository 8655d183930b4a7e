"""Soft actor-critic: KL-regularized RL in continuous action, with the uniform prior.

Source: Haarnoja et al. 2018, "Soft Actor-Critic Algorithms and Applications" (arXiv 1812.05905).
With d the environment's discount, Q'_i target networks and actions a = tanh(mean + std noise):

    y       = r + gamma d ( min_i Q'_i(s', a') - alpha log pi(a'|s') ),  a' ~ pi(.|s')  (target)
    L_Q     = sum_i E [ (Q_i(s, a) - y)^2 / 2 ]                                         (critic)
    L_pi    = E [ alpha log pi(a|s) - min_i Q_i(s, a) ],  a ~ pi(.|s)                   (policy)
    L_alpha = E [ alpha ( -log pi(a|s) - H_target ) ],  H_target = -|A|            (temperature)
    Q'_i   <- (1 - tau) Q'_i + tau Q_i                                                   (trail)

Why this is KL-regularized RL: the uniform prior on [-1, 1]^|A| has log pi_0 = -|A| log 2, so

    -alpha log pi(a|s) = -alpha log( pi(a|s) / pi_0(a) ) + alpha |A| log 2.

The objective is that of `klrl.tabular` up to a constant per step. What SAC adds is that alpha is
learned: it is the multiplier of the constraint that the entropy is at least H_target.

    symbol   name here                    symbol   name here
    Q_i      critic [2, B]                alpha    temperature
    Q'_i     critic_target [2, B]         H_target target_entropy, in nats
    pi       policy                       tau      target_rate
    gamma    discount, in [0, 1)          d        transition.discount
    r        reward                       |A|      num_actions, dimensions of an action

Deviations: std is a softplus, where the paper clips its logarithm; alpha is a softplus, where the
paper's code learns its logarithm; learning starts at `min_replay` without a phase of random
actions. Sizes of the `laptop` preset are ours.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rlcourse.data.replay import Replay
from rlcourse.envs.groups import check_groups, check_saved_groups, flatten
from rlcourse.nets.blocks import MLP, GaussianHead, TwinCritic
from rlcourse.nets.state import (
    check_networks_state,
    load_networks_state_,
    networks_state,
    target_of,
    update_target_,
)
from rlcourse.ops.distributions import SquashedGaussian
from rlcourse.ops.dual import DualVariable, multiplier_loss
from rlcourse.types import Step, Transition


@dataclass(frozen=True)
class Config:
    """Soft actor-critic. "Paper": settings of published code, as recalled; Acme's agree with those
    of learning rate, batch, gamma, tau, replay and target entropy.
    """

    groups: tuple[str, ...] = ("proprio", "targets", "task")  # what policy and critic see
    hidden_sizes: tuple[int, ...] = (256, 256)  # paper
    discount: float = 0.99  # gamma; paper
    learning_rate: float = 3e-4  # Adam, of everything; paper
    batch_size: int = 256  # paper
    target_rate: float = 0.005  # tau; paper
    target_entropy: float | None = None  # None: -|A|; paper
    initial_temperature: float = 1.0
    replay_capacity: int = 1_000_000  # paper
    min_replay: int = 10_000  # transitions before learning starts
    updates_per_step: int = 1  # gradient steps per step of the environment; paper, one instance

    def __post_init__(self) -> None:
        if not 0.0 <= self.discount < 1.0:
            raise ValueError(f"discount must lie in [0, 1), got {self.discount}")
        positive = ("learning_rate", "batch_size", "min_replay", "updates_per_step")
        for name in (*positive, "initial_temperature"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {getattr(self, name)}")
        if not 0.0 < self.target_rate <= 1.0:
            raise ValueError(f"target_rate must lie in (0, 1], got {self.target_rate}")
        if not math.isfinite(self.target_entropy or 0.0):
            raise ValueError(f"target_entropy must be finite, got {self.target_entropy}")
        if self.min_replay > self.replay_capacity:
            raise ValueError(f"min_replay {self.min_replay} exceeds {self.replay_capacity=}")


class Policy(nn.Module):
    """pi(.|obs): a perceptron, a Gaussian, a tanh. Maps [..., D] to actions in (-1, 1)^|A|."""

    def __init__(
        self,
        num_inputs: int,
        hidden_sizes: tuple[int, ...],
        num_actions: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.torso = MLP(num_inputs, hidden_sizes, None, generator)
        self.head = GaussianHead(self.torso.num_outputs, num_actions, generator)

    def forward(self, obs: Tensor) -> SquashedGaussian:
        return SquashedGaussian(self.head(self.torso(obs)))


def critic_target(
    reward: Float[Tensor, " B"],
    discount: Float[Tensor, " B"],
    next_q: Float[Tensor, "2 B"],
    next_log_prob: Float[Tensor, " B"],
    temperature: float | Float[Tensor, ""],
) -> Float[Tensor, " B"]:
    """y = r + gamma d (min_i Q'_i - alpha log pi). (target)

    Args:
        reward: r.
        discount: gamma d, the agent's discount times the environment's.
        next_q: Q'_i(s', a') of both critics.
        next_log_prob: log pi(a'|s'), in nats.
        temperature: alpha.
    """
    return reward + discount * (next_q.amin(0) - temperature * next_log_prob)


def critic_loss(q: Float[Tensor, "2 B"], target: Float[Tensor, " B"]) -> Float[Tensor, ""]:
    """L_Q, the mean over the batch; no gradient goes to the target. (critic)"""
    return 0.5 * (q - target.detach()).square().mean(-1).sum()


def policy_loss(
    q: Float[Tensor, "2 B"], log_prob: Float[Tensor, " B"], temperature: float | Float[Tensor, ""]
) -> Float[Tensor, ""]:
    """L_pi, the mean over the batch. (policy)

    Args:
        q: Q_i(s, a) of both critics, with the gradient through the action a.
        log_prob: log pi(a|s), with its gradient too.
        temperature: alpha, without gradient.
    """
    return (temperature * log_prob - q.amin(0)).mean()


class SAC:
    """Soft actor-critic for B instances, with a replay of its own.

    Args:
        config: see `Config`.
        obs_sizes: features of each observation group, as `PointMass.group_sizes`.
        num_actions: |A|; actions are in (-1, 1).
        generator: of weights, actions and batches; the agent lives on its device.
        critic_target, policy_loss: the two pieces that the learner of notebook 03 writes.

    Raises:
        ValueError: an unknown observation group.
    """

    def __init__(
        self,
        config: Config,
        obs_sizes: Mapping[str, int],
        num_actions: int,
        generator: torch.Generator,
        *,
        critic_target: Callable[..., Tensor] = critic_target,
        policy_loss: Callable[..., Tensor] = policy_loss,
    ) -> None:
        check_groups(config.groups, tuple(obs_sizes))
        self.config, self._generator, device = config, generator, generator.device
        self._target, self._policy_loss = critic_target, policy_loss
        size, hidden = sum(obs_sizes[name] for name in config.groups), config.hidden_sizes
        entropy = config.target_entropy
        self.target_entropy = float(-num_actions) if entropy is None else entropy
        self.policy = Policy(size, hidden, num_actions, generator)
        self.critic = TwinCritic(lambda: MLP(size + num_actions, hidden, 1, generator))
        self.critic_target = target_of(self.critic)
        self.temperature = DualVariable(config.initial_temperature, device=device)
        self.replay = Replay(config.replay_capacity, device)
        self._networks = {
            "policy": self.policy,
            "critic": self.critic,
            "critic_target": self.critic_target,
            "temperature": self.temperature,
        }
        self._optimizers = {}
        for name in ("policy", "critic", "temperature"):
            parameters = list(self._networks[name].parameters())
            together = len(parameters) > 1  # the same numbers, and faster
            self._optimizers[name] = torch.optim.Adam(
                parameters, config.learning_rate, foreach=together
            )

    def act(self, step: Step) -> Float[Tensor, "B A"]:
        """Draws actions from the policy."""
        return self.policy(self._flat(step.obs)).sample(self._generator)

    def act_mode(self, step: Step) -> Float[Tensor, "B A"]:
        """The policy's mode: how to act where exploring is over."""
        return self.policy(self._flat(step.obs)).mode

    def update(self, transition: Transition, valid: Tensor) -> dict[str, Tensor]:
        """Stores the transitions where `valid` [B] and, once there are `min_replay`, takes gradient
        steps. Returns the metrics of the last one, or none yet.
        """
        self.replay.add_(transition, valid)
        if len(self.replay) < self.config.min_replay:
            return {}
        for _ in range(self.config.updates_per_step):
            metrics = self.learn(self.replay.sample(self.config.batch_size, self._generator))
        return metrics

    def learn(self, batch: Transition) -> dict[str, Tensor]:
        """One gradient step on everything from a batch of transitions."""
        obs, next_obs = self._flat(batch.obs), self._flat(batch.next_obs)
        alpha = self.temperature().detach()
        with torch.no_grad():
            next_action, next_log_prob = self._sample(next_obs)
            discount = self.config.discount * batch.discount
            next_q = self.critic_target(next_obs, next_action)
            target = self._target(batch.reward, discount, next_q, next_log_prob, alpha)
        q = self.critic(obs, batch.action)  # [2, B]
        loss_q = critic_loss(q, target)
        self._descend("critic", loss_q)

        action, log_prob = self._sample(obs)
        loss_pi = self._policy_loss(self.critic(obs, action), log_prob, alpha)
        self._descend("policy", loss_pi)

        surplus = multiplier_loss(log_prob, -self.target_entropy, self.temperature())
        self._descend("temperature", surplus.mean())  # (temperature)
        self.temperature.limit_()
        update_target_(self.critic_target, self.critic, self.config.target_rate)  # (trail)
        return {
            "critic_loss": loss_q.detach(),
            "policy_loss": loss_pi.detach(),
            "q": q.detach().mean(),
            "temperature": alpha,
            "entropy_surplus": -log_prob.detach().mean() - self.target_entropy,
        }

    def state_dict(self) -> dict[str, Any]:
        return {
            **networks_state(self._networks, self._optimizers),
            "groups": self.config.groups,
            "replay": self.replay.state_dict(),
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises ValueError when the checkpoint is of another architecture or replay capacity.
        Nothing is changed then.
        """
        check_networks_state(self._networks, state)
        check_saved_groups(self.config.groups, state.get("groups"))
        self.replay.load_state_dict(state["replay"])
        load_networks_state_(self._networks, self._optimizers, state)
        self._generator.set_state(state["generator"].cpu())

    def _flat(self, obs: Any) -> Tensor:
        return flatten(obs, self.config.groups)

    def _sample(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        return self.policy(obs).rsample_with_log_prob(self._generator)

    def _descend(self, name: str, loss: Tensor) -> None:
        """One step of this optimizer; the gradient is computed for its parameters only."""
        optimizer = self._optimizers[name]
        optimizer.zero_grad()
        loss.backward(inputs=optimizer.param_groups[0]["params"])
        optimizer.step()


PRESETS = {
    "smoke": Config(hidden_sizes=(16,), batch_size=16, min_replay=32),
    "laptop": Config(
        hidden_sizes=(64, 64),
        discount=0.95,
        learning_rate=1e-3,
        target_rate=0.05,
        initial_temperature=0.02,  # at 1 the entropy outweighs a sparse reward for long
        replay_capacity=100_000,
        min_replay=1_000,
        updates_per_step=2,
    ),
    "paper": Config(),
}
