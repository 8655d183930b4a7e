"""Families of gridworlds that are alike without being the same, and what a network sees of them."""

import torch
from jaxtyping import Float
from torch import Tensor

from rlcourse.envs.gridworld import Gridworld


def four_rooms_family(num_maps: int, room_size: int, generator: torch.Generator) -> list[Gridworld]:
    """Maps of four square rooms in a square, each map with its own doors and its own goal.

    Episodes start anywhere in the upper left room; the goal is a cell of the lower right one. The
    four doors are drawn uniformly along the four walls between rooms, the goal uniformly among the
    cells of its room. All maps have equally many cells.

    Args:
        num_maps: how many to draw.
        room_size: cells along the side of a room, at least 1.
        generator: on the CPU.

    Raises:
        ValueError: for a size or a number below 1.
    """
    if num_maps < 1 or room_size < 1:
        raise ValueError(
            f"num_maps and room_size must be at least 1, got {num_maps} and {room_size}"
        )
    return [_draw_map(room_size, generator) for _ in range(num_maps)]


def _draw_map(room_size: int, generator: torch.Generator) -> Gridworld:
    near, far, wall = 1, room_size + 2, room_size + 1  # first cells of the rooms, and between them
    side = 2 * room_size + 3
    cells = [["#"] * side for _ in range(side)]
    for row, column, symbol in (
        (near, near, "S"),
        (near, far, "."),
        (far, near, "."),
        (far, far, "."),
    ):
        for down in range(room_size):
            for right in range(room_size):
                cells[row + down][column + right] = symbol
    up, left, right, low, *goal = torch.randint(room_size, (6,), generator=generator).tolist()
    cells[near + up][wall] = cells[far + low][wall] = "."
    cells[wall][near + left] = cells[wall][far + right] = "."
    cells[far + goal[0]][far + goal[1]] = "G"
    return Gridworld(tuple("".join(row) for row in cells))


def cell_features(grids: list[Gridworld], view: int = 2) -> Float[Tensor, "S D"]:
    """What a network sees in each state of the maps, one map after the other.

    Row and column, one-hot, and which of the cells at most `view` away in each direction are walls
    or off the map. Goals are not seen.

    Args:
        grids: maps of one size.
        view: how far the walls are seen.

    Raises:
        ValueError: when the maps differ in size.
    """
    sizes = {(grid.height, grid.width) for grid in grids}
    if len(sizes) != 1:
        raise ValueError(f"the maps must be of one size, got (height, width) {sorted(sizes)}")
    ((height, width),) = sizes
    rows = []
    for grid in grids:
        for row, column in grid.cells:
            position = [float(row == r) for r in range(height)]
            position += [float(column == c) for c in range(width)]
            rows.append(position + _walls_around(grid, row, column, view))
    return torch.tensor(rows)


def _walls_around(grid: Gridworld, row: int, column: int, view: int) -> list[float]:
    around = range(-view, view + 1)
    return [
        float((row + down, column + right) not in grid.state_at)
        for down in around
        for right in around
        if down or right
    ]
