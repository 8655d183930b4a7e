"""Does a prior that is distilled while the tasks are learned make each of them faster to learn?

Two rooms are joined by a corridor. Each of the tasks has its goal in one room, and starts anywhere
in the other: half of them lead to the right, half to the left. Compared are four ways to learn them
all at once, by soft Q-learning with the same table, learning rate, alpha and beta (`klrl.distral`):
DISTRAL, DISTRAL with a prior that does not see the last action, separate agents, and one agent for
all tasks.

The measure is exact: every few steps the current policies of each seed are evaluated by linear
solves, so a curve holds no sampling noise but that of learning.

Source: the two-room experiment of Teh et al. 2017 (arXiv 1707.04175). Deviations: its map, goals,
rewards and starts are not known; these are ours. So are all settings but beta, the discount and the
learning rate, which are those that code which cites the paper lists for this experiment.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from rlcourse.envs.gridworld import ACTIONS, Gridworld
from rlcourse.envs.mdp import remembering_action
from rlcourse.experiments import multitask, settings
from rlcourse.experiments.reference import Curve
from rlcourse.klrl import distral, tabular
from rlcourse.run.checkpoint import load_checkpoint
from rlcourse.run.evaluate import Interval, interval
from rlcourse.run.record import Record, load_config
from rlcourse.viz.grids import draw_policy
from rlcourse.viz.style import PALETTE, SIZES

Room = tuple[int, int, int, int]  # rows from, to, columns from, to; inclusive
COLORS = {
    "distral": PALETTE["ours"],
    "distral, state only": PALETTE["ablation"],
    "separate": PALETTE["baseline"],
    "shared": PALETTE["failure"],
}
LABELS = {
    "distral": "DISTRAL",
    "distral, state only": "prior blind to the last action",
    "separate": "separate agents",
    "shared": "one agent for all",
}


def _other_room(rooms: tuple[Room, Room], goal: tuple[int, int]) -> Room:
    inside = [_is_inside(room, goal) for room in rooms]
    if sum(inside) != 1:
        raise ValueError(f"the goal {goal} must lie in one of the rooms {rooms}")
    return rooms[inside.index(False)]


def _is_inside(room: Room, cell: tuple[int, int]) -> bool:
    top, bottom, left, right = room
    return top <= cell[0] <= bottom and left <= cell[1] <= right


@dataclass(frozen=True)
class Config:
    """One comparison. Values without a source are our own settings."""

    methods: tuple[str, ...] = tuple(LABELS)
    map: str = "two rooms"
    rooms: tuple[Room, Room] = ((1, 4, 1, 4), (1, 4, 9, 12))
    goals: tuple[tuple[int, int], ...] = (
        (1, 9), (1, 12), (4, 10), (4, 12), (1, 2), (4, 1), (1, 4), (3, 1),
    )  # fmt: skip
    goal_reward: float = 50.0  # only its product with beta matters
    num_seeds: int = 20
    num_steps: int = 20_000  # in every task
    max_steps: int = 400  # of an episode
    alpha: float = 0.5
    beta: float = 5.0  # listed by code that cites the paper
    discount: float = 0.95  # listed by code that cites the paper
    learning_rate: float = 0.1  # listed by code that cites the paper
    forgetting: float = 0.01
    center_entropy: bool = True
    evaluate_every: int = 400  # steps
    threshold: float = 0.8  # of the best possible return
    seed: int = 0

    def __post_init__(self) -> None:
        settings.check_names(self, "methods")
        settings.check_counts(self, "num_seeds", "num_steps", "max_steps", "evaluate_every")
        settings.check_measure(self)
        for method in self.methods:
            self.learner(method)
        Gridworld.named(self.map)
        if not self.goals:
            raise ValueError("goals must name at least one goal: each is a task")
        for goal in self.goals:
            _other_room(self.rooms, goal)

    def learner(self, method: str) -> distral.Config:
        """The learner's settings for one of the methods in `LABELS`."""
        if method not in LABELS:
            raise ValueError(f"no method is called {method!r}; there are {list(LABELS)}")
        return distral.Config(
            sharing=method if method in distral.SHARING else "distral",
            alpha=self.alpha,
            beta=self.beta,
            discount=self.discount,
            learning_rate=self.learning_rate,
            prior_sees_action=method == "distral",
            forgetting=self.forgetting,
            center_entropy=self.center_entropy,
        )


PRESETS = {
    "smoke": Config(num_seeds=2, num_steps=200, max_steps=50, evaluate_every=100),
    "laptop": Config(),
    # A larger run of the same: the sizes of the paper's own run are not known here.
    "paper": Config(num_seeds=100, num_steps=40_000),
}


def tasks_of(config: Config) -> list[Gridworld]:
    """The map of each task: its goal, and a start in every cell of the other room.

    Raises:
        ValueError: for a goal in neither room.
    """
    bare = Gridworld(tuple(row.replace("S", ".") for row in Gridworld.named(config.map).rows))
    starts = [_other_room(config.rooms, goal) for goal in config.goals]
    return [
        _task(bare.with_goals([goal]), room)
        for goal, room in zip(config.goals, starts, strict=True)
    ]


def _task(grid: Gridworld, start_room: Room) -> Gridworld:
    for cell in grid.cells:
        if _is_inside(start_room, cell):
            grid = grid.with_cell(*cell, "S")
    return grid


