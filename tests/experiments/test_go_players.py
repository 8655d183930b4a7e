"""Players by name."""

import shutil
import sys
from pathlib import Path

import pytest
import torch

from rlcourse.experiments import go_players
from rlcourse.experiments.go_players import (
    RandomMoves,
    batch_player,
    load_own_player,
    load_player,
    load_search_agent,
    shipped_database,
)
from rlcourse.go import selfplay, shipped
from rlcourse.go.agent import SearchAgent
from rlcourse.go.arena import play_game
from rlcourse.go.batch_match import play_wave
from rlcourse.go.board import Go, Ongoing
from rlcourse.go.gtp import GNU_GO_PLACES, EngineError
from rlcourse.go.model import RetrievalModel
from rlcourse.go.records import GameFile
from rlcourse.go.rules import BLACK, Rules
from rlcourse.go.saved_agent import save_agent
from rlcourse.go.saved_model import save_model
from tests.go.agents import PLAY, agent_files, key_network
from tests.go.stored_games import TINY, random_game
from tests.go.test_model import SMALL, shaken

RULES = Rules(5, 2.5)
FAKE = Path(__file__).parents[1] / "go" / "fake_engine.py"


def test_random_players_and_engines_are_found_by_name():
    one, other = load_player("random", RULES, 1), load_player("random", RULES, 2)
    assert len(play_game(one, other, RULES, 0, []).moves) > 10
    with load_player(f"gtp:{sys.executable} {FAKE} well", RULES) as engine:
        assert engine.name == "Fake well"
        assert engine.genmove(BLACK) == 20


def test_unknown_players_are_named():
    wrong = ("", " ", "nobody", "gnugo:11", "gnugo:0", "gnugo:strong", "gtp:", "gtp: ", "random:3")
    for spec in (*wrong, "agent:", "agents", "/"):
        with pytest.raises(ValueError, match=f"no player is called '{spec}'; there are: random"):
            load_player(spec, RULES)
    with pytest.raises(EngineError, match="cannot start 'no-such-engine'"):
        load_player("gtp:no-such-engine --gtp", RULES)


@pytest.mark.gtp
@pytest.mark.skipif(not any(map(shutil.which, GNU_GO_PLACES)), reason="GNU Go is not installed")
def test_gnu_go_is_found_with_its_level():
    for spec, level in (("gnugo", 1), ("gnugo:2", 2)):
        with load_player(spec, RULES) as engine:
            assert engine.name == f"GNU Go, level {level}"
            assert engine.command[engine.command.index("--level") + 1] == str(level)


@pytest.fixture(scope="module")
def agent_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("agent")
    save_agent(folder, agent_files(folder))
    return folder


def test_an_agent_is_found_by_its_folder(agent_folder):
    spec = f"agent:{agent_folder}"
    agent = load_search_agent(spec, TINY, progress=False)
    assert (agent.name, agent.seed, agent.config) == ("tiny", 3, PLAY)
    assert load_search_agent(str(agent_folder), TINY).fingerprint == agent.fingerprint
    one, other = load_player(spec, TINY, 1), load_player(spec, TINY, 2)
    assert (one.name, one.fingerprint) == ("tiny", agent.fingerprint)
    plain = load_player("random", TINY)
    games = [play_game(player, plain, TINY, 0, []) for player in (one, one, other)]
    assert games[0] == games[1] != games[2]  # the seed counts, and what was played before does not
    name, player = load_own_player(spec, TINY, 5)
    assert (name, player.seed) == ("tiny", 5)
    go = Go(TINY)
    assert 0 <= player(go, go.new(1)) <= 9
    with pytest.raises(ValueError, match="tiny has a database of games on 3x3"):
        load_player(spec, RULES)
    with pytest.raises(FileNotFoundError, match="no agent in /nowhere"):
        load_player("agent:/nowhere", RULES)


def test_own_players_are_no_engines():
    assert load_own_player("random", RULES)[0] == "random"
    with pytest.raises(ValueError, match="'gtp:x' is an engine, which speaks GTP by itself"):
        load_own_player("gtp:x", RULES)


