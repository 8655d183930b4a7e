"""What notebook 15 runs on a few games: neighbors, a short training, and what it has learned.

`go_retrieval` trains on all games, over seeds. Here a few hundred games make do, and the parts that
a learner writes are arguments: which half of the data answers, Eq. 2 of Humphreys et al. 2022
(arXiv 2206.05314), the randomization of neighbors and the losses of the unroll.

**Deviations**: hundreds of games instead of 3.5 million; each position is searched for in a
canonical form of the board, so that one search serves it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from tqdm.auto import tqdm

from rlcourse.experiments import go_lookup
from rlcourse.experiments.go_retrieval_study import Config as Study
from rlcourse.experiments.settings import check_counts
from rlcourse.go import learn, model, shipped, train
from rlcourse.go.batches import ABSENT, RETRIEVED, PositionSource, in_order
from rlcourse.go.inputs import NeighborInput, compare_
from rlcourse.go.keys import KeyNetwork, canonical_symmetry
from rlcourse.go.model import RetrievalModel
from rlcourse.go.neighbors import Neighbors, composed, inverse
from rlcourse.go.positions import Positions
from rlcourse.go.splits import half_of
from rlcourse.go.symmetry import transform_planes
from rlcourse.ops.neighbors import nearest

_BLOCK = 2048
Exchange = Callable[[NeighborInput, Tensor, Tensor, Tensor], NeighborInput]  # as `exchanged`


@dataclass(frozen=True)
class Config:
    """A short training; all numbers are ours, and those of the training are of `study`.

    Attributes:
        num_stored, num_test: games to learn from and to retrieve from, and to test on.
        num_queries: positions of the test games.
        study: the network, its rates and its learning rate.
        k: neighbors.
        num_steps, batch_size: of the training, at a learning rate that stays.
        evaluate_every, num_evaluated: steps, and test positions that each evaluation takes.
    """

    num_stored: int = 600
    num_test: int = 100
    num_queries: int = 1_500
    study: Study = field(default_factory=Study)
    k: int = 4
    num_steps: int = 120
    batch_size: int = 128
    evaluate_every: int = 30
    num_evaluated: int = 500
    seed: int = 0

    def __post_init__(self) -> None:
        check_counts(self, "num_stored", "num_test", "num_queries", "k", "num_steps")
        check_counts(self, "batch_size", "evaluate_every", "num_evaluated")

    @property
    def variant(self) -> str:
        """Of `go_retrieval_sizes`, with neighbors: small, for a short training."""
        return f"n{self.k}/half"

    @property
    def sizes(self) -> model.Config:
        """Of the network."""
        return self.study.model(self.variant)

    def learner(self, mode: str) -> learn.Config:
        """How it learns: as in the study, but with randomization alone."""
        config = self.study.learner(self.variant)
        return replace(config, mode=mode, dropout=0.0, regularization_weight=0.0, decay_steps=())


SETTINGS = {  # by the preset of the course; not PRESETS, as this is no experiment of its own
    "smoke": Config(
        num_stored=12,
        num_test=4,
        num_queries=40,
        study=Study(sizes=model.PRESETS["smoke"]),
        num_steps=4,
        batch_size=8,
        evaluate_every=2,
        num_evaluated=20,
    ),
    "laptop": Config(),
    "paper": Config(
        num_stored=2_000, num_test=400, num_queries=5_000, num_steps=1_000, evaluate_every=100
    ),
}


class Memory(NamedTuple):
    """Positions with the keys of their canonical forms."""

    ids: Int[Tensor, " N"]
    game: Int[Tensor, " N"]
    keys: Float[Tensor, "N D"]
    canonical: Int[Tensor, " N"]  # the symmetry that leads to the form


class World(NamedTuple):
    """What the notebook works with."""

    positions: Positions
    stored: Memory
    test: Memory


def prepare(config: Config, folder: Path, progress: bool = True) -> World:
    """Positions of the first games, stored and to test, with their keys; positions are kept in
    `folder`, under the fingerprint of their games.

    Raises:
        ValueError: there are fewer games.
    """
    rules, games = shipped.load_games()
    some = go_lookup.some_games(games, config.num_stored, config.num_test)
    place = folder / f"positions_{shipped.fingerprint(some)[:12]}"
    positions = go_lookup.positions_of(place, rules, some, progress)
    network = KeyNetwork.load(shipped.key_network_path())
    order = torch.Generator().manual_seed(config.seed)
    test = positions.of_split("test")
    test = test[torch.randperm(len(test), generator=order)[: config.num_queries].sort().values]
    ids = (positions.of_split("train", "retrieval"), test)
    return World(positions, *(_memory(positions, network, some, progress) for some in ids))


def _memory(positions: Positions, network: KeyNetwork, ids: Tensor, progress: bool) -> Memory:
    keys, symmetries = [], []
    for some in tqdm(ids.split(1024), desc="keys", unit=" k", disable=not progress):
        planes = positions.batch(some).planes
        symmetry = canonical_symmetry(planes)
        keys.append(network(transform_planes(planes, symmetry)).cpu())
        symmetries.append(symmetry)
    return Memory(ids, positions.games[ids], torch.cat(keys), torch.cat(symmetries))


def neighbors_in_halves(
    keys: Float[Tensor, "N D"], game: Int[Tensor, " N"], k: int
) -> Int[Tensor, "N K"]:
    """For each position the rows of its k nearest in the half that does not hold its game."""
    half, found = half_of(game), torch.empty(len(keys), k, dtype=torch.int64)
    for asking in (0, 1):
        here, there = ((half == part).nonzero().flatten() for part in (asking, 1 - asking))
        _, rows = nearest(keys[here], keys[there], k, _BLOCK)
        found[here] = there[rows]
    return found


def as_neighbors(asking: Memory, stored: Memory, rows: Int[Tensor, "B K"]) -> Neighbors:
    """Rows of `stored` for the positions of `asking`, with ids, distances and symmetries.

    A position that leads to its canonical form by g, and a neighbor by h, resemble one another
    after g and then the inverse of h.
    """
    distances = (asking.keys[:, None] - stored.keys[rows]).square().sum(-1)
    back = inverse(stored.canonical[rows])
    symmetry = composed(asking.canonical[:, None].expand_as(back), back)
    return Neighbors(stored.ids[rows], distances, symmetry)


def for_test(world: World, k: int) -> Neighbors:
    """The k nearest stored positions of each test position; no test game is stored."""
    _, rows = nearest(world.test.keys, world.stored.keys, k, _BLOCK)
    return as_neighbors(world.test, world.stored, rows)


def at_random(world: World, k: int, seed: int) -> Neighbors:
    """k stored positions drawn for each test position, whatever they look like."""
    generator = torch.Generator().manual_seed(seed)
    shape = (len(world.test.ids), k)
    rows = torch.randint(len(world.stored.ids), shape, generator=generator)
    return as_neighbors(world.test, world.stored, rows)


class Table:
    """Neighbors by the ids of positions, as `batches.make_batch` asks for them.

    Args:
        ids: [N] ascending.
        found: [N, K] neighbors of each.
    """

    def __init__(self, ids: Int[Tensor, " N"], found: Neighbors) -> None:
        self._ids, self._found = ids, found

    def __call__(self, ids: Int[Tensor, " B"]) -> Neighbors:
        rows = torch.searchsorted(self._ids, ids.contiguous())
        return Neighbors(*(part[rows] for part in self._found))


def exchanged(
    neighbors: NeighborInput,
    game: Int[Tensor, " B"],
    chosen: Bool[Tensor, "B K"],
    giver: Int[Tensor, "B K"],
) -> NeighborInput:
    """The chosen neighbors become those of the same rank of the observations `giver`; absent, where
    they are from the receiver's own game. As `inputs.randomize`, with its draws as arguments.
    """
    num, count = chosen.shape
    rows = torch.where(chosen, giver, torch.arange(num)[:, None])
    mixed = neighbors.each(lambda x: x[rows, torch.arange(count)])
    own = chosen & (mixed.game == game[:, None])
    return mixed._replace(present=mixed.present & ~own)


def randomize_by(exchange: Exchange) -> learn.Randomize:
    """Neighbor randomization as `inputs.randomize`, by a function such as `exchanged`."""

    def randomize(
        neighbors: NeighborInput,
        planes: Tensor,
        probability: float,
        generator: torch.Generator,
        game: Tensor,
    ) -> NeighborInput:
        shape = neighbors.present.shape
        chosen = torch.rand(shape, generator=generator) < probability
        away = torch.randint(1, max(shape[0], 2), shape, generator=generator)
        giver = (torch.arange(shape[0])[:, None] + away) % shape[0]
        mixed = exchange(neighbors, game, chosen, giver)
        compare_(mixed.planes, planes)
        return mixed

    return randomize


class Parts(NamedTuple):
    """What a learner writes; the package's own where a part is left out."""

    join: model.Join = model.join
    exchange: Exchange = exchanged
    losses: learn.Losses = learn.unrolled_losses


