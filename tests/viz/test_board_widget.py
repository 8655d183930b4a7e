import base64
import re
import xml.etree.ElementTree as ElementTree

import pytest
import torch

from rlcourse.go.board import Go
from rlcourse.go.notation import move_of
from rlcourse.go.rules import BLACK, WHITE, Rules
from rlcourse.viz.board_widget import BoardWidget, why_illegal
from tests.oracles.slow_go import SlowGo

VIEW = "application/vnd.jupyter.widget-view+json"


def first_legal(state):
    return int(state.legal[0].nonzero()[0])


def widget_of(*args, **settings):
    return BoardWidget(Go(Rules(size=5)), *args, **settings)


def test_a_click_plays_and_the_opponent_answers():
    widget = widget_of(first_legal)
    before = widget.picture.value
    widget.point(12).click()
    assert widget.moves == [12, 0]
    assert widget.state.stones[0, [12, 0]].tolist() == [BLACK, WHITE]
    assert widget.picture.value != before
    assert "White played A5. Black to play." in widget.message.value
    assert widget.point(12).tooltip == "C3"
    ElementTree.fromstring(widget.svg)


def test_opponent_opens_against_white():
    widget = widget_of(first_legal, color=WHITE)
    assert widget.moves == [0]
    widget.undo()
    assert widget.moves == [0]
    assert "no move of yours" in widget.message.value
    widget.point(5).click()
    widget.undo()
    assert widget.moves == [0]


def test_two_players_without_an_opponent():
    widget = widget_of()
    widget.point(0).click()
    widget.point(1).click()
    assert widget.state.stones[0, :2].tolist() == [BLACK, WHITE]
    widget.undo_button.click()
    assert widget.moves == [0]
    assert int(widget.state.to_play[0]) == WHITE
    widget.new_button.click()
    assert widget.moves == []
    assert not widget.state.stones.any()


def test_two_passes_end_the_game_and_undo_resumes_it():
    widget = widget_of(lambda state: state.num_points)
    widget.pass_button.click()
    assert widget.is_over
    assert "W+7 by area" in widget.message.value
    widget.point(0).click()
    assert "The game is over" in widget.message.value
    assert widget.moves == [25, 25]
    widget.undo()
    assert not widget.is_over


def test_an_illegal_move_changes_nothing():
    widget = widget_of()
    widget.point(7).click()
    picture = widget.picture.value
    widget.point(7).click()
    assert "There is a stone on C4 already." in widget.message.value
    assert (widget.moves, widget.picture.value) == ([7], picture)


def failing(state):
    raise RuntimeError("the engine <died>")


@pytest.mark.parametrize(
    ("opponent", "reason"),
    [
        (failing, "the engine &lt;died&gt;"),
        (lambda state: 12, "a stone on C3"),
        (lambda state: 99, "no move 99"),
    ],
)
def test_a_failing_opponent_takes_your_move_back(opponent, reason):
    widget = widget_of(opponent)
    widget.point(12).click()
    assert widget.moves == []
    assert int(widget.state.to_play[0]) == BLACK
    assert reason in widget.message.value


def test_an_opponent_cannot_write_into_the_game():
    def vandal(state):
        state.stones.fill_(1)
        return 0

    widget = widget_of(vandal)
    widget.point(12).click()
    assert int(widget.state.stones.abs().sum()) == 2


def test_panel_and_marks_follow_the_game():
    widget = widget_of(
        panel=lambda state: f"<b>{int(state.num_moves[0])} moves</b>",
        marks=lambda state: {"visits": state.legal[0].float(), "title": "left out"},
    )
    widget.point(3).click()
    assert widget.panel.value == "<b>1 moves</b>"
    assert widget.board.visits[3] == 0
    assert widget.board.title == ""


def test_static_picture_where_no_kernel_runs():
    bundle = widget_of(panel=lambda state: "<i>beside</i>")._repr_mimebundle_()
    assert VIEW in bundle
    assert "0 black and 0 white" in bundle["text/plain"]
    assert "<i>beside</i>" in bundle["text/html"]
    encoded = re.search(r"base64,([^\"]+)", bundle["text/html"]).group(1)
    ElementTree.fromstring(base64.b64decode(encoded))


def state_after(go, moves):
    state = go.new(1)
    for name in moves.split():
        go.step_(state, torch.tensor([move_of(name, go.rules.size)]))
    return state


KO = "B5 C5 A4 D4 B3 C3 C4 B4"  # white took C4


@pytest.mark.parametrize(
    ("moves", "point", "reason"),
    [
        ("C3 D4", "D4", "There is a stone on D4"),
        ("A4 C3 B5", "A5", "suicide"),
        (KO, "C4", "the ko rule"),
        ("pass pass", "A1", "over"),
        (KO, "A1", None),
    ],
)
def test_reasons(moves, point, reason):
    go = Go(Rules(size=5))
    said = why_illegal(go, state_after(go, moves), move_of(point, 5))
    assert (reason in said) if reason else said == ""


@pytest.mark.parametrize("size", [2, 3, 5])
def test_reasons_agree_with_the_oracle(size):
    go = Go(Rules(size=size, max_moves=200))
    generator = torch.Generator().manual_seed(size)
    seen = set()
    for _ in range(20):
        state, slow = go.new(1), SlowGo(size)
        for _ in range(60):
            for point in range(size**2):
                said = why_illegal(go, state, point)
                seen.add(said.split()[-1] if said else "")
                assert bool(said) != bool(state.legal[0, point])
                if said and slow.board[point] == 0:
                    board, _ = slow.after(point)
                    assert ("suicide" in said) == (not slow.liberties(board, point))
            chance = state.legal[0].float()
            chance[-1] = float(not chance[:-1].any())  # pass only where nothing else is left
            move = int(torch.multinomial(chance, 1, generator=generator))
            go.step_(state, torch.tensor([move]))
            slow.play(move)
            if bool(go.is_over(state)[0]):
                break
    assert {"", "already.", "allowed."} <= seen
    assert size != 2 or "(superko)." in seen


def test_color_must_be_one_of_two():
    with pytest.raises(ValueError, match="got 0"):
        widget_of(color=0)
