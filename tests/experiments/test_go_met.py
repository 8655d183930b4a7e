"""Rows of what an agent met: written beside its moves, read once each."""

import numpy as np
import pytest
import torch

from rlcourse.experiments.go_met import ROW, Watched, planes_of, read_met
from rlcourse.go.agent import Config, Decision, SearchAgent
from rlcourse.go.board import Go, Ongoing
from rlcourse.go.mcts import Search
from rlcourse.go.records import Game
from rlcourse.go.retrieved import Retrieved
from rlcourse.go.rules import Rules
from tests.go.models import Planes, Tiny

RULES = Rules(3)


class Database:
    """Positions of two sources."""

    def __init__(self):
        self.positions = self
        self.sources = torch.tensor([0, 0, 1])


class Agent:
    """Passes, and has found two positions for each board, or one."""

    name, fingerprint, seed = "agent", "prints", None

    def act(self, go, state, generators):
        count = state.num_boards
        ids = torch.tensor([[2, 0], [1, -1], [2, 2]])[:count]
        distances = torch.tensor([[0.5, 1.0], [4.0, torch.inf], [0.0, 0.0]])[:count]
        nothing = torch.zeros(count)
        moves = torch.full((count,), 9)
        found = Retrieved((), ids, None, distances)
        return Decision(moves, nothing, nothing, nothing, nothing, found)


def test_what_was_retrieved_is_written_down(tmp_path):
    path = tmp_path / "match" / "met.rows"
    watched, go = Watched(Agent(), Database(), path), Go(RULES)
    assert (watched.name, watched.fingerprint) == ("agent", "prints")
    games = [Ongoing(5, 0, [1, 2]), Ongoing(4, 1, []), Ongoing(9, 2, [3])]
    assert watched.moves(go, go.new(3), games).tolist() == [9, 9, 9]
    ended = [Game(number, (0,) * 4, 0.5) for number in (4, 5, 9)]
    rows = read_met(path, ended)
    assert rows.tolist() == [(4, 0, 4.0, 0.0), (5, 2, 0.5, 0.5), (9, 1, 0.0, 1.0)]


def test_the_last_row_of_a_position_counts_and_none_behind_a_game(tmp_path):
    path = tmp_path / "met.rows"
    values = [(1, 2, 8.0, 0.0), (1, 4, 3.0, 0.0), (2, 0, 1.0, 0.0), (1, 2, 5.0, 0.5)]
    path.write_bytes(np.array([*values, (7, 0, 1.0, 0.0)], ROW).tobytes() + b"torn")
    games = [Game(1, (0, 0, 0, 0), 0.5), Game(2, (0,), 0.5)]
    expected = [(1, 2, 5.0, 0.5), (2, 0, 1.0, 0.0)]
    assert read_met(path, games).tolist() == expected
    Watched(Agent(), Database(), path)  # the next run cuts the torn row off
    assert path.stat().st_size == 5 * ROW.itemsize
    assert read_met(path, games).tolist() == expected
    with pytest.raises(FileNotFoundError, match="is missing: run the experiment"):
        read_met(tmp_path / "other.rows", games)


def test_watching_changes_no_move(tmp_path):
    go, settings = Go(RULES), Config(Search(8, noise_fraction=0.5), 1.0, 9)

    def found(go, state):
        count = state.num_boards
        ids = torch.zeros(count, 1, dtype=torch.int64)
        return Retrieved(Planes(torch.zeros(count, 1, 3, 3)), ids, None, torch.ones(count, 1))

    agent = SearchAgent(Tiny(3), found, settings, torch.Generator().manual_seed(4))
    games = [Ongoing(number, number, []) for number in range(12)]
    watched = Watched(agent, Database(), tmp_path / "met.rows")
    moves = watched.moves(go, go.new(12), games)
    assert torch.equal(moves, agent.moves(go, go.new(12), games))
    assert len(moves.unique()) > 2


def test_positions_of_rows_are_played_again():
    go, moves = Go(RULES), (4, 0, 9, 8)
    state, planes = go.new(1), []
    for move in moves:
        planes.append(go.planes(state)[0])
        go.step_(state, torch.tensor([move]))
    rows = np.array([(3, 2, 0, 0), (6, 0, 0, 0), (3, 0, 0, 0), (3, 3, 0, 0)], ROW)
    games = [Game(3, moves, 0.5), Game(6, (1,), 0.5)]
    found = planes_of(RULES, games, rows)
    assert torch.equal(found, torch.stack([planes[2], planes[0], planes[0], planes[3]]))
    with pytest.raises(ValueError, match="game 6 has no position after 2 moves"):
        planes_of(RULES, games, np.array([(6, 2, 0, 0)], ROW))
    with pytest.raises(ValueError, match="game 8 has no position after 1 moves"):
        planes_of(RULES, games, np.array([(8, 1, 0, 0)], ROW))
