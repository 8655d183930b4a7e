"""Which keys find positions whose expert knew the answer?

A network is trained to predict moves and winners; activations of its layers, compressed by PCA,
are keys (section 3 of Humphreys et al. 2022, arXiv 2206.05314). Positions of test games are looked
up among those of other games, by the stones themselves and by each layer, and with three ways to
treat the symmetries of the board: none, a canonical form, and all eight images of the query.

Measured is how often the expert's move is among the next moves of the n nearest, brought back to
the query's board (`agreement`), how often the nearest neighbor's winner is the query's (`winner`),
and which share of the neighbors under all eight symmetries a cheaper search has (`found`).

**Deviations**: the paper compares neither layers nor symmetries, and its layer and number of
components are not known to us; 50 million positions of a far stronger expert.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from tqdm.auto import tqdm

from rlcourse.experiments import go_lookup
from rlcourse.experiments.reference import Curve, curve_of
from rlcourse.experiments.settings import check_counts, check_names
from rlcourse.go import prediction, shipped
from rlcourse.go.agreement import expert_among
from rlcourse.go.database_config import SYMMETRIES
from rlcourse.go.neighbors import Neighbors
from rlcourse.go.positions import Positions
from rlcourse.go.prediction import LAYERS, PredictionNetwork, train_network
from rlcourse.go.splits import split_of
from rlcourse.ops.neighbors import nearest
from rlcourse.run.record import Record, load_config, load_metrics
from rlcourse.viz.curves import plot_curves, plot_reference
from rlcourse.viz.style import PALETTE, SIZES

COLORS = {
    "raw": PALETTE["baseline"],
    "tower": PALETTE["alternative"],
    "policy": PALETTE["ours"],
    "value": PALETTE["ablation"],
    "heads": PALETTE["failure"],
}
LABELS = {"none": "as it lies", "canonical": "canonical form", "query": "all eight images"}
ACCURACY = "accuracy"
Agree = Callable[[Tensor, Tensor, Tensor, int], Tensor]  # as `agreement.expert_among`


@dataclass(frozen=True)
class Config:
    """One comparison; the paper's settings are not known, all of these are ours."""

    layers: tuple[str, ...] = ("tower", "policy", "value")
    dim: int = 64  # D, at most
    channels: int = 48
    blocks: int = 3
    hidden: int = 32
    num_steps: int = 1_500
    batch_size: int = 256
    learning_rate: float = 1e-3
    num_train: int | None = None  # games to train on; None: all
    evaluate_every: int = 100  # steps
    num_evaluated: int = 1_000  # test positions for the accuracy
    num_fit: int = 6_000  # positions for the components
    num_stored: int = 800  # games to look up in
    num_test: int = 300  # games to look up
    num_queries: int = 1_000  # positions of those
    k: int = 10
    num_seeds: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        counts = ("evaluate_every", "num_evaluated", "num_fit", "num_stored", "num_test")
        check_counts(self, *counts, "num_queries", "k", "num_seeds")
        if self.num_train is not None and self.num_train < 1:
            raise ValueError(f"num_train must be at least 1, or None for all, got {self.num_train}")
        check_names(self, "layers")
        if unknown := set(self.layers) - set(LAYERS):
            raise ValueError(f"unknown layers {sorted(unknown)}: there are {list(LAYERS)}")
        if self.num_fit <= self.dim:
            raise ValueError(f"num_fit must exceed dim, got {self.num_fit} and {self.dim}")
        self.network(0)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the keys that are compared."""
        return (go_lookup.RAW, *self.layers)

    def network(self, number: int) -> prediction.Config:
        """The network of seed `number` and its training, checked."""
        return prediction.Config(
            channels=self.channels,
            blocks=self.blocks,
            hidden=self.hidden,
            num_steps=self.num_steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            dim=self.dim,
            seed=self.seed + number,
        )


_SMOKE = {"channels": 8, "blocks": 1, "hidden": 4, "num_steps": 20, "batch_size": 16, "dim": 16}
# For one GPU and a larger set of games; the sizes of the paper are not known.
_PAPER = {"channels": 64, "blocks": 12, "num_steps": 200_000, "batch_size": 1_024}
_SMOKE |= {"evaluate_every": 10, "num_evaluated": 50, "num_train": 20, "num_fit": 200}
_SMOKE |= {"num_stored": 12, "num_test": 4, "num_queries": 30, "num_seeds": 2}
_PAPER |= {"evaluate_every": 2_000, "num_evaluated": 10_000, "num_fit": 20_000}
_PAPER |= {"num_stored": 20_000, "num_test": 2_500, "num_queries": 10_000}
PRESETS = {
    "smoke": Config(**_SMOKE),
    "laptop": Config(),
    "paper": Config(layers=LAYERS, **_PAPER),
}


def run(
    config: Config,
    folder: Path,
    *,
    search: go_lookup.Search = nearest,
    agree: Agree = expert_among,
    device: torch.device | str = "cpu",
    progress: bool = True,
) -> bool:
    """Trains a network and compares its keys, for each seed; resumes; False if interrupted.

    Args:
        config: see `Config`.
        folder: receives config.json, the positions, and a folder for each seed: the record and the
            checkpoint of the training, and in `keys` one line for each kind of key and symmetries.
        search, agree: exercises of notebook 14.
        device: of the network.
        progress: draw bars.

    Raises:
        ValueError: the folder was begun with other settings or other games, or there are too few.
    """
    Record(folder, config)
    try:
        positions = positions_for(config, folder, progress)
        for number in range(config.num_seeds):
            place = folder / f"seed_{number}"
            network = train(config, number, place, positions, device, progress)
            record = Record(place / "keys", {"positions": positions.fingerprint})
            if record.last_step != len(config.names) * len(SYMMETRIES) - 1:
                compare(config, number, record, network, positions, search, agree, progress)
    except KeyboardInterrupt:
        return False
    return True


def positions_for(config: Config, folder: Path, progress: bool = True) -> Positions:
    """The positions of all games that a run needs, in a folder below `folder`."""
    rules, games = shipped.load_games()
    if config.num_train is not None:
        number = max(config.num_train, config.num_stored)
        games = go_lookup.some_games(games, number, config.num_test)
    return go_lookup.positions_of(folder / "positions", rules, games, progress)


def train(
    config: Config,
    number: int,
    folder: Path,
    positions: Positions,
    device: torch.device | str = "cpu",
    progress: bool = True,
) -> PredictionNetwork:
    """The network of seed `number`, trained on the splits train and retrieval; resumes."""
    ids = positions.of_split("train", "retrieval")
    settings = config.network(number)
    batch = positions.batch(_drawn(positions.of_split("test"), config.num_evaluated, 0))

    def evaluate(network: PredictionNetwork, step: int) -> dict[str, float]:
        logits = network(batch.planes.to(network.device)).logits.cpu()
        return {
            "test_accuracy": float((logits.argmax(-1) == batch.next_moves[:, 0]).float().mean())
        }

    return train_network(
        settings,
        go_lookup.training_sample(positions, ids, settings.seed),
        record=Record(folder, settings),
        checkpoint_path=folder / "checkpoint.pt",
        device=device,
        log_every=config.evaluate_every,
        checkpoint_every=config.evaluate_every,
        evaluate=evaluate,
        progress=progress,
    )


def compare(
    config: Config,
    number: int,
    record: Record,
    network: PredictionNetwork,
    positions: Positions,
    search: go_lookup.Search = nearest,
    agree: Agree = expert_among,
    progress: bool = True,
) -> None:
    """Looks positions of test games up in other games, by all keys; resumes."""
    ids = fitting_ids(config, number, positions)
    components = go_lookup.fit_components(
        network, config.layers, config.dim, positions, ids, progress
    )
    stored_ids, query_ids = chosen(config, number, positions)
    batch = positions.batch(query_ids)
    stored = go_lookup.store(network, components, positions, stored_ids, progress)
    asked = go_lookup.ask(network, components, batch.planes)
    rows = [(name, how) for name in config.names for how in SYMMETRIES]
    first = 0 if record.last_step is None else record.last_step + 1
    truths: dict[str, Neighbors] = {}  # under all eight symmetries
    for row in tqdm(range(first, len(rows)), desc="searches", disable=not progress):
        name, how = rows[row]
        if name not in truths:
            truths[name] = go_lookup.find(stored, asked, name, "query", config.k, search)
        found = truths[name]
        if how != "query":
            found = go_lookup.find(stored, asked, name, how, config.k, search)
        near = positions.batch(found.ids.flatten())
        moves = near.next_moves[:, 0].view_as(found.ids)
        knows = agree(moves, found.symmetry, batch.next_moves[:, 0], positions.rules.size)
        winner = near.outcome.view_as(found.ids)[:, 0] == batch.outcome
        share = go_lookup.share_found(stored, asked, name, found, truths[name])
        means = {"agreement": knows.mean(0), "winner": float(winner.float().mean())}
        record.write(row, {**means, "found": share})


def fitting_ids(config: Config, number: int, positions: Positions) -> Tensor:
    """The positions that the components of seed `number` are fitted on."""
    return _drawn(positions.of_split("train", "retrieval"), config.num_fit, number)


def chosen(config: Config, number: int, positions: Positions) -> tuple[Tensor, Tensor]:
    """The ids of stored positions, of the first games that no test needs, and of queries, drawn for
    seed `number` from the first games of the tests."""
    numbers = sorted(positions.numbers())
    tests = [n for n in numbers if split_of(n) == "test"][: config.num_test]
    others = [n for n in numbers if split_of(n) != "test"][: config.num_stored]
    of_games = [torch.isin(positions.games, torch.tensor(some)) for some in (others, tests)]
    stored, asked = (within.nonzero().flatten() for within in of_games)
    return stored, _drawn(asked, config.num_queries, 1 + number)


class Result(NamedTuple):
    """What a finished run says; by (keys, symmetries)."""

    step: np.ndarray  # [T] of the training
    accuracy: np.ndarray  # [R, T] share of test positions whose likeliest move is the expert's
    agreement: dict[tuple[str, str], np.ndarray]  # [R, K]
    winner: dict[tuple[str, str], np.ndarray]  # [R]
    found: dict[tuple[str, str], np.ndarray]  # [R]


def load(folder: Path) -> Result:
    """Reads a finished run.

    Raises:
        FileNotFoundError: it has not been run.
        ValueError: it was interrupted; run the experiment again to go on.
    """
    config = _config(folder)
    rows = [(name, how) for name in config.names for how in SYMMETRIES]
    places = [folder / f"seed_{number}" for number in range(config.num_seeds)]
    tables, trainings = [], []
    for place in places:
        metrics = load_metrics(place / "keys") if (place / "keys").exists() else {"step": [-1]}
        if len(metrics["step"]) < len(rows):
            raise ValueError(f"the run in {folder} was interrupted: run it again, it goes on there")
        tables.append(metrics)
        trainings.append(load_metrics(place))

    def by_row(metric: str) -> dict[tuple[str, str], np.ndarray]:
        values = np.stack([table[metric] for table in tables], 1)
        return dict(zip(rows, values, strict=True))

    accuracy = np.stack([training["test_accuracy"] for training in trainings])
    return Result(trainings[0]["step"], accuracy, *map(by_row, ("agreement", "winner", "found")))


def reference_curves(folder: Path) -> dict[str, Curve]:
    """What is shipped: the accuracy against the steps, and for each kind of key and symmetries the
    agreement against the number of neighbors, as "KEY/SYMMETRIES"."""
    result = load(folder)
    curves = {ACCURACY: _curve(result.step, result.accuracy)}
    for (name, how), runs in result.agreement.items():
        curves[f"{name}/{how}"] = _curve(np.arange(1, runs.shape[1] + 1), runs)
    return curves


def table(folder: Path) -> str:
    """For each kind of key and symmetries, means over seeds, in percent."""
    result = load(folder)
    lines = [f"{'keys':8}{'symmetries':18}{'first':>7}{'in ten':>8}{'winner':>8}{'found':>7}"]
    for (name, how), runs in result.agreement.items():
        first, last = runs.mean(0)[[0, -1]]
        winner, found = result.winner[name, how].mean(), result.found[name, how].mean()
        lines.append(
            f"{name:8}{LABELS[how]:18}{first:>7.1%}{last:>8.1%}{winner:>8.1%}{found:>7.0%}"
        )
    return "\n".join(lines)


def plot(folder: Path, reference: dict[str, Curve] | None = None) -> Figure:
    """The accuracy during training, and the agreement by keys under all eight symmetries."""
    result, config = load(folder), _config(folder)
    figure = Figure(figsize=SIZES["wide"], layout="constrained")
    left, right = figure.subplots(1, 2)
    for ax, labels in ((left, [ACCURACY]), (right, [f"{name}/query" for name in config.names])):
        for label in labels:
            if label in (reference or {}):
                plot_reference(ax, *reference[label], "dashed: shipped")
    plot_curves(
        left,
        result.step,
        100 * result.accuracy,
        "test positions",
        "ours",
        x_label="training step",
        y_label="expert's move predicted (%)",
    )
    left.set_title("The network that makes the keys")
    for name in config.names:
        runs = 100 * result.agreement[name, "query"]
        finish_agreement(right, np.arange(1, runs.shape[1] + 1), runs, name)
    right.set_ylim(bottom=0)
    right.legend()
    return figure


def plot_shipped(reference: dict[str, Curve], symmetries: str = "query") -> Figure:
    """The shipped agreement of all keys, for one way to treat symmetries."""
    figure = Figure(figsize=SIZES["single"], layout="constrained")
    ax = figure.subplots()
    for label, curve in reference.items():
        name, _, how = label.partition("/")
        if how == symmetries:
            low, high = (100 * np.asarray(part) for part in (curve.low, curve.high))
            finish_agreement(ax, curve.x, 100 * curve.mean, name)
            ax.fill_between(curve.x, low, high, color=COLORS[name], alpha=0.2, linewidth=0)
    ax.set_ylim(bottom=0)
    ax.legend()
    return figure


def finish_agreement(ax: Axes, x: Any, runs: np.ndarray, name: str) -> None:
    """One line of agreement, in percent, on labeled axes."""
    plot_curves(
        ax,
        x,
        runs,
        f"{name} keys",
        COLORS[name],
        x_label="nearest neighbors that are looked at",
        y_label="expert's move among theirs (%)",
    )
    ax.set_title("Do neighbors know the move?")
    ax.set_xticks(np.asarray(x)[[0, *range(1, len(x), 2)]])


def _curve(x: np.ndarray, runs: np.ndarray) -> Curve:
    """Over seeds; a single seed has no interval."""
    if len(runs) > 1:
        return curve_of(x, runs)
    return Curve(np.asarray(x, dtype=float), *([runs[0]] * 3))


def _drawn(ids: Tensor, count: int, seed: int) -> Tensor:
    """At most `count` of the ids, in ascending order."""
    order = torch.randperm(len(ids), generator=torch.Generator().manual_seed(seed))
    return ids[order[:count].sort().values]


def _config(folder: Path) -> Config:
    fields = load_config(folder)
    return Config(**{**fields, "layers": tuple(fields["layers"])})
