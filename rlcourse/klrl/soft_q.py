"""Soft Q-learning from samples, on a table, with any prior.

Source: the soft backup of KL-regularized RL (Tirumala et al., arXiv 2010.14274; see `tabular`),
sampled one transition (s, a, r, s') at a time:

    y = r + gamma V(s'),   V(s') = alpha log sum_a pi_0(a|s') exp(Q(s', a) / alpha)         (target)
    Q(s, a) <- Q(s, a) + learning_rate (y - Q(s, a))                                        (update)

It acts with its own Boltzmann policy pi_0 exp(Q / alpha).

    symbol   name here      symbol   name here
    pi_0     log_prior      gamma    discount
    Q        q              alpha    alpha, > 0, in units of reward per nat

Deviations: the paper trains networks with other algorithms and does not name this one; it is
Q-learning with a soft value.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from rlcourse.ops.kl import boltzmann_log_policy
from rlcourse.ops.targets import soft_q_learning_target
from rlcourse.run.record import NonFiniteMetric
from rlcourse.types import Step, Transition


@dataclass(frozen=True)
class Config:
    """Soft Q-learning; every value is our own setting."""

    alpha: float = 0.05  # weight of the KL, in units of reward per nat
    discount: float = 0.97  # gamma
    learning_rate: float = 0.5  # of the table; high, since most maps here are deterministic

    def __post_init__(self) -> None:
        if not 0.0 < self.alpha < math.inf:
            raise ValueError(f"alpha must be positive and finite, got {self.alpha}")
        if not 0.0 <= self.discount < 1.0:
            raise ValueError(f"discount must lie in [0, 1), got {self.discount}")
        if not 0.0 < self.learning_rate <= 1.0:
            raise ValueError(f"learning_rate must lie in (0, 1], got {self.learning_rate}")


class SoftQLearner:
    """B independent learners, one per environment instance: a table Q [B, S, A] and any prior.

    Before the first reward Q is 0, so that it behaves like the prior.

    Args:
        config: see `Config`.
        log_prior: log pi_0, [S, A] for all learners, or [B, S, A] for each its own.
        num_learners: B.
        generator: draws the actions; on the device of `log_prior`.
        policy: (q [B, A], log_prior [B, A], alpha) -> log-probabilities [B, A] to act with.
        target: (reward [B], discount [B], next_q [B, A], next_log_prior [B, A], alpha) -> [B].
    """

    def __init__(
        self,
        config: Config,
        log_prior: Float[Tensor, "*#B S A"],
        num_learners: int,
        generator: torch.Generator,
        policy: Callable[..., Tensor] = boltzmann_log_policy,
        target: Callable[..., Tensor] = soft_q_learning_target,
    ) -> None:
        self.config, self._policy, self._target = config, policy, target
        self.log_prior = log_prior.float().expand(num_learners, *log_prior.shape[-2:])
        self.q = torch.zeros_like(self.log_prior, memory_format=torch.contiguous_format)
        self._rows = torch.arange(num_learners, device=log_prior.device)
        self._generator = generator

    def log_policy(self) -> Float[Tensor, "B S A"]:
        """The current policies of all learners."""
        return self._policy(self.q, self.log_prior, self.config.alpha)

    def act(self, step: Step) -> Tensor:
        """Draws one action [B] per learner from its policy at `step.obs` [B].

        Raises:
            ValueError: when `policy` does not return normalized log-probabilities.
        """
        here = (self._rows, step.obs)
        policy = self._policy(self.q[here], self.log_prior[here], self.config.alpha).exp()
        total = policy.sum(-1)
        if not bool(((total - 1.0).abs() < 1e-3).all()):
            worst = float(total[(total - 1.0).abs().argmax()])
            raise ValueError(
                f"the policy's probabilities sum to {worst:.4g} in some state: it must return the "
                "logarithms of probabilities that sum to 1"
            )
        return torch.multinomial(policy, 1, generator=self._generator).squeeze(1)

    def update(self, transition: Transition, valid: Tensor) -> dict[str, Tensor]:
        """One step of soft Q-learning per learner where `valid` [B].

        Returns:
            td_error: the mean of |y - Q| over the valid entries.

        Raises:
            NonFiniteMetric: when a target is NaN or infinite; nothing is learned from it.
        """
        config, rows = self.config, self._rows
        there = (rows, transition.next_obs)
        discount = config.discount * transition.discount
        target = self._target(
            transition.reward, discount, self.q[there], self.log_prior[there], config.alpha
        )
        td_error = target - self.q[rows, transition.obs, transition.action]
        td_error = torch.where(valid, td_error, 0.0)
        if not bool(torch.isfinite(td_error).all()):
            worst = int((~torch.isfinite(td_error)).nonzero()[0])
            raise NonFiniteMetric(
                f"the target of learner {worst} is {float(target[worst])} in the transition from "
                f"state {int(transition.obs[worst])}: look at the function that computes targets; "
                "the last checkpoint and all earlier metrics are intact"
            )
        self.q[rows, transition.obs, transition.action] += config.learning_rate * td_error
        return {"td_error": td_error.abs().sum() / valid.sum().clamp(min=1)}

    def state_dict(self) -> dict[str, Any]:
        return {"q": self.q, "generator": self._generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises ValueError when the checkpoint belongs to a problem or a number of learners of
        another size.
        """
        if state["q"].shape != self.q.shape:
            raise ValueError(
                f"the checkpoint's table is {tuple(state['q'].shape)} [B, S, A], "
                f"this learner's {tuple(self.q.shape)}"
            )
        self.q = state["q"].to(self.q.device)
        self._generator.set_state(state["generator"].cpu())


PRESETS = {
    "smoke": Config(),
    "laptop": Config(),
    "paper": Config(),  # the paper has no tabular experiment
}
