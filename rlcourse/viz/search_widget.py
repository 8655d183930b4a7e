"""The widget of notebook 16: how a search changes its mind about a position."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import ipywidgets as widgets
from IPython.display import display
from jaxtyping import Float, Int
from torch import Tensor

from rlcourse.go.notation import vertex_of
from rlcourse.viz.boards import Board, row_svg
from rlcourse.viz.widgets import static_bundle, still_image

WIDTH = 940.0


class Stage(NamedTuple):
    """What a search says of a position after some simulations."""

    num_simulations: int
    visits: Int[Tensor, " A"]
    q: Float[Tensor, " A"]  # of each move, for the player to move
    value: float  # of the position, for the player to move
    line: list[int]  # the most visited moves, one after the other


class Watched(NamedTuple):
    """A position and the stages of its search, the first without a simulation."""

    name: str
    stones: Int[Tensor, " P"]
    last_move: int
    prior: Float[Tensor, " A"]
    stages: Sequence[Stage]


class SearchExplorer:
    """A slider of simulations: the policy, where the visits went, and the line that is expected.

    Args:
        positions: at least one, all with the same numbers of simulations.

    Raises:
        ValueError: no position, or others than that.
    """

    def __init__(self, positions: Sequence[Watched]) -> None:
        counts = {tuple(stage.num_simulations for stage in one.stages) for one in positions}
        if len(counts) != 1:
            raise ValueError(
                f"give positions that were searched with the same simulations, got {sorted(counts)}"
            )
        self._positions, (self._counts,) = list(positions), counts
        self.position = widgets.ToggleButtons(
            options=[(one.name, place) for place, one in enumerate(positions)],
            style={"button_width": "190px"},
        )
        self.simulations = widgets.IntSlider(
            value=len(self._counts) // 2,
            min=0,
            max=len(self._counts) - 1,
            description="simulations",
            readout=False,  # the picture says it: a stage need not be one simulation
            style={"description_width": "90px"},
            layout=widgets.Layout(width="100%", max_width="640px"),
        )
        self.picture, self.words = widgets.HTML(), widgets.HTML()
        for control in (self.position, self.simulations):
            control.observe(self._redraw, "value")
        parts = [self.position, self.simulations, self.picture, self.words]
        self.widget = widgets.VBox(parts)
        self._redraw({})

    @property
    def stage(self) -> Stage:
        """What is shown."""
        return self._shown.stages[self.simulations.value]

    @property
    def boards(self) -> list[Board]:
        """The policy, the visits, and the line."""
        shown, stage = self._shown, self.stage
        marks = {"last_move": shown.last_move, "coordinates": False}
        title = f"visits of {stage.num_simulations}"
        return [
            Board(shown.stones, policy=shown.prior, title="policy, in %", **marks),
            Board(shown.stones, visits=stage.visits, title=title, **marks),
            Board(shown.stones, next_moves=stage.line, title="expected line", **marks),
        ]

    @property
    def sentence(self) -> str:
        """The most visited move, its value, and what the policy wanted."""
        shown, stage = self._shown, self.stage
        size = int(len(shown.stones) ** 0.5)
        favorite = vertex_of(int(shown.prior.argmax()), size)
        if not stage.num_simulations:
            return f"The policy would play {favorite}. Value {stage.value:+.2f}."
        best = int(stage.visits.argmax())
        name = vertex_of(best, size)
        other = "as the policy would" if name == favorite else f"where the policy wanted {favorite}"
        return (
            f"Most visited: {name}, {other}; its Q {float(stage.q[best]):+.2f}. Value of the "
            f"position {stage.value:+.2f}, by the network alone {shown.stages[0].value:+.2f}."
        )

    def show(self) -> None:
        """Displays the widget, or its picture where no kernel runs."""
        display(self._repr_mimebundle_(), raw=True)

    @property
    def _shown(self) -> Watched:
        return self._positions[self.position.value]

    def _redraw(self, change: Any) -> None:
        self.picture.value = row_svg(self.boards, WIDTH)
        self.words.value = self.sentence

    def _repr_mimebundle_(
        self, include: Collection[str] | None = None, exclude: Collection[str] | None = None
    ) -> dict[str, Any]:
        words = "; ".join(board.description for board in self.boards)
        caption = f"{self.sentence} A still: run the cell to move the slider."
        still = still_image(row_svg(self.boards, WIDTH), words, caption, WIDTH)
        return static_bundle(self.widget, still, words)
