"""Agents in folders."""

import dataclasses
import json
import shutil

import pytest
import torch

from rlcourse.go import shipped
from rlcourse.go.agent import Config, SearchAgent
from rlcourse.go.board import Go
from rlcourse.go.mcts import Search
from rlcourse.go.retrieve import FromDatabase
from rlcourse.go.rules import Rules
from rlcourse.go.saved_agent import NAME, AgentFiles, load_agent, read_agent, save_agent
from rlcourse.go.saved_model import load_model, save_model
from rlcourse.go.stored_database import DatabaseFiles, build_database, open_database
from tests.go.agents import PLAY, STORING, agent_files, key_network
from tests.go.stored_games import TINY, tiny_games
from tests.go.test_model import SMALL, shaken


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("agents")
    files = agent_files(folder)
    save_agent(folder / "agent", files)
    return folder


@pytest.fixture
def world(original, tmp_path):
    """A copy of all of it, elsewhere."""
    shutil.copytree(original, tmp_path / "world")
    return tmp_path / "world"


def changed(world, **changes):
    path = world / "agent" / NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return world / "agent"


def test_an_agent_comes_back_after_a_move_to_another_folder(original, world):
    files = read_agent(world / "agent")
    assert (files.k, files.play, files.name, files.seed) == (2, PLAY, "tiny", 3)
    assert files.model.resolve() == (world / "model.pt").resolve()
    assert files.database.keys.resolve() == (world / "data" / "keys").resolve()
    agent = load_agent(world / "agent", TINY, progress=False)
    database = open_database(DatabaseFiles.below(original / "data", original / "data" / "keys.pt"))
    model = load_model(original / "model.pt")
    expected = SearchAgent(
        model, FromDatabase(database, 2, model.config.num_next), PLAY,
        torch.Generator().manual_seed(3), name="tiny",
    )  # fmt: skip
    assert agent.fingerprint == expected.fingerprint
    assert (agent.seed, agent.name) == (3, "tiny")
    go = Go(TINY)
    one, other = agent.act(go, go.new(2)), expected.act(go, go.new(2))
    assert torch.equal(one.visits, other.visits)
    assert torch.equal(one.neighbors, other.neighbors)
    assert one.neighbors.shape == (2, 2)
    assert load_agent(world / "agent", seed=4, progress=False).seed == 4


def test_a_baseline_needs_no_database_and_plays_by_any_rules(world):
    play = Config(Search(0), resign_below=-0.5)
    save_agent(world / "plain", AgentFiles(world / "model.pt", play=play))
    assert json.loads((world / "plain" / NAME).read_text())["retrieval"] is None
    agent = load_agent(world / "plain", Rules(5, 0.5))
    assert agent.retrieve is None
    assert agent.config == play


def test_k_is_the_models_where_none_is_given(world):
    files = read_agent(world / "agent")
    save_agent(world / "more", dataclasses.replace(files, k=None))
    agent = load_agent(world / "more", progress=False)
    assert agent.retrieve.k == agent.model.config.num_neighbors == 3


def test_a_database_that_grew_is_found(world):
    before = load_agent(world / "agent", TINY, progress=False)
    database = before.retrieve.database
    database.positions.append(tiny_games(4, start=50), source=1, progress=False)
    database.add(progress=False)
    database.save()
    after = load_agent(world / "agent", TINY, progress=False)
    assert len(after.retrieve.database) == len(database)
    assert after.fingerprint == before.fingerprint  # which counts what is held


def test_the_shipped_network_is_not_named_by_a_path(world, monkeypatch):
    files = read_agent(world / "agent")
    monkeypatch.setattr(shipped, "key_network_path", lambda: world / "data" / "keys.pt")
    save_agent(world / "agent", files)
    content = json.loads((world / "agent" / NAME).read_text())
    assert content["retrieval"]["key_network"] is None
    assert read_agent(world / "agent").database.key_network is None


def test_other_rules_than_the_databases_are_refused(world):
    for rules in (Rules(5, 0.5), Rules(3, 7.5)):
        with pytest.raises(ValueError, match=r"tiny has a database of games on 3x3 with komi 0\.5"):
            load_agent(world / "agent", rules, progress=False)


