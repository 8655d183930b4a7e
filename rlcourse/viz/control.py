"""The point mass from above, in matplotlib: arena, targets, trails of episodes.

Every function draws one arena into given axes, in meters. Targets are discs with a number, each in
a color of its own; a trail has the color of the target that was the current one, from faint at the
start to solid at the end.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle
from matplotlib.pyplot import figure
from numpy.typing import NDArray
from torch import Tensor

from rlcourse.envs.control_task import PointMassConfig
from rlcourse.envs.groups import check_groups
from rlcourse.types import Environment, Step
from rlcourse.viz.style import PALETTE

# Blue, red, green and black as in Tirumala et al. (2022), in the tones of Okabe and Ito.
TARGET_COLORS = tuple(
    PALETTE[role]
    for role in ("ours", "failure", "expert", "start", "baseline", "ablation", "alternative")
)
WALL_WIDTH, RING_GAP = 0.06, 0.045  # m, as drawn
_NEEDED = ("proprio", "targets", "task")


class Trajectory(NamedTuple):
    """One episode, or its beginning, of one instance. L is the number of steps taken."""

    position: Float[NDArray, "L+1 2"]  # m
    targets: Float[NDArray, "K 2"]  # m
    current: Int[NDArray, " L+1"]  # the target to reach
    arrived: Bool[NDArray, " L+1"]  # the current target was reached at this step

    def legs(self) -> list[tuple[int, int, int]]:
        """Return (target, first step, last step) for each target in turn."""
        last = len(self.position) - 1
        # The step that reaches a target already names the next one, and still belongs to this leg.
        changes = [int(t) for t in np.flatnonzero(np.diff(self.current)) + 1]
        bounds = [0, *changes, last]
        legs = [(int(self.current[a]), a, b) for a, b in pairwise(bounds) if b > a]
        return legs or [(int(self.current[0]), 0, last)]


def play(env: Environment, act: Callable[[Step], Tensor], num_steps: int) -> list[list[Trajectory]]:
    """Reset, act for some steps, and return the episodes of each instance in turn.

    Args:
        env: a `PointMass` with all its observation groups; one apart from training.
        act: maps a step to actions [B, 2]; called without gradients.
        num_steps: at least 1.

    Raises:
        ValueError: for num_steps below 1, or a missing observation group.
    """
    if num_steps < 1:
        raise ValueError(f"num_steps must be at least 1: got {num_steps}")
    steps = [env.reset()]
    for _ in range(num_steps):
        with torch.no_grad():
            steps.append(env.step(act(steps[-1])))
    return trajectories(steps)


def trajectories(steps: Sequence[Step]) -> list[list[Trajectory]]:
    """Read the episodes of each instance out of consecutive steps of a `PointMass`.

    Raises:
        ValueError: no steps, or a missing observation group.
    """
    if not steps:
        raise ValueError("there are no steps to draw")
    for name in _NEEDED:
        check_groups((name,), tuple(steps[0].obs))
    proprio, targets, task = (_stacked(step.obs[name] for step in steps) for name in _NEEDED)
    position = proprio[..., :2]
    targets = targets.reshape(*targets.shape[:2], -1, 2) + position[:, :, None]  # [T, B, K, 2]
    if task.shape[-1] == targets.shape[2] and (np.sort(task)[..., -2:] == [0.0, 1.0]).all():
        current = task.argmax(-1)  # one-hot
    else:  # the way to the current target
        away = np.linalg.norm(targets - (position + task)[:, :, None], axis=-1)
        current = away.argmin(-1)
    is_first = _stacked(step.is_first for step in steps).astype(bool)
    discount = _stacked(step.discount for step in steps)
    moved_on = np.zeros_like(is_first)
    moved_on[1:] = (current[1:] != current[:-1]) & ~is_first[1:]
    arrived = (discount == 0.0) | moved_on
    episodes: list[list[Trajectory]] = []
    for b in range(is_first.shape[1]):
        bounds = sorted({0, *np.flatnonzero(is_first[:, b]).tolist(), len(steps)})
        rows = [slice(start, stop) for start, stop in pairwise(bounds)]
        episodes.append(
            [
                Trajectory(position[r, b], targets[r.start, b], current[r, b], arrived[r, b])
                for r in rows
            ]
        )
    return episodes


def draw_arena(ax: Axes, config: PointMassConfig, *, ticks: bool = False) -> None:
    """Draws floor and walls.

    Args:
        ax: where to draw.
        config: of the task.
        ticks: whether to draw axes in meters.
    """
    half = config.arena.half_size
    outer = half + WALL_WIDTH
    for size, role in ((outer, "wall"), (half, "floor")):
        ax.add_patch(Rectangle((-size, -size), 2 * size, 2 * size, fc=PALETTE[role], lw=0))
    ax.set(xlim=(-outer, outer), ylim=(-outer, outer), aspect="equal")
    ax.grid(False)
    ax.spines[:].set_visible(False)
    marks = [-half, 0.0, half] if ticks else []
    ax.set(xticks=marks, yticks=marks)
    if ticks:
        ax.set(xlabel="x (m)", ylabel="y (m)")


def draw_targets(
    ax: Axes, config: PointMassConfig, positions: Float[NDArray, "K 2"], current: int | None = None
) -> None:
    """Draws the targets as numbered discs; a ring marks the current one.

    Args:
        ax: where to draw, over an arena.
        config: of the task.
        positions: [K, 2] in m.
        current: which is to be reached; None: no ring.
    """
    for number, (x, y) in enumerate(positions):
        color, radius = target_color(number), config.target_radius
        ax.add_patch(Circle((x, y), radius, fc=to_rgba(color, 0.22), ec=color, lw=1.2, zorder=2))
        ax.text(
            x,
            y,
            str(number + 1),
            color=color,
            ha="center",
            va="center",
            fontweight="bold",
            fontsize="medium",
            zorder=2.5,
        )
        if number == current:
            ring = Circle((x, y), radius + RING_GAP, fill=False, ec=color, lw=2.0, zorder=2)
            ax.add_patch(ring)


def draw_trajectory(
    ax: Axes, config: PointMassConfig, trajectory: Trajectory, *, ticks: bool = False
) -> None:
    """Draws an arena with one episode in it: start (ring), trail, arrivals (dots), end (disc).

    Args:
        ax: where to draw.
        config: of the task.
        trajectory: of `play` or `trajectories`.
        ticks: whether to draw axes in meters.
    """
    draw_arena(ax, config, ticks=ticks)
    legs = trajectory.legs()
    draw_targets(ax, config, trajectory.targets, legs[-1][0])
    ages = np.linspace(0.35, 1.0, len(trajectory.position))[:, None]
    for target, first, last in legs:
        segments = _segments(trajectory.position[first : last + 1])
        # Paler, not transparent: round ends of transparent segments show where they overlap.
        solid, floor = np.array(to_rgb(target_color(target))), np.array(to_rgb(PALETTE["floor"]))
        colors = floor + ages[first + 1 : last + 1] * (solid - floor)
        ax.add_collection(
            LineCollection(segments, colors=colors, linewidths=2.2, capstyle="round", zorder=3)
        )
    start, end = trajectory.position[0], trajectory.position[-1]
    ax.plot(*start, marker="o", ms=7, mfc=PALETTE["paper"], mec=PALETTE["start"], mew=1.5, zorder=4)
    reached = trajectory.position[trajectory.arrived]
    ax.plot(
        *reached.T,
        ls="none",
        marker="o",
        ms=4,
        mfc=PALETTE["paper"],
        mec=PALETTE["text"],
        mew=1.0,
        zorder=4.5,
    )
    ax.add_patch(
        Circle(end, config.arena.radius, fc=PALETTE["text"], ec=PALETTE["paper"], lw=1.2, zorder=4)
    )


def draw_trails(
    ax: Axes,
    config: PointMassConfig,
    played: Iterable[Trajectory],
    *,
    color: str = "ours",
    opacity: float = 0.35,
    ticks: bool = False,
) -> None:
    """Draws many episodes over each other in one color, without targets: where a policy or a prior
    goes.

    Args:
        ax: where to draw.
        config: of the task.
        played: the episodes.
        color: a role of `PALETTE`, or any color of matplotlib.
        opacity: of one trail.
        ticks: whether to draw axes in meters.
    """
    draw_arena(ax, config, ticks=ticks)
    rgba = to_rgba(PALETTE.get(color, color), opacity)
    lines = [trajectory.position for trajectory in played]
    ax.add_collection(LineCollection(lines, colors=[rgba], linewidths=1.3, zorder=3))
    ends = np.array([line[-1] for line in lines]).reshape(-1, 2)
    ax.plot(*ends.T, ls="none", marker="o", ms=2.5, color=rgba, zorder=3.5)


def panel(
    config: PointMassConfig,
    played: Sequence[Trajectory],
    titles: Sequence[str] | None = None,
    columns: int = 4,
) -> Figure:
    """Draws episodes side by side, for instance one per agent.

    Args:
        config: of the task.
        played: the episodes.
        titles: one per episode.
        columns: of the panel.

    Raises:
        ValueError: no episode, or another number of titles.
    """
    check_titles(played, titles)
    columns = min(columns, len(played))
    rows = -(-len(played) // columns)
    fig = figure(figsize=(2.25 * columns, (2.25 + 0.25 * bool(titles)) * rows))
    axes = fig.subplots(rows, columns, squeeze=False).ravel()
    for number, (ax, trajectory) in enumerate(zip(axes, played, strict=False)):
        draw_trajectory(ax, config, trajectory)
        if titles is not None:
            ax.set_title(titles[number])
    for ax in axes[len(played) :]:
        ax.set_axis_off()
    return fig


def target_color(number: int) -> str:
    """Return the color of a target; from the eighth on they come again."""
    return TARGET_COLORS[number % len(TARGET_COLORS)]


def check_titles(played: Sequence[Trajectory], titles: Sequence[str] | None) -> None:
    """Raise ValueError unless there are episodes, and a title for each if there is any."""
    if not played:
        raise ValueError("there is no episode to draw")
    if titles is not None and len(titles) != len(played):
        raise ValueError(f"there are {len(played)} episodes and {len(titles)} titles")


def _segments(position: Float[NDArray, "L+1 2"]) -> Float[NDArray, "L 2 2"]:
    return np.stack([position[:-1], position[1:]], 1)


def _stacked(tensors: Iterable[Tensor]) -> NDArray:
    return torch.stack([tensor.detach().cpu() for tensor in tensors]).double().numpy()
