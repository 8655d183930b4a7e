"""The matches of notebook 16: refused, interrupted, counted by hand, drawn."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from rlcourse.data.files import exclusively
from rlcourse.experiments import (
    go_growth,
    go_play,
    go_play_world,
    go_retrieval,
    go_retrieval_study,
)
from rlcourse.experiments.go_play_config import Pairing
from rlcourse.go import model
from rlcourse.go.agent import SearchAgent
from rlcourse.go.board import Go, Ongoing, game_seed
from rlcourse.go.database_config import Config
from rlcourse.go.engine_pool import EnginePool
from rlcourse.go.rules import Rules
from rlcourse.run.record import Record
from rlcourse.viz.style import PALETTE
from tests.go.databases import World

SMALL = replace(go_play.PRESETS["smoke"], variants=("baseline", "n2"), retrieval="n2", num_seeds=1)
FAKE = Path(__file__).parents[1] / "go" / "fake_engine.py"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("play")
    assert go_play.run(SMALL, folder, progress=False)
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_pairs": 0}, "num_pairs must be at least 1, got 0"),
        ({"num_bins": 0}, "num_bins must be at least 1, got 0"),
        ({"num_seeds": -1}, "num_seeds must be at least 1, got -1"),
        ({"variants": ("n2", "n2")}, "variants must name at least one"),
        ({"variants": ("baseline", "four")}, "a variant is 'baseline', or n and .* got 'four'"),
        ({"variants": ("baseline", "n0")}, "a variant is 'baseline', or n and .* got 'n0'"),
        ({"variants": ("baseline", "blank")}, "a variant is 'baseline', or n and .* got 'blank'"),
        ({"variants": ("baseline", "n2/plain")}, "a variant is 'baseline', .* got 'n2/plain'"),
        ({"variants": ("baseline/half", "n2")}, "a variant is 'baseline', .* got 'baseline/half'"),
        ({"variants": ("n2",)}, "variants must hold 'baseline' and the retrieval 'n2', got"),
        ({"retrieval": "baseline"}, "variants must hold 'baseline' and the retrieval 'baseline'"),
        ({"simulations": (2, 0)}, r"simulations must ascend from 0 or more, got \(2, 0\)"),
        ({"simulations": (-1, 2)}, r"simulations must ascend from 0 or more, got \(-1, 2\)"),
        ({"main": 7}, r"main must be one of \(0, 2\), got 7"),
        ({"seed": -3}, "seed must not be negative, got -3"),
        ({"opponent": "gnugo:11"}, "no opponent is called 'gnugo:11'; there are: random"),
        ({"opponent": "gnugo:1:1.5"}, "no opponent is called 'gnugo:1:1.5'"),
        ({"opponent": "gnugo:1:"}, "no opponent is called 'gnugo:1:'"),
        ({"opponent": "gtp: "}, "no opponent is called 'gtp: '"),
        ({"opponent": "baseline"}, "no opponent is called 'baseline'"),
    ],
)
def test_settings_that_mean_nothing_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **changes)


def test_an_interrupted_run_goes_on(whole, tmp_path, monkeypatch):
    moves, calls = go_play_world.RandomMoves.moves, []

    def stop_game(self, *asked):
        calls.append(asked)
        if len(calls) in (120, 300):
            raise KeyboardInterrupt
        return moves(self, *asked)

    look_up, looked = go_growth.look_up, []

    def stop_look(*asked):
        looked.append(asked)
        if len(looked) == 3:
            raise KeyboardInterrupt
        return look_up(*asked)

    monkeypatch.setattr(go_play_world.RandomMoves, "moves", stop_game)
    monkeypatch.setattr(go_growth, "look_up", stop_look)
    for _ in range(3):
        assert not go_play.run(SMALL, tmp_path, progress=False)
        with pytest.raises(ValueError, match="was interrupted: run it again"):
            go_play.load(tmp_path)
    assert go_play.run(SMALL, tmp_path, progress=False)
    assert go_play.run(SMALL, tmp_path, progress=False)  # nothing is left to do
    files = [path.relative_to(whole) for path in whole.rglob("metrics.jsonl")]
    files += [path.relative_to(whole) for path in whole.rglob("growth/*.rows")]
    assert len(files) == 5 + len(go_growth.KINDS)  # two sets of positions have a record too
    for name in files:
        assert (tmp_path / name).read_bytes() == (whole / name).read_bytes(), name
    one, other = go_play.load(whole), go_play.load(tmp_path)
    for kind, rows in one.met.items():
        assert np.array_equal(rows[0], other.met[kind][0]), kind


def test_seeds_that_others_are_at_are_left_to_them(tmp_path, capsys, monkeypatch):
    config, played = replace(SMALL, num_seeds=2), []
    monkeypatch.setattr(go_play._Seed, "run", lambda self: played.append(self._number))
    (tmp_path / "seed_0").mkdir()
    with exclusively(tmp_path / "seed_0" / ".lock"):
        assert not go_play.run(config, tmp_path, progress=False)
    assert played == [1]
    assert "other processes are at seed_0 in" in capsys.readouterr().err
    with (
        exclusively(tmp_path / "world" / ".lock"),
        pytest.raises(ValueError, match="is held by another process: wait until it is done"),
    ):
        go_play.run(config, tmp_path, progress=False)
    assert go_play.run(config, tmp_path, progress=False)
    assert played == [1, 0, 1]


def test_models_that_were_trained_anew_are_refused(whole, tmp_path, monkeypatch):
    """Also where all matches are over: later ones would be of other models."""
    shutil.copytree(whole, tmp_path / "run")
    other = torch.Generator().manual_seed(99)
    monkeypatch.setattr(
        go_play_world,
        "_untrained",
        lambda seed, variant: model.RetrievalModel(model.Config(1 / 16), other).eval(),
    )
    with pytest.raises(ValueError, match=r"seed_0 holds a run with another configuration \(models"):
        go_play.run(SMALL, tmp_path / "run", progress=False)


def test_runs_of_other_versions_are_named(tmp_path):
    Record(tmp_path, {"variants": ["baseline", "n2"], "num_stones": 3})
    with pytest.raises(ValueError, match="is of another version .*: run it anew in another folder"):
        go_play.load(tmp_path)


def test_second_matches_of_two_seeds_have_no_openings_in_common():
    tried = [go_play.second_seed(SMALL, number) for number in range(3)]
    assert min(tried) >= 1_000_000  # behind the first matches
    assert np.diff(tried).tolist() == [go_growth.MOST_SEEDS] * 2  # as many are tried at most


def test_every_game_is_kept(whole):
    for pairing in SMALL.matches():
        folder = whole / "seed_0" / pairing.name
        assert len(list(folder.glob("*.sgf"))) == len(go_growth.games_of(folder)) == 4
    names = [pairing.name for pairing in SMALL.matches()]
    assert names == ["baseline_0", "n2_0", "baseline_2", "n2_2", "n2_2_against_baseline"]
    rules, openings = Rules(5), []
    for name in ("baseline_0", "n2_2", "growth/before", "growth/after"):
        games = go_growth.games_of(whole / "seed_0" / name)
        openings.append({go_growth._image(rules, game.moves[: game.opening]) for game in games})
    assert openings[0] == openings[1]  # the same for all agents
    assert openings[2] == openings[3]
    assert openings[0].isdisjoint(openings[2])


def test_the_database_grows_and_shrinks_back(whole):
    result = go_play.load(whole)
    met = {kind: rows[0] for kind, rows in result.met.items()}
    assert np.array_equal(met["met_before"], met["met_removed"])
    assert (met["met_after"]["distance"] <= met["met_before"]["distance"]).all()
    assert met["met_after"]["distance"].mean() < met["met_before"]["distance"].mean()
    assert (met["test_after"]["distance"] <= met["test_before"]["distance"]).all()
    for kind in ("test_before", "met_before", "play_before"):
        assert not met[kind]["added"].any()
    assert met["play_after"]["added"].max() > 0
    copied = whole / "seed_0" / "growth" / "database"
    world = go_play_world.small_world(whole / "world")
    assert world.database.fingerprint == (copied / "copied_from.txt").read_text()
    games = go_growth.numbered([go_growth.games_of(whole / "seed_0" / "n2_0")])
    with pytest.raises(ValueError, match="holds other games, .* among them: delete it"):
        go_growth.grown(world.database, games, copied, progress=False)
    (copied / "copied_from.txt").write_text("another")
    with pytest.raises(ValueError, match="is a copy of another database: delete it"):
        go_growth.grown(world.database, games, copied, progress=False)
    (copied / "copied_from.txt").write_text(world.database.fingerprint)


def test_what_is_met_is_what_the_agent_retrieved(whole):
    """The rows of the match are those that a search for the same positions gives."""
    world = go_play_world.small_world(whole / "world")
    match = whole / "seed_0" / "growth" / "before"
    games, met = go_growth.games_of(match), go_play.load(whole).met["play_before"][0]
    moves = sum(len(game.moves) - game.opening for game in games)
    assert abs(2 * len(met) - moves) <= len(games)  # the agent has every other move
    planes = go_growth.planes_of(world.rules, games, met)
    again = go_growth.look_up(world.database, planes, 2, met)
    assert np.array_equal(again, met)


def test_the_cost_of_a_move_is_that_of_the_model_and_of_the_keys():
    settings = model.Config(1 / 16, num_neighbors=2)
    network = model.RetrievalModel(settings, torch.Generator())
    matrix = torch.zeros(200, 7)
    database = SimpleNamespace(
        config=SimpleNamespace(symmetries="query"),
        keys=lambda planes: planes.flatten(1) @ matrix,
        positions=SimpleNamespace(rules=Rules(5)),
    )
    world = go_play_world.World(database, torch.zeros(0), lambda seed, variant: network)
    cost = model.measure_cost(network, 2, 5)
    found = go_play_world.operations(world, 0, "n2", 10)
    assert found.keys == 8 * 2 * 200 * 7  # eight images
    assert found.model == cost.represent + 11 * cost.predict + 10 * cost.dynamics
    alone = model.measure_cost(network, 0, 5)
    none = go_play_world.operations(world, 0, "baseline", 0)
    assert none == (alone.represent + alone.predict, 0)
    assert alone.represent < cost.represent


def test_random_moves_are_legal_and_those_of_their_game():
    go, player = Go(Rules(3)), go_play_world.RandomMoves(0)
    state = go.new(3)
    go.step_(state, torch.tensor([4, 4, 9]))
    games = [Ongoing(7, 0, [4]), Ongoing(8, 1, [4]), Ongoing(9, 2, [9])]
    drawn = player.moves(go, state, games)
    assert bool(state.legal.gather(1, drawn.unsqueeze(1)).all())
    assert int(drawn[2]) == 9  # a pass is answered by a pass
    alone = player.moves(go, state.select(torch.tensor([1])), games[1:2])
    assert alone.tolist() == drawn[1:2].tolist()
    many = [Ongoing(number, 0, [4]) for number in range(30)]
    fresh = go.new(30)
    assert len(set(player.moves(go, fresh, many).tolist())) > 3
    other = go_play_world.RandomMoves(1)
    assert player.fingerprint != other.fingerprint
    assert other.moves(go, fresh, many).tolist() != player.moves(go, fresh, many).tolist()
    elsewhere = [game._replace(seed=game_seed(1, game.number)) for game in many]  # another match
    assert player.moves(go, fresh, elsewhere).tolist() != player.moves(go, fresh, many).tolist()


def test_opponents_are_found_by_name(whole):
    world = go_play_world.small_world(whole / "world")
    with go_play_world.opponent("baseline:3", world, 2, 0) as one:
        assert isinstance(one, SearchAgent)
        assert one.config.search.num_simulations == 3
        assert one.retrieve is None
    with go_play_world.opponent(f"gtp:{sys.executable} {FAKE} well", world, 2, 0) as one:
        assert isinstance(one, EnginePool)
        assert one.name == "Fake well"
    missing = go_play_world.opponent("gtp:no-such-engine --gtp", world, 2, 0)
    with pytest.raises(ValueError, match="opponent 'gtp:no-such-engine --gtp': cannot start"):
        missing.__enter__()


def test_careless_engines_play_some_random_moves(monkeypatch):
    asked = []

    def passes(self, go, state, games):
        asked.extend(game.number for game in games)
        assert state.num_boards == len(games)
        return torch.full((len(games),), 25)

    monkeypatch.setattr(EnginePool, "moves", passes)
    pool, go = go_play_world.Careless.__new__(go_play_world.Careless), Go(Rules(5))
    pool.careless, pool.share = go_play_world.RandomMoves(3), 0.25
    games = [Ongoing(number, number, []) for number in range(200)]
    moves = pool.moves(go, go.new(200), games)
    engine = set(asked)
    assert 0.15 < 1 - len(engine) / 200 < 0.35
    assert {number for number in range(200) if int(moves[number]) == 25} == engine
    elsewhere = [game._replace(seed=game_seed(1, game.number)) for game in games]
    asked.clear()
    pool.moves(go, go.new(200), elsewhere)
    assert set(asked) != engine  # another match has its mistakes elsewhere
    part = pool.moves(go, go.new(9), games[50:59])
    assert torch.equal(part, moves[50:59])  # of the game alone
    pool.share = 0.0
    assert pool.moves(go, go.new(200), games).tolist() == [25] * 200


def test_a_database_with_another_index_holds_the_same(tmp_path):
    """Codes that are refined cannot forget; lists can."""
    world = World(tmp_path, Config("IVF4,PQ4x4fs,Refine(SQ8)", nprobe=4, rerank=4), num_games=60)
    coded = world.built()
    with pytest.raises(ValueError, match="cannot forget keys"):
        coded.remove_source(0)
    found = go_play_world.in_lists(coded, tmp_path / "lists", "IVF4,Flat", progress=False)
    assert found.held().tolist() == coded.held().tolist()
    assert (found.config.nprobe, found.config.rerank) == (4, 0)
    again = go_play_world.in_lists(coded, tmp_path / "lists", "IVF4,Flat", progress=False)
    assert again.fingerprint == found.fingerprint
    assert found.remove_source(0) == len(coded)
    exact = go_play_world.small_world(tmp_path / "small").database
    assert go_play_world.in_lists(exact, tmp_path / "no", "IVF4,Flat", progress=False) is exact


def test_models_that_were_not_trained_are_asked_for(tmp_path):
    wanted = replace(SMALL, trained=str(tmp_path / "none"))
    with pytest.raises(FileNotFoundError, match="train them with `python -m rlcourse run go_retr"):
        go_play.run(wanted, tmp_path / "out", progress=False)
    with pytest.raises(FileNotFoundError, match="no run in .*: run the experiment first"):
        go_play.load(tmp_path / "empty")


def test_trained_models_come_with_the_database_of_their_run(whole, tmp_path, monkeypatch):
    small, asked = go_play_world.small_world(whole / "world"), []

    class Data:
        test_ids = small.test_ids

        def database(self, progress):
            return small.database

    def prepare(settings, folder, progress, *, device, known):
        asked.append((settings, folder, device, known))
        return Data()

    def model_of(folder, number, name):
        asked.append((folder, number, name))
        return small.model_of(number, name)

    folder, study = tmp_path / "go_retrieval" / "smoke", go_retrieval.PRESETS["smoke"]
    Record(folder, study)
    monkeypatch.setattr(go_play_world, "prepare", prepare)
    monkeypatch.setattr(go_retrieval_study, "model_of", model_of)
    world = go_play_world.trained_world(folder, tmp_path / "index", "IVF4,Flat", "cpu", False)
    assert world.database is small.database
    found = [world.model_of(1, "n2") for _ in range(2)]
    assert found[0] is found[1]
    assert asked[0] == (study.data, tmp_path / "go_retrieval_data", "cpu", None)
    assert asked[1:] == [(folder, 1, "n2")]
    Record(go_retrieval_study.place_of(folder, 1, "n4"), {"data": "f00"})
    go_play_world.trained_world(folder, tmp_path / "index", "IVF4,Flat", "cpu", False)
    assert asked[-1] == (study.data, tmp_path / "go_retrieval_data", "cpu", "f00")


def test_labels_do_not_depend_on_settings_and_all_is_drawn(whole):
    curves = go_play.reference_curves(whole)
    assert list(curves)[:5] == ["baseline", "retrieval", "gain", "gain/all", "neighbors"]
    everywhere = curves["gain/all"]
    assert everywhere.mean[0] == pytest.approx(curves["gain"].mean.mean())
    assert everywhere.low[0] <= everywhere.mean[0] <= everywhere.high[0]
    assert curves["neighbors"].x.tolist() == [0.0, 2.0]
    assert curves["retrieval"].x.tolist() == [0.0, 2.0]
    ours = go_play.load(whole).scores[Pairing("n2", 2)]
    assert curves["retrieval"].mean[1] == curves["neighbors"].mean[1] == ours.mean()
    with_keys, alone = (curves[f"{x}/retrieval"].x for x in ("operations", "operations_model"))
    assert list(with_keys) == list(alone)  # stones as keys cost nothing
    assert alone[1] > alone[0] > 0
    figure = go_play.plot(whole, curves)
    titles = [ax.get_title(loc="left") or ax.get_title() for ax in figure.axes]
    assert titles == ["More search", "More neighbors", "At equal compute"]
    line = figure.axes[0].get_lines()[0]
    assert line.get_color() == PALETTE["baseline"]
    assert list(line.get_ydata()) == list(100 * curves["baseline"].mean)
    left, right = go_play.plot_growth(whole, curves).axes
    shown = [line for line in left.get_lines() if line.get_linestyle() == "-"]
    assert [line.get_color() for line in shown][1:] == [PALETTE["failure"], PALETTE["ours"]]
    near, far = (line.get_ydata() for line in (shown[2], shown[1]))
    assert (near <= far).all()  # the same positions: more games bring nothing farther
    assert (right.get_title(loc="left") or right.get_title()) == "The same openings"
    assert len(go_play.plot_shipped(curves).axes) == 3
    assert len(go_play.plot_shipped(curves, "growth").axes) == 2
    with pytest.raises(ValueError, match="part must be 'play' or 'growth', got 'all'"):
        go_play.plot_shipped(curves, "all")
    text = go_play.table(whole)
    assert text.count("simulations  ") >= 4
    assert "after minus before" in text


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_models_play_on_a_gpu(tmp_path):
    config = replace(SMALL, opponent="baseline:1")
    assert go_play.run(config, tmp_path, device="cuda", progress=False)
    assert np.isfinite(go_play.load(tmp_path).scores[Pairing("n2", 2)]).all()
