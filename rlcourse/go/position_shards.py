"""The files of `positions.Positions`: shards of two tables, and positions.json, which names them.

A shard's files are written before positions.json names it, and never changed afterwards.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rlcourse.data.files import replacing, write_whole
from rlcourse.go.position_records import game_type, record_type
from rlcourse.go.records import Game
from rlcourse.go.rules import Rules

FORMAT = "rlcourse positions 1"
ABOUT = "positions.json"


class Making(NamedTuple):
    """From which games a shard is, and which of their positions it keeps."""

    source: int
    keep: float
    seed: int


class About(NamedTuple):
    """What positions.json says of a shard. Of its two files, the positions' comes first."""

    name: str
    num_positions: int
    num_games: int
    making: Making
    sha256: tuple[str, str]
    num_bytes: tuple[int, int]


class Shard(NamedTuple):
    """Two tables, mapped into memory."""

    about: About
    records: np.ndarray  # [N] of `record_type`
    table: np.ndarray  # [G] of `game_type`

    @property
    def counts(self) -> np.ndarray:
        """Positions of each game [G]."""
        return np.diff(self.table["first"].astype(np.int64), append=len(self.records))


def read_about(folder: Path) -> tuple[Rules, list[About]]:
    """The rules and the shards that positions.json names.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is damaged, or of another version.
    """
    path = folder / ABOUT
    if not path.exists():
        raise FileNotFoundError(f"no positions in {folder}: make some with Positions.create")
    try:
        content = json.loads(path.read_bytes())
        if content["format"] != FORMAT:
            raise ValueError
        return Rules(**content["rules"]), [_about(entry) for entry in content["shards"]]
    except (ValueError, KeyError, TypeError):
        raise ValueError(
            f"{path} does not describe positions of this version: build them again"
        ) from None


def write_about(folder: Path, rules: Rules, abouts: Sequence[About]) -> None:
    """Makes these the shards of the folder."""
    shards = [about._asdict() | {"making": about.making._asdict()} for about in abouts]
    content = {"format": FORMAT, "rules": asdict(rules), "shards": shards}
    write_whole(folder / ABOUT, json.dumps(content, indent=1))


def write_shard(
    folder: Path, name: str, records: np.ndarray, table: np.ndarray, making: Making
) -> About:
    """Writes the files of a shard; nothing names it yet."""
    paths = _paths(folder, name)
    for path, array in zip(paths, (records, table), strict=True):
        with replacing(path) as file:
            np.save(file, array, allow_pickle=False)
    sums, sizes = map(_checksum, paths), (path.stat().st_size for path in paths)
    return About(name, len(records), len(table), making, tuple(sums), tuple(sizes))


def open_shard(folder: Path, about: About, rules: Rules) -> Shard:
    """Maps the files of a shard into memory.

    Raises:
        ValueError: a file is missing or damaged, as far as its size and header tell.
    """
    counts, types = (about.num_positions, about.num_games), (record_type(rules), game_type(rules))
    arrays = []
    for i, path in enumerate(_paths(folder, about.name)):
        if not path.exists():
            raise ValueError(f"{path} is missing: restore it, or build the positions again")
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            fits = array.shape == (counts[i],) and array.dtype == types[i]
        except (ValueError, EOFError, SyntaxError):
            fits = False
        if not fits or path.stat().st_size != about.num_bytes[i]:
            raise _damaged(path)
        arrays.append(array)
    return Shard(about, *arrays)


def verify_shard(folder: Path, about: About) -> None:
    """Reads the files of a shard.

    Raises:
        ValueError: a checksum is wrong.
    """
    for path, expected in zip(_paths(folder, about.name), about.sha256, strict=True):
        if _checksum(path) != expected:
            raise _damaged(path)


def remove_shard(folder: Path, about: About) -> None:
    """Deletes the files of a shard that nothing names any more.

    Raises:
        OSError: some systems keep files that are mapped into memory.
    """
    for path in _paths(folder, about.name):
        path.unlink()


def portions(
    games: Iterable[Game], known: set[int], keep: float, shard_size: int
) -> Iterator[list[Game]]:
    """New games, as many together as fill a shard; their numbers join the `known` ones.

    Raises:
        ValueError: a number that is known.
    """
    some, expected = [], 0.0
    for game in games:
        if game.number in known:
            raise ValueError(
                f"game {game.number} is there already: leave it out, or give another source"
            )
        known.add(game.number)
        some.append(game)
        expected += keep * (len(game.moves) - game.opening)
        if expected >= shard_size:
            yield some
            some, expected = [], 0.0
    if some:
        yield some


def _about(entry: dict) -> About:
    fields = {"making": Making(**entry["making"])}
    return About(**entry | fields | {key: tuple(entry[key]) for key in ("sha256", "num_bytes")})


def _paths(folder: Path, name: str) -> tuple[Path, Path]:
    return folder / f"{name}.npy", folder / f"{name}.games.npy"


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _damaged(path: Path) -> ValueError:
    return ValueError(f"{path} is damaged: restore it, or build the positions again")
