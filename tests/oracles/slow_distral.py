"""DISTRAL over plain lists, straight from the equations of Teh et al. 2017."""

import math


def value(q, prior, alpha, beta):
    return (
        math.log(sum(p**alpha * math.exp(beta * v) for p, v in zip(prior, q, strict=True))) / beta
    )


def policy(q, prior, alpha, beta):
    v = value(q, prior, alpha, beta)
    return [p**alpha * math.exp(beta * (x - v)) for p, x in zip(prior, q, strict=True)]


def objective(reward, policy, prior, kl_cost, entropy_cost):
    """One state, one step: E[R] - c_KL KL(pi || pi_0) + c_Ent H(pi)."""
    total = 0.0
    for r, p, p_0 in zip(reward, policy, prior, strict=True):
        total += p * (r - kl_cost * math.log(p / p_0) - entropy_cost * math.log(p))
    return total


def two_columns(prior_logits, task_logits, alpha, beta):
    weights = [
        math.exp(alpha * h + beta * f) for h, f in zip(prior_logits, task_logits, strict=True)
    ]
    return [w / sum(weights) for w in weights]
