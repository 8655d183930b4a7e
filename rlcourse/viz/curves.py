"""Learning curves: the mean of several runs with its bootstrap interval, over a reference."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from rlcourse.run.evaluate import interval as confidence_interval
from rlcourse.viz.style import PALETTE

_LINE_HEIGHT = 1.25  # of direct labels, in font sizes


def plot_curves(
    ax: Axes,
    x: ArrayLike,
    runs: ArrayLike,
    label: str,
    color: str,
    *,
    x_label: str,
    y_label: str,
    interval: float = 0.95,
) -> Line2D:
    """Draws the mean over runs, and the interval of that mean as a band.

    Args:
        ax: where to draw.
        x: [T] positions, increasing.
        runs: [R, T] one row per seed; [T] is one run. A single run has no band.
        label: of the line.
        color: a role of `PALETTE`, or any color of matplotlib.
        x_label, y_label: of the axes, with their units.
        interval: coverage of the bootstrap interval of the mean, in (0, 1).

    Returns:
        The line.

    Raises:
        ValueError: for shapes that do not fit, an empty label, a number that is not finite, or a
            coverage outside (0, 1).
    """
    positions, rows = _checked_runs(x, runs, label)
    if not x_label.strip() or not y_label.strip():
        raise ValueError("x_label and y_label must name the quantity and its unit")
    if len(rows) > 1:
        mean, low, high = confidence_interval(rows, level=interval)
        line = plot_band(ax, positions, mean, low, high, label, color)
    else:
        color = PALETTE.get(color, color)
        (line,) = ax.plot(positions, rows[0], color=color, label=label, zorder=3)
    ax.set_xlabel(x_label)
    ax.set_ylabel(y_label)
    return line


def plot_reference(
    ax: Axes, x: ArrayLike, mean: ArrayLike, low: ArrayLike, high: ArrayLike, label: str
) -> Line2D:
    """Draws a curve shipped with the course: thin dashes on top, its interval [low, high] beneath.

    Args:
        ax: where to draw.
        x, mean, low, high: [T].
        label: of the line; say how many seeds it stands for.

    Raises:
        ValueError: for shapes that do not fit, an empty label, or a number that is not finite.
    """
    line = plot_band(ax, x, mean, low, high, label, "reference", zorder=1.0)
    line.set(linewidth=1.1, dashes=(3, 3), color=PALETTE["text"], zorder=4.0)
    return line


def plot_band(
    ax: Axes,
    x: ArrayLike,
    mean: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    label: str,
    color: str,
    zorder: float = 2.5,
) -> Line2D:
    """Draws a curve that was summarized before: its mean, and its interval [low, high] as a band.

    Args:
        ax: where to draw.
        x, mean, low, high: [T].
        label: of the line.
        color: a role of `PALETTE`, or any color of matplotlib.
        zorder: of the band; the line lies half a step above it.

    Raises:
        ValueError: for shapes that do not fit, an empty label, or a number that is not finite.
    """
    positions, (center, below, above) = _checked_runs(x, np.stack([mean, low, high]), label)
    color = PALETTE.get(color, color)
    ax.fill_between(positions, below, above, color=color, alpha=0.18, linewidth=0, zorder=zorder)
    (line,) = ax.plot(positions, center, color=color, label=label, zorder=zorder + 0.5)
    return line


def label_lines(ax: Axes) -> None:
    """Writes each line's label at its right end, in its color, without overlaps.

    Call it last. A legend is better when lines end far apart from what tells them apart.
    """
    lines = [line for line in ax.get_lines() if not str(line.get_label()).startswith("_")]
    lines.sort(key=lambda line: float(np.asarray(line.get_ydata())[-1]))
    if not lines:
        return
    ax.locator_params(axis="x", nbins=5)  # the labels take room from the axis
    ax.figure.canvas.figure.draw_without_rendering()  # final limits, also under constrained layout
    ends = [ax.transData.transform(np.asarray(line.get_xydata())[-1])[1] for line in lines]
    size = ax.xaxis.label.get_size()
    gap = size * _LINE_HEIGHT * ax.figure.dpi / 72.0
    for line, end, place in zip(lines, ends, _spread(ends, gap), strict=True):
        ax.annotate(
            str(line.get_label()),
            xy=np.asarray(line.get_xydata())[-1],
            xytext=(6, (place - end) * 72.0 / ax.figure.dpi),
            textcoords="offset points",
            color=line.get_color(),
            fontsize=size,
            va="center",
            annotation_clip=False,
        )


def _checked_runs(x: ArrayLike, runs: ArrayLike, label: str) -> tuple[NDArray, NDArray]:
    if not label.strip():
        raise ValueError("a curve needs a label")
    positions, rows = np.asarray(x, dtype=float), np.atleast_2d(np.asarray(runs, dtype=float))
    if rows.ndim != 2 or positions.shape != rows.shape[1:] or not rows.size:
        raise ValueError(f"x must be [T] and runs [R, T], got {positions.shape} and {rows.shape}")
    if not np.isfinite(rows).all():
        run, point = np.argwhere(~np.isfinite(rows))[0]
        raise ValueError(
            f"run {run} of {label!r} is {rows[run, point]} at x = {positions[point]:g}: "
            "find out why it diverged before you draw it"
        )
    return positions, rows


def _spread(ends: Sequence[float], gap: float) -> list[float]:
    """Positions in the same order, at least `gap` apart, each block centered on its lines."""
    blocks: list[list[float]] = []  # the ends of lines whose labels touch
    for end in ends:
        blocks.append([end])
        while len(blocks) > 1 and _reach(blocks[-2], gap, +1) > _reach(blocks[-1], gap, -1):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    return [
        float(np.mean(block)) + gap * (i - (len(block) - 1) / 2.0)
        for block in blocks
        for i in range(len(block))
    ]


def _reach(block: list[float], gap: float, side: int) -> float:
    return float(np.mean(block)) + side * gap * len(block) / 2.0
