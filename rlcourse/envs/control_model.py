"""The body of the control tasks as a MuJoCo model, and many of them stepped together.

A sphere slides without gravity on two damped joints; two motors push it along x and y. Seen from
outside: thrust F a with |a| <= 1 per axis, and drag d v, so the speed tends to F a / d with the
time constant m / d. The walls of the square arena are the joints' limits: soft, without friction,
and for a sphere the same as four bodies to bump into.

Most of what MuJoCo's step costs for a body this small is the same for sixteen of them. So one model
holds up to `PACK` masses that know nothing of each other, and a batch is a number of such packs.

Deviations: the papers that use a point mass (Tirumala et al., 2022) give neither its arena nor its
mass; every size here is this course's own. Lengths are such that positions, velocities and the
offsets to targets are of order 1: no observation needs scaling.
"""

import os
from dataclasses import dataclass, fields
from math import isfinite

import mujoco
import numpy as np
from jaxtyping import Float
from mujoco.rollout import Rollout
from numpy.typing import NDArray

PACK = 16  # masses per model; with twice as many MuJoCo turns to sparse matrices, and is slower
POSITION, VELOCITY = slice(0, 2), slice(2, 4)  # in the state of a mass
NUM_STATE = 4

_DISABLED = mujoco.mjtDisableBit
# Warm starts make a step depend on the solver's last solution, which is no part of the state: then
# neither a resumed run nor another number of threads would give the same bits. The automatic reset
# would hide a mass that diverged. Looking for contacts costs time, and there are none. Islands stay
# enabled: the solver treats each mass at a wall by itself, as if it were alone.
_FLAGS = int(_DISABLED.mjDSBL_WARMSTART | _DISABLED.mjDSBL_AUTORESET | _DISABLED.mjDSBL_CONTACT)
_HIGHEST = 1e6  # of a stable state, in m and m/s
_SHORTEST = 1e-4  # s; MuJoCo gives up at accelerations of 1e10, one such step later at _HIGHEST


@dataclass(frozen=True)
class Arena:
    """The point mass and its walls. From rest it crosses the arena in 1.2 s, 24 control steps.

    Raises:
        ValueError: a number that is not positive and finite, a mass that does not fit between the
            walls, or a control step that is no multiple of the physics step.
    """

    half_size: float = 1.0  # m, from the middle to each wall
    radius: float = 0.05  # m, of the mass
    mass: float = 1.0  # kg
    force: float = 8.0  # N, of each motor at action 1
    damping: float = 4.0  # N s / m
    physics_step: float = 0.01  # s
    control_step: float = 0.05  # s, as in the locomotion tasks of Tirumala et al. (2022)

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (isfinite(value) and value > 0):
                raise ValueError(f"{field.name} must be positive and finite: got {value}")
        if self.radius >= self.half_size:
            raise ValueError(
                f"the mass, radius {self.radius}, must fit between walls at {self.half_size}"
            )
        if self.physics_step < _SHORTEST:
            raise ValueError(f"physics_step must be at least {_SHORTEST}: got {self.physics_step}")
        ratio = self.control_step / self.physics_step
        if abs(ratio - round(ratio)) > 1e-6 or round(ratio) < 1:
            raise ValueError(
                "control_step must be a multiple of physics_step: got"
                f" {self.control_step} and {self.physics_step}"
            )

    @property
    def num_substeps(self) -> int:
        """Physics steps in a control step."""
        return round(self.control_step / self.physics_step)

    @property
    def top_speed(self) -> float:
        """The speed along an axis under full thrust, in m/s."""
        return self.force / self.damping

    @property
    def reach(self) -> float:
        """How far from the middle the mass's center gets along an axis, in m."""
        return self.half_size - self.radius


def arena_spec(arena: Arena, num_masses: int = 1) -> mujoco.MjSpec:
    """Return the editable model: add what is only to be seen, then compile.

    Args:
        arena: sizes and forces.
        num_masses: in the same arena, passing through each other.
    """
    spec = mujoco.MjSpec()
    spec.modelname = "point mass"
    spec.option.timestep = arena.physics_step
    spec.option.gravity = [0.0, 0.0, 0.0]
    spec.option.disableflags = _FLAGS
    for number in range(num_masses):
        body = spec.worldbody.add_body(name=f"mass{number}", pos=[0.0, 0.0, arena.radius])
        body.add_geom(
            name=f"mass{number}",
            type=mujoco.mjtGeom.mjGEOM_SPHERE,
            size=[arena.radius, 0.0, 0.0],
            mass=arena.mass,
        )
        for axis, direction in (("x", [1.0, 0.0, 0.0]), ("y", [0.0, 1.0, 0.0])):
            name = f"{axis}{number}"
            joint = body.add_joint(name=name, type=mujoco.mjtJoint.mjJNT_SLIDE, axis=direction)
            joint.damping = [arena.damping, 0.0, 0.0]  # linear in the velocity
            joint.limited, joint.range = True, [-arena.reach, arena.reach]
            motor = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
            motor.gear = [arena.force, 0.0, 0.0, 0.0, 0.0, 0.0]
            motor.ctrllimited, motor.ctrlrange = True, [-1.0, 1.0]
    return spec


