"""Maps as text, their transition tables, and the batched environment that samples them."""

import dataclasses

import pytest
import torch

from rlcourse.envs.gridworld import ACTIONS, MAPS, Gridworld
from rlcourse.envs.mdp import TabularMDP
from rlcourse.envs.tabular_env import TabularEnv

UP, RIGHT, DOWN, LEFT = range(4)
NO_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NO_CUDA])]


def make_env(text: str, num_envs: int = 1, seed: int = 0, max_steps: int = 100, **rewards):
    mdp = Gridworld.from_ascii(text).mdp(**rewards)
    return TabularEnv(mdp, num_envs, torch.Generator().manual_seed(seed), max_steps)


def test_states_are_numbered_row_by_row_and_walls_are_left_out():
    grid = Gridworld.from_ascii("#S.\n.#G")
    assert grid.cells == ((0, 1), (0, 2), (1, 0), (1, 2))
    assert grid.states_of("G") == (3,)
    assert grid.start_states == (0,)


def test_moves_into_walls_and_off_the_map_stay():
    grid = Gridworld.from_ascii("#S.\n.#G")
    stay_up, right, stay_down, stay_left = grid.destinations()[0].tolist()
    assert (stay_up, right, stay_down, stay_left) == (0, 1, 0, 0)
    assert ACTIONS == ("up", "right", "down", "left")


def test_rewards_and_ends_belong_to_the_arrival():
    mdp = Gridworld.from_ascii("SG\nX.").mdp(step_reward=-0.1)
    reward = mdp.expected_reward()
    assert reward[0].tolist() == pytest.approx([-0.1, 0.9, -1.1, -0.1])
    assert mdp.continues.tolist() == [1.0, 0.0, 0.0, 1.0]


def test_slip_mixes_the_move_with_a_uniform_one():
    mdp = Gridworld.from_ascii("S.\n..").mdp(slip=0.4)
    assert mdp.transition_tensor()[0, RIGHT].tolist() == pytest.approx([0.2, 0.7, 0.1, 0.0])
    assert torch.allclose(mdp.transition_tensor().sum(-1), torch.ones(4, 4, dtype=torch.float64))


@pytest.mark.parametrize("name", MAPS)
def test_named_maps_have_a_start_and_a_goal_that_can_be_reached(name: str):
    grid = Gridworld.named(name)
    reached = set(grid.start_states)
    while True:
        onward = {d for s in reached for d in grid.destinations()[s].tolist()} | reached
        if onward == reached:
            break
        reached = onward
    assert set(grid.states_of("G")) <= reached


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "draw at least one row"),
        ("S.\n.", "equally long"),
        ("S?", r"\['\?'\]"),
        ("##\n##", "no cell to start from"),
    ],
)
def test_a_bad_map_is_refused_with_the_mend(text: str, says: str):
    with pytest.raises(ValueError, match=says):
        Gridworld.from_ascii(text)


def test_bad_edits_are_refused():
    grid = Gridworld.from_ascii("S.#G")
    with pytest.raises(ValueError, match="off the 1 x 4 map"):
        grid.with_cell(3, 0, "#")
    with pytest.raises(ValueError, match="lies in a wall"):
        grid.with_goals([(0, 2)])
    with pytest.raises(ValueError, match="no map is called 'maze'"):
        Gridworld.named("maze")
    with pytest.raises(ValueError, match=r"slip is a probability, got 1\.5"):
        grid.mdp(slip=1.5)


@pytest.mark.usefixtures("without_type_checks")
def test_an_mdp_names_what_does_not_fit():
    good = Gridworld.from_ascii("S.").mdp()
    with pytest.raises(
        ValueError, match=r"probabilities must sum to 1 over the last axis, got 0\.5"
    ):
        TabularMDP(
            good.reward, good.successors, good.probabilities / 2, good.continues, good.initial
        )
    with pytest.raises(ValueError, match="successors lie in"):
        TabularMDP(
            good.reward, good.successors + 5, good.probabilities, good.continues, good.initial
        )
    with pytest.raises(ValueError, match="continues must be"):
        TabularMDP(
            good.reward, good.successors, good.probabilities, good.continues[:1], good.initial
        )


@pytest.mark.parametrize(
    ("name", "values", "says"),
    [
        ("reward", [[0.0, float("nan")]], r"reward must be finite, got nan at \[1, 0, 1\]"),
        ("reward", [[float("-inf"), 0.0]], r"reward must be finite, got -inf at \[1, 0, 0\]"),
        ("probabilities", [[2.0, -1.0]], r"must not be negative, got -1\.0 at \[1, 0, 1\]"),
        ("initial", -1.0, r"initial must not be negative, got -1\.0 at \[1\]"),
    ],
)
def test_an_mdp_refuses_numbers_that_cannot_be(name: str, values: float | list, says: str):
    tensors = {
        "reward": torch.zeros(2, 1, 2),
        "successors": torch.tensor([0, 1]).expand(2, 1, 2),
        "probabilities": torch.full((2, 1, 2), 0.5),
        "continues": torch.ones(2),
        "initial": torch.tensor([1.0, 0.0]),
    }
    TabularMDP(**tensors)
    tensors[name][1] = torch.tensor(values)
    with pytest.raises(ValueError, match=says):
        TabularMDP(**tensors)


