"""The picture of the E-step widget: samples on a landscape, and two curves over the temperature."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray

from rlcourse.viz.style import PALETTE

WIDTH, HEIGHT = 800.0, 386.0
_FONT = 'font-family="DejaVu Sans, sans-serif"'
_LARGEST = 15.0  # radius of a sample with all the weight, in pixels
_TOP_Q = 1.15


class Picture(NamedTuple):
    """What is drawn. Densities are relative to their largest value."""

    actions: Float[NDArray, " X"]
    landscape: Float[NDArray, " X"]  # Q
    policy: Float[NDArray, " X"]
    improved: Float[NDArray, " X"]  # proportional to policy exp(Q / eta)
    sample: Float[NDArray, " S"]
    sample_q: Float[NDArray, " S"]
    weights: Float[NDArray, " S"]
    etas: Float[NDArray, " N"]
    dual: Float[NDArray, " N"]
    kl: Float[NDArray, " N"]
    place: int  # of the chosen temperature in etas
    epsilon: float
    effective: float  # number of samples
    mean_samples: float  # of the action, by the weights
    mean_tilted: float  # of the action, under the tilted density


class Frame(NamedTuple):
    """A plot's place in the picture, in pixels, and the data at its edges."""

    left: float
    top: float
    width: float
    height: float
    x: tuple[float, float]
    y: tuple[float, float]

    def at(self, x: ArrayLike, y: ArrayLike) -> Float[NDArray, "*points 2"]:
        """Pixels of data points; what is off the plot is put on its edge."""
        across = (np.asarray(x, float) - self.x[0]) / (self.x[1] - self.x[0])
        up = (np.asarray(y, float) - self.y[0]) / (self.y[1] - self.y[0])
        across, up = np.clip(across, 0.0, 1.0), np.clip(up, 0.0, 1.0)
        return np.stack([self.left + across * self.width, self.top + (1 - up) * self.height], -1)


def estep_svg(shown: Picture) -> str:
    """The whole picture."""
    kl, eta = shown.kl[shown.place], shown.etas[shown.place]
    words = (
        f"η = {eta:.3g}:  KL of the weights {kl:.2f} nats, bound ε = {shown.epsilon:g};"
        f"  {shown.effective:.1f} of {len(shown.weights)} samples count"
    )
    means = (
        f"mean action: {shown.mean_samples:.2f} by the weighted samples,"
        f" {shown.mean_tilted:.2f} by the tilted density"
    )
    label = f"weights of {len(shown.weights)} samples at temperature {eta:.3g}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {HEIGHT:g}"'
        f' width="{WIDTH:g}" role="img" aria-label="{label}">'
        f'<rect width="100%" height="100%" rx="8" fill="{PALETTE["paper"]}"/>'
        f"{_text(14, 22, words, size=14, weight='bold')}{_text(14, 42, means, size=13)}"
        f'<g transform="translate(0 14)">{_samples(shown)}{_kl(shown)}{_dual(shown)}</g></svg>'
    )


def _samples(shown: Picture) -> str:
    top = Frame(46, 64, 400, 176, (shown.actions[0], shown.actions[-1]), (0.0, _TOP_Q))
    below = top._replace(top=256.0, height=68.0, y=(0.0, 1.05))
    parts = [_box(top), _box(below)]
    parts.append(_line(top, shown.actions, shown.landscape, PALETTE["muted"], 2.0))
    for (x, y), weight in zip(top.at(shown.sample, shown.sample_q), shown.weights, strict=True):
        radius = max(1.8, _LARGEST * float(np.sqrt(weight)))
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{PALETTE["ours"]}"'
            f' fill-opacity="0.45" stroke="{PALETTE["ours"]}"/>'
        )
    parts.append(_line(below, shown.actions, shown.policy, PALETTE["expert"], 2.2))
    parts.append(_line(below, shown.actions, shown.improved, PALETTE["ours"], 2.2))
    for value in (0.0, 0.5, 1.0):
        parts.append(_text(40, float(top.at(0, value)[1]) + 4, f"{value:g}", "end"))
    for value in (-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5):
        parts.append(_text(float(below.at(value, 0)[0]), 340, f"{value:g}", "middle"))
    parts.append(_text(246, 360, "action a", "middle"))
    parts.append(_text(46, 54, "Q(a) and the samples; the area of a disc is its weight"))
    parts.append(_text(54, 271, "old policy", fill=PALETTE["expert"]))
    parts.append(_text(54, 287, "tilted by exp(Q/η)", fill=PALETTE["ours"]))
    return "".join(parts)


