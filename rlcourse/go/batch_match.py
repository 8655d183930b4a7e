"""Matches of many games at once: a player that searches decides on a whole batch in one go.

The games, the openings, the files and the count are those of `arena.play_match`: paired games with
swapped colors, each pair from one random opening. Games are played in waves; all games of a wave
move in lockstep, and those in which the same player is to move are one batch. A game that ends
leaves the wave and is written at once. A match that was interrupted goes on with the games that
are missing. A player whose attribute `thinks_elsewhere` is true, as that of an `EnginePool`, thinks
while the other one decides on the boards of its own turn.

A player whose moves depend only on the game, and not on those beside it, plays the same games here
as one after the other.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from jaxtyping import Int
from torch import Tensor

from rlcourse.go.arena import Match, MatchRecord
from rlcourse.go.board import Go, Ongoing, Player, State, game_seed
from rlcourse.go.notation import RESIGN
from rlcourse.go.records import Game
from rlcourse.go.rules import BLACK, Rules


class BatchContestant(Protocol):
    """Somebody who plays many games at once: a `SearchAgent`, an `EnginePool`, or `OneByOne`."""

    name: str

    def moves(self, go: Go, state: State, games: Sequence[Ongoing]) -> Int[Tensor, " B"]:
        """For each board, whose game is told by `games`, a move or `RESIGN`, on the CPU."""


class OneByOne:
    """A player of ours who looks at one board after the other.

    Args:
        name: for records.
        player: chooses a move on a board.
    """

    def __init__(self, name: str, player: Player) -> None:
        self.name, self._player = name, player

    @property
    def fingerprint(self) -> str | None:
        """That of the player, if it has one."""
        return getattr(self._player, "fingerprint", None)

    def moves(self, go: Go, state: State, games: Sequence[Ongoing]) -> Int[Tensor, " B"]:
        boards = (state.select(torch.tensor([i])) for i in range(state.num_boards))
        return torch.tensor([self._player(go, board) for board in boards])


def play_batch_match(
    one: BatchContestant,
    other: BatchContestant,
    rules: Rules,
    num_pairs: int,
    folder: Path,
    *,
    num_parallel: int = 64,
    stones: tuple[int, int] = (4, 8),
    seed: int = 0,
    progress: bool = True,
) -> Match:
    """Plays the games that are missing in `folder`, and counts all.

    Args:
        one, other: the players. `one` is black in games of even number.
        rules: of the games.
        num_pairs: of games.
        folder: receives match.games and an SGF file for each game, as from `arena.play_match`.
        num_parallel: games of a wave; a pool of engines needs as many engines.
        stones: fewest and most random stones of an opening.
        seed: of the openings and of engines; another seed gives another match.
        progress: draw a progress bar.

    Raises:
        BlockingIOError: another process plays a match in the folder.
        ValueError: a player made an illegal move, the folder holds another match, or
            num_parallel < 1.
    """
    if num_parallel < 1:
        raise ValueError(f"num_parallel must be at least 1, got {num_parallel}")
    go = Go(rules)
    with MatchRecord.open((one, other), rules, folder, stones, seed) as record:
        with record.bar(num_pairs, progress) as bar:
            missing = record.missing(num_pairs)
            for start in range(0, len(missing), num_parallel):
                openings = {n: record.opening(n) for n in missing[start : start + num_parallel]}
                for game in play_wave(one, other, go, openings, seed):
                    record.save(game)
                    bar.update()
        return record.match(num_pairs)


def play_wave(
    one: BatchContestant,
    other: BatchContestant,
    go: Go,
    openings: dict[int, list[int]],
    seed: int = 0,
) -> Iterator[Game]:
    """Games at once, each yielded when it ends.

    Args:
        one, other: the players. `one` is black in games of even number.
        go: the rules.
        openings: the number of each game, and its moves that no player chooses.
        seed: of the match.

    Raises:
        ValueError: a player made an illegal move.
    """
    games = [
        Ongoing(number, slot, [], game_seed(seed, number)) for slot, number in enumerate(openings)
    ]
    wave = _Wave(go, go.new(len(games)), games, openings, (one, other))
    color = BLACK
    while wave.games:
        moves = wave.moves(color)
        yield from wave.resigned_(moves, color)
        yield from wave.step_(moves[moves != RESIGN])
        color = -color


@dataclass
class _Wave:
    """The games of a wave that are still going on; all have the same color to move."""

    go: Go
    state: State
    games: list[Ongoing]
    openings: dict[int, list[int]]
    players: tuple[BatchContestant, BatchContestant]

    def moves(self, color: int) -> Int[Tensor, " B"]:
        """On all boards, by the openings and by both players, checked."""
        moves, todo = torch.empty(len(self.games), dtype=torch.int64), ([], [])
        for board, game in enumerate(self.games):
            opening = self.openings[game.number]
            if len(game.moves) < len(opening):
                moves[board] = opening[len(game.moves)]
            else:
                todo[self._mover(game, color)].append(board)
        asked = [one for one in zip(self.players, todo, strict=True) if one[1]]
        engines = [one for one in asked if _thinks_elsewhere(one[0])]
        # Engines are other processes: a thread that waits for them leaves this one to the model.
        with ThreadPoolExecutor(len(self.players)) as threads:
            waiting = [
                (boards, threads.submit(self._asked, pool, boards)) for pool, boards in engines
            ]
            for player, boards in asked:
                if not _thinks_elsewhere(player):
                    moves[boards] = self._asked(player, boards)
            for boards, answer in waiting:
                moves[boards] = answer.result()
        return moves

    def resigned_(self, moves: Int[Tensor, " B"], color: int) -> Iterator[Game]:
        """Takes out the games that the side to play gave up."""
        gone = moves == RESIGN
        yield from (self._ended(board, -0.5 * color, True) for board in _indices(gone))
        self._keep_(~gone)

    def step_(self, moves: Int[Tensor, " B"]) -> Iterator[Game]:
        """Plays a move on each board, and takes out the games that end with it."""
        if not self.games:
            return
        self.go.step_(self.state, moves.to(self.go.device))
        for game, move in zip(self.games, moves.tolist(), strict=True):
            game.moves.append(move)
        over = self.go.is_over(self.state).cpu()
        if bool(over.any()):
            scores = self.go.score(self.state).tolist()
            yield from (self._ended(board, scores[board], False) for board in _indices(over))
            self._keep_(~over)

    def _mover(self, game: Ongoing, color: int) -> int:
        return 0 if (color == BLACK) == (game.number % 2 == 0) else 1

    def _asked(self, player: BatchContestant, boards: list[int]) -> Int[Tensor, " K"]:
        state = self.state.select(torch.tensor(boards, device=self.go.device))
        games = [self.games[board] for board in boards]
        moves = player.moves(self.go, state, games).cpu().long()
        if moves.shape != (len(boards),):
            raise ValueError(
                f"{player.name} gave moves of shape {tuple(moves.shape)}: give one each"
            )
        known = (moves >= 0) & (moves <= self.go.rules.num_points)
        legal = state.legal.cpu().gather(1, moves.clamp(0, self.go.rules.num_points).unsqueeze(1))
        wrong = ~(known & legal.squeeze(1)) & (moves != RESIGN)
        for board in _indices(wrong):
            raise ValueError(
                f"{player.name} played the illegal move {int(moves[board])} in game "
                f"{games[board].number}"
            )
        return moves

    def _ended(self, board: int, margin: float, resigned: bool) -> Game:
        game = self.games[board]
        opening = len(self.openings[game.number])
        return Game(game.number, tuple(game.moves), margin, resigned, opening)

    def _keep_(self, keep: Tensor) -> None:
        if not bool(keep.all()):
            self.state = self.state.select(keep.to(self.go.device))
            self.games = [self.games[board] for board in _indices(keep)]


def _indices(mask: Tensor) -> list[int]:
    return mask.nonzero().squeeze(1).tolist()


def _thinks_elsewhere(player: BatchContestant) -> bool:
    return getattr(player, "thinks_elsewhere", False)
