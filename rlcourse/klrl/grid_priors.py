"""Priors pi_0(a|s) on gridworlds, as log-probabilities [S, A] with full support.

Source of `from_tasks`: Tirumala et al., "Behavior Priors for Efficient Reinforcement Learning"
(arXiv 2010.14274). Of all priors that see the state but not the task w, the one that maximizes the
KL-regularized objective averaged over tasks is the posterior-weighted mixture of their policies,

    pi_0(a|s) = sum_w p(w|s) pi_w(a|s),    p(w|s) proportional to p(w) d_w(s),           (prior)

where d_w is the discounted state visitation under pi_w. The tasks here are one map with different
goals, all equally likely. Only walls decide how the cells are numbered, so the tasks share states.

Deviations: the paper alternates between policies and prior; here the policies are solved once, from
the uniform prior.
"""

import math
from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from rlcourse.envs.gridworld import Gridworld
from rlcourse.envs.mdp import TabularMDP, side_by_side
from rlcourse.klrl.tabular import soft_value_iteration, uniform_log_prior, visitation
from rlcourse.ops.mixtures import optimal_log_prior

# The linear solve behind d_w is exact to about 1e-16 of its largest entry; below this it is noise.
_SMALLEST_VISITATION = 1e-12


def uniform(grid: Gridworld, dtype: torch.dtype = torch.float64) -> Float[Tensor, "S A"]:
    """All four moves equally likely."""
    return uniform_log_prior(grid.mdp(dtype=dtype))


def along_walls(
    grid: Gridworld,
    strength: float = 2.0,
    bump: float = 0.01,
    dtype: torch.dtype = torch.float64,
) -> Float[Tensor, "S A"]:
    """Prefers moves that end beside a wall, and does not bump into walls.

    A cell is beside a wall when one of its eight neighbors is a wall or off the map. Counting the
    diagonal ones lets the prior follow a wall past the opening of a door.

    Args:
        grid: the map.
        strength: log-odds, in nats, of a move that ends beside a wall against one that does not.
        bump: probability in (0, 1) spread evenly over all four moves; it alone supports the moves
            that lead nowhere.
        dtype: of the result.

    Raises:
        ValueError: for a bump outside (0, 1) or a strength that is not finite.
    """
    if not 0.0 < bump < 1.0:
        raise ValueError(f"bump is a probability between 0 and 1, got {bump}")
    if not math.isfinite(strength):
        raise ValueError(f"strength must be finite, got {strength}")
    destinations = grid.destinations()  # [S, A]
    beside_wall = torch.tensor([_beside_wall(grid, *cell) for cell in grid.cells], dtype=dtype)
    leads_nowhere = destinations == torch.arange(len(grid.cells)).unsqueeze(1)
    enclosed = leads_nowhere.all(-1, keepdim=True)
    logits = strength * beside_wall[destinations]
    moves = logits.masked_fill(leads_nowhere & ~enclosed, -math.inf).softmax(-1)
    return ((1.0 - bump) * moves + bump / moves.shape[-1]).log()


def from_tasks(
    grid: Gridworld,
    goals: Iterable[tuple[int, int]],
    alpha: float = 0.05,
    discount: float = 0.97,
    dtype: torch.dtype = torch.float64,
    tolerance: float = 1e-6,
) -> Float[Tensor, "S A"]:
    """The prior learned from other tasks, the map with each of these goals. (prior)

    Each task is solved exactly from the uniform prior, all in one call.

    Args:
        grid: the map; its own goals are taken away in every task.
        goals: (row, column) of the goal of each task.
        alpha: of the tasks, in units of reward per nat; the smaller, the more decided the prior.
        discount: gamma, of the tasks and of the visitation.
        dtype: of the result.
        tolerance: of the tasks' values.

    Returns:
        log pi_0 [S, A]; uniform in cells where no task ever acts.

    Raises:
        ValueError: without a goal, or for a goal that is not on a floor cell.
    """
    cells = list(goals)
    if not cells:
        raise ValueError("a prior is learned from at least one task: give at least one goal cell")
    bare = grid.with_goals(())
    for cell in cells:
        if cell not in bare.state_at or bare.rows[cell[0]][cell[1]] != ".":
            raise ValueError(f"the goal {cell} of a task must lie on a floor cell of the map")
    tasks = [bare.with_goals([cell]).mdp(dtype=dtype) for cell in cells]
    log_prior = uniform(grid, dtype)
    log_policy, acting = solve_tasks(tasks, log_prior, alpha, discount, tolerance)
    nobody_acts = acting.sum(0) == 0.0  # [S]
    mixture = optimal_log_prior(log_policy, acting, acting.new_ones(len(tasks)))
    return torch.where(nobody_acts.unsqueeze(-1), log_prior, mixture)


