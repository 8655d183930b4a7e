import numpy as np
import pytest
import torch

from rlcourse.envs.control import GROUPS, PointMass
from rlcourse.envs.control_model import PACK, Arena, BatchedPhysics, build_model, default_threads
from rlcourse.envs.control_task import PointMassConfig
from rlcourse.envs.groups import flatten
from rlcourse.run.checkpoint import load_checkpoint, save_checkpoint
from rlcourse.run.evaluate import evaluate
from rlcourse.types import Environment
from tests.envs.point_mass import assert_same_step, point_mass, pushes, toward_target
from tests.oracles.slow_point_mass import SlowPointMass

K = 4


def test_observations_are_named_groups():
    env = point_mass(5)
    assert isinstance(env, Environment)
    step = env.reset()
    assert {name: group.shape[1] for name, group in step.obs.items()} == env.group_sizes
    assert env.group_sizes == {"proprio": 4, "targets": 2 * K, "task": K}
    assert step.is_first.all()
    for each in (step, env.step(torch.zeros(5, 2, dtype=torch.float64))):
        assert {group.dtype for group in each.obs.values()} == {torch.float32}
        assert (each.reward.dtype, each.discount.dtype) == (torch.float32, torch.float32)
        assert each.reward.shape == each.discount.shape == each.is_first.shape == (5,)
        assert each.is_first.dtype == torch.bool


def test_what_the_groups_hold():
    env = point_mass(6, config=PointMassConfig(task_group="position"))
    one_hot = point_mass(6)
    env.reset(), one_hot.reset()
    for action in pushes(20, 6):
        step, other = env.step(action), one_hot.step(action)
    position, velocity = env.physics_state[:, :2], env.physics_state[:, 2:]
    np.testing.assert_allclose(step.obs["proprio"], np.hstack([position, velocity]), rtol=1e-6)
    ways = env.target_positions - position[:, None]
    np.testing.assert_allclose(step.obs["targets"], ways.reshape(6, -1), rtol=1e-5)
    current = other.obs["task"].argmax(-1)
    np.testing.assert_allclose(step.obs["task"], ways[np.arange(6), current], rtol=1e-5)
    assert env.group_sizes["task"] == 2


def test_chosen_groups_and_their_concatenation():
    env = point_mass(groups=("task", "proprio"))
    obs = env.reset().obs
    assert tuple(obs) == ("task", "proprio")
    flat = flatten(obs, ("proprio", "task"))
    assert torch.equal(flat, torch.cat([obs["proprio"], obs["task"]], -1))
    for groups, words in ((("goal",), "'goal'"), ((), "at least one"), ("task", "tuple")):
        with pytest.raises(ValueError, match=words):
            flatten(obs, groups)
        with pytest.raises(ValueError, match=words):
            point_mass(groups=groups)
    with pytest.raises(ValueError, match="twice"):
        flatten(obs, ("task", "task"))


CONFIGS = (
    PointMassConfig(max_steps=40),
    PointMassConfig(max_steps=40, reward="dense"),
    PointMassConfig(max_steps=30, task="stay_at_target", num_targets=2, target_radius=0.3),
    PointMassConfig(max_steps=60, task="visit_targets", target_radius=0.3),
)


@pytest.mark.parametrize("config", CONFIGS)
def test_equals_instances_stepped_one_by_one(config):
    B = PACK + 3
    env = point_mass(B, config=config, num_threads=2)
    slow = [SlowPointMass(config) for _ in range(B)]
    step = env.reset()
    seen = {"arrived": 0, "out of time": 0, "at a wall": 0}
    for action in pushes(150, B):
        for b in np.flatnonzero(step.is_first):
            slow[b].start(env.physics_state[b, :2], env.target_positions[b])
        before, ended = step, env.ended
        step = env.step(action)
        assert np.array_equal(step.is_first, ended)
        for b in np.flatnonzero(~ended):
            current = int(before.obs["task"][b].argmax())
            reward, arrived, ends, over = slow[b].step(action[b].double().numpy(), current)
            assert env.physics_state[b].tolist() == slow[b].state()  # to the last bit
            assert float(step.reward[b]) == np.float32(reward)
            assert float(step.discount[b]) == 1.0 - ends
            assert env.ended[b] == (ends or over)
            moves_on = arrived and config.task == "visit_targets"
            assert (int(step.obs["task"][b].argmax()) != current) == moves_on
            seen["arrived"] += arrived
            seen["out of time"] += over and not ends
            seen["at a wall"] += np.abs(slow[b].state()[:2]).max() > config.arena.reach
        for b in np.flatnonzero(ended):
            assert (float(step.reward[b]), float(step.discount[b])) == (0.0, 1.0)
    assert min(seen.values()) > 0, seen


