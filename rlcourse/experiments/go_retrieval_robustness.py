"""What keeps a network from following neighbors that do not help? Each means left out in turn.

Neighbor dropout, randomization and regularization, as in figure 7 of Humphreys et al. 2022 (arXiv
2206.05314), with the neighbors that would be retrieved, with random ones, and with none.

**Deviations**: see `go_retrieval_study`. The paper's rates are not known to us.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from rlcourse.experiments.go_retrieval_presets import presets
from rlcourse.experiments.go_retrieval_results import load, reference_curves
from rlcourse.experiments.go_retrieval_study import Config, model_of, run
from rlcourse.experiments.reference import Curve
from rlcourse.viz.style import PALETTE, SIZES

__all__ = ["Config", "load", "model_of", "plot", "plot_shipped", "reference_curves", "run"]

LABELS = {
    "n4": "all three",
    "n4/no_dropout": "no dropout",
    "n4/no_randomization": "no randomization",
    "n4/no_regularization": "no regularization",
    "n4/plain": "none of them",
}
VARIANTS = ("baseline", *LABELS)
# Six variants in the time of five.
PRESETS = presets(VARIANTS, regularization=0.01, num_steps=400)
GIVEN = {"gain": "retrieved", "gain_random": "random", "gain_absent": "no"}
_ROLES = {"gain": "ours", "gain_random": "failure", "gain_absent": "baseline"}


def plot(folder: Path, reference: Mapping[str, Curve] | None = None) -> Figure:
    """The gain of trained networks over the baseline, by what they are given; beside what is
    shipped, hollow, where it is given."""
    return _drawn(reference_curves(folder), reference or {})


def plot_shipped(reference: Mapping[str, Curve]) -> Figure:
    """The same of the shipped curves."""
    return _drawn(reference, {})


def _drawn(curves: Mapping[str, Curve], reference: Mapping[str, Curve]) -> Figure:
    names = [name for name in LABELS if f"{name}/gain/accuracy" in curves]
    figure = Figure(figsize=SIZES["wide"], layout="constrained")
    ax = figure.subplots()
    ax.axhline(0.0, color=PALETTE["muted"], linewidth=0.8)
    for place, (group, label) in enumerate(GIVEN.items()):
        at = np.arange(len(names)) + 0.2 * (place - 1)
        for some, shift, fill in ((curves, 0.0, "full"), (reference, 0.07, "none")):
            if not some:
                continue
            rows = [some[f"{name}/{group}/accuracy"] for name in names]
            mean, low, high = (
                100 * np.array([row[part][-1] for row in rows]) for part in (1, 2, 3)
            )
            ax.errorbar(
                at + shift,
                mean,
                (mean - low, high - mean),
                fmt="o",
                fillstyle=fill,
                color=PALETTE[_ROLES[group]],
                label=f"{label} neighbors" if fill == "full" else None,
            )
    ax.set_xticks(np.arange(len(names)), [LABELS[name] for name in names])
    ax.set_ylabel("gain (percentage points)")
    ax.set_title("Over the baseline")
    figure.legend(loc="outside right center")
    return figure
