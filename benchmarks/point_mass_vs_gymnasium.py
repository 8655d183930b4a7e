"""The batched point mass against Gymnasium's vector environments: steps per second, same work.

The peer is the same model and the same task as a Gymnasium environment that calls
`mujoco.mj_step`, 64 copies of it in `SyncVectorEnv` and in `AsyncVectorEnv` (a process each).
Before anything is timed, both are stepped side by side on random actions: each observation, reward
and end must agree, bit for bit, although ours keeps sixteen masses in one MuJoCo model.

Not the same: ours checks every action. The last peer gives one flat vector instead of named groups,
which saves Gymnasium time, and is there to show how much.

    python benchmarks/point_mass_vs_gymnasium.py
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

import gymnasium
import mujoco
import numpy as np
import torch
import tyro
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv

from rlcourse.envs.control import PointMass
from rlcourse.envs.control_gymnasium import as_gymnasium
from rlcourse.envs.control_model import POSITION, Arena, build_model
from rlcourse.envs.control_task import PointMassConfig

NUM_ENVS = 64
NUM_ACTION_BATCHES = 100
CORNERS = np.array([[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5], [0.5, 0.5]])


class SinglePointMass(gymnasium.Env):
    """One instance, as a user of Gymnasium would write it: go to one of four targets, sparse."""

    def __init__(self, config: PointMassConfig, flat: bool) -> None:
        self.model = build_model(config.arena)
        self.data = mujoco.MjData(self.model)
        self.num_substeps, self.radius = config.arena.num_substeps, config.target_radius
        self.flat = flat
        self.one_hot = np.eye(4, dtype=np.float32)
        sizes = {"proprio": 4, "targets": 8, "task": 4}
        boxes = {name: spaces.Box(-9.0, 9.0, (size,)) for name, size in sizes.items()}
        whole = spaces.Box(-9.0, 9.0, (sum(sizes.values()),))
        self.observation_space = whole if flat else spaces.Dict(boxes)
        self.action_space = spaces.Box(-1.0, 1.0, (2,))

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        super().reset(seed=seed)
        rng = self.np_random
        targets = rng.permutation(CORNERS) + rng.uniform(-0.35, 0.35, (4, 2))
        self.place(rng.uniform(-0.95, 0.95, 2), targets, int(rng.integers(4)))
        return self.observe(), {}

    def place(self, start: np.ndarray, targets: np.ndarray, current: int) -> None:
        """Puts the mass at rest."""
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[:] = start
        self.targets, self.current = targets, current

    def step(self, action: np.ndarray):
        self.data.ctrl[:] = action
        mujoco.mj_step(self.model, self.data, self.num_substeps)
        x, y = self.targets[self.current] - self.data.qpos
        arrived = math.sqrt(x * x + y * y) < self.radius
        return self.observe(), float(arrived), arrived, False, {}

    def observe(self) -> np.ndarray | dict[str, np.ndarray]:
        data, offsets = self.data, (self.targets - self.data.qpos).ravel()
        task = self.one_hot[self.current]
        if self.flat:
            return np.concatenate([data.qpos, data.qvel, offsets, task], dtype=np.float32)
        return {
            "proprio": np.concatenate([data.qpos, data.qvel], dtype=np.float32),
            "targets": offsets.astype(np.float32),
            "task": task.copy(),
        }


def make_peer(config: PointMassConfig, flat: bool = False) -> gymnasium.Env:
    """One instance with its time limit, without the checks that Gymnasium adds for development."""
    name = "rlcourse/SinglePointMass-v0"
    if name not in gymnasium.registry:
        gymnasium.register(name, SinglePointMass, max_episode_steps=config.max_steps)
    return gymnasium.make(name, disable_env_checker=True, config=config, flat=flat)


def verify(config: PointMassConfig, num_steps: int, num_envs: int = 4) -> tuple[int, int]:
    """Steps both side by side; returns how many episodes ended at a target and at the time limit.

    Raises:
        AssertionError: at the first difference.
    """
    ours = PointMass(num_envs, torch.Generator().manual_seed(1), config, num_threads=2)
    peers = [make_peer(config) for _ in range(num_envs)]
    generator = torch.Generator().manual_seed(2)
    step, arrivals, limits = ours.reset(), 0, 0
    for _ in range(-(-num_steps // num_envs)):
        for b in np.flatnonzero(step.is_first):
            peers[b].reset()
            start = ours.physics_state[b, POSITION]
            current = int(step.obs["task"][b].argmax())
            peers[b].unwrapped.place(start, ours.target_positions[b], current)
        # Large pushes, so that walls are hit.
        action = (2.0 * torch.randn(num_envs, 2, generator=generator)).clamp(-1.0, 1.0)
        step = ours.step(action)
        for b in np.flatnonzero(~step.is_first):
            obs, reward, terminated, truncated, _ = peers[b].step(action[b].numpy())
            for name, group in obs.items():
                assert np.array_equal(group, step.obs[name][b]), f"another {name}"
            assert reward == float(step.reward[b]), "another reward"
            assert terminated == (float(step.discount[b]) == 0.0), "another end"
            assert (terminated or truncated) == ours.ended[b], "another time limit"
            arrivals, limits = arrivals + terminated, limits + (truncated and not terminated)
    ours.close()
    return arrivals, limits


Contestants = Iterator[tuple[str, Callable[[np.ndarray], object]]]


def make_peers(config: PointMassConfig, stack: ExitStack) -> Contestants:
    """Names and step functions. Processes first: none may be forked beside running threads."""
    kinds: tuple[tuple[str, type[VectorEnv], bool], ...] = (
        ("AsyncVectorEnv (a process each)", AsyncVectorEnv, False),
        ("SyncVectorEnv", SyncVectorEnv, False),
        ("SyncVectorEnv, one flat vector", SyncVectorEnv, True),
    )
    for name, kind, flat in kinds:
        env = kind([partial(make_peer, config, flat)] * NUM_ENVS)
        stack.callback(env.close)
        env.reset(seed=0)
        yield f"Gymnasium, {name}", env.step


def make_ours(config: PointMassConfig, stack: ExitStack) -> Contestants:
    """The same for this package: with one thread, which is the default for so few instances, and
    with two; and through its Gymnasium view."""
    for num_threads in (1, 2):
        env = PointMass(NUM_ENVS, torch.Generator().manual_seed(0), config, num_threads=num_threads)
        stack.callback(env.close)
        env.reset()
        threads = f"{num_threads} thread{'s' if num_threads > 1 else ''}"
        yield f"PointMass, {threads}", lambda action, env=env: env.step(torch.from_numpy(action))
    view = as_gymnasium(PointMass(NUM_ENVS, torch.Generator().manual_seed(0), config))
    stack.callback(view.close)
    view.reset(seed=0)
    yield "PointMass as a Gymnasium VectorEnv, 1 thread", view.step


def measure(contestants: dict[str, Callable], seconds: float, rounds: int) -> dict[str, float]:
    """Environment steps per second, the best of some rounds in which each has its turn, so that
    what else the machine does falls on all alike."""
    shape = (NUM_ACTION_BATCHES, NUM_ENVS, 2)
    actions = np.random.default_rng(0).uniform(-1.0, 1.0, shape).astype(np.float32)
    best = dict.fromkeys(contestants, 0.0)
    for _ in range(rounds):
        for name, step in contestants.items():
            begun, count, spent = time.perf_counter(), 0, 0.0
            while spent < seconds:
                step(actions[count % NUM_ACTION_BATCHES])
                count, spent = count + 1, time.perf_counter() - begun
            best[name] = max(best[name], count * NUM_ENVS / spent)
    return best


def main(
    seconds: float = 0.5,
    rounds: int = 10,
    verify_steps: int = 5_000,
    physics_step: float = Arena().physics_step,
) -> None:
    """Verify that both do the same, then time both.

    Args:
        seconds: per contestant and round.
        rounds: of which the best counts, for each contestant.
        verify_steps: environment steps compared one by one before anything is timed.
        physics_step: of MuJoCo, in s. A smaller one is more physics per step, the same for all.
    """
    torch.set_num_threads(1)
    config = PointMassConfig(arena=Arena(physics_step=physics_step))
    with ExitStack() as stack:
        peers = dict(make_peers(config, stack))
        arrivals, limits = verify(config, verify_steps)
        print(
            f"{NUM_ENVS} instances, {config.arena.num_substeps} physics steps per step:"
            f" {verify_steps:,} random steps, {arrivals} ends at a target and {limits} at the time"
            " limit agree bit for bit.\n"
        )
        rates = measure(peers | dict(make_ours(config, stack)), seconds, rounds)
    fastest = max(rate for name, rate in rates.items() if name in peers and "flat" not in name)
    print("| environment | steps per second | ratio to the faster of Gymnasium's two |")
    print("| --- | ---: | ---: |")
    for name, rate in rates.items():
        print(f"| {name} | {rate:,.0f} | {rate / fastest:,.2f} |")


if __name__ == "__main__":
    tyro.cli(main)
