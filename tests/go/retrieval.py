"""Stored positions and batches made up for tests."""

from typing import NamedTuple

import torch
from torch import Tensor

from rlcourse.go.batches import TrainingBatch
from rlcourse.go.inputs import neighbor_planes
from rlcourse.go.symmetry import transform_moves


class Stored(NamedTuple):
    """What positions.Batch holds, as far as it matters here."""

    stones: Tensor
    to_play: Tensor
    planes: Tensor
    next_moves: Tensor
    outcome: Tensor
    final: Tensor
    game: Tensor


class Found(NamedTuple):
    ids: Tensor
    symmetry: Tensor


def draw(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_stored(num: int, size: int = 5, seed: int = 0, num_next: int = 10) -> Stored:
    """Boards with stones anywhere: nothing of them was ever played."""
    random, points = draw(seed), size**2

    def numbers(low: int, high: int, *shape: int) -> Tensor:
        return torch.randint(low, high, shape, generator=random)

    stones = numbers(-1, 2, num, points).to(torch.int8)
    to_play = (2 * numbers(0, 2, num) - 1).to(torch.int8)
    planes = numbers(0, 2, num, 8, size, size).float()
    own = (stones * to_play.unsqueeze(1)).view(num, size, size)
    planes[:, 0], planes[:, 1] = own == 1, own == -1
    moves = numbers(-1, points + 1, num, num_next)
    outcome = numbers(-1, 2, num).float()
    final = numbers(-1, 2, num, points).to(torch.int8)
    return Stored(stones, to_play, planes, moves, outcome, final, numbers(0, 5, num))


class Table:
    """Stored positions by id, with neighbors for each; it counts what it is asked."""

    def __init__(self, num: int = 40, size: int = 5, seed: int = 0) -> None:
        self.all = random_stored(num, size, seed)
        self.all.next_moves[:, 0].clamp_(min=0)
        self.num_asked = 0

    def batch(self, ids: Tensor) -> Stored:
        self.num_asked += 1
        return Stored(*(x[ids] for x in self.all))

    def neighbors_of(self, ids: Tensor) -> Found:
        """The two after it, the second of them missing for odd ids."""
        num = len(self.all.stones)
        other = torch.where(ids % 2 == 1, -1, (ids + 2) % num)
        return Found(torch.stack([(ids + 1) % num, other], 1), torch.stack([ids % 8, ids // 8], 1))


def random_batch(num: int, k: int = 2, size: int = 5, seed: int = 0) -> TrainingBatch:
    """Observations with K unrelated neighbors each, all games going on for 10 moves."""
    here, there = random_stored(num, size, seed), random_stored(num * k, size, seed + 1)
    symmetry = torch.randint(0, 8, (num, k), generator=draw(seed))
    neighbors = neighbor_planes(there, symmetry, here.planes)
    moves = here.next_moves.clamp(min=0)
    return TrainingBatch(here.planes, neighbors, moves, here.outcome, here.game)


class Answers:
    """A source whose neighbors know what comes: the next moves and the outcome are nowhere else."""

    def __init__(self, num: int = 64, k: int = 2, size: int = 3) -> None:
        self.num, self.k, self.size = num, k, size

    def batch(self, step: int) -> TrainingBatch:
        here = random_stored(self.num, self.size, seed=2 * step)
        there = random_stored(self.k * self.num, self.size, seed=2 * step + 1)
        moves = here.next_moves.clamp(min=0)
        symmetry = torch.randint(0, 8, (self.k * self.num,), generator=draw(step))
        known = transform_moves(moves.repeat_interleave(self.k, 0), symmetry, self.size)
        outcome = here.outcome.repeat_interleave(self.k)
        there = there._replace(next_moves=known, outcome=outcome)
        neighbors = neighbor_planes(there, symmetry, here.planes)
        return TrainingBatch(here.planes, neighbors, moves, here.outcome, here.game)
