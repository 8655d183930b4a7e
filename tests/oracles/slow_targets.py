"""The returns of `rlcourse.ops.targets` as plain sums, straight from the definitions."""

import math


def discounted_return(reward_t, discount_t, bootstrap_value, start):
    """sum_k (prod_{i<k} discount) reward, plus the discounted value at the end."""
    total, weight = 0.0, 1.0
    for t in range(start, len(reward_t)):
        total += weight * reward_t[t]
        weight *= discount_t[t]
    return total + weight * bootstrap_value


def n_step_return(reward_t, discount_t, value_t, n, start):
    """The discounted return of the next n transitions, or of those there are."""
    end = min(start + n, len(reward_t))
    return discounted_return(reward_t[:end], discount_t[:end], value_t[end - 1], start)


def lambda_return(reward_t, discount_t, value_t, lambda_, start):
    """(1 - lambda) sum_n lambda^{n-1} G_n, the rest of the weight on the longest."""
    longest = len(reward_t) - start
    total = 0.0
    for n in range(1, longest + 1):
        weight = lambda_ ** (n - 1) * (1.0 if n == longest else 1.0 - lambda_)
        total += weight * n_step_return(reward_t, discount_t, value_t, n, start)
    return total


def retrace(q_tm1, value_t, reward_t, discount_t, log_rho_tm1, lambda_t, start):
    """q + sum_s (prod_{start<i<=s} discount c_i) (reward_s + discount_s value_s - q_s).

    The form of the paper, with its product from start + 1 on.
    """
    total, weight = q_tm1[start], 1.0
    for s in range(start, len(reward_t)):
        if s > start:
            c = lambda_t[s - 1] * min(1.0, math.exp(log_rho_tm1[s]))
            weight *= discount_t[s - 1] * c
        total += weight * (reward_t[s] + discount_t[s] * value_t[s] - q_tm1[s])
    return total
