"""Interactive pictures. Each also leaves a static one, for readers without a running kernel.

They use what ipywidgets 7.7.1 (Colab) and 8 have in common.
"""

import base64
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from html import escape
from typing import Any

import ipywidgets as widgets
import torch
from IPython.display import display
from torch import Tensor

from rlcourse.envs.gridworld import MAPS, Gridworld
from rlcourse.klrl import grid_priors
from rlcourse.viz.grid_svg import WIDTH, Frame, picture
from rlcourse.viz.map_editor import MapEditor, labeled, notice
from rlcourse.viz.soft_sweep import Sweep, soft_sweep

_LOWEST, _HIGHEST, _STEP = -2.5, 1.0, 0.125  # exponents of alpha on the slider
_STILL_EXPONENTS = (-2.0, -1.5, -0.5)
_HOW_TO_READ = (
    "How to read it: an arrow grows with the probability of its move, and a cell turns orange "
    "where the policy pays to leave the prior; the ring is the start, the star a goal, a cross a "
    "pit."
)


def learned_prior(grid: Gridworld) -> Tensor:
    """The prior "learned from other tasks": six goals spread over the cells at most four steps from
    the goal of the map, never the goal itself. It knows the way to that part of the map.

    Raises:
        ValueError: when there is no other floor cell for a goal.
    """
    goals = grid_priors.other_goals(grid, num_tasks=6, within=4)
    if not goals:
        raise ValueError(
            "no other task can be drawn on this map: leave some floor near the goal, within reach "
            "of the start, or choose another prior"
        )
    return grid_priors.from_tasks(grid, goals)


PRIORS: Mapping[str, Callable[[Gridworld], Tensor]] = {
    "uniform": grid_priors.uniform,
    "along the walls": grid_priors.along_walls,
    "learned from other tasks": learned_prior,
}


def static_bundle(widget: widgets.Widget, html: str, text: str) -> dict[str, Any]:
    """One output with a live view, a picture for where no kernel runs, and words for a terminal.

    A viewer shows the richest form it knows. Pass the result to `display(..., raw=True)`.
    """
    view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    return {
        "application/vnd.jupyter.widget-view+json": view,
        "text/html": html,
        "text/plain": text,
    }


