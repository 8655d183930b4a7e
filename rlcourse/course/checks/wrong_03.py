"""Plausible wrong answers to the exercises of notebook 03, by which a check names the mistake."""

import math

import torch
from torch import Tensor
from torch.nn.functional import softplus

from rlcourse.course.grading import Mistake
from rlcourse.ops.distributions import DiagonalGaussian


def log_normal(pre_tanh: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """log N(u; mean, std) per dimension."""
    distance = (pre_tanh - mean) / std
    return -0.5 * distance.square() - std.log() - 0.5 * math.log(2 * math.pi)


def log_slope(pre_tanh: Tensor) -> Tensor:
    """log(1 - tanh(u)^2) per dimension."""
    return 2 * (math.log(2) - pre_tanh - softplus(-2 * pre_tanh))


def no_change_of_variables(pre_tanh: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return DiagonalGaussian(mean, std).log_prob(pre_tanh)


def slope_added(pre_tanh: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return (log_normal(pre_tanh, mean, std) + log_slope(pre_tanh)).sum(-1)


def naive_slope(pre_tanh: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    slope = (1 - pre_tanh.tanh().square()).log()
    return (log_normal(pre_tanh, mean, std) - slope).sum(-1)


def padded_slope(pre_tanh: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    slope = (1 - pre_tanh.tanh().square() + 1e-6).log()
    return (log_normal(pre_tanh, mean, std) - slope).sum(-1)


def half_slope(pre_tanh: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return (log_normal(pre_tanh, mean, std) - 0.5 * log_slope(pre_tanh)).sum(-1)


def softplus_of_plus(pre_tanh: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    slope = 2 * (math.log(2) - pre_tanh - softplus(2 * pre_tanh))
    return (log_normal(pre_tanh, mean, std) - slope).sum(-1)


def not_summed(pre_tanh: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return log_normal(pre_tanh, mean, std) - log_slope(pre_tanh)


def averaged(pre_tanh: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return not_summed(pre_tanh, mean, std).mean(-1)


def std_not_in_normalizer(pre_tanh: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return (not_summed(pre_tanh, mean, std) + std.log()).sum(-1)


def no_two_pi(pre_tanh: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return (not_summed(pre_tanh, mean, std) + 0.5 * math.log(2 * math.pi)).sum(-1)


def std_as_variance(pre_tanh: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return not_summed(pre_tanh, mean, std.sqrt()).sum(-1)


def retrace_with(
    traces: Tensor,
    q: Tensor,
    next_value: Tensor,
    reward: Tensor,
    discount: Tensor,
    shift: int = 1,
) -> Tensor:
    """The recursion with other traces [T], or with those of another step."""
    target, correction = torch.empty_like(reward), torch.zeros_like(reward[0])
    for t in reversed(range(len(reward))):
        if shift == 0:
            error = reward[t] + discount[t] * next_value[t] - q[t]
            correction = traces[t] * (error + discount[t] * correction)
            target[t] = q[t] + correction
        else:
            target[t] = reward[t] + discount[t] * (next_value[t] + correction)
            correction = traces[t] * (target[t] - q[t])
    return target


def traces(log_rho: Tensor, trace_decay: float) -> Tensor:
    """c = lambda min(1, rho)."""
    return trace_decay * log_rho.clamp(max=0.0).exp()


def retrace_from_t(q, next_value, reward, discount, log_rho, trace_decay):
    cut = traces(log_rho, trace_decay)
    return retrace_with(cut, q, next_value, reward, discount, shift=0)


def retrace_untruncated(q, next_value, reward, discount, log_rho, trace_decay):
    return retrace_with(trace_decay * log_rho.exp(), q, next_value, reward, discount)


def retrace_on_policy(q, next_value, reward, discount, log_rho, trace_decay):
    return retrace_with(torch.full_like(log_rho, trace_decay), q, next_value, reward, discount)


def retrace_without_lambda(q, next_value, reward, discount, log_rho, trace_decay):
    return retrace_with(traces(log_rho, 1.0), q, next_value, reward, discount)


def retrace_lambda_inside(q, next_value, reward, discount, log_rho, trace_decay):
    cut = (trace_decay * log_rho.exp()).clamp(max=1.0)
    return retrace_with(cut, q, next_value, reward, discount)


def retrace_of_logs(q, next_value, reward, discount, log_rho, trace_decay):
    return retrace_with(trace_decay * log_rho.clamp(max=1.0), q, next_value, reward, discount)


def retrace_undiscounted(q, next_value, reward, discount, log_rho, trace_decay):
    cut = traces(log_rho, trace_decay)
    return retrace_with(cut, q, next_value, reward, torch.ones_like(discount))


def retrace_one_step(q, next_value, reward, discount, log_rho, trace_decay):
    return reward + discount * next_value


def retrace_without_q(q, next_value, reward, discount, log_rho, trace_decay):
    cut = traces(log_rho, trace_decay)
    return retrace_with(cut, torch.zeros_like(q), next_value, reward, discount)


def retrace_error_only(q, next_value, reward, discount, log_rho, trace_decay):
    cut = traces(log_rho, trace_decay)
    return retrace_with(cut, q, next_value, reward, discount) - q


def retrace_reversed(q, next_value, reward, discount, log_rho, trace_decay):
    cut = traces(log_rho, trace_decay)
    return retrace_with(cut, q, next_value, reward, discount).flip(0)


def retrace_forward(q, next_value, reward, discount, log_rho, trace_decay):
    flipped = (x.flip(0) for x in (traces(log_rho, trace_decay), q, next_value, reward, discount))
    return retrace_with(*flipped).flip(0)


def retrace_without_value(q, next_value, reward, discount, log_rho, trace_decay):
    cut = traces(log_rho, trace_decay)
    return retrace_with(cut, q, torch.zeros_like(next_value), reward, discount)


def retrace_minus_value(q, next_value, reward, discount, log_rho, trace_decay):
    cut = traces(log_rho, trace_decay)
    return retrace_with(cut, next_value, next_value, reward, discount)


def retrace_minus_value_at_t(q, next_value, reward, discount, log_rho, trace_decay):
    cut = traces(log_rho, trace_decay)
    value = torch.cat([q[:1], next_value[:-1]])  # V[t]; that of step 0 is not used
    return retrace_with(cut, value, next_value, reward, discount)


def retrace_trace_too_early(q, next_value, reward, discount, log_rho, trace_decay):
    cut = traces(log_rho, trace_decay)
    earlier = torch.cat([cut[:1], cut[:-1]])  # the factor of step t stands at t + 1
    return retrace_with(earlier, q, next_value, reward, discount)


def retrace_trace_too_late(q, next_value, reward, discount, log_rho, trace_decay):
    cut = traces(log_rho, trace_decay)
    later = torch.cat([cut[1:], torch.zeros_like(cut[:1])])
    return retrace_with(later, q, next_value, reward, discount)


def retrace_correction_first(q, next_value, reward, discount, log_rho, trace_decay):
    """target[t] is still 0 when the correction is computed from it."""
    return reward + discount * (next_value - traces(log_rho, trace_decay) * q)


OF_RETRACE = (
    Mistake(
        "The product of traces starts at t, and it must start at t + 1: the action that "
        "the target is for was taken, whatever its probability",
        retrace_from_t,
    ),
    Mistake(
        "The ratio is not truncated: c = lambda * min(1, rho), or one rare action counts "
        "a hundredfold",
        retrace_untruncated,
    ),
    Mistake(
        "The ratios are missing: this is right only where the data are on-policy",
        retrace_on_policy,
    ),
    Mistake(
        "The factor lambda is missing in the traces: c = lambda * min(1, rho)",
        retrace_without_lambda,
    ),
    Mistake(
        "The factor lambda is inside the minimum: c = lambda * min(1, rho), truncate first",
        retrace_lambda_inside,
    ),
    Mistake(
        "The log-ratio is used as the ratio: take its exp first",
        retrace_of_logs,
    ),
    Mistake(
        "The discount is missing; it is also what stops the target at the end of an episode",
        retrace_undiscounted,
    ),
    Mistake(
        "This is the one-step target: the correction c[t+1] (G[t+1] - Q[t+1]) is missing",
        retrace_one_step,
    ),
    Mistake(
        "The correction is c[t+1] (G[t+1] - Q[t+1]): - Q is missing, so that values are "
        "counted twice",
        retrace_without_q,
    ),
    Mistake(
        "This is the correction alone: the target is for Q, add Q to it",
        retrace_error_only,
    ),
    Mistake(
        "The targets are in reversed order: the loop runs from the last step to the first, "
        "so a list that grows in the loop must be turned around",
        retrace_reversed,
    ),
    Mistake(
        "The loop runs forward: the target of step t needs the one of t + 1, so start at "
        "the last step",
        retrace_forward,
    ),
    Mistake(
        "The value of the next state is missing: add next_value[t] inside the parentheses",
        retrace_without_value,
    ),
    Mistake(
        "The correction is G[t+1] minus Q[t+1] of the action taken; here V stands in place of Q",
        retrace_minus_value,
    ),
    Mistake(
        "The correction is G[t+1] minus Q[t+1] of the action taken; here V stands in place of Q",
        retrace_minus_value_at_t,
    ),
    Mistake(
        "The trace is one step too early: the correction of step t + 1 has the factor "
        "c[t+1], not c[t]",
        retrace_trace_too_early,
    ),
    Mistake(
        "The trace is one step too late: the correction of step t + 1 has the factor "
        "c[t+1], not c[t+2]",
        retrace_trace_too_late,
    ),
    Mistake(
        "The correction is set before the target of its step: first write target[t] with "
        "the old correction, then set the new one from it",
        retrace_correction_first,
    ),
)
