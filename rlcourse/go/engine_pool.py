"""Engines that play many games at once: a process for each game, and a thread that waits for it.

An engine holds one game at a time. It is told of each move in the order in which it was played, as
in `arena.play_game`, so that it plays the same games here as there.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

import torch
from jaxtyping import Int
from torch import Tensor

from rlcourse.go.board import Go, Ongoing, State
from rlcourse.go.gtp import Engine
from rlcourse.go.notation import RESIGN
from rlcourse.go.rules import BLACK, WHITE, Rules


class EnginePool:
    """Running engines of one kind; a contestant in `batch_match`.

    Args:
        command: the program and its arguments; a string is split as a shell would.
        rules: of the games.
        num_engines: processes; as many as games are played at once.
        timeout: seconds that one command may take.
        name: for records; None: the engine is asked.
        num_threads: engines that may think at the same time; None: all.

    Raises:
        EngineError: the program is missing or does not speak GTP.
        ValueError: num_engines or num_threads < 1.
    """

    thinks_elsewhere = True  # in other processes: for `batch_match`

    def __init__(
        self,
        command: str | Sequence[str],
        rules: Rules,
        num_engines: int,
        timeout: float = 60.0,
        name: str | None = None,
        num_threads: int | None = None,
    ) -> None:
        for setting, number in (("num_engines", num_engines), ("num_threads", num_threads)):
            if number is not None and number < 1:
                raise ValueError(f"{setting} must be at least 1, got {number}")
        self._engines: list[Engine] = []
        self._games: list[int | None] = [None] * num_engines
        self._told: list[list[int]] = [[] for _ in range(num_engines)]  # moves on its board
        try:
            for _ in range(num_engines):
                self._engines.append(Engine(command, rules, timeout, name))
        except BaseException:
            self.close()
            raise
        self.name = self._engines[0].name
        self._threads = num_threads or num_engines

    @property
    def fingerprint(self) -> str:
        """Of the command."""
        return self._engines[0].fingerprint

    def moves(self, go: Go, state: State, games: Sequence[Ongoing]) -> Int[Tensor, " B"]:
        """The move of each game's engine, or `RESIGN`.

        Raises:
            EngineError: an engine failed.
            ValueError: there are more games at once than engines.
        """
        most = max(game.slot for game in games) + 1
        if most > len(self._engines):
            raise ValueError(
                f"{most} games at once need as many engines, the pool has {len(self._engines)}: "
                "make a larger pool, or give a smaller num_parallel"
            )
        with ThreadPoolExecutor(self._threads) as threads:
            return torch.tensor(list(threads.map(self._move, games)))

    def close(self) -> None:
        """Ends the programs."""
        for engine in self._engines:
            engine.close()

    def __enter__(self) -> "EnginePool":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _move(self, game: Ongoing) -> int:
        engine, told = self._engines[game.slot], self._told[game.slot]
        held, self._games[game.slot] = self._games[game.slot], None  # what an error would leave
        if held != game.number or game.moves[: len(told)] != told:
            engine.new_game(seed=game.seed)
            told.clear()
        for move in game.moves[len(told) :]:
            engine.play(_color(len(told)), move)
            told.append(move)
        move = engine.genmove(_color(len(told)))
        if move != RESIGN:
            told.append(move)
        self._games[game.slot] = game.number
        return move


def _color(num_moves: int) -> int:
    return BLACK if num_moves % 2 == 0 else WHITE
