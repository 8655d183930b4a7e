"""Gridworlds in matplotlib: maps, values, policies, visitation, paths.

Every function draws one map into given axes, in cell coordinates: x is the column, y the row,
downwards, cell (0, 0) spans [0, 1] x [0, 1]. Tensors may live on any device.
"""

from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PolyCollection
from matplotlib.colors import Colormap, PowerNorm, to_rgba
from matplotlib.markers import MarkerStyle
from matplotlib.patches import Circle, PathPatch, Rectangle
from matplotlib.patheffects import Normal, Stroke
from matplotlib.transforms import Affine2D
from numpy.typing import ArrayLike, NDArray

from rlcourse.envs.gridworld import MOVES, Gridworld
from rlcourse.viz.style import PALETTE, VALUE_COLORMAP, visit_colormap

_MARKERS = {"G": ("*", "goal", 0.78), "X": ("X", "pit", 0.48)}  # marker, role, share of the cell
_LEAST_PROBABILITY = 0.02  # arrows below are left out


def draw_grid(ax: Axes, grid: Gridworld, *, symbols: bool = True) -> None:
    """Draws walls and floor, and goals (star), pits (cross) and starts (ring)."""
    _draw_cells(ax, grid, np.tile(to_rgba(PALETTE["floor"]), (len(grid.cells), 1)), symbols)


def draw_values(
    ax: Axes,
    grid: Gridworld,
    values: ArrayLike,
    *,
    label: str = "value V(s)",
    colormap: str | Colormap = VALUE_COLORMAP,
    limits: tuple[float, float] | None = None,
    colorbar: bool = True,
) -> None:
    """Colors each cell by a number.

    Args:
        ax: where to draw.
        grid: the map.
        values: [S].
        label: of the color bar, with its unit.
        colormap: sequential, or a diverging one with `limits` symmetric around its center.
        limits: lowest and highest number of the color scale; those of `values` if None.
        colorbar: whether to draw one.

    Raises:
        ValueError: when there is not one value per state.
    """
    shown = _states(grid, values, "values")
    low, high = limits or (float(shown.min()), float(shown.max()))
    norm = PowerNorm(1.0, low, high)
    _draw_colored(ax, grid, shown, colormap, norm, label if colorbar else None)


def draw_visitation(
    ax: Axes,
    grid: Gridworld,
    visitation: ArrayLike,
    *,
    label: str = "visitation d(s)",
    highest: float | None = None,
    colorbar: bool = True,
) -> None:
    """Colors each cell by how often it is visited, on a square-root scale so that rare visits show.

    Args:
        ax: where to draw.
        grid: the map.
        visitation: [S], not negative.
        label: of the color bar, with its unit.
        highest: the end of the color scale; the largest entry if None.
        colorbar: whether to draw one.

    Raises:
        ValueError: when there is not one number per state.
    """
    shown = _states(grid, visitation, "visitation")
    norm = PowerNorm(0.5, 0.0, highest or float(shown.max()) or 1.0)
    _draw_colored(ax, grid, shown, visit_colormap(), norm, label if colorbar else None)


def draw_policy(
    ax: Axes,
    grid: Gridworld,
    policy: ArrayLike,
    *,
    color: str = "ours",
    on_map: bool = True,
) -> None:
    """Draws an arrow per move, whose area and darkness grow with its probability.

    Args:
        ax: where to draw.
        grid: the map.
        policy: [S, A] probabilities, in the order of `gridworld.ACTIONS`.
        color: a role of `PALETTE`, or any color of matplotlib.
        on_map: draw the map first; switch off to draw over values or visitation.

    Raises:
        ValueError: when the rows are not distributions over moves, one per state.
    """
    probabilities = _numpy(policy)
    if probabilities.shape != (len(grid.cells), len(MOVES)):
        raise ValueError(
            f"policy must be [S, A] = {(len(grid.cells), len(MOVES))}, got {probabilities.shape}"
        )
    if not np.allclose(probabilities.sum(-1), 1.0, atol=1e-3) or probabilities.min() < 0.0:
        raise ValueError(
            "each row of policy must hold probabilities that sum to 1: pass log_policy.exp()"
        )
    if on_map:
        draw_grid(ax, grid)
    outlines, opacities = [], []
    for state, (row, column) in enumerate(grid.cells):
        if grid.rows[row][column] in "GX":
            continue
        for action, probability in enumerate(probabilities[state]):
            if probability >= _LEAST_PROBABILITY:
                outlines.append(arrow_outline(row, column, action, float(probability)))
                opacities.append(arrow_opacity(float(probability)))
    rgba = np.tile(to_rgba(PALETTE.get(color, color)), (len(outlines), 1))
    rgba[:, 3] = opacities
    ax.add_collection(PolyCollection(outlines, facecolors=rgba, edgecolors="none", zorder=4))


