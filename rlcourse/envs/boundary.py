"""Gymnasium vector environments as `Step`s: the only place that knows terminated and truncated.

Gymnasium reports two ends of an episode: *terminated*, after which nothing more can be earned
(discount 0.0), and *truncated*, a time limit, after which the future still has value (discount
stays 1.0). From version 1.0 on it resets at the next step by default: the call of `step` after an
end ignores the action and returns the first observation of a fresh episode. That call is marked
`is_first`, so that nobody learns from the transition that never happened.
"""

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from torch import Tensor

from rlcourse.types import Step

_ROUNDING = 1e-6  # of float32 actions at the ends of their range


class GymnasiumBoundary:
    """B Gymnasium instances on a torch device.

    Observations: floats as float32, other types as they are; a dict space gives a dict of tensors.
    Actions: [B] integers for a discrete space, [B, D] floats within bounds for a box.

    Args:
        vector_env: from `gymnasium.make_vec` or `gymnasium.vector.SyncVectorEnv`.
        device: of the tensors handed out.
        seed: of everything random in the environment.

    Raises:
        ValueError: the environment does not reset at the next step, or its spaces are not
            supported.
    """

    def __init__(self, vector_env: VectorEnv, device: torch.device | str, seed: int) -> None:
        _check_autoreset(vector_env)
        self._space = vector_env.single_action_space
        if not isinstance(self._space, (spaces.Discrete, spaces.Box)):
            raise ValueError(f"the action space must be Discrete or Box: got {self._space}")
        self.num_envs = vector_env.num_envs
        self.device = torch.device(device)
        self._env, self._seed = vector_env, seed
        self._num_resets = 0
        self._ended = np.zeros(self.num_envs, dtype=bool)
        self._restart = False

    def reset(self) -> Step:
        """Start a fresh episode in every instance; the k-th call has seeds of its own."""
        seeds = reset_seeds(self._seed, self._num_resets, self.num_envs)
        obs, _ = self._env.reset(seed=seeds)
        self._num_resets += 1
        self._ended, self._restart = np.zeros(self.num_envs, dtype=bool), False
        nothing = np.zeros(self.num_envs)
        return self._to_step(obs, nothing, nothing, np.ones(self.num_envs, dtype=bool))

    def step(self, action: Tensor) -> Step:
        """Step every instance; where an episode has ended, return the first step of the next.

        Raises:
            ValueError: actions of a wrong shape or type, or outside the action space.
        """
        action = self._checked_action(action)
        if self._restart:
            return self.reset()
        obs, reward, terminated, truncated, _ = self._env.step(action)
        is_first = self._ended
        self._ended = terminated | truncated
        return self._to_step(obs, np.where(is_first, 0.0, reward), terminated, is_first)

    def state_dict(self) -> dict[str, Any]:
        return {"seed": self._seed, "num_resets": self._num_resets}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with fresh episodes: the inner state of a Gymnasium environment cannot be saved.

        The next `step` ignores the action and returns first steps, as after a time limit. A
        resumed run therefore is not the same as an uninterrupted one, only as random.
        """
        self._seed, self._num_resets = state["seed"], state["num_resets"]
        self._restart = True

    def close(self) -> None:
        self._env.close()

    def _to_step(
        self, obs: Any, reward: np.ndarray, terminated: np.ndarray, is_first: np.ndarray
    ) -> Step:
        return Step(
            obs=_to_tensors(obs, self.device),
            reward=torch.tensor(reward, dtype=torch.float32, device=self.device),
            discount=torch.tensor(1.0 - terminated, dtype=torch.float32, device=self.device),
            is_first=torch.tensor(is_first, dtype=torch.bool, device=self.device),
        )

    def _checked_action(self, action: Tensor) -> np.ndarray:
        shape = (self.num_envs, *self._space.shape)
        if tuple(action.shape) != shape:
            raise ValueError(f"actions must have shape {list(shape)}: got {list(action.shape)}")
        array = action.detach().cpu().numpy()
        if isinstance(self._space, spaces.Discrete):
            return _checked_discrete(array, self._space)
        return _checked_box(array, self._space)


def reset_seeds(seed: int, num_resets: int, num_envs: int) -> list[int]:
    """Return the seed of each instance at the reset after `num_resets` earlier ones [B]."""
    state = np.random.SeedSequence([seed, num_resets]).generate_state(num_envs)
    return [int(word) for word in state]


def _check_autoreset(vector_env: VectorEnv) -> None:
    mode = vector_env.metadata.get("autoreset_mode")
    if mode not in (AutoresetMode.NEXT_STEP, AutoresetMode.NEXT_STEP.value):
        raise ValueError(
            f"the vector environment's autoreset mode is {mode}, needed is NEXT_STEP: make it with"
            " gymnasium.vector.SyncVectorEnv(env_fns, autoreset_mode=AutoresetMode.NEXT_STEP) or"
            ' gymnasium.make_vec(..., vector_kwargs={"autoreset_mode": AutoresetMode.NEXT_STEP}),'
            " with Gymnasium 1.1 or later"
        )


def _checked_discrete(action: np.ndarray, space: spaces.Discrete) -> np.ndarray:
    if not np.issubdtype(action.dtype, np.integer):
        raise ValueError(f"actions must be integers for {space}: got {action.dtype}")
    outside = (action < space.start) | (action >= space.start + space.n)
    if outside.any():
        raise ValueError(
            f"actions must be in [{space.start}, {space.start + space.n - 1}]: got"
            f" {action[outside][0]} in instance {int(outside.argmax())}"
        )
    return action


def _checked_box(action: np.ndarray, space: spaces.Box) -> np.ndarray:
    if not np.issubdtype(action.dtype, np.floating):
        raise ValueError(f"actions must be floats for {space}: got {action.dtype}")
    inside = (action >= space.low - _ROUNDING) & (action <= space.high + _ROUNDING)
    if not inside.all():
        instance = int(np.argwhere(~inside)[0][0])
        raise ValueError(
            f"actions must be within {space}: got {action[instance]} in instance {instance};"
            " squash the policy with tanh, or clip its actions"
        )
    return action.clip(space.low, space.high).astype(space.dtype)


def _to_tensors(obs: Any, device: torch.device) -> Any:
    """Copy, since an environment may write its next observation into the same array."""
    if isinstance(obs, dict):
        return {name: _to_tensors(entry, device) for name, entry in obs.items()}
    if not isinstance(obs, np.ndarray):
        raise ValueError(
            f"observations must be arrays or dicts of arrays: got {type(obs)}; wrap the environment"
            " so that its observation space is a Box, Discrete, MultiDiscrete or a Dict of those"
        )
    dtype = torch.float32 if np.issubdtype(obs.dtype, np.floating) else None
    return torch.tensor(obs, dtype=dtype, device=device)