def test_an_episode_ends_at_the_goal_and_the_next_step_starts_afresh():
    env = make_env("S.G")
    first = env.reset()
    assert bool(first.is_first)
    assert first.obs.item() == 0
    right = torch.tensor([RIGHT])
    assert env.step(right).discount.item() == 1.0
    arrival = env.step(right)
    assert (arrival.obs.item(), arrival.reward.item(), arrival.discount.item()) == (2, 1.0, 0.0)
    assert env.num_episodes.item() == 1
    fresh = env.step(right)  # the action is ignored
    assert (fresh.obs.item(), fresh.reward.item(), fresh.discount.item()) == (0, 0.0, 1.0)
    assert bool(fresh.is_first)


def test_a_time_limit_cuts_off_and_keeps_the_discount():
    env = make_env("S..", max_steps=2)
    env.reset()
    left = torch.tensor([LEFT])
    steps = [env.step(left) for _ in range(3)]
    assert [step.discount.item() for step in steps] == [1.0, 1.0, 1.0]
    assert [bool(step.is_first) for step in steps] == [False, False, True]


def test_a_time_limit_counts_on_after_a_resume():
    left = torch.tensor([LEFT])
    env, other = (make_env("S..", max_steps=3) for _ in range(2))
    for each in (env, other):
        each.reset()
    env.step(left)
    env.step(left)
    other.load_state_dict(env.state_dict())
    other.step(left)  # the third of the episode
    assert other.num_episodes.item() == 1
    assert bool(other.step(left).is_first)


def test_sampled_frequencies_are_those_of_the_table():
    mdp = Gridworld.from_ascii("S.\n.S").mdp(slip=0.4)
    env = TabularEnv(mdp, 40_000, torch.Generator().manual_seed(0), max_steps=1)
    start = env.reset()
    share = torch.bincount(start.obs, minlength=4) / env.num_envs
    assert share.tolist() == pytest.approx([0.5, 0.0, 0.0, 0.5], abs=0.01)
    arrival = env.step(torch.full((env.num_envs,), RIGHT)).obs[start.obs == 0]
    frequency = torch.bincount(arrival, minlength=4) / len(arrival)
    assert frequency.tolist() == pytest.approx(mdp.transition_tensor()[0, RIGHT].tolist(), abs=0.01)


def test_an_environment_goes_on_from_its_state():
    actions = torch.randint(4, (60, 5), generator=torch.Generator().manual_seed(1))
    env, other = (make_env("S.\n.G", 5, seed, slip=0.3) for seed in (3, 4))
    env.reset()
    for action in actions[:30]:
        env.step(action)
    other.reset()
    other.load_state_dict(env.state_dict())
    for action in actions[30:]:
        for a, b in zip(env.step(action), other.step(action), strict=True):
            assert torch.equal(a, b)
    assert torch.equal(env.num_episodes, other.num_episodes)


@pytest.mark.usefixtures("without_type_checks")
def test_bad_actions_and_sizes_are_refused():
    env = make_env("S.G", 3)
    env.reset()
    with pytest.raises(ValueError, match=r"int64 of shape \(3,\)"):
        env.step(torch.zeros(3))
    with pytest.raises(ValueError, match=r"int64 of shape \(3,\)"):
        env.step(torch.zeros(2, dtype=torch.int64))
    for refusing in (env.check_action, env.step):
        with pytest.raises(ValueError, match=r"actions lie in \[0, 7\], allowed: \[0, 3\]"):
            refusing(torch.tensor([0, 7, 1]))
        with pytest.raises(ValueError, match=r"actions lie in \[-1, 1\]"):
            refusing(torch.tensor([0, -1, 1]))
    with pytest.raises(ValueError, match="must be positive, got 0 and 100"):
        make_env("S.G", 0)
    with pytest.raises(ValueError, match="holds 3 instances, this environment 2"):
        make_env("S.G", 2).load_state_dict(env.state_dict())


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("slip", [0.0, 0.3])
def test_a_table_is_made_where_it_is_asked_for(device: str, slip: float):
    grid = Gridworld.named("bridge")
    assert grid.destinations(device).device.type == device
    mdp, plain = grid.mdp(slip=slip, device=device), grid.mdp(slip=slip)
    for field in dataclasses.fields(TabularMDP):
        made = getattr(mdp, field.name)
        assert made.device.type == device
        torch.testing.assert_close(made.cpu(), getattr(plain, field.name))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_same_transitions_as_the_cpu():
    mdp = Gridworld.named("four rooms").mdp()
    actions = torch.randint(4, (50, 64), generator=torch.Generator().manual_seed(0))
    observed = []
    for device in ("cpu", "cuda"):
        env = TabularEnv(mdp.to(device), 64, torch.Generator(device).manual_seed(0))
        env.reset()
        observed.append(torch.stack([env.step(a.to(device)).obs.cpu() for a in actions]))
    assert torch.equal(*observed)
