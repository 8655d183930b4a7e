"""The widget of notebook 00: how much a reward counts that comes k steps from now."""

from typing import Any

import ipywidgets as widgets
import numpy as np
from IPython.display import display

from rlcourse.viz.style import PALETTE
from rlcourse.viz.widgets import static_bundle, still_image

STEPS = 61
LEFT, TOP, WIDTH, HEIGHT = 52.0, 34.0, 800.0, 180.0


class ReturnExplorer:
    """A slider for the discount, and the weights gamma^k it gives to rewards k steps ahead."""

    def __init__(self, discount: float = 0.97) -> None:
        self.slider = widgets.FloatSlider(
            value=discount,
            min=0.5,
            max=0.99,
            step=0.005,
            readout_format=".3f",
            description="discount γ",
            continuous_update=True,
            layout=widgets.Layout(width="480px"),
        )
        self.picture = widgets.HTML(self.svg)
        self.slider.observe(self._redraw, names="value")
        self.widget = widgets.VBox([self.slider, self.picture])

    @property
    def svg(self) -> str:
        """The picture at the slider's discount."""
        return weights_svg(float(self.slider.value))

    def show(self) -> None:
        """Displays the widget, or its picture where no kernel runs."""
        display(self._repr_mimebundle_(), raw=True)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        words = f"discount {self.slider.value:g}, horizon {1 / (1 - self.slider.value):.1f} steps"
        still = still_image(self.svg, words, "A still. Run the cell to move the slider.")
        return static_bundle(self.widget, still, words)

    def _redraw(self, change: dict[str, Any]) -> None:
        self.picture.value = self.svg


def weights_svg(discount: float) -> str:
    """Bars of gamma^k for k = 0 .. 60, with the horizon 1 / (1 - gamma) marked."""
    weights = discount ** np.arange(STEPS)
    slot = (WIDTH - LEFT - 12) / STEPS
    horizon = 1.0 / (1.0 - discount)
    bars = "".join(
        f'<rect x="{LEFT + k * slot:.1f}" y="{TOP + HEIGHT * (1 - w):.1f}" '
        f'width="{slot * 0.78:.1f}" height="{HEIGHT * w:.1f}" '
        f'fill="{PALETTE["failure"] if k == 20 else PALETTE["ours"]}"/>'
        for k, w in enumerate(weights)
    )
    lines = "".join(_grid_line(share) for share in (0.0, 0.1, 0.5, 1.0))
    ticks = "".join(
        _text(LEFT + (k + 0.4) * slot, TOP + HEIGHT + 18, str(k), "middle")
        for k in range(0, STEPS, 10)
    )
    edge = LEFT + min(horizon, STEPS) * slot
    mark = (
        f'<line x1="{edge:.1f}" x2="{edge:.1f}" y1="{TOP}" y2="{TOP + HEIGHT}" '
        f'stroke="{PALETTE["baseline"]}" stroke-width="2.5" stroke-dasharray="5 4"/>'
    )
    anchor = "end" if horizon > 0.75 * STEPS else "start"
    shift = -8 if anchor == "end" else 8
    notes = _text(edge + shift, TOP + 14, f"horizon {horizon:.1f} steps", anchor) + _text(
        LEFT, 20, f"at γ = {discount:.3f} a reward 20 steps away counts {weights[20]:.3f}", "start"
    )
    axis = _text(LEFT + (WIDTH - LEFT) / 2, TOP + HEIGHT + 38, "steps until the reward", "middle")
    label = f"weights of future rewards at discount {discount:.3f}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {TOP + HEIGHT + 48:g}" '
        f'width="{WIDTH:g}" role="img" aria-label="{label}">'
        f'<rect width="100%" height="100%" rx="8" fill="{PALETTE["paper"]}"/>'
        f"{lines}{bars}{mark}{ticks}{axis}{notes}</svg>"
    )


def _grid_line(share: float) -> str:
    y = TOP + HEIGHT * (1 - share)
    line = (
        f'<line x1="{LEFT}" x2="{WIDTH - 12}" y1="{y:.1f}" y2="{y:.1f}" '
        f'stroke="{PALETTE["line"]}" stroke-width="1"/>'
    )
    return line + _text(LEFT - 8, y + 4, f"{share:g}", "end")


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-family="sans-serif" '
        f'font-size="13" fill="{PALETTE["text"]}">{words}</text>'
    )
