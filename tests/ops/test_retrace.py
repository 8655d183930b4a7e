import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlcourse.ops.targets import discounted_returns, lambda_returns, n_step_returns, retrace
from tests.oracles import slow_targets


def column(*values):
    """A trajectory [T, 1]."""
    return torch.tensor(values, dtype=torch.float64)[:, None]


def random_inputs(seed, num_steps, batch=(3,), dtype=torch.float64):
    """q_tm1, value_t, reward_t, discount_t, log_rho_tm1 [T, *batch]."""
    generator = torch.Generator().manual_seed(seed)
    q, value, reward, log_rho = torch.randn(
        4, num_steps, *batch, generator=generator, dtype=torch.float64
    )
    ends = torch.rand(num_steps, *batch, generator=generator) < 0.2
    discount = torch.where(ends, 0.0, 0.9)
    return [x.to(dtype) for x in (q, value, reward, discount, log_rho)]


inputs = st.builds(random_inputs, st.integers(0, 10_000), st.integers(1, 8))


def test_by_hand():
    # c[1] = 0.5 min(1, 1/2) = 1/4 and c[2] = 0.5 min(1, 4) = 1/2; the first log_rho is not used
    target = retrace(
        q_tm1=column(100.0, 2.0, 6.0),
        value_t=column(8.0, 4.0, 10.0),
        reward_t=column(1.0, 2.0, 3.0),
        discount_t=column(0.5, 0.5, 0.5),
        log_rho_tm1=column(-9.0, math.log(0.5), math.log(4.0)),
        lambda_=0.5,
    )
    # t = 2: 3 + 10/2 = 8; t = 1: 2 + (4 + (8 - 6)/2)/2 = 4.5; t = 0: 1 + (8 + (4.5 - 2)/4)/2
    torch.testing.assert_close(target, column(5.3125, 4.5, 8.0))


@given(inputs, st.floats(0, 1))
def test_matches_the_sum_of_the_paper(arrays, lambda_):
    columns = [[x[:, b].tolist() for x in arrays] for b in range(3)]
    steps = range(len(arrays[0]))
    lambdas = [lambda_] * len(steps)
    expected = [[slow_targets.retrace(*c, lambdas, t) for c in columns] for t in steps]
    actual = retrace(*arrays, lambda_)
    torch.testing.assert_close(actual, torch.tensor(expected, dtype=torch.float64))


@given(inputs)
def test_lambda_zero_is_the_one_step_target(arrays):
    q, value, reward, discount, log_rho = arrays
    target = retrace(q, value, reward, discount, log_rho, 0.0)
    torch.testing.assert_close(target, reward + discount * value)


@given(inputs)
def test_on_policy_without_noise_it_is_the_return(arrays):
    """Where the action taken is worth what is expected, every correction is a reward."""
    q, value, reward, discount, log_rho = arrays
    q = torch.cat([q[:1], value[:-1]])
    target = retrace(q, value, reward, discount, torch.zeros_like(log_rho), 1.0)
    torch.testing.assert_close(target, discounted_returns(reward, discount, value[-1]))
    torch.testing.assert_close(target, n_step_returns(reward, discount, value, len(reward)))
    half = retrace(q, value, reward, discount, torch.zeros_like(log_rho), 0.5)
    torch.testing.assert_close(half, lambda_returns(reward, discount, value, 0.5))


@given(inputs)
def test_on_policy_corrections_replace_the_value_by_the_action_taken(arrays):
    """lambda = 1, one policy: the return plus the noise of each later action, V - Q."""
    q, value, reward, discount, log_rho = arrays
    target = retrace(q, value, reward, discount, torch.zeros_like(log_rho), 1.0)
    noise = torch.cat([discount[:-1] * (value[:-1] - q[1:]), torch.zeros_like(value[:1])])
    torch.testing.assert_close(target, discounted_returns(reward + noise, discount, value[-1]))


@given(inputs, st.floats(0, 1))
def test_ratios_above_one_and_the_first_one_change_nothing(arrays, lambda_):
    *rest, log_rho = arrays
    target = retrace(*rest, log_rho, lambda_)
    other = log_rho.clamp(max=0.0)
    other[0] = 7.0
    torch.testing.assert_close(retrace(*rest, other, lambda_), target)


@given(inputs)
def test_true_action_values_are_a_fixed_point(arrays):
    """No policy and no lambda moves targets away from values that satisfy the equation."""
    q, value, _, discount, log_rho = arrays
    reward = q - discount * value
    torch.testing.assert_close(retrace(q, value, reward, discount, log_rho, 0.8), q)


