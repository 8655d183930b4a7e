"""What the retrieval-augmented network sees of its neighbors.

Source: Humphreys et al. 2022, "Large-Scale Retrieval for Reinforcement Learning" (arXiv
2206.05314). A neighbor x_i of an observation o is a stored position with what came of it: its next
moves, the final board and the outcome of its game, each as planes over the board.

A neighbor that was found with symmetry g resembles the query *after* g (`go.symmetry`). Everything
of it is brought into the query's own frame by the inverse of g: the point p of the query's board
gets what the stored board has at `destinations[g, p]`, and a stored move m becomes `sources[g, m]`.

The planes of one neighbor, C2 = 7 + T of them with T next moves. "Own" is the side to move in the
neighbor, and in the query the side to move there, so that colors need not agree:

    0, 1        own stones, the opponent's
    2, 3        where the query holds the same stone; where the two boards differ
    4 .. 3 + T  the next moves, one plane each, the first by the side to move; a pass fills its
                plane with 1/P, no move leaves it empty
    4 + T       everywhere +1, 0 or -1: the neighbor's side to move won, drew, lost
    5 + T, .. 6 + T   the points that own and the opponent held when the game was over

**Deviations**: planes 2 and 3 are ours. The main text names outcome, final board and future moves;
how they are laid out it does not say. Where a game was resigned, the final board is that of an
unfinished game, and the last two planes its area: dead stones still count there. In randomization
the paper does not say what becomes of a neighbor from the observation's own game, which the halves
do not keep away (the giver's neighbors may lie in the receiver's half): here it is absent.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rlcourse.go.rules import NUM_NEXT
from rlcourse.go.symmetry import destinations, sources, transform_planes

_SAME, _DIFFERS, _FIRST_MOVE = 2, 3, 4


class Stored(Protocol):
    """What is needed of stored positions; a `positions.Batch` has it."""

    @property
    def stones(self) -> Int[Tensor, "N P"]:
        """+1 black, -1 white, 0 empty."""

    @property
    def to_play(self) -> Int[Tensor, " N"]:
        """The color to move."""

    @property
    def next_moves(self) -> Int[Tensor, "N T"]:
        """-1 after the end of the game."""

    @property
    def outcome(self) -> Float[Tensor, " N"]:
        """+1 the player to move wins, -1 loses, 0 a draw."""

    @property
    def final(self) -> Int[Tensor, "N P"]:
        """The owner of each point at the end: +1 black, -1 white, 0 nobody."""

    @property
    def game(self) -> Int[Tensor, " N"]:
        """The number of the game."""


class NeighborInput(NamedTuple):
    """The K neighbors of B observations; those that are not `present` count as zero."""

    planes: Float[Tensor, "B K C2 H W"]
    present: Bool[Tensor, "B K"]
    game: Int[Tensor, "B K"] | None = None  # numbers; not seen by the network

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "NeighborInput":
        """The same on another device."""
        return self.each(lambda x: x.to(device, non_blocking=non_blocking))

    def each(self, change: Callable[[Tensor], Tensor]) -> "NeighborInput":
        """The same with every tensor changed."""
        return NeighborInput(*(x if x is None else change(x) for x in self))


def num_neighbor_planes(num_next: int = NUM_NEXT) -> int:
    """C2, the number of planes of one neighbor."""
    return 7 + num_next


def neighbor_planes(
    stored: Stored,
    symmetry: Int[Tensor, "*N"],
    query_planes: Float[Tensor, "B C H W"],
    *,
    present: Bool[Tensor, "B K"] | None = None,
    num_next: int = NUM_NEXT,
) -> NeighborInput:
    """What the network sees of the neighbors of B observations, in the frame of each observation.

    Args:
        stored: N = B K positions, the K of the first observation first; entries that are not
            present may be any position.
        symmetry: of each, [B, K] or flat, as `Neighbors.symmetry`.
        query_planes: what the network sees of the observations; planes 0 and 1 must be the own and
            the opponent's stones, as those of `Go.planes` are.
        present: False where there is no neighbor; None: all are there.
        num_next: next moves that are shown.

    Raises:
        ValueError: numbers of positions, symmetries, points or moves that do not fit together, or
            a symmetry that is none.
    """
    num, points = stored.stones.shape
    shape = _check(stored, symmetry, query_planes, present, num_next)
    device, size = query_planes.device, query_planes.shape[-1]
    which = symmetry.reshape(-1).to(device).long()
    planes = torch.empty(num, num_neighbor_planes(num_next), points, device=device)
    own = stored.to_play.to(device).unsqueeze(1)
    boards = torch.stack([stored.stones.to(device) * own, stored.final.to(device) * own], 1)
    place = destinations(size)[:, :points].to(device)[which]
    boards = boards.gather(2, place.unsqueeze(1).expand_as(boards))  # [N, 2, P]
    planes[:, 0], planes[:, 1] = boards[:, 0] == 1, boards[:, 0] == -1
    _draw_moves_(planes, stored.next_moves[:, :num_next].to(device), which, size)
    after = _FIRST_MOVE + num_next
    planes[:, after] = stored.outcome.to(device).unsqueeze(1)
    planes[:, after + 1], planes[:, after + 2] = boards[:, 1] == 1, boards[:, 1] == -1
    planes = planes.view(*shape, -1, size, size)
    compare_(planes, query_planes)
    if present is None:
        present = torch.ones(shape, dtype=torch.bool)
    return NeighborInput(planes, present.to(device), stored.game.to(device).view(shape))


def compare_(planes: Float[Tensor, "B K C2 H W"], query_planes: Float[Tensor, "B C H W"]) -> None:
    """Writes planes 2 and 3 of neighbors: where they are as the query is, and where they differ."""
    theirs, ours = planes[:, :, :2], query_planes[:, None, :2]
    planes[:, :, _SAME] = (theirs * ours).sum(2)
    planes[:, :, _DIFFERS] = (theirs != ours).any(2).to(planes.dtype)


def blank(neighbors: NeighborInput) -> NeighborInput:
    """x_i = 0 for neighbors that are all there, as in the paper's baseline.

    The network then does the work of K neighbors and learns what it likes from nothing.
    """
    return NeighborInput(torch.zeros_like(neighbors.planes), torch.ones_like(neighbors.present))


def transform_neighbors(neighbors: NeighborInput, symmetry: Int[Tensor, " B"]) -> NeighborInput:
    """The neighbors of observations that are seen under a symmetry, one per observation.

    Raises:
        ValueError: a symmetry that is none.
    """
    return neighbors._replace(planes=transform_planes(neighbors.planes, symmetry))


def drop(
    neighbors: NeighborInput,
    probability: float,
    generator: torch.Generator,
    probability_of_all: float = 0.0,
) -> NeighborInput:
    """Neighbor dropout: each neighbor is gone with this probability, on its own.

    Args:
        probability: in [0, 1].
        generator: on the CPU.
        probability_of_all: in [0, 1], that all neighbors of an observation are gone.
    """
    _check_probability(probability)
    _check_probability(probability_of_all)
    kept = torch.rand(neighbors.present.shape, generator=generator) >= probability
    if probability_of_all:
        kept &= torch.rand((len(kept), 1), generator=generator) >= probability_of_all
    return neighbors._replace(present=neighbors.present & kept.to(neighbors.present.device))


def randomize(
    neighbors: NeighborInput,
    query_planes: Float[Tensor, "B C H W"],
    probability: float,
    generator: torch.Generator,
    own_game: Int[Tensor, " B"] | None = None,
) -> NeighborInput:
    """Neighbor randomization: each neighbor is replaced with this probability, on its own.

    The i-th neighbor becomes the i-th of another observation of the batch, drawn uniformly. The
    comparison with the query is made anew: without that the network could tell such neighbors from
    those of a query that has no good ones. A batch of one observation stays as it is.

    Args:
        query_planes: of the observations that receive.
        probability: in [0, 1].
        generator: on the CPU.
        own_game: of the observations. A neighbor that replaces another is absent where it is from a
            game of the same number, of whatever source: it would show what comes. None: stays.

    Raises:
        ValueError: a probability out of its range, or own_game with neighbors whose games are not
            known.
    """
    _check_probability(probability)
    if own_game is not None and neighbors.game is None:
        raise ValueError("own_game needs the games of neighbors: make them with neighbor_planes")
    shape, device = neighbors.present.shape, neighbors.present.device
    num, count = shape
    chosen = torch.rand(shape, generator=generator) < probability
    away = torch.randint(1, max(num, 2), shape, generator=generator)
    given = (torch.arange(num).unsqueeze(1) + torch.where(chosen, away, 0)) % num
    given, rank = given.to(device), torch.arange(count, device=device)
    mixed = neighbors.each(lambda x: x[given, rank])
    compare_(mixed.planes, query_planes)
    if own_game is None:
        return mixed
    is_own = chosen.to(device) & (mixed.game == own_game.unsqueeze(1))
    return mixed._replace(present=mixed.present & ~is_own)


def _draw_moves_(
    planes: Float[Tensor, "N C2 P"], moves: Int[Tensor, "N T"], symmetry: Tensor, size: int
) -> None:
    """Writes the planes of moves, brought into the query's frame."""
    points, is_pass = size**2, moves == size**2
    is_point = (moves >= 0) & ~is_pass
    there = sources(size).to(planes.device)[symmetry]  # [N, P]
    point = there.gather(1, torch.where(is_point, moves, 0).long())
    everywhere = is_pass.to(planes.dtype) / points
    drawn = planes[:, _FIRST_MOVE : _FIRST_MOVE + moves.shape[1]]
    drawn.copy_(everywhere.unsqueeze(2).expand_as(drawn))
    drawn.scatter_(2, point.unsqueeze(2), torch.where(is_point, 1.0, everywhere).unsqueeze(2))


