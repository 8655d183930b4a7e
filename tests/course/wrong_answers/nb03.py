"""Wrong answers to the exercises of notebook 03, as a learner would write them."""

import math

import torch
from torch.nn.functional import softplus

from tests.course.wrong_answers.wrong import Wrong


def _gaussian(pre_tanh, mean, std):
    return -0.5 * ((pre_tanh - mean) / std) ** 2 - torch.log(std) - 0.5 * math.log(2 * math.pi)


def _slope(pre_tanh):
    return 2 * (math.log(2) - pre_tanh - softplus(-2 * pre_tanh))


def log_prob_of_u(pre_tanh, mean, std):
    return torch.distributions.Normal(mean, std).log_prob(pre_tanh).sum(-1)


def log_prob_plus_slope(pre_tanh, mean, std):
    return _gaussian(pre_tanh, mean, std).sum(-1) + _slope(pre_tanh).sum(-1)


def log_prob_unstable(pre_tanh, mean, std):
    log_slope = torch.log(1 - torch.tanh(pre_tanh) ** 2)
    return (_gaussian(pre_tanh, mean, std) - log_slope).sum(-1)


def log_prob_clamped(pre_tanh, mean, std):
    log_slope = torch.log(1 - torch.tanh(pre_tanh) ** 2 + 1e-6)
    return (_gaussian(pre_tanh, mean, std) - log_slope).sum(-1)


def log_prob_without_factor_two(pre_tanh, mean, std):
    return (_gaussian(pre_tanh, mean, std) - 0.5 * _slope(pre_tanh)).sum(-1)


def log_prob_softplus_sign(pre_tanh, mean, std):
    log_slope = 2 * (math.log(2) - pre_tanh - softplus(2 * pre_tanh))
    return (_gaussian(pre_tanh, mean, std) - log_slope).sum(-1)


def log_prob_per_dimension(pre_tanh, mean, std):
    return _gaussian(pre_tanh, mean, std) - _slope(pre_tanh)


def log_prob_first_axis(pre_tanh, mean, std):
    return (_gaussian(pre_tanh, mean, std) - _slope(pre_tanh)).sum(0)


def log_prob_unnormalized(pre_tanh, mean, std):
    exponent = -0.5 * ((pre_tanh - mean) / std) ** 2 - 0.5 * math.log(2 * math.pi)
    return (exponent - _slope(pre_tanh)).sum(-1)


def target_entropy_sign(reward, discount, next_q, next_log_prob, temperature):
    return reward + discount * (next_q.min(0).values + temperature * next_log_prob)


def target_without_entropy(reward, discount, next_q, next_log_prob, temperature):
    return reward + discount * next_q.min(0).values


def target_optimist(reward, discount, next_q, next_log_prob, temperature):
    return reward + discount * (next_q.max(0).values - temperature * next_log_prob)


def target_undiscounted_entropy(reward, discount, next_q, next_log_prob, temperature):
    return reward + discount * next_q.min(0).values - temperature * next_log_prob


def target_smallest_of_all(reward, discount, next_q, next_log_prob, temperature):
    return reward + discount * (next_q.min() - temperature * next_log_prob)


def target_first_critic(reward, discount, next_q, next_log_prob, temperature):
    return reward + discount * (next_q[0] - temperature * next_log_prob)


def target_entropy_added_last(reward, discount, next_q, next_log_prob, temperature):
    return reward + discount * torch.minimum(next_q[0], next_q[1]) + temperature * next_log_prob


def target_over_the_batch(reward, discount, next_q, next_log_prob, temperature):
    return reward + discount * (next_q.min(-1).values - temperature * next_log_prob)


def policy_maximized(q, log_prob, temperature):
    return (q.min(0).values - temperature * log_prob).mean()


def policy_paid_for_certainty(q, log_prob, temperature):
    return -(q.min(0).values + temperature * log_prob).mean()


def policy_one_critic(q, log_prob, temperature):
    return (temperature * log_prob - q[0]).mean()


def policy_mean_critic(q, log_prob, temperature):
    return -(q.mean(0) - temperature * log_prob).mean()