def build_model(arena: Arena, num_masses: int = 1) -> mujoco.MjModel:
    """Return the compiled model, without anything that is only to be seen."""
    return arena_spec(arena, num_masses).compile()


class BatchedPhysics:
    """Steps B masses, in packs, in MuJoCo's own threads.

    A mass's state is its position and velocity, and nothing else is carried from step to step: the
    result is the same, bit for bit, as that of `mujoco.mj_step` on a model of each mass alone,
    whatever the packs and the number of threads.

    Args:
        arena: sizes, forces and time steps.
        num_envs: B.
        num_threads: None chooses by the number of instances and processors.
        pack: masses per model, at most.

    Raises:
        ValueError: a count < 1.
    """

    def __init__(
        self, arena: Arena, num_envs: int, num_threads: int | None = None, pack: int = PACK
    ) -> None:
        num_threads = default_threads(num_envs) if num_threads is None else num_threads
        counts = {"num_envs": num_envs, "num_threads": num_threads, "pack": pack}
        for name, count in counts.items():
            if count < 1:
                raise ValueError(f"{name} must be at least 1: got {count}")
        pack = min(pack, -(-num_envs // num_threads))
        num_packs, num_steps = -(-num_envs // pack), arena.num_substeps
        model = build_model(arena, pack)
        self.num_envs, self.num_threads = num_envs, num_threads
        self._arena, self._pack_size = arena, pack
        self._one_by_one: BatchedPhysics | None = None
        # Without a pool of its own, the calling thread does the work.
        self._rollout = Rollout(nthread=num_threads if num_threads > 1 else 0)
        self._data = [mujoco.MjData(model) for _ in range(num_threads)]
        self._models, self._num_steps = [model] * num_packs, num_steps
        self._chunk_size = -(-num_packs // num_threads) if num_threads > 1 else num_packs
        # MuJoCo's layout of a pack's state: the time, all positions, all velocities.
        self._before = np.zeros((num_packs, 1 + 4 * pack))
        self._after = np.empty((num_packs, num_steps, 1 + 4 * pack))
        self._control = np.zeros((num_packs, num_steps, 2 * pack))
        self._sensors = np.empty((num_packs, num_steps, 0))
        # By mass, to be read as packs; the last pack may hold masses that stay at rest.
        self._padded = np.zeros((num_packs * pack, 2))
        self._packed = (num_packs, 2 * pack)

    def advance(
        self, state: Float[NDArray, "B 4"], control: Float[NDArray, "B 2"]
    ) -> tuple[Float[NDArray, "B 4"], NDArray[np.bool_] | None]:
        """Step each mass for one control step.

        MuJoCo stops where it finds a mass unstable, prints a warning and appends it to
        MUJOCO_LOG.TXT in the working directory. No other mass is touched by that.

        Args:
            state: [B, 4].
            control: [B, 2] of the motors, in [-1, 1].

        Returns:
            The states [B, 4], float64; and which are not finite or beyond anything that physics
            allows [B], None standing for none.
        """
        after = self._step_packs(state, control)
        if np.abs(after).max() < _HIGHEST:  # not so for NaN
            return after, None
        if self._pack_size > 1:  # a mass that breaks down stops its pack, and may spoil it
            if self._one_by_one is None:
                self._one_by_one = BatchedPhysics(self._arena, self.num_envs, 1, pack=1)
            return self._one_by_one.advance(state, control)
        return after, ~(np.abs(after) < _HIGHEST).all(-1)

    def close(self) -> None:
        """Ends the threads. A second call does nothing."""
        if self._rollout.rollout_ is not None:
            self._rollout.close()

    def _step_packs(
        self, state: Float[NDArray, "B 4"], control: Float[NDArray, "B 2"]
    ) -> Float[NDArray, "B 4"]:
        half = self._packed[1]
        self._before[:, 1 : 1 + half] = self._pack(state[:, POSITION])
        self._before[:, 1 + half :] = self._pack(state[:, VELOCITY])
        self._control[:] = self._pack(control)[:, None]
        self._rollout.rollout(
            self._models,
            self._data,
            self._before,
            self._control,
            skip_checks=True,  # they cost as much as the physics of many instances
            nstep=self._num_steps,
            state=self._after,
            sensordata=self._sensors,
            chunk_size=self._chunk_size,
        )
        last, after = self._after[:, -1, 1:], np.empty((self.num_envs, NUM_STATE))
        after[:, POSITION] = last[:, :half].reshape(-1, 2)[: self.num_envs]
        after[:, VELOCITY] = last[:, half:].reshape(-1, 2)[: self.num_envs]
        return after

    def _pack(self, values: Float[NDArray, "B 2"]) -> Float[NDArray, "P D"]:
        self._padded[: self.num_envs] = values
        return self._padded.reshape(self._packed)


def default_threads(num_envs: int) -> int:
    """Return how many threads pay: one for each 128 instances, at most one per processor."""
    usable = getattr(os, "sched_getaffinity", None)  # where a container or a cluster grants a few
    processors = len(usable(0)) if usable else os.cpu_count() or 1
    return max(1, min(processors, num_envs // 128))
