"""Pictures of KL-regularized policies on gridworlds, as SVG text.

Built directly, without matplotlib's renderer, so that a widget can redraw at once. A picture brings
its own white card, has no ids, style sheets or links, and is well-formed XML: it can be put inline
into a page any number of times, or into a file.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape

import numpy as np
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.colors import to_hex
from numpy.typing import NDArray

from rlcourse.envs.gridworld import ACTIONS, Gridworld
from rlcourse.viz.grids import arrow_opacity, arrow_outline
from rlcourse.viz.soft_sweep import Sweep
from rlcourse.viz.style import PALETTE, VALUE_COLORMAP, cost_colormap, visit_colormap

WIDTH = 960.0
_MARGIN, _GAP, _HIGHEST_MAP = 22.0, 27.0, 340.0
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
_LEAST_PROBABILITY = 0.02
_SHADES = 64  # of each color scale

HIGHEST_KL = 1.4  # nats, about log 4: the color scale's end, as are the next two
HIGHEST_VISITS = 1.0
HIGHEST_VALUE = 1.0


@dataclass(frozen=True, eq=False)
class Frame:
    """One solution to draw.

    Attributes:
        policy: [S, A] probabilities.
        kl: [S] KL(pi || pi_0) in nats.
        value: [S].
        visits: [S] expected discounted number of visits.
        alpha: weight of the KL, in units of reward per nat.
        objective, expected_return: discounted, from the start.
        total_kl: discounted sum in nats, from the start.
    """

    policy: Float[NDArray, "S A"]
    kl: Float[NDArray, " S"]
    value: Float[NDArray, " S"]
    visits: Float[NDArray, " S"]
    alpha: float
    objective: float
    expected_return: float
    total_kl: float

    @staticmethod
    def of(sweep: Sweep, index: int) -> "Frame":
        """The solution for one alpha of a sweep."""
        return Frame(
            policy=sweep.policy[index].cpu().numpy(),
            kl=sweep.kl[index].cpu().numpy(),
            value=sweep.value[index].cpu().numpy(),
            visits=sweep.visits[index].cpu().numpy(),
            alpha=float(sweep.alphas[index]),
            objective=float(sweep.objective[index]),
            expected_return=float(sweep.expected_return[index]),
            total_kl=float(sweep.total_kl[index]),
        )


def picture(
    grid: Gridworld,
    frames: Sequence[Frame],
    *,
    label: str,
    lowest_value: float = 0.0,
    tooltips: bool = False,
) -> str:
    """Draws one row per solution: policy, value, visitation, and the objective taken apart.

    Args:
        grid: the map.
        frames: at least one.
        label: what the picture shows, for readers who cannot see it.
        lowest_value: the end of the color scale of the values; its other end is `HIGHEST_VALUE`.
        tooltips: show a cell's numbers when the pointer rests on it; makes the picture larger.

    Raises:
        ValueError: without frames.
    """
    if not frames:
        raise ValueError("a picture shows at least one solution")
    side = (WIDTH - 2 * _MARGIN - 2 * _GAP) / 3
    cell = min(side / grid.width, _HIGHEST_MAP / grid.height)
    lefts = [_MARGIN + i * (side + _GAP) for i in range(3)]
    parts, top = _headings(lefts, side, lowest_value), 84.0
    insets = [left + (side - cell * grid.width) / 2 for left in lefts]
    for frame in frames:
        parts += _trio(grid, frame, insets, top, cell, lowest_value, tooltips)
        top += cell * grid.height + 14
        parts += _equation(frame, top)
        top += 64
    height = top + 4
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {height:.0f}" role="img" '
        f'aria-label="{escape(label)}" font-family="{_FONT}" font-size="13" '
        f'style="width:100%;max-width:{WIDTH:g}px;height:auto;display:block">'
        f'<rect x="0.5" y="0.5" width="{WIDTH - 1:g}" height="{height - 1:.0f}" rx="10" '
        f'fill="{PALETTE["paper"]}" stroke="{PALETTE["line"]}"/>' + "".join(parts) + "</svg>"
    )


def _headings(lefts: Sequence[float], width: float, lowest: float) -> list[str]:
    """Title and color scale of each panel."""
    scales = (
        ("Policy", "cost", "shade: KL from the prior, nats", "0", f"{HIGHEST_KL:g}+"),
        ("Value", "value", "V(s), discounted reward", f"{lowest:.2g}", f"{HIGHEST_VALUE:g}"),
        ("Visitation", "visits", "expected visits, discounted", "0", f"{HIGHEST_VISITS:g}+"),
    )
    parts = []
    for left, (title, name, caption, low, high) in zip(lefts, scales, strict=True):
        parts.append(_text(left, 31, title, size=15, weight=650))
        parts += _color_scale(left, 43, width, _shades(name)[:: _SHADES // 32])
        for x, anchor, text in (
            (left, "start", low),
            (left + width / 2, "middle", caption),
            (left + width, "end", high),
        ):
            parts.append(_text(x, 65, text, size=11.5, anchor=anchor, role="muted"))
    return parts


def _color_scale(left: float, top: float, width: float, colors: Sequence[str]) -> list[str]:
    step = width / len(colors)
    box = f'y="{top:.1f}" height="7"'
    # Each box reaches under the next one, so that no seam shows at fractional positions.
    boxes = [
        f'<rect x="{left + i * step:.1f}" {box} width="{min(step + 1, width - i * step):.1f}" '
        f'fill="{color}"/>'
        for i, color in enumerate(colors)
    ]
    line = PALETTE["line"]
    edge = f'<rect x="{left:.1f}" {box} width="{width:.1f}" fill="none" stroke="{line}"/>'
    return [*boxes, edge]


def _trio(
    grid: Gridworld,
    frame: Frame,
    lefts: Sequence[float],
    top: float,
    cell: float,
    lowest_value: float,
    tooltips: bool,
) -> list[str]:
    values = (frame.value - lowest_value) / (HIGHEST_VALUE - lowest_value)
    panels = (
        ("cost", frame.kl / HIGHEST_KL, _arrows(grid, frame.policy, cell), _policy_notes(frame)),
        ("value", values, "", [f"V = {value:.3f}" for value in frame.value]),
        ("visits", np.sqrt(frame.visits / HIGHEST_VISITS), "", _visit_notes(frame)),
    )
    symbols = _symbols(grid, cell)
    return [
        f'<g transform="translate({left:.1f} {top:.1f})">'
        f"{_cells(grid, _shades(name), levels, cell)}{marks}{symbols}"
        f"{_tooltips(grid, notes, cell) if tooltips else ''}</g>"
        for left, (name, levels, marks, notes) in zip(lefts, panels, strict=True)
    ]


def _policy_notes(frame: Frame) -> list[str]:
    return [
        ", ".join(f"{name} {p:.2f}" for name, p in zip(ACTIONS, row, strict=True))
        + f"\nKL {kl:.2f} nats"
        for row, kl in zip(frame.policy.tolist(), frame.kl.tolist(), strict=True)
    ]


def _visit_notes(frame: Frame) -> list[str]:
    return [f"{visits:.3f} visits" for visits in frame.visits.tolist()]


def _cells(grid: Gridworld, colors: Sequence[str], levels: NDArray, cell: float) -> str:
    """Walls as one block, floor cells on top, one path per color."""
    shades = (np.nan_to_num(levels).clip(0.0, 1.0) * (_SHADES - 1)).round().astype(int)
    outlines = defaultdict(list)
    for shade, (row, column) in zip(shades, grid.cells, strict=True):
        color = colors[shade]
        if grid.rows[row][column] in "GX":
            color = PALETTE["goal cell" if grid.rows[row][column] == "G" else "pit cell"]
        outlines[color].append(f"M{column} {row}h1v1h-1z")
    width, height = grid.width * cell, grid.height * cell
    line = PALETTE["wall"]
    paths = "".join(f'<path fill="{c}" d="{"".join(d)}"/>' for c, d in outlines.items())
    return (
        f'<rect width="{width:.1f}" height="{height:.1f}" rx="5" fill="{line}"/>'
        f'<g transform="scale({cell:.3f})" stroke="{line}" stroke-opacity="0.16" '
        f'stroke-width="{1 / cell:.3f}">{paths}</g>'
    )


def _arrows(grid: Gridworld, policy: NDArray, cell: float) -> str:
    """All arrows of about the same probability as one path."""
    outlines = defaultdict(list)
    for (row, column), probabilities in zip(grid.cells, policy, strict=True):
        if grid.rows[row][column] in "GX":
            continue
        for action, probability in enumerate(probabilities):
            if probability >= _LEAST_PROBABILITY:
                corners = arrow_outline(row, column, action, float(probability), cell)
                points = "L".join(f"{x:.1f} {y:.1f}" for x, y in corners.tolist())
                outlines[round(arrow_opacity(float(probability)), 1)].append(f"M{points}z")
    return "".join(
        f'<path fill="{PALETTE["ours"]}" fill-opacity="{opacity:g}" d="{"".join(outline)}"/>'
        for opacity, outline in sorted(outlines.items())
    )


def _symbols(grid: Gridworld, cell: float) -> str:
    """Goal: star, pit: cross, start: ring; each with a white edge."""
    return "".join(
        drawn
        for symbol, drawing in (("S", _ring), ("G", _star), ("X", _cross))
        for row, column in (grid.cells[state] for state in grid.states_of(symbol))
        for drawn in drawing((column + 0.5) * cell, (row + 0.5) * cell, cell)
    )


def _ring(x: float, y: float, cell: float) -> Iterable[str]:
    for color, width in (("white", 0.17), (PALETTE["start"], 0.08)):
        yield (
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{0.42 * cell:.1f}" fill="none" '
            f'stroke="{color}" stroke-width="{width * cell:.1f}"/>'
        )


def _star(x: float, y: float, cell: float) -> Iterable[str]:
    angles = np.arange(10) * np.pi / 5
    radii = np.where(np.arange(10) % 2, 0.17, 0.4) * cell
    corners = np.stack([x + radii * np.sin(angles), y - radii * np.cos(angles)], -1)
    points = " ".join(f"{px:.1f},{py:.1f}" for px, py in corners.tolist())
    yield (
        f'<polygon points="{points}" fill="{PALETTE["goal"]}" stroke="white" '
        f'stroke-width="{0.05 * cell:.1f}" stroke-linejoin="round"/>'
    )


def _cross(x: float, y: float, cell: float) -> Iterable[str]:
    arm = 0.22 * cell
    strokes = f"M{x - arm:.1f} {y - arm:.1f}l{2 * arm:.1f} {2 * arm:.1f}m0 {-2 * arm:.1f}"
    strokes += f"l{-2 * arm:.1f} {2 * arm:.1f}"
    yield (
        f'<path d="{strokes}" fill="none" stroke="{PALETTE["pit"]}" '
        f'stroke-width="{0.15 * cell:.1f}" stroke-linecap="round"/>'
    )


def _tooltips(grid: Gridworld, notes: Sequence[str], cell: float) -> str:
    titles = "".join(
        f'<path d="M{column} {row}h1v1h-1z"><title>{escape(note)}</title></path>'
        for (row, column), note in zip(grid.cells, notes, strict=True)
    )
    return f'<g transform="scale({cell:.3f})" fill-opacity="0">{titles}</g>'


def _equation(frame: Frame, top: float) -> list[str]:
    """objective = return - alpha x KL, with the numbers of this solution."""
    terms = (
        (f"{frame.objective:.3f}", "objective"),
        ("=", ""),
        (f"{frame.expected_return:.3f}", "expected return"),
        ("−", ""),
        (f"{frame.alpha:.3g}", "α"),
        ("×", ""),
        (f"{frame.total_kl:.2f}", "KL from the prior, nats"),
    )
    widths = [128.0 if caption else 30.0 for _, caption in terms]
    x, parts = (WIDTH - sum(widths)) / 2, []
    for (number, caption), width in zip(terms, widths, strict=True):
        center = x + width / 2
        ink = "text" if caption else "muted"
        parts.append(_text(center, top + 18, number, 19, weight=600, anchor="middle", role=ink))
        parts.append(_text(center, top + 36, caption, 11.5, anchor="middle", role="muted"))
        x += width
    return parts


def _text(
    x: float,
    y: float,
    text: str,
    size: float = 13,
    *,
    weight: int = 400,
    anchor: str = "start",
    role: str = "text",
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" font-weight="{weight}" '
        f'text-anchor="{anchor}" fill="{PALETTE[role]}">{escape(text.replace("-", "−"))}</text>'
    )


@lru_cache
def _shades(name: str) -> tuple[str, ...]:
    maps = {"value": lambda: colormaps[VALUE_COLORMAP]}
    maps |= {"visits": visit_colormap, "cost": cost_colormap}
    colormap = maps[name]()
    return tuple(to_hex(colormap(level)) for level in np.linspace(0.0, 1.0, _SHADES))