def draw_path(ax: Axes, grid: Gridworld, states: Iterable[int], *, color: str = "ours") -> None:
    """Draws the way through these states, over a map that is already drawn."""
    cells = np.array([grid.cells[int(state)] for state in states], dtype=float) + 0.5
    color = PALETTE.get(color, color)
    outline = [Stroke(linewidth=4.6, foreground="white"), Normal()]
    ax.plot(
        cells[:, 1],
        cells[:, 0],
        color=color,
        linewidth=2.4,
        path_effects=outline,
        zorder=4.5,
        solid_joinstyle="round",
    )
    ax.plot(*cells[-1, ::-1], marker="o", color=color, markeredgecolor="white", zorder=4.6)


def arrow_outline(
    row: float, column: float, action: int, probability: float, cell: float = 1.0
) -> Float[NDArray, "P 2"]:
    """The corners (x, y) of the arrow of one move.

    It grows with the probability: an unlikely move stays inside its quarter of the cell, and a sure
    one fills the cell, since then the other three are too small to be covered.
    """
    down, right = MOVES[action]
    scale = probability**0.5
    near = 0.04 - 0.36 * max(0.0, 2.0 * probability - 1.0)
    neck, tip = 0.04 + 0.2 * scale, 0.04 + 0.43 * scale
    shaft, head = 0.055 * scale, 0.19 * scale
    along = np.array([near, neck, neck, tip, neck, neck, near])
    across = np.array([shaft, shaft, head, 0.0, -head, -shaft, -shaft])
    x = column + 0.5 + along * right - across * down
    y = row + 0.5 + along * down + across * right
    return np.stack([x, y], -1) * cell


def arrow_opacity(probability: float) -> float:
    """From faint for an unlikely move to solid for a sure one."""
    return 0.3 + 0.7 * probability


def _draw_colored(
    ax: Axes,
    grid: Gridworld,
    values: NDArray,
    colormap: str | Colormap,
    norm: PowerNorm,
    label: str | None,
) -> None:
    colormap = colormaps[colormap] if isinstance(colormap, str) else colormap
    _draw_cells(ax, grid, colormap(norm(values)))
    if label is not None:
        bar = ax.figure.colorbar(
            ScalarMappable(norm, colormap),
            ax=ax,
            location="bottom",
            label=label,
            shrink=0.9,
            aspect=28,
            pad=0.03,
        )
        if norm.gamma != 1.0:
            ticks = norm.inverse(np.linspace(0.0, 1.0, 5))
            bar.set_ticks(ticks, labels=[f"{tick:.2g}" for tick in ticks])
        bar.outline.set_visible(False)


def _draw_cells(ax: Axes, grid: Gridworld, colors: NDArray, symbols: bool = True) -> None:
    """Draws the map with each state in its color [S, 4], ends of episodes in their own."""
    image = np.tile(to_rgba(PALETTE["wall"]), (grid.height, grid.width, 1))
    for color, (row, column) in zip(colors, grid.cells, strict=True):
        image[row, column] = color
        if grid.rows[row][column] in "GX":
            role = "goal cell" if grid.rows[row][column] == "G" else "pit cell"
            image[row, column] = to_rgba(PALETTE[role])
        ax.add_patch(
            Rectangle((column, row), 1, 1, fill=False, edgecolor="white", linewidth=0.6, zorder=2)
        )
    ax.imshow(image, extent=(0, grid.width, grid.height, 0), interpolation="nearest", zorder=1)
    ax.set(xlim=(0, grid.width), ylim=(grid.height, 0), aspect="equal", xticks=[], yticks=[])
    ax.grid(False)
    ax.spines[:].set_visible(False)
    if symbols:
        _draw_symbols(ax, grid)


def _draw_symbols(ax: Axes, grid: Gridworld) -> None:
    for symbol, (shape, role, share) in _MARKERS.items():
        marker = MarkerStyle(shape)
        for row, column in (grid.cells[state] for state in grid.states_of(symbol)):
            # In cell coordinates, so that it keeps its share of the cell; y points down there.
            place = Affine2D().scale(share, -share).translate(column + 0.5, row + 0.5)
            outline = marker.get_path().transformed(marker.get_transform() + place)
            ax.add_patch(
                PathPatch(outline, fc=PALETTE[role], ec="white", lw=0.8, zorder=5, label=f"_{role}")
            )
    for row, column in (grid.cells[state] for state in grid.states_of("S")):
        for color, width in (("white", 3.2), (PALETTE["start"], 1.5)):
            ring = Circle((column + 0.5, row + 0.5), 0.4, fill=False, ec=color, lw=width, zorder=3)
            ax.add_patch(ring)


def _states(grid: Gridworld, values: ArrayLike, name: str) -> NDArray:
    array = _numpy(values)
    if array.shape != (len(grid.cells),):
        raise ValueError(
            f"{name} must hold one number per state, [{len(grid.cells)}], got {array.shape}"
        )
    return array


def _numpy(values: ArrayLike) -> NDArray:
    return torch.as_tensor(values).detach().cpu().double().numpy()
