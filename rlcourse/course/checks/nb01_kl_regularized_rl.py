"""The checks of notebook 01: KL-regularized RL on tables."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from rlcourse.course.checks import wrong_01 as wrong
from rlcourse.course.compare import CheckFailed, assert_same
from rlcourse.course.grading import Case, Exercise, Mistake
from rlcourse.envs.gridworld import Gridworld
from rlcourse.envs.mdp import TabularMDP
from rlcourse.klrl import tabular
from rlcourse.ops import kl, targets

DISCOUNT = 0.9
SMALL_MAP = "S..#\n.X..\n...G"


def soft_value_iteration(
    mdp: TabularMDP, log_prior: Tensor, alpha: float, discount: float
) -> tuple[Tensor, Tensor]:
    """The package's solver, reduced to (q, value)."""
    solution = tabular.soft_value_iteration(mdp, log_prior, alpha, discount)
    return solution.q, solution.value


def policy_value(
    mdp: TabularMDP, log_policy: Tensor, log_prior: Tensor, alpha: float, discount: float
) -> Tensor:
    """The package's exact policy evaluation."""
    return tabular.evaluate_policy(mdp, log_policy, discount, log_prior=log_prior, alpha=alpha)


def _log_probs(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64).log_softmax(-1)


def _small_problem() -> TabularMDP:
    return Gridworld.from_ascii(SMALL_MAP).mdp(slip=0.2)


def distributions(generator: torch.Generator) -> Iterator[Case]:
    yield _log_probs(generator, 5, 3), _log_probs(generator, 5, 3)
    yield _log_probs(generator, 2, 3, 4), _log_probs(generator, 2, 3, 4)
    certain = torch.tensor([[0.0, -math.inf, -math.inf]], dtype=torch.float64)
    yield certain, _log_probs(generator, 1, 3)


def values_and_priors(generator: torch.Generator) -> Iterator[Case]:
    yield torch.randn(4, 3, generator=generator), _log_probs(generator, 4, 3).float(), 0.5
    yield torch.randn(2, 5, 4, generator=generator), _log_probs(generator, 2, 5, 4).float(), 2.0
    far_apart = 3000.0 * torch.randn(3, 3, generator=generator)  # exp(Q / alpha) overflows
    yield far_apart, _log_probs(generator, 3, 3).float(), 0.1


def backups(generator: torch.Generator) -> Iterator[Case]:
    mdp = _small_problem()
    for alpha in (0.1, 1.0):
        value = mdp.continues * torch.randn(mdp.num_states, generator=generator).double()
        yield mdp, value, _log_probs(generator, mdp.num_states, mdp.num_actions), alpha, DISCOUNT


def problems(generator: torch.Generator) -> Iterator[Case]:
    mdp = _small_problem()
    for alpha in (0.1, 1.0):
        yield mdp, _log_probs(generator, mdp.num_states, mdp.num_actions), alpha, DISCOUNT


def policies(generator: torch.Generator) -> Iterator[Case]:
    mdp = _small_problem()
    shape = (mdp.num_states, mdp.num_actions)
    for alpha in (0.1, 1.0):
        yield mdp, _log_probs(generator, *shape), _log_probs(generator, *shape), alpha, DISCOUNT


def ties_and_gaps(generator: torch.Generator) -> Iterator[Case]:
    yield torch.randn(4, 3, generator=generator), _log_probs(generator, 4, 3).float()
    tied = torch.tensor([[1.0, 1.0, 0.0], [2.0, 1.0, 1.0]])
    yield tied, torch.tensor([[0.2, 0.6, 0.2], [0.0, 0.25, 0.75]]).log()


def arrivals(generator: torch.Generator) -> Iterator[Case]:
    for alpha in (0.05, 1.0):
        discount = torch.tensor([0.9, 0.0, 0.9, 0.9])
        reward, next_q = torch.randn(4, generator=generator), torch.randn(4, 3, generator=generator)
        yield reward, discount, next_q, _log_probs(generator, 4, 3).float(), alpha


def kl_is_zero_only_for_equals(answer) -> None:
    log_p = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]], dtype=torch.float64).log()
    if float(answer(log_p, log_p).abs().max()) > 1e-9:
        raise CheckFailed("the KL of a distribution from itself must be 0")
    if not bool((answer(log_p, log_p.roll(1, -1)) > 0).all()):
        raise CheckFailed("the KL of two different distributions must be positive")


