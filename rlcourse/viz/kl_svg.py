"""The picture of `KLExplorer`: two densities, what each KL sums, and a map of each KL."""

import base64
import io
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.colors import PowerNorm
from matplotlib.image import imsave
from numpy.typing import NDArray
from torch import Tensor

from rlcourse.viz.style import PALETTE, cost_colormap

KLs = Callable[[Tensor, Tensor, float], tuple[Tensor, Tensor]]
BUMP = 0.6  # standard deviation of each bump of p
CELL = 0.1
ACTIONS = torch.arange(-10.0, 10.0 + CELL / 2, CELL, dtype=torch.float64)  # [N]
MEANS = torch.linspace(-3.0, 3.0, 61, dtype=torch.float64)
WIDTHS = torch.linspace(0.4, 2.5, 22, dtype=torch.float64)
COLORS = (PALETTE["expert"], PALETTE["ablation"])  # forward, reverse
NAMES = ("KL(p‖q), weighted by p", "KL(q‖p), weighted by q")
_WORST = 4.0  # nats; the maps' colors end there
_SHOWN = 5.0  # actions drawn, from -5 to 5
_LEFT, _PANEL, _HEIGHT = 56.0, 470.0, 150.0
_MAP_LEFT, _MAP = 604.0, 330.0
_TOPS = (44.0, 280.0)
_SIZE = (960.0, 480.0)


def log_mixture_of_bumps(gap: float) -> Tensor:
    """log p [N]: half of the tasks act around -gap / 2, half around gap / 2."""
    bumps = torch.tensor([[-gap / 2.0], [gap / 2.0]], dtype=torch.float64)
    return log_gaussian(bumps, BUMP).logsumexp(0) - np.log(2.0)


def log_gaussian(mean: float | Tensor, width: float | Tensor) -> Tensor:
    """log q [..., N] for means and widths [..., 1], or numbers."""
    width = torch.as_tensor(width, dtype=torch.float64)
    return -0.5 * ((ACTIONS - mean) / width) ** 2 - width.log() - 0.5 * np.log(2.0 * np.pi)


class Landscape(NamedTuple):
    """Both KLs over all means and widths of q, for one p."""

    log_p: Tensor  # [N]
    kls: tuple[Tensor, Tensor]  # forward, reverse, each [widths, means]
    images: tuple[str, str]  # as data URIs

    @classmethod
    def of(cls, gap: float, kls: KLs) -> "Landscape":
        log_p = log_mixture_of_bumps(gap)
        found = kls(log_p, log_gaussian(MEANS[None, :, None], WIDTHS[:, None, None]), CELL)
        _check(found)
        return cls(log_p, tuple(found), tuple(_image(kl.numpy()) for kl in found))

    def minima(self, which: int) -> list[tuple[float, float, float]]:
        """(KL, mean, width) of the lowest points on the grid; two where p has two equal sides."""
        kl = self.kls[which]
        rows, columns = torch.nonzero(kl <= kl.min() + 1e-6, as_tuple=True)
        return [
            (float(kl[i, j]), float(MEANS[j]), float(WIDTHS[i]))
            for i, j in zip(rows, columns, strict=True)
        ]


def _check(found: object) -> None:
    """Raises ValueError for what a function of a learner should not return."""
    shape = (len(WIDTHS), len(MEANS))
    pair = found if isinstance(found, tuple) and len(found) == 2 else ()
    if not pair or not all(isinstance(kl, Tensor) and kl.shape == shape for kl in pair):
        got = [tuple(getattr(kl, "shape", ())) for kl in pair] or type(found).__name__
        raise ValueError(
            f"for log_q {(*shape, len(ACTIONS))} the function must return two tensors {shape}, "
            f"got {got}: mend it until its check passes"
        )
    if not all(bool(kl.isfinite().all()) for kl in pair):
        raise ValueError("a KL is not finite: mend the function until its check passes")


