"""Boards drawn with letters: X black, O white, and what the engine makes of them."""

import textwrap

import torch

from rlcourse.go.board import Go, State
from rlcourse.go.rules import Rules


def points(text: str) -> list[str]:
    return list("".join(textwrap.dedent(text).split()))


def set_up(go: Go, text: str, to_play: str = "X") -> State:
    """A board with these stones, reached by legal moves: black and white in turn, or passes."""
    cells, state = points(text), go.new(1)
    assert len(cells) == go.rules.num_points, "draw every point"
    last = go.rules.num_points
    stones = {color: [i for i, c in enumerate(cells) if c == color] for color in "XO"}
    for number in range(max(len(stones["X"]), len(stones["O"]))):
        for color in "XO":
            left = stones[color]
            play(go, state, left[number] if number < len(left) else last)
    if to_play == "O":
        play(go, state, last)
    assert drawn(state) == "".join(cells), "the stones took each other while they were set up"
    return state


def play(go: Go, state: State, *moves: int) -> None:
    for move in moves:
        go.step_(state, torch.full((state.num_boards,), move))


def drawn(state: State) -> str:
    return "".join(".XO"[stone] for stone in state.stones[0].tolist())


def rules(size: int, **others) -> Rules:
    return Rules(size, max_moves=10_000, **others)
