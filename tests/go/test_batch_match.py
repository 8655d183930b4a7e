"""Matches in batches play the games of matches one by one; pools of engines too."""

import shutil
import sys
import threading
from pathlib import Path

import pytest
import torch

from rlcourse.go import engine_pool
from rlcourse.go.arena import Local, play_match
from rlcourse.go.batch_match import OneByOne, play_batch_match
from rlcourse.go.board import Go, Ongoing, game_seed
from rlcourse.go.engine_pool import EnginePool
from rlcourse.go.gtp import GNU_GO_PLACES, Engine, EngineError, gnu_go_command
from rlcourse.go.notation import RESIGN
from rlcourse.go.records import GameFile
from rlcourse.go.rules import Rules

RULES = Rules(5, 2.5)


def scattered(go: Go, state) -> int:
    """A legal point that the position decides; the pass where there is none, or after a pass."""
    legal = state.legal[0, :-1].nonzero().squeeze(1)
    if not len(legal) or int(state.num_passes):
        return go.rules.num_points
    return int(legal[int(state.key) % len(legal)])


def gives_up(go: Go, state) -> int:
    """The last legal point, for 9 to 12 moves."""
    legal = state.legal[0, :-1].nonzero().squeeze(1)
    if not len(legal) or int(state.num_moves) > 8 + int(state.key) % 4:
        return RESIGN
    return int(legal[-1])


def games_of(folder) -> dict[int, tuple]:
    return {game.number: game for game in GameFile.open(folder / "match.games")}


@pytest.fixture(scope="module")
def one_by_one(tmp_path_factory):
    """A match of four pairs, and its folder."""
    folder = tmp_path_factory.mktemp("arena")
    players = (
        Local("scattered", lambda seed: scattered, RULES),
        Local("gives up", lambda seed: gives_up, RULES),
    )
    return play_match(*players, RULES, 4, folder, stones=(1, 3), progress=False), folder


def in_batches(folder, num_parallel: int, one=scattered, other=gives_up, num_pairs: int = 4):
    players = OneByOne("scattered", one), OneByOne("gives up", other)
    options = {"num_parallel": num_parallel, "stones": (1, 3), "progress": False}
    return play_batch_match(*players, RULES, num_pairs, folder, **options)


@pytest.mark.parametrize("num_parallel", [1, 3, 100])
def test_the_games_are_those_of_a_match_one_by_one(one_by_one, tmp_path, num_parallel):
    match, folder = one_by_one
    assert in_batches(tmp_path, num_parallel) == match
    games = games_of(tmp_path)
    assert games == games_of(folder)
    assert {game.resigned for game in games.values()} == {True}
    assert len({len(game.moves) for game in games.values()}) >= 3  # they end at different times
    for number in range(8):
        name = f"{number:05}.sgf"
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_games_that_are_played_out_are_scored(tmp_path):
    one_by_one, batches = tmp_path / "one", tmp_path / "batch"
    players = (
        Local("scattered", lambda seed: scattered, RULES),
        Local("gives up", lambda seed: scattered, RULES),
    )
    match = play_match(*players, RULES, 2, one_by_one, stones=(1, 3), progress=False)
    assert in_batches(batches, 4, other=scattered, num_pairs=2) == match
    assert games_of(batches) == games_of(one_by_one)
    assert not any(game.resigned for game in games_of(batches).values())


def test_a_match_that_was_interrupted_goes_on(one_by_one, tmp_path):
    calls = []

    def interrupted(go, state) -> int:
        calls.append(1)
        if len(calls) > 25:
            raise KeyboardInterrupt
        return gives_up(go, state)

    with pytest.raises(KeyboardInterrupt):
        in_batches(tmp_path, 3, other=interrupted)
    before = games_of(tmp_path)
    assert 0 < len(before) < 8
    assert in_batches(tmp_path, 3) == one_by_one[0]
    assert games_of(tmp_path) == games_of(one_by_one[1])
    # what is there is not played again, by anybody
    assert in_batches(tmp_path, 3, other=interrupted) == one_by_one[0]
    # and a match of the other kind goes on from it
    assert in_batches(one_by_one[1], 3, other=interrupted) == one_by_one[0]


def test_cheating_and_bad_settings_are_named(tmp_path):
    for wrong in (26, -2):
        with pytest.raises(ValueError, match=f"gives up played the illegal move {wrong} in game"):
            in_batches(tmp_path, 2, other=lambda go, state, wrong=wrong: wrong)
    with pytest.raises(ValueError, match="gives up played the illegal move"):
        in_batches(tmp_path, 2, other=lambda go, state: int(state.recent[0, 0]))
    with pytest.raises(ValueError, match="num_parallel must be at least 1, got 0"):
        in_batches(tmp_path, 0)
    mute = OneByOne("mute", scattered)
    mute.moves = lambda go, state, games: torch.zeros(0)
    with pytest.raises(ValueError, match=r"mute gave moves of shape \(0,\): give one each"):
        play_batch_match(mute, mute, RULES, 1, tmp_path / "mute", stones=(1, 3), progress=False)
    with pytest.raises(ValueError, match="choose another folder"):
        play_batch_match(mute, mute, RULES, 1, tmp_path, stones=(1, 3), progress=False)


