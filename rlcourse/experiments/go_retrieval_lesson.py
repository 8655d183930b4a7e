"""What notebook 15 runs on a few games: neighbors, a short training, and what it has learned.

`go_retrieval` trains on all games, over seeds, with the package's own parts. Here the parts are
arguments, so that a learner's own take their place: which half of the data answers (`neighbors`),
Eq. 2 of Humphreys et al. 2022 (arXiv 2206.05314; `fuse`), the randomization of neighbors
(`randomize`) and the loss of the unroll (`loss`).

**Deviations**: hundreds of games instead of 3.5 million; each position is searched for in a
canonical form of the board, so that one search serves it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from tqdm.auto import tqdm

from rlcourse.experiments import go_lookup
from rlcourse.experiments.settings import check_counts
from rlcourse.go import model as sizes
from rlcourse.go import shipped
from rlcourse.go.batches import PositionSource, TrainingBatch, augment, in_order
from rlcourse.go.inputs import NeighborInput, compare_
from rlcourse.go.keys import KeyNetwork, canonical_symmetry
from rlcourse.go.learn import policy_loss, targets, value_loss
from rlcourse.go.model import RetrievalModel, Unroll
from rlcourse.go.neighbors import Neighbors, composed, inverse
from rlcourse.go.positions import Positions
from rlcourse.go.splits import half_of
from rlcourse.go.symmetry import NUM_SYMMETRIES, transform_planes
from rlcourse.ops.neighbors import nearest

_BLOCK = 8192
RETRIEVED, RANDOM, ABSENT = GIVEN = ("retrieved", "random", "absent")


@dataclass(frozen=True)
class Config:
    """A short training; all numbers are ours.

    Attributes:
        num_stored, num_test: games to learn from and to retrieve from, and to test on.
        num_queries: positions of the test games.
        model: its `num_neighbors` is N.
        num_unroll: K, and `unroll_weight` of each of the K later terms of the loss.
        randomization: probability of a neighbor to be replaced.
        evaluate_every, num_evaluated: steps, and test positions that each evaluation takes.
    """

    num_stored: int = 400
    num_test: int = 100
    num_queries: int = 1_500
    model: sizes.Config = field(default_factory=lambda: sizes.PRESETS["laptop"])
    num_unroll: int = 1
    unroll_weight: float = 0.25
    randomization: float = 0.1
    num_steps: int = 100
    batch_size: int = 128
    learning_rate: float = 2e-3
    evaluate_every: int = 25
    num_evaluated: int = 500
    seed: int = 0

    def __post_init__(self) -> None:
        check_counts(self, "num_stored", "num_test", "num_queries", "num_steps", "batch_size")
        check_counts(self, "num_unroll", "evaluate_every", "num_evaluated")
        if not 0.0 <= self.randomization <= 1.0:
            raise ValueError(f"randomization must lie in [0, 1], got {self.randomization}")
        if not 0.0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}")


_SMOKE = Config(
    num_stored=12,
    num_test=4,
    num_queries=40,
    model=replace(sizes.PRESETS["smoke"], num_neighbors=4),
    num_steps=4,
    batch_size=8,
    evaluate_every=2,
    num_evaluated=20,
)
PRESETS = {
    "smoke": _SMOKE,
    "laptop": Config(),
    "paper": Config(
        num_stored=20_000, num_test=2_000, num_queries=10_000, num_steps=2_000, evaluate_every=200
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
    `folder`.

    Raises:
        ValueError: there are fewer games.
    """
    rules, games = shipped.load_games()
    some = go_lookup.some_games(games, config.num_stored, config.num_test)
    positions = go_lookup.positions_of(folder / "positions", rules, some, progress)
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


OfOthers = Callable[[Tensor, Tensor, int], Tensor]


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


def neighbors_anywhere(
    keys: Float[Tensor, "N D"], game: Int[Tensor, " N"], k: int
) -> Int[Tensor, "N K"]:
    """The k nearest among all: what `neighbors_in_halves` is there to avoid."""
    return nearest(keys, keys, k, _BLOCK)[1]


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
        rows = torch.searchsorted(self._ids, ids)
        return Neighbors(*(part[rows] for part in self._found))


def fuse(
    encoded: Float[Tensor, "B C H W"],
    embedded: Float[Tensor, "B K D H W"],
    present: Bool[Tensor, "B K"],
    num_neighbors: int,
) -> Float[Tensor, "B CD H W"]:
    """[o^e, sum_i e_i / sqrt(N)], without the absent ones. (Eq. 2)"""
    there = torch.where(present[:, :, None, None, None], embedded, 0.0)
    return torch.cat([encoded, there.sum(1) / math.sqrt(num_neighbors)], 1)


