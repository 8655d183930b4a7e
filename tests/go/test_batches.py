"""Batches: where they come from, and how they are made ahead of time."""

import threading
import time

import pytest
import torch

from rlcourse.go.batches import (
    MODES,
    PositionSource,
    Prefetched,
    TrainingBatch,
    augment,
    in_mode,
    in_order,
    make_batch,
)
from rlcourse.go.inputs import neighbor_planes, transform_neighbors
from rlcourse.go.symmetry import transform_moves, transform_planes
from tests.go.retrieval import Answers, Table, draw, random_batch


def equal(one: TrainingBatch, other: TrainingBatch) -> bool:
    def parts(batch: TrainingBatch) -> list[torch.Tensor]:
        return [batch.planes, *batch.neighbors, batch.next_moves, batch.outcome, batch.game]

    return all(map(torch.equal, parts(one), parts(other)))


def test_a_batch_holds_positions_and_their_neighbors():
    table, ids = Table(), torch.tensor([3, 8])
    batch = make_batch(table, ids, table.neighbors_of)
    assert torch.equal(batch.planes, table.all.planes[ids])
    assert torch.equal(batch.next_moves, table.all.next_moves[ids])
    assert torch.equal(batch.outcome, table.all.outcome[ids])
    assert torch.equal(batch.game, table.all.game[ids])
    assert batch.neighbors.present.tolist() == [[True, False], [True, True]]
    there = table.batch(torch.tensor([4, 0, 9, 10]))
    expected = neighbor_planes(there, torch.tensor([3, 0, 0, 1]), batch.planes)
    assert torch.equal(batch.neighbors.planes, expected.planes)
    assert make_batch(table, ids).neighbors is None


def test_neighbors_may_lie_elsewhere_and_show_fewer_moves():
    table, other, ids = Table(), Table(seed=9), torch.tensor([3, 8])
    batch = make_batch(table, ids, table.neighbors_of, stored=other, num_next=4)
    there = other.batch(torch.tensor([4, 0, 9, 10]))
    expected = neighbor_planes(there, torch.tensor([3, 0, 0, 1]), batch.planes, num_next=4)
    assert torch.equal(batch.neighbors.planes, expected.planes)


def test_a_source_gives_the_same_batch_for_a_step():
    table, ids = Table(), torch.arange(0, 40, 3)
    source = PositionSource(table, ids, 64, 7, table.neighbors_of)
    third, fourth = source.batch(3), source.batch(4)
    assert equal(third, PositionSource(table, ids, 64, 7, table.neighbors_of).batch(3))
    assert not equal(third, fourth)
    assert not equal(third, PositionSource(table, ids, 64, 8, table.neighbors_of).batch(3))
    drawn = (third.planes[:, None] == table.all.planes[None]).flatten(2).all(2).int().argmax(1)
    assert set(drawn.tolist()) <= set(ids.tolist())
    assert len(set(drawn.tolist())) > 10


def test_in_order_gives_each_position_once():
    table, ids = Table(), torch.tensor([5, 1, 30, 2, 7])
    batches = list(in_order(table, ids, 2, table.neighbors_of))
    assert [len(batch.planes) for batch in batches] == [2, 2, 1]
    assert torch.equal(torch.cat([batch.planes for batch in batches]), table.all.planes[ids])
    assert next(in_order(table, ids, 2)).neighbors is None


def test_nothing_to_draw_from_is_refused():
    with pytest.raises(ValueError, match="ids is empty"):
        PositionSource(Table(), torch.arange(0), 4, 0)
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        PositionSource(Table(), torch.arange(3), 0, 0)


def test_everything_turns_together():
    batch, symmetry = random_batch(8), torch.arange(8)
    turned = augment(batch, symmetry)
    assert torch.equal(turned.planes, transform_planes(batch.planes, symmetry))
    assert torch.equal(turned.next_moves, transform_moves(batch.next_moves, symmetry, 5))
    expected = transform_neighbors(batch.neighbors, symmetry)
    assert torch.equal(turned.neighbors.planes, expected.planes)
    assert torch.equal(turned.outcome, batch.outcome)
    assert augment(batch._replace(neighbors=None), symmetry).neighbors is None
    # What a neighbor knows of the next move stays where the move is.
    answers = augment(Answers().batch(0), torch.randint(0, 8, (64,), generator=draw(0)))
    known, is_point = answers.neighbors.planes[:, 0, 4].flatten(1), answers.next_moves[:, 0] < 9
    assert is_point.sum() > 40
    assert torch.equal(known.argmax(1)[is_point], answers.next_moves[is_point, 0])


