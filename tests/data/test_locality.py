"""The order of rows by where they lie."""

import pytest
import torch

from rlcourse.data import locality
from rlcourse.data.locality import by_locality
from tests.data.test_index_quality import clustered, seeded


def test_by_hand():
    rows = torch.tensor([[0.0], [101.0], [100.0], [1.0]])  # rows 0 and 2 are the pivots
    assert by_locality(rows, 2).tolist() == [0, 3, 1, 2]


def test_pivots_that_are_close_follow_one_another():
    # The pivots are all six rows; the coarse ones are rows 0 and 3.
    rows = torch.tensor([[0.0], [90.0], [2.0], [91.0], [1.0], [92.0]])
    assert by_locality(rows, 6).tolist() == [0, 2, 4, 1, 3, 5]


@pytest.mark.parametrize("num_pivots", [1, 7, 64, 5000])
@pytest.mark.parametrize("count", [0, 1, 2, 63, 500])
def test_is_a_permutation(count, num_pivots):
    rows = torch.randn(count, 3, generator=seeded())
    assert by_locality(rows, num_pivots).sort().values.tolist() == list(range(count))


def test_one_pivot_and_equal_rows_keep_the_order():
    rows = torch.randn(50, 3, generator=seeded())
    assert by_locality(rows, 1).tolist() == list(range(50))
    assert by_locality(torch.ones(50, 3), 8).tolist() == list(range(50))


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_rows_of_a_cluster_follow_one_another_even_far_from_the_origin(offset):
    rows = clustered(2000)[0] + offset
    ordered = rows[by_locality(rows, 256)]
    assert ordered.diff(dim=0).norm(dim=-1).mean() < 0.8 * rows.diff(dim=0).norm(dim=-1).mean()


def test_blocks_change_nothing(monkeypatch):
    rows = torch.randn(300, 3, generator=seeded())
    whole = by_locality(rows, 20)
    monkeypatch.setattr(locality, "_BLOCK", 50)
    assert torch.equal(by_locality(rows, 20), whole)


def test_no_pivots():
    with pytest.raises(ValueError, match="num_pivots must be at least 1, got 0"):
        by_locality(torch.ones(3, 2), 0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu():
    order = by_locality(torch.randn(500, 3, generator=seeded()).cuda(), 20)
    assert order.is_cuda
    assert order.sort().values.tolist() == list(range(500))