def randomize(
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


def unrolled_loss(
    logits: Float[Tensor, "B K1 A"],
    value: Float[Tensor, "B K1"],
    moves: Int[Tensor, "B K1"],
    outcome: Float[Tensor, " B"],
    weights: Float[Tensor, " K1"],
) -> Float[Tensor, ""]:
    """L_policy + L_value of `go.learn`; moves are -1 after the end of the game."""
    wanted = targets(moves, outcome, moves.shape[1] - 1, logits.shape[2] - 1)
    return policy_loss(logits, wanted, weights) + value_loss(value, wanted, weights)


class Parts(NamedTuple):
    """What a learner writes; the package's own where a part is left out."""

    fuse: Callable[..., Tensor] = fuse
    randomize: Callable[..., NeighborInput] = randomize
    loss: Callable[..., Tensor] = unrolled_loss


def represent(
    network: RetrievalModel, batch: TrainingBatch, parts: Parts, num_neighbors: int | None = None
) -> Float[Tensor, "B C H W"]:
    """s^0 by the `fuse` of `parts`; a batch without neighbors has e_i = 0."""
    encoded = network.encode(batch.planes)
    if batch.neighbors is None:
        return network.fuse(encoded, network.embed(encoded, None))
    number = network.config.num_neighbors if num_neighbors is None else num_neighbors
    embedded = network.embedding.each(encoded, batch.neighbors)
    both = parts.fuse(encoded, embedded, batch.neighbors.present, number)
    width = encoded.shape[1]
    return network.fuse(both[:, :width], both[:, width:])


class Scores(NamedTuple):
    """What a model says of B test positions."""

    right: Float[Tensor, " B"]  # 1 where the likeliest move is the expert's
    error: Float[Tensor, " B"]  # (value - outcome)^2
    game: Int[Tensor, " B"]


@torch.no_grad()
def score(
    network: RetrievalModel,
    world: World,
    found: Neighbors | None,
    parts: Parts = Parts(),  # noqa: B008 - a NamedTuple cannot change
    count: int | None = None,
) -> Scores:
    """A model on the first `count` test positions, all by default, in an order by chance.

    Args:
        found: neighbors of all test positions, [M, K]; None: without.
    """
    size = len(world.test.ids)
    order = torch.randperm(size, generator=torch.Generator().manual_seed(1))
    ids = world.test.ids[order[:count].sort().values]
    table = None if found is None else Table(world.test.ids, found)
    next_moves = network.config.num_next
    results = []
    for batch in in_order(world.positions, ids, 256, table, num_next=next_moves):
        number = None if found is None else found.ids.shape[1]
        logits, value = network.predict(represent(network, batch, parts, number))
        right = (logits.argmax(-1) == batch.next_moves[:, 0]).float()
        results.append((right, (value - batch.outcome).square(), batch.game))
    return Scores(*map(torch.cat, zip(*results, strict=True)))


class Trained(NamedTuple):
    """A model, and how it came about; T evaluations."""

    network: RetrievalModel
    step: list[int]
    accuracy: list[float]
    value_error: list[float]


def train(
    config: Config,
    world: World,
    found: Neighbors | None,
    test: Neighbors | None,
    parts: Parts = Parts(),  # noqa: B008
    label: str = "",
    progress: bool = True,
) -> Trained:
    """A short training; an interrupt ends it early and keeps what there is.

    Args:
        found: neighbors [N, K] of the stored positions; None trains the baseline without.
        test: those of the test positions.
        parts: see `Parts`.
    """
    network = RetrievalModel(config.model, torch.Generator().manual_seed(config.seed))
    optimizer = torch.optim.AdamW(network.parameters(), config.learning_rate, weight_decay=1e-4)
    table = None if found is None else Table(world.stored.ids, found)
    source = PositionSource(
        world.positions,
        world.stored.ids,
        config.batch_size,
        config.seed,
        table,
        num_next=config.model.num_next,
    )
    random = torch.Generator().manual_seed(config.seed)
    trained = Trained(network, [], [], [])
    _evaluate_(trained, 0, world, test, parts, config)
    bar = tqdm(total=config.num_steps, desc=label, disable=not progress)
    try:
        with bar:
            for step in range(1, config.num_steps + 1):
                lost = _loss(network, source.batch(step), config, parts, random)
                optimizer.zero_grad()
                lost.backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
                optimizer.step()
                bar.update()
                if step % config.evaluate_every == 0:
                    _evaluate_(trained, step, world, test, parts, config)
                    bar.set_postfix(accuracy=f"{trained.accuracy[-1]:.1%}")
    except KeyboardInterrupt:
        print("interrupted: the cells below go on with what was learned so far")
    return trained


def _loss(
    network: RetrievalModel,
    batch: TrainingBatch,
    config: Config,
    parts: Parts,
    random: torch.Generator,
) -> Tensor:
    """Of one batch, with symmetries and randomization drawn."""
    batch = augment(batch, torch.randint(NUM_SYMMETRIES, (len(batch.game),), generator=random))
    if batch.neighbors is not None:
        batch = batch._replace(neighbors=randomized(batch, config.randomization, parts, random))
    unroll: Unroll = network.unroll(
        represent(network, batch, parts),
        _played(batch, config.num_unroll),
        gradient_scale=0.5,
    )
    moves = batch.next_moves[:, : config.num_unroll + 1]
    weights = torch.tensor([1.0] + [config.unroll_weight] * config.num_unroll)
    return parts.loss(unroll.logits, unroll.value, moves, batch.outcome, weights)


def randomized(
    batch: TrainingBatch, probability: float, parts: Parts, random: torch.Generator
) -> NeighborInput:
    """Draws who is replaced by whose neighbors, and compares the mixture with the observations."""
    shape = batch.neighbors.present.shape
    chosen = torch.rand(shape, generator=random) < probability
    away = torch.randint(1, max(shape[0], 2), shape, generator=random)
    giver = (torch.arange(shape[0])[:, None] + away) % shape[0]
    mixed = parts.randomize(batch.neighbors, batch.game, chosen, giver)
    compare_(mixed.planes, batch.planes)
    return mixed


def _played(batch: TrainingBatch, num_unroll: int) -> Int[Tensor, "B K"]:
    """The moves that the unroll follows; the pass after the end."""
    moves = batch.next_moves[:, :num_unroll]
    return torch.where(moves < 0, batch.planes[0, 0].numel(), moves)


def _evaluate_(
    trained: Trained,
    step: int,
    world: World,
    test: Neighbors | None,
    parts: Parts,
    config: Config,
) -> None:
    scores = score(trained.network, world, test, parts, config.num_evaluated)
    trained.step.append(step)
    trained.accuracy.append(float(scores.right.mean()))
    trained.value_error.append(float(scores.error.mean()))
