"""The best prior for many tasks, a mixture of their policies; and both KLs of densities.

Source: Tirumala et al. 2020, "Behavior Priors for Efficient Reinforcement Learning" (arXiv
2010.14274): for fixed policies pi_w of tasks w the best prior is

    pi*_0(a|x) = sum_w p(w|x) pi_w(a|x).

Symbols: w the leading axis M, p(w|x) `log_weights` or `visits` times `task_weights`, pi*_0 the
result. As in `ops.kl`, a distribution is its log-probabilities on the last axis, in nats.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

_NO_MASS = -math.inf


def log_mixture(
    log_p: Float[Tensor, "M *batch A"], log_weights: Float[Tensor, "M *#batch"]
) -> Float[Tensor, "*batch A"]:
    """Return log sum_w p(w|x) pi_w(a|x), the mixture of M policies.

    With the posterior over tasks as weights this is the optimal prior: of all distributions it
    has the smallest expected KL(pi_w || pi_0).

    Args:
        log_p: log-probabilities of the M policies [M, ..., A].
        log_weights: log p(w|x) [M, ...], normalized over the first axis; [M, 1, ...] broadcasts.

    Returns:
        [..., A]; -inf where no policy of positive weight has mass.

    Raises:
        ValueError: log_weights does not fit the leading axes of log_p.
    """
    leading = log_p.shape[:-1]
    fits = log_weights.ndim == len(leading) and all(
        size in (1, full) for size, full in zip(log_weights.shape[1:], leading[1:], strict=True)
    )
    if not fits or log_weights.shape[0] != leading[0]:
        raise ValueError(
            f"log_weights must have the shape of log_p without its action axis, {list(leading)}"
            f" (1 broadcasts, except in front): got {list(log_weights.shape)}"
        )
    terms = log_p + log_weights.unsqueeze(-1)  # [M, ..., A]
    reachable = (terms != _NO_MASS).any(0)  # [..., A]
    # logsumexp over nothing but -inf has a NaN gradient; mask before and after.
    total = torch.where(reachable, terms, 0.0).logsumexp(0)
    return torch.where(reachable, total, _NO_MASS)


def optimal_log_prior(
    log_policies: Float[Tensor, "M S A"],
    visits: Float[Tensor, "M S"],
    task_weights: Float[Tensor, " M"],
) -> Float[Tensor, "S A"]:
    """Return the prior of least expected discounted KL from the policies of M tasks.

    It is the mixture of the policies with p(w|x) proportional to p(w) times how often task w
    visits x.

    Args:
        log_policies: log pi_w.
        visits: discounted visits of each task's policy, >= 0, in any unit.
        task_weights: p(w) > 0, in any unit.

    Returns:
        log pi_0; where no task ever is, all tasks count alike.

    Raises:
        ValueError: visits are negative, or task weights are not positive.
    """
    if (visits < 0).any() or not (task_weights > 0).all():
        raise ValueError(
            "visits must be >= 0 and task weights > 0, got as smallest"
            f" {visits.min().item():g} and {task_weights.min().item():g}"
        )
    weights = task_weights.unsqueeze(-1) * visits  # [M, S]
    weights = torch.where(weights.sum(0) == 0.0, 1.0, weights)
    return log_mixture(log_policies, weights.log() - weights.sum(0).log())


def density_kls(
    log_p: Float[Tensor, " N"], log_q: Float[Tensor, "*batch N"], width: float
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """Return KL(p || q) and KL(q || p) of densities on a line, as sums over N cells, in nats.

    Args:
        log_p: log-density of p in the middle of each cell, finite.
        log_q: log-densities of any number of q, finite.
        width: of a cell, > 0.

    Raises:
        ValueError: the width is not positive.
    """
    if not width > 0.0:
        raise ValueError(f"width must be positive, got {width}")
    forward = (log_p.exp() * (log_p - log_q)).sum(-1) * width
    reverse = (log_q.exp() * (log_q - log_p)).sum(-1) * width
    return forward, reverse
