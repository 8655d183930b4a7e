"""Whatever is wrong is refused with its mend, or counted, and nothing else is touched."""

import warnings

import numpy as np
import pytest
import torch

from rlcourse.envs.control import GROUPS
from rlcourse.envs.control_model import PACK, Arena
from rlcourse.envs.control_task import PointMassConfig
from rlcourse.envs.groups import flatten
from tests.envs.point_mass import assert_same_step, point_mass, pushes

K = 4

WRONG_CONFIGS = (
    ({"task": "fly"}, "unknown task 'fly': there are go_to_target, visit_targets"),
    ({"reward": "none"}, "unknown reward 'none'"),
    ({"task_group": "words"}, "unknown task_group 'words'"),
    ({"num_targets": 0}, "num_targets must be at least 1"),
    ({"max_steps": 0}, "max_steps must be at least 1"),
    ({"num_targets": 1, "task": "visit_targets"}, "at least 2 targets"),
    ({"task": "visit_targets", "reward": "dense"}, "use the sparse reward"),
    ({"target_radius": 0.5}, r"must be in \(0, 0.5\) for 4 targets"),
    ({"target_radius": float("nan")}, "target_radius must be in"),
    ({"target_positions": ((0.0, 0.0),)}, "must hold num_targets = 4 places: got 1"),
    ({"target_positions": ((0.0, 0.97),) * 4}, r"got \(0.0, 0.97\)"),
)


@pytest.mark.parametrize(("options", "words"), WRONG_CONFIGS)
def test_wrong_configs_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        PointMassConfig(**options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mass": 0.0}, "mass must be positive and finite: got 0.0"),
        ({"force": float("inf")}, "force must be positive and finite"),
        ({"radius": 1.0}, "must fit between walls"),
        ({"physics_step": 0.02}, "multiple of physics_step"),
        ({"physics_step": 1e-5}, "at least 0.0001"),
    ],
)
def test_wrong_arenas_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        Arena(**options)


def test_wrong_probabilities_are_refused():
    with pytest.raises(ValueError, match=r"shape \[4\] or \[3, 4\]: got \[2, 4\]"):
        point_mass(first_target=torch.full((2, K), 0.25))
    with pytest.raises(ValueError, match="sum to 1"):
        point_mass(first_target=torch.ones(K))
    with pytest.raises(ValueError, match="the task is go_to_target"):
        point_mass(dynamics=torch.full((K, K, K), 0.25))
    config = PointMassConfig(task="visit_targets")
    with pytest.raises(ValueError, match="follow itself"):
        point_mass(config=config, dynamics=torch.full((K, K, K), 0.25))
    with pytest.raises(ValueError, match="num_envs must be at least 1"):
        point_mass(0)


@pytest.mark.parametrize("bad", [1.5, -1.01, float("nan"), float("inf")])
def test_wrong_actions_are_refused_and_nothing_is_stepped(bad):
    env, twin = point_mass(), point_mass()
    env.reset(), twin.reset()
    action = torch.zeros(3, 2)
    action[2, 1] = bad
    with pytest.raises(ValueError, match="in instance 2; squash"):
        env.step(action)
    still = torch.zeros(3, 2)
    assert_same_step(env.step(still), twin.step(still))


def test_actions_of_other_shapes_and_types_are_refused():
    env = point_mass()
    env.reset()
    for action in (torch.zeros(2, 2), torch.zeros(3), torch.zeros(3, 2, dtype=torch.int64)):
        with pytest.raises(ValueError, match=r"floats of shape \[3, 2\]"):
            env.step(action)


def test_clipping_is_an_option():
    clipping, plain = point_mass(config=PointMassConfig(clip_actions=True)), point_mass()
    clipping.reset(), plain.reset()
    action = torch.tensor([[3.0, -0.2], [0.5, -7.0], [1.0 + 1e-7, 0.0]])
    assert_same_step(clipping.step(action), plain.step(action.clamp(-1.0, 1.0)))
    action[1, 0] = float("nan")
    with pytest.raises(ValueError, match="instance 1"):
        clipping.step(action)


@pytest.mark.parametrize("fault", [float("nan"), 1e12, 1e300])
def test_a_broken_instance_starts_anew_and_no_other_is_touched(fault, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes a log into the working directory
    env, twin = point_mass(PACK + 4, num_threads=2), point_mass(PACK + 4)
    env.reset(), twin.reset()
    for number, action in enumerate(pushes(30, PACK + 4)):
        broken = number in (10, 20)
        if broken:
            env._state[5, 3] = fault  # as if the step before had left it there
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            step, expected = env.step(action), twin.step(action)
        assert len(caught) == (number == 10)  # reported once
        if number == 10:
            assert "instance 5 became non-finite" in str(caught[0].message)
            assert caught[0].filename == __file__
        others = np.arange(PACK + 4) != 5
        assert np.array_equal(env.physics_state[others], twin.physics_state[others])
        assert torch.equal(step.is_first[others], expected.is_first[others])
        assert torch.isfinite(flatten(step.obs, GROUPS)).all()
        if broken:
            assert step.is_first[5]
            assert (float(step.reward[5]), float(step.discount[5])) == (0.0, 1.0)
            assert np.abs(env.physics_state[5, :2]).max() < 1.0
    assert env.num_resets_nonfinite == 2
    assert twin.num_resets_nonfinite == 0


def test_a_model_that_diverges_keeps_going(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    env = point_mass(3, config=PointMassConfig(arena=Arena(force=1e13)))
    env.reset()
    action = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    with pytest.warns(RuntimeWarning, match=r"instance 1 .* action \[1.0, 0.0\]"):
        step = env.step(action)
    assert step.is_first.tolist() == [False, True, False]
    env.step(action)
    assert env.num_resets_nonfinite == 2


def test_states_of_others_are_refused():
    state = point_mass(3).state_dict()
    with pytest.raises(ValueError, match="holds 3 instances, this environment 4"):
        point_mass(4).load_state_dict(state)
    with pytest.raises(ValueError, match="made with PointMassConfig.*max_steps=100.*max_steps=7"):
        point_mass(3, config=PointMassConfig(max_steps=7)).load_state_dict(state)
