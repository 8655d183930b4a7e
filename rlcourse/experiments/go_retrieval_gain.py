"""What notebook 15 says of networks: a gain with its interval, and pictures of it.

`go_retrieval_results` draws seeds and games anew; here one network stands on each side, and games
alone are drawn: the interval is for these two networks on other games.
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from jaxtyping import Float, Int
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from torch import Tensor

from rlcourse.experiments.go_retrieval import VARIANTS
from rlcourse.experiments.go_retrieval_lesson import Config, Trained
from rlcourse.experiments.go_retrieval_results import COLORS, draw_fractions, draw_training
from rlcourse.experiments.reference import Curve
from rlcourse.viz.curves import plot_reference
from rlcourse.viz.style import PALETTE, SIZES

_TITLES = {"accuracy": "Expert's move", "value_error": "Winner"}
Gain = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]  # as `gain`


def resamples(num_games: int, number: int = 1_000, seed: int = 0) -> Int[Tensor, "R G"]:
    """Games drawn anew with replacement, for a bootstrap."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(num_games, (number, num_games), generator=generator)


def gain(
    with_: Float[Tensor, " G"],
    without: Float[Tensor, " G"],
    count: Int[Tensor, " G"],
    drawn: Int[Tensor, "R G"],
) -> tuple[Float[Tensor, ""], Float[Tensor, ""], Float[Tensor, ""]]:
    """The mean difference of a metric over positions, and the ends of its 95 % interval.

    A bootstrap over games, each with all of its positions, of the difference: what makes a position
    hard makes it hard for both models.

    Args:
        with_, without: sums of the metric over the positions of each game, by two models.
        count: positions of each game.
        drawn: games of each resample.
    """
    change = with_ - without
    means = change[drawn].sum(1) / count[drawn].sum(1)
    low, high = means.quantile(torch.tensor([0.025, 0.975], dtype=means.dtype))
    return change.sum() / count.sum(), low, high


def gain_table(
    rows: Mapping[str, tuple[dict[str, Tensor], dict[str, Tensor]]], gain_of: Gain = gain
) -> str:
    """For each name two results of `evaluate`, of which the second is the one to beat: accuracy and
    value error of the first, and what they are more than those of the second."""
    lines = [f"{'':28}{'accuracy':>10}{'gain':>24}{'value error':>14}{'change':>26}"]
    for name, (one, other) in rows.items():
        drawn, line = resamples(len(one["game"])), f"{name:28}"
        for metric, scale, digits in (("accuracy", 100, 1), ("value_error", 1, 3)):
            total, before = one[f"sum/{metric}"], other[f"sum/{metric}"]
            mean, low, high = (
                scale * float(x) for x in gain_of(total, before, one["count"], drawn)
            )
            here = f"{scale * float(one[metric]):.{digits}f}"
            span = f"{mean:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"
            span = "" if one is other else span
            line += f"{here:>12}{span:>26}"
        lines.append(line)
    return "\n".join(lines)


def plot_brief(
    trained: Mapping[str, Trained], config: Config, curves: Mapping[str, Curve]
) -> Figure:
    """Accuracy and value error of short trainings, beside those of the shipped networks.

    Args:
        trained: by the name of the variant, such as "n4/half".
        curves: shipped, of `go_retrieval_sizes`; against positions, as batches differ in size.
    """
    figure = Figure(figsize=SIZES["wide"], layout="constrained")
    metrics = (("accuracy", "expert's move predicted (%)"), ("value_error", "value error"))
    for ax, (metric, y_label) in zip(figure.subplots(1, 2), metrics, strict=True):
        factor = 100.0 if metric == "accuracy" else 1.0
        for name, run in trained.items():
            color = COLORS[name.partition("/")[0]]
            if f"{name}/{metric}" in curves:
                curve = curves[f"{name}/{metric}"]
                x = curve.x[1:] * config.study.batch_size / 1_000
                parts = (factor * part[1:] for part in curve[1:])
                plot_reference(ax, x, *parts, "_shipped").set_color(color)
            x = [step * config.batch_size / 1_000 for step in run.step[1:]]
            y = [factor * value for value in getattr(run, metric)[1:]]
            ax.plot(x, y, color=color, marker="o", label=f"{name}, your run")
        ax.set(xlabel="positions learned from (thousands)", ylabel=y_label)
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(10.0, (1.0, 3.0)))
        ax.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
        ax.xaxis.set_minor_locator(NullLocator())
    figure.axes[0].legend(title="dashed: shipped")
    return figure


def plot_by_number(curves: Mapping[str, Curve]) -> Figure:
    """The gain of shipped networks over the baseline by N, with the neighbors that they retrieve,
    with those of other positions, and with none."""
    numbers = [number for number in (2, 4, 10) if f"n{number}/gain/accuracy" in curves]
    groups = (("gain", "retrieved", "ours"), ("gain_random", "random", "failure"))
    groups += (("gain_absent", "absent", "baseline"),)
    figure = Figure(figsize=SIZES["wide"], layout="constrained")
    metrics = (
        ("accuracy", 100.0, "gain (percentage points)"),
        ("value_error", 1.0, "change of the value error"),
    )
    for ax, (metric, factor, words) in zip(figure.subplots(1, 2), metrics, strict=True):
        ax.axhline(0.0, color=PALETTE["muted"], linewidth=0.8)
        for shift, (group, label, role) in enumerate(groups):
            rows = [curves[f"n{number}/{group}/{metric}"] for number in numbers]
            mean, low, high = (factor * np.array([row[i][-1] for row in rows]) for i in (1, 2, 3))
            ax.errorbar(
                np.arange(len(numbers)) + 0.12 * (shift - 1),
                mean,
                (mean - low, high - mean),
                fmt="o",
                color=PALETTE[role],
                label=label,
            )
        ax.set_xticks(np.arange(len(numbers)), [str(number) for number in numbers])
        ax.set(xlabel="neighbors N", ylabel=words, title=_TITLES[metric])
    figure.axes[0].legend()
    return figure


def plot_by_share(curves: Mapping[str, Curve]) -> Figure:
    """What shipped networks with neighbors gain over the baseline by the share of the games that
    they are looked up in: accuracy, and value error, where less is better."""
    names = [name for name in VARIANTS if f"{name}/gain_random/accuracy" in curves]
    figure = Figure(figsize=SIZES["wide"], layout="constrained")
    for ax, metric in zip(figure.subplots(1, 2), ("accuracy", "value_error"), strict=True):
        draw_fractions(ax, curves, names, metric)
        ax.set_title(_TITLES[metric])
    figure.axes[0].legend()
    return figure


def plot_value_error(curves: Mapping[str, Curve]) -> Figure:
    """The value error of the shipped networks over training."""
    figure = Figure(figsize=SIZES["single"], layout="constrained")
    ax = figure.subplots()
    draw_training(ax, curves, [n for n in VARIANTS if f"{n}/value_error" in curves], "value_error")
    ax.legend()
    return figure