def solve_tasks(
    tasks: Sequence[TabularMDP],
    log_prior: Float[Tensor, "S A"],
    alpha: float,
    discount: float,
    tolerance: float = 1e-6,
) -> tuple[Float[Tensor, "M S A"], Float[Tensor, "M S"]]:
    """Each task's exact policy from one prior, and how often it acts in each state.

    Args:
        tasks: M problems with the same states and actions, solved in one call.
        log_prior: log pi_0 of them all.
        alpha: in units of reward per nat.
        discount: gamma, also of the visitation.
        tolerance: of the values.

    Returns:
        log pi_w, and d_w: 0 in terminal states, where no action is taken, and at least 1e-12 in
        all others.
    """
    repeated = log_prior.repeat(len(tasks), 1)
    together = side_by_side(list(tasks))
    solution = soft_value_iteration(together, repeated, alpha, discount, tolerance=tolerance)
    log_policy = solution.log_policy.unflatten(0, (len(tasks), -1))
    acting = [
        visitation(task, policy, discount).clamp(min=_SMALLEST_VISITATION) * task.continues
        for task, policy in zip(tasks, log_policy, strict=True)
    ]
    return log_policy, torch.stack(acting)


def other_goals(
    grid: Gridworld, num_tasks: int = 6, within: int | None = None
) -> tuple[tuple[int, int], ...]:
    """Goal cells (row, column) for tasks related to this map's own: spread out, never its own goal.

    Each is the floor cell farthest, in steps, from the map's starts, its goals and the cells chosen
    before it; of equally far ones the first, row by row.

    Args:
        grid: the map.
        num_tasks: how many to choose; the result is shorter, or empty, where the floor runs out.
        within: only cells at most this many steps from a goal of the map; None for all. Cells that
            cannot be walked to from a start are never chosen.
    """
    goals = grid.states_of("G")
    allowed = torch.tensor([grid.rows[row][column] == "." for row, column in grid.cells])
    allowed &= walking_distances(grid, grid.start_states).isfinite()
    if within is not None and goals:
        allowed &= walking_distances(grid, goals) <= within
    known = [*grid.states_of("S"), *goals] or [grid.start_states[0]]
    chosen: list[int] = []
    for _ in range(num_tasks):
        distance = walking_distances(grid, known + chosen)
        distance[distance.isinf()] = len(grid.cells)  # farther than any walk
        distance[~allowed] = 0.0
        farthest = int(distance.argmax())
        if distance[farthest] == 0.0:
            break
        chosen.append(farthest)
    return tuple(grid.cells[state] for state in chosen)


def walking_distances(grid: Gridworld, states: Iterable[int]) -> Float[Tensor, " S"]:
    """Number of moves between each cell and the nearest of `states`, around pits; else inf."""
    destinations = grid.destinations()
    distance = torch.full((len(grid.cells),), math.inf)
    distance[list(states)] = 0.0
    pits = list(grid.states_of("X"))
    while True:
        stepped = torch.minimum(distance, distance[destinations].amin(-1) + 1.0)
        stepped[pits] = distance[pits]
        if torch.equal(stepped, distance):
            return distance
        distance = stepped


def _beside_wall(grid: Gridworld, row: int, column: int) -> bool:
    around = ((row + down, column + right) for down in (-1, 0, 1) for right in (-1, 0, 1))
    return any(cell not in grid.state_at for cell in around)
