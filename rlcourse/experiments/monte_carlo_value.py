"""How many random walks until the mean return is near the true value?

Walkers move at random on a map; the mean of their discounted returns is compared with the exact
value of the uniform policy in the start state, which a linear solve gives. The error falls with
one over the square root of the number of walks.

Source: Monte Carlo prediction, Sutton and Barto 2018, section 5.1. Our own setting.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor
from tqdm.auto import tqdm

from rlcourse.envs.gridworld import Gridworld
from rlcourse.envs.tabular_env import TabularEnv
from rlcourse.experiments.reference import Curve, curve_of
from rlcourse.klrl import tabular
from rlcourse.ops import targets
from rlcourse.run.collect import collect
from rlcourse.run.record import Record, load_config, load_metrics
from rlcourse.types import Sequence
from rlcourse.viz.curves import plot_curves, plot_reference
from rlcourse.viz.style import PALETTE, SIZES


@dataclass(frozen=True)
class Config:
    """How many walks, of what length; our own setting."""

    map: str = "bridge"
    discount: float = 0.97
    num_steps: int = 300  # T; what lies beyond is worth less than 0.97^300
    walks: tuple[int, ...] = (1, 4, 16, 64, 256, 1024, 4096)
    num_seeds: int = 20
    step_reward: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.0 <= self.discount < 1.0:
            raise ValueError(f"discount must lie in [0, 1), got {self.discount}")
        if not self.walks or min(*self.walks, self.num_steps, self.num_seeds) < 1:
            raise ValueError(
                "walks, num_steps and num_seeds must be positive, got "
                f"{self.walks}, {self.num_steps}, {self.num_seeds}"
            )


PRESETS = {
    "smoke": Config(num_steps=60, walks=(1, 16, 64), num_seeds=3),
    "laptop": Config(),
    "paper": Config(walks=(1, 4, 16, 64, 256, 1024, 4096, 16384, 65536), num_seeds=100),
}


def package_returns(reward: Tensor, discount: Tensor) -> Tensor:
    """Discounted returns [T, B] that count nothing after the last row."""
    return targets.discounted_returns(reward, discount, torch.zeros_like(reward[0]))


def random_walks(config: Config, num_walks: int, seed: int) -> Sequence:
    """One walk per instance with uniformly drawn moves, [T, B]."""
    mdp = Gridworld.named(config.map).mdp(step_reward=config.step_reward)
    env = TabularEnv(mdp, num_walks, torch.Generator().manual_seed(seed), max_steps=10**6)
    moves = torch.Generator().manual_seed(seed + 1_000_003)

    def act(step) -> tuple[Tensor, Tensor]:
        action = torch.randint(mdp.num_actions, (num_walks,), generator=moves)
        return action, torch.full((num_walks,), -math.log(mdp.num_actions))

    return collect(env, act, config.num_steps)[0]


def mean_by_state(walks: Sequence, returns: Tensor, num_states: int) -> Tensor:
    """The mean return from each state [S], over all visits in the first half of each walk.

    Later returns miss what lies beyond the last step.
    """
    early = slice(0, len(returns) // 2)
    states, values = walks.obs[early].flatten(), returns[early].flatten().double()
    total = torch.zeros(num_states, dtype=values.dtype, device=values.device)
    count = torch.bincount(states, minlength=num_states).clamp(min=1)
    return total.index_add_(0, states, values) / count


def exact_value(config: Config) -> Tensor:
    """The true value of the random walk in each state [S]."""
    mdp = Gridworld.named(config.map).mdp(step_reward=config.step_reward)
    return tabular.evaluate_policy(mdp, tabular.uniform_log_prior(mdp), config.discount)


def run(
    config: Config,
    folder: Path,
    *,
    returns: Callable[[Tensor, Tensor], Tensor] = package_returns,
    progress: bool = True,
) -> None:
    """Records the absolute error of each seed for each number of walks; resumes by rows.

    Args:
        config: see `Config`.
        folder: receives config.json and metrics.jsonl.
        returns: maps rewards and discounts [T, B] to returns [T, B]; notebook 00's exercise.
        progress: draw a progress bar.
    """
    record = Record(folder, config)
    mdp = Gridworld.named(config.map).mdp(step_reward=config.step_reward)
    true_value = float(tabular.start_value(mdp, exact_value(config)))
    first = 0 if record.last_step is None else record.last_step + 1
    for row in tqdm(range(first, len(config.walks)), disable=not progress, unit="size"):
        errors = []
        for seed in range(config.num_seeds):
            walks = random_walks(config, config.walks[row], config.seed + seed)
            values = returns(walks.reward, config.discount * walks.discount)
            errors.append(abs(float(values[0].mean()) - true_value))
        record.write(row, {"walks": config.walks[row], "error": errors})


def load(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of walks [N], and the absolute errors [R, N]."""
    metrics = load_metrics(folder)
    return metrics["walks"], metrics["error"].T


def reference_curves(folder: Path) -> dict[str, Curve]:
    """What is shipped in data/curves."""
    return {"error": curve_of(*load(folder))}


def plot(folder: Path, reference: dict[str, Curve] | None = None) -> Figure:
    """The error against the number of walks, over the shipped curve where given."""
    walks, errors = load(folder)
    figure = Figure(figsize=SIZES["single"], layout="constrained")
    ax = figure.subplots()
    if reference:
        plot_reference(ax, *reference["error"], "shipped")
    label = f"your returns, {load_config(folder)['num_seeds']} seeds"
    axes = {"x_label": "random walks averaged", "y_label": "absolute error of the value"}
    plot_curves(ax, walks, errors, label, PALETTE["ours"], **axes)
    start = errors.mean(0)[0]
    ax.plot(walks, start / np.sqrt(walks / walks[0]), ":", color=PALETTE["muted"], label="1 / √n")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_title("Mean error and its 95% interval")
    ax.legend()
    return figure