def still_image(svg: str, description: str, caption: str, width: float = WIDTH) -> str:
    """A picture as HTML that survives the sanitizers of notebook viewers, which drop inline SVG.

    `width` is in pixels; a narrower page shrinks the picture.
    """
    encoded = base64.b64encode(svg.encode()).decode()
    return (
        f'<figure style="margin:0"><img width="{width:g}" style="max-width:100%;height:auto" '
        f'alt="{escape(description)}" src="data:image/svg+xml;base64,{encoded}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


class SoftPolicyExplorer:
    """How alpha and the prior shape the policy, its value and where it goes, on a map of your own.

    All alphas of the slider are solved in one batch whenever the map or the prior changes, so that
    moving the slider only redraws.

    Args:
        map_name: the first map, one of `maps`.
        prior: the first prior, one of `PRIORS`.
        alpha: the first alpha, in units of reward per nat.
        discount: gamma.
        maps: ASCII maps by name.

    Raises:
        ValueError: for an unknown map or prior, or an alpha that is not on the slider.
    """

    def __init__(
        self,
        map_name: str = "four rooms",
        prior: str = "uniform",
        alpha: float = 10**-1.5,
        *,
        discount: float = 0.97,
        maps: Mapping[str, str] = MAPS,
    ) -> None:
        _check_choice("map", map_name, maps)
        _check_choice("prior", prior, PRIORS)
        if not 10**_LOWEST <= alpha <= 10**_HIGHEST:
            limits = f"[{10**_LOWEST:.3g}, {10**_HIGHEST:g}]"
            raise ValueError(f"alpha must lie in {limits} to be on the slider, got {alpha}")
        self._maps, self._discount = maps, discount
        self._sweeps: dict[str, Sweep] = {}  # of the map as drawn, by prior
        self.grid = Gridworld.from_ascii(maps[map_name])
        self._make_controls(map_name, prior, alpha)
        self._solve(self.grid, prior)
        self._redraw()

    def _make_controls(self, map_name: str, prior: str, alpha: float) -> None:
        named = {"description_width": "64px"}
        self.map = widgets.Dropdown(
            options=list(self._maps), value=map_name, description="Map", style=named
        )
        self.prior = widgets.ToggleButtons(
            options=list(PRIORS),
            value=prior,
            style={"button_width": "184px"},
            layout=widgets.Layout(width="auto"),
        )
        self.alpha = widgets.FloatLogSlider(
            value=alpha,
            min=_LOWEST,
            max=_HIGHEST,
            step=_STEP,
            description="α",
            readout_format=".3g",
            continuous_update=True,
            style=named,
            layout=widgets.Layout(width="100%", max_width="680px"),
        )
        self.draw = widgets.ToggleButton(
            description="Draw your own map", icon="pencil", layout=widgets.Layout(width="180px")
        )
        self.picture, self.message = widgets.HTML(), widgets.HTML()
        self.editor = MapEditor(self.grid, self._change_grid)
        reading = widgets.HTML(f'<div style="line-height:1.45">{escape(_HOW_TO_READ)}</div>')
        top = widgets.HBox([self.map, self.draw], layout=widgets.Layout(flex_flow="row wrap"))
        self.widget = widgets.VBox(
            [
                top,
                labeled("Prior π₀", self.prior),
                self.alpha,
                self.picture,
                self.message,
                reading,
                self.editor.widget,
            ],
            layout=widgets.Layout(max_width=f"{WIDTH:g}px"),
        )
        self.map.observe(self._on_map, "value")
        self.prior.observe(self._on_prior, "value")
        self.alpha.observe(lambda _: self._redraw(), "value")
        self.draw.observe(self._on_draw, "value")

    @property
    def sweep(self) -> Sweep:
        """The solutions for all alphas of the slider, for the map and the prior shown."""
        return self._sweeps[self.prior.value]

    @property
    def frame(self) -> Frame:
        """The solution shown."""
        return Frame.of(self.sweep, _slider_index(self.alpha.value))

    def svg(self) -> str:
        """The picture shown."""
        return self._picture([self.frame], tooltips=True)

    def still(self) -> str:
        """A picture of three alphas, for readers without a kernel, as HTML."""
        indices = [_slider_index(10**exponent) for exponent in _STILL_EXPONENTS]
        frames = [Frame.of(self.sweep, index) for index in indices]
        caption = f"Prior: {self.prior.value}. {_HOW_TO_READ} With a kernel, a slider moves α."
        return still_image(self._picture(frames), self._describe(frames), caption)

    def show(self) -> None:
        """Displays the widget, as a notebook does with the last value of a cell."""
        display(self._repr_mimebundle_(), raw=True)

    def _repr_mimebundle_(
        self, include: Collection[str] | None = None, exclude: Collection[str] | None = None
    ) -> dict[str, Any]:
        bundle = static_bundle(self.widget, self.still(), self._describe([self.frame]))
        wanted = set(include or bundle) - set(exclude or ())
        return {kind: data for kind, data in bundle.items() if kind in wanted}

    def _on_map(self, change: Mapping[str, Any]) -> None:
        grid = Gridworld.from_ascii(self._maps[change["new"]])
        try:
            self._change_grid(grid)
        except ValueError as error:
            self.map.value = change["old"]
            self.message.value = notice(f"The map stays {change['old']!r}: {error}", "pit")
            return
        self.editor.load(grid)

    def _on_prior(self, change: Mapping[str, Any]) -> None:
        try:
            self._solve(self.grid, change["new"])
        except ValueError as error:
            self.prior.value = change["old"]
            self.message.value = notice(f"The prior stays {change['old']!r}: {error}", "pit")
            return
        self._redraw()

    def _on_draw(self, change: Mapping[str, Any]) -> None:
        self.editor.open() if change["new"] else self.editor.close()

    def _change_grid(self, grid: Gridworld) -> None:
        """Raises ValueError, and changes nothing, for a map on which the prior does not exist."""
        self._solve(grid, self.prior.value)
        self._redraw()

    def _solve(self, grid: Gridworld, prior: str) -> None:
        known = self._sweeps if grid == self.grid else {}
        if prior not in known:
            exponents = torch.arange(_slider_index(10**_HIGHEST) + 1) * _STEP + _LOWEST
            alphas = 10.0 ** exponents.double()
            with _one_thread():
                known[prior] = soft_sweep(grid.mdp(), PRIORS[prior](grid), alphas, self._discount)
        self.grid, self._sweeps = grid, known

    def _redraw(self) -> None:
        self.picture.value = self.svg()
        goal_visits = self.frame.visits[list(self.grid.states_of("G"))].sum()
        lost = "No goal can be reached from the start, so leaving the prior earns nothing."
        self.message.value = "" if goal_visits > 0.0 else notice(lost, "baseline")

    def _picture(self, frames: list[Frame], tooltips: bool = False) -> str:
        lowest = min(0.0, float(self.sweep.value.min()))
        label = self._describe(frames)
        return picture(self.grid, frames, label=label, lowest_value=lowest, tooltips=tooltips)

    def _describe(self, frames: list[Frame]) -> str:
        numbers = [
            f"alpha {frame.alpha:.3g}: objective {frame.objective:.3f}, expected return "
            f"{frame.expected_return:.3f}, KL from the prior {frame.total_kl:.2f} nats"
            for frame in frames
        ]
        size = f"{self.grid.height} by {self.grid.width}"
        return f"Gridworld {size}, prior {self.prior.value}, " + "; ".join(numbers)


@contextmanager
def _one_thread() -> Iterator[None]:
    """The tensors are small: on a busy machine threads would wait for each other for seconds."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _slider_index(alpha: float) -> int:
    """The nearest position of the slider."""
    exponent = float(torch.log10(torch.tensor(alpha, dtype=torch.float64)))
    return round((exponent - _LOWEST) / _STEP)


def _check_choice(kind: str, name: str, choices: Mapping[str, Any]) -> None:
    if name not in choices:
        raise ValueError(f"no {kind} is called {name!r}; there are {sorted(choices)}")
