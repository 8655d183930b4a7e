"""A Go board to play on in a notebook, against any opponent, with room for what it thinks."""

from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets as widgets
import torch
from IPython.display import display

from rlcourse.go.board import Go, State, neighbor_points
from rlcourse.go.notation import result_text, vertex_of
from rlcourse.go.rules import BLACK, WHITE
from rlcourse.viz.boards import Board, board_svg, extent_of
from rlcourse.viz.map_editor import notice
from rlcourse.viz.widgets import static_bundle, still_image

NAMES = {BLACK: "Black", WHITE: "White"}
_CELL = 36  # pixels between two lines


class BoardWidget:
    """A game on one board: a click plays there; pass, undo and new game are buttons below.

    The board is a picture with a transparent button over each point, so that it needs nothing of
    the browser but ipywidgets, 7 or 8.

    Args:
        go: the rules.
        opponent: gives the move to play on the one board of a state that is its own copy; None:
            you play both colors. It may raise ValueError, RuntimeError or OSError: your move is
            taken back then, and the reason shown.
        color: yours, +1 or -1, where there is an opponent.
        panel: HTML to show beside the board, such as retrieved positions; called after each move.
        marks: attributes of `Board` to draw on it, such as the visits of a search; called likewise.
            A title is left out.
        cell: pixels between two lines.

    Attributes:
        state: the game; not to be written to.
        board: what is drawn.
        moves: since its start.
        widget: to display.
        message: what to do, or what is wrong.

    Raises:
        ValueError: for another color than +1 or -1.
    """

    def __init__(
        self,
        go: Go,
        opponent: Callable[[State], int] | None = None,
        *,
        color: int = BLACK,
        panel: Callable[[State], str] | None = None,
        marks: Callable[[State], Mapping[str, Any]] | None = None,
        cell: int = _CELL,
    ) -> None:
        if color not in NAMES:
            raise ValueError(f"color must be +1 (black) or -1 (white), got {color}")
        self._go, self._opponent, self._color = go, opponent, color
        self._panel, self._marks, self._cell = panel, marks, cell
        self._past: list[State] = []
        self.state, self.moves = go.new(1), []
        self.picture, self.message = widgets.HTML(), widgets.HTML()
        # Its longest line would else decide whether it still fits beside the board.
        self.panel = widgets.HTML(layout=widgets.Layout(flex="1 1 360px", min_width="0px"))
        self._points = [self._button(point) for point in range(go.rules.num_points)]
        self.pass_button = _control("Pass", lambda: self.play(go.rules.num_points))
        self.undo_button = _control("Undo", self.undo)
        self.new_button = _control("New game", self.new_game)
        self.widget = self._arrange()
        self.new_game()

    @property
    def svg(self) -> str:
        """The picture of the game as it stands."""
        return board_svg(self.board, self._cell * extent_of(self.board).width)

    @property
    def is_over(self) -> bool:
        return bool(self._go.is_over(self.state)[0])

    def point(self, move: int) -> widgets.Button:
        """The button over a point."""
        return self._points[move]

    def play(self, move: int) -> None:
        """Your move, as a click on the point, and the opponent's answer. An illegal move is refused
        with a message, and nothing is played."""
        refusal = why_illegal(self._go, self.state, move)
        if refusal:
            self._say(refusal, "pit")
            return
        self._step(move)
        self._show()
        self._answer()

    def undo(self) -> None:
        """Takes back your last move, and the opponent's answer with it."""
        own = self._color if self._opponent is not None else None
        colors = [int(state.to_play[0]) for state in self._past]
        yours = [turn for turn, color in enumerate(colors) if own in (None, color)]
        if not yours:
            self._say("There is no move of yours to take back.", "pit")
            return
        self._return_to(yours[-1])
        self._show()

    def new_game(self) -> None:
        """Starts over; the opponent opens where you have white."""
        self._past, self.moves = [], []
        self.state = self._go.new(1)
        self._show()
        self._answer()

    def show(self) -> None:
        """Displays the widget, or its picture where no kernel runs."""
        display(self._repr_mimebundle_(), raw=True)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        words, width = self.board.description, self._cell * extent_of(self.board).width
        still = still_image(self.svg, words, "A still. Run the cell to play.", width)
        return static_bundle(self.widget, still + self.panel.value, words)

    def _answer(self) -> None:
        """The opponent's move, where it is its turn."""
        if self._opponent is None or self.is_over or int(self.state.to_play[0]) == self._color:
            return
        name = NAMES[-self._color]
        self._say(f"{name} is thinking.", "muted")
        try:
            move = int(self._opponent(self.state.clone()))
            refusal = why_illegal(self._go, self.state, move)
            if refusal:
                raise ValueError(f"it chose move {move}. {refusal}")
        except (ValueError, RuntimeError, OSError) as error:
            if self._past:
                self._return_to(len(self._past) - 1)
            self._show()
            self._say(f"{name}, the opponent, could not move: {error}", "pit")
            return
        self._step(move)
        self._show()

    def _step(self, move: int) -> None:
        self._past.append(self.state.clone())
        self.moves.append(move)
        self._go.step_(self.state, torch.tensor([move], device=self.state.device))

    def _return_to(self, turn: int) -> None:
        self.state = self._past[turn]
        self._past, self.moves = self._past[:turn], self.moves[:turn]

    def _show(self) -> None:
        marks = {} if self._marks is None else dict(self._marks(self.state))
        # The buttons lie where a board without title and with coordinates has its points.
        self.board = Board.of(self.state, **marks | {"title": "", "coordinates": True})
        height = f"{self._cell * extent_of(self.board).height:g}px"
        self.picture.value = f'<div style="height:{height};line-height:0">{self.svg}</div>'
        self.panel.value = "" if self._panel is None else self._panel(self.state)
        self._say(self._status(), "muted")

    def _status(self) -> str:
        if self.is_over:
            margin = float(self._go.score(self.state)[0])
            return f"The game is over: {result_text(margin)} by area, all stones taken as alive."
        last = ""
        if self.moves:
            name = NAMES[int(self._past[-1].to_play[0])]
            last = f"{name} played {vertex_of(self.moves[-1], self._go.rules.size)}. "
            last = last.replace("played pass", "passed")
        return f"{last}{NAMES[int(self.state.to_play[0])]} to play."

    def _say(self, text: str, role: str) -> None:
        self.message.value = notice(text, role)

    def _button(self, point: int) -> widgets.Button:
        side = f"{self._cell}px"
        made = widgets.Button(
            tooltip=vertex_of(point, self._go.rules.size),
            layout=widgets.Layout(width=side, height=side, margin="0px", padding="0px"),
            style=widgets.ButtonStyle(button_color="transparent"),
        )
        made.on_click(lambda _: self.play(point))
        return made

    def _arrange(self) -> widgets.HBox:
        """The buttons are drawn over the picture by a negative margin."""
        extent = extent_of(Board.of(self.state))
        size, cell = self._go.rules.size, self._cell
        left, top = (-extent.x - 0.5) * cell, (-extent.y - 0.5) * cell
        height = extent.height * cell
        below = height - top - size * cell
        pad = widgets.GridBox(
            self._points,
            layout=widgets.Layout(
                grid_template_columns=f"repeat({size}, {cell}px)",
                grid_gap="0px",
                width=f"{size * cell}px",
                height=f"{size * cell}px",
                margin=f"{top - height:g}px 0px {below:g}px {left:g}px",
                overflow="hidden",
            ),
        )
        self.picture.layout = widgets.Layout(margin="0px", height=f"{height:g}px", flex="0 0 auto")
        controls = widgets.HBox([self.pass_button, self.undo_button, self.new_button])
        left_side = widgets.VBox(
            [self.picture, pad, controls, self.message],
            layout=widgets.Layout(flex="0 0 auto"),
        )
        return widgets.HBox([left_side, self.panel], layout=widgets.Layout(flex_flow="row wrap"))


