"""The point mass as Gymnasium environments: all instances at once, or one alone.

For agents and tools that are written for Gymnasium. Observations are dicts of the same groups,
actions are the same, episodes end alike: *terminated* where the discount is 0.0, *truncated* at the
time limit. An instance that is started anew because its physics broke down reports *truncated* and
a fresh observation, and starts once more at the next step, as Gymnasium expects after an end.
"""

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from rlcourse.envs.control import GROUPS, NUM_ACTIONS, PointMass
from rlcourse.envs.control_task import PointMassConfig
from rlcourse.types import Step

Obs = dict[str, NDArray[np.float32]]


def as_gymnasium(env: PointMass) -> "PointMassVectorEnv":
    """Return a view of all instances of `env`, which resets at the next step after an end."""
    return PointMassVectorEnv(env)


class PointMassVectorEnv(VectorEnv):
    """A Gymnasium vector environment over a `PointMass`, which it steps and closes."""

    def __init__(self, env: PointMass) -> None:
        self.env, self.num_envs = env, env.num_envs
        self.metadata = {
            "autoreset_mode": AutoresetMode.NEXT_STEP,
            "render_modes": [],
            "render_fps": round(1.0 / env.config.arena.control_step),
        }
        self.single_observation_space = observation_space(env)
        self.single_action_space = action_space()
        self.observation_space = batch_space(self.single_observation_space, env.num_envs)
        self.action_space = batch_space(self.single_action_space, env.num_envs)

    def reset(
        self,
        *,
        seed: int | np.integer | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Obs, dict[str, Any]]:
        """Start a fresh episode in every instance.

        Args:
            seed: of everything random from here on; None goes on with the randomness as it is. A
                list, as for environments with a generator each, is mixed into one seed.
            options: none are known.

        Raises:
            ValueError: an option, or a list of another length than the number of instances.
        """
        _check_options(options)
        if seed is not None and not isinstance(seed, (int, np.integer)):
            seed = _mixed(seed, self.num_envs)
        super().reset(seed=None if seed is None else int(seed))
        if seed is not None:
            self.env.reseed(_drawn_seed(self.np_random))
        return _to_arrays(self.env.reset()), {}

    def step(
        self, actions: NDArray[np.floating]
    ) -> tuple[Obs, NDArray, NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Step every instance; where an episode has ended, return the first step of the next.

        Raises:
            ValueError: as `PointMass.step`.
        """
        before = self.env.ended
        step = self.env.step(torch.as_tensor(np.asarray(actions)))
        is_first = step.is_first.cpu().numpy()
        broken = is_first & ~before
        if broken.any():
            self.env.end_episodes(broken)
        terminated = step.discount.cpu().numpy() == 0.0
        truncated = self.env.ended & ~terminated
        reward = step.reward.cpu().numpy().astype(np.float64)
        return _to_arrays(step), reward, terminated, truncated, {}

    def close_extras(self, **kwargs: Any) -> None:
        self.env.close()


class PointMassEnv(gymnasium.Env):
    """One instance as a plain Gymnasium environment.

    Args:
        config: the task; None: go to one of four targets for a sparse reward.
        groups: the observation groups, of `control.GROUPS`.
    """

    metadata = {"render_modes": []}

    def __init__(
        self, config: PointMassConfig | None = None, groups: tuple[str, ...] = GROUPS
    ) -> None:
        self.env = PointMass(1, torch.Generator(), config, groups=groups, num_threads=1)
        self.observation_space = observation_space(self.env)
        self.action_space = action_space()
        self._seeded = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Obs, dict[str, Any]]:
        """Start a fresh episode; a first call without a seed draws one.

        Raises:
            ValueError: an option; none are known.
        """
        _check_options(options)
        super().reset(seed=seed)
        if seed is not None or not self._seeded:
            self.env.reseed(_drawn_seed(self.np_random))
            self._seeded = True
        return _first(_to_arrays(self.env.reset())), {}

    def step(self, action: NDArray[np.floating]) -> tuple[Obs, float, bool, bool, dict[str, Any]]:
        """Take one step.

        Raises:
            ValueError: as `PointMass.step`.
            RuntimeError: the episode has ended, or none was started.
        """
        if self.env.ended[0]:
            raise RuntimeError("the episode has ended: call reset() before step()")
        step = self.env.step(torch.as_tensor(np.asarray(action))[None])
        if bool(step.is_first[0]):  # the physics broke down
            self.env.end_episodes(np.ones(1, dtype=bool))
        terminated = float(step.discount[0]) == 0.0
        truncated = bool(self.env.ended[0]) and not terminated
        return _first(_to_arrays(step)), float(step.reward[0]), terminated, truncated, {}

    def close(self) -> None:
        self.env.close()


def observation_space(env: PointMass) -> spaces.Dict:
    """Return the space of one instance's observation, with bounds well beyond what is reached."""
    arena = env.config.arena
    far, fast = 2.0 * arena.half_size, 2.0 * arena.top_speed
    highest = {
        "proprio": np.array([far, far, fast, fast]),
        "targets": np.full(2 * env.config.num_targets, 2.0 * far),
        "task": np.full(env.group_sizes.get("task", 0), 2.0 * far),
    }
    if env.config.task_group == "one_hot":
        highest["task"] = np.ones(env.config.num_targets)
    boxes = {name: highest[name].astype(np.float32) for name in env.groups}
    return spaces.Dict(
        {name: spaces.Box(_lowest(env, name, high), high) for name, high in boxes.items()}
    )


def action_space() -> spaces.Box:
    """Return the space of one instance's action."""
    return spaces.Box(-1.0, 1.0, (NUM_ACTIONS,), np.float32)


def _lowest(env: PointMass, name: str, high: NDArray[np.float32]) -> NDArray[np.float32]:
    one_hot = name == "task" and env.config.task_group == "one_hot"
    return np.zeros_like(high) if one_hot else -high


def _to_arrays(step: Step) -> Obs:
    return {name: group.cpu().numpy() for name, group in step.obs.items()}


def _first(obs: Obs) -> Obs:
    return {name: group[0] for name, group in obs.items()}


def _drawn_seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**63))


def _mixed(seeds: Sequence[int | None], num_envs: int) -> int | None:
    if len(seeds) != num_envs:
        raise ValueError(f"there must be one seed per instance, {num_envs}: got {len(seeds)}")
    known = [int(seed) for seed in seeds if seed is not None]
    return int(np.random.SeedSequence(known).generate_state(1)[0]) if known else None


def _check_options(options: dict[str, Any] | None) -> None:
    if options:
        raise ValueError(f"reset takes no options: got {sorted(options)}")
