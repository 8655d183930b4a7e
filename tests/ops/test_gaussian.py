import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlcourse.ops.gaussian import decoupled_gaussian_kl, gaussian_kl, gaussian_kl_parts
from tests.oracles import slow_gaussian


def row(*values, dtype=torch.float64):
    return torch.tensor(values, dtype=dtype)


def random_pair(seed, batch=(4,), dtype=torch.float64):
    """mean_p, std_p, mean_q, std_q [*batch, 3]."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(4, *batch, 3, generator=generator, dtype=torch.float64)
    mean_p, std_p, mean_q, std_q = drawn.to(dtype)
    return mean_p, std_p.exp(), mean_q, std_q.exp()


pairs = st.builds(random_pair, st.integers(0, 10_000))


def test_by_hand():
    # dimension 1: 3^2 / (2 2^2) = 1.125 and ln 2 + 1/8 - 1/2; dimension 2: 1/2 and 0
    p, q = (row(0.0, 1.0), row(1.0, 1.0)), (row(3.0, 0.0), row(2.0, 1.0))
    mean_part, std_part = gaussian_kl_parts(*p, *q)
    torch.testing.assert_close(mean_part, row(1.125, 0.5))
    torch.testing.assert_close(std_part, row(math.log(2.0) - 0.375, 0.0))
    assert gaussian_kl(*p, *q).item() == pytest.approx(1.25 + math.log(2.0))


def test_decoupled_by_hand():
    # the means are compared in units of the old stddev, 1: 3^2 / 2
    p, q = (row(0.0), row(1.0)), (row(3.0), row(2.0))
    mean_part, std_part = decoupled_gaussian_kl(*p, *q)
    torch.testing.assert_close(mean_part, row(4.5))
    torch.testing.assert_close(std_part, row(math.log(2.0) - 0.375))


@pytest.mark.parametrize("q", [(0.3, 0.5), (-1.0, 1.0), (0.0, 3.0)])
def test_matches_the_slow_integral(q):
    expected = slow_gaussian.normal_kl(0.1, 0.7, *q)
    actual = gaussian_kl(row(0.1), row(0.7), row(q[0]), row(q[1]))
    assert actual.item() == pytest.approx(expected, abs=1e-6)


@given(pairs)
def test_matches_torch(pair):
    p, q = torch.distributions.Normal(*pair[:2]), torch.distributions.Normal(*pair[2:])
    expected = torch.distributions.kl_divergence(p, q)
    mean_part, std_part = gaussian_kl_parts(*pair)
    torch.testing.assert_close(mean_part + std_part, expected)
    torch.testing.assert_close(gaussian_kl(*pair), expected.sum(-1))


@given(st.builds(random_pair, st.integers(0, 10_000), dtype=st.sampled_from([torch.float32])))
def test_parts_are_not_negative_and_sum_to_the_whole(pair):
    mean_part, std_part = gaussian_kl_parts(*pair)
    assert (mean_part >= 0).all()
    assert (std_part >= 0).all()
    torch.testing.assert_close((mean_part + std_part).sum(-1), gaussian_kl(*pair))


@given(pairs)
def test_decoupled_parts_are_kls_of_mixed_gaussians(pair):
    mean_p, std_p, mean_q, std_q = pair
    mean_part, std_part = decoupled_gaussian_kl(*pair)
    torch.testing.assert_close(mean_part.sum(-1), gaussian_kl(mean_p, std_p, mean_q, std_p))
    torch.testing.assert_close(std_part.sum(-1), gaussian_kl(mean_p, std_p, mean_p, std_q))


def test_decoupled_parts_sum_to_the_whole_for_one_stddev():
    mean_p, std, mean_q, _ = random_pair(0)
    mean_part, std_part = decoupled_gaussian_kl(mean_p, std, mean_q, std)
    torch.testing.assert_close(
        (mean_part + std_part).sum(-1), gaussian_kl(mean_p, std, mean_q, std)
    )


def test_decoupled_gradients_stay_apart():
    mean_p, std_p, mean_q, std_q = random_pair(0)
    mean_q.requires_grad_()
    std_q.requires_grad_()
    mean_part, std_part = decoupled_gaussian_kl(mean_p, std_p, mean_q, std_q)
    with pytest.raises(RuntimeError, match="not have been used"):
        torch.autograd.grad(mean_part.sum(), std_q, retain_graph=True)
    with pytest.raises(RuntimeError, match="not have been used"):
        torch.autograd.grad(std_part.sum(), mean_q)


@given(st.floats(-1, 1), st.floats(0.01, 10), st.floats(1e-5, 1e-2))
def test_small_changes_of_the_stddev_are_exact_in_float32(mean, std, change):
    """MPO's bound on this part is 1e-6, less than the rounding of log(s_q / s_p) - 1/2."""
    args = row(mean, std, mean, std * (1 + change), dtype=torch.float32)
    std_part = gaussian_kl_parts(*args[:, None])[1].item()
    exact = gaussian_kl_parts(*args.double()[:, None])[1].item()
    assert std_part == pytest.approx(exact, rel=0.02)
    # To second order the part is the square of the relative change.
    assert exact == pytest.approx((args[3] / args[1] - 1).item() ** 2, rel=0.05)


