"""The GTP client: with engines that misbehave, and with GNU Go where it is installed."""

import shutil
import sys
import time
from pathlib import Path

import pytest

from rlcourse.data.files import exclusively
from rlcourse.go import generate
from rlcourse.go.gtp import GNU_GO_PLACES, Engine, EngineError, gnu_go_command
from rlcourse.go.notation import RESIGN
from rlcourse.go.records import GameFile
from rlcourse.go.rules import BLACK, WHITE, Rules

FAKE = Path(__file__).with_name("fake_engine.py")
needs_gnu_go = pytest.mark.skipif(
    not any(map(shutil.which, GNU_GO_PLACES)), reason="GNU Go is not installed"
)


def fake(way: str, timeout: float = 5.0) -> Engine:
    return Engine([sys.executable, str(FAKE), way], Rules(9, 7.5), timeout)


def test_an_engine_answers():
    with fake("well") as engine:
        assert engine.name == "Fake well"
        assert engine.genmove(BLACK) == 72
        assert engine.final_score() == -5.5
        engine.play(WHITE, 81)


def test_a_seed_is_for_engines_that_take_one():
    for way, version in (("well", "well"), ("seeded", "7")):
        with fake(way) as engine:
            engine.new_game(seed=7)
            assert engine.send("version") == version


def test_an_engine_may_resign():
    with fake("resigns") as engine:
        assert engine.genmove(WHITE) == RESIGN


@pytest.mark.parametrize(
    ("way", "says"),
    [
        ("dies", r"Fake dies ended \(status 3\) at 'genmove b':\nout of stones"),
        ("nonsense", r"Fake nonsense answered 'genmove b': 'Z99' is no point"),
        ("refuses", r"Fake refuses refused 'genmove b': cannot think"),
    ],
)
def test_an_engine_that_fails_is_named(way, says):
    with fake(way) as engine, pytest.raises(EngineError, match=says):
        engine.genmove(BLACK)


def test_a_slow_engine_is_stopped():
    engine = fake("slow", timeout=0.5)
    start = time.monotonic()
    with pytest.raises(EngineError, match="did not answer 'genmove b' within 0.5 seconds"):
        engine.genmove(BLACK)
    assert time.monotonic() - start < 5.0
    with pytest.raises(EngineError, match="ended"):
        engine.send("name")
    engine.close()


def test_a_program_that_is_missing_is_named():
    with pytest.raises(EngineError, match="cannot start 'no-such-engine'"):
        Engine("no-such-engine --mode gtp", Rules())
    with pytest.raises(EngineError, match="apt-get install gnugo"):
        gnu_go_command(1, Rules(), "no-such-gnugo")


@pytest.mark.gtp
@needs_gnu_go
def test_games_are_played_stored_and_gone_on_with(tmp_path):
    config = generate.Config(
        3,
        level=1,
        size=5,
        least_random=1,
        most_random=3,
        games_per_file=2,
        num_engines=1,
        save_every=1,
    )
    generate.generate(
        generate.Config(1, level=1, size=5, least_random=1, most_random=3, games_per_file=2),
        tmp_path,
        False,
    )
    (first,) = GameFile.open(tmp_path / "gnugo_000.games")
    generate.generate(config, tmp_path, progress=False)
    games = [g for i in (0, 1) for g in GameFile.open(tmp_path / f"gnugo_00{i}.games")]
    assert games[0] == first
    assert [g.number for g in games] == [0, 1, 2]
    with Engine(gnu_go_command(1, config.rules), config.rules) as engine:
        assert generate.play_game(config, 1, engine) == games[1]  # can be made again
    with pytest.raises(ValueError, match="choose another folder"):
        generate.generate(
            generate.Config(1, level=2, size=5, least_random=1, most_random=3, games_per_file=2),
            tmp_path,
            False,
        )


def test_two_generators_do_not_share_a_folder(tmp_path):
    with exclusively(tmp_path / generate.LOCK), pytest.raises(BlockingIOError, match="held by"):
        generate.generate(generate.Config(1), tmp_path, progress=False)
    assert not list(tmp_path.glob("*.games"))


class Cheat:
    """Plays the same point again and again."""

    name = "Cheat"

    def new_game(self, seed, level):
        self.moves = []

    def play(self, color, move):
        pass

    def genmove(self, color):
        return 40


class Passes(Cheat):
    """Passes, and believes that white has won by 100 points."""

    def genmove(self, color):
        return 81

    def final_score(self):
        return -100.0


def test_a_score_that_the_engine_does_not_share_is_marked():
    game = generate.play_game(generate.Config(least_random=0, most_random=0), 3, Passes())
    assert game == generate.Game(3, (81, 81), -7.5, opening=0, disputed=True)


def test_a_cheating_engine_is_named():
    config = generate.Config(least_random=0, most_random=0)
    with pytest.raises(EngineError, match="Cheat played the illegal move 40 in game 5"):
        generate.play_game(config, 5, Cheat())


def test_bad_settings_of_the_generator_are_refused():
    for wrong in ({"num_games": 0}, {"num_engines": 0}, {"least_random": 9}, {"level": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            generate.Config(**wrong)
