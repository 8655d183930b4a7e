"""Wrong answers to the exercises of notebook 02, as a learner would write them."""

import torch

from tests.course.wrong_answers.wrong import Wrong


def prior_plain_average(log_policies, visits, task_weights):
    return log_policies.exp().mean(0).log()


def prior_without_task_weights(log_policies, visits, task_weights):
    weights = torch.where(visits.sum(0) == 0, 1.0, visits)
    weights = weights / weights.sum(0)
    return (weights[..., None] * log_policies.exp()).sum(0).log()


def prior_not_a_number(log_policies, visits, task_weights):
    weights = task_weights[:, None] * visits
    posterior = weights / weights.sum(0)
    return (posterior[..., None] * log_policies.exp()).sum(0).log()


def prior_of_logs(log_policies, visits, task_weights):
    weights = task_weights[:, None] * visits
    weights = torch.where(weights.sum(0) == 0, 1.0, weights)
    return ((weights / weights.sum(0))[..., None] * log_policies).sum(0)


def prior_not_normalized(log_policies, visits, task_weights):
    weights = task_weights[:, None] * visits
    weights = torch.where(weights.sum(0) == 0, 1.0, weights)
    return torch.logsumexp(log_policies + weights.log()[..., None], 0)


def prior_probabilities(log_policies, visits, task_weights):
    weights = task_weights[:, None] * visits
    weights = torch.where(weights.sum(0) == 0, 1.0, weights)
    return ((weights / weights.sum(0))[..., None] * log_policies.exp()).sum(0)


def prior_over_states(log_policies, visits, task_weights):
    weights = task_weights[:, None] * visits
    weights = torch.where(weights.sum(0) == 0, 1.0, weights)
    posterior = weights / weights.sum(1, keepdim=True)
    return (posterior[..., None] * log_policies.exp()).sum(0).log()


def prior_of_the_busiest_task(log_policies, visits, task_weights):
    busiest = (task_weights[:, None] * visits).argmax(0)
    return log_policies[busiest, torch.arange(visits.shape[1])]


def prior_with_the_posterior_added(log_policies, visits, task_weights):
    weights = task_weights[:, None] * visits
    weights = torch.where(weights.sum(0) == 0, 1.0, weights)
    posterior = weights / weights.sum(0)
    return torch.logsumexp(log_policies + posterior[..., None], 0)


def prior_with_every_zero_replaced(log_policies, visits, task_weights):
    weights = task_weights[:, None] * visits
    weights = torch.where(weights == 0, 1.0, weights)
    posterior = weights / weights.sum(0)
    return (posterior[..., None] * log_policies.exp()).sum(0).log()


def prior_over_everything(log_policies, visits, task_weights):
    weights = task_weights[:, None] * visits
    weights = torch.where(weights.sum(0) == 0, 1.0, weights)
    posterior = weights / weights.sum()
    return (posterior[..., None] * log_policies.exp()).sum(0).log()


def kls_swapped(log_p, log_q, width):
    forward = (log_q.exp() * (log_q - log_p)).sum(-1) * width
    return forward, (log_p.exp() * (log_p - log_q)).sum(-1) * width


def kls_without_width(log_p, log_q, width):
    forward = (log_p.exp() * (log_p - log_q)).sum(-1)
    return forward, (log_q.exp() * (log_q - log_p)).sum(-1)


def kls_mean(log_p, log_q, width):
    forward = (log_p.exp() * (log_p - log_q)).mean(-1)
    return forward, (log_q.exp() * (log_q - log_p)).mean(-1)


def kls_without_exp(log_p, log_q, width):
    forward = (log_p * (log_p - log_q)).sum(-1) * width
    return forward, (log_q * (log_q - log_p)).sum(-1) * width


def kls_reverse_sign(log_p, log_q, width):
    difference = log_p - log_q
    return (log_p.exp() * difference).sum(-1) * width, (log_q.exp() * difference).sum(-1) * width


def kls_both_signs(log_p, log_q, width):
    forward = (log_p.exp() * (log_q - log_p)).sum(-1) * width
    return forward, (log_q.exp() * (log_p - log_q)).sum(-1) * width


def kls_over_everything(log_p, log_q, width):
    forward = (log_p.exp() * (log_p - log_q)).sum() * width
    return forward, (log_q.exp() * (log_q - log_p)).sum() * width


def distral_without_power(q, log_prior, alpha, beta):
    logits = log_prior + beta * q
    return logits.logsumexp(-1) / beta, logits.log_softmax(-1)


