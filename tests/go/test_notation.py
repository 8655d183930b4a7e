"""Names of moves."""

import pytest

from rlcourse.go.notation import move_of, result_text, sgf_of, vertex_of


def test_corners_have_the_names_that_gtp_gives_them():
    assert [vertex_of(m, 9) for m in (0, 8, 72, 80, 81)] == ["A9", "J9", "A1", "J1", "pass"]
    assert [sgf_of(m, 9) for m in (0, 8, 72, 80, 81)] == ["aa", "ia", "ai", "ii", ""]
    assert move_of("t19", 19) == 18
    assert move_of(" PASS ", 5) == 25


@pytest.mark.parametrize("size", [2, 9, 19])
def test_every_move_is_read_back(size):
    for move in range(size**2 + 1):
        assert move_of(vertex_of(move, size), size) == move


@pytest.mark.parametrize(
    "bad", ["I5", "A0", "A10", "K1", "", "5A", "A-1", "resign", "AA", "A\u0661"]
)
def test_what_is_no_point_is_refused(bad):
    with pytest.raises(ValueError, match="no point of a 9x9 board, from A1 to J9"):
        move_of(bad, 9)


def test_numbers_off_the_board_are_refused():
    for bad in (-1, 82):
        with pytest.raises(ValueError, match="is no move on a 9x9 board"):
            vertex_of(bad, 9)


def test_results():
    found = [result_text(3.5), result_text(-0.5), result_text(0.0), result_text(-1.0, True)]
    assert found == ["B+3.5", "W+0.5", "0", "W+R"]