def test_players_of_many_games(agent_folder):
    go = Go(TINY)
    with (
        batch_player(f"agent:{agent_folder}", TINY, 4, seed=1) as one,
        batch_player("random", TINY, 4, seed=1) as other,
    ):
        assert isinstance(one, SearchAgent)
        together = list(play_wave(one, other, go, {number: [] for number in range(4)}))
        alone = list(play_wave(one, other, go, {2: []}))
    assert alone[0] in together
    with batch_player(f"gtp:{sys.executable} {FAKE} well", RULES, 2) as pool:
        assert pool.name == "Fake well"
    with pytest.raises(ValueError, match="no player is called"), batch_player("x", RULES, 1):
        pass


def test_random_moves_differ_between_games_and_seeds():
    go = Go(RULES)
    games = [Ongoing(number, number, []) for number in range(30)]
    moves = RandomMoves(1).moves(go, go.new(30), games)
    assert len(set(moves.tolist())) > 10
    assert torch.equal(RandomMoves(1).moves(go, go.new(30), games), moves)
    assert not torch.equal(RandomMoves(2).moves(go, go.new(30), games), moves)
    assert RandomMoves(1).fingerprint != RandomMoves(2).fingerprint


def test_an_agent_plays_against_itself_by_its_folder(agent_folder, tmp_path):
    """As `python -m rlcourse.go.selfplay --agent FOLDER` does."""
    path = tmp_path / "own.games"
    arguments = ["--num-games", "2", "--size", "3", "--komi", "0.5", "--num-parallel", "2"]
    selfplay.main([*arguments, "--agent", str(agent_folder), "--out", str(path)])
    file = GameFile.open(path)
    assert len(list(file)) == 2
    assert file.about["agent"] == "tiny"
    with pytest.raises(SystemExit, match="no agent in /nowhere"):
        selfplay.main([*arguments, "--agent", "/nowhere", "--out", str(path)])


@pytest.fixture
def shipped_folder(tmp_path, monkeypatch):
    """A stand-in for data/go9x9 with a few games on small boards, and a place for databases."""
    folder = tmp_path / "go3x3"
    folder.mkdir()
    games = [random_game(Rules(3, 7.5), number, 20) for number in range(14)]
    GameFile.create(folder / "a.games", 3, 7.5, {}).append(games)
    key_network(folder / shipped.KEY_NETWORK)
    monkeypatch.setattr(shipped, "games_folder", lambda: folder)
    monkeypatch.setattr(shipped_database, "__defaults__", (tmp_path / "made", 60, "cpu", True))
    return folder


def test_the_shipped_agents(shipped_folder, tmp_path, capsys):
    rules = Rules(3, 7.5)
    for spec, name in (("agent", "retrieval"), ("agent:baseline", "baseline")):
        with pytest.raises(FileNotFoundError, match=rf"model_{name}\.pt does not travel with this"):
            load_search_agent(spec, rules)
        save_model(shipped.model_path(name), shaken(SMALL), {})
    baseline = load_search_agent("agent:baseline", rules)
    assert (baseline.name, baseline.retrieve) == ("baseline", None)
    assert not (tmp_path / "made").exists()
    agent = load_search_agent("agent", rules, seed=4)
    assert "making the database over" in capsys.readouterr().err
    assert (agent.name, agent.seed, agent.retrieve.k) == ("retrieval", 4, 3)
    assert isinstance(agent.model, RetrievalModel)
    assert agent.config.search.num_simulations == baseline.config.search.num_simulations == 8
    go = Go(rules)
    assert agent.act(go, go.new(1)).neighbors.shape == (1, 3)
    again = load_search_agent("agent", rules)
    assert "making" not in capsys.readouterr().err
    assert again.fingerprint == agent.fingerprint


def test_the_shipped_database_holds_a_share_and_no_test_games(shipped_folder, tmp_path, capsys):
    most = 60
    database = shipped_database(progress=False)
    assert capsys.readouterr().err == ""
    assert len(database) == len(database.positions)
    assert 0.5 * most < len(database) < 1.5 * most
    games = shipped.load_games()[1]
    others = {game.number for game in games if go_players.split_of(game.number) != "test"}
    assert len(others) < len(games)
    assert database.positions.numbers() == others
    whole = shipped_database(most=10_000, progress=False)
    assert len(whole) > len(database)
    more = random_game(Rules(3, 7.5), 14, 20)
    GameFile.open(shipped_folder / "a.games").append([more])  # the course has more games by now
    assert 14 in shipped_database(progress=False).positions.numbers()
    assert len(list((tmp_path / "made").iterdir())) == 3
    with pytest.raises(ValueError, match="the models that travel are baseline, retrieval, got 'x'"):
        shipped.model_path("x")
