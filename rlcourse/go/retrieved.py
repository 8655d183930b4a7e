"""What a player retrieves for the boards in front of it; `retrieve` gets it from a database."""

from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Float, Int
from torch import Tensor

from rlcourse.go.board import Go, State


class Retrieved(NamedTuple):
    """What was found for B positions."""

    input: tuple[Tensor, ...]  # a NamedTuple, as `represent` takes it: `inputs.NeighborInput`
    ids: Int[Tensor, "B K"]  # of the stored positions; -1 where there is none
    symmetry: Int[Tensor, "B K"] | None = None  # under which each resembles the board
    distances: Float[Tensor, "B K"] | None = None


Retrieve = Callable[[Go, State], Retrieved | None]
