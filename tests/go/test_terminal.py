"""A game in the terminal, typed line by line."""

import io

import pytest
import torch

from rlcourse.go.arena import Local
from rlcourse.go.board import Go
from rlcourse.go.notation import RESIGN, board_text
from rlcourse.go.rules import BLACK, WHITE, Rules
from rlcourse.go.sgf import read_sgf
from rlcourse.go.terminal import Terminal

RULES = Rules(3, 0.5)


def first_point(go, state) -> int:
    """The first legal point, the pass after a pass."""
    legal = state.legal[0, :-1].nonzero().squeeze(1)
    return int(legal[0]) if len(legal) and int(state.num_passes) == 0 else go.rules.num_points


def session(*lines: str, color: int = BLACK, player=first_point, rules: Rules = RULES):
    """The game that came of typing these lines, and what was said."""
    sink = io.StringIO()
    source = io.StringIO("".join(line + "\n" for line in lines))
    terminal = Terminal(Local("Robot", player, rules), rules, color, source, sink)
    return terminal.run(), sink.getvalue()


def test_a_game_is_played_saved_and_won(tmp_path):
    path = tmp_path / "my game.sgf"
    game, said = session("b2", "pass", f"save {path}", "quit")
    assert game.moves == (4, 0, 9, 9)
    assert game.margin == -0.5  # a stone each, and no region reaches one color only
    assert "Robot plays A3." in said
    assert "The game is over: Robot wins, W+0.5." in said
    assert f"Saved as {path}." in said
    read = read_sgf(path.read_bytes(), RULES, 0)
    assert (read.moves, read.margin) == (game.moves, game.margin)
    assert b"PB[you]" in path.read_bytes()


def test_the_board_is_drawn_with_the_last_move():
    assert board_text([0, 1, 0, -1, 0, 0, 0, 0, 1], 3, 3).split("\n") == [
        "   A B C",
        " 3 . X .",
        " 2(O). .",
        " 1 . . X",
        "   A B C",
    ]
    assert board_text([0, 1, 0, -1, 0, 0, 0, 0, 1], 3, 8).split("\n")[3] == " 1 . .(X)"
    assert "(" not in board_text([0] * 9, 3, 9) + board_text([0] * 9, 3)
    _, said = session("b2")
    assert " 3(O). .\n 2 . X .\n" in said


def test_who_plays_white_waits_for_the_first_move():
    game, said = session("undo", "b2", "undo", "undo", "c1", "resign", "quit", color=WHITE)
    assert said.index("Robot plays A3") < said.index("O > ")
    assert said.count("There is nothing to take back.") == 2
    assert game.moves[:2] == (0, 8)
    assert (game.margin, game.resigned) == (0.5, True)
    assert "White resigns: Robot wins, B+R." in said


def test_bad_input_gets_a_sentence_and_changes_nothing(tmp_path):
    lines = ["z9", "b2", "a3", "undo now", "save", "hello world", "", "board", "quit"]
    game, said = session(*lines)
    assert game is None
    for words in (
        "'z9' is no point of a 3x3 board, from A1 to C3. Type help",
        "There is a stone on A3 already.",
        "undo takes nothing after it.",
        "The game has not ended: play on, or resign, and save it then.",
        "'hello world' is no point",
    ):
        assert words in said
    assert said.count("Robot plays") == 1
    _, said = session("resign", "a1", "resign", f"save {tmp_path}/no/such/folder.sgf", "quit")
    assert said.count("The game is over: save FILE, undo, or quit.") == 2
    assert "folder.sgf cannot be written: No such file or directory. Name another" in said


def test_a_suicide_is_explained():
    def surrounds(go, state) -> int:
        return next(p for p in (1, 3, 4) if bool(state.legal[0, p]))

    _, said = session("c1", "b1", "a3", player=surrounds)
    assert "A3 is illegal: it repeats a position, or takes its own last liberty." in said


def test_undo_takes_back_moves_resignations_and_the_end():
    game, said = session("b2", "undo", "c1", "resign", "undo", "pass", "undo", "b1", "pass", "quit")
    assert game.moves == (8, 0, 7, 1, 9, 9)
    assert not game.resigned
    assert "Black resigns: Robot wins, W+R." in said

    gives_up = session("b2", "undo", "c1", "quit", player=lambda go, state: RESIGN)
    assert gives_up[0].moves == (8,)
    assert gives_up[0].margin == 0.5
    assert gives_up[1].count("White resigns: you win, B+R.") == 2


def test_undo_sets_up_the_opponents_board_again():
    """A move that is illegal on the old board is fine on the new one."""
    game, _ = session("a3", "undo", "undo", "b3", "pass", "quit")
    assert game.moves == (1, 0, 9, 9)
    go = Go(RULES)
    state = go.new(1)
    for move in game.moves:
        go.step_(state, torch.tensor([move]))


def test_help_names_every_command_and_the_end_of_input_quits():
    game, said = session("HELP", "exit")
    assert game is None
    for command in ("pass", "undo", "resign", "board", "save FILE", "help", "quit"):
        assert f"\n  {command}" in said
    assert session()[0] is None


def test_a_cheat_is_named():
    class Cheat(Local):
        def genmove(self, color):
            return 4

    robot = Cheat("Robot", first_point, RULES)
    terminal = Terminal(robot, RULES, BLACK, io.StringIO("b2\n"), io.StringIO())
    with pytest.raises(ValueError, match="Robot played the illegal move 4"):
        terminal.run()


def test_a_draw_is_called_one():
    _, said = session("pass", "quit", rules=Rules(3, 0.0))
    assert "The game is over: a draw." in said
