"""What an agent thinks, beside the board that one plays on."""

import re

import pytest

from rlcourse.go.agent import Config, SearchAgent
from rlcourse.go.board import Go
from rlcourse.go.mcts import Search
from rlcourse.go.retrieved import Retrieved
from rlcourse.go.rules import Rules
from rlcourse.go.saved_agent import load_agent, save_agent
from rlcourse.viz.agent_panel import ThinkingOpponent, retrieved_boards, visits_board
from rlcourse.viz.board_widget import BoardWidget
from rlcourse.viz.opponent_board import RANDOM, OpponentBoard
from tests.go.agents import agent_files
from tests.go.models import Prefers, Tiny
from tests.go.stored_games import TINY


@pytest.fixture(scope="module")
def agent(tmp_path_factory):
    folder = tmp_path_factory.mktemp("agent")
    save_agent(folder, agent_files(folder, play=Config(Search(12)), k=3))
    return load_agent(folder, TINY, progress=False)


def played(agent: SearchAgent, rules: Rules, *moves: int):
    go = Go(rules)
    thinking = ThinkingOpponent(agent, go)
    board = BoardWidget(go, thinking.answer, panel=thinking.panel)
    for move in moves:
        board.play(move)
    return thinking, board


def test_visits_and_neighbors_stand_beside_the_board(agent):
    thinking, board = played(agent, TINY, 4)
    thought = thinking.last(board.state)
    assert int(thought.state.num_moves) == 1
    assert board.moves == [4, int(thought.decision.moves)]
    drawn = visits_board(thought)
    assert drawn.visits.tolist() == thought.decision.visits[0].tolist()
    assert drawn.visits.sum() == 12
    assert drawn.stones.tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0]
    html = board.panel.value
    assert html.count("<img") == 2  # the visits, and one row of neighbors
    assert re.search(r"tiny, White, (played [A-C]\d|passed): 12 simulations, value [+-]0\.\d", html)
    assert "3 retrieved positions, turned" in html


def test_neighbors_lie_as_the_database_found_them(agent):
    thinking, board = played(agent, TINY, 4)
    thought = thinking.last(board.state)
    boards = retrieved_boards(agent, thought)
    found = thought.decision.retrieved
    assert len(boards) == 3
    stored = agent.retrieve.database.positions.batch(found.ids[0])
    planes = found.input.planes[0]  # [K, C2, H, W], in the frame of the board, own stones first
    for i, drawn in enumerate(boards):
        own = int(thought.state.to_play)
        seen = own * (planes[i, 0] - planes[i, 1]).flatten()
        assert drawn.stones.tolist() == seen.tolist()
        assert drawn.winner == int(stored.outcome[i]) * own
        assert drawn.title == f"{float(found.distances[0, i]):.3g}"


def test_undo_and_a_new_game_take_thoughts_back(agent):
    thinking, board = played(agent, TINY, 4)
    first = board.panel.value
    legal = int(board.state.legal[0].nonzero()[0])
    board.play(legal)
    assert board.panel.value != first
    board.undo()
    assert board.panel.value == first
    board.undo()
    assert board.panel.value == "<p>tiny has not moved yet.</p>"
    board.play(4)
    board.new_game()
    assert "has not moved yet" in board.panel.value


def test_without_search_and_retrieval_it_says_so():
    baseline = SearchAgent(Tiny(5), None, Config(Search(0)), name="<plain>")
    thinking, board = played(baseline, Rules(5, 0.5), 12)
    assert "no search, the policy alone" in board.panel.value
    assert "without retrieval" in board.panel.value
    assert "&lt;plain&gt;, White" in board.panel.value
    drawn = visits_board(thinking.last(board.state))
    assert drawn.visits is None
    assert drawn.policy.sum() == pytest.approx(1.0)


def test_nothing_found_and_neighbors_that_are_absent(agent):
    class Absent:
        database, k, num_next = agent.retrieve.database, 3, agent.retrieve.num_next

        def __call__(self, go, state):
            found = agent.retrieve(go, state)
            ids = found.ids.clone()
            ids[:, 1:] = -1
            return Retrieved(found.input, ids, found.symmetry, found.distances)

    _, board = played(SearchAgent(agent.model, Absent(), agent.config), TINY, 4)
    assert "1 retrieved position, turned" in board.panel.value
    _, board = played(SearchAgent(agent.model, lambda go, state: None, agent.config), TINY, 4)
    assert "It retrieved nothing." in board.panel.value


def test_an_agent_does_not_give_up_and_passes_are_told():
    gloomy = SearchAgent(
        Prefers([0.0] * 25 + [9.0], -0.9), None, Config(Search(0), resign_below=-0.5)
    )
    _, board = played(gloomy, Rules(5, 0.5), 12)
    assert board.moves == [12, 25]
    assert "agent, White, passed" in board.panel.value


def test_other_rules_are_told_and_the_move_taken_back(agent):
    _, board = played(agent, Rules(5, 0.5), 12)
    assert board.moves == []
    assert "could not move: the database holds positions of" in board.message.value


def test_the_menu_has_agents(agent):
    shown = OpponentBoard(TINY, agents={"ours": agent})
    assert shown.menu.value == "ours"
    shown.board.play(4)
    assert len(shown.board.moves) == 2
    assert "12 simulations" in shown.board.panel.value
    assert "12 simulations" in shown._repr_mimebundle_()["text/html"]
    shown.menu.value = RANDOM
    assert shown.board.panel.value == ""
    assert OpponentBoard(TINY, agents={"ours": agent}, opponent=RANDOM).menu.value == RANDOM
