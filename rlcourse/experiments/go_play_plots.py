"""The figures of `go_play`: all are drawn from curves, of a run or of those that are shipped."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from rlcourse.experiments.go_play_result import reference_curves
from rlcourse.experiments.reference import Curve
from rlcourse.viz.style import PALETTE, SIZES

_COLORS = {
    "baseline": PALETTE["baseline"],
    "retrieval": PALETTE["ours"],
    "neighbors": PALETTE["alternative"],
    "test_before": PALETTE["text"],
    "met_before": PALETTE["failure"],
    "met_after": PALETTE["ours"],
}
_LABELS = {
    "baseline": "baseline",
    "retrieval": "retrieval",
    "neighbors": "other numbers of neighbors",
    "test_before": "test games",
    "met_before": "met in play",
    "met_after": "the same, own games added",
}
Curves = Mapping[str, Curve]


def plot(folder: Path, reference: Curves | None = None) -> Figure:
    """Win rates of a run by simulations, by neighbors and by operations; dashed: `reference`."""
    return _draw_play(reference_curves(folder), reference)


def plot_growth(folder: Path, reference: Curves | None = None) -> Figure:
    """What a run's growing database changes: distances and win rates; dashed: `reference`."""
    return _draw_growth(reference_curves(folder), reference)


def plot_shipped(curves: Curves, part: str = "play") -> Figure:
    """The shipped curves, as `plot` ("play") or as `plot_growth` ("growth") draws a run.

    Raises:
        ValueError: another part.
    """
    if part not in ("play", "growth"):
        raise ValueError(f"part must be 'play' or 'growth', got {part!r}")
    return _draw_play(curves, None) if part == "play" else _draw_growth(curves, None)


def _draw_play(curves: Curves, reference: Curves | None) -> Figure:
    figure = Figure(figsize=SIZES["wide"], layout="constrained")
    left, middle, right = figure.subplots(1, 3, sharey=True)
    for name, shift in (("baseline", -0.05), ("retrieval", 0.05)):
        _categories(left, curves[name], name, shift, reference and reference[name])
    _categories(middle, curves["neighbors"], "neighbors", 0.0, reference and reference["neighbors"])
    for name in ("baseline", "retrieval", "neighbors"):
        label = f"operations/{name}"
        _points(right, curves[label].x, curves[label], name, line=name != "neighbors")
        if reference and name != "neighbors":
            _dashes(right, reference[label].x, reference[label])
    of_neighbors = curves["operations/neighbors"]
    _label_neighbors(right, curves["neighbors"].x, of_neighbors)
    left.set(xlabel="simulations a move (0: policy alone)", ylabel="games won (%)")
    left.set_title("More search")
    left.legend()
    middle.set(xlabel="neighbors")
    middle.set_title("More neighbors")
    right.set(xlabel="operations a move ($10^6$)", xscale="log")
    right.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    right.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    right.xaxis.set_minor_formatter(NullFormatter())
    right.set_title("At equal compute")
    return figure


def _draw_growth(curves: Curves, reference: Curves | None) -> Figure:
    figure = Figure(figsize=SIZES["wide"], layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(2, 1))
    for name, shift in (("test_before", -0.4), ("met_before", 0.0), ("met_after", 0.4)):
        curve = curves[f"ply/{name}"]
        there = np.isfinite(curve.mean)
        _points(left, curve.x[there] + shift, _part(curve, there), name, scale=1.0)
        if reference:
            _dashes(left, reference[f"ply/{name}"].x, reference[f"ply/{name}"], scale=1.0)
    left.set(xlabel="moves played", ylabel="squared distance of keys")
    left.set_title("How far the nearest stored position is")
    left.set_ylim(bottom=0)
    left.legend()
    for source, draw in ((curves, True), (reference, False)):
        if source and draw:
            _points(right, [0, 1], source["grown"], "retrieval", line=False)
        elif source:
            _dashes(right, [0, 1], source["grown"])
    right.set_xticks([0, 1], ["as it was", "own games\nadded"])
    right.set_xlim(-0.5, 1.5)
    right.set(ylabel="games won (%)")
    right.set_title("The same openings")
    return figure


def _label_neighbors(ax: Axes, numbers: np.ndarray, curve: Curve) -> None:
    """Which point has how many neighbors: in turn above its interval and below, as points of few
    neighbors lie side by side."""
    for row, (number, x) in enumerate(zip(numbers, curve.x, strict=True)):
        above = row % 2 == 0
        y = 100 * (curve.high if above else curve.low)[row]
        ax.annotate(
            f"N={number:g}",
            (x, y),
            (0, 3 if above else -3),
            textcoords="offset points",
            ha="center",
            va="bottom" if above else "top",
            fontsize=7.5,
        )
    ax.margins(y=0.1)


def _categories(ax: Axes, curve: Curve, name: str, shift: float, reference: Curve | None) -> None:
    """Points one beside the other, whatever their numbers are."""
    places = np.arange(len(curve.x))
    ax.set_xticks(places, [f"{x:g}" for x in curve.x])
    _points(ax, places + shift, curve, name)
    if reference:
        _dashes(ax, np.interp(reference.x, curve.x, places), reference)


def _points(
    ax: Axes, places, curve: Curve, name: str, *, line: bool = True, scale: float = 100.0
) -> None:
    mean, low, high = (scale * np.asarray(part) for part in curve[1:])
    ax.errorbar(
        places,
        mean,
        [np.maximum(mean - low, 0), np.maximum(high - mean, 0)],
        fmt="o-" if line else "o",
        color=_COLORS[name],
        label=_LABELS[name],
        capsize=2.5,
        elinewidth=1.0,
        markersize=4.5,
    )


def _dashes(ax: Axes, places, curve: Curve, scale: float = 100.0) -> None:
    ax.plot(places, scale * curve.mean, "--", color=PALETTE["reference"], linewidth=1.0, zorder=1)


def _part(curve: Curve, rows: np.ndarray) -> Curve:
    return Curve(*(np.asarray(part)[rows] for part in curve))
