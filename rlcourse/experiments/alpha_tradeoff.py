"""What does alpha trade? The return against the distance from the prior, exactly, on the bridge.

The map has a short way over a bridge between pits and a long way around. For each alpha the optimal
policy is computed exactly, and with it: its return, its KL from the prior, and the share of its
visits that go over the bridge. Every point is exact, so there are no seeds and no intervals.

Source: the objective of Tirumala et al. (arXiv 2010.14274), swept over alpha. Our own setting.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from rlcourse.envs.gridworld import Gridworld
from rlcourse.envs.mdp import TabularMDP
from rlcourse.experiments.reference import Curve
from rlcourse.klrl import grid_priors, tabular
from rlcourse.ops.kl import boltzmann_log_policy, categorical_kl
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

    def __post_init__(self) -> None:
        if unknown := set(self.priors) - set(PRIORS):
            raise ValueError(f"unknown priors {sorted(unknown)}: there are {list(PRIORS)}")
        if not 0.0 < self.smallest_alpha < self.largest_alpha or self.num_alphas < 2:
            raise ValueError(
                "alphas must rise from a positive smallest_alpha to largest_alpha in 2 or more "
                f"steps, got {self.smallest_alpha} to {self.largest_alpha} in {self.num_alphas}"
            )


PRESETS = {"smoke": Config(num_alphas=5), "laptop": Config(), "paper": Config(num_alphas=300)}


def package_solver(
    mdp: TabularMDP, log_prior: Tensor, alpha: float, discount: float
) -> tuple[Tensor, Tensor]:
    """Q [S, A] and V [S] of the KL-regularized optimum."""
    solution = tabular.soft_value_iteration(mdp, log_prior, alpha, discount)
    return solution.q, solution.value


def run(
    config: Config, folder: Path, *, solve: Callable[..., tuple[Tensor, Tensor]] = package_solver
) -> None:
    """Solves each alpha with each prior and records it; resumes where it was interrupted.

    Args:
        config: see `Config`.
        folder: receives config.json and metrics.jsonl.
        solve: (mdp, log_prior, alpha, discount) -> (q, value); notebook 01's exercise.
    """
    record = Record(folder, config)
    grid = Gridworld.named(config.map)
    mdp = grid.mdp()
    ends = np.log10([config.smallest_alpha, config.largest_alpha])
    alphas = np.logspace(*ends, config.num_alphas).tolist()
    first = 0 if record.last_step is None else record.last_step + 1
    for index in range(first, config.num_alphas):
        row = {"alpha": alphas[index]}
        for name in config.priors:
            log_prior = PRIORS[name](grid)
            q, value = solve(mdp, log_prior, alphas[index], config.discount)
            found = _measure(grid, mdp, log_prior, q, value, alphas[index], config.discount)
            row |= {f"{name}/{key}": number for key, number in found.items()}
        record.write(index, row)


def _measure(
    grid: Gridworld,
    mdp: TabularMDP,
    log_prior: Tensor,
    q: Tensor,
    value: Tensor,
    alpha: float,
    discount: float,
) -> dict[str, float]:
    """The glossary's section on metrics has the equation of each key."""
    log_policy = boltzmann_log_policy(q, log_prior, alpha)
    earned = tabular.evaluate_policy(mdp, log_policy, discount)
    visits = tabular.visitation(mdp, log_policy, discount)
    acting = (
        visits * mdp.continues / (1.0 - discount)
    )  # expected discounted visits in which it acts
    bridge, detour = (float(visits[grid.state_at[c]]) for c in (MIDDLE_OF_BRIDGE, MIDDLE_OF_DETOUR))
    return {
        "return": float(tabular.start_value(mdp, earned)),
        "objective": float(tabular.start_value(mdp, value)),
        "kl": float((acting * categorical_kl(log_policy, log_prior)).sum()),
        "bridge": bridge / (bridge + detour),
    }


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
