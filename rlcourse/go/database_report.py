"""How good an index is: what share of the true neighbors it finds, how fast, in how much memory."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rlcourse.data.index import ExactIndex
from rlcourse.data.key_table import direct_distances
from rlcourse.go.key_shards import KeyShards
from rlcourse.go.neighbors import Neighbors, merged, no_neighbors

EXACT_BYTES = 28  # an entry's: id and norm on the device, and 16 on the CPU to find an id
_TOLERANCE = 1e-5  # relative; distances were rounded to float32


class Report(NamedTuple):
    """What `Database.report` measures."""

    recall: float  # share of the true neighbors that were found, or others as near
    key_seconds: float  # for a query: keys of its boards
    search_seconds: float  # for a query: search, without its keys
    index_bytes: float  # for a position: file of FAISS, or arrays of an exact index
    key_bytes: float  # for a position: keys on disk
    num_positions: int  # that can be found

    def __str__(self) -> str:
        """In one line."""
        times = f"{1e3 * self.search_seconds:.2f} ms a query, {1e3 * self.key_seconds:.2f} ms for"
        size = f"{self.index_bytes:.0f} bytes in the index and {self.key_bytes:.0f} for the key"
        return (
            f"{self.num_positions:,} positions: recall {self.recall:.3f}, {times} its keys, {size}"
            " of each position"
        )


class StoredIndex:
    """An exact search over keys on disk, of which one block is in memory at a time.

    Args:
        shards: the keys.
        ids: positions to search among.
        rows: of a block.
        device: of the search.
    """

    def __init__(
        self, shards: KeyShards, ids: Int[Tensor, " N"], rows: int, device: torch.device
    ) -> None:
        self.shards, self.ids, self.rows, self.device = shards, ids, rows, device

    def __len__(self) -> int:
        """Number of positions."""
        return len(self.ids)

    def search(
        self, queries: Float[Tensor, "B D"], k: int
    ) -> tuple[Float[Tensor, "B K"], Int[Tensor, "B K"]]:
        """Squared distances and ids of the k nearest, as `ExactIndex.search` returns them."""
        best = no_neighbors(len(queries), k)
        for keys, ids in self.shards.blocks(self.ids, self.rows):
            index = ExactIndex(self.shards.dim, self.device)
            index.add(keys, ids)
            distances, found = index.search(queries, k)
            best = merged([best, Neighbors(found, distances, torch.zeros_like(found))], k)
        return best.distances, best.ids


def recall_of(
    queries: Float[Tensor, "B S D"], found: Neighbors, truth: Neighbors, shards: KeyShards
) -> float:
    """Share of the true neighbors that were found, where one as near as the last counts as well.

    Many positions of Go are alike: equal distances are common, and which of them is found is open.

    Args:
        queries: keys of the boards that were searched: the nearest of them counts.
        found: on the CPU; the distances in it, which may be rough, are not used.
        truth: on the CPU, of an exact search for as many neighbors.
        shards: the keys.

    Raises:
        ValueError: another shape, or no true neighbor at all.
    """
    if truth.ids.shape != found.ids.shape:
        raise ValueError(
            f"truth must have shape {list(found.ids.shape)}, got {list(truth.ids.shape)}: ask"
            " `retrieve_exactly` for the same positions and k"
        )
    real = truth.ids >= 0
    if not real.any():
        raise ValueError("there is no true neighbor: recall is not defined")
    hits = 0
    for query, ids, distances in zip(queries, found.ids, truth.distances, strict=True):
        ids = ids[ids >= 0]
        near = direct_distances(query, shards.rows(ids)[None]).min(0).values
        last = distances[distances.isfinite()].max().item() if distances.isfinite().any() else -1
        hits += int((near <= last * (1 + _TOLERANCE)).sum())
    return hits / int(real.sum())
