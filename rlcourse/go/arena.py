"""Matches: paired games with swapped colors, the win rate with its interval, Elo, and every game.

Both games of a pair begin with the same random opening, so that an opening that favors a color
favors each player once. A drawn game counts as half a win. Openings are drawn by other seeds than
those of `generate` and `selfplay`; of few stones, two can still be alike.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from tqdm.auto import tqdm

from rlcourse.data.files import exclusively
from rlcourse.go.board import Go, Player, game_seed, random_opening
from rlcourse.go.notation import RESIGN
from rlcourse.go.records import Game, GameFile
from rlcourse.go.rules import BLACK, Rules
from rlcourse.go.sgf import to_sgf

LOCK = ".lock"


class Contestant(Protocol):
    """Somebody who plays; an `Engine` is one.

    A `fingerprint`, if there is one, tells players apart who play otherwise under one name.
    """

    name: str

    def new_game(self, seed: int | None = None) -> None: ...

    def play(self, color: int, move: int) -> None: ...

    def genmove(self, color: int) -> int:
        """A move, which is also played; or `RESIGN`."""


class Local:
    """A player of ours as a contestant.

    Args:
        name: for records.
        make_player: gives who chooses the moves of a game, by the game's seed; a player who draws
            random numbers plays the same game by the same seed then.
        rules: of the games.
    """

    def __init__(
        self, name: str, make_player: Callable[[int | None], Player], rules: Rules
    ) -> None:
        self.name, self._make_player, self._go = name, make_player, Go(rules)
        self.new_game()

    @property
    def fingerprint(self) -> str | None:
        """That of the player, if it has one."""
        return getattr(self._player, "fingerprint", None)

    def new_game(self, seed: int | None = None) -> None:
        self._player, self._state = self._make_player(seed), self._go.new(1)

    def play(self, color: int, move: int) -> None:
        """Puts a move on the board.

        Raises:
            ValueError: the other color is to move.
        """
        self._check_turn(color)
        self._go.step_(self._state, torch.tensor([move]))

    def genmove(self, color: int) -> int:
        """The player's move.

        Raises:
            ValueError: the other color is to move.
        """
        self._check_turn(color)
        move = self._player(self._go, self._state.clone())
        if move != RESIGN:
            self.play(color, move)
        return move

    def _check_turn(self, color: int) -> None:
        if color != int(self._state.to_play):
            raise ValueError(
                f"{self.name}: color {color} (black is {BLACK}) is not to move: moves are told in"
                " turn, and new_game begins again"
            )


class Interval(NamedTuple):
    """A share with its confidence interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Match:
    """What came of a match, seen from the first player."""

    wins: int
    draws: int
    losses: int

    @property
    def num_games(self) -> int:
        return self.wins + self.draws + self.losses

    @property
    def win_rate(self) -> Interval:
        """Wilson's 95 % interval; a draw is half a win."""
        return wilson_interval(self.wins + 0.5 * self.draws, self.num_games)

    @property
    def elo(self) -> Interval:
        """The difference in Elo points: infinite where one player won everything."""
        return Interval(*map(elo_difference, self.win_rate))

    def __str__(self) -> str:
        rate, elo = self.win_rate, self.elo
        return (
            f"{self.wins} won, {self.draws} drawn, {self.losses} lost: {rate.mean:.1%} "
            f"[{rate.low:.1%}, {rate.high:.1%}], "
            f"Elo {elo.mean:+.0f} [{elo.low:+.0f}, {elo.high:+.0f}]"
        )


