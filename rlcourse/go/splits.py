"""Which games are for what, by their numbers."""

from torch import Tensor

SPLITS = ("train", "retrieval", "test")


def split_of(number: int) -> str:
    """To which split a game belongs: one in ten is for tests, the others are halved."""
    return SPLITS[2] if number % 10 == 9 else SPLITS[number % 2]


def half_of(game: int | Tensor) -> int | Tensor:
    """The half, 0 or 1, of a game or of games [N] by number: that of the paper's D_r in which it
    lies; its positions find neighbors in the other half.

    All of the split "train" lies in half 0, all of "retrieval" in half 1: halve their union.
    """
    return game % 2
