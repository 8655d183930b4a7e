"""Which games are for what, by their numbers."""

import numpy as np
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


def game_key(game: int | Tensor, source: int | Tensor) -> int | Tensor:
    """One number for games by number and source, as different sources number theirs alike.

    The key of a game is in the same half as the game; the keys of source 0 are its numbers, which
    are below 2^32.
    """
    return game + (source << 32)


def splitmix64(numbers: np.ndarray) -> np.ndarray:
    """A hash of numbers [N] uint64, in which every bit depends on every bit of the number: the step
    of splitmix64 (Steele et al. 2014).
    """
    numbers = numbers + np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        numbers = (numbers ^ (numbers >> np.uint64(shift))) * np.uint64(factor)
    return numbers ^ (numbers >> np.uint64(31))
