"""`python -m rlcourse play`."""

import io
import sys

import pytest

from rlcourse import __main__ as command_line
from rlcourse.course.commands import CommandError
from rlcourse.course.play import play
from tests.experiments.test_go_players import FAKE


def test_a_game_against_a_random_player(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO("c3\nresign\nquit\n"))
    assert command_line.main(["play", "random", "--size", "5", "--seed", "3"]) == 0
    said = capsys.readouterr().out
    assert "You are black (X) against random. Type help for help." in said
    assert " 3 . ." in said
    assert "Black resigns: random wins, W+R." in said


def test_a_game_against_an_engine(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO("quit\n"))
    engine = f"{sys.executable} {FAKE} well"
    assert command_line.main(["play", "--engine", engine, "--color", "white"]) == 0
    assert "Fake well plays A1." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nobody"], "no player is called 'nobody'; there are: random, gnugo:LEVEL"),
        (["--engine", "no-such-engine"], "cannot start 'no-such-engine'"),
        (["random", "--size", "40"], "size must lie in [2, 19], got 40"),
    ],
)
def test_errors_are_sentences(arguments, words, capsys):
    assert command_line.main(["play", *arguments]) == 1
    assert words in capsys.readouterr().err


def test_an_engine_that_dies_or_an_interrupt_ends_the_game(capsys):
    with pytest.raises(CommandError, match="Fake dies ended"):
        play(f"gtp:{sys.executable} {FAKE} dies", "white", 9, 7.5, 0, io.StringIO(), io.StringIO())

    class Interrupted(io.StringIO):
        def readline(self, *size):
            raise KeyboardInterrupt

    assert play("random", "black", 5, 0.5, 0, Interrupted(), io.StringIO()) == 130


def test_help_tells_of_the_widget(capsys):
    with pytest.raises(SystemExit):
        command_line.main(["play", "--help"])
    assert "Notebook 13 has the board as a widget." in " ".join(capsys.readouterr().out.split())
