"""A pad of buttons on which a learner draws a gridworld."""

from collections.abc import Callable
from functools import partial
from html import escape

import ipywidgets as widgets

from rlcourse.envs.gridworld import Gridworld
from rlcourse.viz.style import PALETTE

TOOLS = {"wall": "#", "floor": ".", "goal": "G", "pit": "X", "start": "S"}
# A space that does not break: JupyterLab keeps the old glyph where the description is empty.
_GLYPHS = {"#": "\u00a0", ".": "\u00a0", "G": "★", "X": "✕", "S": "○"}
_NAMES = {symbol: name for name, symbol in TOOLS.items()}
_HINT = "Click a cell to draw what is chosen above; click it again to put floor there."
_SIDE = 26  # of a button, in pixels
# All are readable under black and under white glyphs: the theme decides which it is.
_COLORS = {"#": PALETTE["wall"], ".": "#C9D1DC", "G": "#0FA678", "X": "#DE6B1F", "S": "#4C8FC4"}


class MapEditor:
    """Draws walls, floor, goals, pits and the start with a click on a cell.

    A click with a tool on a cell that has it already puts floor there. A map has one drawn start at
    most: a new one takes the place of the old. Edits that make no map are refused with a message.

    Args:
        grid: the first map.
        on_change: called with each new map; may raise ValueError to refuse it.

    Attributes:
        widget: to display.
        tool: the choice of what to draw.
        message: what went wrong with the last edit, empty if nothing did.
        grid: the map as drawn.
    """

    def __init__(self, grid: Gridworld, on_change: Callable[[Gridworld], None]) -> None:
        self.grid = grid
        self._original = grid
        self._on_change = on_change
        self._buttons: dict[tuple[int, int], widgets.Button] = {}
        # Shared by all buttons: a cell changes by pointing to another style.
        side = f"{_SIDE}px"
        self._cell = widgets.Layout(width=side, height=side, padding="0px", margin="0px")
        self._styles = {
            symbol: widgets.ButtonStyle(button_color=color) for symbol, color in _COLORS.items()
        }
        self.tool = widgets.ToggleButtons(
            options=list(TOOLS),
            style={"button_width": "64px"},
            layout=widgets.Layout(width="auto"),
        )
        self.reset = widgets.Button(description="Reset the map", icon="undo")
        self.reset.on_click(lambda _: self._change_by(lambda: self._original))
        self.message = widgets.HTML()
        self._pad = widgets.GridBox()
        tools = labeled("Draw", self.tool, self.reset)
        self.widget = widgets.VBox([tools, widgets.HTML(_HINT), self.message, self._pad])
        self.widget.layout.display = "none"

    @property
    def is_open(self) -> bool:
        return self.widget.layout.display != "none"

    def open(self) -> None:
        """Shows the pad. Its buttons are made now, so that a widget never opened costs nothing."""
        self.widget.layout.display = ""
        self._show_pad()

    def close(self) -> None:
        self.widget.layout.display = "none"

    def load(self, grid: Gridworld) -> None:
        """Starts over from another map, without calling `on_change`."""
        self.grid = self._original = grid
        self.message.value = ""
        if self.is_open:
            self._show_pad()

    def button(self, row: int, column: int) -> widgets.Button:
        """The button of a cell; made on the first call."""
        if (row, column) not in self._buttons:
            made = widgets.Button(layout=self._cell)
            made.on_click(lambda _: self.paint(row, column))
            self._buttons[row, column] = made
        return self._buttons[row, column]

    def paint(self, row: int, column: int) -> None:
        """Draws one cell with the chosen tool, as a click on it does."""
        self._change_by(partial(_painted, self.grid, row, column, TOOLS[self.tool.value]))

    def _change_by(self, edit: Callable[[], Gridworld]) -> None:
        try:
            grid = edit()
            self._on_change(grid)
        except ValueError as error:
            self.message.value = notice(f"Not drawn: {error}", "pit")
            return
        self.message.value = ""
        self.grid = grid
        if self.is_open:
            self._show_pad()

    def _show_pad(self) -> None:
        """Brings every button in line with the map; only what differs is sent to the browser."""
        buttons = []
        for row, symbols in enumerate(self.grid.rows):
            for column, symbol in enumerate(symbols):
                button = self.button(row, column)
                button.description = _GLYPHS[symbol]
                button.style = self._styles[symbol]
                button.tooltip = f"row {row}, column {column}: {_NAMES[symbol]}"
                buttons.append(button)
        if list(self._pad.children) != buttons:
            self._pad.layout = widgets.Layout(
                grid_template_columns=f"repeat({self.grid.width}, {_SIDE}px)", grid_gap="2px"
            )
            self._pad.children = buttons


def labeled(name: str, *controls: widgets.Widget) -> widgets.HBox:
    """Controls in a row behind their name, in line with sliders whose description is 64px wide.

    ipywidgets puts the description of toggle buttons above or beside them, as the theme has it.
    """
    label = widgets.Label(name, layout=widgets.Layout(width="68px", justify_content="flex-end"))
    return widgets.HBox([label, *controls], layout=widgets.Layout(flex_flow="row wrap"))


def notice(text: str, role: str) -> str:
    """A message as HTML that a screen reader announces; `role` is one of `PALETTE`."""
    return (
        f'<div role="status" style="border-left:4px solid {PALETTE[role]};background:#FFFFFF;'
        f"color:{PALETTE['text']};padding:6px 10px;line-height:1.4;border-radius:4px"
        f'">{escape(text)}</div>'
    )


def _painted(grid: Gridworld, row: int, column: int, symbol: str) -> Gridworld:
    starts = [grid.cells[state] for state in grid.states_of("S")]
    if grid.rows[row][column] == symbol:
        symbol = "."
    try:
        changed = grid.with_cell(row, column, symbol)
        for start in starts if symbol == "S" else ():
            changed = changed.with_cell(*start, ".")
    except ValueError as error:
        raise ValueError("the map needs a cell to start from, so keep one floor cell") from error
    return changed
