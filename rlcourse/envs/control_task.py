"""Tasks for the point mass: which target to reach, where the targets are, what comes after one.

Targets are discs that the mass passes over. An episode draws their places (one target in each cell
of a coarse lattice, in random order, so that no two overlap), the first target and a start at rest.
Sequential navigation is `visit_targets` with a rule for what follows: P(next | previous, current).

Deviations: Tirumala et al. (2022) name go to one of K targets and sequential navigation, but not
these sizes, the distribution of starts or the time limits; they are this course's own.
"""

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from rlcourse.envs.control_model import Arena

TASKS = {
    "go_to_target": "the episode ends, with discount 0.0, when the current target is reached",
    "visit_targets": "when the current target is reached, another becomes the current one",
    "stay_at_target": "the current target stays what it is until the time limit",
}
REWARDS = {
    "sparse": "1 on arriving inside the current target (at each step inside, for stay_at_target)",
    "dense": "minus the distance to the middle of the current target, in m",
}
_START = 1.5  # target radii: an episode starts no closer to the middle of its first target


@dataclass(frozen=True)
class PointMassConfig:
    """What the point mass is to do.

    Attributes:
        task: one of `TASKS`.
        reward: one of `REWARDS`.
        num_targets: K.
        target_radius: in m; a target is reached when the mass's center is that close to its middle.
        target_positions: K fixed places (x, y) in m; None draws them anew in each episode.
        max_steps: the time limit of an episode, in control steps; it keeps discount 1.0.
        task_group: what the group "task" holds: "one_hot" [K], or the egocentric "position" [2] of
            the current target.
        clip_actions: clip actions into [-1, 1] where they are outside, rather than refuse them.
        arena: the body and its walls.

    Raises:
        ValueError: an unknown choice, a count < 1, targets outside the arena or too large for it.
    """

    task: Literal["go_to_target", "visit_targets", "stay_at_target"] = "go_to_target"
    reward: Literal["sparse", "dense"] = "sparse"
    num_targets: int = 4  # Tirumala et al. (2022), sequential navigation
    target_radius: float = 0.15
    target_positions: tuple[tuple[float, float], ...] | None = None
    max_steps: int = 100  # 5 s
    task_group: Literal["one_hot", "position"] = "one_hot"
    clip_actions: bool = False
    arena: Arena = field(default_factory=Arena)

    def __post_init__(self) -> None:
        _check_choice("task", self.task, TASKS)
        _check_choice("reward", self.reward, REWARDS)
        _check_choice("task_group", self.task_group, ("one_hot", "position"))
        for name in ("num_targets", "max_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1: got {getattr(self, name)}")
        if self.task == "visit_targets" and self.num_targets < 2:
            raise ValueError("visit_targets needs at least 2 targets: got num_targets = 1")
        if self.task == "visit_targets" and self.reward == "dense":
            raise ValueError(
                "with a dense reward, visit_targets pays best at the rim of a target that is never"
                " reached: use the sparse reward, or another task"
            )
        self._check_targets()

    def _check_targets(self) -> None:
        # Room for a start beside the target, and for a target in each cell of the lattice.
        highest = self.arena.reach / _START
        if self.target_positions is None:
            highest = min(highest, self.arena.half_size / lattice(self.num_targets))
        if not 0 < self.target_radius < highest:
            raise ValueError(
                f"target_radius must be in (0, {highest:g}) for {self.num_targets} targets"
                f" between walls at {self.arena.half_size:g}: got {self.target_radius}"
            )
        if self.target_positions is None:
            return
        if len(self.target_positions) != self.num_targets:
            raise ValueError(
                f"target_positions must hold num_targets = {self.num_targets} places:"
                f" got {len(self.target_positions)}"
            )
        for x, y in self.target_positions:
            if not max(abs(x), abs(y)) <= self.arena.reach:
                raise ValueError(
                    f"a target must be within {self.arena.reach:g} of the middle along each axis:"
                    f" got ({x}, {y})"
                )


def lattice(num_targets: int) -> int:
    """Return the number of cells along each side of the lattice that targets are drawn in."""
    return math.ceil(math.sqrt(num_targets))


