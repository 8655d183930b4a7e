"""Several problems in one: side by side, remembering the last action, and families of maps."""

import pytest
import torch

from rlcourse.envs.grid_families import cell_features, four_rooms_family
from rlcourse.envs.gridworld import Gridworld
from rlcourse.envs.mdp import remembering_action, side_by_side
from rlcourse.envs.tabular_env import TabularEnv
from rlcourse.klrl import tabular

RIGHT = 1
SMALL, LARGE = Gridworld.from_ascii("S.G"), Gridworld.from_ascii("G..\n..S")


def random_log_policy(num_states: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(num_states, 4, generator=generator, dtype=torch.float64).log_softmax(-1)


def test_tasks_side_by_side_keep_their_values():
    tasks = [SMALL.mdp(), LARGE.mdp(goal_reward=3.0, slip=0.2)]  # other sizes, other successors
    joint = side_by_side(tasks)
    assert (joint.num_states, joint.successors.shape[2]) == (3 + 6, 4)
    log_policy = random_log_policy(9)
    together = tabular.evaluate_policy(joint, log_policy, 0.9)
    alone = [
        tabular.evaluate_policy(task, part, 0.9)
        for task, part in zip(tasks, log_policy.split([3, 6]), strict=True)
    ]
    assert torch.allclose(together, torch.cat(alone))
    assert joint.initial.tolist() == pytest.approx([0.5, 0, 0, 0, 0, 0, 0, 0, 0.5])


def test_tasks_without_common_actions_do_not_fit_side_by_side():
    from rlcourse.envs.probes import probes

    with pytest.raises(ValueError, match=r"one number of actions: got \[2, 4\] from 2 tasks"):
        side_by_side([SMALL.mdp(), probes()[0].mdp])
    with pytest.raises(ValueError, match=r"got \[\] from 0 tasks"):
        side_by_side([])


def test_remembering_the_action_changes_no_value():
    mdp = LARGE.mdp(slip=0.3)
    seen = remembering_action(mdp)
    log_policy = random_log_policy(mdp.num_states)
    value = tabular.evaluate_policy(seen, log_policy.repeat(5, 1), 0.9)
    assert torch.allclose(
        value.unflatten(0, (5, -1)), tabular.evaluate_policy(mdp, log_policy, 0.9)
    )
    assert float(tabular.start_value(seen, value)) == pytest.approx(
        float(tabular.start_value(mdp, value[: mdp.num_states]))
    )


def test_the_remembered_action_is_the_one_that_led_there():
    seen = remembering_action(SMALL.mdp())
    assert seen.successors[0, RIGHT].item() == (RIGHT + 1) * 3 + 1
    # Turn back at once after a step right: the walk to the goal takes two in a row.
    turning = torch.full((15, 4), 1e-12, dtype=torch.float64)
    turning[:, RIGHT] = 1.0
    turning[(RIGHT + 1) * 3 + 1] = torch.tensor([1e-12, 1e-12, 1e-12, 1.0], dtype=torch.float64)
    value = tabular.evaluate_policy(seen, turning.log(), 0.9)
    assert float(tabular.start_value(seen, value)) == pytest.approx(0.0, abs=1e-6)


def test_every_instance_starts_and_stays_in_its_task():
    tasks = [SMALL.mdp(), LARGE.mdp(), SMALL.with_cell(0, 1, "S").mdp()]
    starts = torch.block_diag(*(task.initial.unsqueeze(0) for task in tasks)).repeat(4, 1)
    env = TabularEnv(side_by_side(tasks), 12, torch.Generator().manual_seed(0), 5, starts)
    first, last = torch.tensor([0, 3, 9] * 4), torch.tensor([2, 8, 11] * 4)
    step, seen = env.reset(), set()
    generator = torch.Generator().manual_seed(1)
    for _ in range(60):
        assert bool(((step.obs >= first) & (step.obs <= last)).all())
        seen |= set(step.obs[step.is_first].tolist())
        step = env.step(torch.randint(4, (12,), generator=generator))
    assert seen == {0, 8, 9, 10}  # the starts of the three tasks


def test_starts_of_a_wrong_shape_are_refused():
    with pytest.raises(ValueError, match=r"initial must be \[B, S\] = \[2, 3\], got \[3, 3\]"):
        TabularEnv(SMALL.mdp(), 2, torch.Generator(), initial=torch.eye(3, dtype=torch.float64))


def test_a_family_has_maps_of_one_size_with_doors_and_goals_of_their_own():
    family = four_rooms_family(30, 3, torch.Generator().manual_seed(0))
    assert {(grid.height, grid.width, len(grid.cells)) for grid in family} == {(9, 9, 4 * 9 + 4)}
    assert len(set(family)) > 25
    for grid in family:
        assert {grid.cells[state] for state in grid.states_of("S")} == {
            (row, column) for row in (1, 2, 3) for column in (1, 2, 3)
        }
        ((row, column),) = (grid.cells[state] for state in grid.states_of("G"))
        assert row >= 5
        assert column >= 5
        best = tabular.optimal_value(grid.mdp(), 0.9)
        assert bool((best[list(grid.start_states)] > 0.1).all())  # the goal can be reached
    again = four_rooms_family(30, 3, torch.Generator().manual_seed(0))
    assert family == again


def test_cell_features_are_place_and_walls_but_not_the_goal():
    grid = Gridworld.from_ascii("S.#\n..G")
    features = cell_features([grid, grid], view=1)
    assert features.shape == (10, 2 + 3 + 8)
    place, walls = features[1].split([5, 8])  # row 0, column 1
    assert place.tolist() == [1, 0, 0, 1, 0]
    assert walls.tolist() == [1, 1, 1, 0, 1, 0, 0, 0]
    assert torch.equal(features[:5], features[5:])
    elsewhere = grid.with_goals([(1, 0)])
    assert torch.equal(cell_features([elsewhere], view=1), features[:5])


def test_bad_families_are_refused():
    with pytest.raises(ValueError, match="at least 1, got 0 and 3"):
        four_rooms_family(0, 3, torch.Generator())
    with pytest.raises(ValueError, match=r"one size, got .*\(1, 3\), \(2, 3\)"):
        cell_features([SMALL, LARGE])
