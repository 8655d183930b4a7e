"""Trainings with and without neighbors, and their tests: what all studies of retrieval run.

Humphreys et al. 2022 (arXiv 2206.05314): a network that sees the N nearest positions of other games
predicts the expert's move and the winner, against the same network without them. Each is tested on
games of which it has seen nothing, with the neighbors it would retrieve, with those of other
positions (`random`), without any (`absent`), and from databases of a share of the games; nothing is
trained again for that.

`go_retrieval_variants` says what the name of a variant stands for. All variants of a seed, if they
are equally wide, begin with the same weights, and all see the same positions, turned alike.

**Deviations.** The paper's sizes, rates and numbers of steps are not known: all are ours, and far
smaller.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rlcourse.data.files import exclusively
from rlcourse.experiments.go_retrieval_data import (
    WHOLE,
    Data,
    Settings,
    check_known,
    prepare,
    shared_folder,
)
from rlcourse.experiments.go_retrieval_variants import ROBUST, variant_of
from rlcourse.experiments.settings import check_counts, check_names
from rlcourse.go import learn, model, train
from rlcourse.go.batches import ABSENT, RETRIEVED, NeighborsOf, PositionSource, in_order
from rlcourse.go.model import RetrievalModel
from rlcourse.nets.precision import native_precision
from rlcourse.run.checkpoint import load_checkpoint
from rlcourse.run.record import Metric, Record, load_config

RANDOM = "random"
_TEST_BATCH = 512


@dataclass(frozen=True)
class Config:
    """One study; the paper's settings are not known, all of these are ours.

    Attributes:
        variants: what is trained, see the module.
        data: positions and databases.
        sizes: of the network; N and the variant's width are put in.
        num_steps, batch_size: of each training.
        learning_rate: multiplied by `decay_factor` after each share `decay_at` of the steps.
        num_unroll, unroll_weight: K, and w_k for k > 0.
        dropout, randomization, regularization: what makes a network robust; see `go.learn`.
        precision: of the training; None: `nets.precision.native_precision` of the machine.
        evaluate_every: steps.
        num_evaluated: test positions that are looked at during a training.
        num_seeds, seed: of the trainings.
    """

    variants: tuple[str, ...] = ("baseline", "n4")
    data: Settings = field(default_factory=Settings)
    sizes: model.Config = field(
        default_factory=lambda: model.Config(1.0, 48, 24, 24, 2, 1, 2, 1, num_next=5)
    )
    num_steps: int = 600
    batch_size: int = 256
    learning_rate: float = 2e-3
    decay_at: tuple[float, ...] = (0.6, 0.85)
    decay_factor: float = 0.2
    num_unroll: int = 3
    unroll_weight: float = 0.25
    dropout: float = 0.1
    randomization: float = 0.1
    regularization: float = 0.0
    precision: str | None = None
    evaluate_every: int = 100
    num_evaluated: int = 2_000
    num_seeds: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        counts = ("num_steps", "batch_size", "evaluate_every", "num_evaluated", "num_seeds")
        check_counts(self, *counts)
        if self.num_steps % self.evaluate_every:
            raise ValueError(
                "num_steps must be a multiple of evaluate_every, to end with an evaluation: got"
                f" {self.num_steps} and {self.evaluate_every}"
            )
        if not all(0.0 < share < 1.0 for share in self.decay_at):
            raise ValueError(f"decay_at must lie in (0, 1), got {self.decay_at}")
        check_names(self, "variants")
        for name in self.variants:
            wanted = variant_of(name).num_neighbors
            if wanted > self.data.k:
                raise ValueError(
                    f"{name!r} needs {wanted} neighbors, and data.k is {self.data.k}: prepare more"
                )
            self.learner(name)

    def model(self, name: str) -> model.Config:
        """The sizes of a variant."""
        variant = variant_of(name)
        wide = model.scaled(self.sizes, variant.width)
        return replace(wide, num_neighbors=max(1, variant.num_neighbors))

    def learner(self, name: str, device: torch.device | str = "cpu") -> learn.Config:
        """How a variant learns on this device."""
        off = variant_of(name).off
        rates = {rate: 0.0 if rate in off else getattr(self, rate) for rate in ROBUST}
        return learn.Config(
            mode=variant_of(name).mode,
            num_unroll=self.num_unroll,
            unroll_weight=self.unroll_weight,
            regularization_weight=rates["regularization"],
            dropout=rates["dropout"],
            randomization=rates["randomization"],
            learning_rate=self.learning_rate,
            decay_steps=tuple(round(share * self.num_steps) for share in self.decay_at),
            decay_factor=self.decay_factor,
            precision=self.precision or native_precision(torch.device(device)),
        )


class Condition(NamedTuple):
    """What a trained network is given in a test."""

    kind: str  # "retrieved", "random", "absent" or "blank"
    fraction: float = WHOLE  # of the games that are looked up in

    @property
    def name(self) -> str:
        return f"{self.kind}/{self.fraction:g}" if self.kind == RETRIEVED else self.kind


def conditions(config: Config, name: str) -> list[Condition]:
    """The tests of a variant, in the order of its record."""
    mode = variant_of(name).mode
    if mode != RETRIEVED:
        return [Condition(mode)]
    shares = [Condition(RETRIEVED, fraction) for fraction in config.data.fractions]
    return [*shares, Condition(RANDOM), Condition(ABSENT)]


def run(
    config: Config,
    folder: Path,
    *,
    fuse: model.Join = model.join,
    randomize: learn.Randomize = learn.randomize,
    loss: learn.Losses = learn.unrolled_losses,
    data: Data | None = None,
    device: torch.device | str = "cpu",
    progress: bool = True,
) -> bool:
    """Trains and tests each variant for each seed; resumes; False if something is left to do.

    Several processes may run the same in one folder: each takes what no other is at.

    Args:
        config: see `Config`.
        folder: receives config.json and a folder for each seed and variant: the record and the
            checkpoint of the training, and in `tests` one line for each of `conditions`.
        fuse, randomize, loss: Eq. 2, neighbor randomization and the losses of an unroll; exercises
            of notebook 15, whose runs belong in a folder of their own.
        data: prepared before; None: made or found in `shared_folder(folder)`.
        device: of the networks.
        progress: draw bars.

    Raises:
        ValueError: the folder was begun with other settings or data; there are too few games.
    """
    Record(folder, config)
    pieces = {"fuse": fuse, "randomize": randomize, "loss": loss}
    taken = 0
    try:
        known, place = data_of(folder), shared_folder(folder)
        data = data or prepare(config.data, place, progress, device=device, known=known)
        check_known(known, data.fingerprint)
        for number, name in jobs(config):
            try:
                if not finish(config, number, name, folder, data, device, progress, **pieces):
                    return False
            except BlockingIOError:
                taken += 1
    except KeyboardInterrupt:
        return False
    if taken:
        print(
            f"other processes are at some trainings in {folder} ({taken}): run this again when they"
            " are done",
            file=sys.stderr,
        )
    return not taken


def finish(
    config: Config,
    number: int,
    name: str,
    folder: Path,
    data: Data,
    device: torch.device | str = "cpu",
    progress: bool = True,
    **pieces: Any,
) -> bool:
    """Trains and tests one variant of one seed as far as that is left to do; False if interrupted.

    Args:
        number: of the seed, from 0.
        pieces: fuse, randomize, loss of `run`.

    Raises:
        BlockingIOError: another process is at it.
        ValueError: as for `run`.
    """
    place = place_of(folder, number, name)
    if is_finished(config, place, name):
        return True
    place.mkdir(parents=True, exist_ok=True)
    with exclusively(place / ".lock"):
        network = _train(config, number, name, place, data, device, progress, **pieces)
        if network is not None:
            _test(config, name, place, network, data)
    return network is not None


def jobs(config: Config) -> Iterator[tuple[int, str]]:
    """Number of the seed and variant of each training, seed by seed."""
    for number in range(config.num_seeds):
        for name in config.variants:
            yield number, name


def place_of(folder: Path, number: int, name: str) -> Path:
    """The folder of a training."""
    return folder / f"seed_{number}" / name.replace("/", "_")


def is_finished(config: Config, place: Path, name: str) -> bool:
    """Whether a variant was trained and tested there."""
    path = place / "tests" / "metrics.jsonl"
    if not path.exists():
        return False
    return path.read_bytes().count(b"\n") >= len(conditions(config, name))


def data_of(folder: Path) -> str | None:
    """The fingerprint of the data that a run learns from; None: no training has begun.

    Raises:
        FileNotFoundError, ValueError: as `config_of`.
    """
    places = (place_of(folder, *job) for job in jobs(config_of(folder)))
    begun = [place for place in places if (place / "config.json").exists()]
    return load_config(begun[0])["data"] if begun else None


def model_of(folder: Path, number: int, name: str) -> RetrievalModel:
    """The trained network of a finished run, on the CPU, in evaluation mode.

    Raises:
        FileNotFoundError: it was not trained.
        ValueError: its training is not finished, or the variant is not of this study.
    """
    config = config_of(folder)
    if name not in config.variants or not 0 <= number < config.num_seeds:
        raise ValueError(
            f"{folder} has the variants {list(config.variants)} of {config.num_seeds} seeds, not"
            f" {name!r} of seed {number}"
        )
    learner = _learner(config, number, name)
    state = load_checkpoint(place_of(folder, number, name) / "checkpoint.pt")
    learner.load_state_dict(state["learner"])
    if learner.num_updates < config.num_steps:
        raise ValueError(f"the run in {folder} was interrupted: run it again, it goes on there")
    return learner.trained.eval().requires_grad_(False)


def config_of(folder: Path) -> Config:
    """The configuration that a run was started with.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is of another version of the study.
    """
    if not (folder / "config.json").exists():
        raise FileNotFoundError(f"no run in {folder}: run the experiment first")
    fields = load_config(folder)
    try:
        data, sizes = fields.pop("data"), fields.pop("sizes")
        data |= {"fractions": tuple(data["fractions"])}
        fields |= {name: tuple(fields[name]) for name in ("variants", "decay_at")}
        return Config(**fields, data=Settings(**data), sizes=model.Config(**sizes))
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"the run in {folder} is of another version ({error}): run it anew in another folder"
        ) from error


def neighbors_of(data: Data, condition: Condition, k: int) -> NeighborsOf | None:
    """What test positions are given in a test; None: no neighbors."""
    if condition.kind == ABSENT:
        return None
    if condition.kind == RANDOM:
        return partial(data.random_neighbors_of_test, k=k)
    return partial(data.neighbors_of_test, k=k, fraction=condition.fraction)


def evaluate(
    network: RetrievalModel, data: Data, ids: Tensor, condition: Condition, k: int
) -> dict[str, Tensor]:
    """`train.evaluate` on test positions under a condition, with k neighbors each."""
    found, num_next = neighbors_of(data, condition, k), network.config.num_next
    batches = in_order(data.positions, ids, _TEST_BATCH, found, num_next=num_next)
    mode = RETRIEVED if condition.kind == RANDOM else condition.kind
    return train.evaluate(network, batches, mode=mode)


def _learner(
    config: Config,
    number: int,
    name: str,
    device: torch.device | str = "cpu",
    *,
    fuse: model.Join = model.join,
    randomize: learn.Randomize = learn.randomize,
    loss: learn.Losses = learn.unrolled_losses,
) -> learn.Learner:
    first, second = (torch.Generator().manual_seed(config.seed + number) for _ in range(2))
    network = RetrievalModel(config.model(name), first, join=fuse).to(device)
    settings = config.learner(name, device)
    return learn.Learner(settings, network, second, losses=loss, randomize=randomize)


def _train(
    config: Config,
    number: int,
    name: str,
    place: Path,
    data: Data,
    device: torch.device | str,
    progress: bool,
    **pieces: Any,
) -> RetrievalModel | None:
    """The trained network; None if it was interrupted."""
    variant, learner = variant_of(name), _learner(config, number, name, device, **pieces)
    k = max(1, variant.num_neighbors)
    source = PositionSource(
        data.positions,
        data.train_ids,
        config.batch_size,
        config.seed + number,
        partial(data.neighbors_of_train, k=k) if variant.num_neighbors else None,
        num_next=config.sizes.num_next,
    )
    shown = data.test_ids[:: max(1, len(data.test_ids) // config.num_evaluated)]
    usual = Condition(variant.mode)

    def look(step: int) -> Mapping[str, Metric]:
        found = evaluate(learner.trained, data, shown, usual, k)
        return {f"test_{metric}": found[metric] for metric in ("accuracy", "value_error")}

    about = {"variant": name, "seed": config.seed + number, "data": data.fingerprint}
    about |= {"games": data.games, "keys": data.keys.fingerprint}
    about |= {"model": asdict(config.model(name)), "learner": asdict(learner.config)}
    done = train.train(
        learner,
        source,
        config.num_steps,
        record=Record(place, about),
        checkpoint_path=place / "checkpoint.pt",
        checkpoint_every=config.evaluate_every,
        log_every=config.evaluate_every,
        evaluate=look,
        evaluate_every=config.evaluate_every,
        progress=progress,
        label=f"{name}, seed {number}",
    )
    return learner.trained if done.num_updates == config.num_steps else None


def _test(config: Config, name: str, place: Path, network: RetrievalModel, data: Data) -> None:
    """One line for each condition; goes on behind those that are there."""
    record = Record(place / "tests", {"data": data.fingerprint})
    first = 0 if record.last_step is None else record.last_step + 1
    k = max(1, variant_of(name).num_neighbors)
    for row, condition in list(enumerate(conditions(config, name)))[first:]:
        found = evaluate(network, data, data.test_ids, condition, k)
        means = {metric: found[metric] for metric in ("accuracy", "cross_entropy", "value_error")}
        of_games = {"positions": found["count"], "hits": found["sum/accuracy"]}
        record.write(row, {**means, **of_games, "squared_errors": found["sum/value_error"]})
