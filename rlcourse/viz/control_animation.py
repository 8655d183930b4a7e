"""Animations of point mass episodes that need no kernel, no script and no network.

`animate` writes an animated SVG of a few kilobytes, which notebooks show as an image and loop.
`save_gif` is for places that show no SVG.
"""

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from numpy.typing import NDArray
from PIL import Image

from rlcourse.envs.control_task import PointMassConfig
from rlcourse.viz.control import (
    RING_GAP,
    WALL_WIDTH,
    Trajectory,
    check_titles,
    draw_arena,
    draw_targets,
    target_color,
)
from rlcourse.viz.style import PALETTE

_SIDE, _GAP, _HEAD, _FOOT = 210.0, 14.0, 24.0, 12.0  # of one arena, in pixels
_PAUSE = 0.8  # s, at the end of each round
_FONT = 'font-family="DejaVu Sans, sans-serif"'
MAX_POINTS = 12_000  # on all trails of an SVG; about 40 bytes each
MAX_FRAMES = 240  # of a GIF


class Animation:
    """An animated SVG. As the last value of a notebook's cell it is shown.

    Attributes:
        svg: the document.
        seconds: how long one round lasts.
    """

    def __init__(self, svg: str, seconds: float, words: str) -> None:
        self.svg, self.seconds, self._words = svg, seconds, words

    def save(self, path: str | Path) -> None:
        """Writes the SVG to a file."""
        Path(path).write_text(self.svg)

    def _repr_html_(self) -> str:
        # As an image: viewers of notebooks drop inline SVG, and an image needs no trust.
        encoded = base64.b64encode(self.svg.encode()).decode()
        return (
            f'<img style="max-width:100%;height:auto" alt="{escape(self._words)}"'
            f' src="data:image/svg+xml;base64,{encoded}">'
        )

    def __repr__(self) -> str:
        return f"<Animation: {self._words}>"


def animate(
    config: PointMassConfig,
    played: Sequence[Trajectory],
    titles: Sequence[str] | None = None,
    *,
    speed: float = 1.0,
    columns: int = 4,
) -> Animation:
    """Return episodes moving side by side, over and over; the short ones wait for the longest.

    Where animations are not supported, the picture shows whole trails and where they end.

    Args:
        config: of the task.
        played: the episodes.
        titles: one per episode.
        speed: 1.0 is real time.
        columns: arenas in a row.

    Raises:
        ValueError: no episode, another number of titles, a speed that is not positive, or more
            steps than a notebook should carry.
    """
    check_titles(played, titles)
    if not speed > 0:
        raise ValueError(f"speed must be positive: got {speed}")
    num_points = sum(len(trajectory.position) for trajectory in played)
    if num_points > MAX_POINTS:
        raise ValueError(
            f"{num_points} steps make a picture too large for a notebook, at most {MAX_POINTS}:"
            " draw fewer or shorter episodes"
        )
    longest = max(len(trajectory.position) for trajectory in played) - 1
    moving = max(1, longest) * config.arena.control_step / speed
    clock = _Clock(moving + _PAUSE, config.arena.control_step / speed)
    columns, head = min(columns, len(played)), _HEAD if titles is not None else 0.0
    rows = -(-len(played) // columns)
    width = columns * (_SIDE + _GAP) - _GAP
    height = rows * (head + _SIDE + _FOOT) + _FOOT
    parts = []
    for number, trajectory in enumerate(played):
        x = (number % columns) * (_SIDE + _GAP)
        y = (number // columns) * (head + _SIDE + _FOOT)
        title = "" if titles is None else _title(titles[number])
        scene = _scene(config, trajectory, clock)
        parts.append(
            f'<g transform="translate({x:g} {y:g})">{title}'
            f'<g transform="translate(0 {head:g})">{scene}</g></g>'
        )
    words = f"{len(played)} episode{'s' if len(played) > 1 else ''} of the point mass"
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}"'
        f' width="{width:g}" height="{height:g}" role="img" aria-label="{words}">'
        f'<rect width="100%" height="100%" fill="{PALETTE["paper"]}"/>'
        f"{''.join(parts)}{_time_bar(clock, moving, width, height)}</svg>"
    )
    return Animation(svg, clock.seconds, words)


