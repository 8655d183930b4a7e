"""Positions that resemble a given one: keys, an index over them, and whom it may return.

Section 3 of Humphreys et al., "Large-Scale Retrieval for Reinforcement Learning", NeurIPS 2022. The
neighbors of an observation o_t are the N stored o_i with the smallest |g_phi(o_t) - g_phi(o_i)|^2,
where g_phi is a frozen network.

| paper | here |
|---|---|
| D_r, the retrieval data set | the positions that `Config` chooses of a set of games |
| g_phi | `keys`, planes [B, C, H, W] -> [B, D] |
| N | `k` |
| two halves of D_r by game | `Config.split_halves`: parity of the game's number |

A position must not find itself or its game, which hold the answer. In halves, as in the paper, the
index of the other half answers; otherwise the game is left out of what was found.

Bytes that 50 million positions with D = 64 take [by formula, not measured], the index in memory and
once more while it is saved or loaded, where there are halves one half at a time:

| | a position | 50 million |
|---|---|---|
| keys on disk, float16 | 2 D = 128 | 6.4 GB |
| numbers of games, plies, sources | 24 | 1.2 GB |
| `exact` (not saved: read from the keys; up to 25 % more as it grows) | 4 D + 28 = 284 | 14.2 GB |
| `IVF65536,Flat` | 4 D + 32 = 288 | 14.4 GB |
| `HNSW32` | 4 D + 256 + 32 = 544 | 27.2 GB |
| `IVF65536,PQ32x4fs` | 16 + 32 = 48 | 2.4 GB |
| `IVF65536,PQ32x4fs,Refine(SQ8)` | 16 + D + 40 = 120 | 6.0 GB |

The last two fit a machine of 24 GB; `exact` fits a GPU that holds it.

**Deviations**: ScaNN is replaced by an exact search or FAISS. The main text of the paper states
neither the sizes nor the settings of its index, nor symmetries: the presets are our choice.
"""

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm.auto import tqdm

from rlcourse.data.faiss_index import FaissIndex
from rlcourse.data.index import ExactIndex
from rlcourse.go import database_files
from rlcourse.go.database_config import EXACT, PRESETS, Config, check_fits, chosen
from rlcourse.go.database_report import EXACT_BYTES, Report, StoredIndex, recall_of
from rlcourse.go.key_shards import CanonicalForm, KeyShards, compute_keys
from rlcourse.go.neighbors import Neighbors, composed, inverse, query_games, search_boards
from rlcourse.go.precomputed import Precomputed, precompute
from rlcourse.go.splits import game_key, half_of
from rlcourse.go.symmetry import NUM_SYMMETRIES, transform_planes

if TYPE_CHECKING:
    from rlcourse.go.keys import KeyNetwork
    from rlcourse.go.positions import Positions

__all__ = ["PRESETS", "Config", "Database", "Neighbors", "Precomputed", "Report"]