def picture(
    landscape: Landscape, mean: float, width: float, kls: KLs, crosses: bool = False
) -> str:
    """The whole picture at one q, as SVG; `crosses` mark where each KL is least."""
    log_q = log_gaussian(mean, width)
    values = [float(kl) for kl in kls(landscape.log_p, log_q, CELL)]
    p, q = landscape.log_p.exp(), log_q.exp()
    terms = (p * (landscape.log_p - log_q), q * (log_q - landscape.log_p))
    body = _densities(p, q) + _integrands(terms)
    for which in (0, 1):
        body += _map(landscape, which, mean, width, values[which])
        body += _crosses(landscape, which) if crosses else ""
        body += _dot(mean, width, _TOPS[which])
    label = (
        f"q has mean {mean:.2f} and width {width:.2f}: KL(p, q) {values[0]:.2f} nats, "
        f"KL(q, p) {values[1]:.2f} nats"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_SIZE[0]:g} {_SIZE[1]:g}" '
        f'width="{_SIZE[0]:g}" style="max-width:100%;height:auto" role="img" '
        f'aria-label="{label}"><rect width="100%" height="100%" rx="8" fill="{PALETTE["paper"]}"/>'
        f"{_clips()}{body}</svg>"
    )


def _image(kl: NDArray) -> str:
    """A map of KLs [widths, means], wide q on top, one pixel per q."""
    buffer = io.BytesIO()
    imsave(buffer, cost_colormap()(PowerNorm(0.5, 0.0, _WORST, clip=True)(kl[::-1])), format="png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _densities(p: Tensor, q: Tensor) -> str:
    top, highest = _TOPS[0], 1.1
    lines = _axis(top, highest, 0.0, (0.0, 0.5, 1.0))
    area = _path(p, top, 0.0, highest, closed=True)
    blue, gray = PALETTE["learned prior"], PALETTE["reference"]
    return (
        _text(_LEFT, top - 16, "density of actions", bold=True)
        + lines
        + f'<path d="{area}" fill="{gray}" fill-opacity="0.35" stroke="{gray}" stroke-width="1.5" '
        f'clip-path="url(#top)"/>'
        f'<path d="{_path(q, top, 0.0, highest)}" fill="none" stroke="{blue}" stroke-width="2.5" '
        f'clip-path="url(#top)"/>'
        + _text(_LEFT + 10, top + 34, "p, what the tasks do", PALETTE["muted"])
        + _text(_LEFT + 10, top + 52, "q, the prior", blue)
    )


def _integrands(terms: tuple[Tensor, Tensor]) -> str:
    top, low, high = _TOPS[1], -0.4, 1.6
    body = _text(_LEFT, top - 16, "what each KL adds up (its area is the KL)", bold=True)
    body += _axis(top, high, low, (0.0, 0.5, 1.0, 1.5))
    for term, color in zip(terms, COLORS, strict=True):
        path = _path(term, top, low, high, closed=True)
        body += (
            f'<path d="{path}" fill="{color}" fill-opacity="0.25" stroke="{color}" '
            f'stroke-width="2" clip-path="url(#bottom)"/>'
        )
    body += _text(_LEFT + 10, top + 34, "p log(p/q)", COLORS[0])
    body += _text(_LEFT + 10, top + 52, "q log(q/p)", COLORS[1])
    return body + _text(_LEFT + _PANEL / 2, top + _HEIGHT + 36, "action", anchor="middle")


def _map(landscape: Landscape, which: int, mean: float, width: float, value: float) -> str:
    top = _TOPS[which]
    title = f"{NAMES[which]}: {value:.2f} nats"
    body = _text(_MAP_LEFT, top - 16, title, COLORS[which], bold=True)
    body += (
        f'<image x="{_MAP_LEFT}" y="{top}" width="{_MAP}" height="{_HEIGHT}" '
        f'preserveAspectRatio="none" href="{landscape.images[which]}"/>'
        f'<rect x="{_MAP_LEFT}" y="{top}" width="{_MAP}" height="{_HEIGHT}" fill="none" '
        f'stroke="{PALETTE["muted"]}"/>'
    )
    for tick in (-3, -2, -1, 0, 1, 2, 3):
        body += _text(_on_map(tick, 1.0, top)[0], top + _HEIGHT + 16, f"{tick:g}", anchor="middle")
    for tick in (0.5, 1.0, 1.5, 2.0, 2.5):
        y = _on_map(0.0, tick, top)[1]
        body += _text(_MAP_LEFT - 6, y + 4, f"{tick:g}", anchor="end", size=11)
    body += _text(_MAP_LEFT + _MAP / 2, top + _HEIGHT + 36, "mean of q", anchor="middle")
    upward = _text(0.0, 0.0, "width of q", anchor="middle")
    middle = f"translate({_MAP_LEFT - 34:g} {top + _HEIGHT / 2:g}) rotate(-90)"
    return body + f'<g transform="{middle}">{upward}</g>'


def _crosses(landscape: Landscape, which: int) -> str:
    """A mark at each lowest point of a map, and its value in the corner."""
    top, body, minima = _TOPS[which], "", landscape.minima(which)
    for _, mean, width in minima:
        x, y = _on_map(mean, width, top)
        body += _text(x, y + 7, "×", COLORS[which], "middle", size=22, bold=True)
    words = f"× least: {minima[0][0]:.2f} nats"
    return body + _text(_MAP_LEFT + _MAP, top + _HEIGHT + 36, words, COLORS[which], "end")


def _dot(mean: float, width: float, top: float) -> str:
    x, y = _on_map(mean, width, top)
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="{PALETTE["learned prior"]}" '
        f'stroke="white" stroke-width="2"/>'
    )


