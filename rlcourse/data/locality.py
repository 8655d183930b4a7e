"""An order in which rows that lie close together follow one another.

A search through a graph waits for memory more than it computes. Where the keys lie in memory in
such an order, and the queries come in one, much of what a query reads is still in the caches from
the one before it. What is found does not depend on the order.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

_BLOCK = 1 << 24  # distances that are in memory at a time


def by_locality(rows: Float[Tensor, "N D"], num_pivots: int) -> Int[Tensor, " N"]:
    """Return the rows' numbers, ordered by the nearest of a few rows, the pivots.

    Pivots are taken at even steps and are themselves ordered by the nearest of a few of them. Rows
    of one pivot keep their order. Takes time in proportion to N, D and `num_pivots`.

    Raises:
        ValueError: num_pivots < 1.
    """
    if num_pivots < 1:
        raise ValueError(f"num_pivots must be at least 1, got {num_pivots}")
    if len(rows) < 2:
        return torch.arange(len(rows), device=rows.device)
    rows = rows - rows.mean(0)  # far from the origin a matrix product loses digits
    pivots = rows[_evenly(len(rows), num_pivots, rows.device)]
    coarse = pivots[_evenly(len(pivots), round(len(pivots) ** 0.5), rows.device)]
    pivots = pivots[_nearest(pivots, coarse).argsort(stable=True)]
    return _nearest(rows, pivots).argsort(stable=True)


def _evenly(size: int, count: int, device: torch.device) -> Int[Tensor, " C"]:
    """At most `count` of the numbers below `size`, at even steps."""
    count = min(size, count)
    return torch.arange(count, device=device) * size // count


def _nearest(rows: Float[Tensor, "N D"], pivots: Float[Tensor, "P D"]) -> Int[Tensor, " N"]:
    """The number of each row's nearest pivot, but for rounding."""
    norms = pivots.square().sum(-1)
    blocks = rows.split(max(1, _BLOCK // len(pivots)))
    return torch.cat([(norms - 2 * block @ pivots.T).argmin(-1) for block in blocks])
