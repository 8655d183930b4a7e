"""Gaussians and MPO's sums in plain Python, one number at a time."""

import math


def normal_density(x, mean, std):
    return math.exp(-0.5 * ((x - mean) / std) ** 2) / (std * math.sqrt(2 * math.pi))


def normal_kl(mean_p, std_p, mean_q, std_q, steps=40_000, width=12.0):
    """KL(p || q) in one dimension by the trapezoid rule over p's bulk."""
    low, step = mean_p - width * std_p, 2 * width * std_p / steps
    total = 0.0
    for i in range(steps + 1):
        x = low + i * step
        log_ratio = math.log(std_q / std_p) - 0.5 * ((x - mean_p) / std_p) ** 2
        log_ratio += 0.5 * ((x - mean_q) / std_q) ** 2
        total += step * normal_density(x, mean_p, std_p) * log_ratio
    return total


def weights(values, temperature):
    raised = [math.exp(value / temperature) for value in values]
    return [r / sum(raised) for r in raised]


def temperature_dual(values_by_state, temperature, epsilon):
    """eta epsilon + eta E_s log E_a exp(q / eta)."""
    logs = [
        math.log(sum(math.exp(v / temperature) for v in values) / len(values))
        for values in values_by_state
    ]
    return temperature * (epsilon + sum(logs) / len(logs))
