"""Nearest neighbors in FAISS: exact, or approximate at a fraction of the time and memory."""

from pathlib import Path
from typing import Any

import numpy as np
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
    first,
    in_order,
    ranked,
    read_index,
    write_index,
)
from rlcourse.data.locality import by_locality

_SETTINGS = ("nprobe", "ef", "rerank", "ef_construction")
_EF_CONSTRUCTION = 40  # FAISS's own
_REORDER_FROM = 1000  # rows; fewer gain nothing
_QUERY_PIVOTS = 64  # more order better, but cost more than they save
_KEY_PIVOTS = 1024


class FaissIndex:
    """An index of FAISS on the CPU, named by the string of its index factory.

    | factory | search | memory an entry of D numbers, in bytes |
    |---|---|---|
    | `Flat` | exact but for rounding | 4 D + 8 |
    | `IVF1024,Flat` | the `nprobe` nearest of 1024 lists | 4 D + 8 |
    | `IVF4096,PQ32x4fs` | the same, on codes of 32 times 4 bits | 16 + 8 |
    | `IVF4096,PQ32x4fs,Refine(SQ8)` | the same, re-ranked by codes of 8 bits | 16 + D + 16 |
    | `HNSW32` | a graph, `ef` candidates wide; nothing can be removed | 4 D + 256 + 8 or more |

    To each come 24 bytes for its id, and 4 D where `rerank` keeps the keys.

    `Flat` computes distances by a matrix product, which loses digits where keys lie close together;
    codes alone give rough distances. `rerank` mends both. Among equal distances the smaller id
    comes first, but which of the keys at the distance of the last neighbor are found is open.

    A graph waits for memory most of the time. Of 1000 rows or more in a call, those that lie close
    together are therefore added or searched one after another (`data.locality`); ids and results
    keep the order of the caller.

    Args:
        dim: D, at least 1.
        factory: without transforms of the keys; a transform belongs to what makes them.
        nprobe: lists visited by a query; None: FAISS's default of 1. Only with IVF.
        ef: candidates of a graph; None: FAISS's default of 16. Only with HNSW.
        ef_construction: candidates among which a key that is added to a graph looks for its
            neighbors; None: FAISS's default of 40. Adding takes longer in proportion, and the same
            `ef` finds more. Only with HNSW.
        rerank: 0: none. Otherwise the best `rerank` times k are ordered by the distances to the
            exact keys, which are kept for that, or where the factory refines, to its finer codes.

    Raises:
        ValueError: a factory that FAISS does not know or that transforms keys, or a setting out of
            its range or without a meaning for the factory.
    """

    def __init__(
        self,
        dim: int,
        factory: str,
        nprobe: int | None = None,
        ef: int | None = None,
        rerank: int = 0,
        ef_construction: int | None = None,
    ) -> None:
        check_dim(dim)
        self.dim, self.factory = dim, factory
        self._adopt(_make(dim, factory))
        self.nprobe, self.ef, self.rerank = nprobe, ef, rerank
        self.ef_construction = ef_construction
        self._parameters()  # reports settings that do not fit
        self._table = KeyTable(dim if self._keeps_keys else 0)

    def __len__(self) -> int:
        """Number of keys held."""
        return len(self._table)

    @property
    def is_trained(self) -> bool:
        """Whether keys can be added."""
        return self._index.is_trained

    def train(self, sample: Float[Tensor, "N D"]) -> None:
        """Fit lists and codes to a sample of the keys; what needs no training ignores it.

        40 keys a list are enough. The sample is not added. FAISS draws from generators of its own
        with fixed seeds, so that the result depends on the sample alone.

        Raises:
            ValueError: the index holds keys already, or the sample does not fit, is not finite or
                is too small.
        """
        if len(self):
            raise ValueError(f"the index holds {len(self)} keys already: train before adding")
        sample = check_keys(sample, self.dim, "sample")
        self._set_construction()
        try:
            self._index.train(_array(sample))
        except RuntimeError as error:
            raise ValueError(
                f"{len(sample)} keys are too few to train {self.factory!r}: give at least 40 a"
                " list, or choose fewer lists"
            ) from error

    def add(self, keys: Float[Tensor, "N D"], ids: Int[Tensor, " N"]) -> None:
        """Hold keys under new ids.

        Raises:
            ValueError: the index is not trained; ids that are held, repeated or negative; keys that
                do not fit or are not finite. Nothing is added then.
        """
        keys = check_keys(keys, self.dim)
        check_ids(ids, len(keys), self._table, held=False)
        if not self.is_trained:
            raise ValueError(f"{self.factory!r} is not trained: call `train` with a sample first")
        if len(ids):
            self._set_construction()
            keys, ids = keys.cpu(), ids.cpu()
            if self._reorders(len(keys)) and not self._lists:  # these have an order of their own
                order = by_locality(keys, _KEY_PIVOTS)
                keys, ids = keys[order], ids[order]
            self._index.add_with_ids(_array(keys), _array(ids))
            self._table.add_(keys[:, : self._table.width], ids)

    def update(self, keys: Float[Tensor, "N D"], ids: Int[Tensor, " N"]) -> None:
        """Replace the keys of ids that are held.

        Raises:
            ValueError: as for `add` and `remove`. Nothing is changed then.
        """
        keys = check_keys(keys, self.dim)
        check_ids(ids, len(keys), self._table, held=True)
        self.remove(ids)
        self.add(keys, ids)

    def remove(self, ids: Int[Tensor, " N"]) -> None:
        """Forget ids. Takes time in proportion to the number of keys held.

        Raises:
            ValueError: ids that are not held, or repeated; or an index that cannot forget. Nothing
                is removed then.
        """
        check_ids(ids, None, self._table, held=True)
        if not len(ids):
            return
        try:
            self._index.remove_ids(_array(ids))
        except RuntimeError as error:
            raise ValueError(
                f"{self.factory!r} cannot forget keys: choose Flat or IVF, or build it anew"
            ) from error
        self._table.remove_(ids.cpu())

    def search(
        self, queries: Float[Tensor, "B D"], k: int
    ) -> tuple[Float[Tensor, "B K"], Int[Tensor, "B K"]]:
        """Return the squared distances and the ids of the k nearest keys, on the queries' device.

        With IVF there may be fewer than k although more are held, where the visited lists are
        short: then too the rest is inf and -1.

        Raises:
            ValueError: k < 1, an empty index, or queries that do not fit or are not finite.
        """
        home = queries.device
        queries = check_search(queries, self.dim, k, len(self)).cpu()
        count = min(len(self), k * max(1, self.rerank if self._keeps_keys else 1))
        distances, ids = self._candidates(queries, count)
        distances = distances.masked_fill(ids < 0, torch.inf)
        if self._keeps_keys:
            distances = self._exact_distances(queries, ids)
        # FAISS leaves only ties out of order: sorting takes ten times as long as looking for them.
        distances, ids = (first if in_order(distances, ids) else ranked)(distances, ids, k)
        return distances.to(home), ids.to(home)

    def save(self, path: str | Path, about: str = "") -> None:
        """Write the index to a file, which is complete or as it was before at every moment.

        Takes as much memory again as the index while it writes.

        Args:
            path: in a folder that exists.
            about: what made the keys, such as the checksum of a network; compared by `load`.

        Raises:
            OSError: the file cannot be written.
        """
        settings = {name: getattr(self, name) for name in _SETTINGS}
        fingerprint = {"kind": "faiss", "dim": self.dim, "count": len(self), "about": about}
        fingerprint |= {"factory": self.factory, "settings": settings}
        content = {
            "index": torch.from_numpy(_faiss().serialize_index(self._index)),
            "keys": self._table.rows.clone(),
            "ids": self._table.ids.clone(),
        }
        write_index(path, fingerprint, content)

    @classmethod
    def load(cls, path: str | Path, about: str | None = None) -> "FaissIndex":
        """Return the index that `save` wrote, with its settings; executes no code.

        Raises:
            FileNotFoundError: no such file.
            ValueError: a damaged or foreign file, or one that is not `about` these keys.
        """
        fingerprint, content = read_index(path, "faiss", about)
        index = cls(fingerprint["dim"], fingerprint["factory"], **fingerprint["settings"])
        try:
            held = _faiss().deserialize_index(content["index"].numpy())
        except RuntimeError as error:
            raise ValueError(f"{path} is damaged: build and save it again") from error
        if type(held) is not type(index._index) or held.d != index.dim:
            raise ValueError(f"{path} does not hold the {index.factory!r} that it names")
        index._adopt(held)
        check_saved_count(path, held.ntotal, fingerprint["count"])
        check_saved_count(path, len(content["ids"]), fingerprint["count"])
        index._table.add_(content["keys"], content["ids"])
        return index

    def _candidates(self, queries: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """What FAISS finds for queries [B, D]: distances and ids [B, C]."""
        order = by_locality(queries, _QUERY_PIVOTS) if self._reorders(len(queries)) else None
        asked = queries if order is None else queries[order]
        found = self._index.search(_array(asked), count, params=self._parameters())
        distances, ids = (torch.from_numpy(x) for x in found)
        if order is None:
            return distances, ids
        back = order.argsort()
        return distances[back], ids[back]

    def _reorders(self, num_rows: int) -> bool:
        return self._has_graph and num_rows >= _REORDER_FROM

    def _adopt(self, index: Any) -> None:
        """Takes over an index of FAISS and looks at its parts."""
        faiss = _faiss()
        self._index = index
        self._refines = isinstance(_without_ids(index), faiss.IndexRefine)
        self._lists = isinstance(_base(index), faiss.IndexIVF)
        self._has_graph = _graph(index) is not None

    @property
    def _keeps_keys(self) -> bool:
        return self.rerank > 0 and not self._refines

    def _parameters(self) -> Any:
        """The settings of a search, as FAISS wants them.

        Raises:
            ValueError: a setting out of its range, or without a meaning for this factory.
        """
        faiss = _faiss()
        uses = {"nprobe": self._lists, "ef": self._has_graph, "ef_construction": self._has_graph}
        for name, used in uses.items():
            value = getattr(self, name)
            if value is not None and not used:
                raise ValueError(f"{name} has no meaning for {self.factory!r}: leave it out")
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if self.rerank < 0:
            raise ValueError(f"rerank must be at least 0, got {self.rerank}")
        graph = None if self.ef is None else faiss.SearchParametersHNSW(efSearch=self.ef)
        chosen = graph
        if self._lists:
            extra = {} if graph is None else {"quantizer_params": graph}
            chosen = faiss.SearchParametersIVF(nprobe=self.nprobe or 1, **extra)
        if not self._refines:
            return chosen
        extra = {} if chosen is None else {"base_index_params": chosen}
        return faiss.IndexRefineSearchParameters(k_factor=float(max(1, self.rerank)), **extra)

    def _set_construction(self) -> None:
        """Tells FAISS how to add to a graph.

        Raises:
            ValueError: as for `_parameters`.
        """
        self._parameters()
        if self._has_graph:
            _graph(self._index).hnsw.efConstruction = self.ef_construction or _EF_CONSTRUCTION

    def _exact_distances(self, queries: Tensor, ids: Tensor) -> Tensor:
        """Distances [B, C] in float64 to the keys of candidates [B, C]; inf where there is none."""
        step = max(1, (1 << 25) // (24 * self.dim * ids.shape[1]))
        parts = []
        for some, found in zip(queries.split(step), ids.split(step), strict=True):
            rows = self._table.find(found).clamp(min=0)
            exact = direct_distances(some, self._table.rows[rows])
            parts.append(exact.masked_fill(found < 0, torch.inf))
        return torch.cat(parts)


def _make(dim: int, factory: str) -> Any:
    """An empty index that takes ids."""
    faiss = _faiss()
    try:
        index = faiss.index_factory(dim, factory)
    except RuntimeError as error:
        raise ValueError(
            f"FAISS cannot make {factory!r} for keys of dimension {dim}: name an index such as"
            " 'Flat', 'IVF1024,Flat', 'IVF4096,PQ32x4fs' (32 must divide it) or 'HNSW32'"
        ) from error
    if isinstance(index, faiss.IndexPreTransform):
        raise ValueError(f"{factory!r} transforms the keys: transform them before adding instead")
    if isinstance(index, faiss.IndexIDMap | faiss.IndexIVF):
        return index
    wrapped = faiss.IndexIDMap2(index)
    index.this.disown()  # the wrapper frees it
    wrapped.own_fields = True
    return wrapped


def _without_ids(index: Any) -> Any:
    """What an index with ids of the caller's wraps."""
    faiss = _faiss()
    return faiss.downcast_index(index.index) if isinstance(index, faiss.IndexIDMap) else index


def _base(index: Any) -> Any:
    """What searches the candidates: the index without its ids and without what refines it."""
    faiss, inner = _faiss(), _without_ids(index)
    return faiss.downcast_index(inner.base_index) if isinstance(inner, faiss.IndexRefine) else inner


def _graph(index: Any) -> Any | None:
    """The graph over the keys, or over the lists; None where there is none."""
    faiss, inner = _faiss(), _base(index)
    if isinstance(inner, faiss.IndexIVF):
        inner = faiss.downcast_index(inner.quantizer)
    return inner if isinstance(inner, faiss.IndexHNSW) else None


def _array(tensor: Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.cpu().numpy())


def _faiss() -> Any:
    """FAISS, imported when it is needed: it brings an OpenMP of its own."""
    import faiss

    return faiss
