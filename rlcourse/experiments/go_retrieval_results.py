"""What finished studies of retrieval say: curves, gains over the baseline and pictures.

The *gain* of a variant is the difference to the baseline of its width, on the same test positions
and from the same first weights, so that what a seed or a game is worth to both cancels out. Its
interval comes from drawing seeds and test games again at the same time, with replacement (Owen
2007, "The pigeonhole bootstrap", arXiv 0712.1111): it covers other seeds and other games. Of three
seeds a bootstrap underrates the spread, in gains and in the curves of single variants. All seeds
share the key network, the positions to learn from and the database: for others it says nothing.

The baseline never runs the network of neighbors. The nearest to a network of the same parameters
and operations is "blank", to which `go_retrieval_table` and VARIANT/over_blank compare, too; it
embeds one neighbor, the others N.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from rlcourse.experiments.go_retrieval_study import (
    RANDOM,
    Condition,
    Config,
    conditions,
    config_of,
    is_finished,
    place_of,
)
from rlcourse.experiments.go_retrieval_variants import variant_of
from rlcourse.experiments.reference import Curve, curve_of
from rlcourse.go.batches import ABSENT, RETRIEVED
from rlcourse.run.evaluate import Interval
from rlcourse.run.record import load_metrics
from rlcourse.viz.curves import plot_band, plot_reference
from rlcourse.viz.style import PALETTE

ACCURACY, VALUE_ERROR = METRICS = ("accuracy", "value_error")
BASELINE, BLANK = "baseline", "blank"
_SUMS = {ACCURACY: "hits", VALUE_ERROR: "squared_errors"}
_NUM_RESAMPLES = 2_000
COLORS = {
    "baseline": PALETTE["baseline"],
    "blank": PALETTE["expert"],
    "n2": PALETTE["alternative"],
    "n4": PALETTE["ours"],
    "n10": PALETTE["ablation"],
}
Y_LABELS = {ACCURACY: "expert's move predicted (%)", VALUE_ERROR: "value error"}


class Tests(NamedTuple):
    """Of a variant under one condition; R seeds, G test games."""

    accuracy: Float[np.ndarray, " R"]
    value_error: Float[np.ndarray, " R"]
    positions: Float[np.ndarray, " G"]
    hits: Float[np.ndarray, "R G"]
    squared_errors: Float[np.ndarray, "R G"]


class Result(NamedTuple):
    """What a finished run says."""

    config: Config
    step: np.ndarray  # [T]
    training: dict[tuple[str, str], np.ndarray]  # by variant and metric: [R, T] of test positions
    tests: dict[tuple[str, str], Tests]  # by variant and the condition's name


def load(folder: Path) -> Result:
    """Reads a finished run.

    Raises:
        FileNotFoundError: it has not been run.
        ValueError: it was interrupted; run the experiment again to go on.
    """
    config = config_of(folder)
    training, tests = {}, {}
    step = np.zeros(0)
    for name in config.variants:
        places = [place_of(folder, number, name) for number in range(config.num_seeds)]
        if not all(is_finished(config, place, name) for place in places):
            raise ValueError(f"the run in {folder} was interrupted: run it again, it goes on there")
        records = [load_metrics(place) for place in places]
        step = records[0]["step"]
        for metric in METRICS:
            rows = np.stack([record[f"test_{metric}"] for record in records])
            training[name, metric] = rows
        lines = [load_metrics(place / "tests") for place in places]
        for row, condition in enumerate(conditions(config, name)):
            tests[name, condition.name] = _tests_in(lines, row)
    return Result(config, step, training, tests)


def gain(
    ours: Tests, theirs: Tests, metric: str = ACCURACY, level: float = 0.95, seed: int = 0
) -> Interval:
    """How much higher the metric is, over seeds and games.

    Args:
        ours, theirs: on the same games, with the same seeds.
        metric: "accuracy", or "value_error", where a gain is negative.
        level: of the interval, see the module.
        seed: of the draws.

    Raises:
        ValueError: an unknown metric, or tests on other games or numbers of seeds.
    """
    if metric not in METRICS:
        raise ValueError(f"metric must be one of {', '.join(METRICS)}, got {metric!r}")
    mine, other = (getattr(tests, _SUMS[metric]) for tests in (ours, theirs))
    if mine.shape != other.shape or not np.array_equal(ours.positions, theirs.positions):
        raise ValueError(
            f"both must be tested on the same games with as many seeds, got {mine.shape} and"
            f" {other.shape}"
        )
    difference, count = mine - other, ours.positions  # [R, G], [G]
    num_seeds, num_games = difference.shape
    random = np.random.default_rng(seed)
    seeds = random.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), _NUM_RESAMPLES)
    games = random.multinomial(num_games, np.full(num_games, 1 / num_games), _NUM_RESAMPLES)
    total = ((seeds @ difference) * games).sum(1) / num_seeds  # [num_resamples]
    low, high = np.quantile(total / (games @ count), [(1 - level) / 2, (1 + level) / 2])
    return Interval(np.asarray(difference.mean(0).sum() / count.sum()), low, high)


def reference_curves(folder: Path) -> dict[str, Curve]:
    """What is shipped, for each variant and metric ("accuracy", "value_error"):

        VARIANT/METRIC            against the steps of the training, on some test positions
        VARIANT/tests/METRIC      when trained, against the share of games that is looked up in;
                                  one point for variants without neighbors
        VARIANT/random/METRIC, VARIANT/absent/METRIC      when trained, against N: one point
        VARIANT/gain/METRIC       over the baseline of the same width, against that share
        VARIANT/gain_random/METRIC, VARIANT/gain_absent/METRIC      the same, against N
        VARIANT/over_blank/METRIC over the network of a blank neighbor, where the study has it

    with 95 % intervals over seeds, and over seeds and games for gains.
    """
    result = load(folder)
    curves = {}
    for name in result.config.variants:
        for metric in METRICS:
            runs = result.training[name, metric]
            curves[f"{name}/{metric}"] = _curve(result.step, runs)
            curves |= _test_curves(result, name, metric)
    return curves


def draw_training(
    ax: Axes,
    curves: Mapping[str, Curve],
    names: Sequence[str],
    metric: str = ACCURACY,
    reference: Mapping[str, Curve] | None = None,
) -> None:
    """The metric on test positions during training, without the untrained network; what is shipped
    dashed."""
    for name in names:
        label = f"{name}/{metric}"
        plot_band(ax, *_scaled(curves[label], metric), name, _color(name))
        if label in (reference or {}):
            plot_reference(ax, *_scaled(reference[label], metric), f"_{name}, shipped")
    ax.set(xlabel="training step", ylabel=Y_LABELS[metric])


def draw_fractions(
    ax: Axes,
    curves: Mapping[str, Curve],
    names: Sequence[str],
    metric: str = ACCURACY,
    reference: Mapping[str, Curve] | None = None,
) -> None:
    """The gain over the baseline by the share of the games that is looked up in, with a line at 0;
    what is shipped dashed."""
    ax.axhline(0.0, color=PALETTE["muted"], linewidth=0.8)
    for name in names:
        label = f"{name}/gain/{metric}"
        plot_band(ax, *_scaled(curves[label], metric), name, _color(name))
        if label in (reference or {}):
            plot_reference(ax, *_scaled(reference[label], metric), f"_{name}, shipped")
    ax.set_xscale("log")
    shares = sorted({float(x) for name in names for x in curves[f"{name}/gain/{metric}"].x})
    ax.set_xticks(shares, [f"{100 * share:g}" for share in shares])
    ax.minorticks_off()
    unit = "gain (percentage points)" if metric == ACCURACY else "change of the value error"
    ax.set(xlabel="share of the games in the database (%)", ylabel=unit)
    ax.set_title("Over the baseline")


def _test_curves(result: Result, name: str, metric: str) -> dict[str, Curve]:
    config, variant = result.config, variant_of(name)
    base = baseline_of(result, name)
    usual = [c for c in conditions(config, name) if c.kind not in (RANDOM, ABSENT)]
    groups = {"tests": ("gain", usual or [Condition(ABSENT)])}
    if variant.mode == RETRIEVED:
        groups |= {kind: (f"gain_{kind}", [Condition(kind)]) for kind in (RANDOM, ABSENT)}
    curves = {}
    for label, (label_of_gain, some) in groups.items():
        found = [result.tests[name, condition.name] for condition in some]
        shares = [condition.fraction for condition in some]
        x = np.array(shares if label == "tests" else [float(variant.num_neighbors)])
        runs = np.stack([getattr(tests, metric) for tests in found], 1)  # [R, len(some)]
        curves[f"{name}/{label}/{metric}"] = _curve(x, runs)
        if base is not None and base != name:
            other = result.tests[base, ABSENT]
            gains = zip(*(gain(tests, other, metric) for tests in found), strict=True)
            curves[f"{name}/{label_of_gain}/{metric}"] = Curve(x, *map(np.array, gains))
    if is_over_blank(result, name):
        other = result.tests[BLANK, BLANK]
        gains = zip(*(gain(result.tests[name, c.name], other, metric) for c in usual), strict=True)
        x = np.array([condition.fraction for condition in usual])
        curves[f"{name}/over_blank/{metric}"] = Curve(x, *map(np.array, gains))
    return curves


def is_over_blank(result: Result, name: str) -> bool:
    """Whether a variant retrieves, and the study has a blank neighbor in a network as wide."""
    variant, there = variant_of(name), BLANK in result.config.variants
    return there and variant.mode == RETRIEVED and variant.width == variant_of(BLANK).width


def baseline_of(result: Result, name: str) -> str | None:
    """The baseline of the same width, where the study has it."""
    _, _, change = name.partition("/")
    same = [
        other
        for other in result.config.variants
        if other.partition("/")[0] == BASELINE and variant_of(other).width == variant_of(name).width
    ]
    return same[0] if same else None


def _tests_in(lines: Sequence[Mapping[str, np.ndarray]], row: int) -> Tests:
    def of(metric: str) -> np.ndarray:
        return np.stack([line[metric][row] for line in lines])

    names = (ACCURACY, VALUE_ERROR)
    positions = lines[0]["positions"][row]
    return Tests(*map(of, names), positions, *(of(name) for name in _SUMS.values()))


def _curve(x: np.ndarray, runs: np.ndarray) -> Curve:
    """Over seeds; a single seed has no interval."""
    if len(runs) > 1:
        return curve_of(x, runs)
    return Curve(np.asarray(x, dtype=float), *([runs[0]] * 3))


def _scaled(curve: Curve, metric: str) -> tuple[np.ndarray, ...]:
    """Accuracy in percent; without x = 0, the untrained network."""
    factor, kept = 100.0 if metric == ACCURACY else 1.0, curve.x > 0
    return (curve.x[kept], *(factor * part[kept] for part in curve[1:]))


def _color(name: str) -> str:
    return COLORS.get(name.partition("/")[0], PALETTE["expert"])
