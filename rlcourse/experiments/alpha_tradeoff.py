"""What does alpha trade? The return against the distance from the prior, exactly, on the bridge.

The map has a short way over a bridge between pits and a long way around. For each alpha the optimal
policy is computed exactly, and with it: its return, its KL from the prior, and the share of its
visits that go over the bridge. Every point is exact, so there are no seeds and no intervals.

Source: the objective of Tirumala et al. (arXiv 2010.14274), swept over alpha. Our own setting.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from rlcourse.envs.gridworld import Gridworld
from rlcourse.experiments.reference import Curve
from rlcourse.klrl import grid_priors, tabular
from rlcourse.run.record import Record, load_metrics
from rlcourse.viz.curves import plot_reference
from rlcourse.viz.style import PALETTE, SIZES

MIDDLE_OF_BRIDGE, MIDDLE_OF_DETOUR = (4, 5), (1, 5)
PRIORS = {"uniform": grid_priors.uniform, "along the walls": grid_priors.along_walls}
COLORS = {"uniform": PALETTE["uniform prior"], "along the walls": PALETTE["wall prior"]}


@dataclass(frozen=True)
class Config:
    """The sweep; every value is our own setting."""

    map: str = "bridge"
    priors: tuple[str, ...] = ("uniform", "along the walls")
    smallest_alpha: float = 0.003
    largest_alpha: float = 3.0
    num_alphas: int = 60
    discount: float = 0.97


PRESETS = {"smoke": Config(num_alphas=5), "laptop": Config(), "paper": Config(num_alphas=300)}


def run(config: Config, folder: Path, *, progress: bool = True) -> None:
    """Solves all alphas of each prior in one batch and records them; done in about a second."""
    del progress  # nothing here takes long enough for a bar
    record = Record(folder, config)
    if record.last_step is not None:
        return
    grid = Gridworld.named(config.map)
    mdp = grid.mdp()
    alphas = torch.logspace(
        np.log10(config.smallest_alpha),
        np.log10(config.largest_alpha),
        config.num_alphas,
        dtype=torch.float64,
    )
    rows: dict[str, torch.Tensor] = {"alpha": alphas}
    for name in config.priors:
        rows |= {f"{name}/{key}": found for key, found in _sweep(config, grid, mdp, name, alphas)}
    for index in range(config.num_alphas):
        record.write(index, {key: float(values[index]) for key, values in rows.items()})


def _sweep(config: Config, grid: Gridworld, mdp, name: str, alphas: torch.Tensor):
    log_prior = PRIORS[name](grid)
    solution = tabular.soft_value_iteration(mdp, log_prior, alphas.unsqueeze(-1), config.discount)
    log_policy = solution.log_policy  # [M, S, A]
    reward_only = tabular.evaluate_policy(mdp, log_policy, config.discount)
    objective = tabular.start_value(mdp, solution.value)
    returns = tabular.start_value(mdp, reward_only)
    visits = tabular.visitation(mdp, log_policy, config.discount)
    bridge, detour = (
        visits[:, grid.state_at[cell]] for cell in (MIDDLE_OF_BRIDGE, MIDDLE_OF_DETOUR)
    )
    yield "return", returns
    yield "objective", objective
    yield "kl", (returns - objective) / alphas
    yield "bridge", bridge / (bridge + detour)


def reference_curves(folder: Path) -> dict[str, Curve]:
    """What is shipped in data/curves: the share of the bridge against alpha, exact."""
    metrics = load_metrics(folder)
    return {
        name.split("/")[0]: Curve(metrics["alpha"], share, share, share)
        for name, share in metrics.items()
        if name.endswith("/bridge")
    }


def plot(folder: Path, reference: dict[str, Curve] | None = None) -> Figure:
    """Return, KL and the share of the bridge against alpha, for each prior."""
    metrics = load_metrics(folder)
    panels = {
        "return": ("Return", "discounted return"),
        "kl": ("Distance from the prior", "discounted KL (nats)"),
        "bridge": ("Way taken", "share of visits over the bridge"),
    }
    figure = Figure(figsize=SIZES["wide"], layout="constrained")
    for ax, (key, (title, y_label)) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        for name, color in COLORS.items():
            if f"{name}/{key}" in metrics:
                ax.semilogx(metrics["alpha"], metrics[f"{name}/{key}"], color=color, label=name)
        ax.set_title(title)
        ax.set_xlabel("α (reward per nat)")
        ax.set_ylabel(y_label)
    for curve in (reference or {}).values():
        plot_reference(figure.axes[2], *curve, "shipped")
    figure.axes[0].legend(title="prior", loc="lower left")
    return figure
