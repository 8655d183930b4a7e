"""Do networks that share a distilled prior learn a family of gridworlds faster than without it?

The maps have four rooms each, doors and goals of their own, and begin in the upper left room with
the goal in the lower right one (`envs.grid_families`). Each seed draws its own maps. Compared are
actor-critic agents (`klrl.distral_neural`) with the same networks, learning rate, alpha and beta:
DISTRAL with two columns and with one, separate agents, and one agent for all maps.

The measure is exact: every few steps the current policies of each seed are evaluated by linear
solves.

Source: Teh et al. 2017 (arXiv 1707.04175). Deviations: the maps, the networks, and every setting
are ours; `paper` is a larger run of the same, since the paper's worlds are others.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from rlcourse.envs.grid_families import cell_features, four_rooms_family
from rlcourse.envs.gridworld import Gridworld
from rlcourse.experiments import multitask, settings
from rlcourse.experiments.reference import Curve
from rlcourse.klrl import distral_neural, tabular
from rlcourse.run.checkpoint import load_checkpoint
from rlcourse.run.evaluate import Interval, interval
from rlcourse.run.record import Record, load_config
from rlcourse.viz.grids import draw_policy
from rlcourse.viz.style import PALETTE, SIZES

COLORS = {
    "two columns": PALETTE["ours"],
    "one column": PALETTE["alternative"],
    "separate": PALETTE["baseline"],
    "shared": PALETTE["failure"],
}
LABELS = {
    "two columns": "DISTRAL, two columns",
    "one column": "DISTRAL, one column",
    "separate": "separate agents",
    "shared": "one agent for all",
}


@dataclass(frozen=True)
class Config:
    """One comparison; every value is our own setting."""

    methods: tuple[str, ...] = tuple(LABELS)
    num_maps: int = 8  # tasks of each seed
    num_new_maps: int = 8  # for each seed, that nobody learns, to test the prior on
    room_size: int = 5
    view: int = 2  # how far the networks see walls
    num_seeds: int = 10
    num_copies: int = 8  # instances of each task
    num_steps: int = 6_000  # of each instance
    max_steps: int = 200  # of an episode
    alpha: float = 0.5
    beta: float = 50.0
    discount: float = 0.97
    lambda_: float = 0.95
    rollout: int = 20
    learning_rate: float = 1e-3
    hidden: tuple[int, ...] = (64, 64)
    evaluate_every: int = 200  # steps of each instance
    threshold: float = 0.8  # of the best possible return
    seed: int = 0

    def __post_init__(self) -> None:
        settings.check_names(self, "methods")
        settings.check_counts(self, "num_seeds", "num_steps", "max_steps", "evaluate_every")
        settings.check_measure(self)
        settings.check_counts(self, "num_maps", "num_new_maps", "num_copies", "room_size")
        if self.view < 0:
            raise ValueError(f"view must not be negative, got {self.view}")
        for method in self.methods:
            self.learner(method)

    def learner(self, method: str) -> distral_neural.Config:
        """The agent's settings for one of the methods in `LABELS`."""
        if method not in LABELS:
            raise ValueError(f"no method is called {method!r}; there are {list(LABELS)}")
        return distral_neural.Config(
            sharing=method,
            alpha=self.alpha,
            beta=self.beta,
            discount=self.discount,
            lambda_=self.lambda_,
            rollout=self.rollout,
            learning_rate=self.learning_rate,
            hidden=self.hidden,
        )


PRESETS = {
    "smoke": Config(
        num_maps=2, num_new_maps=2, room_size=2, num_seeds=2, num_copies=2, num_steps=80,
        evaluate_every=40, hidden=(16,),
    ),
    "laptop": Config(),
    "paper": Config(num_seeds=50, num_steps=20_000, hidden=(256, 256)),
}  # fmt: skip


def maps_of(config: Config) -> tuple[list[Gridworld], list[Gridworld]]:
    """The maps that are learned [B * M] and those that are not [B * num_new_maps]."""
    generator = torch.Generator().manual_seed(config.seed + 2_000_003)
    counts = (config.num_seeds * config.num_maps, config.num_seeds * config.num_new_maps)
    learned, new = (four_rooms_family(n, config.room_size, generator) for n in counts)
    return learned, new


def make_agent(
    config: Config,
    method: str,
    pieces: tuple[Callable[..., Any], ...] = (),
    device: torch.device | str = "cpu",
) -> distral_neural.NeuralDistral:
    """A fresh agent of one of the methods in `LABELS`, for the maps of `maps_of`."""
    features = cell_features(maps_of(config)[0], config.view).to(device)
    generator = torch.Generator(device).manual_seed(config.seed + 1_000_003)
    sizes = (config.num_seeds, config.num_maps, config.num_copies, 4)
    learner_config = config.learner(method)
    return distral_neural.NeuralDistral(learner_config, features, *sizes, generator, *pieces)


