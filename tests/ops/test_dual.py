import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlcourse.ops.dual import (
    DualVariable,
    multiplier_loss,
    multiplier_penalty,
    sample_kl,
    sample_weights,
    temperature_loss,
)
from tests.oracles import slow_gaussian


def random_q(seed, shape=(6, 4), dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def scalar(value, dtype=torch.float64):
    return torch.tensor(value, dtype=dtype)


values = st.builds(random_q, st.integers(0, 10_000))
temperatures = st.floats(0.05, 20.0)


class TestDualVariable:
    @pytest.mark.parametrize("initial", [1e-6, 0.1, 1.0, 10.0, 1000.0])
    def test_starts_where_it_is_told(self, initial):
        assert DualVariable(initial)().item() == pytest.approx(initial, rel=1e-5)

    def test_shape_dtype_and_gradient(self):
        variable = DualVariable(0.5, (3,), dtype=torch.float64)
        assert variable().shape == (3,)
        assert variable().dtype == torch.float64
        variable().sum().backward()
        # the slope of softplus is 1 - exp(-softplus)
        torch.testing.assert_close(
            variable.raw.grad, torch.full((3,), 1 - math.exp(-0.5), dtype=torch.float64)
        )

    def test_limit(self):
        variable = DualVariable(1.0, (2,))
        with torch.no_grad():
            variable.raw.copy_(torch.tensor([-500.0, 3.0]))
        variable.limit_()
        assert variable.raw.tolist() == [-18.0, 3.0]
        assert 1e-8 < variable()[0].item() < 2e-8

    def test_state_dict(self):
        first, second = DualVariable(2.0), DualVariable(7.0)
        second.load_state_dict(first.state_dict())
        assert second().item() == pytest.approx(2.0)

    @pytest.mark.parametrize("initial", [0.0, -1.0, math.inf, math.nan])
    def test_invalid(self, initial):
        with pytest.raises(ValueError, match="finite value > 0: got"):
            DualVariable(initial)


class TestSampleWeights:
    def test_by_hand(self):
        q = torch.tensor([[0.0], [2.0 * math.log(3.0)]])
        torch.testing.assert_close(sample_weights(q, 2.0), torch.tensor([[0.25], [0.75]]))

    @given(values, temperatures)
    def test_matches_the_slow_loop(self, q, temperature):
        expected = [slow_gaussian.weights(column.tolist(), temperature) for column in q.T]
        actual = sample_weights(q, scalar(temperature))
        torch.testing.assert_close(actual.T, torch.tensor(expected, dtype=torch.float64))

    def test_extreme_values(self):
        q = torch.tensor([[1e6], [1e6 - 1], [-1e6]])
        torch.testing.assert_close(sample_weights(q, 1e-8), torch.tensor([[1.0], [0.0], [0.0]]))
        torch.testing.assert_close(sample_weights(q, 1e12), torch.full((3, 1), 1 / 3))

    def test_no_gradient(self):
        q, temperature = random_q(0).requires_grad_(), DualVariable(1.0, dtype=torch.float64)
        assert not sample_weights(q, temperature()).requires_grad


class TestTemperatureLoss:
    @given(values, temperatures, st.floats(0.0, 1.0))
    def test_matches_the_slow_loop(self, q, temperature, epsilon):
        expected = slow_gaussian.temperature_dual(q.T.tolist(), temperature, epsilon)
        actual = temperature_loss(q, scalar(temperature), epsilon).mean()
        assert actual.item() == pytest.approx(expected)

    @given(values, temperatures, st.floats(0.0, 1.0))
    def test_slope_is_the_slack_of_the_constraint(self, q, temperature, epsilon):
        """d g / d eta = epsilon - KL: what makes the minimum meet the bound."""
        eta = scalar(temperature).requires_grad_()
        (slope,) = torch.autograd.grad(temperature_loss(q, eta, epsilon).sum(), eta)
        kl = sample_kl(sample_weights(q, temperature))
        torch.testing.assert_close(slope, (epsilon - kl).sum())

    def test_minimizing_it_meets_the_bound(self):
        q, variable = random_q(3, (64, 8)), DualVariable(10.0, dtype=torch.float64)
        optimizer = torch.optim.LBFGS(variable.parameters(), line_search_fn="strong_wolfe")

        def closure():
            optimizer.zero_grad()
            loss = temperature_loss(q, variable(), 0.1).mean()
            loss.backward()
            return loss

        for _ in range(5):
            optimizer.step(closure)
        kl = sample_kl(sample_weights(q, variable())).mean()
        assert kl.item() == pytest.approx(0.1, rel=1e-3)

    def test_tends_to_the_maximum_and_stays_finite(self):
        q = torch.tensor([[1e6, -1e6], [1e6 + 8, -1e6 - 8]])
        loss = temperature_loss(q, scalar(1e-8, torch.float32), 0.1)
        torch.testing.assert_close(loss, torch.tensor([1e6 + 8, -1e6]))

    def test_gradient_goes_to_the_temperature_only(self):
        q, eta = random_q(0).requires_grad_(), scalar(1.0).requires_grad_()
        temperature_loss(q, eta, 0.1).sum().backward()
        assert q.grad is None
        assert eta.grad is not None

    @pytest.mark.usefixtures("without_type_checks")
    def test_no_samples(self):
        with pytest.raises(ValueError, match=r"at least one sample.*got \[0, 3\]"):
            temperature_loss(torch.zeros(0, 3), torch.ones(()), 0.1)
        with pytest.raises(ValueError, match="at least one sample"):
            sample_weights(torch.zeros(()), 1.0)


class TestSampleKl:
    def test_by_hand(self):
        weights = torch.tensor([[0.5, 1.0, 0.75], [0.5, 0.0, 0.25]])
        three = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
        torch.testing.assert_close(sample_kl(weights), torch.tensor([0.0, math.log(2.0), three]))

    @given(values, temperatures)
    def test_bounds(self, q, temperature):
        kl = sample_kl(sample_weights(q, temperature))
        assert (kl >= -1e-12).all()
        assert (kl <= math.log(6) + 1e-12).all()


class TestMultiplier:
    def test_by_hand(self):
        kl = torch.tensor([[0.1, 0.3], [0.2, 0.5]])
        multiplier = torch.tensor([2.0, 10.0])
        torch.testing.assert_close(
            multiplier_penalty(kl, multiplier), torch.tensor([[0.2, 3.0], [0.4, 5.0]])
        )
        torch.testing.assert_close(
            multiplier_loss(kl, 0.2, multiplier), torch.tensor([[0.2, -1.0], [0.0, -3.0]])
        )

    def test_gradients_go_to_one_place_each(self):
        kl, multiplier = torch.ones(3).requires_grad_(), torch.ones(()).requires_grad_()
        multiplier_penalty(kl, multiplier).sum().backward()
        assert kl.grad.tolist() == [1.0] * 3
        assert multiplier.grad is None
        kl.grad = None
        multiplier_loss(kl, 0.25, multiplier).sum().backward()
        assert kl.grad is None
        assert multiplier.grad.item() == -2.25

    def test_solves_a_constrained_problem(self):
        """min (x - 2)^2 with x <= 1: x = 1 and a multiplier of 2."""
        x, variable = torch.zeros(()).requires_grad_(), DualVariable(1.0)
        optimizer = torch.optim.SGD([x, *variable.parameters()], lr=0.05)
        for _ in range(1000):
            loss = (x - 2) ** 2 + multiplier_penalty(x, variable())
            loss = loss + multiplier_loss(x, 1.0, variable())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert x.item() == pytest.approx(1.0, abs=1e-3)
        assert variable().item() == pytest.approx(2.0, abs=1e-2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_kept(dtype):
    q, eta = random_q(0, (5, 3, 2), dtype), scalar(0.7, dtype)
    results = [
        sample_weights(q, eta),
        temperature_loss(q, eta, 0.1),
        sample_kl(sample_weights(q, eta)),
        multiplier_penalty(q, eta),
        multiplier_loss(q, 0.1, eta),
    ]
    assert {result.dtype for result in results} == {dtype}
    assert results[1].shape == (3, 2)


class TestAgainstRlax:
    @pytest.mark.parametrize("temperature", [0.05, 1.0, 10.0])
    def test_e_step(self, temperature):
        rlax = pytest.importorskip("rlax")
        q = random_q(0, (20, 7), torch.float32)
        penalty = rlax.LagrangePenalty(alpha=np.float32(temperature), epsilon=np.float32(0.1))
        loss, weights, _ = rlax.mpo_compute_weights_and_temperature_loss(
            q.numpy(), penalty, lambda x: x, sample_axis=0
        )
        actual = temperature_loss(q, scalar(temperature, torch.float32), 0.1)
        np.testing.assert_allclose(actual, loss, atol=1e-5, rtol=1e-5)
        np.testing.assert_allclose(sample_weights(q, temperature), weights, atol=1e-5, rtol=1e-5)

    def test_constraints(self):
        rlax = pytest.importorskip("rlax")
        kl = random_q(0, (7, 3), torch.float32).square()
        alpha = torch.tensor([0.5, 2.0, 30.0])
        penalty = rlax.LagrangePenalty(alpha.numpy(), np.float32(0.01), per_dimension=True)
        kl_loss, alpha_loss = rlax.compute_parametric_kl_penalty_and_dual_loss(
            [(kl.numpy(), penalty)], lambda x: x
        )
        ours = multiplier_penalty(kl, alpha).sum(-1)
        np.testing.assert_allclose(ours, kl_loss, atol=1e-5, rtol=1e-5)
        ours = multiplier_loss(kl, 0.01, alpha).sum(-1)
        np.testing.assert_allclose(ours, alpha_loss, atol=1e-5, rtol=1e-5)