def save_gif(
    path: str | Path,
    config: PointMassConfig,
    played: Sequence[Trajectory],
    titles: Sequence[str] | None = None,
    *,
    speed: float = 1.0,
    stride: int = 2,
) -> None:
    """Writes the same as a GIF: slower, larger and coarser than the SVG, but shown everywhere.

    Args:
        path: of the file.
        config: of the task.
        played: the episodes.
        titles: one per episode.
        speed: 1.0 is real time.
        stride: steps per frame.

    Raises:
        ValueError: no episode, another number of titles, a speed or stride that is not positive,
            or more than `MAX_FRAMES` frames.
    """
    check_titles(played, titles)
    if not speed > 0 or stride < 1:
        raise ValueError(f"speed and stride must be positive: got {speed} and {stride}")
    longest = max(len(trajectory.position) for trajectory in played) - 1
    times = [*range(0, longest, stride), longest]
    if len(times) > MAX_FRAMES:
        raise ValueError(
            f"{len(times)} frames make a file too large, at most {MAX_FRAMES}: raise stride"
        )
    frames = _gif_frames(config, played, titles, times)
    milliseconds = max(20, round(1000 * stride * config.arena.control_step / speed))
    durations = [milliseconds] * (len(frames) - 1) + [round(1000 * _PAUSE)]
    buffer = io.BytesIO()
    frames[0].save(
        buffer, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0
    )
    Path(path).write_bytes(buffer.getvalue())


class _Clock:
    """Turns steps into shares of a round, the unit of SVG's key times."""

    def __init__(self, seconds: float, step: float) -> None:
        self.seconds, self._step = seconds, step

    def share(self, step: float) -> float:
        return step * self._step / self.seconds

    def animate(
        self, attribute: str, steps: Sequence[float], values: Sequence[str], mode: str = "linear"
    ) -> str:
        """Hold the first value before the first step, and the last after the last one."""
        times = [self.share(step) for step in steps]
        values = list(values)
        if times[0] > 0.0:
            times, values = [0.0, *times], [values[0], *values]
        if times[-1] < 1.0:
            times, values = [*times, 1.0], [*values, values[-1]]
        return (
            f'<animate attributeName="{attribute}" dur="{self.seconds:.4g}s" calcMode="{mode}"'
            f' repeatCount="indefinite" keyTimes="{";".join(f"{t:.4g}" for t in times)}"'
            f' values="{";".join(values)}"/>'
        )


def _scene(config: PointMassConfig, trajectory: Trajectory, clock: _Clock) -> str:
    """One arena: walls, targets, trails, mass."""
    half = config.arena.half_size
    scale = _SIDE / (2 * (half + WALL_WIDTH))  # pixels per meter
    wall, floor = WALL_WIDTH * scale, 2 * half * scale
    center = np.array([half + WALL_WIDTH, half + WALL_WIDTH])
    flip = np.array([1.0, -1.0])  # y points down on the screen
    position = (center + trajectory.position * flip) * scale  # [L + 1, 2]
    targets = (center + trajectory.targets * flip) * scale
    parts = [
        f'<rect width="{_SIDE:g}" height="{_SIDE:g}" rx="3" fill="{PALETTE["wall"]}"/>',
        f'<rect x="{wall:.1f}" y="{wall:.1f}" width="{floor:.1f}" height="{floor:.1f}"'
        f' fill="{PALETTE["floor"]}"/>',
        *(_target(n, p, config.target_radius * scale) for n, p in enumerate(targets)),
    ]
    for target, first, last in trajectory.legs():
        ring = (config.target_radius + RING_GAP) * scale
        parts.append(_ring(targets[target], ring, target, first, last, trajectory, clock))
        parts.append(_trail(position[first : last + 1], first, target, clock))
    parts.append(_mass(position, config.arena.radius * scale, clock))
    return "".join(parts)


def _target(number: int, place: Float[NDArray, "2"], radius: float) -> str:
    (x, y), color = place, target_color(number)
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{color}" fill-opacity="0.22"'
        f' stroke="{color}" stroke-width="1.4"/>'
        f'<text x="{x:.1f}" y="{y:.1f}" dy="0.36em" text-anchor="middle" {_FONT} font-size="12"'
        f' font-weight="bold" fill="{color}">{number + 1}</text>'
    )


def _ring(
    place: Float[NDArray, "2"],
    radius: float,
    target: int,
    first: int,
    last: int,
    trajectory: Trajectory,
    clock: _Clock,
) -> str:
    """Around the target while it is the current one; at the end of a round, around the last."""
    ends = len(trajectory.position) - 1
    steps, values = [float(first)], ["1"]
    if first > 0:
        steps, values = [0.0, *steps], ["0", *values]
    if last < ends:
        steps, values = [*steps, float(last)], [*values, "0"]
    shown = "1" if last == ends else "0"
    x, y = place
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="none" stroke-width="2"'
        f' stroke="{target_color(target)}" opacity="{shown}">'
        f"{clock.animate('opacity', steps, values, 'discrete')}</circle>"
    )


