"""Go on B boards at once: rules, legal moves, area score and the planes that a network sees.

Rules: a chain without liberties is captured, the opponent's first; a move that leaves its own chain
without one (suicide) is illegal; so is one that brings back an earlier position of the whole board
(positional superko), or, under the simple ko rule, one that takes back a single stone at once. Two
passes in a row end the game, and so does `Rules.max_moves`. Points are scored by area: stones, and
empty regions that reach stones of one color only. Dead stones are not known: play until they are
captured.

A move is a number: row * size + column, rows from the top, and size^2 for a pass. Colors are +1 for
black, who moves first, and -1 for white.

**Chains.** Each stone knows the label of its chain, the smallest point in it. For each label the
state keeps its *pseudo-liberties*: over all pairs of a stone and an empty point beside it, their
number n, the sum s of the points and the sum q of their squares. A liberty that is seen from two
stones counts twice, so that stones can be added and chains joined by plain addition. A chain has
exactly one liberty if and only if all its pairs name the same point; by the Cauchy-Schwarz
inequality that is the case exactly where n q = s^2 and n > 0.

**Superko.** A position's key is the sum of a random number for each stone, modulo 2^64. The keys of
all positions are kept. A filter of `FILTER_WORDS` words of 64 bits tells most keys that were never
seen without a look at the list. Until the first capture stones are only added, and nothing can
repeat.

Two backends with equal results write this state: `kernel_cpu` compiles one loop per board with
numba, `kernel_torch` does the same with tensor operations on any device.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rlcourse.go.rules import BLACK, NINE, NUM_RECENT, Rules

FILTER_WORDS = 64  # of 64 bits: 4,096 places for some hundred keys
NUM_SCALARS = 6 + NUM_RECENT


@dataclass(frozen=True, eq=False)
class State:
    """B games. `Go.step_` writes into these tensors; P = size^2 points, A = P + 1 moves.

    Everything but `legal` lies in two tables with a row for each board, so that a compiled loop
    over boards needs two pointers, and a copy two copies. The properties are views of them.
    """

    small: Int[Tensor, "B X"]  # int32: 5 rows of P, and `NUM_SCALARS` numbers
    large: Int[Tensor, "B Y"]  # int64: a row of P, the key, the filter, and all keys
    legal: Bool[Tensor, "B A"]  # moves of the side to play; none when the game is over

    @property
    def num_boards(self) -> int:
        return self.small.shape[0]

    @property
    def num_points(self) -> int:
        return self.legal.shape[1] - 1

    @property
    def device(self) -> torch.device:
        return self.small.device

    @property
    def stones(self) -> Int[Tensor, "B P"]:
        """+1 black, -1 white, 0 empty."""
        return self._row(0)

    @property
    def chain(self) -> Int[Tensor, "B P"]:
        """The label of each stone's chain, the smallest point in it; -1 where there is none."""
        return self._row(1)

    @property
    def num_liberties(self) -> Int[Tensor, "B P"]:
        """By label: n, the number of pseudo-liberties; here and below 0 where no chain has it."""
        return self._row(2)

    @property
    def sum_liberties(self) -> Int[Tensor, "B P"]:
        """By label: s."""
        return self._row(3)

    @property
    def square_liberties(self) -> Int[Tensor, "B P"]:
        """By label: q."""
        return self._row(4)

    @property
    def to_play(self) -> Int[Tensor, " B"]:
        """The color to move."""
        return self._number(0)

    @property
    def ko(self) -> Int[Tensor, " B"]:
        """The point that the simple ko rule forbids, or -1."""
        return self._number(1)

    @property
    def num_passes(self) -> Int[Tensor, " B"]:
        """Passes in a row."""
        return self._number(2)

    @property
    def num_moves(self) -> Int[Tensor, " B"]:
        """Moves played, passes included."""
        return self._number(3)

    @property
    def num_captured(self) -> Int[Tensor, " B"]:
        """Stones that were ever taken."""
        return self._number(4)

    @property
    def num_keys(self) -> Int[Tensor, " B"]:
        """Positions since the empty board, which counts."""
        return self._number(5)

    @property
    def recent(self) -> Int[Tensor, "B R"]:
        """The last moves, the newest first; -1 before the game."""
        return self.small[:, -NUM_RECENT:]

    @property
    def chain_key(self) -> Int[Tensor, "B P"]:
        """By label: its stones' part of the position's key."""
        return self.large[:, : self.num_points]

    @property
    def key(self) -> Int[Tensor, " B"]:
        """Of the position."""
        return self.large[:, self.num_points]

    @property
    def key_filter(self) -> Int[Tensor, "B W"]:
        """One bit for each of the lowest 12 bits that a key has had."""
        return self.large[:, self.num_points + 1 : self.num_points + 1 + FILTER_WORDS]

    @property
    def keys(self) -> Int[Tensor, "B L"]:
        """Of all positions since the empty board."""
        return self.large[:, self.num_points + 1 + FILTER_WORDS :]

    def clone(self) -> "State":
        """A copy that shares nothing."""
        return State(self.small.clone(), self.large.clone(), self.legal.clone())

    def select(self, boards: Tensor) -> "State":
        """A copy of some boards: their indices [K] in any order, or a mask [B]."""
        return State(self.small[boards], self.large[boards], self.legal[boards])

    def put_(self, boards: Tensor, other: "State") -> None:
        """Overwrites the boards with these indices [K] by the K boards of `other`."""
        self.small[boards] = other.small
        self.large[boards] = other.large
        self.legal[boards] = other.legal

    def to(self, device: torch.device | str) -> "State":
        """The same games on another device."""
        return State(self.small.to(device), self.large.to(device), self.legal.to(device))

    def _row(self, row: int) -> Tensor:
        return self.small[:, row * self.num_points : (row + 1) * self.num_points]

    def _number(self, which: int) -> Tensor:
        return self.small[:, 5 * self.num_points + which]