def _kl(shown: Picture) -> str:
    highest = float(np.log(len(shown.weights)))
    frame = Frame(508, 64, 272, 104, _exponents(shown), (0.0, highest))
    bound = frame.at(frame.x, (shown.epsilon, shown.epsilon))
    parts = [_box(frame), _line(frame, np.log10(shown.etas), shown.kl, PALETTE["ours"], 2.0)]
    parts.append(_path(bound, PALETTE["failure"], 1.6, "5 4"))
    parts.append(_text(776, float(bound[0, 1]) - 5, "ε", "end", fill=PALETTE["failure"]))
    parts.append(_dot(frame, shown, shown.kl))
    parts.append(_text(508, 54, "KL of the weights from uniform ones (nats)"))
    for value in (0.0, highest):
        parts.append(_text(502, float(frame.at(0, value)[1]) + 4, f"{value:.3g}", "end"))
    parts.append(_text(502, float(frame.at(0, 1)[1]) + 4, "1", "end"))
    return "".join(parts)


def _dual(shown: Picture) -> str:
    lowest = float(shown.dual.min())
    span = (lowest - 0.04, lowest + 0.5)
    frame = Frame(508, 212, 272, 112, _exponents(shown), span)
    best = int(shown.dual.argmin())
    mark = frame.at([np.log10(shown.etas[best])] * 2, span)
    inside = shown.dual <= span[1]
    parts = [_box(frame), _path(mark, PALETTE["failure"], 1.6, "5 4")]
    log_eta = np.log10(shown.etas)[inside]
    parts.append(_line(frame, log_eta, shown.dual[inside], PALETTE["ours"], 2.0))
    parts.append(_dot(frame, shown, shown.dual))
    parts.append(_text(508, 202, "dual g(η), least at the dashed line"))
    for value in (np.ceil(10 * span[0]) / 10, np.floor(10 * span[1]) / 10):
        parts.append(_text(502, float(frame.at(0, value)[1]) + 4, f"{value:.1f}", "end"))
    for exponent in range(int(frame.x[0]), int(frame.x[1]) + 1):
        x = float(frame.at(exponent, 0)[0])
        parts.append(_text(x, 340, f"{10.0**exponent:g}", "middle"))
    parts.append(_text(644, 360, "temperature η", "middle"))
    return "".join(parts)


def _exponents(shown: Picture) -> tuple[float, float]:
    return float(np.log10(shown.etas[0])), float(np.log10(shown.etas[-1]))


def _dot(frame: Frame, shown: Picture, curve: NDArray) -> str:
    x, y = frame.at(np.log10(shown.etas[shown.place]), curve[shown.place])
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="{PALETTE["ours"]}"'
        f' stroke="{PALETTE["paper"]}" stroke-width="2"/>'
    )


def _box(frame: Frame) -> str:
    return (
        f'<rect x="{frame.left:g}" y="{frame.top:g}" width="{frame.width:g}"'
        f' height="{frame.height:g}" fill="{PALETTE["floor"]}" stroke="{PALETTE["line"]}"/>'
    )


def _line(frame: Frame, x: NDArray, y: NDArray, color: str, width: float) -> str:
    return _path(frame.at(x, y), color, width)


def _path(points: Sequence[NDArray], color: str, width: float, dashes: str = "none") -> str:
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return (
        f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="{width:g}"'
        f' stroke-dasharray="{dashes}"/>'
    )


def _text(
    x: float,
    y: float,
    words: str,
    anchor: str = "start",
    *,
    size: int = 12,
    weight: str = "normal",
    fill: str = PALETTE["text"],
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {_FONT} font-size="{size}"'
        f' font-weight="{weight}" fill="{fill}">{words}</text>'
    )
