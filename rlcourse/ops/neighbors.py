"""Exact nearest neighbors by a matrix product, in blocks.

    |q - k|^2 = |q|^2 - 2 q k + |k|^2                                               (distance)

One product gives all pairs of queries and keys, and the best so far of each query are kept while
the blocks of keys pass by: the memory does not grow with the number of keys. What an agent or a
database uses is `data.index.ExactIndex`, which bounds the rounding too.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def nearest(
    queries: Float[Tensor, "B D"], keys: Float[Tensor, "N D"], k: int, block: int = 8192
) -> tuple[Float[Tensor, "B K"], Int[Tensor, "B K"]]:
    """The k nearest keys of each query, nearest first, as squared distances and rows of `keys`.

    Args:
        queries, keys: of one floating dtype, on one device.
        k: at most N.
        block: keys that are compared at a time.

    Raises:
        ValueError: k is not in [1, N], or block < 1.
    """
    if not 1 <= k <= len(keys):
        raise ValueError(f"k must lie in [1, {len(keys)}], the number of keys, got {k}")
    if block < 1:
        raise ValueError(f"block must be at least 1, got {block}")
    best = queries.new_zeros(len(queries), 0)
    rows = torch.zeros(len(queries), 0, dtype=torch.int64, device=queries.device)
    own = queries.square().sum(-1, keepdim=True)  # [B, 1]
    for start in range(0, len(keys), block):
        part = keys[start : start + block]
        distance = own - 2 * queries @ part.T + part.square().sum(-1)  # (distance) [B, block]
        place = torch.arange(start, start + len(part), device=rows.device).expand(len(rows), -1)
        best, rows = torch.cat([best, distance], -1), torch.cat([rows, place], -1)
        best, order = best.topk(min(k, best.shape[1]), largest=False)
        rows = rows.gather(-1, order)
    return best.clamp(min=0.0), rows
