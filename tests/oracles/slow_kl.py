"""KL-regularized policies over lists of probabilities, in plain Python."""

import math


def kl(p, q):
    total = 0.0
    for p_a, q_a in zip(p, q, strict=True):
        if p_a == 0.0:
            continue
        if q_a == 0.0:
            return math.inf
        total += p_a * math.log(p_a / q_a)
    return total


def soft_value(q, prior, alpha):
    return alpha * math.log(sum(p * math.exp(v / alpha) for p, v in zip(prior, q, strict=True)))


def boltzmann_policy(q, prior, alpha):
    weights = [p * math.exp(v / alpha) for p, v in zip(prior, q, strict=True)]
    return [w / sum(weights) for w in weights]