def wilson_interval(wins: float, num_games: int, z: float = 1.959964) -> Interval:
    """A share of successes with Wilson's score interval (1927), which stays inside [0, 1].

    Args:
        wins: number of successes, 0 to `num_games`; half ones are allowed.
        num_games: trials, at least 1.
        z: quantile of the normal distribution; the default gives 95 %.

    Raises:
        ValueError: wins does not lie between 0 and num_games, or there are no games.
    """
    if num_games < 1 or not 0 <= wins <= num_games:
        raise ValueError(f"{wins} wins in {num_games} games: give 0 to num_games, and at least 1")
    share, shrink = wins / num_games, 1 + z**2 / num_games
    center = (share + z**2 / (2 * num_games)) / shrink
    spread = share * (1 - share) / num_games + z**2 / (4 * num_games**2)
    radius = z * math.sqrt(spread) / shrink
    return Interval(share, max(0.0, center - radius), min(1.0, center + radius))


def elo_difference(win_rate: float) -> float:
    """Elo points that explain a win rate: 400 log10(p / (1 - p)); infinite at 0 and 1."""
    if win_rate in (0.0, 1.0):
        return math.copysign(math.inf, win_rate - 0.5)
    return 400.0 * math.log10(win_rate / (1.0 - win_rate))


def games_needed(elo: float, z: float = 1.959964) -> int:
    """The fewest games at which Wilson's interval leaves out 1/2, where the score is as expected.

    Half of such matches come out below their expectation, so that twice to four times as many are
    wise.

    Args:
        elo: how much stronger one player is, positive.
        z: quantile of the normal distribution; the default gives 95 %.

    Raises:
        ValueError: elo is not positive.
    """
    if not elo > 0:
        raise ValueError(f"elo must be positive, got {elo}: no match shows that two are equal")
    share = 1 / (1 + 10 ** (-elo / 400))
    return math.floor((z / (2 * share - 1)) ** 2) + 1


def play_match(
    one: Contestant,
    other: Contestant,
    rules: Rules,
    num_pairs: int,
    folder: Path,
    *,
    stones: tuple[int, int] = (4, 8),
    seed: int = 0,
    progress: bool = True,
) -> Match:
    """Plays the games that are missing in `folder`, and counts all.

    Game 2 i + s is the game of pair i in which `one` is black (s = 0) or white (s = 1).

    Args:
        one, other: the players.
        rules: of the games; both players must have been made for them.
        num_pairs: of games.
        folder: receives match.games and an SGF file for each game. A match that was interrupted
            goes on from there.
        stones: fewest and most random stones of an opening.
        seed: of the openings and of the players; another seed gives another match.
        progress: draw a progress bar.

    Raises:
        BlockingIOError: another process plays a match in the folder.
        ValueError: a player made an illegal move, or the folder holds another match: one of other
            players, rules, stones or seed.
    """
    with MatchRecord.open((one, other), rules, folder, stones, seed) as record:
        with record.bar(num_pairs, progress) as bar:
            for number in record.missing(num_pairs):
                black, white = (one, other) if number % 2 == 0 else (other, one)
                opening = record.opening(number)
                record.save(play_game(black, white, rules, number, opening, seed))
                bar.update()
        return record.match(num_pairs)


