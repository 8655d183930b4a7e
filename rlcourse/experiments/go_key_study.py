"""What notebook 14 runs on a few games: a short training, and its keys compared.

`go_keys` compares networks that were trained to the end, over seeds. Here one network is given, and
the intervals come from the games: positions of one game are alike, so games are drawn anew with
replacement, each with all of its positions (a bootstrap of clusters; Davison and Hinkley 1997,
section 2.4).
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from matplotlib.figure import Figure
from torch import Tensor
from tqdm.auto import tqdm

from rlcourse.experiments import go_keys, go_lookup
from rlcourse.experiments.reference import Curve
from rlcourse.go.agreement import expert_among
from rlcourse.go.database_config import SYMMETRIES
from rlcourse.go.neighbors import Neighbors
from rlcourse.go.pca import PCA
from rlcourse.go.positions import Positions
from rlcourse.ops.neighbors import nearest
from rlcourse.run.evaluate import Interval
from rlcourse.run.record import load_metrics
from rlcourse.viz.curves import plot_band, plot_reference
from rlcourse.viz.style import PALETTE, SIZES

_RESAMPLES = 1_000


def train_briefly(
    config: go_keys.Config, folder: Path, positions: Positions, num_steps: int, every: int
) -> bool:
    """The first steps of the network of `config`; False if interrupted."""
    short = replace(config, num_steps=num_steps, evaluate_every=every)
    try:
        go_keys.train(short, 0, folder, positions)
    except KeyboardInterrupt:
        return False
    return True


def plot_training(folder: Path, reference: dict[str, Curve]) -> Figure:
    """The accuracy of a training that may be unfinished, beside the shipped one."""
    metrics = load_metrics(folder)
    figure = Figure(figsize=SIZES["single"], layout="constrained")
    ax = figure.subplots()
    plot_reference(ax, *_percent(reference[go_keys.ACCURACY]), "dashed: shipped")
    if len(metrics["step"]):
        accuracy = 100 * metrics["test_accuracy"]
        ax.plot(metrics["step"], accuracy, color=PALETTE["ours"], marker="o", label="your run")
    ax.set(xlabel="training step", ylabel="expert's move predicted (%)", ylim=(0, None))
    ax.set_title("Test positions whose likeliest move is the expert's")
    ax.legend(loc="lower right")
    return figure


def as_pca(mean: Float[Tensor, " X"], components: Float[Tensor, "D X"], x: Tensor) -> PCA:
    """Components that were found by other means than `PCA.fit`, from samples x [N, X]."""
    centered = (x - mean).double()
    variance = (centered @ components.T.double()).var(0)
    total = float(centered.var(0).sum())
    parts = (torch.ones_like(mean), mean, components, variance)
    return PCA(*(part.float() for part in parts), total)


class Looked(NamedTuple):
    """What one kind of key, with one way to treat symmetries, finds for B positions."""

    found: Neighbors
    knows: Float[Tensor, "B K"]  # as `agreement.expert_among`
    share: float  # of the neighbors under all eight symmetries


def look(
    positions: Positions,
    stored: go_lookup.Stored,
    asked: go_lookup.Asked,
    query_ids: Int[Tensor, " B"],
    name: str,
    symmetries: str,
    k: int = 10,
    search: go_lookup.Search = nearest,
    agree: go_keys.Agree = expert_among,
) -> Looked:
    """Neighbors of queries, and whether they know the expert's move; see `go_lookup.find`."""
    found = go_lookup.find(stored, asked, name, symmetries, k, search)
    truth = found
    if symmetries != "query":
        truth = go_lookup.find(stored, asked, name, "query", k)
    moves = positions.batch(found.ids.flatten()).next_moves[:, 0].view_as(found.ids)
    expert = positions.batch(query_ids).next_moves[:, 0]
    knows = agree(moves, found.symmetry, expert, positions.rules.size)
    return Looked(found, knows, go_lookup.share_found(stored, asked, name, found, truth))


