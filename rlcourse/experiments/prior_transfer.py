"""Does a prior learned on related tasks make a new task faster to learn?

Tasks are goals on one map. Several are solved exactly and turned into a prior (`grid_priors`), then
sampled soft Q-learning meets a goal that was held out. Compared are four priors for the same table,
learning rate and alpha: uniform, and learned on all other goals of the house, on those of the same
room, and on those of another room. Each is measured on several held-out goals.

The measure is exact: every few steps the current policy of each seed is evaluated by a linear
solve, so a curve holds no sampling noise but that of learning.

Source: the transfer experiments of Tirumala et al. (arXiv 2010.14274), of which this is the tabular
analogue. Deviations: a table and exact pre-training tasks; the prior is fixed while the new task is
learned.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from rlcourse.envs.gridworld import Gridworld
from rlcourse.envs.tabular_env import TabularEnv
from rlcourse.experiments.reference import Curve, curve_of
from rlcourse.klrl import grid_priors, soft_q, tabular
from rlcourse.ops.kl import boltzmann_log_policy
from rlcourse.ops.targets import soft_q_learning_target
from rlcourse.run.evaluate import Interval, interval
from rlcourse.run.loop import run_loop
from rlcourse.run.record import Record, load_config, load_metrics
from rlcourse.viz.curves import plot_curves, plot_reference
from rlcourse.viz.style import PALETTE, SIZES

COLORS = {
    "uniform": PALETTE["uniform prior"],
    "whole house": PALETTE["expert"],
    "same room": PALETTE["learned prior"],
    "other room": PALETTE["ablation"],
}
LABELS = {
    "uniform": "uniform prior",
    "whole house": "learned all over the house",
    "same room": "learned in the same room",
    "other room": "learned in another room",
}


@dataclass(frozen=True)
class Config:
    """One comparison. The paper has no tabular experiment; every value is our own setting."""

    map: str = "four rooms"
    same_room: tuple[int, int, int, int] = (8, 11, 7, 11)  # rows from, to, columns from, to
    other_room: tuple[int, int, int, int] = (7, 11, 1, 5)
    held_out: tuple[tuple[int, int], ...] = ((8, 7), (8, 11), (10, 9), (11, 7), (11, 11))
    priors: tuple[str, ...] = ("uniform", "whole house", "same room", "other room")
    num_tasks: int | None = None  # goals that a prior is learned on; None takes all of its room
    num_seeds: int = 20
    num_episodes: int = 300
    max_steps: int = 100  # of an episode; the shortest way takes 13 to 20
    alpha: float = 0.02  # of the new task
    prior_alpha: float = 0.1  # of the tasks that a prior is learned on: larger, so that it is open
    discount: float = 0.97
    learning_rate: float = 0.5
    evaluate_every: int = 100  # environment steps
    threshold: float = 0.8  # of the best possible return
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("num_seeds", "num_episodes", "max_steps", "evaluate_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.num_tasks is not None and self.num_tasks < 1:
            raise ValueError(f"num_tasks must be at least 1, or None for all, got {self.num_tasks}")
        if not 0.0 < self.prior_alpha < math.inf:
            raise ValueError(f"prior_alpha must be positive and finite, got {self.prior_alpha}")
        if unknown := set(self.priors) - set(LABELS):
            raise ValueError(f"unknown priors {sorted(unknown)}: there are {list(LABELS)}")
        self.learner()

    def learner(self) -> soft_q.Config:
        """The settings of the learner, which checks them."""
        return soft_q.Config(self.alpha, self.discount, self.learning_rate)


PRESETS = {
    "smoke": Config(num_seeds=2, num_episodes=3, held_out=((8, 7), (11, 11))),
    "laptop": Config(),
    "paper": Config(
        num_seeds=100, held_out=tuple((row, column) for row in range(8, 12) for column in (8, 11))
    ),
}


def free_cells(grid: Gridworld, room: tuple[int, int, int, int]) -> list[tuple[int, int]]:
    """The cells of a rectangle (rows from, to, columns from, to; inclusive) that may be a goal."""
    top, bottom, left, right = room
    bare = grid.with_goals(())
    return [
        (row, column)
        for row, column in (bare.cells[state] for state in bare.states_of("."))
        if top <= row <= bottom and left <= column <= right
    ]


def make_prior(config: Config, name: str, held_out: tuple[int, int]) -> Tensor:
    """log pi_0 [S, A] for a held-out goal, which no prior has seen.

    Raises:
        ValueError: for a name that is not in `LABELS`.
    """
    grid = Gridworld.named(config.map)
    if name == "uniform":
        return grid_priors.uniform(grid)
    rooms = {
        "whole house": (0, grid.height - 1, 0, grid.width - 1),
        "same room": config.same_room,
        "other room": config.other_room,
    }
    if name not in rooms:
        raise ValueError(f"no prior is called {name!r}; there are {list(LABELS)}")
    goals = [cell for cell in free_cells(grid, rooms[name]) if cell != held_out]
    if config.num_tasks is not None and config.num_tasks < len(goals):
        goals = [goals[i * len(goals) // config.num_tasks] for i in range(config.num_tasks)]
    return grid_priors.from_tasks(grid, goals, config.prior_alpha, config.discount)


def run(
    config: Config,
    folder: Path,
    *,
    policy: Callable[..., Tensor] = boltzmann_log_policy,
    target: Callable[..., Tensor] = soft_q_learning_target,
    progress: bool = True,
    device: torch.device | str = "cpu",
) -> bool:
    """Runs, or resumes, every held-out goal, each in its own folder; False if interrupted.

    Args:
        config: what to compare.
        folder: receives config.json and one folder of metrics and checkpoint per goal.
        policy, target: the two pieces that the learner of notebook 01 writes; see `SoftQLearner`.
        progress: draw progress bars.
        device: where to compute.
    """
    Record(folder, config)
    pieces = {"policy": policy, "target": target}
    return all(
        _learn(config, _place(folder, held_out), held_out, pieces, progress, device)
        for held_out in config.held_out
    )


def _place(folder: Path, held_out: tuple[int, int]) -> Path:
    return folder / f"goal_{held_out[0]}_{held_out[1]}"


def _learn(
    config: Config,
    folder: Path,
    held_out: tuple[int, int],
    pieces: dict[str, Callable[..., Tensor]],
    progress: bool,
    device: torch.device | str,
) -> bool:
    """All priors and seeds of one goal, side by side in one batch; False if interrupted."""
    mdp = Gridworld.named(config.map).with_goals([held_out]).mdp().to(device)
    priors = torch.stack([make_prior(config, name, held_out) for name in config.priors])
    priors = priors.repeat_interleave(config.num_seeds, 0).to(device)  # [B, S, A]
    generators = [torch.Generator(device).manual_seed(config.seed + k) for k in (0, 1_000_003)]
    env = TabularEnv(mdp, len(priors), generators[0], config.max_steps)
    learner = soft_q.SoftQLearner(config.learner(), priors, len(priors), generators[1], **pieces)

    def evaluate(step: int) -> dict[str, Tensor]:
        value = tabular.evaluate_policy(mdp, learner.log_policy().double(), config.discount)
        return {"value": tabular.start_value(mdp, value), "episodes": env.num_episodes}

    def finished() -> bool:
        return int(env.num_episodes.min()) >= config.num_episodes

    record = Record(folder, {"held_out": held_out})
    num_done = run_loop(
        env,
        learner,
        num_steps=config.num_episodes * (config.max_steps + 1),
        record=record,
        checkpoint_path=folder / "checkpoint.pt",
        evaluate=evaluate,
        evaluate_every=config.evaluate_every,
        until=finished,
        progress=progress,
        label=f"goal {held_out}",
    )
    if finished() and record.last_step < num_done:
        record.write(num_done, evaluate(num_done))
    return finished()


class Result(NamedTuple):
    """What a finished run says."""

    episodes: np.ndarray  # [E] 0 .. num_episodes
    value: dict[str, np.ndarray]  # prior -> [goals, R, E] share of the best possible return
    needed: dict[str, np.ndarray]  # prior -> [goals, R] episodes until the threshold; nan if never


def load(folder: Path) -> Result:
    """Reads a finished run.

    Raises:
        FileNotFoundError: a goal has not been run.
        ValueError: a run was interrupted; run the experiment again to go on.
    """
    config = _config(folder)
    shares = np.stack([_share_of_best(config, folder, goal) for goal in config.held_out], axis=1)
    reached = shares >= config.threshold  # [priors, goals, R, E]
    needed = np.where(reached.any(-1), reached.argmax(-1), np.nan)
    return Result(
        np.arange(config.num_episodes + 1),
        dict(zip(config.priors, shares, strict=True)),
        dict(zip(config.priors, needed, strict=True)),
    )


def _config(folder: Path) -> Config:
    fields = load_config(folder)
    for name in ("same_room", "other_room", "priors"):
        fields[name] = tuple(fields[name])
    fields["held_out"] = tuple(map(tuple, fields["held_out"]))
    return Config(**fields)


def _share_of_best(config: Config, folder: Path, held_out: tuple[int, int]) -> np.ndarray:
    """[priors, R, E] the exact return after e episodes, over the best possible return.

    Between two evaluations it is interpolated over the episodes finished by then.
    """
    metrics = load_metrics(_place(folder, held_out))
    if "episodes" not in metrics or metrics["episodes"][-1].min() < config.num_episodes:
        raise ValueError(
            f"the run in {folder} was interrupted: run it again, it goes on from there"
        )
    value, finished = metrics["value"].T, metrics["episodes"].T  # [B, rows]
    mdp = Gridworld.named(config.map).with_goals([held_out]).mdp()
    best = float(tabular.start_value(mdp, tabular.optimal_value(mdp, config.discount)))
    episodes = np.arange(config.num_episodes + 1)
    runs = zip(finished, value, strict=True)
    shares = np.stack([np.interp(episodes, *_last_of_each(*run)) for run in runs]) / best
    return shares.reshape(len(config.priors), config.num_seeds, -1)


def _last_of_each(count: np.ndarray, returns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the evaluations at the same number of episodes, the last."""
    last = np.append(np.flatnonzero(np.diff(count)), len(count) - 1)
    return count[last], returns[last]


