"""The picture of the README: what alpha does to an agent, and what a learned prior is worth.

Above, the exact optimum on the bridge at three alphas; below, the experiment `prior_transfer`, of
which it shows the shipped curves.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure, SubFigure

from rlcourse.envs.gridworld import Gridworld
from rlcourse.experiments import distral_gridworlds, distral_two_rooms, prior_transfer
from rlcourse.experiments.reference import Curve, load_reference
from rlcourse.klrl import grid_priors, tabular
from rlcourse.run.record import Record, load_config
from rlcourse.viz.curves import plot_band
from rlcourse.viz.grids import draw_policy, draw_visitation
from rlcourse.viz.style import PALETTE, use_style


@dataclass(frozen=True)
class Config:
    """Our own setting."""

    map: str = "bridge"
    alphas: tuple[float, ...] = (0.01, 0.1, 0.5)
    discount: float = 0.97


PRESETS = {"smoke": Config(alphas=(0.1,)), "laptop": Config(), "paper": Config()}


def run(config: Config, folder: Path) -> None:
    """Keeps the configuration; everything drawn is exact and solved when it is drawn."""
    Record(folder, config)


def plot(folder: Path) -> Figure:
    """The whole picture. Raises FileNotFoundError where the shipped curves are missing."""
    use_style()
    fields = load_config(folder)
    figure = Figure(figsize=(9.0, 5.6), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1.0, 1.15))
    _draw_policies(above, Config(fields["map"], tuple(fields["alphas"]), fields["discount"]))
    draw_transfer(below, load_reference("prior_transfer"))
    return figure


def plot_policies(config: Config | None = None) -> Figure:
    """The upper half: policies and visits at each alpha."""
    figure = Figure(figsize=(9.0, 2.2), layout="constrained")
    _draw_policies(figure, config or Config())
    return figure


def plot_transfer() -> Figure:
    """The lower half: the shipped curves of `prior_transfer`."""
    figure = Figure(figsize=(9.0, 3.2), layout="constrained")
    draw_transfer(figure, load_reference("prior_transfer"))
    return figure


def plot_distral() -> Figure:
    """The picture of notebook 02: the shipped curves of both DISTRAL experiments."""
    figure = Figure(figsize=(9.0, 3.4), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for ax, name, experiment, title in (
        (axes[0], "distral_two_rooms", distral_two_rooms, "Tables: two rooms, 20 seeds"),
        (axes[1], "distral_gridworlds", distral_gridworlds, "Networks: four rooms, 10 seeds"),
    ):
        for method, curve in load_reference(name).items():
            plot_band(ax, *curve, experiment.LABELS[method], experiment.COLORS[method])
        ax.locator_params(axis="x", nbins=6)
        ax.xaxis.set_major_formatter("{x:,.0f}")
        ax.set_xlabel("steps in each of 8 tasks")
        ax.set_title(title)
        ax.set_ylim(0.0, 1.36)  # room for the legend
        ax.set_yticks([0.0, 0.25, 0.5, 0.75, 1.0])
        ax.legend(loc="upper left", ncols=2, columnspacing=1.0, handlelength=1.4)
    axes[0].set_ylabel("return / best return")
    return figure


def _draw_policies(figure: Figure | SubFigure, config: Config) -> None:
    grid = Gridworld.named(config.map)
    mdp = grid.mdp()
    alphas = torch.tensor(config.alphas, dtype=torch.float64).unsqueeze(-1)
    solution = tabular.soft_value_iteration(mdp, grid_priors.uniform(grid), alphas, config.discount)
    visits = tabular.visitation(mdp, solution.log_policy, config.discount)
    axes = figure.subplots(1, len(config.alphas), squeeze=False)[0]
    for i, (ax, alpha) in enumerate(zip(axes, config.alphas, strict=True)):
        draw_visitation(ax, grid, visits[i], highest=0.1, colorbar=False)
        draw_policy(ax, grid, solution.log_policy[i].exp(), on_map=False, color="text")
        ax.set_title(f"price of leaving a habit: {alpha:g}")


def draw_transfer(figure: Figure | SubFigure, curves: dict[str, Curve]) -> None:
    """The shipped learning curves, in the colors of the priors."""
    ax = figure.subplots()
    for name, curve in curves.items():
        plot_band(ax, *curve, prior_transfer.LABELS[name], prior_transfer.COLORS[name])
    ax.axhline(1.0, color=PALETTE["muted"], linewidth=0.8, linestyle=":")
    ax.set_xlabel("episodes of a new task")
    ax.set_ylabel("return / best return")
    ax.set_title("The same learner on new goals, with four habits (20 seeds, 95% intervals)")
    ax.legend(loc=(0.7, 0.38))