def test_modes():
    batch = random_batch(3)
    assert in_mode(batch, "retrieved") is batch
    assert in_mode(batch, "absent").neighbors is None
    blank = in_mode(batch, "blank").neighbors
    assert blank.present.all()
    assert not blank.planes.any()
    with pytest.raises(ValueError, match="one of retrieved, absent, blank, got 'none'"):
        in_mode(batch, "none")
    for mode in set(MODES) - {"absent"}:
        with pytest.raises(ValueError, match=f"'{mode}' needs neighbors.*the mode 'absent'"):
            in_mode(batch._replace(neighbors=None), mode)


class Steps:
    """A source that notes which steps it was asked for, and in which thread."""

    def __init__(self, refused: int = -1, seconds: float = 0.0) -> None:
        self.asked: list[int] = []
        self.threads: set[str] = set()
        self.refused, self.seconds = refused, seconds

    def batch(self, step: int) -> int:
        self.asked.append(step)
        self.threads.add(threading.current_thread().name)
        time.sleep(self.seconds)
        if step == self.refused:
            raise ValueError(f"no batch for step {step}")
        return step


@pytest.mark.parametrize(("ahead", "num_workers"), [(0, 1), (2, 1), (5, 3)])
def test_batches_come_in_order_and_none_is_made_twice_or_in_vain(ahead, num_workers):
    steps = Steps()
    with Prefetched(steps, ahead, num_workers=num_workers, end=12) as batches:
        assert [batches.batch(step) for step in range(4, 12)] == list(range(4, 12))
    assert sorted(steps.asked) == list(range(4, 12))
    assert threading.current_thread().name not in steps.threads


def test_batches_are_made_before_they_are_asked_for():
    steps = Steps()
    with Prefetched(steps, 3) as batches:
        batches.batch(0)
        until = time.monotonic() + 10.0
        while len(steps.asked) < 4 and time.monotonic() < until:
            time.sleep(0.01)
        assert steps.asked == [0, 1, 2, 3]


def test_steps_may_go_back_and_jump():
    with Prefetched(Steps(), 2) as batches:
        asked = [0, 1, 1, 0, 50, 3, 4]
        assert [batches.batch(step) for step in asked] == asked


def test_an_error_of_the_source_comes_up_at_its_step():
    with Prefetched(Steps(refused=2), 3) as batches:
        assert batches.batch(0) == 0
        assert batches.batch(1) == 1
        with pytest.raises(ValueError, match="no batch for step 2"):
            batches.batch(2)
        assert batches.batch(3) == 3


def test_the_share_of_waiting():
    """A slow source is waited for all the time, a fast one hardly ever."""
    with Prefetched(Steps(seconds=0.05), 1) as batches:
        assert batches.waiting == 0.0
        batches.batch(0)
        assert batches.waiting == 0.0
        for step in range(1, 6):
            batches.batch(step)
        assert 0.9 < batches.waiting <= 1.0
    with Prefetched(Steps(), 1) as batches:
        for step in range(6):
            batches.batch(step)
            time.sleep(0.1)
        assert batches.waiting < 0.5


def test_impossible_queues_are_refused():
    with pytest.raises(ValueError, match="got -1 and 1"):
        Prefetched(Steps(), -1)
    with pytest.raises(ValueError, match="got 2 and 0"):
        Prefetched(Steps(), num_workers=0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_batches_for_a_gpu_are_pinned():
    with Prefetched(Answers(), 1, pin=True) as batches:
        batch = batches.batch(0)
    assert batch.planes.is_pinned()
    assert batch.neighbors.planes.is_pinned()
    assert batch.to("cuda", non_blocking=True).neighbors.present.is_cuda