def reference_curves(folder: Path) -> dict[str, Curve]:
    """What is shipped in data/curves: one curve per prior, averaged over goals."""
    result = load(folder)
    return {name: curve_of(result.episodes, runs.mean(0)) for name, runs in result.value.items()}


def episodes_needed(folder: Path) -> dict[str, Interval]:
    """Mean episodes until the threshold, averaged over goals, with intervals over seeds.

    A run that never gets there counts as the number of episodes it had.
    """
    limit = _config(folder).num_episodes
    needed = load(folder).needed
    return {name: interval(np.nan_to_num(runs, nan=limit).mean(0)) for name, runs in needed.items()}


def table(folder: Path) -> str:
    """The episodes needed as text: the mean with its interval, then each goal's mean."""
    config, result = _config(folder), load(folder)
    goals = "".join(f"{goal!s:>9}" for goal in config.held_out)
    title = f"episodes until {config.threshold:.0%}"
    lines = [f"{title:28}{'mean':>6}{'95% interval':>17}{goals}"]
    for name, found in episodes_needed(folder).items():
        each = "".join(_or_never(runs, config.num_episodes) for runs in result.needed[name])
        span = f"[{found.low:.0f}, {found.high:.0f}]"
        lines.append(f"{LABELS[name]:28}{found.mean:6.0f}{span:>17}{each}")
    return "\n".join(lines)


