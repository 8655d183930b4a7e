"""The eight symmetries of a Go board: four turns, and the same after a reflection.

Symmetry g sends the board x to the board whose point p holds what x has at `sources[g, p]`.
"""

import math

import torch
from jaxtyping import Int
from torch import Tensor

NUM_SYMMETRIES = 8


def sources(size: int) -> Int[Tensor, "8 P"]:
    """For each symmetry and each point of the new board, the point of the old one."""
    board = torch.arange(size**2).view(size, size)
    turned = [torch.rot90(side, turns) for side in (board, board.T) for turns in range(4)]
    return torch.stack([points.flatten() for points in turned])


def destinations(size: int) -> Int[Tensor, "8 A"]:
    """For each symmetry and each move on the old board, the move on the new one; a pass stays."""
    moved = sources(size).argsort(-1)
    return torch.cat([moved, torch.full((NUM_SYMMETRIES, 1), size**2)], 1)


def transform_planes(planes: Tensor, symmetry: Int[Tensor, " B"]) -> Tensor:
    """Boards [B, ..., H, W], each under a symmetry of its own, 0 to 7.

    Raises:
        ValueError: the boards are not square, or a symmetry is none.
    """
    size = planes.shape[-1]
    if planes.shape[-2] != size:
        raise ValueError(f"boards must be square, got {tuple(planes.shape[-2:])}")
    _check(symmetry)
    points = sources(size).to(planes.device)[symmetry]  # [B, P]
    flat = planes.flatten(-2)
    points = points.view(len(points), *[1] * (flat.ndim - 2), size**2).expand_as(flat)
    return flat.gather(-1, points).view_as(planes)


def transform_moves(move: Int[Tensor, "B *K"], symmetry: Int[Tensor, " B"], size: int) -> Tensor:
    """Where moves go under the symmetry of their board; negative ones, "no move", stay."""
    _check(symmetry)
    table = destinations(size).to(move.device)[symmetry]  # [B, A]
    flat = move.reshape(len(move), math.prod(move.shape[1:])).long()
    moved = table.gather(1, flat.clamp(min=0))
    return torch.where(flat < 0, flat, moved).view_as(move)


def _check(symmetry: Tensor) -> None:
    if bool(((symmetry < 0) | (symmetry >= NUM_SYMMETRIES)).any()):
        raise ValueError(f"a symmetry is a number from 0 to 7, got {symmetry.tolist()}")
