"""Players by name."""

import shutil
import sys
from pathlib import Path

import pytest

from rlcourse.experiments.go_players import load_player
from rlcourse.go.arena import play_game
from rlcourse.go.gtp import GNU_GO_PLACES, EngineError
from rlcourse.go.rules import BLACK, Rules

RULES = Rules(5, 2.5)
FAKE = Path(__file__).parents[1] / "go" / "fake_engine.py"


def test_random_players_and_engines_are_found_by_name():
    one, other = load_player("random", RULES, 1), load_player("random", RULES, 2)
    assert len(play_game(one, other, RULES, 0, []).moves) > 10
    with load_player(f"gtp:{sys.executable} {FAKE} well", RULES) as engine:
        assert engine.name == "Fake well"
        assert engine.genmove(BLACK) == 20


def test_unknown_players_are_named():
    wrong = ("", "nobody", "gnugo:11", "gnugo:0", "gnugo:strong", "gtp:", "gtp: ", "random:3")
    for spec in wrong:
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
