"""The rules of a game of Go as numbers, and what every part of the package calls the same."""

import math
from dataclasses import dataclass

BLACK, WHITE = 1, -1
MAX_SIZE = 19
NUM_PLANES = 8  # that a network sees of a position, see `board.Go.planes`
NUM_RECENT = 2  # last moves that the planes show
NUM_NEXT = 10  # moves that a position keeps of what followed; by a reader's note on the paper


@dataclass(frozen=True)
class Rules:
    """What differs between tournaments.

    Attributes:
        size: of the board, 2 to 19.
        komi: points that white gets for moving second.
        superko: no position may come back (positional superko); False: simple ko only.
        max_moves: a game ends after so many moves, passes included; None: 3 size^2.
    """

    size: int = 9
    komi: float = 7.0
    superko: bool = True
    max_moves: int | None = None

    def __post_init__(self) -> None:
        if not 2 <= self.size <= MAX_SIZE:
            raise ValueError(f"size must lie in [2, {MAX_SIZE}], got {self.size}")
        if not math.isfinite(self.komi):
            raise ValueError(f"komi must be finite, got {self.komi}")
        if self.max_moves is not None and self.max_moves < 1:
            raise ValueError(f"max_moves must be at least 1, got {self.max_moves}")

    @property
    def num_points(self) -> int:
        return self.size**2

    @property
    def num_moves(self) -> int:
        """Of a board: its points, and the pass."""
        return self.num_points + 1

    @property
    def longest(self) -> int:
        """Moves after which a game ends."""
        return self.max_moves or 3 * self.num_points


NINE = Rules()  # the course's board