def run(
    config: Config,
    folder: Path,
    *,
    policy: Callable[..., Tensor] = distral.distral_log_policy,
    value: Callable[..., Tensor] = distral.distral_value,
    prior: Callable[..., Tensor] = distral.distilled_log_prior,
    progress: bool = True,
    device: torch.device | str = "cpu",
) -> bool:
    """Runs, or resumes, every method, each in its own folder; False if interrupted.

    Args:
        config: what to compare.
        folder: receives config.json and one folder of metrics and checkpoint per method.
        policy, value, prior: the pieces that the learner of notebook 02 writes; see
            `distral.TabularDistral`.
        progress: draw progress bars.
        device: where to compute.
    """
    Record(folder, config)
    pieces = (policy, value, prior)
    return all(
        _learn(config, method, folder, pieces, progress, device) for method in config.methods
    )


def _learn(
    config: Config,
    method: str,
    folder: Path,
    pieces: tuple[Callable[..., Tensor], ...],
    progress: bool,
    device: torch.device | str,
) -> bool:
    """All seeds of one method, side by side in one batch; False if interrupted."""
    mdps = [grid.mdp(goal_reward=config.goal_reward).to(device) for grid in tasks_of(config)]
    best = multitask.best_returns(mdps, config.discount)
    generators = [torch.Generator(device).manual_seed(config.seed + k) for k in (0, 1_000_003)]
    env = multitask.environment(mdps * config.num_seeds, 1, generators[0], config.max_steps)
    sizes = (config.num_seeds, len(mdps), mdps[0].num_states, mdps[0].num_actions)
    learner_config = config.learner(method)
    learner = distral.TabularDistral(learner_config, *sizes, generators[1], *pieces)
    seen = [remembering_action(mdp) if learner_config.prior_sees_action else mdp for mdp in mdps]

    def evaluate(_: int) -> dict[str, Tensor]:
        log_policy = learner.log_policy().double().flatten(2, 3)  # [B, M, C * S, A]
        values = [
            tabular.evaluate_policy(task, log_policy[:, i], config.discount)
            for i, task in enumerate(seen)
        ]
        returns = [tabular.start_value(t, v) for t, v in zip(seen, values, strict=True)]
        return {"share": (torch.stack(returns, -1) / best).flatten()}

    return multitask.learn(config, method, folder, env, learner, evaluate, LABELS[method], progress)


def load(folder: Path) -> multitask.Result:
    """Reads a finished run; errors as `multitask.load`."""
    config = _config(folder)
    counts = (config.num_seeds, config.num_steps, config.threshold)
    return multitask.load(folder, config.methods, *counts)


def _config(folder: Path) -> Config:
    fields = load_config(folder)
    fields["methods"] = tuple(fields["methods"])
    for name in ("rooms", "goals"):
        fields[name] = tuple(map(tuple, fields[name]))
    return Config(**fields)


def load_log_prior(folder: Path, method: str = "distral") -> Tensor:
    """log pi_0 [B, C, S, A] at the end of a run; see `distral.TabularDistral.log_prior`."""
    counts = load_checkpoint(multitask.place(folder, method) / "checkpoint.pt")["agent"]["counts"]
    return distral.distilled_log_prior(counts, _config(folder).learner(method).pseudo_count)


def reference_curves(folder: Path) -> dict[str, Curve]:
    """What is shipped in data/curves; see `multitask.reference_curves`."""
    return multitask.reference_curves(load(folder))


def steps_needed(folder: Path) -> dict[str, Interval]:
    """Mean steps until a task is learned; see `multitask.steps_needed`."""
    return multitask.steps_needed(load(folder))


def corridor_crossings(folder: Path, method: str = "distral") -> dict[str, Interval]:
    """Probability that the prior alone, once in the corridor, goes straight through, each way."""
    config, prior = _config(folder), load_log_prior(folder, method).exp()
    grid = tasks_of(config)[0]
    corridor = [c for c in grid.cells if not any(_is_inside(room, c) for room in config.rooms)]
    states = [grid.state_at[cell] for cell in corridor]
    crossings = {}
    for name in ("right", "left"):
        action = ACTIONS.index(name)
        context = action + 1 if prior.shape[1] > 1 else 0
        crossings[name] = interval(prior[:, context, states, action].prod(-1))
    return crossings


def plot(folder: Path, reference: dict[str, Curve] | None = None) -> Figure:
    """Learning curves, steps needed, and the distilled prior after a step right and a step left."""
    result, config = load(folder), _config(folder)
    width, height = SIZES["wide"]
    figure = Figure(figsize=(width, 1.6 * height), layout="constrained")
    axes = figure.subplot_mosaic("AAAABB;CCCDDD", height_ratios=(3, 2))
    look = (config.threshold, LABELS, COLORS)
    shipped = f"{PRESETS['laptop'].num_seeds} seeds"
    multitask.plot_shares(axes["A"], result, *look, reference, shipped)
    multitask.plot_needed(axes["B"], result, *look)
    if "distral" in config.methods:
        _plot_priors(axes["C"], axes["D"], folder)
    return figure


def _plot_priors(right: Axes, left: Axes, folder: Path) -> None:
    """The prior of the first seed, for two last actions, on the map without goals."""
    prior = load_log_prior(folder)[0].exp()
    grid = Gridworld(
        tuple(row.translate(str.maketrans("SG", "..")) for row in tasks_of(_config(folder))[0].rows)
    )
    for ax, name in ((right, "right"), (left, "left")):
        draw_policy(ax, grid, prior[ACTIONS.index(name) + 1])
        ax.set_title(f"Distilled prior after a step {name}")
