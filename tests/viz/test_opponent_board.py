"""The board with a choice of opponents, with and without GNU Go."""

import shutil
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from rlcourse.go.gtp import GNU_GO_PLACES, EngineError
from rlcourse.go.notation import move_of, vertex_of
from rlcourse.go.rules import BLACK, WHITE, Rules
from rlcourse.viz import opponent_board
from rlcourse.viz.opponent_board import GNU_GO, RANDOM, YOURSELF, EnginePlayer, OpponentBoard

RULES = Rules(9, 7.5)
PRESENT = any(map(shutil.which, GNU_GO_PLACES))
KO = ("D6", "E6", "C5", "F5", "D4", "E4", "E5", "D5")
SNAPBACK = ("C9", "D9", "A8", "D8", "B8", "A7", "C8", "B7", "J1", "C7", "J3", "D7")


@pytest.fixture
def without_gnu_go(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)


def click(shown: OpponentBoard, *names: str) -> None:
    for name in names:
        shown.board.point(move_of(name, 9)).click()


def test_without_gnu_go_it_says_what_is_missing_and_plays_at_random(without_gnu_go):
    shown = OpponentBoard(RULES)
    assert list(shown.menu.options) == [YOURSELF, RANDOM]
    assert shown.menu.value == RANDOM
    assert "apt-get install gnugo" in shown.note.value
    click(shown, "E5")
    assert len(shown.board.moves) == 2
    assert int(shown.board.state.stones.sum()) == BLACK + WHITE


def test_an_opponent_that_is_not_there_is_refused(without_gnu_go):
    with pytest.raises(ValueError, match="no opponent 'GNU Go' here; there are: yourself"):
        OpponentBoard(RULES, opponent=GNU_GO)


def test_another_opponent_begins_another_game(without_gnu_go):
    shown = OpponentBoard(RULES)
    click(shown, "E5")
    first = shown.board
    shown.menu.value = YOURSELF
    assert shown.board is not first
    assert shown.board.moves == []
    click(shown, "E5")
    assert len(shown.board.moves) == 1
    bundle = shown._repr_mimebundle_()
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == shown.widget.model_id
    assert "<img" in bundle["text/html"]
    ElementTree.fromstring(shown.board.svg)


def test_the_tasks_of_notebook_13_come_out_as_its_answers_say(without_gnu_go):
    shown = OpponentBoard(RULES, opponent=YOURSELF)
    click(shown, *KO)
    assert int(shown.board.state.stones[0, move_of("E5", 9)]) == 0
    click(shown, "E5")
    assert "that is the ko rule" in shown.board.message.value
    click(shown, "A1", "J9", "E5")
    assert "Black played E5" in shown.board.message.value

    shown.board.new_game()
    click(shown, *SNAPBACK)  # black has played J1 and J3 elsewhere
    shown.board.play(81)
    click(shown, "B9", "A9", "B9")
    assert "White played B9" in shown.board.message.value
    left = {vertex_of(int(p), 9) for p in shown.board.state.stones[0].nonzero()}
    assert left == {"D9", "D8", "A7", "B7", "C7", "D7", "B9", "J1", "J3"}


FAKE = """
import sys
color = 0
for line in sys.stdin:
    words = line.split()
    with open(sys.argv[1], "a") as log:
        log.write(line)
    if words[0] == "genmove":
        print("= pass\\n", flush=True)
    else:
        print("=\\n", flush=True)
    if words[0] == "quit":
        break
"""


def fake_player(tmp_path: Path) -> tuple[EnginePlayer, Path]:
    program, log = tmp_path / "engine.py", tmp_path / "log"
    program.write_text(FAKE)
    return EnginePlayer([sys.executable, str(program), str(log)], RULES), log


def test_an_engine_is_told_what_it_does_not_know(tmp_path):
    player, log = fake_player(tmp_path)
    assert player.answer([0]) == 81
    assert player.answer([0, 81, 1]) == 81  # goes on
    assert player.answer([5]) == 81  # another game, or moves taken back
    player.close()
    said = [line for line in log.read_text().splitlines() if line[:4] in ("play", "genm", "clea")]
    assert said == [
        "clear_board", "play b A9", "genmove w", "play b B9", "genmove w",
        "clear_board", "play b F9", "genmove w",
    ]  # fmt: skip


def test_an_engine_that_fails_is_ended_and_started_anew(tmp_path):
    player = EnginePlayer([sys.executable, "-c", "raise SystemExit(3)"], RULES)
    for _ in range(2):
        with pytest.raises(EngineError, match="status 3"):
            player.answer([0])
    player.close()


@pytest.mark.gtp
@pytest.mark.skipif(not PRESENT, reason="GNU Go is not installed")
def test_gnu_go_plays_and_takes_back():
    shown = OpponentBoard(Rules(5, 7.5), level=1)
    assert shown.menu.value == opponent_board.GNU_GO
    assert shown.note.value == ""
    shown.board.play(12)
    assert len(shown.board.moves) == 2
    shown.board.undo()
    shown.board.play(7)
    assert len(shown.board.moves) == 2
    shown.close()
    shown.close()