def policies_sum_to_one(answer) -> None:
    log_policy = answer(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[0.2, 0.3, 0.5]]).log(), 1.0)
    total = float(log_policy.exp().sum())
    if abs(total - 1.0) > 1e-5:
        raise CheckFailed(
            f"the probabilities of a state must sum to 1, here they sum to {total:.4g}"
        )


def value_is_a_fixed_point(answer) -> None:
    """The backup contracts, so that its fixed point is unique: being one is being right."""
    for mdp, log_prior, alpha, discount in problems(torch.Generator().manual_seed(1)):
        result = answer(mdp, log_prior, alpha, discount)
        if not (isinstance(result, tuple) and len(result) == 2):
            raise CheckFailed("it must return two tensors, (q, value): end with `return q, value`")
        q, value = result
        if isinstance(q, Tensor) and q.ndim < getattr(value, "ndim", 0):
            raise CheckFailed("the two results are swapped: return q first, then V")
        expected = soft_value_iteration(mdp, log_prior, alpha, discount)
        assert_same(torch.zeros_like(value), torch.zeros_like(expected[1]), "value")
        again, next_value = tabular.soft_backup(mdp, value, log_prior, alpha, discount)
        change = float((next_value - value).abs().max())
        if not change < 1e-5:
            raise CheckFailed(
                f"V is not a fixed point: one more backup changes it by {change:.2g}; repeat the "
                "backup until the largest change of a sweep is below the tolerance"
            )
        assert_same(q, again, "q")