def test_lambda_zero_at_a_time_limit_stops_there():
    arrays = random_inputs(0, 6)
    lambda_t = torch.ones_like(arrays[0])
    lambda_t[2] = 0.0
    cut = retrace(*arrays, lambda_t)
    torch.testing.assert_close(cut[:3], retrace(*(x[:3] for x in arrays), 1.0))
    torch.testing.assert_close(cut[3:], retrace(*(x[3:] for x in arrays), 1.0))


def test_infinite_behavior_density_stops_in_front_of_the_step():
    arrays = random_inputs(0, 6)
    arrays[4][3] = -math.inf
    cut = retrace(*arrays, 1.0)
    assert cut.isfinite().all()
    torch.testing.assert_close(cut[:3], retrace(*(x[:3] for x in arrays), 1.0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
def test_shapes_and_dtypes(batch, dtype):
    arrays = random_inputs(0, 5, batch, dtype)
    target = retrace(*arrays, 0.9)
    assert target.dtype == dtype
    assert target.shape == (5, *batch)
    alone = retrace(*(x.reshape(5, -1)[:, -1] for x in arrays), 0.9)
    torch.testing.assert_close(target.reshape(5, -1)[:, -1], alone)


def test_gradients_flow():
    arrays = [x.requires_grad_() for x in random_inputs(0, 4)]
    assert torch.autograd.gradcheck(lambda *a: retrace(*a, 0.7), arrays)


@pytest.mark.usefixtures("without_type_checks")
def test_wrong_inputs():
    q, value, reward, discount, log_rho = random_inputs(0, 4)
    with pytest.raises(ValueError, match=r"'log_rho_tm1': \[3, 3\]"):
        retrace(q, value, reward, discount, log_rho[1:], 1.0)
    with pytest.raises(ValueError, match=r"lambda_ must be in \[0, 1\]: got 1.5"):
        retrace(q, value, reward, discount, log_rho, 1.5)
    with pytest.raises(ValueError, match=r"shape of reward_t, \[4, 3\]: got \[4\]"):
        retrace(q, value, reward, discount, log_rho, torch.ones(4))
    with pytest.raises(ValueError, match="at least one transition"):
        retrace(*(x[:0] for x in (q, value, reward, discount, log_rho)), 1.0)


class TestAgainstRlax:
    """One trajectory at a time; rlax has actions 0 .. T-1 on one side and 1 .. T-1 on the other."""

    @pytest.mark.parametrize("lambda_", [0.0, 0.7, 1.0])
    def test_continuous(self, lambda_):
        rlax = pytest.importorskip("rlax")
        arrays = random_inputs(1, 9, (4,), torch.float32)
        target = retrace(*arrays, lambda_).numpy()
        q, v, r, d, log_rho = (x.numpy() for x in arrays)
        for b in range(4):
            error = rlax.retrace_continuous(
                q[:, b], q[1:, b], v[:, b], r[:, b], d[:, b], log_rho[1:, b], lambda_
            )
            np.testing.assert_allclose(target[:, b] - q[:, b], error, atol=1e-5, rtol=1e-5)

    def test_continuous_with_a_lambda_per_step(self):
        rlax = pytest.importorskip("rlax")
        arrays = random_inputs(2, 9, (), torch.float32)
        lambda_t = torch.rand(9, generator=torch.Generator().manual_seed(0))
        target = retrace(*arrays, lambda_t).numpy()
        q, v, r, d, log_rho = (x.numpy() for x in arrays)
        error = rlax.retrace_continuous(q, q[1:], v, r, d, log_rho[1:], lambda_t[:-1].numpy())
        np.testing.assert_allclose(target - q, error, atol=1e-5, rtol=1e-5)

    @pytest.mark.parametrize("lambda_", [0.0, 0.7, 1.0])
    def test_discrete(self, lambda_):
        rlax = pytest.importorskip("rlax")
        rng = np.random.default_rng(0)
        q = rng.normal(size=(10, 5)).astype(np.float32)
        pi = torch.from_numpy(rng.normal(size=(10, 5)).astype(np.float32)).softmax(-1)
        mu = rng.uniform(0.1, 1.0, size=10).astype(np.float32)
        action, rows = rng.integers(5, size=10), np.arange(10)
        r, d = rng.normal(size=9).astype(np.float32), np.full(9, 0.9, np.float32)
        d[4] = 0.0
        error = rlax.retrace(
            q[:-1], q[1:], action[:-1], action[1:], r, d, pi.numpy()[1:], mu[1:], lambda_
        )
        q_taken = torch.from_numpy(q[rows, action])
        log_rho = (pi[rows, action] / torch.from_numpy(mu)).log()
        value = (pi * torch.from_numpy(q)).sum(-1)
        reward, discount = torch.from_numpy(r), torch.from_numpy(d)
        target = retrace(q_taken[:-1], value[1:], reward, discount, log_rho[:-1], lambda_)
        np.testing.assert_allclose(target - q_taken[:-1], error, atol=1e-5, rtol=1e-5)