def why_illegal(go: Go, state: State, move: int) -> str:
    """A sentence on why a move may not be played on the first board of a state; "" if it may."""
    rules = go.rules
    if bool(go.is_over(state)[0]):
        return "The game is over: start a new one, or undo."
    if not 0 <= move <= rules.num_points:
        return f"There is no move {move} on this board: 0 to {rules.num_points}, the pass."
    if bool(state.legal[0, move]):
        return ""
    name = vertex_of(move, rules.size)
    if int(state.stones[0, move]) != 0:
        return f"There is a stone on {name} already."
    if _is_suicide(state, move, rules.size):
        return f"A stone on {name} would have no liberty: suicide is not allowed."
    if int(state.ko[0]) == move:
        return f"Taking back on {name} at once is not allowed: that is the ko rule."
    return f"{name} would bring back an earlier position of the whole board (superko)."


def _is_suicide(state: State, move: int, size: int) -> bool:
    """Whether a stone on this empty point would capture nothing and leave its chain no liberty."""
    color = int(state.to_play[0])
    for beside in neighbor_points(size)[move].tolist():
        if beside < 0:
            continue
        owner = int(state.stones[0, beside])
        if owner == 0:
            return False
        label = int(state.chain[0, beside])
        table = (state.num_liberties, state.sum_liberties, state.square_liberties)
        number, total, squares = (int(row[0, label]) for row in table)
        in_atari = number * squares == total**2
        if (owner == color) != in_atari:  # a friend with another liberty, or a capture
            return False
    return True


def _control(name: str, act: Callable[[], None]) -> widgets.Button:
    button = widgets.Button(description=name, layout=widgets.Layout(width="110px"))
    button.on_click(lambda _: act())
    return button