def policy_entropy_detached(q, log_prob, temperature):
    return (temperature * log_prob.detach() - q.min(0).values).mean()


def policy_detached(q, log_prob, temperature):
    return (temperature * log_prob - q.min(0).values).mean().detach()


def policy_per_state(q, log_prob, temperature):
    return temperature * log_prob - torch.minimum(q[0], q[1])


def weights_over_states(q, temperature):
    return torch.softmax(q / temperature, dim=-1).detach()


def weights_times_temperature(q, temperature):
    return torch.softmax(q * temperature, dim=0).detach()


def weights_without_temperature(q, temperature):
    return torch.softmax(q, dim=0).detach()


def weights_overflow(q, temperature):
    weights = torch.exp(q / temperature.detach())
    return weights / weights.sum(0, keepdim=True)


def weights_with_gradient(q, temperature):
    return torch.softmax(q / temperature, dim=0)


def weights_of_advantages(q, temperature):
    return torch.exp((q - q.max(0).values) / temperature).detach()


def dual_of_sums(q, temperature, epsilon):
    return temperature * epsilon + temperature * torch.logsumexp(q / temperature, 0)


def dual_plus_log_n(q, temperature, epsilon):
    return temperature * (epsilon + torch.logsumexp(q / temperature, 0) + math.log(len(q)))


def dual_of_states(q, temperature, epsilon):
    return temperature * (epsilon + torch.logsumexp(q / temperature, 0) - math.log(q.shape[-1]))


def dual_without_factor(q, temperature, epsilon):
    return temperature * epsilon + torch.logsumexp(q / temperature, 0) - math.log(q.shape[0])


def dual_without_bound(q, temperature, epsilon):
    return temperature * (torch.logsumexp(q / temperature, 0) - math.log(q.shape[0]))


def dual_overflows(q, temperature, epsilon):
    mean = torch.exp(q / temperature).mean(0)
    return temperature * epsilon + temperature * torch.log(mean)


def dual_averaged(q, temperature, epsilon):
    log_mean = torch.logsumexp(q / temperature, 0) - math.log(q.shape[0])
    return (temperature * epsilon + temperature * log_mean).mean()


def dual_detached(q, temperature, epsilon):
    eta = temperature.detach()
    return eta * (epsilon + torch.logsumexp(q / eta, 0) - math.log(q.shape[0]))


def _backward(cut, q, next_value, reward, discount):
    target, later = torch.zeros_like(reward), 0.0
    for t in range(len(reward) - 1, -1, -1):
        target[t] = reward[t] + discount[t] * (next_value[t] + later)
        later = cut[t] * (target[t] - q[t])
    return target


def retrace_own_ratio(q, next_value, reward, discount, log_rho, trace_decay):
    cut = trace_decay * torch.exp(log_rho).clamp(max=1.0)
    target, later = torch.zeros_like(reward), 0.0
    for t in range(len(reward) - 1, -1, -1):
        error = reward[t] + discount[t] * next_value[t] - q[t]
        later = cut[t] * (error + discount[t] * later)
        target[t] = q[t] + later
    return target


def retrace_without_truncation(q, next_value, reward, discount, log_rho, trace_decay):
    cut = trace_decay * torch.exp(log_rho)
    return _backward(cut, q, next_value, reward, discount)


def retrace_log_ratio(q, next_value, reward, discount, log_rho, trace_decay):
    cut = trace_decay * torch.minimum(torch.ones_like(log_rho), log_rho)
    return _backward(cut, q, next_value, reward, discount)


def retrace_ignores_lambda(q, next_value, reward, discount, log_rho, trace_decay):
    cut = torch.exp(torch.clamp(log_rho, max=0.0))
    return _backward(cut, q, next_value, reward, discount)


def retrace_forgets_discount(q, next_value, reward, discount, log_rho, trace_decay):
    cut = trace_decay * torch.exp(log_rho).clamp(max=1.0)
    return _backward(cut, q, next_value, reward, torch.ones_like(discount))


def retrace_forgets_q(q, next_value, reward, discount, log_rho, trace_decay):
    cut = trace_decay * torch.exp(log_rho).clamp(max=1.0)
    return _backward(cut, torch.zeros_like(q), next_value, reward, discount)


