"""Plausible wrong answers to the exercises of notebook 02, by which a check names the mistake."""

from collections.abc import Callable

import torch
from torch import Tensor

from rlcourse.klrl import distral, distral_neural
from rlcourse.ops import mixtures


def prior_with(weights: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """The mixture with `weights(visits [M, S], task_weights [M])` -> [M, S], not normalized."""

    def answer(log_policies, visits, task_weights):
        found = weights(visits, task_weights[:, None]).expand_as(visits)
        found = torch.where(found.sum(0) == 0.0, 1.0, found)
        return mixtures.log_mixture(log_policies, found.log() - found.sum(0).log())

    return answer


def nowhere_not_a_number(log_policies, visits, task_weights):
    weights = task_weights[:, None] * visits
    return mixtures.log_mixture(log_policies, weights.log() - weights.sum(0).log())


def nowhere_forbidden(log_policies, visits, task_weights):
    weights = task_weights[:, None] * visits
    mixed = (weights[..., None] * log_policies.exp()).sum(0)
    return (mixed / weights.sum(0)[:, None].clamp(min=1e-30)).log()


def nowhere_task_weights(log_policies, visits, task_weights):
    weights = task_weights[:, None] * visits
    weights = torch.where(weights.sum(0) == 0.0, task_weights[:, None], weights)
    return mixtures.log_mixture(log_policies, weights.log() - weights.sum(0).log())


def nowhere_uniform_actions(log_policies, visits, task_weights):
    weights = task_weights[:, None] * visits
    nobody = weights.sum(0) == 0.0
    mixed = mixtures.optimal_log_prior(log_policies, visits, task_weights)
    return torch.where(nobody[:, None], torch.zeros_like(mixed).log_softmax(-1), mixed)


def averaged_logs(log_policies, visits, task_weights):
    weights = task_weights[:, None] * visits
    weights = torch.where(weights.sum(0) == 0.0, 1.0, weights)
    return ((weights / weights.sum(0))[..., None] * log_policies).sum(0)


def geometric_mean(log_policies, visits, task_weights):
    return averaged_logs(log_policies, visits, task_weights).log_softmax(-1)


def not_normalized(log_policies, visits, task_weights):
    weights = task_weights[:, None] * visits
    weights = torch.where(weights.sum(0) == 0.0, 1.0, weights)
    return mixtures.log_mixture(log_policies, weights.log())


def normalized_over_states(log_policies, visits, task_weights):
    weights = task_weights[:, None] * visits
    weights = torch.where(weights.sum(0) == 0.0, 1.0, weights)
    return mixtures.log_mixture(log_policies, (weights / weights.sum(1, keepdim=True)).log())


def normalized_over_everything(log_policies, visits, task_weights):
    weights = task_weights[:, None] * visits
    weights = torch.where(weights.sum(0) == 0.0, 1.0, weights)
    return mixtures.log_mixture(log_policies, (weights / weights.sum()).log())


def every_zero_replaced(log_policies, visits, task_weights):
    weights = task_weights[:, None] * visits
    weights = torch.where(weights == 0.0, 1.0, weights)
    return mixtures.log_mixture(log_policies, weights.log() - weights.sum(0).log())


def posterior_added(log_policies, visits, task_weights):
    weights = task_weights[:, None] * visits
    weights = torch.where(weights.sum(0) == 0.0, 1.0, weights)
    return mixtures.log_mixture(log_policies, weights / weights.sum(0))


def kls_of_sums(log_p, log_q, width):
    forward, reverse = mixtures.density_kls(log_p, log_q, width)
    return forward / width, reverse / width


def kls_of_means(log_p, log_q, width):
    forward, reverse = kls_of_sums(log_p, log_q, width)
    return forward / log_p.shape[-1], reverse / log_p.shape[-1]


def kls_with_log_weights(log_p, log_q, width):
    difference = log_p - log_q
    return (log_p * difference).sum(-1) * width, (-log_q * difference).sum(-1) * width


def minus_forward(log_p, log_q, width):
    """The same logarithm log p - log q in both."""
    forward, reverse = mixtures.density_kls(log_p, log_q, width)
    return forward, -reverse


def both_negative(log_p, log_q, width):
    forward, reverse = mixtures.density_kls(log_p, log_q, width)
    return -forward, -reverse


def weighted_alike(log_p, log_q, width):
    """KL(p || q) and the same sum with the sign turned."""
    forward, _ = mixtures.density_kls(log_p, log_q, width)
    return forward, -forward


def policy_with(
    logits: Callable[..., Tensor], scale: Callable[..., float] = lambda alpha, beta: 1.0 / beta
) -> Callable[..., tuple[Tensor, Tensor]]:
    """Value and policy from `logits(q, log_prior, alpha, beta)`; `scale` stands before the log."""

    def answer(q, log_prior, alpha, beta):
        found = logits(q, log_prior, alpha, beta)
        return scale(alpha, beta) * found.logsumexp(-1), found.log_softmax(-1)

    return answer


def distral_logits(q, log_prior, alpha, beta):
    return alpha * log_prior + beta * q


def distral_unnormalized(q, log_prior, alpha, beta):
    return distral.distral_value_and_log_policy(q, log_prior, alpha, beta)[0], distral_logits(
        q, log_prior, alpha, beta
    )


def distral_policy_without_beta(q, log_prior, alpha, beta):
    value, _ = distral.distral_value_and_log_policy(q, log_prior, alpha, beta)
    return value, alpha * log_prior + q - value.unsqueeze(-1)


def distral_logits_minus_value(q, log_prior, alpha, beta):
    value, _ = distral.distral_value_and_log_policy(q, log_prior, alpha, beta)
    return value, distral_logits(q, log_prior, alpha, beta) - value.unsqueeze(-1)


def distral_policy_in_linear_space(q, log_prior, alpha, beta):
    value, log_policy = distral.distral_value_and_log_policy(q, log_prior, alpha, beta)
    return value, log_policy.exp()


def distral_overflows(q, log_prior, alpha, beta):
    weights = log_prior.exp() ** alpha * (beta * q).exp()
    total = weights.sum(-1, keepdim=True)
    return total.log().squeeze(-1) / beta, (weights / total).log()


def columns_with(
    logits: Callable[..., Tensor],
) -> Callable[..., tuple[Tensor, Tensor]]:
    """Columns in which `logits(f, h, alpha, beta, two_columns)` are those of the policy."""

    def answer(task_logits, prior_logits, alpha, beta, two_columns):
        found = logits(task_logits, prior_logits, alpha, beta, two_columns)
        return found.log_softmax(-1), prior_logits.log_softmax(-1)

    return answer


def columns_unnormalized(task_logits, prior_logits, alpha, beta, two_columns):
    return beta * task_logits + alpha * prior_logits * two_columns, prior_logits


def columns_first_axis(task_logits, prior_logits, alpha, beta, two_columns):
    logits = beta * task_logits + alpha * prior_logits * two_columns
    return logits.log_softmax(0), prior_logits.log_softmax(0)


def columns_prior_scaled(task_logits, prior_logits, alpha, beta, two_columns):
    columns = distral_neural.column_log_policies
    log_policy, _ = columns(task_logits, prior_logits, alpha, beta, two_columns)
    return log_policy, (alpha * prior_logits).log_softmax(-1)


def columns_prior_detached(task_logits, prior_logits, alpha, beta, two_columns):
    columns = distral_neural.column_log_policies
    return columns(task_logits, prior_logits.detach(), alpha, beta, two_columns)


def columns_in_linear_space(task_logits, prior_logits, alpha, beta, two_columns):
    columns = distral_neural.column_log_policies
    found = columns(task_logits, prior_logits, alpha, beta, two_columns)
    return found[0].exp(), found[1].exp()


def gradient_with(difference: Callable[..., Tensor], mean: bool = False) -> Callable[..., Tensor]:
    """The sum over samples of `difference(policy [N, A], prior [N, A])`, in each state."""

    def answer(prior_logits, states, log_policy, alpha, beta):
        found = difference(log_policy.exp(), prior_logits.softmax(-1)[states])
        total = torch.zeros_like(prior_logits).index_add(0, states, found)
        return alpha / beta * total / (len(states) if mean else 1)

    return answer


def gradient_scaled(scale: Callable[[float, float], float]) -> Callable[..., Tensor]:
    """The gradient with another factor in place of alpha / beta."""

    def answer(prior_logits, states, log_policy, alpha, beta):
        return scale(alpha, beta) * distral_neural.distillation_gradient(
            prior_logits, states, log_policy, 1.0, 1.0
        )

    return answer


def gradient_raw_logits(prior_logits, states, log_policy, alpha, beta):
    difference = log_policy.exp() - prior_logits[states]
    return alpha / beta * torch.zeros_like(prior_logits).index_add(0, states, difference)


def gradient_rows(prior_logits, states, log_policy, alpha, beta):
    return alpha / beta * (log_policy.exp() - prior_logits.softmax(-1)[states])


def gradient_last_assignment(prior_logits, states, log_policy, alpha, beta):
    """`+=` with an index that repeats writes each state once."""
    found = torch.zeros_like(prior_logits)
    found[states] += log_policy.exp() - prior_logits.softmax(-1)[states]
    return alpha / beta * found


def gradient_mean_per_state(prior_logits, states, log_policy, alpha, beta):
    total = distral_neural.distillation_gradient(prior_logits, states, log_policy, alpha, beta)
    count = torch.bincount(states, minlength=len(prior_logits)).clamp(min=1)
    return total / count.unsqueeze(-1)


def gradient_everywhere(prior_logits, states, log_policy, alpha, beta):
    """The prior subtracted once in every state, visited or not."""
    total = torch.zeros_like(prior_logits).index_add(0, states, log_policy.exp())
    return alpha / beta * (total - prior_logits.softmax(-1))