def _or_never(runs: np.ndarray, limit: int) -> str:
    if np.isnan(runs).all():
        return f"{'never':>9}"
    return f"{np.nan_to_num(runs, nan=limit).mean():9.0f}"


def plot(folder: Path, reference: dict[str, Curve] | None = None) -> Figure:
    """Learning curves of each prior, over the shipped ones where given."""
    result, config = load(folder), _config(folder)
    figure = Figure(figsize=SIZES["wide"], layout="constrained")
    curves, bars = figure.subplots(1, 2, width_ratios=(2, 1))
    for curve in (reference or {}).values():
        label = "dashed: shipped"
        plot_reference(curves, curve.x, curve.mean, curve.low, curve.high, label)
    for name, runs in result.value.items():
        plot_curves(
            curves,
            result.episodes,
            runs.mean(0),
            LABELS[name],
            COLORS[name],
            x_label="episodes of the new task",
            y_label="return / best return",
        )
    curves.axhline(config.threshold, color=PALETTE["muted"], linewidth=0.8, linestyle=":")
    curves.set_title(f"{len(config.held_out)} new goals, {config.num_seeds} seeds each")
    if reference:
        curves.legend(handles=[curves.get_lines()[0]], loc=(0.5, 0.42))
    _plot_needed(bars, episodes_needed(folder), config)
    return figure


def _plot_needed(ax: Axes, needed: dict[str, Interval], config: Config) -> None:
    for place, (name, found) in enumerate(needed.items()):
        spread = [[found.mean - found.low], [found.high - found.mean]]
        ax.barh(place, found.mean, color=COLORS[name], height=0.6)
        ax.errorbar(found.mean, place, xerr=spread, color=PALETTE["text"], capsize=3)
        text = f"{found.mean:.0f}"
        inside = found.mean > 0.8 * config.num_episodes
        color, shift = ("white", -8) if inside else (PALETTE["text"], 8)
        ax.annotate(
            text,
            (float(found.low if inside else found.high), place),
            (shift, 0),
            textcoords="offset points",
            ha="right" if inside else "left",
            va="center",
            color=color,
        )
    ax.set_yticks(range(len(needed)), [LABELS[name] for name in needed])
    for tick, name in zip(ax.get_yticklabels(), needed, strict=True):
        tick.set_color(COLORS[name])
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("episodes of the new task")
    ax.set_title(f"Until {config.threshold:.0%} of the best")