class Log(Local):
    """In place of an engine: a player of ours that keeps what it is told."""

    made: list["Log"] = []

    def __init__(self, command, rules, timeout, name):
        super().__init__(name, lambda seed: gives_up, rules)
        self.closed, self.fails_at = False, None
        Log.made.append(self)

    def new_game(self, seed=None):
        super().new_game(seed)
        self.seed = seed

    def genmove(self, color):
        move = super().genmove(color)
        if self.seed == self.fails_at and int(self._state.num_moves) > 6:
            raise EngineError("out of stones")  # with the move on its board
        return move

    def close(self):
        self.closed = True


@pytest.fixture
def logs(monkeypatch):
    monkeypatch.setattr(engine_pool, "Engine", Log)
    monkeypatch.setattr(Log, "made", [])
    return Log.made


def test_a_pool_plays_as_one_engine_does(one_by_one, tmp_path, logs):
    with EnginePool("engine", RULES, 3, name="gives up", num_threads=2) as pool:
        player, options = OneByOne("scattered", scattered), {"stones": (1, 3), "progress": False}
        logs[1].fails_at = game_seed(0, 4)  # the engine of slot 1
        with pytest.raises(EngineError, match="out of stones"):
            play_batch_match(player, pool, RULES, 4, tmp_path, num_parallel=3, **options)
        assert len(games_of(tmp_path)) == 3
        logs[1].fails_at = None
        match = play_batch_match(player, pool, RULES, 4, tmp_path, num_parallel=3, **options)
    assert match == one_by_one[0]
    assert games_of(tmp_path) == games_of(one_by_one[1])
    assert [log.closed for log in logs] == [True] * 3


def test_a_pool_needs_an_engine_for_each_game(logs):
    go = Go(RULES)
    with EnginePool("engine", RULES, 2) as pool, pytest.raises(ValueError, match="smaller num_par"):
        pool.moves(go, go.new(1), [Ongoing(0, 2, [])])
    for wrong in ({"num_engines": 0}, {"num_engines": 1, "num_threads": 0}):
        with pytest.raises(ValueError, match="must be at least 1, got 0"):
            EnginePool("engine", RULES, **wrong)


def test_engines_are_closed_when_one_cannot_start(logs, monkeypatch):
    class Third(Log):
        def __init__(self, *arguments):
            if len(logs) == 2:
                raise EngineError("no room")
            super().__init__(*arguments)

    monkeypatch.setattr(engine_pool, "Engine", Third)
    with pytest.raises(EngineError, match="no room"):
        EnginePool("engine", RULES, 3)
    assert [log.closed for log in logs] == [True, True]


def test_an_engine_and_its_pool_are_told_by_their_command():
    def fingerprints(way: str) -> set[str]:
        command = [sys.executable, str(Path(__file__).with_name("fake_engine.py")), way]
        with Engine(command, RULES) as engine, EnginePool(command, RULES, 1) as pool:
            return {engine.fingerprint, pool.fingerprint}

    assert len(fingerprints("well")) == 1
    assert not fingerprints("well") & fingerprints("resigns")


@pytest.mark.gtp
@pytest.mark.skipif(not any(map(shutil.which, GNU_GO_PLACES)), reason="GNU Go is not installed")
def test_gnu_go_plays_the_same_games_in_a_pool(tmp_path):
    command, options = gnu_go_command(1, RULES), {"stones": (1, 3), "progress": False}
    with Engine(command, RULES) as engine:
        player = Local("scattered", lambda seed: scattered, RULES)
        wanted = play_match(player, engine, RULES, 2, tmp_path / "one", **options)
    with EnginePool(command, RULES, 4) as pool:
        player = OneByOne("scattered", scattered)
        found = play_batch_match(player, pool, RULES, 2, tmp_path / "many", **options)
    assert found == wanted
    assert games_of(tmp_path / "many") == games_of(tmp_path / "one")


def test_engines_think_while_the_other_player_does(tmp_path):
    """The pool answers only once the other player was asked in the same turn."""
    asked, answers = threading.Event(), []

    class Patient(EnginePool):
        def __init__(self):
            self.name = "patient"

        fingerprint = "patient"

        def moves(self, go, state, games):
            answers.append(asked.wait(20.0))
            return torch.tensor(
                [scattered(go, state.select(torch.tensor([i]))) for i in range(len(games))]
            )

    def other(go, state):
        asked.set()
        return scattered(go, state)

    both = [OneByOne("other", other), Patient()]
    options = {"num_parallel": 8, "stones": (1, 1), "progress": False}
    match = play_batch_match(*both, RULES, 4, tmp_path / "beside", **options)
    assert answers
    assert all(answers)
    alone = [OneByOne("other", scattered), OneByOne("patient", scattered)]
    assert play_batch_match(*alone, RULES, 4, tmp_path / "alone", **options) == match
    assert games_of(tmp_path / "beside") == games_of(tmp_path / "alone")