def retrace_forward(q, next_value, reward, discount, log_rho, trace_decay):
    cut = trace_decay * torch.exp(log_rho).clamp(max=1.0)
    target, later = torch.zeros_like(reward), 0.0
    for t in range(len(reward)):
        target[t] = reward[t] + discount[t] * (next_value[t] + later)
        later = cut[t] * (target[t] - q[t])
    return target


def retrace_list(q, next_value, reward, discount, log_rho, trace_decay):
    cut = trace_decay * torch.exp(log_rho).clamp(max=1.0)
    targets, later = [], 0.0
    for t in range(len(reward) - 1, -1, -1):
        targets.append(reward[t] + discount[t] * (next_value[t] + later))
        later = cut[t] * (targets[-1] - q[t])
    return torch.stack(targets)


def retrace_forgets_value(q, next_value, reward, discount, log_rho, trace_decay):
    cut = trace_decay * torch.exp(log_rho).clamp(max=1.0)
    return _backward(cut, q, torch.zeros_like(q), reward, discount)


def retrace_from_value(q, next_value, reward, discount, log_rho, trace_decay):
    cut = trace_decay * torch.exp(log_rho).clamp(max=1.0)
    target, later = torch.zeros_like(reward), 0.0
    for t in range(len(reward) - 1, -1, -1):
        target[t] = reward[t] + discount[t] * (next_value[t] + later)
        later = cut[t] * (target[t] - next_value[t])
    return target


def retrace_from_value_of_state(q, next_value, reward, discount, log_rho, trace_decay):
    cut = trace_decay * torch.exp(log_rho).clamp(max=1.0)
    target = reward + discount * next_value
    for t in range(len(reward) - 2, -1, -1):
        target[t] += discount[t] * cut[t + 1] * (target[t + 1] - next_value[t])
    return target


def retrace_ratio_of_t(q, next_value, reward, discount, log_rho, trace_decay):
    cut = trace_decay * torch.exp(log_rho).clamp(max=1.0)
    target = reward + discount * next_value
    for t in range(len(reward) - 2, -1, -1):
        target[t] = target[t] + discount[t] * cut[t] * (target[t + 1] - q[t + 1])
    return target


def retrace_ratio_of_t_plus_two(q, next_value, reward, discount, log_rho, trace_decay):
    cut = trace_decay * torch.exp(log_rho).clamp(max=1.0)
    target = reward + discount * next_value
    for t in range(len(reward) - 3, -1, -1):
        target[t] = target[t] + discount[t] * cut[t + 2] * (target[t + 1] - q[t + 1])
    return target


def retrace_wrong_order(q, next_value, reward, discount, log_rho, trace_decay):
    cut = trace_decay * torch.exp(log_rho).clamp(max=1.0)
    target = torch.zeros_like(reward)
    for t in range(len(reward) - 1, -1, -1):
        correction = cut[t] * (target[t] - q[t])
        target[t] = reward[t] + discount[t] * (next_value[t] + correction)
    return target


def retrace_in_place(q, next_value, reward, discount, log_rho, trace_decay):
    cut = trace_decay * torch.exp(log_rho).clamp(max=1.0)
    later = 0.0
    for t in range(len(reward) - 1, -1, -1):
        reward[t] += discount[t] * (next_value[t] + later)
        later = cut[t] * (reward[t] - q[t])
    return reward


def svg_maximized(q, kl, entropy, alpha, alpha_entropy):
    return q - alpha * kl + alpha_entropy * entropy


def svg_kl_rewarded(q, kl, entropy, alpha, alpha_entropy):
    return -(q + alpha * kl + alpha_entropy * entropy)


def svg_entropy_costs(q, kl, entropy, alpha, alpha_entropy):
    return -(q - alpha * kl - alpha_entropy * entropy)


def svg_without_entropy(q, kl, entropy, alpha, alpha_entropy):
    return alpha * kl - q


def svg_weights_swapped(q, kl, entropy, alpha, alpha_entropy):
    return -(q - alpha_entropy * kl + alpha * entropy)


def svg_averaged(q, kl, entropy, alpha, alpha_entropy):
    return -(q - alpha * kl + alpha_entropy * entropy).mean()


