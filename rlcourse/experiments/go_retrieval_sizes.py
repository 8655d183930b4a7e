"""Do neighbors help small networks and larger ones? With and without four of them, by width.

Everything else is as in `go_retrieval`, after Humphreys et al. 2022 (arXiv 2206.05314).

**Deviations**: see `go_retrieval_study`. The paper's sizes are not known to us.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from rlcourse.experiments.go_retrieval_presets import presets
from rlcourse.experiments.go_retrieval_results import load, reference_curves
from rlcourse.experiments.go_retrieval_study import Config, model_of, run
from rlcourse.experiments.go_retrieval_variants import WIDTHS
from rlcourse.experiments.reference import Curve
from rlcourse.viz.curves import plot_band, plot_reference
from rlcourse.viz.style import PALETTE, SIZES

__all__ = ["Config", "load", "model_of", "plot", "plot_shipped", "reference_curves", "run"]

CHANGES = ("/quarter", "/half", "")
VARIANTS = tuple(kind + change for change in CHANGES for kind in ("baseline", "n4"))
PRESETS = presets(VARIANTS, num_steps=400)


def plot(folder: Path, reference: Mapping[str, Curve] | None = None) -> Figure:
    """The accuracy of trained networks, and the gain, by width; over what is shipped, dashed, where
    it is given."""
    return _drawn(reference_curves(folder), reference or {})


def plot_shipped(reference: Mapping[str, Curve]) -> Figure:
    """The same of the shipped curves."""
    return _drawn(reference, {})


def by_width(curves: Mapping[str, Curve], kind: str, rest: str) -> Curve:
    """A measure of trained networks against their width, 1 being the largest, in percent.

    Args:
        curves: of this study.
        kind: "baseline" or "n4".
        rest: of the label, such as "tests/accuracy"; with the whole database.

    Raises:
        ValueError: no variant of this kind is in the curves.
    """
    there = [change for change in CHANGES if f"{kind}{change}/{rest}" in curves]
    if not there:
        raise ValueError(f"there is no {rest!r} of {kind!r} in these curves")
    last = [[100 * part[-1] for part in curves[f"{kind}{change}/{rest}"][1:]] for change in there]
    widths = [WIDTHS.get(change[1:], 1.0) for change in there]
    return Curve(np.array(widths), *np.array(last).T)


def _drawn(curves: Mapping[str, Curve], reference: Mapping[str, Curve]) -> Figure:
    figure = Figure(figsize=SIZES["wide"], layout="constrained")
    left, right = figure.subplots(1, 2)
    for kind, role in (("baseline", "baseline"), ("n4", "ours")):
        plot_band(left, *by_width(curves, kind, "tests/accuracy"), kind, PALETTE[role])
        if reference:
            plot_reference(left, *by_width(reference, kind, "tests/accuracy"), "_")
    plot_band(right, *by_width(curves, "n4", "gain/accuracy"), "n4", PALETTE["ours"])
    if reference:
        plot_reference(right, *by_width(reference, "n4", "gain/accuracy"), "_")
    right.axhline(0.0, color=PALETTE["muted"], linewidth=0.8)
    widths = by_width(curves, "n4", "gain/accuracy").x
    for ax, words in ((left, "expert's move predicted (%)"), (right, "gain (percentage points)")):
        ax.set(xlabel="width of the network", ylabel=words)
        ax.set_xticks(widths, [f"{width:g}" for width in widths])
    right.set_title("Over the baseline of the same width")
    left.legend()
    left.set_title("Test games")
    return figure
