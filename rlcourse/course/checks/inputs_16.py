"""What the checks of notebook 16 feed an answer, and what must hold of it by theory."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from rlcourse.course.compare import CheckFailed
from rlcourse.course.grading import Case
from rlcourse.go.plain_search import Tree, backup_, expand_

NUM_ACTIONS = 4


def nodes(generator: torch.Generator) -> Iterator[Case]:
    """Nodes with moves that were tried and others that were not; constants far from the usual."""
    for base in (30.0, 5.0, 19_652.0):
        prior = torch.rand(NUM_ACTIONS, generator=generator, dtype=torch.float64)
        visits = torch.randint(0, 12, (NUM_ACTIONS,), generator=generator)
        visits[0], visits[1] = 0, 7
        q = 2 * torch.rand(NUM_ACTIONS, generator=generator, dtype=torch.float64) - 1
        value = float(torch.rand((), generator=generator)) - 0.5
        yield prior / prior.sum(), visits, q.where(visits > 0, 0.0), value, 1.25, base


def new_nodes(generator: torch.Generator) -> Iterator[Case]:
    """A root to write, and nodes behind moves of trees that have grown."""
    yield Tree.empty(5, NUM_ACTIONS), -1, -1, _prior(generator)
    for num_nodes in (1, 3, 6):
        tree = grown(num_nodes, generator)
        parent, action = _free_move(tree, generator)
        yield tree, parent, action, _prior(generator)


def new_values(generator: torch.Generator) -> Iterator[Case]:
    """The value of a node that was just written, of one deep below, and of the root alone."""
    for num_nodes in (1, 2, 4, 7):
        tree = grown(num_nodes, generator, is_line=num_nodes == 4)
        yield tree, num_nodes - 1, round(float(torch.rand((), generator=generator)) - 0.3, 3)
    yield grown(7, generator), 2, -0.6


def grown(num_nodes: int, generator: torch.Generator, is_line: bool = False) -> Tree:
    """A tree in which all nodes but the last have their value added; a line, or any tree."""
    tree = Tree.empty(num_nodes + 3, NUM_ACTIONS)
    expand_(tree, -1, -1, _prior(generator))
    for node in range(1, num_nodes):
        backup_(tree, node - 1, float(torch.rand((), generator=generator)) - 0.4)
        parent, action = _free_move(tree, generator)
        expand_(tree, node - 1 if is_line else parent, action, _prior(generator))
    return tree


def _free_move(tree: Tree, generator: torch.Generator) -> tuple[int, int]:
    """A node of the tree and a move there that leads to nothing yet."""
    free = (tree.child[: tree.num_nodes] < 0).nonzero()
    parent, action = free[int(torch.randint(len(free), (), generator=generator))].tolist()
    return parent, action


def _prior(generator: torch.Generator) -> Tensor:
    return torch.randn(NUM_ACTIONS, generator=generator, dtype=torch.float64).softmax(0)


def scores(generator: torch.Generator) -> Iterator[Case]:
    """Wins and games; half a win is a draw."""
    for wins, num_games in ((7, 10), (0, 12), (30, 30), (113.5, 200), (1, 2)):
        yield wins, num_games, 1.96
    yield 40, 64, 1.645


def differences(generator: torch.Generator) -> Iterator[Case]:
    yield from ((20.0, 1.96), (50.0, 1.96), (120.0, 1.645), (300.0, 1.96))


def the_best_of_equals_is_the_least_tried(answer: Callable[..., Any]) -> None:
    prior, q = torch.full((3,), 1 / 3, dtype=torch.float64), torch.full((3,), 0.2).double()
    found = answer(prior, torch.tensor([5, 2, 9]), q, 0.2, 1.25, 19_652.0)
    if int(found.argmax()) != 1:
        raise CheckFailed(
            "of three moves with the same prior and q, the one with the fewest visits must have"
            f" the highest score: visits [5, 2, 9], scores {[round(x, 3) for x in found.tolist()]}"
        )


def a_loss_below_is_a_gain_above(answer: Callable[..., Any]) -> None:
    tree = Tree.empty(2, 2)
    for parent, action in ((-1, -1), (0, 1)):
        expand_(tree, parent, action, torch.full((2,), 0.5, dtype=torch.float64))
    backup_(tree, 0, 0.0)
    answer(tree, 1, -1.0)
    if not float(tree.q[0, 1]) > 0 or not tree.value(0) > 0:
        raise CheckFailed(
            "whoever is to move behind the move has lost (-1), so the move is good for the one who"
            f" makes it: q of the root must be +1 and its sum +1, here they are"
            f" {float(tree.q[0, 1]):g} and {float(tree.value_sum[0]):g}"
        )


def shares_stay_shares(answer: Callable[..., Any]) -> None:
    low, high = answer(0, 20, 1.96)
    if low < -1e-9 or not 0.05 < high < 0.5:
        raise CheckFailed(
            "no win in 20 games: the interval begins at 0 and does not end there, since a player"
            f" who wins one game in ten often loses 20; here it is [{low:.3g}, {high:.3g}]"
        )
