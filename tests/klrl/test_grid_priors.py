import pytest
import torch

from rlcourse.envs.gridworld import ACTIONS, MAPS, Gridworld
from rlcourse.klrl import grid_priors
from rlcourse.klrl.tabular import soft_value_iteration, start_value, visitation

HALL = Gridworld.from_ascii("""
    #######
    #S....#
    #.....#
    #.....#
    #....G#
    #######""")
PRIORS = {
    "uniform": grid_priors.uniform,
    "along_walls": grid_priors.along_walls,
    "from_tasks": lambda grid: grid_priors.from_tasks(grid, grid_priors.other_goals(grid, 3)),
}


def move_probability(grid, log_prior, cell, move):
    return float(log_prior[grid.state_at[cell], ACTIONS.index(move)].exp())


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("prior", PRIORS)
def test_priors_are_distributions_with_full_support(name, prior):
    grid = Gridworld.named(name)
    log_prior = PRIORS[prior](grid)
    assert log_prior.shape == (len(grid.cells), len(ACTIONS))
    assert log_prior.isfinite().all()
    torch.testing.assert_close(log_prior.exp().sum(-1), torch.ones(len(grid.cells)).double())


def test_along_walls_follows_walls_and_does_not_bump():
    log_prior = grid_priors.along_walls(HALL, strength=2.0, bump=0.01)
    bumps = HALL.destinations() == torch.arange(len(HALL.cells)).unsqueeze(1)
    expected = torch.full((int(bumps.sum()),), 0.0025).double()
    torch.testing.assert_close(log_prior[bumps].exp(), expected)
    along = move_probability(HALL, log_prior, (1, 3), "right")
    inward = move_probability(HALL, log_prior, (1, 3), "down")
    # 0.99 e^2 / (2 e^2 + 1) + 0.0025 and 0.99 / (2 e^2 + 1) + 0.0025
    assert along == pytest.approx(0.466127, abs=1e-6)
    assert inward == pytest.approx(0.065245, abs=1e-6)


def test_along_walls_crosses_the_opening_of_a_door():
    grid = Gridworld.named("four rooms")
    log_prior = grid_priors.along_walls(grid)
    onward = move_probability(grid, log_prior, (2, 5), "down")
    assert onward > 2 * move_probability(grid, log_prior, (2, 5), "left")


def test_along_walls_without_strength_is_uniform_over_free_moves():
    log_prior = grid_priors.along_walls(HALL, strength=0.0, bump=1e-9)
    assert move_probability(HALL, log_prior, (1, 1), "right") == pytest.approx(0.5, abs=1e-6)
    assert move_probability(HALL, log_prior, (2, 2), "right") == pytest.approx(0.25, abs=1e-6)


def test_along_walls_in_an_enclosed_cell_is_uniform():
    grid = Gridworld.from_ascii("#####\n#S#G#\n#####")
    expected = torch.full((2, 4), 0.25).double()
    torch.testing.assert_close(grid_priors.along_walls(grid).exp(), expected)


