import shutil
import subprocess

import pytest

from rlcourse.go import conversation
from rlcourse.go.conversation import ask_gnu_go, ask_server, gnu_go_missing
from rlcourse.go.gtp import GNU_GO_PLACES, EngineError
from rlcourse.go.rules import Rules

RULES = Rules(9, 7.5)
COMMANDS = ["1 komi 7.5", "2 play b D4", "3 play w I5", "genmove w"]
PRESENT = any(map(shutil.which, GNU_GO_PLACES))


def test_the_server_answers_each_command_as_over_the_wire():
    answers = ask_server(COMMANDS, RULES)
    assert answers[:3] == ["=1\n\n", "=2\n\n", "?3 invalid color or coordinate\n\n"]
    assert answers[3].startswith("= ")
    assert answers == ask_server(COMMANDS, RULES)


@pytest.mark.gtp
@pytest.mark.skipif(not PRESENT, reason="GNU Go is not installed")
def test_gnu_go_answers_each_command():
    assert gnu_go_missing(RULES) == ""
    answers = ask_gnu_go(COMMANDS, RULES, level=1)
    assert [answer.split()[0] for answer in answers] == ["=1", "=2", "?3", "="]
    assert all(answer.endswith("\n\n") for answer in answers)


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert "apt-get install gnugo" in gnu_go_missing(RULES)
    with pytest.raises(EngineError, match="not installed"):
        ask_gnu_go(COMMANDS, RULES)


def fake(monkeypatch, output):
    monkeypatch.setattr(conversation, "gnu_go_command", lambda *_: ["engine"])

    def run(command, **_):
        if output is None:
            raise subprocess.TimeoutExpired(command, 60)
        return subprocess.CompletedProcess(command, 0, output, "")

    monkeypatch.setattr(subprocess, "run", run)


def test_answers_of_several_lines_stay_together(monkeypatch):
    fake(monkeypatch, "=1 \n\n= a\nb\n\n=\n\n")
    assert ask_gnu_go(["1 komi 7", "showboard"], RULES) == ["=1 \n\n", "= a\nb\n\n"]


@pytest.mark.parametrize(
    ("output", "message"),
    [("= \n\n", "gave 1 answers to 5 commands"), (None, "did not answer 4 commands in time")],
)
def test_an_engine_that_fails_is_an_error(output, message, monkeypatch):
    fake(monkeypatch, output)
    with pytest.raises(EngineError, match=message):
        ask_gnu_go(COMMANDS, RULES)
