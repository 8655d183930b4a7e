"""The losses of an unroll, by hand."""

import math

import pytest
import torch

from rlcourse.go.learn import (
    Targets,
    policy_loss,
    regularization_loss,
    targets,
    unrolled_losses,
    value_loss,
)
from tests.go.retrieval import draw, random_batch


def test_targets_by_hand():
    """A 2x2 board: 4 is the pass. The second game ends after one more move."""
    wanted = targets(torch.tensor([[0, 4, 3, 1], [2, -1, -1, -1]]), torch.tensor([1.0, -1.0]), 2, 4)
    assert wanted.moves.tolist() == [[0, 4, 3], [2, 4, 4]]
    assert wanted.value.tolist() == [[1, -1, 1], [-1, 1, -1]]
    assert wanted.has_move.tolist() == [[True] * 3, [True, False, False]]
    assert wanted.has_value.tolist() == [[True] * 3, [True, True, False]]
    only = targets(torch.tensor([[0, 4]]), torch.tensor([0.5]), 0, 4)
    assert only.moves.tolist() == [[0]]
    with pytest.raises(ValueError, match="num_unroll 4 needs 5 next moves, 4 are stored"):
        targets(torch.zeros(1, 4, dtype=torch.int64), torch.zeros(1), 4, 4)


def test_losses_by_hand():
    wanted = Targets(
        moves=torch.tensor([[1, 0], [0, 2]]),
        value=torch.tensor([[1.0, -1.0], [-1.0, 1.0]]),
        has_move=torch.tensor([[True, True], [True, False]]),
        has_value=torch.tensor([[True, True], [False, True]]),
    )
    logits = torch.zeros(2, 2, 3)
    logits[0, 0, 1] = math.log(2.0)  # 2 of 4 parts for move 1
    weights = torch.tensor([1.0, 0.25])
    expected = (math.log(2.0) + 0.25 * math.log(3.0) + math.log(3.0)) / 2
    assert policy_loss(logits, wanted, weights).item() == pytest.approx(expected)
    value = torch.tensor([[0.5, 0.0], [9.0, -1.0]])
    expected = (0.25 + 0.25 * 1.0 + 0.25 * 4.0) / 2
    assert value_loss(value, wanted, weights).item() == pytest.approx(expected)


def test_regularization_pulls_one_side_only():
    state = torch.ones(2, 1, 2, 2, requires_grad=True)
    without = torch.full((2, 1, 2, 2), 3.0, requires_grad=True)
    loss = regularization_loss(state, without)
    loss.backward()
    assert loss.item() == 4.0
    torch.testing.assert_close(state.grad, torch.full_like(state, -4.0 / 8))
    assert without.grad is None


def test_losses_of_predictions_are_those_of_their_targets():
    batch = random_batch(5)
    logits, value = torch.randn(5, 3, 26, generator=draw(2)), torch.rand(5, 3, generator=draw(3))
    weights = torch.tensor([1.0, 0.5, 0.25])
    wanted = targets(batch.next_moves, batch.outcome, 2, 25)
    found = unrolled_losses(logits, value, batch.next_moves, batch.outcome, weights)
    assert found == (policy_loss(logits, wanted, weights), value_loss(value, wanted, weights))
