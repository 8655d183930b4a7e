"""How many steps does it take to reach a target: SAC, MPO, and SVG(0) with two priors?

One KL-regularized objective, three choices of the reference behavior: uniform (SAC, and SVG(0)
with the uniform prior), the agent's own last policy (MPO), and a prior made by hand that knows the
way but not the dynamics (SVG(0) with `SteerToTarget`). A point mass has to reach one of four
targets for a reward that is 0 everywhere else.

Each agent and seed is a run of its own, one after the other, and can be interrupted. The measure
is the share of fixed evaluation episodes in which the policy's mode reaches the target in time.
That prior alone gets there too, but not as fast (`prior_alone`): what it shortens is the learning.
A fifth agent, not run by default, has a prior that sees only the mass, not the way (`KeepGoing`).

Source: the go-to-target tasks of Tirumala et al. 2020 (arXiv 2010.14274). Deviations: sizes, task
and the prior are this course's own, the scaled-up settings of `paper` too; the paper's priors are
learned. The critic's targets differ: one step for SAC and MPO, Retrace for SVG(0).
"""

import contextlib
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from rlcourse.envs.control import NUM_ACTIONS, PointMass
from rlcourse.envs.control_task import PointMassConfig
from rlcourse.experiments import settings
from rlcourse.experiments.reference import Curve, curve_of
from rlcourse.klrl import mpo, sac, svg0
from rlcourse.klrl.control_priors import KeepGoing, SteerToTarget, UniformPrior
from rlcourse.run.checkpoint import load_checkpoint
from rlcourse.run.evaluate import Interval, evaluate, interval
from rlcourse.run.loop import run_loop
from rlcourse.run.record import Record, load_config, load_metrics
from rlcourse.types import Step
from rlcourse.viz.agent_curves import Look, side_by_side, together
from rlcourse.viz.control import Trajectory, play
from rlcourse.viz.style import PALETTE

COLORS = {
    "sac": PALETTE["alternative"],
    "mpo": PALETTE["expert"],
    "svg0_uniform": PALETTE["uniform prior"],
    "svg0_prior": PALETTE["ours"],
    "svg0_keep_going": PALETTE["ablation"],
}
LABELS = {
    "sac": "SAC",
    "mpo": "MPO",
    "svg0_uniform": "SVG(0), uniform prior",
    "svg0_prior": "SVG(0), hand-made prior",
    "svg0_keep_going": "SVG(0), prior keeps going",
}
GROUPS = ("proprio", "task")
_STEP_SECONDS = PointMassConfig().arena.control_step
Pieces = Mapping[str, Mapping[str, Callable[..., Tensor]]]  # agent -> argument -> function


@dataclass(frozen=True)
class Config:
    """One comparison. Every value that is not the agents' is our own setting."""

    agents: tuple[str, ...] = ("sac", "mpo", "svg0_uniform", "svg0_prior")
    num_seeds: int = 10
    num_envs: int = 16
    num_steps: int = 2_500  # of the loop: 40,000 steps of the environment
    max_steps: int = 100  # of an episode
    prior_gain: float = 1.0  # thrust per meter to the target
    prior_std: float = 0.7
    evaluate_every: int = 100
    num_evaluations: int = 64  # episodes
    threshold: float = 0.9  # share of episodes that reach the target
    seed: int = 0
    sac_config: sac.Config = replace(sac.PRESETS["laptop"], groups=GROUPS)
    mpo_config: mpo.Config = replace(mpo.PRESETS["laptop"], groups=GROUPS)
    svg0_config: svg0.Config = replace(svg0.PRESETS["laptop"], groups=GROUPS)

    def __post_init__(self) -> None:
        for name in self.agents:
            _check_name(name)
        settings.check_names(self, "agents")
        counts = ("num_seeds", "num_envs", "num_steps", "max_steps", "evaluate_every")
        settings.check_counts(self, *counts, "num_evaluations")
        settings.check_measure(self)
        if not (self.prior_gain > 0.0 and self.prior_std > 0.0):
            raise ValueError(
                f"prior_gain and prior_std must be positive, got {self.prior_gain} and "
                f"{self.prior_std}"
            )

    @property
    def task(self) -> PointMassConfig:
        """Sparse reward, and the way to the current target in the observation group "task"."""
        return PointMassConfig(max_steps=self.max_steps, task_group="position")


