"""Nearest neighbors under squared Euclidean distance, exact, in torch on any device.

`ExactIndex` and `data.faiss_index.FaissIndex` keep the contract of `types.Index`. Keys are float32
and held without gradient; ids are int64, >= 0, and chosen by the caller. A search for more
neighbors than there are keys pads with distance inf and id -1.

FAISS and torch each bring an OpenMP, whose spinning threads can slow one another down many times.
Where both work in one process, set OMP_WAIT_POLICY=PASSIVE before the first import, or give both
one thread. Nothing here changes the number of threads.
"""

from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rlcourse.data.key_table import (
    KeyTable,
    check_dim,
    check_ids,
    check_keys,
    check_saved_count,
    check_search,
    direct_distances,
    ranked,
    read_index,
    write_index,
)

# Unit roundoff of a matrix product of float32, by torch's setting of its precision.
_ROUNDOFF = {"highest": 2.0**-24, "high": 2.0**-10, "medium": 2.0**-8}


class ExactIndex:
    """All keys are compared with the query; ties go to the smaller id.

    A matrix product finds candidates quickly but loses digits where keys lie close together. The
    distances of the candidates are therefore computed again in float64 from the differences, and a
    bound on the rounding of the product proves that no other key is as near. Queries for which it
    does not are searched a second time from the differences alone, which is slower.

    Args:
        dim: D, at least 1.
        device: where the keys are kept and searched.
        work_bytes: bound on the memory for distances and candidates during a search, at least 1 MB;
            one query with its candidates is held even where that is more.

    Raises:
        ValueError: a setting out of its range.
    """

    def __init__(
        self, dim: int, device: torch.device | str = "cpu", work_bytes: int = 1 << 28
    ) -> None:
        check_dim(dim)
        if work_bytes < 1 << 20:
            raise ValueError(f"work_bytes must be at least {1 << 20}, got {work_bytes}")
        self.dim, self.device, self.work_bytes = dim, torch.device(device), work_bytes
        self._table = KeyTable(dim, self.device)
        self._norms: Tensor | None = None  # [N] |key|^2; None once keys have changed

    def __len__(self) -> int:
        """Number of keys held."""
        return len(self._table)

    def add(self, keys: Float[Tensor, "N D"], ids: Int[Tensor, " N"]) -> None:
        """Hold keys under new ids.

        Raises:
            ValueError: ids that are held, repeated or negative; keys that do not fit or are not
                finite. Nothing is added then.
        """
        keys = check_keys(keys, self.dim)
        check_ids(ids, len(keys), self._table, held=False)
        self._table.add_(keys.to(self.device), ids.to(self.device))
        self._norms = None

    def update(self, keys: Float[Tensor, "N D"], ids: Int[Tensor, " N"]) -> None:
        """Replace the keys of ids that are held.

        Raises:
            ValueError: as for `add`, or ids that are not held. Nothing is changed then.
        """
        keys = check_keys(keys, self.dim)
        check_ids(ids, len(keys), self._table, held=True)
        self._table.rows[self._table.find(ids).to(self.device)] = keys.to(self.device)
        self._norms = None

    def remove(self, ids: Int[Tensor, " N"]) -> None:
        """Forget ids.

        Raises:
            ValueError: ids that are not held, or repeated. Nothing is removed then.
        """
        check_ids(ids, None, self._table, held=True)
        self._table.remove_(ids)
        self._norms = None

    def search(
        self, queries: Float[Tensor, "B D"], k: int
    ) -> tuple[Float[Tensor, "B K"], Int[Tensor, "B K"]]:
        """Return the squared distances and the ids of the k nearest keys, on the queries' device.

        Raises:
            ValueError: k < 1, an empty index, or queries that do not fit or are not finite.
        """
        home = queries.device
        queries = check_search(queries, self.dim, k, len(self)).to(self.device)
        candidates = min(len(self), 2 * k + 16)
        block = self.work_bytes // 2 // (candidates * (24 * self.dim + 64))
        block = min(max(1, block), 1024)
        if self._norms is None:
            self._norms = torch.linalg.vector_norm(self._table.rows, dim=-1).square_()
        norms = self._norms
        parts = [self._search_block(part, norms, k, candidates) for part in queries.split(block)]
        distances, ids = (torch.cat(part) for part in zip(*parts, strict=True))
        return distances.to(home), ids.to(home)

    def save(self, path: str | Path, about: str = "") -> None:
        """Write the index to a file, which is complete or as it was before at every moment.

        Args:
            path: in a folder that exists.
            about: what made the keys, such as the checksum of a network; compared by `load`.

        Raises:
            OSError: the file cannot be written.
        """
        fingerprint = {"kind": "exact", "dim": self.dim, "count": len(self), "about": about}
        rows, ids = self._table.rows, self._table.ids
        write_index(path, fingerprint, {"keys": rows.cpu().clone(), "ids": ids.cpu().clone()})

    @classmethod
    def load(
        cls,
        path: str | Path,
        about: str | None = None,
        device: torch.device | str = "cpu",
        work_bytes: int = 1 << 28,
    ) -> "ExactIndex":
        """Return the index that `save` wrote; executes no code.

        Raises:
            FileNotFoundError: no such file.
            ValueError: a damaged or foreign file, or one that is not `about` these keys.
        """
        fingerprint, content = read_index(path, "exact", about)
        index = cls(fingerprint["dim"], device, work_bytes)
        index.add(content["keys"], content["ids"])
        check_saved_count(path, len(index), fingerprint["count"])
        return index

    def _search_block(
        self, queries: Tensor, norms: Tensor, k: int, candidates: int
    ) -> tuple[Tensor, Tensor]:
        rows, ids = self._table.rows, self._table.ids
        scores, places = self._candidates(queries, norms, candidates)
        exact = direct_distances(queries, rows[places])
        distances, found = ranked(exact, ids[places], k)
        if candidates == len(self):
            return distances, found
        # A key left out has a score (distance less |q|^2) of at least the last one's, less the
        # rounding of (D + 3) products and sums, and of the root and its square in the norms.
        lengths = queries.double().square().sum(-1)
        largest = norms.max().double().sqrt() * 1.001
        unit = (self.dim + 8) * _ROUNDOFF[torch.get_float32_matmul_precision()]
        slack = 1.01 * unit * (largest**2 + 2 * largest * lengths.sqrt())
        kth = exact.sort(-1).values[:, min(k, candidates) - 1]
        open_ = scores[:, -1].double() + lengths - slack <= kth * (1 + 1e-9)
        if open_.any():
            distances[open_], found[open_] = self._search_directly(queries[open_], k)
        return distances, found

    def _candidates(self, queries: Tensor, norms: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """The lowest |key|^2 - 2 query key [B, C] in ascending order, and their rows."""
        width = self.work_bytes // 2 // (12 * max(1, len(queries)))
        best = queries.new_zeros(len(queries), 0)
        places = best.long()
        for start in range(0, len(self), width):
            rows = self._table.rows[start : start + width]
            scores = torch.addmm(norms[start : start + width], queries, rows.T, alpha=-2)
            values, at = scores.topk(min(count, len(rows)), largest=False)
            best, places = torch.cat([best, values], -1), torch.cat([places, at + start], -1)
            best, order = best.topk(min(count, best.shape[1]), largest=False, sorted=True)
            places = places.gather(-1, order)
        return best, places

    def _search_directly(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """`search` from the differences alone, for a few queries."""
        width = max(1, self.work_bytes // 2 // (24 * self.dim))
        results = []
        for query in queries[:, None]:
            pairs = zip(self._table.rows.split(width), self._table.ids.split(width), strict=True)
            best, ids = query.new_zeros(1, 0).double(), query.new_zeros(1, 0).long()
            for rows, row_ids in pairs:
                best = torch.cat([best, direct_distances(query, rows[None])], -1)
                ids = torch.cat([ids, row_ids[None]], -1)
                by_id = ids.argsort(-1)
                best, ids = best.gather(-1, by_id), ids.gather(-1, by_id)
                order = best.argsort(dim=-1, stable=True)[:, :k]
                best, ids = best.gather(-1, order), ids.gather(-1, order)
            results.append(ranked(best, ids, k))
        distances, ids = (torch.cat(part) for part in zip(*results, strict=True))
        return distances, ids


def recall(found: Int[Tensor, "B F"], true: Int[Tensor, "B K"]) -> float:
    """Share of the true neighbors that are among the F found, in [0, 1]; the order does not count.

    Padding (-1) among the true ids is left out.

    Raises:
        ValueError: no true neighbor at all, or another number of queries.
    """
    if len(found) != len(true):
        raise ValueError(f"{len(found)} queries were searched, but {len(true)} have true neighbors")
    real = true >= 0
    if not real.any():
        raise ValueError("there is no true neighbor: recall is not defined")
    hit = (true[:, :, None] == found[:, None, :].to(true.device)).any(-1) & real
    return (hit.sum() / real.sum()).item()
