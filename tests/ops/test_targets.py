import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlcourse.ops import targets
from tests.oracles import slow_targets


def column(*values):
    """A trajectory [T, 1]."""
    return torch.tensor(values, dtype=torch.float64)[:, None]


def random_trajectory(seed, num_steps, batch=(3,), dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    shape = (num_steps, *batch)
    reward = torch.randn(shape, generator=generator, dtype=dtype)
    ends = torch.rand(shape, generator=generator) < 0.2
    discount = torch.where(ends, 0.0, 0.9).to(dtype)
    value = torch.randn(shape, generator=generator, dtype=dtype)
    return reward, discount, value


trajectories = st.builds(random_trajectory, st.integers(0, 10_000), st.integers(1, 8))


def in_slow_loops(slow, reward, discount, *rest):
    """Apply a function of one trajectory and a start to each entry of [T, B]."""
    columns = range(reward.shape[1])
    result = [
        [slow(b, t, reward[:, b].tolist(), discount[:, b].tolist(), *rest) for b in columns]
        for t in range(reward.shape[0])
    ]
    return torch.tensor(result, dtype=reward.dtype)


class TestDiscountedReturns:
    def test_by_hand(self):
        returns = targets.discounted_returns(
            column(1.0, 2.0, 4.0), column(0.5, 0.5, 0.5), torch.tensor([8.0]).double()
        )
        # 4 + 8/2 = 8; 2 + 8/2 = 6; 1 + 6/2 = 4
        torch.testing.assert_close(returns, column(4.0, 6.0, 8.0))

    def test_stops_where_the_episode_terminates(self):
        returns = targets.discounted_returns(
            column(1.0, 2.0, 4.0), column(1.0, 0.0, 1.0), torch.tensor([8.0]).double()
        )
        torch.testing.assert_close(returns, column(3.0, 2.0, 12.0))

    @given(trajectories)
    def test_matches_the_slow_loop(self, trajectory):
        reward, discount, value = trajectory
        expected = in_slow_loops(
            lambda b, t, r, d: slow_targets.discounted_return(r, d, value[-1, b].item(), t),
            reward,
            discount,
        )
        actual = targets.discounted_returns(reward, discount, value[-1])
        torch.testing.assert_close(actual, expected)

    @given(trajectories)
    def test_is_linear_in_the_rewards(self, trajectory):
        reward, discount, value = trajectory
        nothing = torch.zeros_like(value[0])
        both = targets.discounted_returns(reward + 2 * value, discount, nothing)
        apart = targets.discounted_returns(reward, discount, nothing)
        apart = apart + 2 * targets.discounted_returns(value, discount, nothing)
        torch.testing.assert_close(both, apart)

    def test_any_batch_axes(self):
        reward, discount, value = random_trajectory(0, 5, batch=(2, 3))
        together = targets.discounted_returns(reward, discount, value[-1])
        alone = targets.discounted_returns(reward[:, 1, 2], discount[:, 1, 2], value[-1, 1, 2])
        torch.testing.assert_close(together[:, 1, 2], alone)


class TestNStepReturns:
    def test_by_hand(self):
        reward, discount = column(1.0, 2.0, 4.0), column(0.5, 0.5, 0.5)
        value = column(10.0, 20.0, 40.0)
        # t = 0: 1 + (2 + 20/2)/2 = 7; t = 1: 2 + (4 + 40/2)/2 = 14; t = 2: 4 + 40/2 = 24
        two = targets.n_step_returns(reward, discount, value, 2)
        torch.testing.assert_close(two, column(7.0, 14.0, 24.0))

    @given(trajectories, st.integers(1, 10))
    def test_matches_the_slow_loop(self, trajectory, n):
        reward, discount, value = trajectory
        expected = in_slow_loops(
            lambda b, t, r, d: slow_targets.n_step_return(r, d, value[:, b].tolist(), n, t),
            reward,
            discount,
        )
        actual = targets.n_step_returns(reward, discount, value, n)
        torch.testing.assert_close(actual, expected)

    @given(trajectories)
    def test_limits_of_n(self, trajectory):
        reward, discount, value = trajectory
        one = targets.n_step_returns(reward, discount, value, 1)
        torch.testing.assert_close(one, reward + discount * value)
        full = targets.discounted_returns(reward, discount, value[-1])
        for n in (len(reward), len(reward) + 3, 10_000_000):
            torch.testing.assert_close(targets.n_step_returns(reward, discount, value, n), full)

    def test_n_below_one(self):
        with pytest.raises(ValueError, match="n must be at least 1: got 0"):
            targets.n_step_returns(*random_trajectory(0, 3), 0)


class TestLambdaReturns:
    def test_by_hand(self):
        reward, discount = column(1.0, 2.0), column(0.5, 0.5)
        # t = 1: 2 + 8/2 = 6; t = 0: 1 + (0.75 * 4 + 0.25 * 6)/2 = 3.25
        returns = targets.lambda_returns(reward, discount, column(4.0, 8.0), 0.25)
        torch.testing.assert_close(returns, column(3.25, 6.0))

    @given(trajectories, st.floats(0, 1))
    def test_matches_the_slow_mixture_of_n_step_returns(self, trajectory, lambda_):
        reward, discount, value = trajectory
        expected = in_slow_loops(
            lambda b, t, r, d: slow_targets.lambda_return(r, d, value[:, b].tolist(), lambda_, t),
            reward,
            discount,
        )
        actual = targets.lambda_returns(reward, discount, value, lambda_)
        torch.testing.assert_close(actual, expected)

    @given(trajectories)
    def test_limits_of_lambda(self, trajectory):
        reward, discount, value = trajectory
        torch.testing.assert_close(
            targets.lambda_returns(reward, discount, value, 0), reward + discount * value
        )
        torch.testing.assert_close(
            targets.lambda_returns(reward, discount, value, 1),
            targets.discounted_returns(reward, discount, value[-1]),
        )

    def test_zero_at_a_time_limit_bootstraps_and_stops_there(self):
        reward, discount, value = random_trajectory(0, 6)
        lambda_t = torch.ones_like(reward)
        lambda_t[2] = 0.0
        cut = targets.lambda_returns(reward, discount, value, lambda_t)
        before = targets.discounted_returns(reward[:3], discount[:3], value[2])
        torch.testing.assert_close(cut[:3], before)

    @pytest.mark.parametrize("lambda_", [-0.1, 1.1, math.nan])
    def test_invalid_lambda(self, lambda_):
        with pytest.raises(ValueError, match=r"lambda_ must be in \[0, 1\]: got"):
            targets.lambda_returns(*random_trajectory(0, 3), lambda_)

    def test_lambda_of_a_wrong_shape(self):
        with pytest.raises(ValueError, match=r"shape of reward_t, \[3, 3\]: got \[3\]"):
            targets.lambda_returns(*random_trajectory(0, 3), torch.ones(3))


class TestOneStep:
    reward = torch.tensor([1.0, 2.0])
    discount = torch.tensor([0.5, 0.0])
    q = torch.tensor([[1.0, 3.0], [5.0, 4.0]])

    def test_q_learning_by_hand(self):
        target = targets.q_learning_target(self.reward, self.discount, self.q)
        assert target.tolist() == [2.5, 2.0]

    def test_double_q_learning_by_hand(self):
        selector = torch.tensor([[9.0, 0.0], [0.0, 1.0]])  # picks actions 0 and 1
        discount = torch.tensor([0.5, 0.5])
        target = targets.double_q_learning_target(self.reward, discount, self.q, selector)
        assert target.tolist() == [1.5, 4.0]

    def test_double_q_learning_with_one_network_is_q_learning(self):
        double = targets.double_q_learning_target(self.reward, self.discount, self.q, self.q)
        assert torch.equal(double, targets.q_learning_target(self.reward, self.discount, self.q))

    def test_soft_q_learning_by_hand(self):
        # (1/2 exp(0) + 1/2 exp(ln 3)) = 2, so V = ln 2
        q = torch.tensor([[0.0, math.log(3.0)]])
        prior = torch.tensor([0.5, 0.5]).log()
        one, half = torch.ones(1), torch.full((1,), 0.5)
        target = targets.soft_q_learning_target(one, half, q, prior, 1.0)
        assert target.item() == pytest.approx(1 + 0.5 * math.log(2.0))

    @given(st.integers(0, 1000))
    def test_soft_tends_to_hard_and_to_the_priors_mean(self, seed):
        reward, discount, _ = random_trajectory(seed, 4)
        generator = torch.Generator().manual_seed(seed)
        q = torch.randn(4, 3, 5, generator=generator, dtype=torch.float64)
        prior = torch.randn(4, 3, 5, generator=generator, dtype=torch.float64).log_softmax(-1)
        cold = targets.soft_q_learning_target(reward, discount, q, prior, 1e-8)
        hard = targets.q_learning_target(reward, discount, q)
        torch.testing.assert_close(cold, hard, atol=1e-6, rtol=0)
        hot = targets.soft_q_learning_target(reward, discount, q, prior, 1e6)
        mean = reward + discount * (prior.exp() * q).sum(-1)
        torch.testing.assert_close(hot, mean, atol=1e-4, rtol=0)


@pytest.mark.usefixtures("without_type_checks")
class TestWrongShapes:
    def test_trajectories(self):
        r, d, v = random_trajectory(0, 4)
        with pytest.raises(ValueError, match=r"must have one shape.*'value_t': \[3, 3\]"):
            targets.n_step_returns(r, d, v[:-1], 2)
        with pytest.raises(ValueError, match="reward_t, discount_t must have one shape"):
            targets.discounted_returns(r, d[:, :2], v[-1])
        with pytest.raises(ValueError, match=r"one time step, \[3\]: got \[4, 3\]"):
            targets.discounted_returns(r, d, v)
        with pytest.raises(ValueError, match="at least one transition"):
            targets.lambda_returns(r[:0], d[:0], v[:0], 0.5)
        with pytest.raises(ValueError, match="at least one transition"):
            targets.discounted_returns(torch.ones(()), torch.ones(()), torch.ones(()))

    def test_one_step(self):
        reward, q = torch.zeros(3), torch.zeros(3, 2)
        with pytest.raises(ValueError, match="reward_t and discount_t must have one shape"):
            targets.q_learning_target(reward, torch.zeros(2), q)
        with pytest.raises(ValueError, match=r"\[3, 'A'\]: got \{'q_t': \[2, 3\]\}"):
            targets.q_learning_target(reward, reward, q.T)
        with pytest.raises(ValueError, match=r"'q_t_selector': \[3, 4\]"):
            targets.double_q_learning_target(reward, reward, q, torch.zeros(3, 4))
        with pytest.raises(ValueError, match="log_prior_t must broadcast to q_t"):
            targets.soft_q_learning_target(reward, reward, q, torch.zeros(5, 3, 2), 1.0)
        with pytest.raises(ValueError, match=r"last axis \(actions\)"):
            targets.soft_q_learning_target(reward, reward, q, torch.zeros(3), 1.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_kept(dtype):
    reward, discount, value = random_trajectory(0, 4, dtype=dtype)
    q = torch.zeros(4, 3, 2, dtype=dtype)
    results = [
        targets.discounted_returns(reward, discount, value[-1]),
        targets.n_step_returns(reward, discount, value, 2),
        targets.lambda_returns(reward, discount, value, 0.5),
        targets.q_learning_target(reward, discount, q),
        targets.double_q_learning_target(reward, discount, q, q),
        targets.soft_q_learning_target(reward, discount, q, q.log_softmax(-1), 0.5),
    ]
    assert {result.dtype for result in results} == {dtype}


def test_gradients_flow_to_values():
    reward, discount, value = random_trajectory(0, 4)
    value.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda v: targets.lambda_returns(reward, discount, v, 0.7), (value,)
    )
    assert torch.autograd.gradcheck(
        lambda v: targets.n_step_returns(reward, discount, v, 3), (value,)
    )
