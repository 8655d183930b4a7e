"""What a network is shown of a neighbor, and what it says with neighbors and without.

As in `neighbor_pictures`, a neighbor lies as the query does, and the player to move has the same
color on all boards of a row.
"""

from collections.abc import Collection, Mapping
from html import escape
from typing import Any

import torch
from IPython.display import HTML, display
from jaxtyping import Float, Int
from torch import Tensor

from rlcourse.go.agreement import undone
from rlcourse.go.batches import make_batch
from rlcourse.go.model import RetrievalModel
from rlcourse.go.neighbors import Neighbors, inverse
from rlcourse.go.positions import Positions
from rlcourse.go.symmetry import transform_planes
from rlcourse.viz.boards import Board, row_svg
from rlcourse.viz.neighbor_pictures import boards_of, check_found, pager, row_of
from rlcourse.viz.widgets import static_bundle, still_image

_NUM_MOVES = 5
_UNIT = 290.0  # pixels of a large board
_COLORS = {1: "black", -1: "white", 0: "nobody"}


def what_is_shown(positions: Positions, query_id: int, found: Neighbors, rank: int = 0) -> HTML:
    """A position, one of its neighbors with the moves that followed there, and how that game ended.

    Args:
        found: neighbors of this position, [1, K].
        rank: of the neighbor that is shown.
    """
    query, one = boards_of(positions, query_id, found, rank + 1)[:: rank + 1]
    stored = positions.batch(found.ids[0, rank : rank + 1])
    asking = positions.batch(torch.tensor([query_id]))
    size, symmetry = positions.rules.size, found.symmetry[:, rank]
    swap = int(stored.to_play[0] * asking.to_play[0])
    moves = undone(stored.next_moves[:, :_NUM_MOVES], symmetry[:, None].expand(1, _NUM_MOVES), size)
    final = transform_planes(stored.final.view(1, size, size), inverse(symmetry)).flatten() * swap
    boards = [
        query,
        Board(
            one.stones,
            next_moves=[int(move) for move in moves[0] if move >= 0],
            title="neighbor and its next moves",
            coordinates=False,
        ),
        Board(
            torch.zeros_like(final),
            ownership=final.float(),
            winner=one.winner,
            title=f"its final board: {_COLORS[one.winner]} won",
            coordinates=False,
        ),
    ]
    words = "; ".join(board.description for board in boards)
    return HTML(still_image(row_svg(boards, 780.0), words, "", 780.0))


@torch.no_grad()
def opinion(
    network: RetrievalModel, positions: Positions, query_id: int, found: Neighbors | None
) -> tuple[Float[Tensor, " A"], float]:
    """Probabilities of the moves and the value of one position.

    Args:
        found: its neighbors [1, K]; None: without.
    """
    ids, next_moves = torch.tensor([query_id]), network.config.num_next
    neighbors_of = None if found is None else lambda _: found
    batch = make_batch(positions, ids, neighbors_of, num_next=next_moves)
    batch = batch.to(next(network.parameters()).device)
    number = None if found is None else found.ids.shape[1]
    logits, value = network.predict(network.represent(batch.planes, batch.neighbors, number))
    return logits[0].float().softmax(-1).cpu(), float(value)


class RetrievalExplorer:
    """Positions to page through, with the policy and the value that a network gives each, by what
    the network is given: neighbors of one kind or another, or none.

    Args:
        network: in its mode for evaluation.
        positions: of queries and neighbors.
        query_ids: [B] positions to page through.
        given: neighbors [B, K] by the name of the kind; None: none.
        k: neighbors that are drawn.

    Raises:
        ValueError: no query or no kind, or neighbors of other queries, or fewer than k.
    """

    def __init__(
        self,
        network: RetrievalModel,
        positions: Positions,
        query_ids: Int[Tensor, " B"],
        given: Mapping[str, Neighbors | None],
        k: int = 4,
    ) -> None:
        if not len(query_ids) or not given:
            raise ValueError("there must be a position to show and something to give the network")
        check_found(given, len(query_ids), k)
        self._network, self._positions, self._ids = network, positions, query_ids
        self._given, self._k = dict(given), k
        self._opinions: dict[tuple[int, str], tuple[Tensor, float]] = {}
        made = pager(list(given), len(query_ids), self._redraw, button_width=140)
        self.kind, self.slider, self.picture, self.words, self.widget = made
        self._redraw({})

    @property
    def boards(self) -> list[Board]:
        """What is shown: the position, its policy, and the neighbors that the network was given."""
        place, found = self.slider.value, self._found
        query_id = int(self._ids[place])
        policy, _ = self._opinion()
        asking = self._positions.batch(torch.tensor([query_id]))
        shown = found or _itself(query_id)
        query, *near = boards_of(self._positions, query_id, shown, self._k if found else 1)
        heat = Board(asking.stones[0], policy=policy, title="policy (%)", coordinates=False)
        return [query, heat, *(near if found else [])]

    @property
    def sentence(self) -> str:
        """What the network says, beside what happened."""
        policy, value = self._opinion()
        asking = self._positions.batch(self._ids[self.slider.value][None])
        move = int(asking.next_moves[0, 0])
        rank, color = 1 + int((policy > policy[move]).sum()), _COLORS[int(asking.to_play[0])]
        return (
            f"The expert's move gets {float(policy[move]):.0%}, rank {rank}. Value for {color}, who"
            f" is to move: {value:+.2f}; the game ended {float(asking.outcome[0]):+.0f}."
        )

    def show(self) -> None:
        """Displays the widget, or its picture where no kernel runs."""
        display(self._repr_mimebundle_(), raw=True)

    @property
    def _found(self) -> Neighbors | None:
        found = self._given[self.kind.value]
        return None if found is None else row_of(found, self.slider.value)

    def _opinion(self) -> tuple[Tensor, float]:
        place, kind = self.slider.value, self.kind.value
        if (place, kind) not in self._opinions:
            self._opinions[place, kind] = opinion(
                self._network, self._positions, int(self._ids[place]), self._found
            )
        return self._opinions[place, kind]

    def _redraw(self, change: Any) -> None:
        self.picture.value, self.words.value = "<br>".join(self._rows()), self.sentence

    def _rows(self) -> list[str]:
        """The position and its policy as SVG text, and below it the neighbors."""
        boards = self.boards
        rows = [row_svg(boards[:2], 2 * _UNIT)]
        if boards[2:]:
            rows.append(row_svg(boards[2:], 0.8 * _UNIT * len(boards[2:])))
        return rows

    def _repr_mimebundle_(
        self, include: Collection[str] | None = None, exclude: Collection[str] | None = None
    ) -> dict[str, Any]:
        top, *below = self._rows()
        words = "; ".join(board.description for board in self.boards) + "; " + self.sentence
        caption = f"{self.kind.value}: {self.sentence} A still: run the cell to page and to switch."
        still = still_image(top, words, "", 2 * _UNIT)
        still += "".join(still_image(row, "neighbors", "", 0.8 * _UNIT * self._k) for row in below)
        still += f"<p>{escape(caption)}</p>"
        return static_bundle(self.widget, still, words)


def _itself(query_id: int) -> Neighbors:
    """A row that has only the position, for drawing it alone."""
    return Neighbors(torch.tensor([[query_id]]), torch.zeros(1, 1), torch.zeros(1, 1).long())
