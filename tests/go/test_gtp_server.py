"""Our GTP server: command by command, and a whole game that another GTP program referees."""

import io
import shutil
import sys

import pytest

from rlcourse.go.board import Go
from rlcourse.go.gtp import GNU_GO_PLACES, Engine, gnu_go_command
from rlcourse.go.gtp_server import GtpServer, random_player
from rlcourse.go.rules import BLACK, Rules
from tests.go.boards import play

COMMAND = [sys.executable, "-m", "rlcourse.go.gtp_server"]
needs_gnu_go = pytest.mark.skipif(
    not any(map(shutil.which, GNU_GO_PLACES)), reason="GNU Go is not installed"
)


@pytest.fixture
def server():
    return GtpServer(random_player(), Rules(9, 7.5))


def test_identity_numbers_comments_and_silence(server):
    assert server.answer("protocol_version") == "= 2\n\n"
    assert server.answer("7 name # a comment") == "=7 rlcourse\n\n"
    assert server.answer("# nothing") is server.answer("   ") is server.answer("12") is None
    assert server.answer("known_command genmove") == "= true\n\n"
    assert server.answer("known_command fly") == "= false\n\n"
    assert "final_score" in server.answer("list_commands").split()


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("fly", "? unknown command"),
        ("boardsize 99", "? unacceptable size"),
        ("boardsize nine", "? unacceptable size"),
        ("boardsize", "? syntax error"),
        ("komi x", "? syntax error"),
        ("komi nan", "? syntax error"),
        ("play green A1", "? invalid color or coordinate"),
        ("play b I5", "? invalid color or coordinate"),
        ("play b", "? syntax error"),
        ("undo", "? cannot undo"),
        ("final_status_list lost", "? syntax error"),
    ],
)
def test_what_is_wrong_is_refused(server, line, answer):
    assert server.answer(line) == answer + "\n\n"


def test_moves_captures_undo_and_score(server):
    server.answer("boardsize 3")
    server.answer("komi 0.5")
    for line in ("play b A2", "play w A1", "play b B1"):
        assert server.answer(line) == "=\n\n"
    assert server.answer("play w B1") == "? illegal move\n\n"
    assert "3 . . .\n 2 X . .\n 1 . X ." in server.answer("showboard")
    assert server.answer("final_status_list alive") == "= A2\nB1\n\n"
    assert server.answer("final_score") == "= B+8.5\n\n"
    server.answer("undo")
    assert " 1 O . ." in server.answer("showboard")
    server.answer("clear_board")
    assert server.answer("undo") == "? cannot undo\n\n"


def test_a_color_may_move_twice_and_two_passes_end_the_game(server):
    for line in ("play w E5", "play w E4", "play b pass", "play w pass"):
        assert server.answer(line) == "=\n\n"
    assert server.answer("play b A1") == "? illegal move\n\n"
    assert server.answer("genmove b") == "= pass\n\n"
    assert server.answer("final_score") == "= W+88.5\n\n"


def test_regression_moves_are_not_played(server):
    server.answer("reg_genmove b")
    assert "X" not in server.answer("showboard")
    server.answer("genmove b")
    assert "X" in server.answer("showboard")


def test_a_session_ends_with_quit(server):
    sink = io.StringIO()
    server.serve(io.StringIO("name\n\n3 quit\nname\n"), sink)
    assert sink.getvalue() == "= rlcourse\n\n=3\n\n"


def test_our_client_plays_a_whole_game_with_our_server():
    rules = Rules(5, 7.5, max_moves=500)
    go, color = Go(rules), BLACK
    state = go.new(1)
    with Engine(COMMAND, rules) as engine:
        assert engine.name == "rlcourse 1"
        engine.new_game(seed=5)  # which the server does not take
        while not bool(go.is_over(state)):
            play(go, state, engine.genmove(color))
            color = -color
        assert engine.final_score() == float(go.score(state))


@pytest.mark.gtp
@needs_gnu_go
def test_a_game_against_gnu_go_with_gnu_go_as_referee():
    rules = Rules(5, 7.5, superko=False, max_moves=500)
    go, color = Go(rules), BLACK
    state = go.new(1)
    with Engine(COMMAND, rules) as ours, Engine(gnu_go_command(1, rules), rules) as gnu_go:
        while not bool(go.is_over(state)):
            mover, other = (ours, gnu_go) if color == BLACK else (gnu_go, ours)
            move = mover.genmove(color)
            other.play(color, move)
            play(go, state, move)
            color = -color
        assert gnu_go.final_score() == float(go.score(state)) == ours.final_score()
    assert float(go.score(state)) < 0  # GNU Go is white
