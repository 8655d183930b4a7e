"""Every position of a set of games, on disk: `python -m rlcourse.go.build_positions --help`.

The data set D of Humphreys et al. 2022: positions o_t of expert games, each with the moves, the
outcome and the final board that followed. `Batch` holds them as tensors; the position before a
move has the expert's move first in `next_moves`. The paper keeps 15 % of the positions of 3.5
million games, some 50 million; `keep` is that share. On 9x9 a position takes 62 bytes and a game
some 40 more, so that 50 million positions take 3.1 GB, mapped into memory as they are read.

A folder of positions holds

    positions.json         the rules, and of each shard its size, checksums and making
    shard_000.npy          records of positions, see `position_records`
    shard_000.games.npy    the games that they are from

A shard counts from the moment that positions.json names it: an append that is interrupted leaves
whole shards or nothing. Positions are numbered through all shards and keep their numbers.

The *source* of a game tells sets apart, such as an expert's games and an agent's own. Game numbers
are unique within a source only. The positions of a game's opening, before moves that no player
chose, are left out.

Games are replayed on all cores. Where these have other work too, set OMP_WAIT_POLICY=PASSIVE before
the first import: threads that spin while they wait cost more than the replay.

**Deviations.** The halves of the paper, by game and drawn at random, are those of even and of odd
game numbers (`half_of`). One game in ten is for tests, always of odd number: of the others 5 in 9
lie in one half, and 4 in 9 in the other.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm.auto import tqdm

from rlcourse.data.files import exclusively
from rlcourse.go.position_records import decode, decode_final, encode, game_type, record_type
from rlcourse.go.position_shards import (
    ABOUT,
    Making,
    Shard,
    open_shard,
    portions,
    read_about,
    remove_shard,
    verify_shard,
    write_about,
    write_shard,
)
from rlcourse.go.records import Game
from rlcourse.go.rules import Rules
from rlcourse.go.splits import SPLITS, split_of

LOCK = ".lock"
SHARD_SIZE = 1_000_000


class Batch(NamedTuple):
    """B positions; T = `NUM_NEXT`, C = `NUM_PLANES`."""

    stones: Int[Tensor, "B P"]  # int8: +1 black, -1 white
    to_play: Int[Tensor, " B"]  # int8: the color to move
    planes: Float[Tensor, "B C H W"]  # float32: what `Go.planes` gave there
    next_moves: Int[Tensor, "B T"]  # int64: the move that was played here, then those that
    # followed; -1 after the end of the game
    outcome: Float[Tensor, " B"]  # +1 where the player to move wins, -1 loses, 0 draws
    final: Int[Tensor, "B P"]  # int8: owner of each point at the end: +1 black, -1 white, 0 nobody
    game: Int[Tensor, " B"]  # int64: number of the game
    ply: Int[Tensor, " B"]  # int64: moves before this position
    source: Int[Tensor, " B"]  # int64: set that the game is from


class Positions:
    """Positions in a folder. Make one with `create` or `open`.

    Reading is safe from several threads, also while the same object appends.
    """

    def __init__(self, folder: Path, rules: Rules, shards: tuple[Shard, ...]) -> None:
        self.folder, self.rules = folder, rules
        self._set(shards)

    @classmethod
    def create(cls, folder: str | Path, rules: Rules) -> "Positions":
        """A new folder without positions.

        Raises:
            FileExistsError: there are positions already.
        """
        folder = Path(folder)
        if (folder / ABOUT).exists():
            raise FileExistsError(f"{folder / ABOUT} exists: open it, or choose another folder")
        folder.mkdir(parents=True, exist_ok=True)
        write_about(folder, rules, ())
        return cls(folder, rules, ())

    @classmethod
    def open(cls, folder: str | Path) -> "Positions":
        """Opens a folder; checks the sizes of all files, but does not read them: see `verify`.

        Raises:
            FileNotFoundError: there are no positions.
            ValueError: a file is damaged or missing, or of another format.
        """
        folder = Path(folder)
        rules, abouts = read_about(folder)
        return cls(folder, rules, tuple(open_shard(folder, about, rules) for about in abouts))

    def __len__(self) -> int:
        """Number of positions; their ids are 0 to len - 1."""
        return int(self._content[1][-1])

    @property
    def fingerprint(self) -> str:
        """A hash over the rules and all shards."""
        return self.fingerprint_of(len(self))

    def fingerprint_of(self, num_positions: int) -> str:
        """The fingerprint as it was when there were so many positions.

        Raises:
            ValueError: no append ended there.
        """
        shards, starts = self._content
        if num_positions not in starts:
            raise ValueError(
                f"{num_positions} is not a number of positions that {self.folder} has had: "
                f"{starts.tolist()}"
            )
        last = int(np.searchsorted(starts, num_positions, side="right")) - 1
        sums = [shard.about.sha256 for shard in shards[:last]]
        return hashlib.sha256(json.dumps([asdict(self.rules), sums]).encode()).hexdigest()

    @property
    def games(self) -> Int[Tensor, " N"]:
        """int64: the game number of every position."""
        return self._column("games", lambda shard: np.repeat(shard.table["number"], shard.counts))

    @property
    def plies(self) -> Int[Tensor, " N"]:
        """int64: the ply of every position."""
        return self._column("plies", lambda shard: shard.records["ply"])

    @property
    def sources(self) -> Int[Tensor, " N"]:
        """int64: the source of every position."""
        return self._column(
            "sources", lambda shard: np.full(len(shard.records), shard.about.making.source)
        )

    def numbers(self, source: int = 0) -> set[int]:
        """The numbers of all games of a source, also of those of which no position was kept."""
        tables = [shard.table for shard in self._content[0] if shard.about.making.source == source]
        return {number for table in tables for number in table["number"].tolist()}

    def makings(self, source: int = 0) -> set[Making]:
        """How the positions of a source were chosen: one way, or as many as `append` was given."""
        makings = {shard.about.making for shard in self._content[0]}
        return {making for making in makings if making.source == source}

    def of_split(self, *splits: str, sources: tuple[int, ...] = (0,)) -> Int[Tensor, " M"]:
        """The ids of positions of the games whose `split_of` is among `splits`, in order.

        Args:
            splits: of `SPLITS`.
            sources: only their games; by default those of the first set, the expert's.

        Raises:
            ValueError: for a split that does not exist, or none at all.
        """
        if not splits or not set(splits) <= set(SPLITS):
            raise ValueError(f"splits must be some of {SPLITS}, got {splits}")
        masks = [
            np.repeat([shard.about.making.source in sources and split_of(number) in splits
                       for number in shard.table["number"]], shard.counts).astype(bool)
            for shard in self._content[0]
        ]  # fmt: skip
        return torch.from_numpy(np.concatenate([np.zeros(0, bool), *masks]).nonzero()[0])

    def batch(self, ids: Int[Tensor, " B"]) -> Batch:
        """The positions with these ids, in any order; on the CPU.

        Raises:
            ValueError: for ids that are no int64 vector, or that no position has.
        """
        shards, starts = self._content
        wanted = _checked_ids(ids, int(starts[-1]))
        order = np.argsort(wanted, kind="stable")  # neighbors on the disk are read together
        bounds = np.searchsorted(wanted[order], starts)
        records = np.empty(len(wanted), record_type(self.rules))
        table = np.empty(len(wanted), game_type(self.rules))
        source = np.empty(len(wanted), np.int64)
        for i, shard in enumerate(shards):
            rows = order[bounds[i] : bounds[i + 1]]
            if len(rows):
                records[rows] = shard.records[wanted[rows] - starts[i]]
                table[rows] = shard.table[records["game"][rows]]
                source[rows] = shard.about.making.source
        board = decode(records, self.rules)
        outcome = np.sign(table["margin"]) * board.to_play
        final, game = decode_final(table, self.rules), table["number"].astype(np.int64)
        parts = (*board[:4], outcome.astype(np.float32), final, game, board.ply, source)
        return Batch(*map(torch.from_numpy, parts))

    def append(
        self,
        games: Iterable[Game],
        *,
        source: int = 0,
        keep: float = 1.0,
        seed: int = 0,
        progress: bool = True,
        shard_size: int = SHARD_SIZE,
    ) -> None:
        """Adds the positions of games, which get the next ids.

        A process that dies leaves the shards that were complete. `numbers` tells which games they
        hold; append the others, in the same order, and the positions are those of one append.

        Args:
            games: played by `rules`, each new to the source.
            source: the set that the games are from, >= 0.
            keep: share of the positions to keep, in (0, 1]; which, is drawn by a hash of seed,
                source, game and ply.
            seed: of that draw.
            progress: draw a progress bar.
            shard_size: positions in a shard, about.

        Raises:
            ValueError: a setting out of its range, a game that is there already or breaks the
                rules, or a folder that another process has changed; nothing is added then.
            BlockingIOError: another process is adding positions.
        """
        if not 0 < keep <= 1:
            raise ValueError(f"keep must lie in (0, 1], got {keep}")
        if source < 0 or shard_size < 1:
            raise ValueError(f"source must be >= 0 and shard_size >= 1: {source}, {shard_size}")
        before = self._content[0]
        making = Making(source, keep, seed)
        with exclusively(self.folder / LOCK):
            self._check_unchanged()
            bar = tqdm(desc="positions", unit="", unit_scale=True, disable=not progress)
            try:
                for some in portions(games, self.numbers(source), keep, shard_size):
                    records, table = encode(
                        some, self.rules, **making._asdict(), on_positions=bar.update
                    )
                    self._append_shard(records, table, making)
            except ValueError:
                self._take_back(before)
                raise
            finally:
                bar.close()

    def verify(self, progress: bool = True) -> None:
        """Reads all files and compares their checksums.

        Raises:
            ValueError: a file is damaged.
        """
        shards = tqdm(self._content[0], desc="shards", disable=not progress)
        for shard in shards:
            verify_shard(self.folder, shard.about)

    def _set(self, shards: tuple[Shard, ...]) -> None:
        lengths = [len(shard.records) for shard in shards]
        # One assignment, so that a thread that reads sees shards and starts that belong together.
        self._content = (shards, np.cumsum([0, *lengths]))
        self._columns: dict[str, Tensor] = {}

    def _column(self, name: str, of_shard: Callable[[Shard], np.ndarray]) -> Tensor:
        columns = self._columns
        if name not in columns:
            parts = [of_shard(shard).astype(np.int64) for shard in self._content[0]]
            columns[name] = torch.from_numpy(np.concatenate([np.zeros(0, np.int64), *parts]))
        return columns[name]

    def _append_shard(self, records: np.ndarray, table: np.ndarray, making: Making) -> None:
        shards = self._content[0]
        about = write_shard(self.folder, f"shard_{len(shards):03}", records, table, making)
        self._write((*shards, open_shard(self.folder, about, self.rules)))

    def _write(self, shards: tuple[Shard, ...]) -> None:
        write_about(self.folder, self.rules, [shard.about for shard in shards])
        self._set(shards)

    def _take_back(self, shards: tuple[Shard, ...]) -> None:
        added = self._content[0][len(shards) :]
        if added:
            self._write(shards)
        for shard in added:
            with suppress(OSError):  # no harm: nothing names them
                remove_shard(self.folder, shard.about)

    def _check_unchanged(self) -> None:
        if read_about(self.folder) != (self.rules, [shard.about for shard in self._content[0]]):
            raise ValueError(f"{self.folder} was changed since it was opened: open it again")


def _checked_ids(ids: Tensor, count: int) -> np.ndarray:
    if ids.ndim != 1 or ids.dtype != torch.int64:
        raise ValueError(f"ids must be an int64 vector, got {ids.dtype} of {list(ids.shape)}")
    wanted = ids.cpu().numpy()
    bad = (wanted < 0) | (wanted >= count)
    if bad.any():
        raise ValueError(f"ids must lie in [0, {count}), got {wanted[bad][0]}")
    return wanted
