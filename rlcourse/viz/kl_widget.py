"""The widget of notebook 02: a prior between two groups of tasks, seen by both KL divergences."""

from typing import Any

import ipywidgets as widgets
from IPython.display import display

from rlcourse.ops.mixtures import density_kls
from rlcourse.viz.kl_svg import MEANS, WIDTHS, KLs, Landscape, picture
from rlcourse.viz.widgets import static_bundle, still_image

_STEPS = (0.05, 0.05, 0.25)
WIDEST_GAP = 4.5  # so that the best width of q is on its slider


class KLExplorer:
    """Sliders for one Gaussian q and for the gap between the two bumps of p.

    A checkbox shows where each KL is least; at first it is off, so that one can look for it.

    Args:
        kls: (log_p [N], log_q [..., N], width of a cell) -> KL(p || q) and KL(q || p), each [...];
            the answer to exercise 02.two_kls.
        mean, width: of q at first.
        gap: between the middles of the two bumps of p.

    Raises:
        ValueError: for a number that is not on its slider, or a function that does not return two
            finite tensors of the right shape.
    """

    def __init__(
        self, kls: KLs = density_kls, mean: float = 1.0, width: float = 1.0, gap: float = 4.0
    ) -> None:
        self._kls = kls
        self.mean = _slider("mean of q", mean, float(MEANS[0]), float(MEANS[-1]), _STEPS[0])
        self.width = _slider("width of q", width, float(WIDTHS[0]), float(WIDTHS[-1]), _STEPS[1])
        self.gap = _slider("gap of p", gap, 0.0, WIDEST_GAP, _STEPS[2])
        self.crosses = widgets.Checkbox(
            value=False, description="show where each KL is least", indent=False
        )
        self._landscape = Landscape.of(gap, kls)
        self.picture = widgets.HTML(self.svg)
        self.mean.observe(self._redraw, names="value")
        self.width.observe(self._redraw, names="value")
        self.gap.observe(self._change_gap, names="value")
        self.crosses.observe(self._redraw, names="value")
        self.widget = widgets.VBox([self.mean, self.width, self.gap, self.crosses, self.picture])

    @property
    def landscape(self) -> Landscape:
        """Both KLs over all q, for the p shown."""
        return self._landscape

    @property
    def svg(self) -> str:
        """The picture at the sliders' values."""
        place = float(self.mean.value), float(self.width.value)
        return picture(self._landscape, *place, self._kls, bool(self.crosses.value))

    def show(self) -> None:
        """Displays the widget, or its picture where no kernel runs."""
        display(self._repr_mimebundle_(), raw=True)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        words = (
            f"gap {self.gap.value:g}, q of mean {self.mean.value:g} and width {self.width.value:g}"
        )
        still = still_image(self.svg, words, "A still. Run the cell to move the sliders.")
        return static_bundle(self.widget, still, words)

    def _redraw(self, change: dict[str, Any]) -> None:
        self.picture.value = self.svg

    def _change_gap(self, change: dict[str, Any]) -> None:
        self._landscape = Landscape.of(float(change["new"]), self._kls)
        self.picture.value = self.svg


def _slider(name: str, value: float, low: float, high: float, step: float) -> widgets.FloatSlider:
    if not low <= value <= high:
        raise ValueError(f"{name} must lie in [{low:g}, {high:g}] to be on its slider, got {value}")
    return widgets.FloatSlider(
        value=value,
        min=low,
        max=high,
        step=step,
        readout_format=".2f",
        description=name,
        continuous_update=True,
        style={"description_width": "80px"},
        layout=widgets.Layout(width="100%", max_width="560px"),
    )
