"""The search that is written to be read, against the one that is compiled."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlcourse.go import mcts
from rlcourse.go.board import Go
from rlcourse.go.mcts import Evaluation, Search
from rlcourse.go.plain_search import (
    PlainSearch,
    Tree,
    backup_,
    expand_,
    plant,
    puct,
    simulate_,
)
from rlcourse.go.rules import Rules
from rlcourse.go.worlds import Nim, RulesModel
from tests.go.worlds import Table, TicTacToe


class Game(Table):
    """A table whose only rewards are those of the end, and whose players take turns."""

    def __init__(self, seed: int, masked: bool) -> None:
        super().__init__(8, 5, seed, masked)
        self.discount = torch.where(self.discount == 0, 0.0, -1.0)
        self.reward = self.reward.clamp(-1, 1) * (self.discount == 0)


def assert_same_search(root: Evaluation, recurrent, wanted: Search) -> None:
    plain, compiled = (how(root, recurrent, wanted) for how in (PlainSearch(), mcts.search))
    assert plain.visits.tolist() == compiled.visits.tolist()
    for name in ("q", "value", "prior", "mean_depth"):
        torch.testing.assert_close(getattr(plain, name), getattr(compiled, name))


@settings(max_examples=6)
@given(st.integers(0, 2**20), st.booleans())
def test_it_finds_what_the_compiled_search_finds(seed, masked):
    game = Game(seed, masked)
    assert_same_search(game.root([0, 3, 5]), game.recurrent, Search(40))


@pytest.mark.parametrize("num_simulations", [0, 1, 60])
def test_it_finds_the_same_in_games(num_simulations):
    wanted = Search(num_simulations)
    assert_same_search(Nim().root([3, 4, 7]), Nim().recurrent, wanted)
    tic = TicTacToe()
    assert_same_search(tic.root("XX. OO. ...", "... ... ..."), tic.recurrent, wanted)
    board = RulesModel(go := Go(Rules(3, komi=0.0, max_moves=5), backend="torch"))
    assert_same_search(board.root(go.new(2)), board.recurrent, wanted)


def test_the_score_by_hand():
    prior = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    visits, q = torch.tensor([2, 1, 0]), torch.tensor([0.1, -0.4, 0.0], dtype=torch.float64)
    scores = puct(prior, visits, q, value=0.05, init=1.0, base=5.0)
    rate = 1.0 + torch.tensor(10.0 / 5.0).log().item()  # n(s) = 4
    wanted = [0.1 + rate * 0.5 * 2 / 3, -0.4 + rate * 0.3 * 2 / 2, 0.05 + rate * 0.2 * 2]
    assert scores.tolist() == pytest.approx(wanted)


def test_two_moves_are_written_by_hand():
    tree, prior = Tree.empty(4, 2), torch.tensor([0.25, 0.75], dtype=torch.float64)
    assert expand_(tree, -1, -1, prior) == 0
    backup_(tree, 0, 0.2)
    assert expand_(tree, 0, 1, prior) == 1
    backup_(tree, 1, 0.6)
    assert expand_(tree, 1, 0, prior) == 2
    backup_(tree, 2, -0.4)
    assert tree.num_nodes == 3
    assert tree.child.tolist() == [[-1, 1], [2, -1], [-1, -1], [-1, -1]]
    assert tree.parent.tolist() == [-1, 0, 1, -1]
    assert tree.action.tolist() == [-1, 1, 0, -1]
    assert tree.num_visits.tolist() == [3, 2, 1, 0]
    assert tree.visits.tolist() == [[0, 2], [1, 0], [0, 0], [0, 0]]
    assert tree.value_sum.tolist() == pytest.approx([0.2 - 0.6 - 0.4, 0.6 + 0.4, -0.4, 0.0])
    assert tree.q[0].tolist() == pytest.approx([0.0, -0.5])
    assert tree.q[1].tolist() == pytest.approx([0.4, 0.0])
    assert tree.value(0) == pytest.approx(-0.8 / 3)


def test_the_best_line_follows_the_visits():
    nim = Nim()
    forest = plant(nim.root([5, 6]), 201)
    assert forest.best_line() == []
    for _ in range(200):
        simulate_(forest, nim.recurrent)
    first, second = forest.best_line(0), forest.best_line(1)
    assert first[0] + 1 == 1  # leaves 4
    assert second[0] + 1 == 2
    assert sum(move + 1 for move in first) == 5  # to the last match
    assert len(forest.best_line(0, longest=1)) == 1
    assert forest.best_line(0, least=1000) == first[:1]


def test_steps_can_be_replaced():
    calls = {"score": 0, "expand": 0, "backup": 0}

    def counted(name, function):
        def run(*args):
            calls[name] += 1
            return function(*args)

        return run

    steps = {"score": puct, "expand": expand_, "backup": backup_}
    own = PlainSearch(**{name: counted(name, function) for name, function in steps.items()})
    own(TicTacToe().root("... ... ..."), TicTacToe().recurrent, Search(10))
    assert calls["expand"] == calls["backup"] == 11
    assert calls["score"] >= 10


def test_bad_input_is_named():
    nim = Nim()
    with pytest.raises(ValueError, match="no noise: set it 0"):
        PlainSearch()(nim.root([3]), nim.recurrent, Search(2, noise_fraction=0.25))
    with pytest.raises(ValueError, match="needs nodes and actions, got 0 and 3"):
        Tree.empty(0, 3)

    def paid(state, action):
        new = nim.recurrent(state, action)
        return new._replace(reward=torch.ones(len(action)), discount=-torch.ones(len(action)))

    with pytest.raises(ValueError, match="rewards a move that does not end the game"):
        PlainSearch()(nim.root([3]), paid, Search(2))


def test_a_walk_that_runs_in_circles_is_ended():
    def uncounted(tree, parent, action, prior):
        tree.prior[0] = prior
        if parent >= 0:
            tree.child[parent, action] = 0
        return 0

    with pytest.raises(ValueError, match="leads back to a node above; give each new node a row"):
        PlainSearch(expand=uncounted)(Nim().root([5]), Nim().recurrent, Search(4))
