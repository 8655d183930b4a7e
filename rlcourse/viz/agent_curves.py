"""Learning curves of a handful of agents, a panel each or all in one, and bars of their results."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import isfinite
from numpy.typing import NDArray

from rlcourse.viz.curves import plot_band, plot_curves
from rlcourse.viz.style import PALETTE, SIZES

_X_LABEL, _Y_LABEL = "thousands of steps", "share of episodes on target"


class Look(NamedTuple):
    """How an agent appears."""

    label: str
    color: str


class Band(Protocol):
    """A mean with the ends of its interval; a curve has `x` too."""

    mean: Float[NDArray, "*points"]
    low: Float[NDArray, "*points"]
    high: Float[NDArray, "*points"]


def side_by_side(
    steps: Float[NDArray, " E"],
    success: Mapping[str, Float[NDArray, "R E"]],
    shipped: Mapping[str, Band],
    bars: Mapping[tuple[str, str], Mapping[str, Band]],
    looks: Mapping[str, Look],
    threshold: float,
) -> Figure:
    """One panel of curves per agent, over a row of bars.

    Args:
        steps: of the environment, at which success was measured.
        success: of each agent, one row per seed.
        shipped: curves [E] to draw behind, by agent; any may be missing.
        bars: one number per agent, by (title, label of the axis).
        looks: of each agent.
        threshold: marked in each panel.
    """
    figure = Figure(figsize=(SIZES["wide"][0], 5.2), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=(1.2, 1))
    axes = top.subplots(1, len(success), sharey=True, squeeze=False)[0]
    for ax, (name, runs) in zip(axes, success.items(), strict=True):
        label, color = looks[name]
        if name in shipped:
            _plot_shipped(ax, shipped[name], color)
        ax.axhline(threshold, color=PALETTE["muted"], linewidth=0.8, linestyle=":")
        plot_curves(ax, steps / 1e3, runs, label, color, x_label=_X_LABEL, y_label=_Y_LABEL)
        ax.set_title(label.replace(", ", ",\n"))
        ax.set_ylim(-0.03, 1.05)
        ax.label_outer()
    places = bottom.subplots(1, len(bars), sharey=True, squeeze=False)[0]
    for ax, ((title, x_label), values) in zip(places, bars.items(), strict=True):
        _plot_bars(ax, values, looks)
        ax.set_title(title)
        ax.set_xlabel(x_label)
    return figure


def together(curves: Mapping[str, Band], looks: Mapping[str, Look], title: str) -> Figure:
    """All curves in one panel, with their intervals."""
    figure = Figure(figsize=SIZES["wide"], layout="constrained")
    ax = figure.subplots()
    for name, curve in curves.items():
        plot_band(ax, curve.x / 1e3, curve.mean, curve.low, curve.high, *looks[name])
    ax.set(xlabel=_X_LABEL + " in the environment", ylabel=_Y_LABEL)
    ax.set_title(title)
    ax.legend(loc="lower right")
    return figure


def _plot_shipped(ax: Axes, curve: Band, color: str) -> None:
    band = (curve.x / 1e3, curve.mean, curve.low, curve.high)
    line = plot_band(ax, *band, "shipped", color, zorder=1.0)
    line.set(linewidth=1.1, dashes=(3, 3), color=PALETTE["text"], zorder=4.0)


def _plot_bars(ax: Axes, values: Mapping[str, Band], looks: Mapping[str, Look]) -> None:
    for place, (name, found) in enumerate(values.items()):
        ax.barh(place, found.mean, color=looks[name].color, height=0.6)
        if isfinite(found.low):
            spread = [[found.mean - max(found.low, 0.0)], [found.high - found.mean]]
            ax.errorbar(found.mean, place, xerr=spread, color=PALETTE["text"], capsize=3)
    ax.set_yticks(range(len(values)), [looks[name].label for name in values])
    ax.set_xlim(left=0)
    ax.set_ylim(len(values) - 0.4, -0.6)
    ax.locator_params(axis="x", nbins=6)
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.grid(axis="y", visible=False)
