"""Collecting time-major experience across the ends of episodes."""

import pytest
import torch

from rlcourse.envs.gridworld import Gridworld
from rlcourse.envs.tabular_env import TabularEnv
from rlcourse.run.collect import collect

RIGHT = 1


def always_right(step):
    return torch.full_like(step.obs, RIGHT), torch.zeros(len(step.obs))


def make_env(max_steps: int = 100) -> TabularEnv:
    mdp = Gridworld.from_ascii("S.G").mdp()
    return TabularEnv(mdp, 2, torch.Generator().manual_seed(0), max_steps)


def test_nothing_flows_across_the_end_of_an_episode():
    sequence, last = collect(make_env(), always_right, 5)
    assert sequence.obs[:, 0].tolist() == [0, 1, 2, 0, 1]
    assert sequence.reward[:, 0].tolist() == [0.0, 1.0, 0.0, 0.0, 1.0]
    assert sequence.discount[:, 0].tolist() == [1.0, 0.0, 0.0, 1.0, 0.0]
    assert sequence.is_first[:, 0].tolist() == [True, False, False, True, False]
    assert sequence.final_obs.tolist() == last.obs.tolist() == [2, 2]


def test_a_time_limit_leaves_the_last_real_row_open():
    sequence, _ = collect(make_env(max_steps=1), always_right, 4)
    assert sequence.discount[:, 0].tolist() == [1.0, 0.0, 1.0, 0.0]


class WithNames:
    """An environment whose observations are groups of tensors, one of them nested."""

    num_envs = 2

    def __init__(self):
        self.env = make_env()

    def _named(self, step):
        return step._replace(obs={"state": step.obs, "inner": {"twice": 2.0 * step.obs}})

    def reset(self):
        return self._named(self.env.reset())

    def step(self, action):
        return self._named(self.env.step(action))

    def state_dict(self):
        return self.env.state_dict()

    def load_state_dict(self, state):
        self.env.load_state_dict(state)


def test_observations_by_name():
    plain, _ = collect(make_env(), always_right, 5)
    named, _ = collect(WithNames(), lambda s: always_right(s._replace(obs=s.obs["state"])), 5)
    assert torch.equal(named.obs["state"], plain.obs)
    assert torch.equal(named.obs["inner"]["twice"], 2.0 * plain.obs)
    assert named.final_obs["state"].tolist() == plain.final_obs.tolist()
    assert torch.equal(named.reward, plain.reward)


def test_two_calls_are_one():
    whole, _ = collect(make_env(), always_right, 7)
    env = make_env()
    first, step = collect(env, always_right, 3)
    second, _ = collect(env, always_right, 4, start=step)
    for a, b, c in zip(whole[:-1], first[:-1], second[:-1], strict=True):
        assert torch.equal(a, torch.cat([b, c]))
    with pytest.raises(ValueError, match="at least 1, got 0"):
        collect(env, always_right, 0)
