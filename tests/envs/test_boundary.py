import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from rlcourse.envs.boundary import GymnasiumBoundary, reset_seeds
from rlcourse.types import Environment

LIMIT = 12  # an episode of CartPole under random actions lasts about 20 steps


def cartpole():
    return gymnasium.make("CartPole-v1", max_episode_steps=LIMIT)


def boundary(make=cartpole, num_envs=3, seed=5, **options):
    return GymnasiumBoundary(SyncVectorEnv([make] * num_envs, **options), "cpu", seed)


class Toy(gymnasium.Env):
    """Episodes of `length` steps with any spaces."""

    def __init__(self, observation_space, action_space, length=2, terminates=True):
        self.observation_space, self.action_space = observation_space, action_space
        self.length, self.terminates = length, terminates
        self.age = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.age = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        self.age += 1
        ended = self.age >= self.length
        obs = self.observation_space.sample()
        return obs, 1.0, ended and self.terminates, ended and not self.terminates, {}


BOX = spaces.Box(-1.0, 1.0, (2,), np.float64)


def toy(**options):
    options = {"observation_space": BOX, "action_space": spaces.Discrete(2), **options}
    return lambda: Toy(**options)


def transitions_by_hand(seed, actions):
    """Transitions of one environment, reset by hand where an episode ended.

    The call after an end resets in the vector environment, so one action is passed over.
    """
    env = cartpole()
    obs, _ = env.reset(seed=seed)
    found, ended = [], False
    for action in actions:
        if ended:
            obs, _ = env.reset()
            ended = False
            continue
        next_obs, reward, terminated, truncated, _ = env.step(int(action))
        ended = terminated or truncated
        found.append((obs, int(action), reward, 0.0 if terminated else 1.0, next_obs))
        obs = next_obs
    return found


def test_transitions_are_those_of_environments_stepped_by_hand():
    env = boundary(num_envs=3, seed=5)
    rng = np.random.default_rng(0)
    actions = rng.integers(2, size=(200, 3))
    found = [[] for _ in range(3)]
    step = env.reset()
    discounts_at_ends = []
    for action in actions:
        before, step = step, env.step(torch.from_numpy(action))
        for b in range(3):
            if step.is_first[b]:
                discounts_at_ends.append(before.discount[b].item())
                assert step.reward[b] == 0.0
                assert step.discount[b] == 1.0
            else:
                reward, discount = step.reward[b].item(), step.discount[b].item()
                row = (before.obs[b].numpy(), int(action[b]), reward, discount)
                found[b].append((*row, step.obs[b].numpy()))
    # Both kinds of end occurred: terminated (0.0) and cut off by the time limit (1.0).
    assert set(discounts_at_ends) == {0.0, 1.0}
    for b, seed in enumerate(reset_seeds(5, 0, 3)):
        expected = transitions_by_hand(seed, actions[:, b])
        assert len(found[b]) == len(expected)
        for ours, theirs in zip(found[b], expected, strict=True):
            assert ours[1:4] == theirs[1:4]
            np.testing.assert_array_equal(ours[0], theirs[0])
            np.testing.assert_array_equal(ours[4], theirs[4])


@pytest.mark.parametrize(("terminates", "discount"), [(True, 0.0), (False, 1.0)])
def test_ends_of_episodes(terminates, discount):
    env = boundary(toy(terminates=terminates), num_envs=2)
    steps = [env.reset()] + [env.step(torch.zeros(2, dtype=torch.int64)) for _ in range(4)]
    assert [step.is_first[0].item() for step in steps] == [True, False, False, True, False]
    assert [step.discount[1].item() for step in steps] == [1.0, 1.0, discount, 1.0, 1.0]
    assert [step.reward[1].item() for step in steps] == [0.0, 1.0, 1.0, 0.0, 1.0]


def test_a_first_step_pays_nothing_whatever_the_environment_says():
    class PaysForResets(SyncVectorEnv):
        def step(self, actions):
            obs, reward, *rest = super().step(actions)
            return obs, reward + 5.0, *rest

    env = GymnasiumBoundary(PaysForResets([toy()] * 2), "cpu", 0)
    steps = [env.reset()] + [env.step(torch.zeros(2, dtype=torch.int64)) for _ in range(4)]
    assert [bool(step.is_first[0]) for step in steps] == [True, False, False, True, False]
    assert [step.reward[0].item() for step in steps] == [0.0, 6.0, 6.0, 0.0, 6.0]


