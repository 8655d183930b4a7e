"""KL-regularized reinforcement learning on tabular problems, exactly. From samples: `soft_q`.

Source: Tirumala et al., "Behavior Priors for Efficient Reinforcement Learning" (arXiv 2010.14274),
whose objective is

    L(pi) = E_pi [ sum_t gamma^t ( r_t - alpha KL[ pi(.|s_t) || pi_0(.|s_t) ] ) ]       (objective)

With V = 0 at terminal states, its optimum solves

    Q(s, a) = r(s, a) + gamma sum_s' p(s'|s, a) V(s')      (backup)
    V(s)    = alpha log sum_a pi_0(a|s) exp( Q(s, a) / alpha )      (soft value)
    pi*(a|s) = pi_0(a|s) exp( (Q(s, a) - V(s)) / alpha )            (policy)

    symbol   name here      symbol   name here
    pi       log_policy     alpha    alpha, > 0, in units of reward per nat
    pi_0     log_prior      gamma    discount, in [0, 1)
    Q, V     q, value       p, r     `TabularMDP`

Everything takes leading batch dimensions: an alpha of shape [M, 1] solves M problems at once.

Deviations: the paper trains neural networks; here the same equations are solved on tables.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from rlcourse.envs.mdp import TabularMDP
from rlcourse.ops.kl import boltzmann_log_policy, categorical_kl, soft_value


class Solution(NamedTuple):
    """The optimum of the KL-regularized objective on a tabular problem."""

    q: Tensor  # [..., S, A]
    value: Tensor  # [..., S], 0 at terminal states
    log_policy: Tensor  # [..., S, A]
    residuals: Tensor  # [I] largest change of V in each iteration


def uniform_log_prior(mdp: TabularMDP) -> Float[Tensor, "S A"]:
    """The prior under which KL regularization is entropy regularization, up to the constant alpha
    log A.
    """
    num_actions = mdp.num_actions
    return torch.full_like(mdp.expected_reward(), 1.0 / num_actions).log()


def backup(
    mdp: TabularMDP, value: Float[Tensor, "*M S"], discount: float
) -> Float[Tensor, "*M S A"]:
    """Q from V by one step of the model, visiting each transition once. (backup)"""
    next_value = value[..., mdp.successors]  # [..., S, A, K]
    return (mdp.probabilities * (mdp.reward + discount * next_value)).sum(-1)


def backup_dense(
    expected_reward: Float[Tensor, "S A"],
    transition_tensor: Float[Tensor, "S A S"],
    value: Float[Tensor, "*M S"],
    discount: float,
) -> Float[Tensor, "*M S A"]:
    """The same with the dense transition tensor: quadratic in S, one matrix product."""
    return expected_reward + discount * torch.einsum("ijk,...k->...ij", transition_tensor, value)


def soft_backup(
    mdp: TabularMDP,
    value: Float[Tensor, "*#M S"],
    log_prior: Float[Tensor, "*#M S A"],
    alpha: float | Tensor,
    discount: float,
) -> tuple[Float[Tensor, "*M S A"], Float[Tensor, "*M S"]]:
    """One sweep over all states: (backup), then (soft value). Returns Q and the new V."""
    q = backup(mdp, value, discount)
    return q, mdp.continues * soft_value(q, log_prior, alpha)


def soft_value_iteration(
    mdp: TabularMDP,
    log_prior: Float[Tensor, "*#M S A"],
    alpha: float | Tensor,
    discount: float,
    *,
    dense: bool = False,
    tolerance: float = 1e-8,
    max_iterations: int = 100_000,
    initial_value: Float[Tensor, "*M S"] | None = None,
) -> Solution:
    """Solves the KL-regularized problem: iterates (backup) and (soft value) to the fixed point.

    Args:
        mdp: the problem, S states and A actions.
        log_prior: log pi_0(a|s).
        alpha: > 0; a tensor [M, 1] solves M problems at once.
        discount: gamma in [0, 1), so that the iteration contracts.
        dense: use the tensor [S, A, S] instead of the list of successors.
        tolerance: stop when V is surely closer than this to the fixed point (max norm).
        max_iterations: give up after this many.
        initial_value: a first guess, for example the solution of a similar problem.

    Raises:
        ValueError: for a discount outside [0, 1), a prior over other actions, an alpha that is not
            positive or lacks its last axis, or values that become infinite.
        RuntimeError: when the tolerance is not reached within `max_iterations`.
    """
    _check_problem(mdp, log_prior, discount)
    alpha = torch.as_tensor(alpha, dtype=log_prior.dtype, device=log_prior.device)
    if alpha.ndim and alpha.shape[-1] != 1:
        raise ValueError(
            f"alpha must be a number, or [M, 1] for M problems, got {list(alpha.shape)}: "
            "add the last axis with alpha[:, None]"
        )
    model = (mdp.expected_reward(), mdp.transition_tensor()) if dense else None
    batch = torch.broadcast_shapes(alpha.shape[:-1], log_prior.shape[:-2])
    value = log_prior.new_zeros(*batch, mdp.num_states) if initial_value is None else initial_value

    def q_of(value: Tensor) -> Tensor:
        return backup_dense(*model, value, discount) if model else backup(mdp, value, discount)

    value, residuals = _fixed_point(
        lambda value: mdp.continues * soft_value(q_of(value), log_prior, alpha),
        value,
        discount,
        tolerance,
        max_iterations,
    )
    q = q_of(value)
    return Solution(q, value, boltzmann_log_policy(q, log_prior, alpha), residuals)


def optimal_value(
    mdp: TabularMDP, discount: float, tolerance: float = 1e-8, max_iterations: int = 100_000
) -> Float[Tensor, " S"]:
    """V of ordinary reinforcement learning: value iteration with a hard maximum, alpha = 0.

    Raises:
        RuntimeError: when the tolerance is not reached within `max_iterations`.
    """
    start = torch.zeros_like(mdp.initial)
    value, _ = _fixed_point(
        lambda value: mdp.continues * backup(mdp, value, discount).amax(-1),
        start,
        discount,
        tolerance,
        max_iterations,
    )
    return value


def evaluate_policy(
    mdp: TabularMDP,
    log_policy: Float[Tensor, "*#M S A"],
    discount: float,
    *,
    log_prior: Float[Tensor, "*#M S A"] | None = None,
    alpha: float | Tensor | None = None,
) -> Float[Tensor, "*M S"]:
    """The exact value of a policy, V = (I - gamma P_pi)^-1 (r_pi - alpha KL), by one linear solve.

    Cubic in S; `evaluate_policy_iteratively` is linear in the transitions.

    Args:
        mdp: the problem.
        log_policy: log pi(a|s).
        discount: gamma in [0, 1).
        log_prior, alpha: of the KL, given together; without them this is the ordinary value.

    Raises:
        ValueError: for one of log_prior and alpha without the other, or a policy that takes an
            action which the prior excludes, so that the value is -infinity.
    """
    reward = _policy_reward(mdp, log_policy, log_prior, alpha).unsqueeze(-1)  # [..., S, 1]
    kernel = _policy_kernel(mdp, log_policy.exp())
    system = torch.eye(mdp.num_states, dtype=kernel.dtype, device=kernel.device) - discount * kernel
    batch = torch.broadcast_shapes(system.shape[:-2], reward.shape[:-2])
    solved = torch.linalg.solve(system.expand(*batch, -1, -1), reward.expand(*batch, -1, -1))
    return solved.squeeze(-1)


def evaluate_policy_iteratively(
    mdp: TabularMDP,
    log_policy: Float[Tensor, "*#M S A"],
    discount: float,
    *,
    log_prior: Float[Tensor, "*#M S A"] | None = None,
    alpha: float | Tensor | None = None,
    tolerance: float = 1e-8,
    max_iterations: int = 100_000,
) -> Float[Tensor, "*M S"]:
    """The same value by repeated backups, for problems too large for a linear solve.

    Raises:
        ValueError: as `evaluate_policy`.
        RuntimeError: when the tolerance is not reached within `max_iterations`.
    """
    policy = log_policy.exp()
    reward = _policy_reward(mdp, log_policy, log_prior, alpha)
    onward = (mdp.continues.unsqueeze(-1) * policy).unsqueeze(-1) * mdp.probabilities  # [.., S,A,K]

    def sweep(value: Tensor) -> Tensor:
        return reward + discount * (onward * value[..., mdp.successors]).sum((-1, -2))

    value, _ = _fixed_point(sweep, torch.zeros_like(reward), discount, tolerance, max_iterations)
    return value


def visitation(
    mdp: TabularMDP, log_policy: Float[Tensor, "*M S A"], discount: float
) -> Float[Tensor, "*M S"]:
    """The discounted state visitation d(s) = (1 - gamma) E[ sum_t gamma^t 1{s_t = s} ], summing to
    at most 1.

    An episode's last, terminal state counts once; what is missing from 1 is the time after the end.
    """
    kernel = _policy_kernel(mdp, log_policy.exp())
    identity = torch.eye(mdp.num_states, dtype=kernel.dtype, device=kernel.device)
    system = (identity - discount * kernel).mT
    start = mdp.initial.expand(*kernel.shape[:-2], -1)
    return (1.0 - discount) * torch.linalg.solve(system, start)


def start_value(mdp: TabularMDP, value: Float[Tensor, "*M S"]) -> Float[Tensor, "*M"]:
    """The objective: the expected value of the first state."""
    return (mdp.initial * value).sum(-1)


def _fixed_point(
    sweep: Callable[[Tensor], Tensor],
    value: Tensor,
    discount: float,
    tolerance: float,
    max_iterations: int,
) -> tuple[Tensor, Tensor]:
    """Repeats a gamma-contraction until V is surely within `tolerance`; returns V and residuals."""
    # |V - V*| <= gamma / (1 - gamma) * |V - previous V|
    threshold = tolerance * (1.0 - discount) / max(discount, 1e-12)
    residuals = []
    for _ in range(max_iterations):
        previous, value = value, sweep(value)
        residuals.append((value - previous).abs().amax())
        if not torch.isfinite(residuals[-1]):
            raise ValueError(
                f"values became {float(residuals[-1])} in sweep {len(residuals)}: look for a "
                "reward, a prior or an alpha that is not finite"
            )
        if residuals[-1] <= threshold:
            return value, torch.stack(residuals)
    raise RuntimeError(
        f"value iteration did not reach tolerance {tolerance} in {max_iterations} iterations "
        f"(last change {float(residuals[-1]):.3g}): allow more iterations or a larger tolerance"
    )


def _check_problem(mdp: TabularMDP, log_prior: Tensor, discount: float) -> None:
    if not 0.0 <= discount < 1.0:
        raise ValueError(
            f"the discount must lie in [0, 1) for the iteration to converge, got {discount}"
        )
    if log_prior.shape[-2:] != (mdp.num_states, mdp.num_actions):
        raise ValueError(
            f"the prior is over {tuple(log_prior.shape[-2:])} states and actions, "
            f"the problem has {(mdp.num_states, mdp.num_actions)}"
        )


def _policy_reward(
    mdp: TabularMDP, log_policy: Tensor, log_prior: Tensor | None, alpha: float | Tensor | None
) -> Tensor:
    """r_pi - alpha KL [..., S], 0 in terminal states, whatever the policy does there."""
    if (log_prior is None) != (alpha is None):
        raise ValueError("give log_prior and alpha together, or neither")
    reward = (log_policy.exp() * mdp.expected_reward()).sum(-1)
    if log_prior is not None:
        reward = reward - alpha * categorical_kl(log_policy, log_prior)
    reward = torch.where(mdp.continues > 0, reward, 0.0)
    if bool(torch.isinf(reward).any()):
        state = int(torch.isinf(reward).nonzero()[0, -1])
        raise ValueError(
            f"in state {state} the policy takes an action that the prior excludes: the KL, and so "
            "the value, is infinite"
        )
    return reward


def _policy_kernel(mdp: TabularMDP, policy: Tensor) -> Tensor:
    """P_pi [..., S, S], with no way out of a terminal state."""
    going_on = (policy * mdp.continues.unsqueeze(-1)).unsqueeze(-1)  # [..., S, A, 1]
    weight = going_on * mdp.probabilities  # [..., S, A, K]
    kernel = policy.new_zeros(*policy.shape[:-1], mdp.num_states)
    successors = mdp.successors.flatten(1).expand(*policy.shape[:-1], -1)
    return kernel.scatter_add_(-1, successors, weight.flatten(-2))