class Go:
    """The rules of one board size, with a backend.

    Args:
        rules: see `Rules`.
        device: of the games.
        backend: "numba" or "torch"; None: numba on the CPU, torch elsewhere.

    Raises:
        ValueError: for numba on another device than the CPU, or an unknown backend.
    """

    def __init__(
        self,
        rules: Rules = NINE,
        device: torch.device | str = "cpu",
        backend: str | None = None,
    ) -> None:
        self.rules, self.device = rules, torch.device(device)
        backend = backend or ("numba" if self.device.type == "cpu" else "torch")
        self._kernel = _make_kernel(backend, rules, self.device)

    def new(self, num_boards: int) -> State:
        """`num_boards` games at their start.

        Raises:
            ValueError: num_boards < 1.
        """
        if num_boards < 1:
            raise ValueError(f"num_boards must be at least 1, got {num_boards}")
        points, shape = self.rules.num_points, {"device": self.device}
        num_large = points + 1 + FILTER_WORDS + self.rules.longest + 1
        state = State(
            torch.zeros(num_boards, 5 * points + NUM_SCALARS, dtype=torch.int32, **shape),
            torch.zeros(num_boards, num_large, dtype=torch.int64, **shape),
            torch.ones(num_boards, points + 1, dtype=torch.bool, **shape),
        )
        for nothing in (state.chain, state.ko, state.recent):
            nothing.fill_(-1)
        state.to_play.fill_(BLACK)
        state.num_keys.fill_(1)  # the empty board, whose key is 0
        state.key_filter[:, 0] = 1
        return state

    def step_(self, state: State, move: Int[Tensor, " B"]) -> None:
        """Plays a move on each board, in place. Boards whose game is over stay as they are.

        Raises:
            ValueError: for a move that is illegal, or no move at all; nothing has been played then.
        """
        self._check(state, move)
        self._kernel.step_(state, move)

    def random_games_(self, state: State, num_moves: int, seed: int, planes: bool = False) -> int:
        """Plays up to `num_moves` legal moves on each board, drawn uniformly, the pass among them.

        Args:
            state: B games, written in place.
            num_moves: on each board, at most.
            seed: of the moves.
            planes: also compute what a network sees before each move, to time that.

        Returns:
            The number of moves played on all boards.

        Raises:
            ValueError: the backend is not numba.
        """
        if not hasattr(self._kernel, "random_games_"):
            raise ValueError("random games in one loop need the backend 'numba'")
        return self._kernel.random_games_(state, num_moves, seed, planes)

    def is_over(self, state: State) -> Bool[Tensor, " B"]:
        """Whether a game has ended: after two passes in a row, or the most moves."""
        return (state.num_passes >= 2) | (state.num_moves >= self.rules.longest)

    def area(self, state: State) -> Int[Tensor, "B P"]:
        """Who owns each point: +1 black, -1 white, 0 nobody."""
        return self._kernel.area(state.stones)

    def score(self, state: State) -> Float[Tensor, " B"]:
        """Black's points minus white's, komi included: positive where black is ahead."""
        return self.area(state).sum(-1, dtype=torch.float32) - self.rules.komi

    def planes(self, state: State) -> Float[Tensor, "B C H W"]:
        """What a network sees, from the side to play; C = `NUM_PLANES`.

        0 own stones, 1 the opponent's; 2 own stones in atari, 3 the opponent's; 4 the last move,
        5 the one before it; 6 empty points that may not be played; 7 ones where black is to play.
        """
        return self._kernel.planes(state)

    def _check(self, state: State, move: Tensor) -> None:
        count, highest = state.num_boards, self.rules.num_points
        if move.shape != (count,) or move.dtype.is_floating_point or move.dtype == torch.bool:
            raise ValueError(
                f"moves must be {count} integers, one per board, got {move.dtype} of shape "
                f"{tuple(move.shape)}"
            )
        known = (move >= 0) & (move <= highest)
        legal = state.legal.gather(1, move.long().clamp(0, highest).unsqueeze(1)).squeeze(1)
        refused = ~(known & (legal | self.is_over(state)))
        if bool(refused.any()):
            board = int(refused.nonzero()[0])
            raise ValueError(
                f"move {int(move[board])} on board {board} is "
                + ("illegal" if bool(known[board]) else f"none of 0 to {highest}, the pass")
            )


