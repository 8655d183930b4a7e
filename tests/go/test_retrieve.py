"""From games to a move that is chosen beside retrieved neighbors, through all that lies between."""

import pytest
import torch

from rlcourse.go import model
from rlcourse.go.agent import Config as AgentConfig
from rlcourse.go.agent import SearchAgent
from rlcourse.go.board import Go
from rlcourse.go.database import Config, Database
from rlcourse.go.inputs import neighbor_planes
from rlcourse.go.key_shards import compute_keys
from rlcourse.go.keys import KeyNetwork
from rlcourse.go.mcts import Search
from rlcourse.go.prediction import PredictionNetwork
from rlcourse.go.retrieve import FromDatabase
from rlcourse.go.rules import Rules
from rlcourse.go.symmetry import transform_planes
from tests.go.boards import play
from tests.go.stored_games import make, random_game

RULES = Rules(5, 0.5)


def draw(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def database(tmp_path) -> Database:
    """Six games of an expert and four of an agent, by the keys of a network that knows nothing."""
    positions = make(tmp_path / "p", [random_game(RULES, n, 30) for n in range(6)], RULES)
    own = [random_game(RULES, n, 30) for n in range(20, 24)]
    positions.append(own, source=1, progress=False)
    network = PredictionNetwork(4, 1, 3, draw(0))
    planes = positions.batch(torch.arange(len(positions))).planes
    keys = KeyNetwork.fit(network, "tower", 8, [planes], progress=False)
    shards = compute_keys(tmp_path / "k", positions, keys, dtype="float32", progress=False)
    made = Database(tmp_path / "d", positions, keys, shards, Config(symmetries="query"))
    made.build(progress=False)
    return made


def stored_board(database: Database, go: Go, number: int, ply: int):
    """The state before a move of a stored game, and the id of that position."""
    positions, state = database.positions, go.new(1)
    play(go, state, *random_game(RULES, number, 30).moves[:ply])
    which = (positions.games == number) & (positions.plies == ply)
    return state, int(which.nonzero())


def test_an_agent_plays_with_the_neighbors_that_its_database_finds(database):
    go, retrieve = Go(RULES), FromDatabase(database, 3)
    network = model.RetrievalModel(model.PRESETS["smoke"], draw(1))
    agent = SearchAgent(network, retrieve, AgentConfig(Search(8)))
    state, wanted = stored_board(database, go, 21, 9)
    decision = agent.act(go, state)
    found, seen = decision.retrieved, decision.retrieved.input
    assert decision.visits.sum() == 8
    assert bool(state.legal[0, int(decision.moves)])
    assert found.ids[0, 0] == wanted
    assert found.distances[0, 0] == pytest.approx(0.0, abs=1e-4)
    assert bool((found.distances[0, 1:] > 0.01).all())

    here = go.planes(state)
    for i, position in enumerate(found.ids[0].tolist()):
        stored = database.positions.batch(torch.tensor([position]))
        alone = neighbor_planes(stored, found.symmetry[:, i], here)
        assert torch.equal(seen.planes[:, i], alone.planes[:, 0])
    assert torch.equal(seen.planes[0, 0, :2], here[0, :2])  # it is drawn in the board's frame
    assert bool(seen.present.all())
    blind = SearchAgent(network, None, AgentConfig(Search(8))).act(go, state)
    assert not torch.equal(decision.prior, blind.prior)


def test_a_turned_board_finds_the_same_position(database):
    go = Go(RULES)
    state, wanted = stored_board(database, go, 4, 12)
    planes = go.planes(state)
    for symmetry in range(8):
        turned = transform_planes(planes, torch.tensor([symmetry]))
        found = FromDatabase(database, 1)(Turned(RULES, turned), state)
        assert found.ids.tolist() == [[wanted]]
        assert torch.equal(found.input.planes[0, 0, :2], turned[0, :2])


class Turned(Go):
    """Shows other planes than those of the board."""

    def __init__(self, rules: Rules, planes: torch.Tensor) -> None:
        super().__init__(rules)
        self._shown = planes

    def planes(self, state):
        return self._shown


def test_nothing_comes_from_a_source_that_is_excluded(database):
    go, retrieve = Go(RULES), FromDatabase(database, len(database))
    agent = SearchAgent(model.RetrievalModel(model.PRESETS["smoke"], draw(1)), retrieve)
    state, wanted = stored_board(database, go, 21, 9)
    before, sources = agent.fingerprint, database.positions.sources
    assert sources[retrieve(go, state).ids].unique().tolist() == [0, 1]
    removed = database.remove_source(1)
    found = retrieve(go, state)
    kept = found.ids >= 0
    assert kept.sum() == len(database) == len(sources) - removed
    assert sources[found.ids[kept]].unique().tolist() == [0]
    assert torch.equal(found.input.present, kept)
    assert agent.fingerprint != before


def test_fingerprints_and_bad_settings(database):
    names = {FromDatabase(database, *some).fingerprint for some in ((2,), (3,), (2, 5))}
    assert len(names) == 3
    assert FromDatabase(database, 2).fingerprint in names
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        FromDatabase(database, 0)
    for rules in (Rules(5, 6.5), Rules(6, 0.5)):
        go = Go(rules)
        with pytest.raises(ValueError, match="choose the database of these rules"):
            FromDatabase(database, 2)(go, go.new(1))