def distral_divided(q, log_prior, alpha, beta):
    logits = alpha * log_prior + q / beta
    return logits.logsumexp(-1) / beta, logits.log_softmax(-1)


def distral_value_unscaled(q, log_prior, alpha, beta):
    logits = alpha * log_prior + beta * q
    return logits.logsumexp(-1), logits.log_softmax(-1)


def distral_first_axis(q, log_prior, alpha, beta):
    logits = alpha * log_prior + beta * q
    return logits.logsumexp(0) / beta, logits.log_softmax(0)


def distral_not_normalized(q, log_prior, alpha, beta):
    logits = alpha * log_prior + beta * q
    return logits.logsumexp(-1) / beta, logits


def distral_linear_space(q, log_prior, alpha, beta):
    weights = log_prior.exp() ** alpha * torch.exp(beta * q)
    total = weights.sum(-1)
    return total.log() / beta, (weights / total[..., None]).log()


def distral_forgets_beta(q, log_prior, alpha, beta):
    value = (alpha * log_prior + beta * q).logsumexp(-1) / beta
    return value, alpha * log_prior + q - value[..., None]


def distral_subtracts_the_value(q, log_prior, alpha, beta):
    logits = alpha * log_prior + beta * q
    value = logits.logsumexp(-1) / beta
    return value, logits - value[..., None]


def distral_probabilities(q, log_prior, alpha, beta):
    logits = alpha * log_prior + beta * q
    return logits.logsumexp(-1) / beta, logits.softmax(-1)


def columns_one(task_logits, prior_logits, alpha, beta, two_columns):
    return (beta * task_logits).log_softmax(-1), prior_logits.log_softmax(-1)


def columns_always_two(task_logits, prior_logits, alpha, beta, two_columns):
    logits = alpha * prior_logits + beta * task_logits
    return logits.log_softmax(-1), prior_logits.log_softmax(-1)


def columns_factors_swapped(task_logits, prior_logits, alpha, beta, two_columns):
    logits = alpha * task_logits
    if two_columns:
        logits = logits + beta * prior_logits
    return logits.log_softmax(-1), prior_logits.log_softmax(-1)


def columns_as_logits(task_logits, prior_logits, alpha, beta, two_columns):
    logits = beta * task_logits
    if two_columns:
        logits = logits + alpha * prior_logits
    return logits, prior_logits


def columns_stopped(task_logits, prior_logits, alpha, beta, two_columns):
    logits = beta * task_logits
    if two_columns:
        logits = logits + alpha * prior_logits.detach()
    return logits.log_softmax(-1), prior_logits.detach().log_softmax(-1)


def columns_policy_stopped(task_logits, prior_logits, alpha, beta, two_columns):
    logits = beta * task_logits
    if two_columns:
        logits = logits + alpha * prior_logits.detach()
    return logits.log_softmax(-1), prior_logits.log_softmax(-1)


def columns_task_stopped(task_logits, prior_logits, alpha, beta, two_columns):
    logits = beta * task_logits
    if two_columns:
        logits = logits.detach() + alpha * prior_logits
    return logits.log_softmax(-1), prior_logits.log_softmax(-1)


def columns_log_prior_stopped(task_logits, prior_logits, alpha, beta, two_columns):
    logits = beta * task_logits
    if two_columns:
        logits = logits + alpha * prior_logits
    return logits.log_softmax(-1), prior_logits.detach().log_softmax(-1)


def columns_probabilities(task_logits, prior_logits, alpha, beta, two_columns):
    logits = beta * task_logits + (alpha * prior_logits if two_columns else 0.0)
    return logits.softmax(-1), prior_logits.softmax(-1)


def gradient_sign(prior_logits, states, log_policy, alpha, beta):
    difference = prior_logits.softmax(-1)[states] - log_policy.exp()
    return alpha / beta * torch.zeros_like(prior_logits).index_add_(0, states, difference)


def gradient_of_logs(prior_logits, states, log_policy, alpha, beta):
    difference = log_policy - prior_logits.log_softmax(-1)[states]
    return alpha / beta * torch.zeros_like(prior_logits).index_add_(0, states, difference)


def gradient_counts_once(prior_logits, states, log_policy, alpha, beta):
    gradient = torch.zeros_like(prior_logits)
    gradient[states] += log_policy.exp() - prior_logits.softmax(-1)[states]
    return alpha / beta * gradient


def gradient_without_factor(prior_logits, states, log_policy, alpha, beta):
    difference = log_policy.exp() - prior_logits.softmax(-1)[states]
    return torch.zeros_like(prior_logits).index_add_(0, states, difference)