Player = Callable[[Go, State], int]  # a move for the side to play on one board, or notation.RESIGN


class Ongoing(NamedTuple):
    """One of several games that are played at once, as those see it who play them."""

    number: int  # of the game
    slot: int  # its place among the games played at once, kept until it ends
    moves: list[int]  # played so far, the opening included


def random_opening(rules: Rules, number: int, least: int, most: int) -> list[int]:
    """`least` to `most` random stones off the edge, black and white in turn; each move is legal.

    Args:
        rules: of the board.
        number: of the opening; the same number gives the same one.
        least, most: stones, of both colors together; drawn uniformly in between.

    Raises:
        ValueError: the board has no room for so many.
    """
    inner = range(1, rules.size - 1)
    if not 0 <= least <= most or most > len(inner) ** 2 // 2:
        raise ValueError(
            f"an opening on {rules.size}x{rules.size} has 0 to {len(inner) ** 2 // 2} stones, got "
            f"{least} to {most}"
        )
    draw, go = random.Random(number), Go(rules)
    state, moves, length = go.new(1), [], draw.randint(least, most)
    while len(moves) < length:
        move = draw.choice(inner) * rules.size + draw.choice(inner)
        if bool(state.legal[0, move]):
            go.step_(state, torch.tensor([move]))
            moves.append(move)
    return moves


def point_keys(rules: Rules) -> Int[Tensor, "2 P"]:
    """The random number of each stone: row 0 for black, row 1 for white. The same everywhere."""
    generator = torch.Generator().manual_seed(20_220_605 + rules.size)
    low, high = -(2**63), 2**63 - 1
    return torch.randint(low, high, (2, rules.num_points), generator=generator)


def neighbor_points(size: int) -> Int[Tensor, "P 4"]:
    """The points beside each point: up, down, left, right; -1 off the board."""
    rows, columns = torch.arange(size**2) // size, torch.arange(size**2) % size
    beside = []
    for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        row, column = rows + down, columns + right
        inside = (row >= 0) & (row < size) & (column >= 0) & (column < size)
        beside.append(torch.where(inside, row * size + column, -1))
    return torch.stack(beside, -1)


def _make_kernel(backend: str, rules: Rules, device: torch.device) -> Any:
    if backend == "torch":
        from rlcourse.go.kernel_torch import TorchKernel

        return TorchKernel(rules, device)
    if backend != "numba":
        raise ValueError(f"backend must be 'numba' or 'torch', got {backend!r}")
    if device.type != "cpu":
        raise ValueError(f"the backend 'numba' runs on the CPU, not on {device}: use 'torch'")
    from rlcourse.go.kernel_cpu import CpuKernel

    return CpuKernel(rules)
