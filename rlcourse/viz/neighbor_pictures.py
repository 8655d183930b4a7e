"""A position and its neighbors in a row, as in Fig. 3 of Humphreys et al. 2022 (arXiv 2206.05314).

A neighbor is shown as it lies on the query's board: turned back by the inverse of the symmetry that
found it, and with its colors swapped where the other color is to move there, so that the player to
move has the same color on all boards of a row.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import ipywidgets as widgets
import torch
from IPython.display import HTML, display
from jaxtyping import Float, Int
from matplotlib.figure import Figure
from torch import Tensor

from rlcourse.go.agreement import undone
from rlcourse.go.neighbors import Neighbors, inverse
from rlcourse.go.positions import Batch, Positions
from rlcourse.go.symmetry import transform_planes
from rlcourse.viz.boards import Board, row_svg
from rlcourse.viz.style import PALETTE, SIZES
from rlcourse.viz.widgets import static_bundle, still_image

WIDTH = 900.0  # pixels of a row


def query_board(query: Batch, title: str = "query") -> Board:
    """The one position of `query`, with the expert's move and the winner."""
    return Board(
        query.stones[0],
        next_moves=[int(query.next_moves[0, 0])],
        winner=int(query.outcome[0] * query.to_play[0]),
        title=title,
        coordinates=False,
    )


def neighbor_boards(
    query: Batch, near: Batch, symmetry: Int[Tensor, " K"], distances: Float[Tensor, " K"]
) -> list[Board]:
    """The neighbors of one position as they lie on its board, with their next move and winner.

    Args:
        query: one position.
        near: K neighbors.
        symmetry: by which each was found.
        distances: squared; printed above each.
    """
    size = query.planes.shape[-1]
    stones = transform_planes(near.stones.view(-1, size, size), inverse(symmetry)).flatten(1)
    stones = stones * (near.to_play * query.to_play[0])[:, None]
    moves = undone(near.next_moves[:, :1], symmetry[:, None], size)[:, 0]
    winners = (near.outcome * query.to_play[0]).int()
    rows = zip(stones, moves.tolist(), winners.tolist(), distances.tolist(), strict=True)
    return [
        Board(board, next_moves=[move], winner=winner, title=_number(far), coordinates=False)
        for board, move, winner, far in rows
    ]


def boards_of(positions: Positions, query_id: int, found: Neighbors, k: int) -> list[Board]:
    """The query first, then the k nearest of `found`, which has one row.

    Raises:
        ValueError: `found` has fewer than k neighbors.
    """
    if found.ids.shape[0] != 1 or int((found.ids >= 0).sum()) < k:
        raise ValueError(f"one row with {k} neighbors is needed, got {list(found.ids.shape)}")
    query, near = positions.batch(torch.tensor([query_id])), positions.batch(found.ids[0, :k])
    boards = neighbor_boards(query, near, found.symmetry[0, :k], found.distances[0, :k])
    return [query_board(query), *boards]


def neighbor_rows(
    positions: Positions,
    query_ids: Int[Tensor, " B"],
    found: Mapping[str, Neighbors],
    place: int,
    k: int = 5,
) -> HTML:
    """One row for each kind of key, of the query at `place`: name -> neighbors [B, K]."""
    parts = []
    for name, neighbors in found.items():
        boards = boards_of(positions, int(query_ids[place]), row_of(neighbors, place), k)
        words = "; ".join(board.description for board in boards)
        parts.append(f"<b>{name}</b>" + still_image(row_svg(boards, WIDTH), words, "", WIDTH))
    return HTML("".join(parts))


def row_of(found: Neighbors, place: int) -> Neighbors:
    """Those of one query, [1, K]."""
    return Neighbors(*(part[place : place + 1] for part in found))


def explained(shares: Mapping[str, Float[Tensor, " D"]]) -> Figure:
    """The share of the variance that the first d components hold, by name."""
    figure = Figure(figsize=SIZES["single"], layout="constrained")
    ax = figure.subplots()
    for (name, share), role in zip(shares.items(), ("ours", "baseline", "expert"), strict=False):
        total = 100 * share.cumsum(0)
        ax.plot(range(1, len(total) + 1), total, color=PALETTE[role], label=name)
    ax.set(xlabel="components that are kept", ylabel="variance that they hold (%)", ylim=(0, 100))
    ax.set_title("How many numbers does a position need?")
    ax.legend(loc="lower right")
    return figure


