"""The rules of Go on B boards at once, written as one idea: grow a set of points until it stops.

Source: the logical rules of Tromp and Taylor (1995), rules 3, 4, 7 and 10. These are the short
functions that notebook 13 lets a learner write. `board.Go` plays the same rules hundreds of times
faster, and remembers earlier positions; here only the simple ko rule is known.

    stones   [B, H, W] integers: +1 black, -1 white, 0 empty
    point    [B] row * W + column
    color    [B] +1 or -1

**Deviations** from Tromp and Taylor: suicide is illegal, and so is only the simple ko, not every
repetition.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import pad

_LETTERS = {"X": 1, "O": -1, ".": 0}


def beside(points: Bool[Tensor, "B H W"]) -> Bool[Tensor, "B H W"]:
    """The points above, below, left and right of marked ones; nothing wraps around the edge."""
    wide = pad(points, (1, 1, 1, 1))
    return wide[:, :-2, 1:-1] | wide[:, 2:, 1:-1] | wide[:, 1:-1, :-2] | wide[:, 1:-1, 2:]


def flood(seeds: Bool[Tensor, "B H W"], within: Bool[Tensor, "B H W"]) -> Bool[Tensor, "B H W"]:
    """The points of `within` that steps inside `within` reach from a seed; seeds outside do not
    count."""
    reached = seeds & within
    while True:
        grown = reached | (beside(reached) & within)
        if torch.equal(grown, reached):
            return reached
        reached = grown


def marked(point: Int[Tensor, " B"], stones: Int[Tensor, "B H W"]) -> Bool[Tensor, "B H W"]:
    """One point on each board as a mask."""
    places = torch.arange(stones[0].numel(), device=stones.device)
    return (places == point[:, None]).view_as(stones)


def liberties(stones: Int[Tensor, "B H W"], point: Int[Tensor, " B"]) -> Int[Tensor, " B"]:
    """How many empty points lie beside the chain on `point`; 0 where no stone is there."""
    start = marked(point, stones)
    color = (stones * start).sum((1, 2))
    own = (stones == color[:, None, None]) & (stones != 0)
    return (beside(flood(start, own)) & (stones == 0)).sum((1, 2))


def play(
    stones: Int[Tensor, "B H W"],
    color: Int[Tensor, " B"],
    point: Int[Tensor, " B"],
    ko: Int[Tensor, " B"],
) -> tuple[Int[Tensor, "B H W"], Bool[Tensor, " B"], Int[Tensor, " B"]]:
    """A stone of `color` on `point` of each board; passes are none of its business.

    Args:
        stones: the boards.
        color: who plays.
        point: where.
        ko: the point that may not be taken back now, or -1.

    Returns:
        The boards after the move, unchanged where it is illegal; whether it is legal [B]; and the
        point that may not be taken back next, or -1.
    """
    new = torch.where(marked(point, stones), color[:, None, None].to(stones.dtype), stones)
    own, other = (new == side[:, None, None] for side in (color, -color))
    taken = other & ~flood(other & beside(new == 0), other)
    new = torch.where(taken, 0, new)
    chain = flood(marked(point, stones), own)
    free = (beside(chain) & (new == 0)).sum((1, 2))
    was_empty = (stones == 0).flatten(1).gather(1, point[:, None]).squeeze(1)
    legal = was_empty & (free > 0) & (point != ko)
    lone = (taken.sum((1, 2)) == 1) & (chain.sum((1, 2)) == 1) & (free == 1)
    next_ko = torch.where(lone, taken.flatten(1).int().argmax(1), -1)
    kept = torch.where(legal[:, None, None], new, stones)
    return kept, legal, torch.where(legal, next_ko, ko)


def area_score(stones: Int[Tensor, "B H W"], komi: float) -> Float[Tensor, " B"]:
    """Black's stones and surrounded points, minus White's, minus the komi. Points that both colors
    reach, or neither, are nobody's."""
    empty = stones == 0
    black, white = ((stones == color) | flood(beside(stones == color), empty) for color in (1, -1))
    return (black.sum((1, 2)) - white.sum((1, 2))).float() - komi


def from_text(text: str) -> Int[Tensor, "H W"]:
    """A board drawn with a line for each row: X black, O white, a point for empty; int32.

    Raises:
        ValueError: another letter, or rows of different lengths.
    """
    rows = ["".join(line.split()) for line in text.strip().splitlines()]
    if len({len(row) for row in rows}) != 1 or not rows[0]:
        raise ValueError(f"a board needs rows of one length, got {[len(row) for row in rows]}")
    if strange := set("".join(rows)) - set(_LETTERS):
        raise ValueError(f"a board is drawn with X, O and points, got {sorted(strange)}")
    return torch.tensor([[_LETTERS[letter] for letter in row] for row in rows], dtype=torch.int32)