def run(
    config: Config,
    folder: Path,
    *,
    columns: Callable[..., tuple[Tensor, Tensor]] = distral_neural.column_log_policies,
    charge: Callable[..., Tensor] = distral_neural.regularizer,
    progress: bool = True,
    device: torch.device | str = "cpu",
) -> bool:
    """Runs, or resumes, every method, each in its own folder; False if interrupted.

    Args:
        config: what to compare.
        folder: receives config.json and one folder of metrics and checkpoint per method.
        columns, charge: the pieces that the learner of notebook 02 writes; see
            `distral_neural.NeuralDistral`.
        progress: draw progress bars.
        device: where to compute.
    """
    Record(folder, config)
    return all(
        _learn(config, method, folder, (columns, charge), progress, device)
        for method in config.methods
    )


def _learn(
    config: Config,
    method: str,
    folder: Path,
    pieces: tuple[Callable[..., Any], ...],
    progress: bool,
    device: torch.device | str,
) -> bool:
    """All seeds of one method, side by side in one batch; False if interrupted."""
    mdps = [grid.mdp().to(device) for grid in maps_of(config)[0]]
    best = multitask.best_returns(mdps, config.discount)
    generator = torch.Generator(device).manual_seed(config.seed)
    env = multitask.environment(mdps, config.num_copies, generator, config.max_steps)
    agent = make_agent(config, method, pieces, device)
    num_states = mdps[0].num_states
    states = torch.arange(len(mdps) * num_states, device=device)
    states = states.unflatten(0, (-1, num_states)).T  # [S, B * M]

    def evaluate(_: int) -> dict[str, Tensor]:
        log_policy = agent.log_policy(states).double().flatten(0, 1)  # [B * M, S, A]
        returns = [
            tabular.start_value(mdp, tabular.evaluate_policy(mdp, row, config.discount))
            for mdp, row in zip(mdps, log_policy, strict=True)
        ]
        return {"share": torch.stack(returns) / best}

    return multitask.learn(config, method, folder, env, agent, evaluate, LABELS[method], progress)


def load(folder: Path) -> multitask.Result:
    """Reads a finished run; errors as `multitask.load`."""
    config = _config(folder)
    counts = (config.num_seeds, config.num_steps, config.threshold, config.num_copies)
    return multitask.load(folder, config.methods, *counts)


def _config(folder: Path) -> Config:
    fields = load_config(folder)
    for name in ("methods", "hidden"):
        fields[name] = tuple(fields[name])
    return Config(**fields)


def load_agent(folder: Path, method: str) -> distral_neural.NeuralDistral:
    """The agent at the end of a run."""
    agent = make_agent(_config(folder), method)
    agent.load_state_dict(
        load_checkpoint(multitask.place(folder, method) / "checkpoint.pt")["agent"]
    )
    return agent


def reference_curves(folder: Path) -> dict[str, Curve]:
    """What is shipped in data/curves; see `multitask.reference_curves`."""
    return multitask.reference_curves(load(folder))


def steps_needed(folder: Path) -> dict[str, Interval]:
    """Mean steps until a map is learned; see `multitask.steps_needed`."""
    return multitask.steps_needed(load(folder))


def on_new_maps(folder: Path, method: str = "two columns") -> dict[str, Interval]:
    """Exact return on maps that nobody learned, over the best: of the prior, and of no prior."""
    config, agent = _config(folder), load_agent(folder, method)
    new = maps_of(config)[1]
    mdps = [grid.mdp() for grid in new]
    best = multitask.best_returns(mdps, config.discount)
    log_prior = agent.log_prior(cell_features(new, config.view)).double()  # [B, S in all, A]
    seed = torch.arange(len(mdps)) // config.num_new_maps
    rows = log_prior.unflatten(1, (len(mdps), -1))[seed, torch.arange(len(mdps))]  # [maps, S, A]
    shares = {}
    for name, log_policies in (("prior", rows), ("uniform", torch.full_like(rows, 0.25).log())):
        returns = [
            tabular.start_value(mdp, tabular.evaluate_policy(mdp, row, config.discount))
            for mdp, row in zip(mdps, log_policies, strict=True)
        ]
        share = (torch.stack(returns) / best).unflatten(0, (config.num_seeds, -1))
        shares[name] = interval(share.mean(1))
    return shares


def plot(folder: Path, reference: dict[str, Curve] | None = None) -> Figure:
    """Learning curves, steps needed, and the distilled prior on two maps that nobody learned."""
    result, config = load(folder), _config(folder)
    width, height = SIZES["wide"]
    figure = Figure(figsize=(width, 2.0 * height), layout="constrained")
    axes = figure.subplot_mosaic("AAAABB;CCCDDD", height_ratios=(1, 1))
    look = (config.threshold, LABELS, COLORS)
    shipped = f"{PRESETS['laptop'].num_seeds} seeds"
    multitask.plot_shares(axes["A"], result, *look, reference, shipped)
    multitask.plot_needed(axes["B"], result, *look)
    if "two columns" in config.methods:
        agent = load_agent(folder, "two columns")
        for ax, grid in zip((axes["C"], axes["D"]), maps_of(config)[1], strict=False):
            log_prior = agent.log_prior(cell_features([grid], config.view))[0]
            without_starts = Gridworld(tuple(row.replace("S", ".") for row in grid.rows))
            draw_policy(ax, without_starts, log_prior.exp())
            ax.set_title("Distilled prior, new map")
    return figure
