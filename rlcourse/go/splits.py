"""Which games are for what, by their numbers."""

from torch import Tensor

SPLITS = ("train", "retrieval", "test")


def split_of(number: int) -> str:
    """To which split a game belongs: 50 % "train", the even ones; of the odd ones 40 % of all
    "retrieval" and 10 % "test"."""
    return SPLITS[2] if number % 10 == 9 else SPLITS[number % 2]


def half_of(game: int | Tensor) -> int | Tensor:
    """The half, 0 or 1, of a game or of games [N] by number: that of the paper's D_r in which it
    lies; its positions find neighbors in the other half.

    All of the split "train" lies in half 0, all of "retrieval" and "test" in half 1: halve the
    union of the first two, which gives 5 and 4 games in 9.
    """
    return game % 2
