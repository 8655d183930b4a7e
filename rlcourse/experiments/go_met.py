"""Positions and how near their neighbors were: what an agent met in its games, on disk.

A file of rows is only appended to. A game that was interrupted is played again from its start and
its rows come again: of several rows for one position the last counts, and rows behind the end of a
game are left out by who reads them.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from rlcourse.go.agent import Decision, SearchAgent, game_generator
from rlcourse.go.board import Go, Ongoing, State
from rlcourse.go.database import Database
from rlcourse.go.records import Game
from rlcourse.go.rules import Rules

ROW = np.dtype(
    [
        ("game", "<u4"),  # number
        ("ply", "<u2"),  # moves before the position
        ("distance", "<f4"),  # squared, of the nearest neighbor; inf where there is none
        ("added", "<f4"),  # share of the neighbors that are from games of another source than 0
    ]
)
_PASS = 256  # positions that are looked up at a time


class Watched:
    """A `SearchAgent` whose retrieved neighbors are written down; a contestant in `batch_match`.

    Args:
        agent: with a `retrieve` that tells distances.
        database: that it retrieves from.
        path: of the rows, made if absent.
    """

    def __init__(self, agent: SearchAgent, database: Database, path: Path) -> None:
        self._agent, self._database, self._path = agent, database, path
        self.name = agent.name
        path.parent.mkdir(parents=True, exist_ok=True)
        _drop_torn_row(path)

    @property
    def fingerprint(self) -> str:
        """That of the agent: watching changes no move."""
        return self._agent.fingerprint

    def moves(self, go: Go, state: State, games: Sequence[Ongoing]) -> Int[Tensor, " B"]:
        """The agent's moves."""
        seed = self._agent.seed
        own = None
        if seed is not None:
            own = [game_generator(seed, game.number, len(game.moves)) for game in games]
        decision = self._agent.act(go, state, own)
        self._write(decision, games)
        return decision.moves

    def _write(self, decision: Decision, games: Sequence[Ongoing]) -> None:
        retrieved = decision.retrieved
        rows = np.empty(len(games), ROW)
        rows["game"] = [game.number for game in games]
        rows["ply"] = [len(game.moves) for game in games]
        rows["distance"] = retrieved.distances.cpu()[:, 0]
        rows["added"] = _share_added(self._database, retrieved.ids.cpu())
        with self._path.open("ab") as file:
            file.write(rows.tobytes())


def read_met(path: Path, games: Sequence[Game]) -> np.ndarray:
    """The rows of a match, of type `ROW`: by game, then by ply, each position once.

    Args:
        path: that a `Watched` agent has written.
        games: those that count; rows of other games, and behind their ends, are left out.

    Raises:
        FileNotFoundError: there is no file.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: run the experiment")
    rows = np.frombuffer(path.read_bytes()[: _whole_bytes(path)], ROW)
    last = {(int(row["game"]), int(row["ply"])): i for i, row in enumerate(rows)}
    length = {game.number: len(game.moves) for game in games}
    kept = [last[key] for key in sorted(last) if key[1] < length.get(key[0], 0)]
    return rows[kept]


def look_up(
    database: Database, planes: Float[Tensor, "B C H W"], k: int, about: np.ndarray
) -> np.ndarray:
    """Rows of these positions, by the database as it is now.

    Args:
        database: to search in; no game is left out.
        planes: of the positions.
        k: neighbors.
        about: rows that say which positions these are; the rest of them is replaced.
    """
    rows = about.copy()
    for part in torch.arange(len(planes)).split(_PASS):
        found = database.retrieve(planes[part], k)
        rows["distance"][part] = found.distances[:, 0].cpu()
        rows["added"][part] = _share_added(database, found.ids.cpu())
    return rows


def planes_of(rules: Rules, games: Sequence[Game], rows: np.ndarray) -> Float[Tensor, "B C H W"]:
    """What a network sees of the positions of these rows.

    Raises:
        ValueError: a row of a game that is not among these, or behind its end.
    """
    go, by_number = Go(rules), {game.number: game for game in games}
    wanted: dict[int, list[int]] = {}
    for i, row in enumerate(rows):
        wanted.setdefault(int(row["game"]), []).append(i)
    planes = torch.empty(len(rows), *go.planes(go.new(1)).shape[1:])
    for number, places in wanted.items():
        moves = by_number[number].moves if number in by_number else ()
        at = {int(rows["ply"][i]): i for i in places}
        if max(at) > len(moves):
            raise ValueError(f"game {number} has no position after {max(at)} moves")
        state = go.new(1)
        for ply in range(max(at) + 1):
            if ply in at:
                planes[at[ply]] = go.planes(state)[0]
            if ply < max(at):
                go.step_(state, torch.tensor([moves[ply]]))
    return planes


def _share_added(database: Database, ids: Int[Tensor, "B K"]) -> np.ndarray:
    """Of the neighbors [B, K], -1 where there is none, the share that no expert played: [B]."""
    there = ids >= 0
    sources = database.positions.sources[ids.clamp(min=0)]
    added = ((sources != 0) & there).sum(1) / there.sum(1).clamp(min=1)
    return added.numpy()


def _whole_bytes(path: Path) -> int:
    return path.stat().st_size // ROW.itemsize * ROW.itemsize


def _drop_torn_row(path: Path) -> None:
    with path.open("ab"):
        pass
    if _whole_bytes(path) < path.stat().st_size:
        os.truncate(path, _whole_bytes(path))
