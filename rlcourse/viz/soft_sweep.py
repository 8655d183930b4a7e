"""The exact solution of a KL-regularized problem for many alphas at once, and what it costs."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from rlcourse.envs.mdp import TabularMDP
from rlcourse.klrl.tabular import soft_value_iteration, visitation
from rlcourse.ops.kl import categorical_kl


class Sweep(NamedTuple):
    """Solutions for M alphas. objective = expected_return - alpha * total_kl."""

    alphas: Float[Tensor, " M"]
    policy: Float[Tensor, "M S A"]
    value: Float[Tensor, "M S"]
    kl: Float[Tensor, "M S"]  # KL(pi || pi_0) in nats; 0 in terminal states
    visits: Float[Tensor, "M S"]  # E[ sum_t gamma^t 1{s_t = s} ]
    objective: Float[Tensor, " M"]  # expected from the start
    expected_return: Float[Tensor, " M"]  # E[ sum_t gamma^t r_t ]
    total_kl: Float[Tensor, " M"]  # E[ sum_t gamma^t KL_t ], in nats


def soft_sweep(
    mdp: TabularMDP,
    log_prior: Float[Tensor, "S A"],
    alphas: Float[Tensor, " M"],
    discount: float,
    tolerance: float = 1e-4,
) -> Sweep:
    """Solves the problem for all alphas in one batch.

    Args:
        mdp: the problem.
        log_prior: log pi_0.
        alphas: > 0, in units of reward per nat.
        discount: gamma in [0, 1).
        tolerance: of the value; the default is below what a picture shows.

    Raises:
        ValueError: as `soft_value_iteration` does.
    """
    solution = soft_value_iteration(
        mdp, log_prior, alphas.unsqueeze(-1), discount, tolerance=tolerance
    )
    policy = solution.log_policy.exp()
    kl = mdp.continues * categorical_kl(solution.log_policy, log_prior)
    # The linear solve leaves rounding errors of either sign where a state is never visited.
    visits = visitation(mdp, solution.log_policy, discount).clamp(min=0.0) / (1.0 - discount)
    reward = mdp.continues * (policy * mdp.expected_reward()).sum(-1)
    expected_return, total_kl = (visits * reward).sum(-1), (visits * kl).sum(-1)
    return Sweep(
        alphas=alphas,
        policy=policy,
        value=solution.value,
        kl=kl,
        visits=visits,
        # Of the policy, exactly: closer to the optimum than the value at the first state is.
        objective=expected_return - alphas * total_kl,
        expected_return=expected_return,
        total_kl=total_kl,
    )