@pytest.mark.parametrize("ratio", [1e-12, 1e-4, 0.4, 0.5, 0.6, 1.0, 1.4, 1.5, 1.6, 1e4, 1e12])
def test_ratios_of_any_size_and_their_gradients(ratio):
    std_p, std_q = row(ratio).requires_grad_(), row(1.0).requires_grad_()
    value = gaussian_kl_parts(row(0.0), std_p, row(0.0), std_q)[1]
    expected = 0.5 * ratio**2 - 0.5 - math.log(ratio)
    assert value.item() == pytest.approx(expected, rel=1e-12, abs=1e-15)
    grad_p, grad_q = torch.autograd.grad(value.sum(), (std_p, std_q))
    assert grad_p.item() == pytest.approx(ratio - 1 / ratio, rel=1e-9)
    assert grad_q.item() == pytest.approx(1 - ratio**2, rel=1e-9)


def test_gradcheck():
    inputs = [x.requires_grad_() for x in random_pair(0)]
    assert torch.autograd.gradcheck(gaussian_kl, inputs)
    assert torch.autograd.gradcheck(gaussian_kl_parts, inputs)
    assert torch.autograd.gradcheck(decoupled_gaussian_kl, inputs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_broadcasts_and_keeps_the_dtype(dtype):
    mean_p, std_p, _, _ = random_pair(0, (5, 4), dtype)
    _, _, mean_q, std_q = random_pair(1, (), dtype)
    kl = gaussian_kl(mean_p, std_p, mean_q, std_q)
    assert kl.shape == (5, 4)
    assert kl.dtype == dtype
    torch.testing.assert_close(kl[2, 3], gaussian_kl(mean_p[2, 3], std_p[2, 3], mean_q, std_q))


@pytest.mark.usefixtures("without_type_checks")
def test_wrong_shapes():
    three, two = torch.ones(4, 3), torch.ones(4, 2)
    with pytest.raises(ValueError, match=r"last axis \(dimensions\) must agree.*'mean_q': \[4, 2"):
        gaussian_kl(three, three, two, three)
    with pytest.raises(ValueError, match="leading axes do not broadcast"):
        gaussian_kl_parts(three, three, three[:3], three[:3])
    with pytest.raises(ValueError, match="axis of the dimensions is missing"):
        decoupled_gaussian_kl(three, torch.ones(()), three, three)


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_against_rlax():
    rlax = pytest.importorskip("rlax")
    pair = random_pair(0, dtype=torch.float32)
    expected = rlax.multivariate_normal_kl_divergence(*(x.numpy() for x in pair))
    np.testing.assert_allclose(gaussian_kl(*pair), expected, atol=1e-5, rtol=1e-5)