def test_types_and_shapes():
    env = boundary()
    assert isinstance(env, Environment)
    step = env.reset()
    assert step.obs.shape == (3, 4)
    assert (step.obs.dtype, step.reward.dtype, step.discount.dtype) == (torch.float32,) * 3
    assert step.is_first.dtype == torch.bool
    assert step.is_first.all()


def test_observations_of_other_kinds():
    space = spaces.Dict(
        image=spaces.Box(0, 255, (4, 4, 3), np.uint8), mission=spaces.Discrete(5), state=BOX
    )
    step = boundary(toy(observation_space=space), num_envs=2).reset()
    assert step.obs["image"].dtype == torch.uint8
    assert step.obs["image"].shape == (2, 4, 4, 3)
    assert step.obs["mission"].dtype == torch.int64
    assert step.obs["state"].dtype == torch.float32
    unsupported = boundary(toy(observation_space=spaces.Tuple([BOX, BOX])), num_envs=2)
    with pytest.raises(ValueError, match="must be arrays or dicts of arrays.*wrap"):
        unsupported.reset()


def test_steps_do_not_share_memory_with_the_environment():
    env = boundary(copy=False)
    first = env.reset()
    kept = first.obs.clone()
    env.step(torch.ones(3, dtype=torch.int64))
    assert torch.equal(first.obs, kept)


def test_the_seed_decides_and_each_reset_has_its_own():
    one, other = boundary(), boundary()
    first = one.reset()
    assert torch.equal(first.obs, other.reset().obs)
    assert not torch.equal(first.obs, one.reset().obs)
    assert not torch.equal(first.obs, boundary(seed=6).reset().obs)
    assert len({*reset_seeds(0, 0, 4), *reset_seeds(0, 1, 4), *reset_seeds(1, 0, 4)}) == 12


def test_a_loaded_environment_goes_on_with_fresh_episodes():
    env = boundary()
    first = env.reset()
    state = env.state_dict()
    loaded = boundary(seed=99)
    loaded.reset()
    loaded.load_state_dict(state)
    step = loaded.step(torch.zeros(3, dtype=torch.int64))
    assert step.is_first.all()
    assert not torch.equal(step.obs, first.obs)
    assert not loaded.step(torch.zeros(3, dtype=torch.int64)).is_first.any()


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.DISABLED])
def test_other_autoreset_modes(mode):
    with pytest.raises(ValueError, match=f"is {mode}, needed is NEXT_STEP: make it with"):
        boundary(autoreset_mode=mode)


def test_an_undeclared_autoreset_mode():
    env = SyncVectorEnv([cartpole])
    env.metadata = {}
    with pytest.raises(ValueError, match="is None, needed is NEXT_STEP"):
        GymnasiumBoundary(env, "cpu", 0)


def test_unsupported_action_space():
    with pytest.raises(ValueError, match="must be Discrete or Box: got MultiBinary"):
        boundary(toy(action_space=spaces.MultiBinary(3)))


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (torch.zeros(2, dtype=torch.int64), r"shape \[3\]: got \[2\]"),
        (torch.zeros(3, 1, dtype=torch.int64), r"shape \[3\]: got \[3, 1\]"),
        (torch.zeros(3), "must be integers for Discrete.2.: got float32"),
        (torch.tensor([0, 2, 1]), r"in \[0, 1\]: got 2 in instance 1"),
        (torch.tensor([0, 1, -1]), r"in \[0, 1\]: got -1 in instance 2"),
    ],
)
def test_wrong_discrete_actions(action, message):
    env = boundary()
    env.reset()
    with pytest.raises(ValueError, match=message):
        env.step(action)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (torch.zeros(2), r"shape \[2, 2\]: got \[2\]"),
        (torch.zeros(2, 2, dtype=torch.int64), "must be floats"),
        (torch.tensor([[0.0, 0.0], [1.5, 0.0]]), r"got \[1.5 0. \] in instance 1.*tanh"),
        (torch.tensor([[torch.nan, 0.0], [0.0, 0.0]]), "in instance 0"),
    ],
)
def test_wrong_box_actions(action, message):
    env = boundary(toy(action_space=BOX), num_envs=2)
    env.reset()
    with pytest.raises(ValueError, match=message):
        env.step(action)


def test_box_actions_at_the_bounds_pass():
    env = boundary(toy(action_space=BOX), num_envs=2)
    env.reset()
    env.step(torch.tensor([[1.0000001, -1.0], [0.0, 1.0]], requires_grad=True))
    env.close()