EXERCISES = (
    Exercise(
        id="01.categorical_kl",
        reference=kl.categorical_kl,
        cases=distributions,
        mistakes=(
            Mistake(
                "This is KL(q || p): the distribution that weights the sum must be p, the first",
                lambda log_p, log_q: kl.categorical_kl(log_q, log_p),
            ),
            Mistake(
                "The sign is flipped: the logarithm is of p / q, so log_p comes first",
                lambda log_p, log_q: -kl.categorical_kl(log_p, log_q),
            ),
            Mistake(
                "An action without probability gives 0 * (-inf) = NaN, and it should add 0: "
                "set its term to 0 with torch.where",
                lambda log_p, log_q: (log_p.exp() * (log_p - log_q)).sum(-1),
            ),
            Mistake(
                "This is the mean over actions; the KL is a sum, the weights p are in it already",
                lambda log_p, log_q: kl.categorical_kl(log_p, log_q) / log_p.shape[-1],
            ),
            Mistake(
                "The weights are those of q: the sum is weighted by p, the first distribution",
                wrong.weighted_by_q,
            ),
        ),
        facts=(kl_is_zero_only_for_equals,),
    ),
    Exercise(
        id="01.boltzmann_policy",
        reference=kl.boltzmann_log_policy,
        cases=values_and_priors,
        mistakes=(
            Mistake(
                "The prior is missing: add log_prior to Q / alpha before normalizing",
                lambda q, log_prior, alpha: (q / alpha).log_softmax(-1),
            ),
            Mistake(
                "Q is multiplied by alpha, and it must be divided: a large alpha holds the policy "
                "close to the prior",
                lambda q, log_prior, alpha: (log_prior + q * alpha).log_softmax(-1),
            ),
            Mistake(
                "The policy prefers bad actions: the sign of Q is flipped",
                lambda q, log_prior, alpha: (log_prior - q / alpha).log_softmax(-1),
            ),
            Mistake(
                "The result is not normalized: subtract the logsumexp over actions",
                lambda q, log_prior, alpha: log_prior + q / alpha,
            ),
            Mistake(
                "The normalization runs over the wrong axis: actions are the last one, dim=-1",
                wrong.swapped_axes,
            ),
            Mistake(
                "exp(Q / alpha) overflows for a small alpha: stay in log space, with logsumexp or "
                "log_softmax",
                wrong.in_linear_space,
            ),
            Mistake(
                "These are probabilities: return their logarithms",
                lambda q, log_prior, alpha: kl.boltzmann_log_policy(q, log_prior, alpha).exp(),
            ),
        ),
        facts=(policies_sum_to_one,),
    ),
    Exercise(
        id="01.soft_backup",
        reference=tabular.soft_backup,
        cases=backups,
        mistakes=(
            Mistake(
                "The discount is missing: Q is r + discount * (value of what follows)",
                wrong.no_discount,
            ),
            Mistake(
                "Terminal states must have value 0: multiply V by mdp.continues",
                wrong.backup_with(wrong.no_terminals),
            ),
            Mistake(
                "This takes the maximum over actions; the soft value is "
                "alpha * logsumexp(log_prior + Q / alpha)",
                wrong.backup_with(wrong.hard_maximum),
            ),
            Mistake(
                "The prior is missing inside the logsumexp: without log_prior every state gains "
                "alpha * log(number of actions)",
                wrong.backup_with(wrong.no_prior),
            ),
            Mistake(
                "The factor alpha in front of the logsumexp is missing",
                wrong.backup_with(wrong.no_alpha_in_front),
            ),
            Mistake(
                "This is the mean of Q under the prior, the value when alpha is infinite",
                wrong.backup_with(wrong.prior_mean),
            ),
            Mistake(
                "The two results are swapped: return q first, then the new V",
                lambda *problem: tabular.soft_backup(*problem)[::-1],
            ),
            Mistake(
                "The transition tensor is summed over the wrong axis: P[s, a, s'] times V[s'] "
                "runs over the last one",
                wrong.transposed,
            ),
        ),
    ),
    Exercise(
        id="01.soft_value_iteration",
        reference=soft_value_iteration,
        facts=(value_is_a_fixed_point,),
    ),
    Exercise(
        id="01.policy_value",
        reference=policy_value,
        cases=policies,
        mistakes=(
            Mistake(
                "The KL is missing: the objective pays alpha * KL(policy || prior) in each state",
                wrong.evaluate_with(
                    lambda log_policy, log_prior: torch.zeros_like(log_policy[:, 0])
                ),
            ),
            Mistake(
                "The KL is the wrong way round: it is KL(policy || prior), weighted by the policy",
                wrong.evaluate_with(
                    lambda log_policy, log_prior: kl.categorical_kl(log_prior, log_policy)
                ),
            ),
            Mistake(
                "The KL is added to the reward; it is a cost, subtract it",
                wrong.evaluate_with(
                    lambda log_policy, log_prior: -kl.categorical_kl(log_policy, log_prior)
                ),
            ),
            Mistake(
                "The discount is missing: the system is I - discount * P",
                wrong.evaluate_undiscounted,
            ),
            Mistake(
                "The policy goes on after the end: terminal states have value 0, multiply both the "
                "reward and the rows of P by mdp.continues",
                wrong.terminals_go_on,
            ),
        ),
    ),
    Exercise(
        id="01.alpha_limits",
        reference=kl.limit_log_policies,
        cases=ties_and_gaps,
        mistakes=(
            Mistake(
                "The best action lies outside the prior's support: where the prior has no "
                "probability, no alpha gives it any",
                wrong.outside_support,
            ),
            Mistake(
                "An excluded action takes part in the maximum: put -inf into Q where log_prior is "
                "-inf, before you look for the best action",
                wrong.excluded_action_wins,
            ),
            Mistake(
                "Actions that tie for the best share their probability as the prior does, not "
                "equally",
                wrong.uniform_over_ties,
            ),
            Mistake(
                "Only the first of the best actions is kept: all that tie stay, weighted by the "
                "prior",
                wrong.first_maximum,
            ),
            Mistake(
                "The two limits are swapped: a small alpha means greedy, a large one means prior",
                lambda q, log_prior: kl.limit_log_policies(q, log_prior)[::-1],
            ),
            Mistake(
                "For a large alpha the policy is the prior, not the uniform distribution",
                lambda q, log_prior: (
                    kl.limit_log_policies(q, log_prior)[0],
                    torch.zeros_like(q).log_softmax(-1),
                ),
            ),
        ),
    ),
    Exercise(
        id="01.soft_q_target",
        reference=targets.soft_q_learning_target,
        cases=arrivals,
        mistakes=(
            Mistake(
                "This is ordinary Q-learning: replace the maximum by the soft value",
                wrong.target_with(lambda q, log_prior, alpha: q.amax(-1)),
            ),
            Mistake(
                "The discount is missing; it is also what stops the value at the end of an episode",
                lambda reward, discount, q, log_prior, alpha: (
                    reward + kl.soft_value(q, log_prior, alpha)
                ),
            ),
            Mistake(
                "The prior is missing inside the logsumexp",
                wrong.target_with(lambda q, log_prior, alpha: alpha * (q / alpha).logsumexp(-1)),
            ),
            Mistake(
                "The factor alpha in front of the logsumexp is missing",
                wrong.target_with(
                    lambda q, log_prior, alpha: (log_prior + q / alpha).logsumexp(-1)
                ),
            ),
            Mistake(
                "This is the mean of Q under the prior; the agent will follow its Boltzmann "
                "policy, whose value is the logsumexp",
                wrong.target_with(lambda q, log_prior, alpha: (log_prior.exp() * q).sum(-1)),
            ),
        ),
    ),
)
