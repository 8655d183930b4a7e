"""Our GTP server: command by command, and a whole game that another GTP program referees."""

import io
import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from rlcourse.go.board import Go
from rlcourse.go.gtp import GNU_GO_PLACES, Engine, gnu_go_command
from rlcourse.go.gtp_server import GtpServer, random_player, serve_terminal
from rlcourse.go.notation import result_text
from rlcourse.go.rules import BLACK, Rules
from rlcourse.go.saved_agent import save_agent
from rlcourse.go.sgf import read_sgf
from tests.go.agents import agent_files
from tests.go.boards import play

COMMAND = [sys.executable, "-m", "rlcourse.go.gtp_server"]
needs_gnu_go = pytest.mark.skipif(
    not any(map(shutil.which, GNU_GO_PLACES)), reason="GNU Go is not installed"
)


@pytest.fixture
def server():
    return GtpServer(random_player(), Rules(9, 7.5))


def test_a_mistake_in_a_player_is_no_syntax_error():
    def broken(go, state):
        raise TypeError("a bug")

    with pytest.raises(TypeError, match="a bug"):
        GtpServer(broken).answer("genmove b")


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
        ("time_settings 60 10", "? syntax error"),
        ("time_settings 60 10 x", "? syntax error"),
        ("time_left green 10 0", "? invalid color or coordinate"),
        ("time_left b -1 0", "? syntax error"),
        ("fixed_handicap 2", "? unknown command"),
        ("place_free_handicap 2", "? unknown command"),
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


def test_every_command_that_a_referee_needs_is_there(server):
    """The required commands of GTP 2, section 6, and those of its section on tournaments."""
    needed = ("protocol_version", "name", "version", "known_command", "list_commands", "quit")
    needed += ("boardsize", "clear_board", "komi", "play", "genmove", "undo", "showboard")
    needed += ("time_settings", "time_left", "final_score", "final_status_list")
    for command in needed:
        assert server.answer(f"known_command {command}") == "= true\n\n"
    assert set(needed) <= set(server.answer("list_commands")[2:].split())
    for line in ("time_settings 60 0 0", "time_left b 60 0", "quit"):
        assert server.answer(line) == "=\n\n"
    assert server.answer("version") == "= 1\n\n"


def test_a_player_that_cannot_move_refuses_in_one_line():
    def helpless(go, state):
        raise ValueError("the database\n\nholds other boards")

    server = GtpServer(helpless)
    for command in ("genmove b", "reg_genmove b"):
        assert server.answer(command) == "? the database holds other boards\n\n"
    assert "X" not in server.answer("showboard")


def test_a_game_may_be_as_long_as_others_allow_it(server):
    server.answer("boardsize 2")
    for _ in range(8):
        for line in ("play b A1", "play w pass", "undo", "undo"):
            assert server.answer(line) == "=\n\n"
    assert server._go.rules.longest == 24


def test_who_asked_may_leave(monkeypatch, tmp_path):
    """A pipe whose other end is closed, as a referee leaves it that does not wait for an answer."""
    with open(tmp_path / "stdout", "w") as file:

        class Gone(io.StringIO):
            def flush(self):
                raise BrokenPipeError

            def fileno(self):
                return file.fileno()

        asked = io.StringIO("name\nname\n")
        monkeypatch.setattr(sys, "stdin", asked)
        monkeypatch.setattr(sys, "stdout", Gone())
        serve_terminal(GtpServer(random_player()))
        assert asked.readline() == "name\n"  # it did not go on to the second one
        same = os.fstat(file.fileno()).st_rdev == os.stat(os.devnull).st_rdev
        assert same  # what Python writes at its end reports no error then


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


@pytest.mark.gtp
@pytest.mark.slow
@needs_gnu_go
@pytest.mark.skipif(
    shutil.which("twogtp") is None,
    reason="no referee: twogtp is not installed, a script among GNU Go's sources; .ci/run gets it",
)
def test_another_program_referees_our_agent_against_gnu_go(tmp_path):
    """twogtp of GNU Go tells both players all moves, asks both for the score, and writes SGF."""
    rules = Rules(5, 7.5, max_moves=500)
    save_agent(tmp_path, agent_files(tmp_path, rules))
    ours = [sys.executable, "-m", "rlcourse", "gtp", f"agent:{tmp_path}", "--size", "5"]
    theirs = [*gnu_go_command(1, rules), "--seed", "1"]
    done = subprocess.run(
        [
            "twogtp", "--black", shlex.join(ours), "--white", shlex.join(theirs), "--size", "5",
            "--komi", "7.5", "--games", "1", "--verbose", "1", "--sgffile", str(tmp_path / "g.sgf"),
        ],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = re.search(r"^Result: (\S+)$", done.stdout, re.MULTILINE)  # one, by both players
    assert result is not None, done.stdout
    content = (tmp_path / "g001.sgf").read_bytes()
    assert b"PB[rlcourse tiny 1" in content
    game = read_sgf(content, rules, 0)
    assert len(game.moves) > 10
    go = Go(rules)
    state = go.new(1)
    play(go, state, *game.moves)  # every move is legal by our rules
    assert bool(go.is_over(state))
    assert result[1] == result_text(float(go.score(state)))
