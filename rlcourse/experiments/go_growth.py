"""A database that grows by the agent's own games, without a gradient step.

Section 4 of Humphreys et al. 2022 adds recorded games of the agent against its opponent to the
retrieval data set. Here a seed's database becomes a copy of the shared one; the recorded games are
added as another source, and can be taken out again.
"""

import os
import shutil
import uuid
from collections.abc import Iterable, Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from rlcourse.data.files import write_whole
from rlcourse.experiments.go_met import ROW, look_up, planes_of, read_met
from rlcourse.go.arena import match_opening
from rlcourse.go.board import Go
from rlcourse.go.database import Database
from rlcourse.go.key_shards import KeyShards
from rlcourse.go.positions import Positions
from rlcourse.go.records import Game, GameFile
from rlcourse.go.rules import Rules
from rlcourse.go.symmetry import sources

ADDED = 1  # the source of the agent's own games
MOST_SEEDS = 100_000  # half a minute; with two stones some thousands are needed for 50 pairs


def games_of(folder: Path) -> list[Game]:
    """The games of a match, by number."""
    return sorted(GameFile.open(folder / "match.games"))


def numbered(matches: Iterable[list[Game]]) -> list[Game]:
    """The games of several matches with numbers of their own; the first match keeps its numbers.

    The parity of a number, and with it the half of the database, stays.
    """
    games: list[Game] = []
    for match in matches:
        first = max((game.number for game in games), default=-1) + 1
        first += first % 2
        games += [game._replace(number=first + game.number) for game in match]
    return games


def seed_of_other_openings(
    rules: Rules, games: Sequence[Game], num_pairs: int, stones: tuple[int, int], first: int
) -> int:
    """The seed of a match, the first from `first` on, no opening of which leads to a position that
    one of these games began with, or to an image of it.

    Args:
        rules: of the match.
        games: that were played.
        num_pairs: of the match.
        stones: fewest and most of an opening.
        first: seed to begin with.

    Raises:
        ValueError: `MOST_SEEDS` were tried.
    """
    image = cache(partial(_image, rules))
    begun = {image(tuple(game.moves[: game.opening])) for game in games}
    for seed in range(first, first + MOST_SEEDS):
        openings = (match_opening(rules, seed, 2 * pair, stones) for pair in range(num_pairs))
        if not any(image(tuple(opening)) in begun for opening in openings):
            return seed
    raise ValueError(
        f"of {MOST_SEEDS:,} seeds none has {num_pairs} openings of {stones[0]} to {stones[1]}"
        " stones that are new: ask for fewer pairs or more stones"
    )


def _image(rules: Rules, moves: Sequence[int]) -> tuple[int, ...]:
    """The position after these moves, the same for all eight images."""
    go = Go(rules)
    state = go.new(1)
    for move in moves:
        go.step_(state, torch.tensor([move]))
    return min(tuple(image) for image in state.stones[0][sources(rules.size)].tolist())


def grown(database: Database, games: list[Game], folder: Path, progress: bool = True) -> Database:
    """A copy of a database with these games added; resumes.

    Args:
        database: stays as it is.
        games: to add, each with a number of its own.
        folder: of the copy; one that an interrupted call left is completed.
        progress: draw bars.

    Raises:
        ValueError: the folder holds a copy of another database, or other games.
    """
    copied = _copy(database, folder)
    have = copied.positions.numbers(ADDED)
    if unknown := have - {game.number for game in games}:
        raise ValueError(
            f"{folder} holds other games, {min(unknown)} among them: delete it, and run again"
        )
    missing = [game for game in games if game.number not in have]
    if missing:
        copied.positions.append(missing, source=ADDED, progress=progress)
    if copied.add(progress):
        copied.save()
    return copied


def sample_rows(database: Database, ids: torch.Tensor) -> np.ndarray:
    """Rows that name stored positions, without distances."""
    positions = database.positions
    rows = np.zeros(len(ids), ROW)
    rows["game"], rows["ply"] = positions.games[ids], positions.plies[ids]
    return rows


def drawn(count: int, most: int, seed: int) -> torch.Tensor:
    """At most `most` of the numbers below `count`, ascending."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return order[:most].sort().values


def measure(
    before: Database,
    after: Database,
    match: Path,
    folder: Path,
    test_ids: torch.Tensor,
    rules: Rules,
    k: int,
    num_rows: int,
    seed: int,
    progress: bool = True,
) -> None:
    """Looks positions up in the database before and after it grew, and once more after the added
    games were removed; writes a file of rows for each. Those that are there are kept.

    Args:
        before, after: databases; `after` loses its added games.
        match: folder of a match against the opponent, and of `met.rows`.
        folder: receives the files, see `KINDS`.
        test_ids: positions of games that no database holds.
        rules: of the match.
        k: neighbors.
        num_rows: at most so many positions of each kind, drawn by `seed`.
        seed: of the draws.
        progress: draw a bar.
    """
    if all((folder / f"{kind}.rows").exists() for kind in KINDS):
        return
    games = games_of(match)
    met = read_met(match / "met.rows", games)
    met = met[drawn(len(met), num_rows, seed).numpy()]
    tests = test_ids[drawn(len(test_ids), num_rows, seed)]
    about = {"met": met, "test": sample_rows(before, tests)}
    planes = {
        "met": planes_of(rules, games, met),
        "test": before.positions.batch(tests).planes,
    }
    for kind in tqdm(KINDS, desc="distances", disable=not progress):
        which, when = kind.split("_")
        if when == "removed":
            after.remove_source(ADDED)
        rows = look_up(before if when == "before" else after, planes[which], k, about[which])
        write_whole(folder / f"{kind}.rows", rows.tobytes())


KINDS = ("test_before", "test_after", "met_before", "met_after", "met_removed")


def read_rows(path: Path) -> np.ndarray:
    """What `measure` wrote.

    Raises:
        FileNotFoundError: there is nothing.
    """
    return np.frombuffer(path.read_bytes(), ROW)


def _copy(database: Database, folder: Path) -> Database:
    """Copies the files of a database where they are not there yet, and opens the copy."""
    folder.mkdir(parents=True, exist_ok=True)
    made_of = folder / "copied_from.txt"
    if made_of.exists() and made_of.read_text() != database.fingerprint:
        raise ValueError(f"{folder} is a copy of another database: delete it, and run again")
    write_whole(made_of, database.fingerprint)  # first: what is copied below is of this one
    parts = {"positions": database.positions, "keys": database.shards, "index": database}
    for name, part in parts.items():
        if not (folder / name).exists():
            beside = folder / f".{name}.{uuid.uuid4().hex}"
            shutil.copytree(part.folder, beside, ignore=shutil.ignore_patterns("*.lock"))
            os.replace(beside, folder / name)
    positions = Positions.open(folder / "positions")
    shards = KeyShards.open(folder / "keys", positions, database.keys)
    settings, device = database.config, database.device
    copied = Database(folder / "index", positions, database.keys, shards, settings, device=device)
    copied.load(progress=False)
    return copied
