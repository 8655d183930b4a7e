"""Collecting time-major experience across the ends of episodes."""

import pytest
import torch

from rlcourse.envs.gridworld import Gridworld
from rlcourse.envs.tabular_env import TabularEnv
from rlcourse.run.collect import collect, is_real

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
    assert is_real(sequence, last)[:, 0].tolist() == [True, True, False, True, True]
    assert sequence.final_obs.tolist() == [2, 2]


def test_a_time_limit_leaves_the_last_real_row_open():
    sequence, last = collect(make_env(max_steps=1), always_right, 4)
    assert sequence.discount[:, 0].tolist() == [1.0, 0.0, 1.0, 0.0]
    assert is_real(sequence, last)[:, 0].tolist() == [True, False, True, False]


def test_two_calls_are_one():
    whole, _ = collect(make_env(), always_right, 7)
    env = make_env()
    first, step = collect(env, always_right, 3)
    second, _ = collect(env, always_right, 4, start=step)
    for a, b, c in zip(whole[:-1], first[:-1], second[:-1], strict=True):
        assert torch.equal(a, torch.cat([b, c]))
    with pytest.raises(ValueError, match="at least 1, got 0"):
        collect(env, always_right, 0)