def _check_name(name: str) -> None:
    if name not in LABELS:
        raise ValueError(f"no agent is called {name!r}; there are {list(LABELS)}")


def _agent_configs(preset: str) -> dict[str, object]:
    modules = {"sac": sac, "mpo": mpo, "svg0": svg0}
    return {
        f"{name}_config": replace(module.PRESETS[preset], groups=GROUPS)
        for name, module in modules.items()
    }


PRESETS = {
    "smoke": Config(
        num_seeds=2,
        num_steps=40,
        max_steps=20,
        evaluate_every=20,
        num_evaluations=8,
        **_agent_configs("smoke"),
    ),
    "laptop": Config(),
    "paper": Config(num_steps=62_500, evaluate_every=2_500, **_agent_configs("paper")),
}


def make_agent(
    config: Config,
    name: str,
    obs_sizes: Mapping[str, int],
    generator: torch.Generator,
    pieces: Pieces | None = None,
) -> sac.SAC | mpo.MPO | svg0.SVG0:
    """One of the agents of `LABELS`.

    Args:
        config: the comparison.
        name: of the agent.
        obs_sizes: as `PointMass.group_sizes`.
        generator: of the agent; it lives on its device.
        pieces: functions of the learner's for "sac", "mpo" and "svg0", by their argument's name.

    Raises:
        ValueError: a name that is not in `LABELS`.
    """
    _check_name(name)
    common = (obs_sizes, NUM_ACTIONS, generator)
    own = (pieces or {}).get(name.partition("_")[0], {})
    if name == "sac":
        return sac.SAC(config.sac_config, *common, **own)
    if name == "mpo":
        return mpo.MPO(config.mpo_config, *common, **own)
    return svg0.SVG0(config.svg0_config, *common, make_prior(config, name), **own)


def make_prior(config: Config, name: str) -> UniformPrior | SteerToTarget | KeepGoing:
    """The prior of one of the agents that have one.

    Raises:
        ValueError: another name.
    """
    if name == "svg0_uniform":
        return UniformPrior(NUM_ACTIONS)
    if name == "svg0_prior":
        return SteerToTarget(config.prior_gain, config.prior_std)
    if name == "svg0_keep_going":
        return KeepGoing(config.task.arena.top_speed, config.prior_std)
    raise ValueError(f"{name!r} has no prior: ask for one of the agents svg0_...")


def run(
    config: Config,
    folder: Path,
    *,
    pieces: Pieces | None = None,
    progress: bool = True,
    device: torch.device | str = "cpu",
) -> bool:
    """Runs, or resumes, every agent and seed, each in its own folder; False if interrupted.

    Args:
        config: what to compare.
        folder: receives config.json and one folder of metrics and checkpoint per agent and seed.
        pieces: functions of the learner's, as in `make_agent`.
        progress: draw progress bars.
        device: where the agents learn; the physics runs on the CPU.
    """
    Record(folder, config)
    return all(
        _learn(config, folder, name, seed, pieces, progress, device)
        for seed in range(config.num_seeds)
        for name in config.agents
    )


def _world(
    config: Config,
    num_envs: int,
    generator: torch.Generator,
    groups: tuple[str, ...],
    device: torch.device | str = "cpu",
) -> PointMass:
    return PointMass(num_envs, generator, config.task, groups=groups, device=device)


def _place(folder: Path, name: str, seed: int) -> Path:
    return folder / name / f"seed_{seed}"