def match_opening(rules: Rules, seed: int, number: int, stones: tuple[int, int]) -> list[int]:
    """The random moves at the start of a match's game, the same for both games of a pair.

    Args:
        rules: of the match.
        seed: of the match.
        number: of the game.
        stones: fewest and most.
    """
    # `generate` has those below 1 << 32, `selfplay` has even factors. Not << 32: Python's
    # generator begins alike for some seeds of one word and of two, 2 and (1 << 32) + 2 for one.
    return random_opening(rules, ((2 * seed + 1) << 64) + number // 2, *stones)


class Named(Protocol):
    """What a record says of a player, beside the fingerprint if there is one."""

    name: str


class MatchRecord:
    """The folder of a match: match.games, and an SGF file for each game. See `open`.

    Args:
        players: the two.
        rules: of the games.
        folder: is made if need be; a match that is there already goes on.
        stones: fewest and most random stones of an opening.
        seed: of the openings, not negative.

    Raises:
        ValueError: the folder holds another match, or for a negative seed.
    """

    def __init__(
        self,
        players: tuple[Named, Named],
        rules: Rules,
        folder: Path,
        stones: tuple[int, int],
        seed: int = 0,
    ) -> None:
        if seed < 0:
            raise ValueError(f"seed must not be negative, got {seed}")
        self._names = (players[0].name, players[1].name)
        self._rules, self._folder, self._stones, self._seed = rules, folder, stones, seed
        about = {
            "one": self._names[0],
            "other": self._names[1],
            "fingerprints": [getattr(player, "fingerprint", None) for player in players],
            "superko": rules.superko,
            "max_moves": rules.longest,
            "stones": list(stones),
            "seed": seed,
        }
        path = folder / "match.games"
        self._file = GameFile.open_or_create(path, rules.size, rules.komi, about)
        self._games = {game.number: game for game in self._file}

    @classmethod
    @contextmanager
    def open(
        cls,
        players: tuple[Named, Named],
        rules: Rules,
        folder: Path,
        stones: tuple[int, int],
        seed: int = 0,
    ) -> Iterator["MatchRecord"]:
        """Yields the record, and holds the folder against other processes meanwhile.

        Raises:
            BlockingIOError: another process plays a match there.
            ValueError: see the class.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with exclusively(folder / LOCK):
            yield cls(players, rules, folder, stones, seed)

    def missing(self, num_pairs: int) -> list[int]:
        """The games that are still to be played."""
        return [number for number in range(2 * num_pairs) if number not in self._games]

    def opening(self, number: int) -> list[int]:
        """The random moves at the start of a game, the same for both games of a pair."""
        return match_opening(self._rules, self._seed, number, self._stones)

    def save(self, game: Game) -> None:
        """Writes a game that has ended."""
        names = self._names if game.number % 2 == 0 else self._names[::-1]
        content = to_sgf(game, self._rules.size, self._rules.komi, *names)
        (self._folder / f"{game.number:05}.sgf").write_bytes(content)
        self._file.append([game])
        self._games[game.number] = game

    def match(self, num_pairs: int) -> Match:
        """The score of the first pairs."""
        return count(game for number, game in self._games.items() if number < 2 * num_pairs)

    def bar(self, num_pairs: int, progress: bool) -> tqdm:
        """A progress bar over all games, those that were played before included."""
        total, done = 2 * num_pairs, 2 * num_pairs - len(self.missing(num_pairs))
        return tqdm(desc=" - ".join(self._names), total=total, initial=done, disable=not progress)


def play_game(
    black: Contestant,
    white: Contestant,
    rules: Rules,
    number: int,
    opening: list[int],
    seed: int = 0,
) -> Game:
    """One game; seed and number give the players their seed (`game_seed`).

    Raises:
        ValueError: a player made an illegal move.
    """
    go, color, moves = Go(rules), BLACK, []
    state = go.new(1)
    for player in (black, white):
        player.new_game(seed=game_seed(seed, number))
    while not bool(go.is_over(state)):
        mover, waiting = (black, white) if color == BLACK else (white, black)
        if len(moves) < len(opening):
            move = opening[len(moves)]
            mover.play(color, move)
        else:
            move = mover.genmove(color)
        if move == RESIGN:
            return Game(number, tuple(moves), -0.5 * color, resigned=True, opening=len(opening))
        if not 0 <= move <= rules.num_points or not bool(state.legal[0, move]):
            raise ValueError(f"{mover.name} played the illegal move {move} in game {number}")
        waiting.play(color, move)
        go.step_(state, torch.tensor([move]))
        moves.append(move)
        color = -color
    return Game(number, tuple(moves), float(go.score(state)), opening=len(opening))


def count(games: Iterable[Game]) -> Match:
    """The score of the first player, who is black in games of even number."""
    signs = [game.margin * (1 if game.number % 2 == 0 else -1) for game in games]
    wins, losses = sum(s > 0 for s in signs), sum(s < 0 for s in signs)
    return Match(wins, len(signs) - wins - losses, losses)
