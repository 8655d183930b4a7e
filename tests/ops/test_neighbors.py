"""Exact neighbors in blocks, against all differences at once."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlcourse.ops.neighbors import nearest


@settings(max_examples=30, deadline=None)
@given(
    number=st.integers(1, 40),
    queries=st.integers(0, 4),
    dim=st.integers(1, 5),
    block=st.integers(1, 50),
    seed=st.integers(0, 99),
)
def test_blocks_find_what_all_differences_find(number, queries, dim, block, seed):
    generator = torch.Generator().manual_seed(seed)
    keys = torch.randn(number, dim, generator=generator, dtype=torch.float64)
    asked = torch.randn(queries, dim, generator=generator, dtype=torch.float64)
    k = min(number, 1 + seed % 7)
    distances, rows = nearest(asked, keys, k, block)
    truth, places = (asked[:, None] - keys).square().sum(-1).sort(-1)
    torch.testing.assert_close(distances, truth[:, :k])
    assert torch.equal(rows, places[:, :k])


def test_distances_by_hand_never_below_zero():
    keys = torch.tensor([[3.0, 4.0], [0.0, 1.0], [0.0, 0.0]])
    distances, rows = nearest(torch.zeros(1, 2), keys, 3, 2)
    assert distances.tolist() == [[0.0, 1.0, 25.0]]
    assert rows.tolist() == [[2, 1, 0]]
    far = torch.randn(20, 8, generator=torch.Generator().manual_seed(0)) + 1_000.0
    assert float(nearest(far, far, 1, 6)[0].min()) >= 0.0  # rounding would give negative ones


@pytest.mark.parametrize(
    ("k", "block", "message"),
    [(0, 4, r"\[1, 3\].*got 0"), (4, 4, "got 4"), (1, 0, "block must be at least 1, got 0")],
)
def test_what_cannot_be_found_is_refused(k, block, message):
    with pytest.raises(ValueError, match=message):
        nearest(torch.zeros(1, 2), torch.zeros(3, 2), k, block)


@pytest.mark.gpu
def test_on_a_gpu_as_on_the_cpu():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    keys = torch.randn(50, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    there, here = nearest(keys[:5].cuda(), keys.cuda(), 3, 16), nearest(keys[:5], keys, 3, 16)
    assert torch.equal(there[1].cpu(), here[1])