def _generator(
    config: Config, name: str, seed: int, purpose: str, device: torch.device | str = "cpu"
) -> torch.Generator:
    """A stream of its own for each agent, seed and purpose."""
    return torch.Generator(device).manual_seed(
        config.seed + 1_000 * seed + 1_000_000 * zlib.crc32(f"{name} {purpose}".encode())
    )


def _learn(
    config: Config,
    folder: Path,
    name: str,
    seed: int,
    pieces: Pieces | None,
    progress: bool,
    device: torch.device | str,
) -> bool:
    """One agent, one seed; False if interrupted."""

    env = _world(config, config.num_envs, _generator(config, name, seed, "env"), GROUPS, device)
    agent_generator = _generator(config, name, seed, "agent", device)
    agent = make_agent(config, name, env.group_sizes, agent_generator, pieces)

    def evaluate_mode(step: int) -> dict[str, Tensor]:
        # The same episodes each time, for each agent.
        generator = _generator(config, "any", seed, "evaluation")
        fresh = _world(config, config.num_evaluations, generator, GROUPS, device)
        found = evaluate(fresh, agent.act_mode, 1)
        fresh.close()
        return {"success": found.returns.mean(), "length": found.lengths.float().mean()}

    place = _place(folder, name, seed)
    with contextlib.closing(env):
        num_done = run_loop(
            env,
            agent,
            num_steps=config.num_steps,
            record=Record(place, {"agent": name, "seed": seed}),
            checkpoint_path=place / "checkpoint.pt",
            checkpoint_every=10 * config.evaluate_every,
            log_every=config.evaluate_every,
            evaluate=evaluate_mode,
            evaluate_every=config.evaluate_every,
            progress=progress,
            label=f"{LABELS[name]}, seed {seed}",
        )
    return num_done == config.num_steps


class Result(NamedTuple):
    """What a finished run says."""

    steps: np.ndarray  # [E] steps of the environment, over all instances
    success: dict[str, np.ndarray]  # agent -> [R, E] share of episodes that reach the target
    length: dict[str, np.ndarray]  # agent -> [R, E] steps per evaluation episode
    needed: dict[str, np.ndarray]  # agent -> [R] steps until the threshold; nan if never


def load(folder: Path) -> Result:
    """Reads a finished run.

    Raises:
        FileNotFoundError, ValueError: an agent has not been run, or was interrupted: run again.
    """
    fields = load_config(folder)
    success, length, needed, steps = {}, {}, {}, None
    for name in fields["agents"]:
        seeds = []
        for seed in range(fields["num_seeds"]):
            metrics = load_metrics(_place(folder, name, seed))
            evaluated = np.isfinite(metrics["success"])
            steps = metrics["step"][evaluated] * fields["num_envs"]
            if len(steps) != fields["num_steps"] // fields["evaluate_every"] + 1:
                raise ValueError(
                    f"the run in {folder} was interrupted: run it again, it goes on from there"
                )
            seeds.append([metrics[key][evaluated] for key in ("success", "length")])
        success[name], length[name] = np.stack(seeds, 1)
        reached = success[name] >= fields["threshold"]
        needed[name] = np.where(reached.any(-1), steps[reached.argmax(-1)], np.nan)
    return Result(steps, success, length, needed)


def reference_curves(folder: Path) -> dict[str, Curve]:
    """What is shipped in data/curves: one curve per agent."""
    result = load(folder)
    return {name: curve_of(result.steps, runs) for name, runs in result.success.items()}


def steps_needed(folder: Path) -> dict[str, Interval]:
    """Mean steps until the threshold, with Student's interval, for there are few seeds; runs that
    never reach it count in full.
    """
    result = load(folder)
    limit = result.steps[-1]
    return {
        name: interval(np.nan_to_num(runs, nan=limit), method="t")
        for name, runs in result.needed.items()
    }


