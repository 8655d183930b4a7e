"""Do neighbors help a network to predict the expert, and how many, from how large a database?

Networks with N = 2, 4 and 10 neighbors against the one without, over training; then, without
training again, with random neighbors, with none, and with databases of a share of the games, as in
figure 4 of Humphreys et al. 2022 (arXiv 2206.05314). `go_retrieval_sizes` compares networks by
size, `go_retrieval_robustness` what makes them robust.

**Deviations**: see `go_retrieval_study`. Only signs and orders can be compared with the paper.
"""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from rlcourse.experiments.go_retrieval_data import Data, prepare, shared_folder
from rlcourse.experiments.go_retrieval_presets import presets
from rlcourse.experiments.go_retrieval_results import (
    Result,
    draw_fractions,
    draw_training,
    gain,
    load,
    reference_curves,
)
from rlcourse.experiments.go_retrieval_study import Config, model_of, run
from rlcourse.experiments.reference import Curve
from rlcourse.viz.style import SIZES

__all__ = ["Config", "Data", "Result", "gain", "load", "model_of", "plot", "plot_shipped"]
__all__ += ["prepare", "reference_curves", "run", "shared_folder"]

VARIANTS = ("baseline", "blank", "n2", "n4", "n10")
PRESETS = presets(VARIANTS)


def plot(folder: Path, reference: Mapping[str, Curve] | None = None) -> Figure:
    """The accuracy during training, and the gain by the share of the games; over what is shipped,
    dashed, where it is given."""
    return _drawn(reference_curves(folder), reference or {})


def plot_shipped(reference: Mapping[str, Curve]) -> Figure:
    """The same of the shipped curves."""
    return _drawn(reference, {})


def _drawn(curves: Mapping[str, Curve], reference: Mapping[str, Curve]) -> Figure:
    names = [name for name in VARIANTS if f"{name}/accuracy" in curves]
    retrieve = [name for name in names if f"{name}/gain_random/accuracy" in curves]
    figure = Figure(figsize=SIZES["wide"], layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_training(left, curves, names, reference=reference)
    draw_fractions(right, curves, retrieve, reference=reference)
    left.legend()
    left.set_title("Test games")
    return figure