@pytest.mark.parametrize("num_threads", [2, 3])
def test_threads_do_not_change_results(num_threads):
    one, many = point_mass(41, num_threads=1), point_mass(41, num_threads=num_threads)
    assert_same_step(one.reset(), many.reset())
    for action in pushes(120, 41):
        assert_same_step(one.step(action), many.step(action))
    many.close()
    many.close()


def test_number_of_threads():
    assert [default_threads(num_envs) for num_envs in (1, 64, 255)] == [1, 1, 1]
    assert 1 <= default_threads(10_000) <= 10_000 // 128
    assert point_mass(2, num_threads=2).num_threads == 2
    with pytest.raises(ValueError, match="num_threads must be at least 1: got 0"):
        BatchedPhysics(Arena(), 2, num_threads=0)


def test_crossing_the_arena_takes_a_second_or_two():
    arena, model = Arena(), build_model(Arena())
    physics = BatchedPhysics(arena, 1)
    state, num_steps = np.array([[-arena.reach, 0.0, 0.0, 0.0]]), 0
    while state[0, 0] < arena.reach:
        state, _ = physics.advance(state, np.array([[1.0, 0.0]]))
        num_steps += 1
        assert state[0, 2] <= arena.top_speed
    assert 1.0 <= num_steps * arena.control_step <= 2.0
    assert num_steps == 24
    for _ in range(40):  # the wall holds
        state, _ = physics.advance(state, np.array([[1.0, 0.0]]))
    assert abs(state[0, 0] - arena.reach) < 0.01 * arena.half_size
    assert abs(state[0, 2]) < 1e-3
    assert (model.nq, model.nv, model.nu) == (2, 2, 2)


def test_a_controller_reaches_every_target_and_random_actions_some():
    env = point_mass(64)
    played = evaluate(env, toward_target, 4)
    assert played.returns.mean() == 1.0
    assert 10 < played.lengths.float().mean() < 30
    generator = torch.Generator().manual_seed(3)

    def at_random(_):
        return 2.0 * torch.rand(64, 2, generator=generator) - 1.0

    assert 0.05 < evaluate(env, at_random, 4).returns.mean() < 0.5


def test_an_end_has_discount_zero_and_a_time_limit_one():
    env = point_mass(32, config=PointMassConfig(max_steps=20))
    step, kinds = env.reset(), set()
    for _ in range(60):
        before, step = step, env.step(toward_target(step))
        kinds |= {(float(r), float(d)) for r, d in zip(step.reward, step.discount, strict=True)}
        for b in np.flatnonzero(before.discount == 0.0):
            assert step.is_first[b]
            assert before.reward[b] == 1.0
    assert kinds == {(0.0, 1.0), (1.0, 0.0)}
    idle = point_mass(1, config=PointMassConfig(max_steps=3))
    idle.reset()
    steps = [idle.step(torch.zeros(1, 2)) for _ in range(5)]
    assert [bool(step.is_first) for step in steps] == [False, False, False, True, False]
    assert all(float(step.discount) == 1.0 for step in steps)


def test_layouts_and_starts():
    config = PointMassConfig()
    env = point_mass(500)
    first = env.reset()
    places = env.target_positions
    assert np.abs(places).max() <= 1.0 - config.target_radius
    distance = np.linalg.norm(places[:, :, None] - places[:, None], axis=-1)
    assert distance[:, ~np.eye(K, dtype=bool)].min() > 2 * config.target_radius
    quadrant = (places > 0) @ np.array([1, 2])
    assert np.bincount(quadrant[:, 0], minlength=4).min() > 80  # a color is anywhere
    assert (np.sort(quadrant, -1) == np.arange(4)).all()
    current = first.obs["task"].argmax(-1).numpy()
    start = env.physics_state[:, :2]
    away = np.linalg.norm(places[np.arange(500), current] - start, axis=-1)
    assert away.min() > config.target_radius
    assert (env.physics_state[:, 2:] == 0.0).all()
    assert np.bincount(current, minlength=K).min() > 80
    assert np.ptp(start, axis=0).min() > 1.85
    env.reset()
    assert not np.array_equal(env.target_positions, places)