def table(folder: Path) -> str:
    """Steps until the threshold, and success and length of the last evaluation, per agent."""
    result, needed, fields = load(folder), steps_needed(folder), load_config(folder)
    until = f"steps to {fields['threshold']:.0%}"
    head = f"{'agent':<28}{until:>24}{'at the end':>12}"
    rows = [f"{head}{'steps per episode':>20}"]
    for name, found in needed.items():
        words = f"{found.mean:,.0f}"
        if np.isfinite(found.low):
            words += f" [{max(found.low, 0):,.0f}, {found.high:,.0f}]"
        end = f"{result.success[name][:, -1].mean():.0%}"
        rows.append(
            f"{LABELS[name]:<28}{words:>24}{end:>12}{result.length[name][:, -1].mean():>20.1f}"
        )
    return "\n".join(rows)


def prior_alone(
    config: Config, name: str, *, sample: bool = False, num_episodes: int | None = None
) -> tuple[float, float]:
    """Share of episodes in which the prior, without learning, reaches the target; and their length.

    Args:
        config: the comparison.
        name: an agent with a prior.
        sample: draw from the prior, rather than take its mode.
        num_episodes: None: the very episodes in which the agents of seed 0 are evaluated.
    """
    num_episodes = config.num_evaluations if num_episodes is None else num_episodes
    prior, generator = make_prior(config, name), _generator(config, name, 0, "prior alone")
    env = _world(config, num_episodes, _generator(config, "any", 0, "evaluation"), GROUPS)

    def act(step: Step) -> Tensor:
        behavior = prior.distribution(step.obs)
        return behavior.sample(generator) if sample else behavior.mode

    found = evaluate(env, act, 1)
    env.close()
    return float(found.returns.mean()), float(found.lengths.float().mean())


def watch(config: Config, act: Callable[[Step], Tensor], seed: int = 0) -> Trajectory:
    """One episode; the same seed gives every behavior the same start and target."""
    env = _world(config, 1, torch.Generator().manual_seed(seed), ("proprio", "targets", "task"))
    played = play(env, act, config.max_steps)
    env.close()
    return played[0][0]


def trained(
    config: Config, folder: Path, name: str, seed: int = 0, pieces: Pieces | None = None
) -> sac.SAC | mpo.MPO | svg0.SVG0:
    """An agent as its last checkpoint left it.

    Raises:
        FileNotFoundError: it has not been run.
    """
    generator = torch.Generator().manual_seed(0)
    with contextlib.closing(_world(config, 1, generator, GROUPS)) as env:
        agent = make_agent(config, name, env.group_sizes, generator, pieces)
    agent.load_state_dict(load_checkpoint(_place(folder, name, seed) / "checkpoint.pt")["agent"])
    return agent


def plot(folder: Path, reference: dict[str, Curve] | None = None) -> Figure:
    """Success rate of each agent over steps, over its shipped curve where given; below, the steps
    until the threshold and the length of an episode at the end.
    """
    result, threshold = load(folder), load_config(folder)["threshold"]
    looks = {name: Look(LABELS[name], COLORS[name]) for name in result.success}
    shipped = {name: curve for name, curve in (reference or {}).items() if name in looks}
    ends = {name: interval(runs[:, -1], method="t") for name, runs in result.length.items()}
    needed = (f"Steps until {threshold:.0%} reach the target", "environment steps")
    lengths = ("Steps per episode at the end", f"control steps of {_STEP_SECONDS} s")
    bars = {needed: steps_needed(folder), lengths: ends}
    return side_by_side(result.steps, result.success, shipped, bars, looks, threshold)


def plot_shipped(reference: dict[str, Curve]) -> Figure:
    """The shipped curves alone, all in one panel."""
    looks = {name: Look(LABELS[name], COLORS[name]) for name in reference}
    title = f"One objective, four agents: reaching a target, {PRESETS['laptop'].num_seeds} seeds"
    return together(reference, looks, title)
