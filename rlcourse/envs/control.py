"""The point mass as a batched environment: B instances stepped together in native threads.

Observations are named groups, each float32 [B, D]:

    proprio   position and velocity of the mass, in m and m/s          [B, 4]
    targets   the way from the mass to each of the K targets, in m     [B, 2 K]
    task      which target is the current one: one-hot [B, K], or the way to it in m [B, 2]

The model is in `control_model`, the tasks are in `control_task`.
"""

import warnings
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from rlcourse.envs.control_model import (
    NUM_STATE,
    POSITION,
    VELOCITY,
    BatchedPhysics,
)
from rlcourse.envs.control_task import PointMassConfig, Targets
from rlcourse.envs.groups import check_groups
from rlcourse.types import Step

GROUPS = ("proprio", "targets", "task")
NUM_ACTIONS = 2
_ROUNDING = 1e-6  # of float32 actions at the ends of their range


class PointMass:
    """A point mass that goes to targets, B instances of it.

    Every call of `step` draws the same number of random values, whatever happens in it: the stream
    of one instance never depends on when another one's episode ends.

    An instance whose physics state is no longer finite starts a fresh episode at once (its step is
    a first one, so nothing is learned from what went before); `num_resets_nonfinite` counts these,
    and the first is reported as a RuntimeWarning.

    Args:
        num_envs: B, at least 1.
        generator: a source of randomness on the CPU, where the physics is.
        config: the task; None: go to one of four targets for a sparse reward.
        groups: the observation groups to compute, of `GROUPS`.
        device: of the tensors handed out.
        num_threads: of the physics; None chooses by the number of instances and processors. It
            does not change results.
        first_target: [K] or [B, K], as in `control_task.Targets`.
        dynamics: [K, K, K], as in `control_task.Targets`.

    Raises:
        ValueError: an unknown group, a count < 1, a generator elsewhere, or wrong probabilities.
    """

    def __init__(
        self,
        num_envs: int,
        generator: torch.Generator,
        config: PointMassConfig | None = None,
        *,
        groups: tuple[str, ...] = GROUPS,
        device: torch.device | str = "cpu",
        num_threads: int | None = None,
        first_target: Float[Tensor, "*B K"] | None = None,
        dynamics: Float[Tensor, "K K K"] | None = None,
    ) -> None:
        check_groups(groups, GROUPS)
        if generator.device.type != "cpu":
            raise ValueError(
                f"the generator is on {generator.device} and the physics on the CPU: make it with"
                " torch.Generator(), and pass device= for the tensors"
            )
        self.config = PointMassConfig() if config is None else config
        self.num_envs, self.groups, self.device = num_envs, groups, torch.device(device)
        self._physics = BatchedPhysics(self.config.arena, num_envs, num_threads)
        self._targets = Targets(self.config, num_envs, first_target, dynamics)
        self._generator = generator
        self._state = np.zeros((num_envs, NUM_STATE))
        self._age = np.zeros(num_envs, dtype=np.int64)
        self._ended = np.ones(num_envs, dtype=bool)
        self._one_hot = np.eye(self.config.num_targets, dtype=np.float32)
        self.num_resets_nonfinite = 0

    @property
    def group_sizes(self) -> dict[str, int]:
        """The number of features of each group, in the order of `groups`."""
        K = self.config.num_targets
        sizes = {
            "proprio": 4,
            "targets": 2 * K,
            "task": K if self.config.task_group == "one_hot" else 2,
        }
        return {name: sizes[name] for name in self.groups}

    @property
    def num_threads(self) -> int:
        """The number of threads that step the physics."""
        return self._physics.num_threads

    @property
    def ended(self) -> NDArray[np.bool_]:
        """Where an episode has ended, so that the next step starts another [B]. A copy."""
        return self._ended.copy()

    @property
    def physics_state(self) -> Float[NDArray, "B 4"]:
        """Position in m and velocity in m/s of each mass, float64. A copy."""
        return self._state.copy()

    @property
    def target_positions(self) -> Float[NDArray, "B K 2"]:
        """Where the targets are, in m, float64. A copy."""
        return self._targets.positions.copy()

    def reset(self) -> Step:
        """Starts a fresh episode in every instance."""
        everywhere = np.ones(self.num_envs, dtype=bool)
        self._start(everywhere, self._draw())
        self._ended = ~everywhere
        zeros = np.zeros(self.num_envs)
        offsets = self._targets.offsets(self._state[:, POSITION])
        return self._to_step(*offsets, zeros, ~everywhere, everywhere)

    def step(self, action: Float[Tensor, "B 2"]) -> Step:
        """Applies a force in every instance for one control step; where an episode has ended, the
        action is ignored and a fresh one starts.

        Args:
            action: [B, 2] in [-1, 1], the thrust along x and y in units of `Arena.force`.

        Raises:
            ValueError: actions of a wrong shape or type, not finite, or outside [-1, 1] (unless
                `clip_actions`); names the instance. Nothing has been stepped then.
        """
        control = self._checked(action)
        state, broken = self._physics.advance(self._state, control)
        is_first = self._ended
        if broken is not None:
            self._report(broken & ~self._ended, control)
            is_first = is_first | broken
        self._state = state
        self._age += 1
        draws = self._draw()
        starting = is_first.any()
        if starting:
            self._start(is_first, draws)
        offsets, to_current = self._targets.offsets(state[:, POSITION])
        x, y = to_current.T
        distance = np.sqrt(x * x + y * y)  # [B] m
        arrived = distance < self.config.target_radius  # never where an episode starts
        reward = -distance if self.config.reward == "dense" else arrived.astype(np.float64)
        if starting:
            reward[is_first] = 0.0
        terminated = arrived if self.config.task == "go_to_target" else np.zeros_like(arrived)
        if self.config.task == "visit_targets" and arrived.any():
            rows = np.flatnonzero(arrived)
            self._targets.move_on(rows, draws[rows])
            offsets, to_current = self._targets.offsets(state[:, POSITION])
        self._ended = terminated | (self._age >= self.config.max_steps)
        return self._to_step(offsets, to_current, reward, terminated, is_first)

    def reseed(self, seed: int) -> None:
        """Sets the source of randomness, from the next draw on."""
        self._generator.manual_seed(seed)

    def end_episodes(self, where: NDArray[np.bool_]) -> None:
        """Makes the next step of these instances [B] start a fresh episode."""
        self._ended = self._ended | where

    def close(self) -> None:
        """Ends the threads; they also end with the process."""
        self._physics.close()

    def state_dict(self) -> dict[str, Any]:
        """Return all that the future depends on: a resumed run equals an uninterrupted one, bit for
        bit."""
        arrays = {name: torch.from_numpy(array.copy()) for name, array in self._arrays().items()}
        return arrays | {
            "config": repr(self.config),
            "num_resets_nonfinite": self.num_resets_nonfinite,
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state.

        Raises:
            ValueError: of another number of instances or another config. Nothing is changed then.
        """
        arrays = self._arrays()
        held = state["physics"].shape[0]
        if held != self.num_envs:
            raise ValueError(
                f"the checkpoint holds {held} instances, this environment {self.num_envs}"
            )
        if state["config"] != repr(self.config):
            raise ValueError(
                f"the checkpoint was made with {state['config']}, this environment has"
                f" {self.config!r}: make it with the same config"
            )
        for name, array in arrays.items():
            array[:] = state[name].cpu().numpy()
        self.num_resets_nonfinite = state["num_resets_nonfinite"]
        self._generator.set_state(state["generator"].cpu())

    def _arrays(self) -> dict[str, NDArray]:
        return {
            "physics": self._state,
            "age": self._age,
            "ended": self._ended,
            "target_positions": self._targets.positions,
            "current_target": self._targets.current,
            "previous_target": self._targets.previous,
        }

    def _draw(self) -> Float[NDArray, "B U"]:
        shape = (self.num_envs, self._targets.num_draws)
        return torch.rand(shape, generator=self._generator).numpy()

    def _start(self, where: NDArray[np.bool_], draws: Float[NDArray, "B U"]) -> None:
        rows = np.flatnonzero(where)
        self._age[rows] = 0
        self._state[rows] = 0.0
        self._state[rows, POSITION] = self._targets.place(rows, draws[rows].astype(np.float64))

    def _checked(self, action: Tensor) -> Float[NDArray, "B 2"]:
        if action.shape != (self.num_envs, NUM_ACTIONS) or not action.is_floating_point():
            raise ValueError(
                f"actions must be floats of shape [{self.num_envs}, {NUM_ACTIONS}]:"
                f" got {action.dtype} {list(action.shape)}"
            )
        control = action.detach().to("cpu", torch.float64).numpy()
        size = np.abs(control)
        if not size.max() <= 1.0:  # NaN too
            bad = ~np.isfinite(control).all(-1)
            if not self.config.clip_actions:
                bad |= ~(size <= 1.0 + _ROUNDING).all(-1)
            if bad.any():
                instance = int(bad.argmax())
                raise ValueError(
                    f"actions must be finite and in [-1, 1]: got {control[instance].tolist()} in"
                    f" instance {instance}; squash the policy with tanh, or set clip_actions for"
                    " values that are only too large"
                )
            control = control.clip(-1.0, 1.0)
        return control

    def _report(self, broken: NDArray[np.bool_], control: Float[NDArray, "B 2"]) -> None:
        if broken.any() and self.num_resets_nonfinite == 0:
            instance = int(broken.argmax())
            before = self._state[instance]
            warnings.warn(
                f"the physics of instance {instance} became non-finite and a fresh episode was"
                f" started there: before it was at {before[POSITION].tolist()} m, velocity"
                f" {before[VELOCITY].tolist()} m/s, action {control[instance].tolist()}. Use a"
                " smaller physics_step or force. Further ones are counted in num_resets_nonfinite.",
                RuntimeWarning,
                stacklevel=3,
            )
        self.num_resets_nonfinite += int(broken.sum())

    def _to_step(
        self,
        offsets: Float[NDArray, "B K 2"],
        to_current: Float[NDArray, "B 2"],
        reward: Float[NDArray, " B"],
        terminated: NDArray[np.bool_],
        is_first: NDArray[np.bool_],
    ) -> Step:
        obs = {}
        for name in self.groups:
            if name == "proprio":
                group = self._state
            elif name == "targets":
                group = offsets.reshape(self.num_envs, -1)
            elif self.config.task_group == "one_hot":
                group = self._one_hot[self._targets.current]
            else:
                group = to_current
            obs[name] = self._to_tensor(group.astype(np.float32))
        return Step(
            obs,
            self._to_tensor(reward.astype(np.float32)),
            self._to_tensor((~terminated).astype(np.float32)),
            self._to_tensor(is_first),
        )

    def _to_tensor(self, array: NDArray) -> Tensor:
        """Share memory on the CPU: from here on, the array must not be written."""
        tensor = torch.from_numpy(array)
        return tensor if self.device.type == "cpu" else tensor.to(self.device)