class Database:
    """Positions, their keys and an index; empty until `build` or `load`.

    Searches and additions may come from several threads; each search sees the index before or after
    a block of an addition.

    Args:
        folder: of the index; not the one of the keys.
        positions: all that have keys, and perhaps more.
        keys: the network of the keys, planes -> [B, D].
        shards: the keys of the positions, from `compute_keys`.
        config: what to store and how to find it.
        device: of an exact search.
        canonical_form: `keys.canonical_symmetry`, with `symmetries="canonical"` only.

    Raises:
        ValueError: settings that do not fit one another or the keys.
    """

    def __init__(
        self,
        folder: Path,
        positions: "Positions",
        keys: "KeyNetwork",
        shards: KeyShards,
        config: Config,
        *,
        device: torch.device | str = "cpu",
        canonical_form: CanonicalForm | None = None,
    ) -> None:
        check_fits(config, shards, keys, canonical_form is not None, torch.device(device))
        self.folder, self.positions, self.keys, self.shards = folder, positions, keys, shards
        self.config, self.device, self.canonical_form = config, torch.device(device), canonical_form
        self._indexes = [self._empty_index() for _ in range(1 + config.split_halves)]
        self._num_positions = 0  # positions 0 ... are in the index where they are chosen
        self._num_trained = 0  # positions that there were when FAISS was trained
        self._removed: Sequence[int] = ()  # sources
        self._lock = Lock()

    def build(self, progress: bool = True) -> None:
        """Fills an index with the keys and saves it.

        The index that was in the folder stays until the new one is complete.

        Raises:
            ValueError: no position is chosen, or too few for the index.
            OSError: the folder cannot be written.
        """
        self._indexes = [self._empty_index() for _ in self._indexes]
        self._num_positions, self._removed = 0, ()
        self._train()
        self._num_trained = 0 if self.config.index == EXACT else len(self.shards)
        self._fill(self._indexes, (), 0, len(self.shards), progress)
        self._num_positions = len(self.shards)
        self.save()

    def load(self, progress: bool = True) -> None:
        """Takes the index that `save` wrote. `add` adds the positions that came since.

        An exact index is filled from the keys. Until all is there the database stays as it was.

        Raises:
            FileNotFoundError: there is none.
            ValueError: it was built of other keys or with other settings, or is damaged.
        """
        manifest = database_files.read(self.folder)
        saved = manifest["settings"]
        state = (saved["num_positions"], saved["num_trained"], saved["removed"])
        database_files.check_same(self.folder, saved, self._settings(*state))
        if self.config.index == EXACT:
            indexes = [self._empty_index() for _ in self._indexes]
            self._fill(indexes, saved["removed"], 0, saved["num_positions"], progress)
        else:
            indexes = database_files.load_parts(self.folder, manifest, self.config)
        with self._lock:
            self._indexes = indexes
            self._num_positions, self._num_trained, self._removed = state

    def __len__(self) -> int:
        """Number of positions that can be found."""
        return sum(len(index) for index in self._indexes)

    def held(self) -> Int[Tensor, " N"]:
        """The ids of the positions that can be found."""
        return torch.cat([self._held(half) for half in range(len(self._indexes))])

    @property
    def fingerprint(self) -> str:
        """Of all that decides what is found: the settings, the keys, and which are held."""
        settings = self._settings(self._num_positions, self._num_trained, self._removed)
        return database_files.fingerprint_of(settings, self.config.nprobe, self.config.ef)

    @property
    def split_halves(self) -> bool:
        """Whether the games of each parity have an index of their own."""
        return self.config.split_halves

    def retrieve(
        self,
        planes: Float[Tensor, "B C H W"],
        k: int,
        *,
        exclude_game: Int[Tensor, " B"] | None = None,
        exclude_source: Int[Tensor, " B"] | None = None,
    ) -> Neighbors:
        """The k nearest stored positions, on the device of the planes.

        Args:
            planes: of the positions to find others for.
            k: neighbors; where there are fewer, the rest has id -1 and distance inf.
            exclude_game: number of the game that each position is from; -1, or None for all: of
                none that is stored. In halves the other half answers; -1 asks both.
            exclude_source: that numbers the game; None: 0, that of the experts.

        Raises:
            ValueError: k < 1, or another number of games or sources than of positions.
        """
        exclude = query_games(exclude_game, len(planes), k, exclude_source)
        return self._nearest(self._indexes, planes, k, exclude)

    def retrieve_exactly(
        self,
        planes: Float[Tensor, "B C H W"],
        k: int,
        *,
        exclude_game: Int[Tensor, " B"] | None = None,
        exclude_source: Int[Tensor, " B"] | None = None,
    ) -> Neighbors:
        """As `retrieve`, by comparing with all keys on disk: slow, and right for every index.

        Raises:
            ValueError: as for `retrieve`.
        """
        exclude = query_games(exclude_game, len(planes), k, exclude_source)
        stored = [
            StoredIndex(self.shards, self._held(half), self.config.rows_per_add, self.device)
            for half in range(len(self._indexes))
        ]
        return self._nearest(stored, planes, k, exclude)

    def add(self, progress: bool = True) -> int:
        """Adds the positions that were added since, computing their keys; returns how many.

        The lists and codes of FAISS stay as they were trained. `save` keeps the result; after an
        interruption, `load` takes what was saved before.

        Raises:
            ValueError: the positions that were there before have changed.
        """
        self.shards = compute_keys(
            self.shards.folder,
            self.positions,
            self.keys,
            dtype=self.shards.dtype,
            canonical_form=self.canonical_form,
            progress=progress,
        )
        start, stop = self._num_positions, len(self.shards)
        count = self._fill(self._indexes, self._removed, start, stop, progress)
        self._num_positions = stop
        return count

    def remove_source(self, source: int) -> int:
        """Forgets the positions of one source and returns how many; `save` keeps the result.

        `add` leaves the source out from then on; `build` stores it again.

        Raises:
            ValueError: it has no position here, or the index cannot forget.
        """
        held = [self._held(half) for half in range(len(self._indexes))]
        gone = [ids[self.positions.sources[ids] == source] for ids in held]
        if not sum(len(ids) for ids in gone):
            raise ValueError(f"no position of source {source} is in the database")
        with self._lock:
            for index, ids in zip(self._indexes, gone, strict=True):
                if len(ids):
                    index.remove(ids)
            self._removed = (*self._removed, source)
        return sum(len(ids) for ids in gone)

    def save(self) -> None:
        """Writes the index; the folder holds it as it was before, or complete.

        Raises:
            OSError: the folder cannot be written.
        """
        settings = self._settings(self._num_positions, self._num_trained, self._removed)
        database_files.write(self.folder, self._indexes, settings)

    def precompute(
        self,
        ids: Int[Tensor, " N"],
        k: int,
        folder: Path,
        *,
        held_out: bool = False,
        progress: bool = True,
    ) -> Precomputed:
        """The neighbors of positions, without their own games, on disk; see `precomputed`.

        An interrupted run goes on where it stopped. Where there are halves, that of the other
        parity answers, unless `held_out` says that no position is stored: then both do.

        Raises:
            ValueError: the folder holds those of another database, other ids or another k; or a
                position is stored with `held_out`.
        """
        return precompute(self, ids, k, folder, held_out=held_out, progress=progress)

    def report(
        self,
        planes: Float[Tensor, "B C H W"],
        k: int,
        truth: Neighbors | None = None,
        *,
        exclude_game: Int[Tensor, " B"] | None = None,
        exclude_source: Int[Tensor, " B"] | None = None,
    ) -> Report:
        """How well and how fast the index finds the k nearest, and what it takes.

        Args:
            planes: of the positions to find others for.
            k: neighbors.
            truth: from `retrieve_exactly` with the same arguments; None computes it.
            exclude_game, exclude_source: as for `retrieve`.

        Raises:
            FileNotFoundError: the index, one of FAISS, was not saved.
            ValueError: as for `retrieve`; `truth` of another shape or without any neighbor; or the
                index of FAISS has changed since it was saved.
        """
        settings = self._settings(self._num_positions, self._num_trained, self._removed)
        index_bytes = database_files.bytes_on_disk(self.folder, settings)
        asked = {"exclude_game": exclude_game, "exclude_source": exclude_source}
        truth = self.retrieve_exactly(planes, k, **asked) if truth is None else truth
        exclude = query_games(exclude_game, len(planes), k, exclude_source)
        self.retrieve(planes[:1], k)  # what is done once does not count
        times = [time.perf_counter()]
        queries, symmetry = self._queries(planes)
        times.append(time.perf_counter())
        found = self._nearest_to(self._indexes, queries, symmetry, k, exclude)
        times.append(time.perf_counter())
        return Report(
            recall_of(queries, found, truth.to("cpu"), self.shards),
            (times[1] - times[0]) / len(planes),
            (times[2] - times[1]) / len(planes),
            4 * self.shards.dim + EXACT_BYTES if index_bytes is None else index_bytes,
            self.shards.bytes_per_position,
            len(self),
        )

    def _queries(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        """Keys [B, S, D] of the boards that are searched, and the symmetry [B, S] of each."""
        count = len(planes)
        if self.canonical_form is not None:
            symmetry = self.canonical_form(planes).cpu().long()[:, None]
            boards = [planes]
        else:
            num = NUM_SYMMETRIES if self.config.symmetries == "query" else 1
            symmetry = torch.arange(num).expand(count, num)
            boards = [planes]
            for g in range(1, num):
                boards.append(transform_planes(planes, symmetry[:, g].to(planes.device)))
        keys = [self.shards.round(self.keys(board)).cpu() for board in boards]
        return torch.stack(keys, 1), symmetry

    def _nearest(
        self, indexes: Sequence[Any], planes: Tensor, k: int, exclude: Tensor
    ) -> Neighbors:
        return self._nearest_to(indexes, *self._queries(planes), k, exclude).to(planes.device)

    def _nearest_to(
        self, indexes: Sequence[Any], queries: Tensor, symmetry: Tensor, k: int, exclude: Tensor
    ) -> Neighbors:
        searches = [(partial(self._search, index), len(index)) for index in indexes]
        found = search_boards(searches, queries, symmetry, k, exclude, self._game_keys)
        if self.canonical_form is None:
            return found
        stored = self.shards.symmetries(found.ids.clamp(min=0).flatten()).view_as(found.ids)
        together = composed(found.symmetry, inverse(stored))
        return found._replace(symmetry=together.masked_fill(found.ids < 0, 0))

    def _game_keys(self, ids: Tensor) -> Tensor:
        return game_key(self.positions.games[ids], self.positions.sources[ids])

    def _search(self, index: Any, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        with self._lock:
            return index.search(queries, k)

    def _empty_index(self) -> ExactIndex | FaissIndex:
        config = self.config
        if config.index == EXACT:
            return ExactIndex(self.shards.dim, self.device)
        return FaissIndex(self.shards.dim, config.index, config.nprobe, config.ef, config.rerank)

    def _chosen(self, half: int, start: int, stop: int, removed: Sequence[int]) -> Tensor:
        ids = chosen(self.config, self.positions, start, stop, removed)
        return ids[half_of(self.positions.games[ids]) == half] if self.split_halves else ids

    def _held(self, half: int) -> Tensor:
        return self._chosen(half, 0, self._num_positions, self._removed)

    def _train(self) -> None:
        for half, index in enumerate(self._indexes):
            ids = self._chosen(half, 0, len(self.shards), ())
            if not len(ids):
                raise ValueError(
                    f"no position is chosen for index {half}: add games to the positions, compute"
                    " their keys, or choose other splits or a larger fraction"
                )
            if isinstance(index, FaissIndex):
                generator = torch.Generator().manual_seed(self.config.seed)
                order = torch.randperm(len(ids), generator=generator)[: self.config.num_train]
                index.train(self.shards.rows(ids[order].sort().values))

    def _fill(
        self, indexes: list[Any], removed: Sequence[int], start: int, stop: int, progress: bool
    ) -> int:
        """Adds the chosen positions from `start` to `stop` and returns how many."""
        ids_of = [self._chosen(half, start, stop, removed) for half in range(len(indexes))]
        total = sum(len(ids) for ids in ids_of)
        with tqdm(desc="index", total=total, disable=not progress) as bar:
            for index, ids in zip(indexes, ids_of, strict=True):
                for keys, some in self.shards.blocks(ids, self.config.rows_per_add):
                    with self._lock:
                        index.add(keys, some)
                    bar.update(len(some))
        return total

    def _settings(self, count: int, num_trained: int, removed: Sequence[int]) -> dict[str, Any]:
        keys = self.shards.fingerprint(count)
        return database_files.settings_of(self.config, count, num_trained, removed, keys)