def test_fixed_places_and_a_target_in_the_middle():
    places = ((0.0, 0.0), (0.9, -0.9))
    config = PointMassConfig(num_targets=2, target_positions=places, target_radius=0.6)
    env = point_mass(200, config=config)
    env.reset()
    assert (env.target_positions == np.array(places)).all()
    start = env.physics_state[:, :2]
    assert np.abs(start).max() <= config.arena.reach + 1e-9
    step = env.step(torch.zeros(200, 2))
    assert (step.reward == 0.0).all()


def test_first_targets_and_what_follows():
    first = torch.tensor([[1.0, 0, 0, 0], [0, 0, 0.5, 0.5]])
    env = point_mass(2, first_target=first)
    drawn = torch.stack([env.reset().obs["task"].argmax(-1) for _ in range(40)])
    assert set(drawn[:, 0].tolist()) == {0}
    assert set(drawn[:, 1].tolist()) == {2, 3}

    # After i -> j comes j + (j - i): the rule needs the last two targets.
    dynamics = torch.zeros(K, K, K)
    for previous in range(K):
        for current in range(K):
            following = (2 * current - previous) % K
            dynamics[previous, current, following if following != current else current - 1] = 1.0
    config = PointMassConfig(task="visit_targets", max_steps=10_000)
    env = point_mass(16, config=config, dynamics=dynamics)
    step, visited = env.reset(), [[] for _ in range(16)]
    for _ in range(200):
        now = step.obs["task"].argmax(-1).tolist()
        for b, target in enumerate(now):
            if visited[b][-1:] != [target]:
                visited[b].append(target)
        step = env.step(toward_target(step))
    triples = [t for v in visited for t in zip(v, v[1:], v[2:], strict=False)]
    assert len(triples) > 50
    assert all(dynamics[triple] == 1.0 for triple in triples)


@pytest.mark.parametrize("config", [CONFIGS[0], CONFIGS[3]])
def test_a_resumed_run_equals_an_uninterrupted_one(config, tmp_path):
    actions = pushes(120, 20)
    whole = point_mass(20, config=config)
    whole.reset()
    for action in actions[:50]:
        whole.step(action)
    save_checkpoint(tmp_path / "env.pt", whole.state_dict())
    resumed = point_mass(20, seed=9, config=config, num_threads=2)
    resumed.reset()
    for action in actions[:7]:
        resumed.step(action)
    resumed.load_state_dict(load_checkpoint(tmp_path / "env.pt"))
    for action in actions[50:]:
        assert_same_step(whole.step(action), resumed.step(action))
    assert np.array_equal(whole.physics_state, resumed.physics_state)
    assert whole._generator.get_state().equal(resumed._generator.get_state())


def test_a_state_is_not_written_by_later_steps():
    env = point_mass(3)
    step = env.reset()
    state, seen = env.state_dict(), flatten(step.obs, GROUPS).clone()
    kept = {name: value.clone() for name, value in state.items() if torch.is_tensor(value)}
    for action in pushes(30, 3):
        env.step(action)
    env.reset()
    assert all(torch.equal(state[name], value) for name, value in kept.items())
    assert torch.equal(flatten(step.obs, GROUPS), seen)


def test_an_instance_does_not_depend_on_the_ends_of_others():
    """With other actions elsewhere, an instance sees the same episodes."""
    config = PointMassConfig(max_steps=15)
    left, right = point_mass(8, config=config), point_mass(8, config=config)
    a, b = left.reset(), right.reset()
    for action in pushes(60, 8):
        other = torch.cat([action[:1], toward_target(b)[1:]])
        a, b = left.step(action), right.step(other)
        assert all(torch.equal(a.obs[name][0], b.obs[name][0]) for name in GROUPS)
    assert not torch.equal(a.obs["proprio"], b.obs["proprio"])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_tensors_live_on_the_device():
    env, plain = point_mass(4, device="cuda"), point_mass(4)
    step, expected = env.reset(), plain.reset()
    for action in pushes(20, 4):
        step, expected = env.step(action.cuda()), plain.step(action)
    assert flatten(step.obs, GROUPS).device.type == "cuda"
    assert torch.equal(flatten(step.obs, GROUPS).cpu(), flatten(expected.obs, GROUPS))
    with pytest.raises(ValueError, match="physics on the CPU"):
        PointMass(2, torch.Generator("cuda"))