@pytest.mark.parametrize("bad", [{"bump": 0.0}, {"bump": 1.0}, {"strength": float("nan")}])
def test_along_walls_refuses_bad_numbers(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        grid_priors.along_walls(HALL, **bad)


def test_one_task_gives_its_own_optimal_policy():
    goal = (4, 1)
    log_prior = grid_priors.from_tasks(HALL, [goal], 0.1, 0.9, tolerance=1e-8)
    task = HALL.with_goals([goal]).mdp()
    solution = soft_value_iteration(task, grid_priors.uniform(HALL), 0.1, 0.9)
    acting = task.continues > 0
    torch.testing.assert_close(log_prior[acting], solution.log_policy[acting])
    terminal = HALL.state_at[goal]
    torch.testing.assert_close(log_prior[terminal].exp(), torch.full((4,), 0.25).double())


def test_mixture_is_weighted_by_visitation():
    goals, alpha, discount = [(1, 5), (4, 1)], 0.05, 0.9
    tasks = [HALL.with_goals([goal]).mdp() for goal in goals]
    uniform = grid_priors.uniform(HALL)
    policies = [soft_value_iteration(t, uniform, alpha, discount).log_policy for t in tasks]
    visits = [visitation(t, p, discount) for t, p in zip(tasks, policies, strict=True)]
    found = grid_priors.from_tasks(HALL, goals, alpha, discount, tolerance=1e-8).exp()
    for cell in [(1, 1), (2, 3), (1, 3), (3, 1)]:
        s = HALL.state_at[cell]
        weights = torch.stack([v[s] for v in visits])
        weights = weights / weights.sum()
        expected = sum(w * p[s].exp() for w, p in zip(weights, policies, strict=True))
        torch.testing.assert_close(found[s], expected)


def test_solved_tasks_are_those_solved_alone():
    goals, discount, alpha = ((1, 5), (4, 1)), 0.95, 0.1
    tasks = [HALL.with_goals([goal]).mdp() for goal in goals]
    log_prior = grid_priors.uniform(HALL)
    log_policy, acting = grid_priors.solve_tasks(tasks, log_prior, alpha, discount, 1e-10)
    for i, (task, goal) in enumerate(zip(tasks, goals, strict=True)):
        alone = soft_value_iteration(task, log_prior, alpha, discount, tolerance=1e-10).log_policy
        torch.testing.assert_close(log_policy[i], alone)
        expected = visitation(task, alone, discount)
        expected[HALL.state_at[goal]] = 0.0
        torch.testing.assert_close(acting[i], expected, atol=1e-9, rtol=1e-6)


def test_the_learned_prior_is_the_best_of_ours_for_its_tasks():
    grid = Gridworld.named("four rooms")
    goals, alpha, discount = grid_priors.other_goals(grid, 6, within=4), 0.05, 0.97
    priors = {
        "learned": grid_priors.from_tasks(grid, goals, alpha, discount),
        "uniform": grid_priors.uniform(grid),
        "walls": grid_priors.along_walls(grid),
    }
    objective = dict.fromkeys(priors, 0.0)
    for goal in [*goals, (11, 11)]:  # the last one is new
        task = grid.with_goals([goal]).mdp()
        for name, log_prior in priors.items():
            solution = soft_value_iteration(task, log_prior, alpha, discount, tolerance=1e-6)
            objective[name] += float(start_value(task, solution.value)) / 7
    assert objective["learned"] > 0.1 + max(objective["uniform"], objective["walls"])


@pytest.mark.parametrize(
    ("goals", "message"),
    [([], "at least one"), ([(0, 0)], r"\(0, 0\)"), ([(1, 1)], "floor"), ([(99, 1)], "floor")],
)
def test_from_tasks_refuses_bad_goals(goals, message):
    with pytest.raises(ValueError, match=message):
        grid_priors.from_tasks(HALL, goals)


def test_other_goals_are_reachable_floor_and_spread_out():
    grid = Gridworld.from_ascii("S...#.\n....#.\n...G#.")
    # (0, 2) is 2 from the start and 3 from the goal; of the cells left, (1, 1) is the first that is
    # 2 from all of them.
    assert grid_priors.other_goals(grid, 2) == ((0, 2), (1, 1))
    goals = grid_priors.other_goals(grid, 4)
    assert len(set(goals)) == 4
    assert all(grid.rows[row][column] == "." and column < 4 for row, column in goals)


def test_other_goals_stay_near_the_goal_and_run_out():
    grid = Gridworld.from_ascii("S....G")
    assert set(grid_priors.other_goals(grid, 9, within=2)) == {(0, 3), (0, 4)}
    assert grid_priors.other_goals(Gridworld.from_ascii("SG"), 3) == ()


def test_walking_distances_go_around_pits():
    grid = Gridworld.from_ascii("S.X.\n#...\n...#")
    distance = grid.to_grid(grid_priors.walking_distances(grid, [0]), fill=-1.0)
    inf = float("inf")
    assert distance.tolist() == [[0, 1, inf, 5], [-1, 2, 3, 4], [4, 3, 4, -1]]