def _on_map(mean: float, width: float, top: float) -> tuple[float, float]:
    """The pixel at the middle of the cell of this q."""
    across = (mean - float(MEANS[0])) / float(MEANS[-1] - MEANS[0]) * (len(MEANS) - 1) + 0.5
    up = (width - float(WIDTHS[0])) / float(WIDTHS[-1] - WIDTHS[0]) * (len(WIDTHS) - 1) + 0.5
    return _MAP_LEFT + _MAP * across / len(MEANS), top + _HEIGHT * (1.0 - up / len(WIDTHS))


def _x(action: float) -> float:
    return _LEFT + _PANEL * (action + _SHOWN) / (2.0 * _SHOWN)


def _path(heights: Tensor, top: float, low: float, high: float, closed: bool = False) -> str:
    inside = ACTIONS.abs() <= _SHOWN + 1e-9
    ys = top + _HEIGHT * (high - heights[inside].clamp(-9.0, 9.0)) / (high - low)
    xs = [_x(float(action)) for action in ACTIONS[inside]]
    points = [f"{x:.1f},{float(y):.1f}" for x, y in zip(xs, ys, strict=True)]
    if not closed:
        return "M" + " L".join(points)
    zero = top + _HEIGHT * high / (high - low)
    return f"M{xs[0]:.1f},{zero:.1f} L" + " L".join(points) + f" L{xs[-1]:.1f},{zero:.1f} Z"


def _axis(top: float, high: float, low: float, ticks: tuple[float, ...]) -> str:
    body = ""
    for tick in ticks:
        y = top + _HEIGHT * (high - tick) / (high - low)
        color = PALETTE["muted"] if tick == 0.0 else PALETTE["line"]
        body += (
            f'<line x1="{_LEFT}" x2="{_LEFT + _PANEL}" y1="{y:.1f}" y2="{y:.1f}" '
            f'stroke="{color}"/>' + _text(_LEFT - 6, y + 4, f"{tick:g}", anchor="end")
        )
    for action in range(-4, 5, 2):
        body += _text(_x(action), top + _HEIGHT + 16, f"{action}", anchor="middle")
    return body


def _clips() -> str:
    rects = "".join(
        f'<clipPath id="{name}"><rect x="{_LEFT}" y="{top}" width="{_PANEL}" '
        f'height="{_HEIGHT}"/></clipPath>'
        for name, top in zip(("top", "bottom"), _TOPS, strict=True)
    )
    return f"<defs>{rects}</defs>"


def _text(
    x: float,
    y: float,
    words: str,
    color: str = PALETTE["text"],
    anchor: str = "start",
    size: int = 13,
    bold: bool = False,
) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-family="sans-serif" '
        f'font-size="{size}"{weight} fill="{color}">{words}</text>'
    )