def _trail(points: Float[NDArray, "L 2"], first: int, target: int, clock: _Clock) -> str:
    """Uncover a line as the mass moves along it."""
    length = np.concatenate(
        [[0.0], np.linalg.norm(np.diff(points.round(1), axis=0), axis=-1).cumsum()]
    )
    whole = max(float(length[-1]), 0.1) + 1.0  # the dash must not show before its time
    hidden = [f"{whole - passed:.1f}" for passed in length]
    hidden[0] = f"{whole:.1f}"
    steps = [float(first + number) for number in range(len(points))]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return (
        f'<polyline points="{line}" fill="none" stroke="{target_color(target)}" stroke-width="2.4"'
        f' stroke-linejoin="round" stroke-dasharray="{whole:.1f} {whole:.1f}">'
        f"{clock.animate('stroke-dashoffset', steps, hidden)}</polyline>"
    )


def _mass(position: Float[NDArray, "L 2"], radius: float, clock: _Clock) -> str:
    steps = [float(number) for number in range(len(position))]
    moves = "".join(
        clock.animate(name, steps, [f"{value:.1f}" for value in position[:, axis]])
        for axis, name in enumerate(("cx", "cy"))
    )
    (x, y), (x_end, y_end) = position[0], position[-1]
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{PALETTE["paper"]}"'
        f' stroke="{PALETTE["start"]}" stroke-width="1.4"/>'
        f'<circle cx="{x_end:.1f}" cy="{y_end:.1f}" r="{max(radius, 4.0):.1f}"'
        f' fill="{PALETTE["text"]}" stroke="{PALETTE["paper"]}" stroke-width="1.4">{moves}</circle>'
    )


def _title(words: str) -> str:
    return (
        f'<text x="0" y="15" {_FONT} font-size="13" font-weight="bold"'
        f' fill="{PALETTE["text"]}">{escape(words)}</text>'
    )


def _time_bar(clock: _Clock, moving: float, width: float, height: float) -> str:
    share = min(1.0, moving / clock.seconds)
    grow = (
        f'<animate attributeName="width" dur="{clock.seconds:.4g}s" repeatCount="indefinite"'
        f' keyTimes="0;{share:.4g};1" values="0;{width:g};{width:g}"/>'
    )
    return (
        f'<rect y="{height - 4:g}" width="{width:g}" height="3" fill="{PALETTE["line"]}"/>'
        f'<rect y="{height - 4:g}" width="{width:g}" height="3" fill="{PALETTE["muted"]}">'
        f"{grow}</rect>"
    )


def _gif_frames(
    config: PointMassConfig,
    played: Sequence[Trajectory],
    titles: Sequence[str] | None,
    times: Sequence[int],
) -> list[Image.Image]:
    with mpl.rc_context({"figure.constrained_layout.use": True}):
        fig = Figure(figsize=(2.1 * len(played), 2.1 + 0.25 * (titles is not None)), dpi=90)
        canvas = FigureCanvasAgg(fig)
        axes = fig.subplots(1, len(played), squeeze=False)[0]
    movers = []
    for number, (ax, trajectory) in enumerate(zip(axes, played, strict=True)):
        draw_arena(ax, config)
        draw_targets(ax, config, trajectory.targets)
        if titles is not None:
            ax.set_title(titles[number])
        (trail,) = ax.plot([], [], lw=2.0, color=PALETTE["muted"], zorder=3)
        mass = Circle((0, 0), config.arena.radius, fc=PALETTE["text"], ec=PALETTE["paper"])
        ring = Circle((0, 0), config.target_radius + RING_GAP, fill=False, lw=2.0)
        mass.set_zorder(4)
        ax.add_patch(mass)
        ax.add_patch(ring)
        movers.append((trajectory, trail, mass, ring))
    frames = []
    for time in times:
        for trajectory, trail, mass, ring in movers:
            path = trajectory.position[: time + 1]
            trail.set_data(*path.T)
            mass.set_center(path[-1])
            current = int(trajectory.current[len(path) - 1])
            ring.set(center=trajectory.targets[current], ec=target_color(current))
        canvas.draw()
        image = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())
        frames.append(image.quantize(48, dither=Image.Dither.NONE))
    return frames