class Trained(NamedTuple):
    """A model, and how it came about; T evaluations."""

    network: RetrievalModel
    step: list[int]
    accuracy: list[float]
    value_error: list[float]


def train_briefly(
    config: Config,
    world: World,
    found: Neighbors | None,
    test: Neighbors | None,
    parts: Parts = Parts(),  # noqa: B008 - a NamedTuple cannot change
    label: str = "",
    progress: bool = True,
) -> Trained:
    """A short training on the CPU; an interrupt ends it early and keeps what there is.

    Args:
        found: neighbors [N, K] of the stored positions; None trains the baseline without.
        test: those of the test positions.
        parts: see `Parts`.
    """
    first, second = (torch.Generator().manual_seed(config.seed) for _ in range(2))
    network = RetrievalModel(config.sizes, first, join=parts.join)
    learner = learn.Learner(
        config.learner(RETRIEVED if found else ABSENT),
        network,
        second,
        losses=parts.losses,
        randomize=randomize_by(parts.exchange),
    )
    source = PositionSource(
        world.positions,
        world.stored.ids,
        config.batch_size,
        config.seed,
        None if found is None else Table(world.stored.ids, found),
        num_next=config.sizes.num_next,
    )
    trained = Trained(network, [], [], [])
    bar = tqdm(total=config.num_steps, desc=label, disable=not progress)
    try:
        with bar:
            _evaluate_(trained, 0, config, world, test)
            for step in range(1, config.num_steps + 1):
                learner.update(source.batch(step))
                bar.update()
                if step % config.evaluate_every == 0:
                    _evaluate_(trained, step, config, world, test)
                    bar.set_postfix(accuracy=f"{trained.accuracy[-1]:.1%}")
    except KeyboardInterrupt:
        print("interrupted: the cells below go on with what was learned so far")
    return trained


def evaluate(
    network: RetrievalModel, world: World, found: Neighbors | None, count: int | None = None
) -> dict[str, Tensor]:
    """`train.evaluate` on test positions, with as many neighbors each as `found` has.

    Args:
        found: neighbors of all test positions, [M, K]; None: without.
        count: positions, drawn by chance; None: all.
    """
    order = torch.randperm(len(world.test.ids), generator=torch.Generator().manual_seed(1))
    ids = world.test.ids[order[:count].sort().values]
    table = None if found is None else Table(world.test.ids, found)
    batches = in_order(world.positions, ids, 256, table, num_next=network.config.num_next)
    if found is None:
        return train.evaluate(network, batches, mode=ABSENT)
    return train.evaluate(network, batches, num_neighbors=found.ids.shape[1])


def _evaluate_(
    trained: Trained, step: int, config: Config, world: World, test: Neighbors | None
) -> None:
    found = evaluate(trained.network, world, test, config.num_evaluated)
    trained.step.append(step)
    trained.accuracy.append(float(found["accuracy"]))
    trained.value_error.append(float(found["value_error"]))