class Targets:
    """The targets of B instances. All methods write in place what `state` holds.

    Args:
        config: of the task.
        num_envs: B.
        first_target: probabilities [K] or [B, K] of the first target of an episode, for instances
            that keep to some of the tasks; None: all alike.
        dynamics: P(next | previous, current) [K, K, K] in `visit_targets`; None: all others alike.

    Raises:
        ValueError: probabilities of another shape, or that do not sum to 1; a target that is to
            follow itself; `dynamics` in another task.
    """

    def __init__(
        self,
        config: PointMassConfig,
        num_envs: int,
        first_target: Float[Tensor, "*B K"] | None = None,
        dynamics: Float[Tensor, "K K K"] | None = None,
    ) -> None:
        K = config.num_targets
        if dynamics is not None and config.task != "visit_targets":
            raise ValueError(f"dynamics are for visit_targets, the task is {config.task}")
        self._config = config
        self._cells, self._jitter = _layout(config)
        uniform = torch.full((K,), 1.0 / K) if first_target is None else first_target
        self._first = _cumulative("first_target", uniform, ((K,), (num_envs, K)))
        self._first = np.broadcast_to(self._first, (num_envs, K))
        others = (1.0 - torch.eye(K)).expand(K, K, K) / max(1, K - 1)
        if dynamics is not None and bool((dynamics.diagonal(dim1=1, dim2=2) > 0).any()):
            raise ValueError("dynamics must not let a target follow itself: it was just reached")
        if K > 1:
            chosen = others if dynamics is None else dynamics
            self._next = _cumulative("dynamics", chosen, ((K, K, K),))
        fixed = config.target_positions
        self._num_layout_draws = 0 if fixed is not None else len(self._cells) + 2 * K
        self.num_draws = self._num_layout_draws + 4
        self.positions = np.zeros((num_envs, K, 2))  # m
        if fixed is not None:
            self.positions[:] = fixed
        self.current = np.zeros(num_envs, dtype=np.int64)
        self.previous = np.zeros(num_envs, dtype=np.int64)  # reached, or left out, before it
        self._rows = np.arange(num_envs)

    def place(
        self, rows: NDArray[np.integer], draws: Float[NDArray, "N U"]
    ) -> Float[NDArray, "N 2"]:
        """Start episodes in these instances; return where the mass starts, in m.

        Args:
            rows: N instances.
            draws: uniform numbers in [0, 1) of each [N, num_draws].
        """
        layout, rest = draws[:, : self._num_layout_draws], draws[:, self._num_layout_draws :]
        if self._num_layout_draws:
            self.positions[rows] = self._draw_layout(layout)
        current = _inverse(self._first[rows], rest[:, 0])
        shift = 1 + (rest[:, 1] * (self._config.num_targets - 1)).astype(np.int64)
        self.current[rows] = current
        self.previous[rows] = (current + shift) % self._config.num_targets
        return self._off_target(
            (2.0 * rest[:, 2:4] - 1.0) * self._config.arena.reach, self.positions[rows, current]
        )

    def move_on(self, rows: NDArray[np.integer], draws: Float[NDArray, "N U"]) -> None:
        """Make another target the current one in these instances."""
        previous, current = self.previous[rows], self.current[rows]
        following = _inverse(self._next[previous, current], draws[:, self._num_layout_draws])
        self.previous[rows], self.current[rows] = current, following

    def offsets(
        self, position: Float[NDArray, "B 2"]
    ) -> tuple[Float[NDArray, "B K 2"], Float[NDArray, "B 2"]]:
        """Return the way from the mass to each target and to the current one, in m."""
        offsets = self.positions - position[:, None]
        return offsets, offsets[self._rows, self.current]

    def _draw_layout(self, draws: Float[NDArray, "N U"]) -> Float[NDArray, "N K 2"]:
        """One target in each of K cells: cells in the order of their draws, places within them."""
        num_cells, K = len(self._cells), self._config.num_targets
        cells = draws[:, :num_cells].argsort(-1)[:, :K]
        within = draws[:, num_cells:].reshape(-1, K, 2)
        return self._cells[cells] + (2.0 * within - 1.0) * self._jitter

    def _off_target(
        self, start: Float[NDArray, "N 2"], target: Float[NDArray, "N 2"]
    ) -> Float[NDArray, "N 2"]:
        """Move a start inside the target out of it, toward the middle of the arena."""
        distance = _START * self._config.target_radius
        inside = np.square(start - target).sum(-1) < distance**2
        for row in np.flatnonzero(inside):  # a few in a hundred
            length = math.hypot(*target[row])
            outward = target[row] / length if length > 0 else np.array([1.0, 0.0])
            start[row] = target[row] - distance * outward
        return start


def _layout(config: PointMassConfig) -> tuple[Float[NDArray, "C 2"], float]:
    """The middles of the lattice's cells, and how far a target may be from one along an axis."""
    num = lattice(config.num_targets)
    size = 2.0 * config.arena.half_size / num
    x, y = np.meshgrid(np.arange(num), np.arange(num))
    middles = (np.stack([x.ravel(), y.ravel()], -1) + 0.5) * size - config.arena.half_size
    return middles, size / 2.0 - config.target_radius


def _inverse(cumulative: Float[NDArray, "N K"], draw: Float[NDArray, " N"]) -> NDArray[np.int64]:
    return (draw[:, None] >= cumulative).sum(-1)


def _cumulative(name: str, probabilities: Tensor, shapes: tuple[tuple[int, ...], ...]) -> NDArray:
    array = probabilities.detach().cpu().double().numpy()
    if array.shape not in shapes:
        allowed = " or ".join(str(list(shape)) for shape in shapes)
        raise ValueError(f"{name} must have shape {allowed}: got {list(array.shape)}")
    sums = array.sum(-1)
    if not (np.abs(sums - 1.0) < 1e-4).all() or array.min() < 0.0:
        raise ValueError(f"{name} must hold probabilities that sum to 1 over the last axis")
    cumulative = array.cumsum(-1)
    return cumulative / cumulative[..., -1:]  # ends at exactly 1, which no draw passes


def _check_choice(name: str, chosen: str, known: object) -> None:
    if chosen not in known:
        raise ValueError(f"unknown {name} {chosen!r}: there are {', '.join(known)}")
