"""Monte Carlo tree search with a learned model, for a batch of games: pUCT as in MuZero
(Schrittwieser et al. 2020, appendix B).

One simulation per game: walk from the root to an edge that leads nowhere yet (`simulate`), ask the
model for what lies behind it and write it down (`expand_`), add its value to all nodes above
(`backward_`). The walk takes at node s the action with the highest score

    Q(s, a) + c(s) P(s, a) sqrt(n(s)) / (1 + n(s, a))
    c(s) = pb_c_init + log((n(s) + pb_c_base + 1) / pb_c_base)

with the prior P, the visits n(s, a) of an edge and n(s) of a node, where the evaluation of the node
itself counts as its first. Ties go to the lowest action.

**Values** are from the player to move, in [-1, 1], and Q(s, a) = reward + discount * value(s'). The
discount is -1 between plies of a game of two players, and 0 where the game ended on arriving: such
a node is worth 0, all that counts is the reward, and it is visited again but never expanded.

**Batches.** The trees lie on the CPU, where each game walks alone in a compiled loop and a deep
tree costs its own depth only (`mcts_kernel`). The model runs once per simulation on all games, on
any device; the states that it makes stay there.

**Deviations.** Q is not rescaled to what was seen in the tree, as the outcome of a game has a known
scale. An action that was not tried counts as worth the mean value of its node, not 0. Actions that
are not allowed can be masked below the root too, where the model knows them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rlcourse.go import mcts_kernel as kernel


class Evaluation(NamedTuple):
    """What the model says of B states. `None` stands for the usual case."""

    embedding: Float[Tensor, "B *D"]  # the state as the model sees it, of any type
    logits: Float[Tensor, "B A"]
    value: Float[Tensor, " B"]  # for the player to move, in [-1, 1]
    reward: Float[Tensor, " B"] | None = None  # on arriving, for the player who moved; None: 0
    discount: Float[Tensor, " B"] | None = None  # on arriving; None: -1
    legal: Bool[Tensor, "B A"] | None = None  # None: all actions


Recurrent = Callable[[Tensor, Int[Tensor, " B"]], Evaluation]
Generators = torch.Generator | Sequence[torch.Generator]  # on the CPU: for all games, or for each


@dataclass(frozen=True)
class Search:
    """Settings.

    Attributes:
        num_simulations: evaluations of the model after the root's; 0: the root's alone.
        pb_c_init: weight of the prior at first; MuZero's constant.
        pb_c_base: visits after which that weight starts to grow; MuZero's constant.
        noise_fraction: of the root's prior that is replaced by Dirichlet noise; MuZero: 0.25 in
            self-play, 0 in evaluation.
        noise_alpha: concentration of the noise; about 10 / (number of legal moves).
    """

    num_simulations: int = 200
    pb_c_init: float = 1.25
    pb_c_base: float = 19_652.0
    noise_fraction: float = 0.0
    noise_alpha: float = 0.15

    def __post_init__(self) -> None:
        if self.num_simulations < 0:
            raise ValueError(f"num_simulations must not be negative, got {self.num_simulations}")
        for name in ("pb_c_base", "noise_alpha"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if not self.pb_c_init >= 0:
            raise ValueError(f"pb_c_init must not be negative, got {self.pb_c_init}")
        if not 0 <= self.noise_fraction <= 1:
            raise ValueError(f"noise_fraction must lie in [0, 1], got {self.noise_fraction}")


@dataclass(frozen=True, eq=False)
class Tree:
    """B trees of up to N nodes, the root being node 0. The functions below write into it.

    All but `embedding` lie on the CPU. Rows of nodes that do not exist yet hold anything.
    """

    prior: Float[Tensor, "B N A"]  # float64; -1 where an action is not allowed
    child: Int[Tensor, "B N A"]  # the node that an edge leads to, or -1
    visits: Int[Tensor, "B N A"]  # of an edge
    q: Float[Tensor, "B N A"]  # of an edge, for the player who moves; 0 where not visited
    node_visits: Int[Tensor, "B N"]
    value_sum: Float[Tensor, "B N"]  # over the visits of a node, for its player to move
    reward: Float[Tensor, "B N"]  # on arriving at a node
    discount: Float[Tensor, "B N"]  # on arriving; 0 at the end of a game
    parent: Int[Tensor, "B N"]
    action: Int[Tensor, "B N"]  # that led here
    num_nodes: Int[Tensor, " B"]
    embedding: Tensor  # [B, N, ...] on the model's device

    @property
    def edges(self) -> tuple[np.ndarray, ...]:
        """What the compiled loops see of the edges, sharing memory."""
        return tuple(x.numpy() for x in (self.prior, self.child, self.visits, self.q))

    @property
    def nodes(self) -> tuple[np.ndarray, ...]:
        """What they see of the nodes."""
        nodes = (self.node_visits, self.value_sum, self.reward, self.discount)
        return tuple(x.numpy() for x in (*nodes, self.parent, self.action))


class Walk(NamedTuple):
    """Where one simulation left each tree."""

    node: Int[Tensor, " B"]  # the last node
    action: Int[Tensor, " B"]  # taken there
    end: Int[Tensor, " B"]  # the end of a game that it leads to again; -1: to nothing yet
    depth: Int[Tensor, " B"]  # moves from the root, the last one included


@dataclass(frozen=True, eq=False)
class Found:
    """What a search found at the root, on the CPU."""

    visits: Int[Tensor, "B A"]  # sums to the number of simulations
    q: Float[Tensor, "B A"]  # for the player to move; 0 where not visited
    value: Float[Tensor, " B"]  # mean over the simulations and the root's own evaluation
    prior: Float[Tensor, "B A"]  # with its noise; 0 where not allowed
    mean_depth: Float[Tensor, " B"]  # moves per simulation


@torch.no_grad()
def search(
    root: Evaluation,
    recurrent: Recurrent,
    settings: Search = Search(),
    generator: Generators | None = None,
) -> Found:
    """Searches all games at once; without noise the result is a function of root and model.

    Args:
        root: the games, as the model sees them. `reward` and `discount` are not used.
        recurrent: the model: (embedding [B, ...], action [B], both on the device of the root's
            embedding) -> what lies behind.
        settings: see `Search`.
        generator: for the noise; needed only where `noise_fraction` is positive. With one for each
            game, a game's noise does not depend on the others in the batch.

    Raises:
        ValueError: no legal move, a number that is not finite, wrong shapes, a missing generator.
    """
    tree = plant(root, settings, generator)
    depth = torch.zeros(tree.num_nodes.shape, dtype=torch.int64)
    rows, device = torch.arange(len(depth)), tree.embedding.device
    for _ in range(settings.num_simulations):
        walk = simulate(tree, settings)
        here = tree.embedding[rows.to(device), walk.node.to(device)]
        leaf, value = expand_(tree, walk, recurrent(here, walk.action.to(device)))
        backward_(tree, leaf, value)
        depth += walk.depth
    return Found(
        visits=tree.visits[:, 0].clone(),
        q=tree.q[:, 0].float(),
        value=(tree.value_sum[:, 0] / tree.node_visits[:, 0]).float(),
        prior=tree.prior[:, 0].clamp(min=0).float(),
        mean_depth=depth / max(1, settings.num_simulations),
    )


@torch.no_grad()
def plant(
    root: Evaluation, settings: Search = Search(), generator: Generators | None = None
) -> Tree:
    """Trees that hold their roots only, noise included. Arguments and errors as in `search`."""
    if root.logits.ndim != 2 or 0 in root.logits.shape:
        raise ValueError(f"logits must be of shape [B, A], got {tuple(root.logits.shape)}")
    B, A = root.logits.shape
    if len(root.embedding) != B:
        raise ValueError(f"{B} rows of logits, but {len(root.embedding)} of embeddings")
    prior, value, *arrived = _check(root._replace(reward=None, discount=None), B, A)
    if settings.noise_fraction > 0:
        if generator is None:
            raise ValueError("noise_fraction is positive: noise needs a generator")
        prior = _with_noise(prior, settings, generator)
    tree = _empty(root.embedding, settings.num_simulations + 1, A)
    tree.embedding[:, 0] = root.embedding
    nowhere = np.full((B, 4), -1)
    kernel.add(tree.edges, tree.nodes, tree.num_nodes.numpy(), nowhere, prior, *arrived)
    backward_(tree, torch.zeros(B, dtype=torch.int64), torch.from_numpy(value))
    return tree


def simulate(tree: Tree, settings: Search = Search()) -> Walk:
    """The walk of one simulation in each tree. Changes nothing."""
    found = np.empty((len(tree.num_nodes), 4), np.int64)
    constants = (float(settings.pb_c_init), float(settings.pb_c_base))
    kernel.walk(tree.edges, tree.nodes, constants, found)
    return Walk(*torch.from_numpy(found).unbind(1))


@torch.no_grad()
def expand_(
    tree: Tree, walk: Walk, new: Evaluation
) -> tuple[Int[Tensor, " B"], Float[Tensor, " B"]]:
    """Writes the node behind each walk, unless the walk came to a known end.

    Returns the node that each simulation arrived at, and its value for the player to move there.

    Raises:
        ValueError: a number that is not finite, wrong shapes, or a game that goes on without a
            legal move.
    """
    B, _, A = tree.prior.shape
    leaf = torch.where(walk.end >= 0, walk.end, tree.num_nodes.long())
    prior, value, reward, discount = _check(new, B, A)
    found = torch.stack(walk, 1).numpy()
    kernel.add(tree.edges, tree.nodes, tree.num_nodes.numpy(), found, prior, reward, discount)
    device = tree.embedding.device
    tree.embedding[torch.arange(B, device=device), leaf.to(device)] = new.embedding
    over = tree.discount[torch.arange(B), leaf] == 0
    return leaf, torch.from_numpy(value).masked_fill(over, 0.0)


def backward_(tree: Tree, leaf: Int[Tensor, " B"], value: Float[Tensor, " B"]) -> None:
    """Adds a leaf's value [B] to it and to all nodes above, each from its player's side."""
    kernel.backward(tree.edges, tree.nodes, leaf.numpy(), value.double().numpy())


def action_weights(visits: Int[Tensor, "B A"], temperature: float = 1.0) -> Float[Tensor, "B A"]:
    """Probabilities in proportion to visits^(1 / temperature); at 0 the most visited action, the
    lowest of several.

    Raises:
        ValueError: a negative temperature.
    """
    if not temperature >= 0:
        raise ValueError(f"temperature must not be negative, got {temperature}")
    if temperature == 0:
        best = visits.argmax(-1)
        return torch.nn.functional.one_hot(best, visits.shape[-1]).float()
    return (visits.double().log() / temperature).softmax(-1).float()


def choose(
    visits: Int[Tensor, "B A"], temperature: float, generator: Generators | None = None
) -> Int[Tensor, " B"]:
    """An action per game, drawn from `action_weights`; at temperature 0 nothing is drawn.

    Raises:
        ValueError: a negative temperature, or a positive one without a generator, or another number
            of generators than games.
    """
    weights = action_weights(visits, temperature)
    if temperature == 0:
        return weights.argmax(-1)
    if generator is None:
        raise ValueError(f"temperature is {temperature}: drawing actions needs a generator")
    if isinstance(generator, torch.Generator):
        return torch.multinomial(weights, 1, generator=generator).squeeze(1)
    _check_count(generator, len(weights))
    drawn = [torch.multinomial(w, 1, generator=g) for w, g in zip(weights, generator, strict=True)]
    return torch.cat(drawn)


def _empty(embedding: Tensor, num_nodes: int, num_actions: int) -> Tree:
    """Room for trees, nothing written. `embedding` [B, ...] says what an embedding looks like."""
    shape = (len(embedding), num_nodes)

    def integers(*more: int) -> Tensor:
        return torch.empty(*shape, *more, dtype=torch.int32)

    def reals(*more: int) -> Tensor:
        return torch.empty(*shape, *more, dtype=torch.float64)

    return Tree(
        prior=reals(num_actions),
        child=integers(num_actions),
        visits=integers(num_actions),
        q=reals(num_actions),
        node_visits=integers(),
        value_sum=reals(),
        reward=reals(),
        discount=reals(),
        parent=integers(),
        action=integers(),
        num_nodes=torch.zeros(len(embedding), dtype=torch.int32),
        embedding=embedding.new_empty(*shape, *embedding.shape[1:]),
    )


def _check(new: Evaluation, num_games: int, num_actions: int) -> tuple[np.ndarray, ...]:
    """Prior, value, reward and discount as float64 on the CPU."""
    B, A = num_games, num_actions
    discount = torch.full_like(new.value, -1.0) if new.discount is None else new.discount
    reward = torch.zeros_like(new.value) if new.reward is None else new.reward
    numbers = {"value": new.value, "reward": reward, "discount": discount}
    for name, x in {**numbers, "logits": new.logits}.items():
        shape = (B, A) if name == "logits" else (B,)
        if x.shape != shape:
            raise ValueError(f"{name} must be of shape {shape}, got {tuple(x.shape)}")
    prior = new.logits.float()  # a model may speak bfloat16
    if new.legal is not None:
        if new.legal.shape != (B, A):
            raise ValueError(f"legal must be of shape {(B, A)}, got {tuple(new.legal.shape)}")
        prior = prior.masked_fill(~new.legal, -torch.inf)
    prior = prior.softmax(-1)
    if new.legal is not None:
        prior = prior.masked_fill(~new.legal, -1.0)
    others = torch.stack([x.float() for x in numbers.values()], 1)
    packed = torch.cat([prior, others], 1).cpu().double().numpy()  # one transfer
    _check_numbers(packed, new.legal is not None)
    return packed[:, :A], *packed.T[A:].copy()


def _check_numbers(packed: np.ndarray, masked: bool) -> None:
    A = packed.shape[1] - 3
    bad = ~np.isfinite(packed)
    if bad.any():
        game, column = np.argwhere(bad)[0]
        name = "logits" if column < A else ("value", "reward", "discount")[column - A]
        raise ValueError(f"the model's {name} for game {game} are not finite")
    if masked:
        stuck = (packed[:, :A].max(1) < 0) & (packed[:, -1] != 0)
        if stuck.any():
            raise ValueError(f"game {stuck.argmax()} has no legal move, but its discount is not 0")


def _check_count(generators: Sequence[torch.Generator], num_games: int) -> None:
    if len(generators) != num_games:
        raise ValueError(
            f"{len(generators)} generators for {num_games} games: give one, or one each"
        )


def _with_noise(prior: np.ndarray, settings: Search, generator: Generators) -> np.ndarray:
    """The prior [B, A] mixed with Dirichlet noise over the allowed actions."""

    def gamma(generator: torch.Generator, shape: tuple[int, ...]) -> np.ndarray:
        seed = int(torch.randint(2**62, (), generator=generator))
        return np.random.default_rng(seed).gamma(settings.noise_alpha, size=shape)

    if isinstance(generator, torch.Generator):
        noise = gamma(generator, prior.shape)
    else:
        _check_count(generator, len(prior))
        noise = np.stack([gamma(each, prior.shape[1:]) for each in generator])
    legal = prior >= 0
    noise = np.where(legal, np.maximum(noise, np.finfo(float).tiny), 0.0)
    noise /= noise.sum(1, keepdims=True)
    mixed = (1 - settings.noise_fraction) * prior + settings.noise_fraction * noise
    return np.where(legal, mixed, -1.0)
