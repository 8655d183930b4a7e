"""What the experiments on several tasks at once share: their environment, measure, and drawings."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from torch import Tensor

from rlcourse.envs.mdp import TabularMDP, side_by_side
from rlcourse.envs.tabular_env import TabularEnv
from rlcourse.experiments.reference import Curve, curve_of
from rlcourse.klrl import tabular
from rlcourse.run.evaluate import Interval, interval
from rlcourse.run.loop import run_loop
from rlcourse.run.record import Record, load_metrics
from rlcourse.types import Agent, Environment
from rlcourse.viz.curves import plot_curves, plot_reference
from rlcourse.viz.style import PALETTE


def place(folder: Path, method: str) -> Path:
    """The folder of one method of an experiment."""
    return folder / method.replace(",", "").replace(" ", "_")


def environment(
    mdps: Sequence[TabularMDP], num_copies: int, generator: torch.Generator, max_steps: int
) -> TabularEnv:
    """`num_copies` instances of each task, side by side; each starts, so remains, in its task."""
    starts = torch.block_diag(*(mdp.initial.unsqueeze(0) for mdp in mdps))  # [M, S in all]
    starts = starts.repeat_interleave(num_copies, 0)
    return TabularEnv(side_by_side(mdps), len(starts), generator, max_steps, initial=starts)


def learn(
    config: Any,
    method: str,
    folder: Path,
    env: Environment,
    agent: Agent,
    evaluate: Callable[[int], dict[str, Tensor]],
    label: str,
    progress: bool,
) -> bool:
    """Runs, or resumes, one method of an experiment in its `place`; False if interrupted.

    Args:
        config: of the experiment, with `num_steps` and `evaluate_every`.
        evaluate: step -> {"share": [B * M]}, see `load`.
    """
    here = place(folder, method)
    num_done = run_loop(
        env,
        agent,
        num_steps=config.num_steps,
        record=Record(here, {"method": method}),
        checkpoint_path=here / "checkpoint.pt",
        checkpoint_every=10 * config.evaluate_every,
        evaluate=evaluate,
        evaluate_every=config.evaluate_every,
        progress=progress,
        label=label,
    )
    return num_done == config.num_steps


def best_returns(mdps: Sequence[TabularMDP], discount: float) -> Float[Tensor, " M"]:
    """The best possible return of each task, of ordinary reinforcement learning."""
    values = [tabular.optimal_value(mdp, discount) for mdp in mdps]
    return torch.stack([tabular.start_value(m, v) for m, v in zip(mdps, values, strict=True)])


class Result(NamedTuple):
    """What a finished experiment says, by method."""

    steps: np.ndarray  # [E] environment steps in each task
    share: dict[str, np.ndarray]  # [B, M, E] exact return over the best possible return
    needed: dict[str, np.ndarray]  # [B, M] steps until the threshold; nan if never


def load(
    folder: Path,
    methods: Sequence[str],
    num_seeds: int,
    num_steps: int,
    threshold: float,
    num_copies: int = 1,
) -> Result:
    """Reads the metric "share" [B * M] of a finished run.

    Args:
        folder: of the experiment.
        methods: which to read.
        num_seeds: B.
        num_steps: of the loop, in a finished run.
        threshold: share of the best return that counts as learned.
        num_copies: instances of each task; a step of the loop is a step in each.

    Raises:
        FileNotFoundError: a method has not been run.
        ValueError: a run was interrupted; run the experiment again to go on.
    """
    shares, needed, steps = {}, {}, np.zeros(0)
    for method in methods:
        metrics = load_metrics(place(folder, method))
        if metrics["step"][-1] < num_steps:
            raise ValueError(
                f"the run in {place(folder, method)} was interrupted: run the experiment again, it"
                " goes on from there"
            )
        evaluated = ~np.isnan(metrics["share"]).any(-1)
        steps = metrics["step"][evaluated] * num_copies
        share = metrics["share"][evaluated].T.reshape(num_seeds, -1, len(steps))
        reached = share >= threshold
        shares[method] = share
        needed[method] = np.where(reached.any(-1), steps[reached.argmax(-1)], np.nan)
    return Result(steps, shares, needed)


def reference_curves(result: Result) -> dict[str, Curve]:
    """What is shipped in data/curves: per method, the mean share over tasks against steps."""
    return {name: curve_of(result.steps, share.mean(1)) for name, share in result.share.items()}


def steps_needed(result: Result) -> dict[str, Interval]:
    """Mean steps until a task is learned, over tasks, with the interval over seeds.

    Tasks that are never learned count with all steps there are.
    """
    limit = result.steps[-1]
    return {
        name: interval(np.nan_to_num(needed, nan=limit).mean(1))
        for name, needed in result.needed.items()
    }


def plot_shares(
    ax: Axes,
    result: Result,
    threshold: float,
    labels: dict[str, str],
    colors: dict[str, str],
    reference: dict[str, Curve] | None,
    shipped: str,
) -> None:
    """The share of the best return, averaged over tasks, against steps; over the shipped curves.

    `shipped` says how many seeds these stand for.
    """
    for curve in (reference or {}).values():
        plot_reference(
            ax, curve.x, curve.mean, curve.low, curve.high, f"dashed: shipped, {shipped}"
        )
    for name, share in result.share.items():
        plot_curves(
            ax,
            result.steps,
            share.mean(1),
            labels[name],
            colors[name],
            x_label="steps in each task",
            y_label="return / best return",
        )
    ax.axhline(threshold, color=PALETTE["muted"], linewidth=0.8, linestyle=":")
    if reference:
        ax.legend(handles=[ax.get_lines()[0]], loc="upper left")
    num_seeds, num_tasks, _ = next(iter(result.share.values())).shape
    ax.locator_params(axis="x", nbins=6)
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.set_title(f"{num_tasks} tasks, {num_seeds} seeds, mean and 95% interval")


def plot_needed(
    ax: Axes, result: Result, threshold: float, labels: dict[str, str], colors: dict[str, str]
) -> None:
    """A bar per method: `steps_needed`, named above the bar."""
    for position, (name, found) in enumerate(steps_needed(result).items()):
        spread = [[found.mean - found.low], [found.high - found.mean]]
        ax.barh(position, found.mean, color=colors[name], height=0.5)
        ax.errorbar(found.mean, position, xerr=spread, color=PALETTE["text"], capsize=3)
        start = 0.01 * result.steps[-1]  # off the axis
        ax.text(start, position - 0.34, f"{labels[name]}: {found.mean:,.0f}", color=PALETTE["text"])
    ax.set_yticks([])
    ax.set_ylim(len(result.share) - 0.6, -0.7)
    ax.set_xlim(0, result.steps[-1])
    ax.grid(axis="y", visible=False)
    ax.locator_params(axis="x", nbins=4)
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.set_xlabel("steps in each task")
    ax.set_title(f"Until {threshold:.0%} of the best")