def test_another_key_network_is_refused(world):
    key_network(world / "data" / "keys.pt", seed=1)
    with pytest.raises(ValueError, match=r"agent\.json was made with the key network '\w+', and"):
        load_agent(world / "agent")
    files = DatabaseFiles.below(world / "again", world / "data" / "keys.pt")
    build_database(files, TINY, tiny_games(5), STORING, progress=False)
    mixed = dataclasses.replace(files, keys=world / "data" / "keys")
    with pytest.raises(ValueError, match="holds keys of the network"):
        save_agent(world / "mixed", AgentFiles(world / "model.pt", mixed))
    assert not (world / "mixed").exists()


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({"keys": "f00"}, "trained with neighbors by the key network 'f00', and the database in"),
        ({"mode": "absent"}, r"without neighbors \(mode 'absent'\): leave the database out"),
    ],
)
def test_a_model_that_does_not_fit_the_database_is_refused(world, about, words):
    files = read_agent(world / "agent")
    save_model(world / "model.pt", shaken(SMALL), about)
    with pytest.raises(ValueError, match=words):
        load_agent(world / "agent", progress=False)
    with pytest.raises(ValueError, match=words):
        save_agent(world / "again", files)
    save_agent(world / "plain", AgentFiles(world / "model.pt"))
    load_agent(world / "plain")


def test_missing_files_are_named(world):
    with pytest.raises(FileNotFoundError, match=r"no agent in .*nowhere: .*agent\.json is missing"):
        load_agent(world / "nowhere")
    for name, words in (
        ("model.pt", "no model at"),
        ("data/index", "no database in"),
        ("data/keys", "no keys in"),
        ("data/keys.pt", "no key network at"),
    ):
        (world / name).rename(world / "aside")
        with pytest.raises(FileNotFoundError, match=words):
            load_agent(world / "agent")
        with pytest.raises(FileNotFoundError, match=words):
            save_agent(world / "new", AgentFiles(
                world / "model.pt", DatabaseFiles.below(world / "data", world / "data" / "keys.pt")
            ))  # fmt: skip
        (world / "aside").rename(world / name)
    load_agent(world / "agent", progress=False)


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "rlcourse agent 9"},
        {"retrieval": {}},
        {"play": {"search": {}, "fun": 1}},
        {"play": {"search": {"num_simulations": -1}}},
        {"seed": -1},
        {"name": " "},
        {"model": 3},
    ],
)
def test_a_damaged_description_is_named(world, changes):
    folder = changed(world, **changes)
    with pytest.raises(ValueError, match=r"agent\.json is damaged \(.*make it anew with save_agen"):
        load_agent(folder)


def test_half_a_description_is_named(world):
    path = world / "agent" / NAME
    path.write_text(path.read_text()[:100])
    with pytest.raises(ValueError, match=r"agent\.json is damaged \("):
        read_agent(world / "agent")


def test_an_interrupted_write_leaves_the_old_agent(world, monkeypatch):
    before = (world / "agent" / NAME).read_bytes()

    def stops(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", stops)
    with pytest.raises(KeyboardInterrupt):
        save_agent(world / "agent", AgentFiles(world / "model.pt"))
    monkeypatch.undo()
    assert (world / "agent" / NAME).read_bytes() == before
    assert [path.name for path in (world / "agent").iterdir()] == [NAME]


def test_bad_settings_are_refused(world):
    model, database = world / "model.pt", DatabaseFiles.below(world / "data")
    for wrong, words in (
        ({"database": database, "k": 0}, "k must be at least 1, .* got 0"),
        ({"k": 2}, "k must be at least 1, and goes with a database, got 2"),
        ({"name": ""}, "name must not be empty"),
        ({"seed": -2}, "seed must not be negative, got -2"),
    ):
        with pytest.raises(ValueError, match=words):
            AgentFiles(model, **wrong)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_an_agent_on_a_gpu_finds_the_same_neighbors(world):
    go = Go(TINY)
    here = load_agent(world / "agent", TINY, progress=False).act(go, go.new(2))
    agent = load_agent(world / "agent", TINY, "cuda", progress=False)
    assert {weight.device.type for weight in agent.model.parameters()} == {"cuda"}
    there = agent.act(go, go.new(2))
    assert torch.equal(there.neighbors, here.neighbors)
    torch.testing.assert_close(there.value, here.value, atol=0.05, rtol=0.0)
