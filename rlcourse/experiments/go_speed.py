"""How many moves a second: a step that plays on many boards at once, against one board at a time.

A measurement for a notebook, on the machine that it runs on; the claims of the course are in
benchmarks/.
"""

import time
from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Int
from matplotlib.figure import Figure
from torch import Tensor

from rlcourse.go.board import Go
from rlcourse.go.rules import Rules
from rlcourse.viz.style import PALETTE, SIZES

Play = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


def random_moves(rules: Rules, num_boards: int, num_moves: int, seed: int) -> Int[Tensor, "T B"]:
    """Legal moves of random games; passes only where nothing else is legal."""
    go, generator = Go(rules), torch.Generator().manual_seed(seed)
    state, moves = go.new(num_boards), []
    for _ in range(num_moves):
        chance = state.legal.float()
        chance[:, -1] = (~state.legal[:, :-1].any(1)).float()
        moves.append(torch.multinomial(chance, 1, generator=generator).squeeze(1))
        go.step_(state, moves[-1])
    return torch.stack(moves)


def engine_boards(rules: Rules, moves: Int[Tensor, "T B"]) -> Int[Tensor, "B H W"]:
    """The boards after these moves, by the compiled engine."""
    go = Go(rules)
    state = go.new(moves.shape[1])
    for move in moves:
        go.step_(state, move)
    return state.stones.view(-1, rules.size, rules.size).clone()


def flood_boards(play: Play, rules: Rules, moves: Int[Tensor, "T B"]) -> Int[Tensor, "B H W"]:
    """The same by a function like `flood.play`, which notebook 13's learner writes.

    Raises:
        ValueError: it calls one of the moves illegal.
    """
    num_boards = moves.shape[1]
    stones = torch.zeros(num_boards, rules.size, rules.size, dtype=torch.int32)
    ko = torch.full((num_boards,), -1)
    for number, move in enumerate(moves):
        color = torch.full((num_boards,), -1 if number % 2 else 1)
        stones, legal, ko = play(stones, color, move, ko)
        if not bool(legal.all()):
            board = int((~legal).nonzero()[0])
            raise ValueError(f"move {number + 1} on board {board} is legal, and was refused")
    return stones


def moves_per_second(
    ways: Mapping[str, Callable[[Tensor], Tensor]],
    rules: Rules,
    num_boards: Sequence[int],
    num_moves: int = 40,
    repeats: int = 3,
) -> dict[str, list[float]]:
    """The speed of each way to play the same games, for each number of boards.

    Args:
        ways: name -> function of moves [T, B].
        rules: of the games.
        num_boards: at once.
        num_moves: of each game.
        repeats: of which the fastest counts: other work on the machine only ever slows one down.
    """
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for count in num_boards:
        moves = random_moves(rules, count, num_moves, seed=count)
        for name, way in ways.items():
            way(moves[:2])  # what is compiled at the first call is not counted
            fastest = min(_seconds(way, moves) for _ in range(repeats))
            speeds[name].append(moves.numel() / fastest)
    return speeds


def _seconds(way: Callable[[Tensor], Tensor], moves: Tensor) -> float:
    begin = time.perf_counter()
    way(moves)
    return time.perf_counter() - begin


def plot(num_boards: Sequence[int], speeds: Mapping[str, Sequence[float]]) -> Figure:
    """Moves per second against the number of boards, both axes logarithmic."""
    figure = Figure(figsize=SIZES["single"], layout="constrained")
    ax = figure.subplots()
    for (name, found), role in zip(speeds.items(), ("ours", "expert", "baseline"), strict=False):
        ax.plot(num_boards, found, "o-", color=PALETTE[role], label=name)
        for place in (0, -1):
            ax.annotate(
                f"{found[place]:,.0f}",
                (num_boards[place], found[place]),
                (0, 7),
                textcoords="offset points",
                ha="center",
                color=PALETTE[role],
            )
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xticks(num_boards, [f"{count:,}" for count in num_boards])
    ax.minorticks_off()
    ax.margins(0.12, 0.15)
    ax.set_xlabel("boards at once")
    ax.set_ylabel("moves per second, all boards together")
    ax.set_title("The same games, with more boards at once")
    ax.legend(loc="upper left")
    return figure
