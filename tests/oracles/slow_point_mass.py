"""The point mass one instance at a time, with `mujoco.mj_step` and plain Python."""

import math

import mujoco

from rlcourse.envs.control_model import build_model
from rlcourse.envs.control_task import PointMassConfig


class SlowPointMass:
    def __init__(self, config: PointMassConfig) -> None:
        self.config = config
        self.model = build_model(config.arena)
        self.data = mujoco.MjData(self.model)

    def start(self, position, targets) -> None:
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[:] = position
        self.targets, self.age = targets, 0

    def state(self) -> list[float]:
        return [*self.data.qpos, *self.data.qvel]

    def offset(self, target: int) -> list[float]:
        return [float(self.targets[target][i] - self.data.qpos[i]) for i in range(2)]

    def step(self, action, current: int) -> tuple[float, bool, bool, bool]:
        """Return the reward, and whether the target was reached, ended it, or time ran out."""
        self.data.ctrl[:] = action
        for _ in range(round(self.config.arena.control_step / self.config.arena.physics_step)):
            mujoco.mj_step(self.model, self.data)
        self.age += 1
        x, y = self.offset(current)
        distance = math.sqrt(x * x + y * y)
        arrived = distance < self.config.target_radius
        reward = float(arrived) if self.config.reward == "sparse" else -distance
        ends = arrived and self.config.task == "go_to_target"
        return reward, arrived, ends, self.age >= self.config.max_steps
