"""Symmetries of the board."""

import pytest
import torch

from rlcourse.go.board import Go
from rlcourse.go.rules import Rules
from rlcourse.go.symmetry import destinations, sources, transform_moves, transform_planes


def test_there_are_eight_and_each_is_undone_by_one():
    tables = [tuple(row.tolist()) for row in sources(3)]
    assert len(set(tables)) == 8
    assert tables[0] == tuple(range(9))
    for row in sources(4):
        undone = row.argsort()
        assert any(torch.equal(undone, other) for other in sources(4))
        assert torch.equal(row[undone], torch.arange(16))


def test_a_quarter_turn_by_hand():
    board = torch.tensor([[1, 2], [3, 4]])
    turned = transform_planes(board.expand(1, 1, 2, 2), torch.tensor([1]))
    assert turned[0, 0].tolist() == [[2, 4], [1, 3]]
    assert destinations(2)[1].tolist() == [2, 0, 3, 1, 4]


@pytest.mark.parametrize("symmetry", range(8))
def test_a_game_and_its_image_go_the_same_way(symmetry):
    """Playing the images of the moves gives the image of the board, of the legal moves too."""
    go, which = Go(Rules(5, max_moves=60)), torch.tensor([symmetry])
    here, there = go.new(1), go.new(1)
    generator = torch.Generator().manual_seed(symmetry)
    for _ in range(50):
        move = torch.multinomial(here.legal + 1e-9, 1, generator=generator).squeeze(1)
        go.step_(here, move)
        go.step_(there, transform_moves(move, which, 5))
        assert torch.equal(transform_planes(go.planes(here), which), go.planes(there))
        legal = here.legal[0].nonzero().squeeze(1)
        images = transform_moves(legal.unsqueeze(0), which, 5)[0]
        assert set(images.tolist()) == set(there.legal[0].nonzero().squeeze(1).tolist())


def test_no_boards_stay_no_boards():
    none = torch.zeros(0, dtype=torch.int64)
    assert transform_planes(torch.zeros(0, 2, 3, 3), none).shape == (0, 2, 3, 3)
    assert transform_moves(none, none, 3).shape == (0,)
    assert transform_moves(torch.zeros(0, 4).long(), none, 3).shape == (0, 4)


def test_no_move_stays_no_move_and_bad_symmetries_are_refused():
    moves = torch.tensor([[-1, 25, 0]])
    assert transform_moves(moves, torch.tensor([3]), 5).tolist()[0][:2] == [-1, 25]
    with pytest.raises(ValueError, match=r"from 0 to 7, got \[8\]"):
        transform_moves(moves, torch.tensor([8]), 5)
    with pytest.raises(ValueError, match="must be square"):
        transform_planes(torch.zeros(1, 2, 3), torch.tensor([0]))