def svg_detached(q, kl, entropy, alpha, alpha_entropy):
    return -(q - alpha * kl + alpha_entropy * entropy).detach()


WRONG = {
    "03.squashed_log_prob": (
        Wrong(log_prob_of_u, "density of u"),
        Wrong(log_prob_plus_slope, "subtracted"),
        Wrong(log_prob_unstable, "stable form"),
        Wrong(log_prob_clamped, "small number"),
        Wrong(log_prob_without_factor_two, "factor 2"),
        Wrong(log_prob_softplus_sign, "softplus has the wrong sign"),
        Wrong(log_prob_per_dimension, "per dimension"),
        Wrong(log_prob_first_axis, "shape"),
        Wrong(log_prob_unnormalized, r"log\(std\)"),
    ),
    "03.sac_target": (
        Wrong(target_entropy_sign, "wrong sign"),
        Wrong(target_without_entropy, "entropy is missing"),
        Wrong(target_optimist, "larger critic"),
        Wrong(target_undiscounted_entropy, "multiply the entropy too"),
        Wrong(target_over_the_batch, "RuntimeError"),
        Wrong(target_smallest_of_all, "whole batch"),
        Wrong(target_first_critic, "first critic"),
        Wrong(target_entropy_added_last, "outside the discount"),
    ),
    "03.sac_policy_loss": (
        Wrong(policy_maximized, "minimized"),
        Wrong(policy_paid_for_certainty, "paid for certainty"),
        Wrong(policy_one_critic, "first critic"),
        Wrong(policy_mean_critic, "mean of the two"),
        Wrong(policy_entropy_detached, "gradient reaches log_prob"),
        Wrong(policy_detached, "carries no gradient"),
        Wrong(policy_per_state, "mean over the batch"),
    ),
    "03.mpo_weights": (
        Wrong(weights_over_states, "over states"),
        Wrong(weights_times_temperature, "must be divided"),
        Wrong(weights_without_temperature, "temperature is missing"),
        Wrong(weights_overflow, "overflows"),
        Wrong(weights_with_gradient, "detach"),
        Wrong(weights_of_advantages, "not normalized"),
    ),
    "03.temperature_dual": (
        Wrong(dual_of_sums, "subtract log N"),
        Wrong(dual_plus_log_n, "log N is flipped"),
        Wrong(dual_of_states, "number of states"),
        Wrong(dual_without_factor, "factor eta"),
        Wrong(dual_without_bound, "epsilon is missing"),
        Wrong(dual_overflows, "overflows"),
        Wrong(dual_averaged, "one number per state"),
        Wrong(dual_detached, "do not detach"),
    ),
    "03.retrace": (
        Wrong(retrace_own_ratio, r"start at t \+ 1"),
        Wrong(retrace_without_truncation, "not truncated"),
        Wrong(retrace_log_ratio, "log-ratio"),
        Wrong(retrace_ignores_lambda, "lambda is missing in the traces"),
        Wrong(retrace_forgets_discount, "discount is missing"),
        Wrong(retrace_forgets_q, "counted twice"),
        Wrong(retrace_forward, "runs forward"),
        Wrong(retrace_list, "reversed order"),
        Wrong(retrace_forgets_value, "value of the next state"),
        Wrong(retrace_from_value, "in place of Q"),
        Wrong(retrace_from_value_of_state, "in place of Q"),
        Wrong(retrace_ratio_of_t, r"not c\[t\]"),
        Wrong(retrace_ratio_of_t_plus_two, r"not c\[t\+2\]"),
        Wrong(retrace_wrong_order, "before the target"),
        Wrong(retrace_in_place, "in place"),
    ),
    "03.svg0_policy_loss": (
        Wrong(svg_maximized, "minimized"),
        Wrong(svg_kl_rewarded, "is a cost"),
        Wrong(svg_entropy_costs, "is a bonus"),
        Wrong(svg_without_entropy, "entropy is missing"),
        Wrong(svg_weights_swapped, "swapped"),
        Wrong(svg_averaged, "per step"),
        Wrong(svg_detached, "carries no gradient"),
    ),
}
