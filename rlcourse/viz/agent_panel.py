"""What an agent thought at its last move, to stand beside a board: visits and retrieved positions.

The search's visits are drawn on the board that the agent saw, and below it the stored positions
that it retrieved, as they lie on that board (Humphreys et al. 2022, arXiv 2206.05314: each with
what came of it, its next move and its winner).
"""

import dataclasses
from html import escape
from typing import NamedTuple

import torch

from rlcourse.go.agent import Decision, SearchAgent
from rlcourse.go.board import Go, State
from rlcourse.go.notation import vertex_of
from rlcourse.go.positions import Batch
from rlcourse.go.rules import BLACK
from rlcourse.viz.boards import Board, board_svg, row_svg
from rlcourse.viz.neighbor_pictures import neighbor_boards
from rlcourse.viz.widgets import still_image

WIDTH = 560.0  # pixels
_IN_A_ROW = 4
_VISITS = 0.54  # of the width


class Thought(NamedTuple):
    """A position, and what the agent decided there."""

    state: State
    planes: torch.Tensor
    decision: Decision


class ThinkingOpponent:
    """An agent as the opponent of a `BoardWidget`, whose thoughts are its panel.

    It plays with the agent's settings, but never gives up: the widget knows no resignation.

    Args:
        agent: with or without retrieval.
        go: the rules of the game.
    """

    def __init__(self, agent: SearchAgent, go: Go) -> None:
        config = dataclasses.replace(agent.config, resign_below=None)
        own = (agent.generator, agent.device, agent.name, agent.search)
        self.agent = SearchAgent(agent.model, agent.retrieve, config, *own)
        self._go = go
        self._thoughts: dict[int, Thought] = {}  # by the moves before it

    def answer(self, state: State) -> int:
        """A move on one board, as `BoardWidget` asks for it.

        Raises:
            ValueError: the game is over, or of other rules than the agent's database.
        """
        decision = self.agent.act(self._go, state)
        self._thoughts[int(state.num_moves)] = Thought(
            state.clone(), self._go.planes(state).cpu(), decision
        )
        return int(decision.moves)

    def last(self, state: State) -> Thought | None:
        """What was thought at the agent's last move before this position; None: nothing yet."""
        now = int(state.num_moves)
        self._thoughts = {turn: told for turn, told in self._thoughts.items() if turn < now}
        return self._thoughts[max(self._thoughts)] if self._thoughts else None

    def panel(self, state: State) -> str:
        """HTML to show beside this position."""
        thought = self.last(state)
        if thought is None:
            return f"<p>{escape(self.agent.name)} has not moved yet.</p>"
        board = visits_board(thought)
        seen = still_image(
            board_svg(board, _VISITS * WIDTH), board.description, "", _VISITS * WIDTH
        )
        return f"<p>{escape(words_of(thought, self.agent))}</p>{seen}{self._neighbors(thought)}"

    def _neighbors(self, thought: Thought) -> str:
        boards = retrieved_boards(self.agent, thought)
        if self.agent.retrieve is None:
            return "<p>It plays without retrieval.</p>"
        if not boards:
            return "<p>It retrieved nothing.</p>"
        head = (
            f"<p>{len(boards)} retrieved position{'s' * (len(boards) > 1)}, turned to lie as this"
            " board does, nearest first: the distance above, the next move as a green point, the"
            " border in the color that won.</p>"
        )
        rows = [boards[i : i + _IN_A_ROW] for i in range(0, len(boards), _IN_A_ROW)]
        width = WIDTH / min(_IN_A_ROW, len(boards))
        return head + "".join(
            still_image(
                row_svg(row, width * len(row)),
                "; ".join(board.description for board in row),
                "",
                width * len(row),
            )
            for row in rows
        )


def words_of(thought: Thought, agent: SearchAgent) -> str:
    """One sentence: who played what, after how many simulations, with what hope."""
    decision, points = thought.decision, thought.state.stones.shape[1]
    color = "Black" if int(thought.state.to_play) == BLACK else "White"
    move, size = int(decision.moves), int(points**0.5)
    played = "passed" if move == points else f"played {vertex_of(move, size)}"
    count = agent.config.search.num_simulations
    how = f"{count} simulations" if count else "no search, the policy alone"
    return f"{agent.name}, {color}, {played}: {how}, value {float(decision.value):+.2f} for it."


def visits_board(thought: Thought) -> Board:
    """The board that the agent saw, with the visits of its search, or its policy without one."""
    decision = thought.decision
    searched = int(decision.visits.sum()) > 0
    heat = {"visits": decision.visits[0]} if searched else {"policy": decision.prior[0]}
    title = "visits of its search" if searched else "its policy"
    return Board.of(thought.state, title=title, **heat)


def retrieved_boards(agent: SearchAgent, thought: Thought) -> list[Board]:
    """The stored positions that were found, as they lie on the agent's board."""
    found = thought.decision.retrieved
    if agent.retrieve is None or found is None:
        return []
    there = found.ids[0] >= 0
    ids = found.ids[0][there].cpu()
    if not len(ids):
        return []
    near = agent.retrieve.database.positions.batch(ids)
    symmetry, distances = found.symmetry[0][there].cpu(), found.distances[0][there].cpu()
    return neighbor_boards(_query(thought, near), near, symmetry, distances)


def _query(thought: Thought, like: Batch) -> Batch:
    """The agent's position as stored ones are, of a game that nobody has finished."""
    state, unknown = thought.state, torch.full((1,), -1)
    stones = state.stones.cpu().to(torch.int8)
    return Batch(
        stones,
        state.to_play.cpu().to(torch.int8),
        thought.planes,
        unknown.expand(1, like.next_moves.shape[1]),
        torch.zeros(1),
        torch.zeros_like(stones),
        unknown,
        state.num_moves.cpu().long(),
        unknown,
    )