def gradient_wrong_factor(prior_logits, states, log_policy, alpha, beta):
    difference = log_policy.exp() - prior_logits.softmax(-1)[states]
    return alpha * beta * torch.zeros_like(prior_logits).index_add_(0, states, difference)


def gradient_without_prior(prior_logits, states, log_policy, alpha, beta):
    return alpha / beta * torch.zeros_like(prior_logits).index_add_(0, states, log_policy.exp())


def gradient_without_exp(prior_logits, states, log_policy, alpha, beta):
    difference = log_policy - prior_logits.softmax(-1)[states]
    return alpha / beta * torch.zeros_like(prior_logits).index_add_(0, states, difference)


def gradient_without_softmax(prior_logits, states, log_policy, alpha, beta):
    difference = log_policy.exp() - prior_logits[states]
    return alpha / beta * torch.zeros_like(prior_logits).index_add_(0, states, difference)


def gradient_not_divided(prior_logits, states, log_policy, alpha, beta):
    difference = log_policy.exp() - prior_logits.softmax(-1)[states]
    return alpha * torch.zeros_like(prior_logits).index_add_(0, states, difference)


def gradient_per_sample(prior_logits, states, log_policy, alpha, beta):
    return alpha / beta * (log_policy.exp() - prior_logits.softmax(-1)[states])


def gradient_in_place(prior_logits, states, log_policy, alpha, beta):
    difference = log_policy.exp() - prior_logits.softmax(-1)[states]
    return prior_logits.index_add_(0, states, alpha / beta * difference)


WRONG = {
    "02.optimal_prior": (
        Wrong(prior_plain_average, "plain average"),
        Wrong(prior_without_task_weights, "task weights are missing"),
        Wrong(prior_not_a_number, "0 / 0"),
        Wrong(prior_of_logs, "averages log-probabilities"),
        Wrong(prior_not_normalized, "not normalized"),
        Wrong(prior_probabilities, "return their logarithms"),
        Wrong(prior_over_states, "normalized over states"),
        Wrong(prior_over_everything, "normalized over everything"),
        Wrong(prior_with_every_zero_replaced, "not at every 0"),
        Wrong(prior_with_the_posterior_added, "add its logarithm"),
        Wrong(prior_of_the_busiest_task, "is wanted"),
    ),
    "02.two_kls": (
        Wrong(kls_swapped, "swapped"),
        Wrong(kls_without_width, "width of a cell is missing"),
        Wrong(kls_mean, "mean over points"),
        Wrong(kls_without_exp, "log-densities"),
        Wrong(kls_reverse_sign, "wrong sign"),
        Wrong(kls_both_signs, "Both have the wrong sign"),
        Wrong(kls_over_everything, "shape"),
    ),
    "02.distral_policy": (
        Wrong(distral_without_power, "power alpha"),
        Wrong(distral_divided, "must be multiplied"),
        Wrong(distral_value_unscaled, "1 / beta in front"),
        Wrong(distral_first_axis, "shape"),
        Wrong(distral_not_normalized, "not normalized"),
        Wrong(distral_linear_space, "overflows"),
        Wrong(distral_forgets_beta, "beta is missing"),
        Wrong(distral_subtracts_the_value, "logsumexp is beta \\* V"),
        Wrong(distral_probabilities, "without .exp"),
    ),
    "02.two_columns": (
        Wrong(columns_one, "never added"),
        Wrong(columns_always_two, "always added"),
        Wrong(columns_factors_swapped, "wrong column"),
        Wrong(columns_as_logits, "normalize both"),
        Wrong(columns_stopped, "both results"),
        Wrong(columns_policy_stopped, "prior's column gets no gradient through log pi_i"),
        Wrong(columns_task_stopped, "task's column gets no gradient through log pi_i"),
        Wrong(columns_log_prior_stopped, "both results"),
        Wrong(columns_probabilities, "return their logarithms"),
    ),
    "02.distillation_gradient": (
        Wrong(gradient_sign, "sign is flipped"),
        Wrong(gradient_of_logs, "subtracts logarithms"),
        Wrong(gradient_counts_once, "last sample"),
        Wrong(gradient_without_factor, "alpha / beta is missing"),
        Wrong(gradient_wrong_factor, "alpha \\* beta"),
        Wrong(gradient_without_prior, "prior is not subtracted"),
        Wrong(gradient_without_exp, "holds logarithms"),
        Wrong(gradient_without_softmax, "subtract their softmax"),
        Wrong(gradient_not_divided, "division by beta is missing"),
        Wrong(gradient_per_sample, "one row per state"),
        Wrong(gradient_in_place, "in place"),
    ),
}
