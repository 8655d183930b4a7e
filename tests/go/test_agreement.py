"""What a neighbor knows comes back to the query's board."""

import torch

from rlcourse.go.agreement import expert_among, undone
from rlcourse.go.symmetry import NUM_SYMMETRIES, transform_moves


def test_moves_come_back_under_every_symmetry():
    moves = torch.arange(26).repeat(NUM_SYMMETRIES, 1)  # 5x5 and the pass
    symmetry = torch.arange(NUM_SYMMETRIES)[:, None].expand(-1, 26)
    there = transform_moves(moves, symmetry[:, 0], 5)
    assert not torch.equal(there, moves)
    assert torch.equal(undone(there, symmetry, 5), moves)


def test_agreement_by_hand():
    # Symmetry 1 turns a 2x2 board: point 0 of the new one holds point 1 of the old one.
    moves = torch.tensor([[3, 0, 1, 2], [4, -1, 4, 4], [-1, -1, -1, -1]])
    symmetry = torch.tensor([[0, 1, 0, 0], [5, 0, 0, 0], [0, 1, 2, 3]])
    expert = torch.tensor([1, 4, 0])
    knows = expert_among(moves, symmetry, expert, 2)
    assert knows.tolist() == [[0, 1, 1, 1], [1, 1, 1, 1], [0, 0, 0, 0]]
    assert knows.dtype == torch.float32