def check_found(found: Mapping[str, Neighbors | None], num_queries: int, k: int) -> None:
    """Checks neighbors [B, K] by name, of which k are to be drawn; None: there are none to draw.

    Raises:
        ValueError: neighbors of other than `num_queries` positions, or fewer than k.
    """
    for name, neighbors in found.items():
        if neighbors is None:
            continue
        if len(neighbors.ids) != num_queries or neighbors.ids.shape[1] < k:
            raise ValueError(
                f"{name} must have {k} neighbors of {num_queries} positions, got"
                f" {list(neighbors.ids.shape)}"
            )


class Pager(NamedTuple):
    """The parts of a widget that pages through positions, from top to bottom, and all of it."""

    names: widgets.ToggleButtons
    slider: widgets.IntSlider
    picture: widgets.HTML
    words: widgets.HTML
    widget: widgets.VBox


def pager(
    names: Sequence[str], num_positions: int, redraw: Callable[[Any], None], button_width: int
) -> Pager:
    """A widget whose picture and words are empty until `redraw` fills them.

    Args:
        names: of the buttons; the first is chosen.
        num_positions: the slider goes from 0 to the one before.
        redraw: called after a change of name or position.
        button_width: pixels.
    """
    buttons = widgets.ToggleButtons(
        options=names,
        style={"button_width": f"{button_width}px"},
        layout=widgets.Layout(width="auto"),
    )
    slider = widgets.IntSlider(
        value=0,
        min=0,
        max=num_positions - 1,
        description="position",
        continuous_update=True,
        style={"description_width": "64px"},
        layout=widgets.Layout(width="100%", max_width="640px"),
    )
    parts = [buttons, slider, widgets.HTML(), widgets.HTML()]
    for control in (buttons, slider):
        control.observe(redraw, "value")
    return Pager(*parts, widgets.VBox(parts))


class NeighborExplorer:
    """Positions to page through, and their neighbors by one kind of key or another.

    Args:
        positions: of queries and neighbors.
        query_ids: [B] positions to page through.
        found: neighbors [B, K] by the name of the keys.
        k: neighbors that are shown.

    Raises:
        ValueError: no query or no kind of key, or neighbors of other queries.
    """

    def __init__(
        self,
        positions: Positions,
        query_ids: Int[Tensor, " B"],
        found: Mapping[str, Neighbors],
        k: int = 5,
    ) -> None:
        if not len(query_ids) or not found:
            raise ValueError("there must be a position to show and a kind of key")
        check_found(found, len(query_ids), k)
        self._positions, self._ids, self._found, self._k = positions, query_ids, dict(found), k
        made = pager(list(found), len(query_ids), self._redraw, button_width=200)
        self.keys, self.slider, self.picture, self.words, self.widget = made
        self._redraw({})

    @property
    def boards(self) -> list[Board]:
        """What is shown: the query, then its neighbors."""
        return self._boards(self.keys.value)

    @property
    def num_agreeing(self) -> int:
        """Neighbors shown whose next move is the expert's."""
        query, *near = self.boards
        return sum(board.next_moves == query.next_moves for board in near)

    def show(self) -> None:
        """Displays the widget, or its picture where no kernel runs."""
        display(self._repr_mimebundle_(), raw=True)

    def _boards(self, keys: str) -> list[Board]:
        place = self.slider.value
        found = row_of(self._found[keys], place)
        return boards_of(self._positions, int(self._ids[place]), found, self._k)

    def _redraw(self, change: Any) -> None:
        self.picture.value = row_svg(self.boards, WIDTH)
        self.words.value = f"{self.num_agreeing} of {self._k} neighbors played the expert's move."

    def _repr_mimebundle_(
        self, include: Collection[str] | None = None, exclude: Collection[str] | None = None
    ) -> dict[str, Any]:
        boards: Sequence[Board] = self.boards
        words = "; ".join(board.description for board in boards)
        caption = f"{self.keys.value}. A still: run the cell to page through positions."
        return static_bundle(
            self.widget, still_image(row_svg(boards, WIDTH), words, caption, WIDTH), words
        )


def _number(distance: float) -> str:
    return f"{distance:,.0f}" if distance >= 100 else f"{distance:.3g}"
