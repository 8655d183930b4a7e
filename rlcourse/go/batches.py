"""Batches that the retrieval-augmented model learns from: from stored positions, ahead of time.

A *source* gives the batch of every step, and the same one whenever it is asked: a run that was
stopped goes on with the data that an uninterrupted one would have seen, and nothing of the source
is in a checkpoint. `Prefetched` makes the batches of the next steps in other threads.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from rlcourse.go.inputs import NeighborInput, blank, neighbor_planes, transform_neighbors
from rlcourse.go.rules import NUM_NEXT
from rlcourse.go.symmetry import transform_moves, transform_planes

RETRIEVED, ABSENT, BLANK = MODES = ("retrieved", "absent", "blank")


class TrainingBatch(NamedTuple):
    """B observations, with what is known of them and of their neighbors."""

    planes: Float[Tensor, "B C H W"]
    neighbors: NeighborInput | None
    next_moves: Int[Tensor, "B T"]  # from here on; -1 after the end of the game
    outcome: Float[Tensor, " B"]  # +1 the player to move wins, -1 loses, 0 a draw
    game: Int[Tensor, " B"]

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "TrainingBatch":
        """The same on another device."""
        return self._of(lambda x: x.to(device, non_blocking=non_blocking))

    def pin(self) -> "TrainingBatch":
        """The same in memory from which a GPU can copy while others work."""
        return self._of(Tensor.pin_memory)

    def _of(self, change: Callable[[Tensor], Tensor]) -> "TrainingBatch":
        neighbors = self.neighbors and self.neighbors.each(change)
        rest = {name: change(x) for name, x in self._asdict().items() if name != "neighbors"}
        return TrainingBatch(neighbors=neighbors, **rest)


def augment(batch: TrainingBatch, symmetry: Int[Tensor, " B"]) -> TrainingBatch:
    """Each observation under a symmetry of the board: its planes, its neighbors and its moves.

    Raises:
        ValueError: a symmetry that is none.
    """
    neighbors = batch.neighbors and transform_neighbors(batch.neighbors, symmetry)
    return batch._replace(
        planes=transform_planes(batch.planes, symmetry),
        neighbors=neighbors,
        next_moves=transform_moves(batch.next_moves, symmetry, batch.planes.shape[-1]),
    )


def in_mode(batch: TrainingBatch, mode: str) -> TrainingBatch:
    """The batch as the network is to see it, in one of `MODES`.

    "retrieved": with its neighbors. "absent": the baseline, without any, e_i = 0. "blank":
    x_i = 0 as in the paper's baseline, for which the network does the same work as for neighbors.

    Raises:
        ValueError: an unknown mode, or no neighbors where it needs them.
    """
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
    if mode == ABSENT:
        return batch._replace(neighbors=None)
    if batch.neighbors is None:
        raise ValueError(
            f"the mode {mode!r} needs neighbors, and the batch has none: give the source"
            f" neighbors_of, or choose the mode {ABSENT!r}"
        )
    return batch._replace(neighbors=blank(batch.neighbors)) if mode == BLANK else batch


class Source(Protocol):
    """Batches by step."""

    def batch(self, step: int) -> TrainingBatch:
        """The batch of this step, the same whenever it is asked for."""


class Store(Protocol):
    """Stored positions; see `positions.Positions`."""

    def batch(self, ids: Tensor) -> Any:
        """The positions with these ids, as a `positions.Batch`."""


class Found(Protocol):
    """Neighbors of B positions, as `database.Neighbors`."""

    @property
    def ids(self) -> Int[Tensor, "B K"]:
        """-1 where there is none."""

    @property
    def symmetry(self) -> Int[Tensor, "B K"]:
        """The query under this symmetry resembles the neighbor."""


NeighborsOf = Callable[[Tensor], Found]  # of positions by their ids


def make_batch(
    positions: Store,
    ids: Int[Tensor, " B"],
    neighbors_of: NeighborsOf | None = None,
    *,
    stored: Store | None = None,
    num_next: int = NUM_NEXT,
) -> TrainingBatch:
    """Positions as a batch, with their neighbors.

    Args:
        ids: of the positions.
        neighbors_of: what was retrieved for them; None: no neighbors.
        stored: where the neighbors' ids point; None: to `positions` too.
        num_next: next moves shown of a neighbor.
    """
    here = positions.batch(ids)
    neighbors = None
    if neighbors_of is not None:
        found = neighbors_of(ids)
        present = found.ids >= 0
        there = (stored or positions).batch(found.ids.flatten().clamp(min=0).long())
        neighbors = neighbor_planes(
            there, found.symmetry, here.planes, present=present, num_next=num_next
        )
    return TrainingBatch(here.planes, neighbors, here.next_moves, here.outcome, here.game)


class PositionSource:
    """Batches of positions drawn at random, with replacement; a `Source`.

    Args:
        positions, neighbors_of, stored, num_next: as in `make_batch`.
        ids: [M] to draw from.
        batch_size: B.
        seed: of the draws; each step has its own stream.

    Raises:
        ValueError: no ids, or a batch size < 1.
    """

    def __init__(
        self,
        positions: Store,
        ids: Int[Tensor, " M"],
        batch_size: int,
        seed: int,
        neighbors_of: NeighborsOf | None = None,
        *,
        stored: Store | None = None,
        num_next: int = NUM_NEXT,
    ) -> None:
        if not len(ids):
            raise ValueError("there are no positions to draw from: ids is empty")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self._positions, self._ids, self._size, self._seed = positions, ids, batch_size, seed
        self._neighbors_of, self._stored, self._num_next = neighbors_of, stored, num_next

    def batch(self, step: int) -> TrainingBatch:
        drawn = np.random.default_rng((self._seed, step)).integers(len(self._ids), size=self._size)
        return make_batch(
            self._positions,
            self._ids[torch.from_numpy(drawn)],
            self._neighbors_of,
            stored=self._stored,
            num_next=self._num_next,
        )


def in_order(
    positions: Store,
    ids: Int[Tensor, " M"],
    batch_size: int,
    neighbors_of: NeighborsOf | None = None,
    *,
    stored: Store | None = None,
    num_next: int = NUM_NEXT,
) -> Iterator[TrainingBatch]:
    """All of these positions once, for an evaluation; the last batch may be smaller."""
    for part in ids.split(batch_size):
        yield make_batch(positions, part, neighbors_of, stored=stored, num_next=num_next)


class Prefetched:
    """A source whose next batches are made in other threads. Close it, or use it in a `with`.

    Args:
        source: safe to ask from several threads, if `num_workers` is more than 1.
        ahead: batches that are made before they are asked for; 0 makes each when it is asked for.
        num_workers: threads.
        end: the step after the last one that will be asked for; None: no end.
        pin: put the batches where a GPU can copy them from without waiting.

    Raises:
        ValueError: a negative `ahead`, or no workers.
    """

    def __init__(
        self,
        source: Source,
        ahead: int = 2,
        *,
        num_workers: int = 1,
        end: int | None = None,
        pin: bool = False,
    ) -> None:
        if ahead < 0 or num_workers < 1:
            raise ValueError(
                "ahead must not be negative and num_workers at least 1, got"
                f" {ahead} and {num_workers}"
            )
        self._source, self._ahead, self._end, self._pin = source, ahead, end, pin
        self._pool = ThreadPoolExecutor(num_workers, thread_name_prefix="batches")
        self._coming: dict[int, Future[TrainingBatch]] = {}
        self._begin: float | None = None
        self._last, self._waited = 0.0, 0.0

    def batch(self, step: int) -> TrainingBatch:
        """The source's batch of this step; an error of the source comes up here.

        Steps may come in any order, but only those that follow each other are made ahead.
        """
        began = time.perf_counter()
        for other in [other for other in self._coming if other < step or self._is_far(other, step)]:
            self._coming.pop(other).cancel()
        for coming in range(step, step + self._ahead + 1):
            wanted = coming == step or self._end is None or coming < self._end
            if wanted and coming not in self._coming:
                self._coming[coming] = self._pool.submit(self._make, coming)
        made = self._coming.pop(step).result()
        self._last = time.perf_counter()
        if self._begin is None:
            self._begin = self._last
        else:
            self._waited += self._last - began
        return made

    @property
    def waiting(self) -> float:
        """The share of time, from the first batch given to the last one, that was spent waiting in
        `batch`: in [0, 1], near 0 where the network is kept busy. 0 before the second.
        """
        if self._begin is None:
            return 0.0
        return self._waited / max(self._last - self._begin, 1e-9)

    def close(self) -> None:
        """Ends the threads, once they are done with what they are at."""
        self._pool.shutdown(cancel_futures=True)

    def __enter__(self) -> "Prefetched":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _is_far(self, other: int, step: int) -> bool:
        return other > step + self._ahead

    def _make(self, step: int) -> TrainingBatch:
        made = self._source.batch(step)
        return made.pin() if self._pin else made
