"""Do neighbors know the answer? Their next moves and winners, beside those of the query.

A neighbor that was found with symmetry g resembles the query *under* g (`go.neighbors`): what is on
its board comes back to the query's by the inverse of g.
"""

from jaxtyping import Float, Int
from torch import Tensor

from rlcourse.go.neighbors import inverse
from rlcourse.go.symmetry import transform_moves


def undone(
    moves: Int[Tensor, "B K"], symmetry: Int[Tensor, "B K"], size: int
) -> Int[Tensor, "B K"]:
    """The neighbors' moves on the query's board; negative ones, "no move", stay."""
    back = inverse(symmetry).flatten()
    return transform_moves(moves.flatten(), back, size).view_as(moves)


def expert_among(
    moves: Int[Tensor, "B K"], symmetry: Int[Tensor, "B K"], expert: Int[Tensor, " B"], size: int
) -> Float[Tensor, "B K"]:
    """1 where one of the n nearest neighbors played the expert's move, for n = 1 ... K; else 0.

    Args:
        moves: next moves of the neighbors, nearest first, on their own boards; -1: none.
        symmetry: by which each was found, 0 to 7.
        expert: the expert's moves on the queries' boards.
        size: of the boards.
    """
    same = undone(moves, symmetry, size) == expert[:, None]
    return same.int().cummax(-1).values.float()