def look_all(
    positions: Positions,
    stored: go_lookup.Stored,
    asked: go_lookup.Asked,
    query_ids: Int[Tensor, " B"],
    k: int = 10,
    *,
    search: go_lookup.Search = nearest,
    agree: go_keys.Agree = expert_among,
    progress: bool = True,
) -> dict[tuple[str, str], Looked]:
    """`look` for each kind of key and each way to treat symmetries, by both; shows a bar."""
    ways = [(name, how) for name in stored.keys for how in SYMMETRIES]
    return {
        (name, how): look(positions, stored, asked, query_ids, name, how, k, search, agree)
        for name, how in tqdm(ways, desc="searches", disable=not progress)
    }


def by_games(values: Float[Tensor, "B K"], games: Int[Tensor, " B"], seed: int = 0) -> Interval:
    """The mean over positions with its 95 % interval from a bootstrap over games; [K] each.

    Raises:
        ValueError: there is only one game.
    """
    numbers, place = torch.unique(games, return_inverse=True)
    if len(numbers) < 2:
        raise ValueError("an interval over games needs at least two games, got one")
    sums = torch.zeros(len(numbers), values.shape[1], dtype=torch.float64)
    sums.index_add_(0, place, values.double())
    counts = torch.bincount(place).double()
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(len(numbers), (_RESAMPLES, len(numbers)), generator=generator)
    means = sums[drawn].sum(1) / counts[drawn].sum(1, keepdim=True)  # [R, K]
    low, high = np.quantile(means.numpy(), (0.025, 0.975), axis=0)
    return Interval(values.double().mean(0).numpy(), low, high)


def table(looked: dict[tuple[str, str], Looked], games: Int[Tensor, " B"]) -> str:
    """Of each kind of key and symmetries: the nearest neighbor's move with its interval, the ten
    nearest, and the share of neighbors found."""
    title = f"{'keys':8}{'symmetries':18}{'nearest knows':>14}{'95% interval':>17}"
    lines = [title + f"{'one of ten':>12}{'found':>7}"]
    for (name, how), result in looked.items():
        rate = by_games(result.knows, games)
        span = f"[{rate.low[0]:.1%}, {rate.high[0]:.1%}]"
        lines.append(
            f"{name:8}{go_keys.LABELS[how]:18}{rate.mean[0]:>14.1%}{span:>17}"
            f"{rate.mean[-1]:>12.1%}{result.share:>7.0%}"
        )
    return "\n".join(lines)


def plot(
    looked: dict[tuple[str, str], Looked],
    games: Int[Tensor, " B"],
    reference: dict[str, Curve],
    symmetries: Sequence[str] = ("none", "query"),
) -> Figure:
    """Agreement against the number of neighbors, over the shipped curves."""
    figure = Figure(figsize=SIZES["wide"], layout="constrained")
    for ax, how in zip(figure.subplots(1, len(symmetries), sharey=True), symmetries, strict=True):
        for (name, other), result in looked.items():
            if other != how:
                continue
            if f"{name}/{how}" in reference:
                plot_reference(ax, *_percent(reference[f"{name}/{how}"]), "_shipped")
            rate = by_games(result.knows, games)
            curve = Curve(np.arange(1, len(rate.mean) + 1), *rate)
            plot_band(ax, *_percent(curve), f"{name} keys", go_keys.COLORS[name])
        ax.set_xlabel("nearest neighbors that are looked at")
        ax.set_title(go_keys.LABELS[how])
        ax.set_xticks([1, 2, 4, 6, 8, 10])
    figure.axes[0].set_ylabel("expert's move among theirs (%)")
    figure.axes[0].set_ylim(bottom=0)
    figure.axes[0].legend(loc="upper left", title="dashed: shipped")
    return figure


def _percent(curve: Curve) -> Curve:
    return Curve(curve.x, *(100 * np.asarray(part) for part in curve[1:]))
