import numpy as np
import pytest
import torch

from rlcourse.envs.probes import probes
from rlcourse.envs.tabular_env import TabularEnv
from rlcourse.run.evaluate import evaluate, interval
from rlcourse.types import Step


class Corridor:
    """Episodes of 2 and 5 steps that end by a time limit; each step pays its number."""

    num_envs = 2

    def reset(self):
        self.age = torch.zeros(2, dtype=torch.int64)
        return Step(self.age, torch.zeros(2), torch.ones(2), torch.ones(2, dtype=torch.bool))

    def step(self, action):
        is_first = self.age == torch.tensor([2, 5])
        self.age = torch.where(is_first, 0, self.age + 1)
        return Step(self.age, self.age.float(), torch.ones(2), is_first)

    def state_dict(self):
        return {"age": self.age}

    def load_state_dict(self, state):
        self.age = state["age"]


def anything(step):
    return torch.zeros(2, dtype=torch.int64)


class TestEvaluate:
    def test_a_fixed_number_of_episodes_per_instance(self):
        result = evaluate(Corridor(), anything, 3)
        assert result.lengths.tolist() == [[2, 5]] * 3
        assert result.returns.tolist() == [[3.0, 15.0]] * 3

    def test_discounted(self):
        result = evaluate(Corridor(), anything, 1, gamma=0.5)
        assert result.returns[0].tolist() == [1 + 2 / 2, 1 + 2 / 2 + 3 / 4 + 4 / 8 + 5 / 16]

    def test_a_terminating_episode(self, generator):
        env = TabularEnv(probes()[2].mdp, 4, generator)  # 0, then 1, then the end
        result = evaluate(env, lambda step: torch.zeros(4, dtype=torch.int64), 2, gamma=0.9)
        assert (result.lengths == 2).all()
        torch.testing.assert_close(result.returns, torch.full((2, 4), 0.9))

    def test_the_seed_decides(self):
        def run(seed):
            source = torch.Generator().manual_seed(seed)
            env = TabularEnv(probes()[4].mdp, 8, source)
            act = lambda step: torch.randint(2, (8,), generator=source)  # noqa: E731
            return evaluate(env, act, 5).returns

        assert torch.equal(run(0), run(0))
        assert not torch.equal(run(0), run(1))

    def test_the_mean_is_the_value(self, generator):
        env = TabularEnv(probes()[3].mdp, 500, generator)
        act = lambda step: (torch.rand(500, generator=generator) < 0.8).long()  # noqa: E731
        returns = evaluate(env, act, 10).returns
        assert returns.mean().item() == pytest.approx(0.6, abs=0.05)

    def test_episodes_that_do_not_end(self):
        class Endless(Corridor):
            def step(self, action):
                zeros = torch.zeros(2)
                return Step(self.age, zeros, zeros + 1, zeros.bool())

        with pytest.raises(RuntimeError, match="only 0 of 2 episodes ended within 50 steps"):
            evaluate(Endless(), anything, 2, max_steps=50)

    def test_invalid_arguments(self):
        with pytest.raises(ValueError, match="num_episodes must be at least 1: got 0"):
            evaluate(Corridor(), anything, 0)
        with pytest.raises(ValueError, match=r"gamma must be in \[0, 1\]: got 1.5"):
            evaluate(Corridor(), anything, 1, gamma=1.5)


class TestInterval:
    def test_t_by_hand(self):
        # mean 2, standard deviation 1, t(0.975, 2) = 4.302653, margin 4.302653 / sqrt(3)
        result = interval([1.0, 2.0, 3.0], method="t")
        assert result.mean == 2.0
        assert result.high == pytest.approx(2 + 4.302653 / 3**0.5, abs=1e-6)
        assert result.low == pytest.approx(2 - 4.302653 / 3**0.5, abs=1e-6)

    @pytest.mark.parametrize("num_seeds", [2, 3, 5, 20, 200])
    @pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
    def test_t_matches_scipy(self, num_seeds, level):
        stats = pytest.importorskip("scipy.stats")
        values = np.random.default_rng(0).normal(size=num_seeds)
        scale = values.std(ddof=1) / num_seeds**0.5
        low, high = stats.t.interval(level, num_seeds - 1, values.mean(), scale)
        result = interval(values, level=level, method="t")
        assert (result.low, result.high) == pytest.approx((low, high), rel=1e-6)

    def test_bootstrap_by_hand(self):
        # Two seeds, 0 and 1: means 0, 1/2, 1 with probabilities 1/4, 1/2, 1/4
        result = interval([0.0, 1.0])
        assert (result.mean, result.low, result.high) == (0.5, 0.0, 1.0)
        narrow = interval([0.0, 1.0], level=0.3)
        assert (narrow.low, narrow.high) == (0.5, 0.5)

    def test_bootstrap_matches_scipy(self):
        stats = pytest.importorskip("scipy.stats")
        values = np.random.default_rng(0).exponential(size=30)
        peer = stats.bootstrap(
            (values,), np.mean, method="percentile", n_resamples=20_000, rng=0
        ).confidence_interval
        result = interval(values, num_resamples=20_000)
        assert (result.low, result.high) == pytest.approx((peer.low, peer.high), abs=0.01)

    @pytest.mark.parametrize("method", ["bootstrap", "t"])
    def test_covers_the_truth_as_often_as_it_says(self, method):
        # 2,000 experiments of 20 seeds side by side, true mean 0
        values = np.random.default_rng(0).normal(size=(20, 2_000))
        result = interval(values, level=0.9, method=method, num_resamples=1_000)
        covered = ((result.low <= 0) & (result.high >= 0)).mean()
        assert covered == pytest.approx(0.9, abs=0.04)

    def test_axes_and_types(self):
        values = torch.arange(24.0).reshape(2, 3, 4)
        result = interval(values, axis=1)
        assert result.mean.shape == result.low.shape == result.high.shape == (2, 4)
        np.testing.assert_array_equal(result.mean, values.mean(1))
        assert (result.low <= result.mean).all()
        assert result.mean.dtype == np.float64

    def test_is_repeatable_and_seeded(self):
        values = np.random.default_rng(0).normal(size=15)
        assert interval(values) == interval(values)
        assert interval(values).low != interval(values, seed=1).low

    @pytest.mark.parametrize("method", ["bootstrap", "t"])
    def test_one_seed_has_no_interval(self, method):
        result = interval(np.ones((1, 3)), method=method)
        np.testing.assert_array_equal(result.mean, 1.0)
        assert np.isnan(result.low).all()
        assert np.isnan(result.high).all()

    @pytest.mark.parametrize("method", ["bootstrap", "t"])
    def test_equal_values_and_missing_ones(self, method):
        values = np.ones((4, 2))
        values[2, 1] = np.nan
        result = interval(values, method=method)
        assert (result.low[0], result.high[0]) == (1.0, 1.0)
        assert np.isnan([result.mean[1], result.low[1], result.high[1]]).all()

    @pytest.mark.usefixtures("without_type_checks")
    def test_invalid_arguments(self):
        with pytest.raises(ValueError, match="no values along axis 0"):
            interval(np.zeros((0, 3)))
        with pytest.raises(ValueError, match="an axis of seeds"):
            interval(np.float64(1.0))
        with pytest.raises(ValueError, match="level must be in .* got 95"):
            interval([1.0, 2.0], level=95)
        with pytest.raises(ValueError, match="method must be .* got 'gauss'"):
            interval([1.0, 2.0], method="gauss")
