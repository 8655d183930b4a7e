import warnings

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from rlcourse.envs.boundary import GymnasiumBoundary
from rlcourse.envs.control import GROUPS, PointMass
from rlcourse.envs.control_gymnasium import PointMassEnv, as_gymnasium
from rlcourse.envs.control_task import PointMassConfig
from rlcourse.envs.groups import flatten

CONFIG = PointMassConfig(max_steps=25, target_radius=0.3)


def view(num_envs=3, config=CONFIG, **options):
    return as_gymnasium(PointMass(num_envs, torch.Generator().manual_seed(0), config, **options))


def random_actions(env, num_steps, seed=0):
    env.action_space.seed(seed)
    return [env.action_space.sample() for _ in range(num_steps)]


@pytest.mark.parametrize("task_group", ["one_hot", "position"])
@pytest.mark.parametrize("task", ["go_to_target", "visit_targets"])
def test_gymnasium_checks_the_single_environment(task, task_group):
    name = f"rlcourse-test/PointMass-{task}-{task_group}-v0"
    config = PointMassConfig(task=task, task_group=task_group)
    gymnasium.register(name, PointMassEnv, kwargs={"config": config})
    env = gymnasium.make(name, disable_env_checker=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the checker's advice comes as warnings
        check_env(env.unwrapped)
    env.close()
    env.close()


def test_the_single_environment_plays_episodes():
    env = PointMassEnv(CONFIG)
    env.action_space.seed(0)
    ends = set()
    for seed in range(40):
        obs, info = env.reset(seed=seed)
        assert obs in env.observation_space
        assert info == {}
        for number in range(1, 1000):
            obs, reward, terminated, truncated, _ = env.step(env.action_space.sample())
            assert obs in env.observation_space
            assert reward == float(terminated)
            if terminated or truncated:
                ends.add((terminated, number == CONFIG.max_steps))
                break
        with pytest.raises(RuntimeError, match="call reset"):
            env.step(env.action_space.sample())
    assert ends == {(True, False), (False, True)}


def test_seeds_of_the_single_environment():
    env, other = PointMassEnv(CONFIG), PointMassEnv(CONFIG)
    for seed in (1, None, 1):
        left, right = (e.reset(seed=seed)[0] for e in (env, other))
        assert all(np.array_equal(left[name], right[name]) for name in GROUPS)
    assert not np.array_equal(env.reset()[0]["targets"], left["targets"])
    fresh = [PointMassEnv().reset()[0]["targets"] for _ in range(2)]
    assert not np.array_equal(*fresh)  # without a seed, by chance
    with pytest.raises(ValueError, match=r"no options: got \['easy'\]"):
        env.reset(options={"easy": True})


def test_the_vector_view_is_the_environment():
    env = view()
    plain = PointMass(3, torch.Generator().manual_seed(0), CONFIG)
    assert env.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    obs, _ = env.reset()
    step = plain.reset()
    ends = set()
    for action in random_actions(env, 120):
        obs, reward, terminated, truncated, info = env.step(action)
        step = plain.step(torch.from_numpy(action))
        assert obs in env.observation_space
        assert info == {}
        assert all(np.array_equal(obs[name], step.obs[name]) for name in GROUPS)
        assert np.array_equal(reward, step.reward)
        assert np.array_equal(terminated, step.discount == 0.0)
        assert np.array_equal(terminated | truncated, plain.ended)
        assert not (terminated & truncated).any()
        ends |= set(zip(terminated.tolist(), truncated.tolist(), strict=True))
    assert ends == {(False, False), (True, False), (False, True)}
    env.close()


def test_the_vector_view_is_like_single_environments_in_gymnasiums_own():
    """The same spaces and dtypes, and the same order of ends and resets."""
    ours = view(4, num_threads=2)
    theirs = SyncVectorEnv([lambda: PointMassEnv(CONFIG)] * 4)
    assert ours.single_observation_space == theirs.single_observation_space
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    for env in (ours, theirs):
        obs, _ = env.reset(seed=3)
        ended = np.zeros(4, dtype=bool)
        for action in random_actions(env, 80):
            obs, reward, terminated, truncated, _ = env.step(action)
            assert (reward.dtype, terminated.dtype, truncated.dtype) == (float, bool, bool)
            assert (obs["proprio"][ended, 2:] == 0.0).all()  # at rest where an episode starts
            assert not (terminated | truncated)[ended].any()
            ended = terminated | truncated
        env.close()


def test_the_boundary_takes_the_vector_view():
    boundary = GymnasiumBoundary(view(), "cpu", seed=0)
    step, starts = boundary.reset(), 0
    for _ in range(60):
        step = boundary.step(torch.full((3, 2), 0.3))
        starts += int(step.is_first.sum())
    assert flatten(step.obs, GROUPS).shape == (3, 16)
    assert starts >= 6
    boundary.close()


def test_seeds_of_the_vector_view():
    env, other = view(), view()
    for seed in (5, [1, 2, 3], [None, 4, None], np.int64(6)):
        left, right = (e.reset(seed=seed)[0]["targets"] for e in (env, other))
        assert np.array_equal(left, right)
    assert not np.array_equal(left, env.reset()[0]["targets"])
    with pytest.raises(ValueError, match="one seed per instance, 3: got 2"):
        env.reset(seed=[1, 2])
    with pytest.raises(ValueError, match="no options"):
        env.reset(options={"reset_mask": np.ones(3, dtype=bool)})
    with pytest.raises(ValueError, match="in instance 1"):
        env.step(np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 0.0]]))


def test_chosen_groups():
    env = view(groups=("proprio",))
    assert tuple(env.single_observation_space) == ("proprio",)
    assert tuple(env.reset(seed=0)[0]) == ("proprio",)


def test_a_broken_instance_is_truncated_and_starts_anew(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes a log into the working directory
    env = view()
    env.reset(seed=0)
    still = np.zeros((3, 2), dtype=np.float32)
    env.step(still)
    env.env._state[1, 2] = np.nan
    with pytest.warns(RuntimeWarning, match="instance 1"):
        obs, reward, terminated, truncated, _ = env.step(still)
    assert (truncated.tolist(), terminated.any()) == ([False, True, False], False)
    assert np.isfinite(obs["proprio"]).all()
    again, _, _, truncated, _ = env.step(still)
    assert not truncated.any()
    assert not np.array_equal(again["targets"][1], obs["targets"][1])

    single = PointMassEnv(CONFIG)
    single.reset(seed=0)
    single.env._state[0, 2] = np.nan
    with pytest.warns(RuntimeWarning, match="instance 0"):
        obs, reward, terminated, truncated, _ = single.step(still[0])
    assert (reward, terminated, truncated) == (0.0, False, True)
    assert np.isfinite(obs["proprio"]).all()
