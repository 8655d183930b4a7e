"""The search of `mcts`, written to be read: each tree by itself, each step a function.

pUCT as in MuZero (Schrittwieser et al. 2020, appendix B). At node s the walk takes the action with
the highest

    Q(s, a) + c(s) P(s, a) sqrt(n(s)) / (1 + n(s, a))
    c(s) = init + log((n(s) + base + 1) / base)

    symbol      name here                    symbol      name here
    P(s, a)     prior                        n(s)        1 + visits.sum(): its own evaluation, too
    Q(s, a)     q; where n(s, a) = 0,        n(s, a)     visits
                the mean value of s

A value is for the player to move, and the next player is the opponent: Q(s, a) is minus the mean
value of the node behind, and on its way to the root a value changes its sign at each step.

Its score and its two ways to write a tree can be replaced by the exercises of notebook 16. The
package plays with `mcts`, which compiles the same walk.

**Deviations.** As in `mcts`. Only games: nothing is rewarded but the end, whose outcome is the
value of the last position for the player who would be next. No noise at the root.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rlcourse.go.mcts import Evaluation, Found, Generators, Recurrent, Search

INIT, BASE = Search.pb_c_init, Search.pb_c_base


@dataclass(eq=False)
class Tree:
    """One tree with room for N nodes, the root being node 0. It is written to as it grows."""

    prior: Float[Tensor, "N A"]  # float64; -1 where a move is not allowed
    child: Int[Tensor, "N A"]  # the node that a move leads to; -1: none yet
    visits: Int[Tensor, "N A"]  # of a move
    q: Float[Tensor, "N A"]  # of a move, for the player who makes it; 0 where not visited
    parent: Int[Tensor, " N"]
    action: Int[Tensor, " N"]  # the move that led here
    num_visits: Int[Tensor, " N"]  # of a node
    value_sum: Float[Tensor, " N"]  # over the visits of a node, for its player to move
    num_nodes: int = 0

    @staticmethod
    def empty(num_nodes: int, num_actions: int) -> "Tree":
        """Room for a tree; nothing is written yet.

        Raises:
            ValueError: no node or no action.
        """
        if num_nodes < 1 or num_actions < 1:
            raise ValueError(f"a tree needs nodes and actions, got {num_nodes} and {num_actions}")
        pairs = (num_nodes, num_actions)
        reals, counts = {"dtype": torch.float64}, {"dtype": torch.int64}
        return Tree(
            prior=torch.zeros(pairs, **reals),
            child=torch.full(pairs, -1, **counts),
            visits=torch.zeros(pairs, **counts),
            q=torch.zeros(pairs, **reals),
            parent=torch.full((num_nodes,), -1, **counts),
            action=torch.full((num_nodes,), -1, **counts),
            num_visits=torch.zeros(num_nodes, **counts),
            value_sum=torch.zeros(num_nodes, **reals),
        )

    def value(self, node: int) -> float:
        """The mean value of a node for its player to move."""
        return float(self.value_sum[node] / self.num_visits[node])


def puct(
    prior: Float[Tensor, " A"],
    visits: Int[Tensor, " A"],
    q: Float[Tensor, " A"],
    value: float,
    init: float = INIT,
    base: float = BASE,
) -> Float[Tensor, " A"]:
    """The score of each action at a node; see the head of this file."""
    num_visits = 1.0 + visits.sum().double()
    rate = init + torch.log((num_visits + base + 1.0) / base)
    known = torch.where(visits > 0, q, value)
    return known + rate * prior * num_visits.sqrt() / (1.0 + visits)


def expand_(tree: Tree, parent: int, action: int, prior: Float[Tensor, " A"]) -> int:
    """Writes the node behind a move, or the root if the parent is -1; returns its number."""
    node = tree.num_nodes
    tree.num_nodes += 1
    tree.prior[node] = prior
    tree.parent[node], tree.action[node] = parent, action
    if node > 0:
        tree.child[parent, action] = node
    return node


def backup_(tree: Tree, node: int, value: float) -> None:
    """Adds a value, for the player to move at `node`, to it and to all above it."""
    while True:
        tree.num_visits[node] += 1
        tree.value_sum[node] += value
        if node == 0:
            return
        parent, action = int(tree.parent[node]), int(tree.action[node])
        tree.visits[parent, action] += 1
        tree.q[parent, action] = -tree.value_sum[node] / tree.num_visits[node]
        node, value = parent, -value


Score = Callable[[Tensor, Tensor, Tensor, float], Tensor]  # as `puct`
Expand = Callable[[Tree, int, int, Tensor], int]  # as `expand_`
Backup = Callable[[Tree, int, float], None]  # as `backup_`


@dataclass(eq=False)
class Forest:
    """Trees of B games, and what a model needs to go on from their nodes."""

    trees: list[Tree]
    embedding: Tensor  # [B, N, ...] on the model's device
    ends: list[dict[int, float]]  # the value of each node where a game is over
    num_moves: Int[Tensor, " B"]  # walked so far, in all simulations together

    @property
    def found(self) -> Found:
        """What the roots say, as `mcts.search` returns it."""

        def at_root(name: str) -> Tensor:
            return torch.stack([getattr(tree, name)[0] for tree in self.trees])

        visits = at_root("visits")
        value = torch.tensor([tree.value(0) for tree in self.trees])
        prior = at_root("prior").clamp(min=0).float()
        depth = self.num_moves / visits.sum(1).clamp(min=1)
        return Found(visits.int(), at_root("q").float(), value, prior, depth)

    def best_line(self, game: int = 0, longest: int = 8, least: int = 2) -> list[int]:
        """The most visited move at the root, then the most visited answer to it, and so on, as long
        as it was visited at least `least` times."""
        tree, node, line = self.trees[game], 0, []
        while len(line) < longest:
            action = int(tree.visits[node].argmax())
            if int(tree.visits[node, action]) < (least if line else 1):
                break
            line.append(action)
            node = int(tree.child[node, action])
        return line


@torch.no_grad()
def plant(
    root: Evaluation, num_nodes: int, expand: Expand = expand_, backup: Backup = backup_
) -> Forest:
    """Trees with their roots: B games as the model sees them, with room for N nodes each."""
    num_games, num_actions = root.logits.shape
    trees = [Tree.empty(num_nodes, num_actions) for _ in range(num_games)]
    embedding = root.embedding.new_empty((num_games, num_nodes, *root.embedding.shape[1:]))
    embedding[:, 0] = root.embedding
    for tree, prior, value in zip(trees, _priors(root), root.value.tolist(), strict=True):
        backup(tree, expand(tree, -1, -1, prior), value)
    return Forest(trees, embedding, [{} for _ in trees], torch.zeros(num_games))


@torch.no_grad()
def simulate_(
    forest: Forest,
    recurrent: Recurrent,
    score: Score = puct,
    expand: Expand = expand_,
    backup: Backup = backup_,
) -> None:
    """One simulation in each tree: walk, ask the model, write its node, add its value.

    Raises:
        ValueError: the model rewards a move that does not end the game.
    """
    walks = [walk(tree, score, ends) for tree, ends in zip(forest.trees, forest.ends, strict=True)]
    rows = torch.arange(len(walks), device=forest.embedding.device)
    nodes, actions, depths = (torch.tensor(part) for part in zip(*walks, strict=True))
    new = recurrent(forest.embedding[rows, nodes.to(rows.device)], actions.to(rows.device))
    priors, values, is_over = _priors(new), *_outcomes(new)
    for game, (tree, (node, action, _)) in enumerate(zip(forest.trees, walks, strict=True)):
        leaf = int(tree.child[node, action])
        if leaf < 0:
            leaf = expand(tree, node, action, priors[game])
            forest.embedding[game, leaf] = new.embedding[game]
            if is_over[game]:
                forest.ends[game][leaf] = values[game]
        backup(tree, leaf, forest.ends[game].get(leaf, values[game]))
    forest.num_moves += depths


def walk(tree: Tree, score: Score, ends: dict[int, float]) -> tuple[int, int, int]:
    """From the root to a move that leads to nothing yet, or to the end of a game: the last node,
    the move there, and how many moves that were.

    Raises:
        ValueError: it comes back to a node, so that this is no tree.
    """
    node, depth = 0, 0
    while depth < len(tree.child):
        prior = tree.prior[node]
        scores = score(prior.clamp(min=0), tree.visits[node], tree.q[node], tree.value(node))
        action = int(scores.masked_fill(prior < 0, -math.inf).argmax())
        depth += 1
        below = int(tree.child[node, action])
        if below < 0 or below in ends:
            return node, action, depth
        node = below
    raise ValueError(
        f"a walk took {depth} moves in a tree of {len(tree.child)} rows: a move leads back to a"
        " node above; give each new node a row of its own"
    )


class PlainSearch:
    """A search in place of `mcts.search`, as `agent.SearchAgent` takes it.

    Args:
        score, expand, backup: the steps.
    """

    fingerprint = "plain"

    def __init__(
        self, score: Score = puct, expand: Expand = expand_, backup: Backup = backup_
    ) -> None:
        self._score, self._expand, self._backup = score, expand, backup

    def __call__(
        self,
        root: Evaluation,
        recurrent: Recurrent,
        settings: Search,
        generator: Generators | None = None,
    ) -> Found:
        """Arguments as in `mcts.search`. The constants of the score are those of `score`; without
        noise nothing is drawn, so that `generator` has no effect.

        Raises:
            ValueError: settings with noise, or a model that rewards a move before the end.
        """
        if settings.noise_fraction > 0:
            raise ValueError("noise_fraction is positive, and this search has no noise: set it 0")
        forest = plant(root, settings.num_simulations + 1, self._expand, self._backup)
        for _ in range(settings.num_simulations):
            simulate_(forest, recurrent, self._score, self._expand, self._backup)
        return forest.found


def _priors(new: Evaluation) -> Float[Tensor, "B A"]:
    """Probabilities in float64 on the CPU, -1 where a move is not allowed."""
    logits = new.logits.float()
    if new.legal is None:
        return logits.softmax(-1).cpu().double()
    prior = logits.masked_fill(~new.legal, -math.inf).softmax(-1)
    return prior.masked_fill(~new.legal, -1.0).cpu().double()


def _outcomes(new: Evaluation) -> tuple[Sequence[float], Sequence[bool]]:
    """The values for the players to move, and where the game is over."""
    value = new.value.float().cpu()
    if new.discount is None:
        return value.tolist(), [False] * len(value)
    is_over = (new.discount == 0).cpu()
    reward = torch.zeros_like(value) if new.reward is None else new.reward.float().cpu()
    if bool((reward[~is_over] != 0).any()):
        raise ValueError("the model rewards a move that does not end the game: use mcts.search")
    return torch.where(is_over, -reward, value).tolist(), is_over.tolist()