def _check(
    stored: Stored, symmetry: Tensor, query: Tensor, present: Tensor | None, num_next: int
) -> tuple[int, int]:
    """Returns B and K."""
    (num, points), (num_queries, height, width) = stored.stones.shape, query[:, 0].shape
    if height != width or points != height * width:
        raise ValueError(f"boards of {points} points are no neighbors of boards {height}x{width}")
    if num_queries < 1 or num < num_queries or num % num_queries:
        raise ValueError(
            f"{num} positions do not divide among {num_queries} observations: give K for each, and"
            " any position, marked as not present, where there are fewer"
        )
    shape = (num_queries, num // num_queries)
    if symmetry.numel() != num:
        raise ValueError(f"{num} neighbors have {num} symmetries, got {tuple(symmetry.shape)}")
    if bool(((symmetry < 0) | (symmetry > 7)).any()):
        raise ValueError(f"a symmetry is a number from 0 to 7, got {symmetry.unique().tolist()}")
    if present is not None and present.shape != shape:
        raise ValueError(f"present must be of shape {shape}, got {tuple(present.shape)}")
    if not 0 < num_next <= stored.next_moves.shape[1]:
        raise ValueError(
            f"num_next must lie in [1, {stored.next_moves.shape[1]}], the moves stored:"
            f" got {num_next}"
        )
    return shape


def _check_probability(probability: float) -> None:
    if not 0.0 <= probability <= 1.0:
        raise ValueError(f"a probability lies in [0, 1], got {probability}")
