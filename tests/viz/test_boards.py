import xml.etree.ElementTree as ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.patches import Circle, PathPatch

from rlcourse.go.board import Go
from rlcourse.go.notation import move_of
from rlcourse.go.rules import Rules
from rlcourse.viz.boards import Board, board_svg, draw_board, extent_of, row_svg, star_points
from rlcourse.viz.style import PALETTE

TAG = "{http://www.w3.org/2000/svg}"
BLACK, WHITE = PALETTE["black stone"], PALETTE["white stone"]


def stones_at(size=5, black=(), white=()):
    stones = np.zeros(size**2, dtype=int)
    stones[[move_of(name, size) for name in black]] = 1
    stones[[move_of(name, size) for name in white]] = -1
    return stones


def heat_at(size=5, **shares):
    heat = np.zeros(size**2 + 1)
    for name, share in shares.items():
        heat[move_of(name, size)] = share
    return heat


def parsed(board):
    return ElementTree.fromstring(board_svg(board))


def words(root):
    return [text.text for text in root.iter(f"{TAG}text")]


def circles(root, fill=None, stroke=None):
    """x and y of all circles with this paint."""
    return [
        (float(circle.get("cx")), float(circle.get("cy")))
        for circle in root.iter(f"{TAG}circle")
        if fill in (None, circle.get("fill")) and stroke in (None, circle.get("stroke"))
    ]


def boxes(root, fill):
    return [box for box in root.iter(f"{TAG}rect") if box.get("fill") == fill]


@pytest.mark.parametrize("size", [2, 5, 9, 13, 19])
def test_any_size_is_well_formed_and_described(size):
    root = parsed(Board(np.zeros(size**2), title='a < b & "c"'))
    assert root.get("role") == "img"
    assert root.get("aria-label").startswith('a < b & "c": ')
    assert f"{size}x{size} Go board, 0 black and 0 white" in root.get("aria-label")
    assert not any(element.get("id") for element in root.iter())
    assert len(words(root)) == 2 * size + 1


def test_stones_lie_on_their_points():
    root = parsed(Board(stones_at(9, black=["A9", "J9"], white=["C1"])))
    assert circles(root, BLACK) == [(0, 0), (8, 0)]
    assert circles(root, WHITE) == [(2, 8)]


def test_coordinates_are_those_of_gtp():
    root = parsed(Board(np.zeros(81)))
    place = {text.text: text for text in root.iter(f"{TAG}text")}
    assert "I" not in place
    assert float(place["J"].get("x")) == 8
    assert float(place["9"].get("y")) < float(place["1"].get("y"))
    assert words(parsed(Board(np.zeros(81), coordinates=False))) == []


@pytest.mark.parametrize(
    ("size", "count"), [(2, 0), (5, 1), (6, 0), (7, 5), (9, 5), (13, 5), (19, 9)]
)
def test_star_points(size, count):
    points = star_points(size)
    assert len(set(points)) == len(points) == count
    assert {(column, row) for row, column in points} == set(points)
    assert {(size - 1 - row, column) for row, column in points} == set(points)


def test_last_move_has_a_ring_that_its_stone_does_not_hide():
    stones = stones_at(black=["A5"], white=["B5"])
    assert circles(parsed(Board(stones, last_move=0)), "none", WHITE) == [(0, 0)]
    assert circles(parsed(Board(stones, last_move=1)), "none", BLACK) == [(1, 0)]
    assert circles(parsed(Board(stones, last_move=-1)), "none") == []


def test_next_moves_are_numbered_if_there_are_several():
    color = PALETTE["next move"]
    one = parsed(Board(np.zeros(25), next_moves=[7], coordinates=False))
    assert circles(one, color) == [(2, 1)]
    assert words(one) == []
    three = parsed(Board(np.zeros(25), next_moves=[7, 25, 7], coordinates=False))
    assert words(three) == ["pass", "1", "2"]
    assert len(circles(three, stroke=color)) == 2


@pytest.mark.parametrize(("winner", "fill"), [(1, BLACK), (-1, WHITE), (0, PALETTE["reference"])])
def test_winner_colors_the_border(winner, fill):
    root = parsed(Board(np.zeros(25), winner=winner))
    assert len(boxes(root, fill)) == 1
    assert root.get("aria-label").endswith(" won")
    assert not boxes(parsed(Board(np.zeros(25))), fill)


def test_policy_in_percent_with_the_likeliest_darkest():
    policy = heat_at(A5=0.7, B5=0.2)
    policy[2], policy[-1] = 0.001, 0.099
    root = parsed(Board(np.zeros(25), policy=policy, coordinates=False))
    assert words(root) == ["70", "20", "10", "pass"]
    strengths = [float(box.get("opacity")) for box in boxes(root, PALETTE["ours"])]
    assert strengths == sorted(strengths, reverse=True)
    assert strengths[0] == pytest.approx(0.95)
    halved = parsed(Board(np.zeros(25), policy=policy / 2, heat_limit=0.7))
    assert float(boxes(halved, PALETTE["ours"])[0].get("opacity")) == pytest.approx(0.535)


def test_a_uniform_policy_is_shaded_without_numbers():
    root = parsed(Board(np.zeros(361), policy=np.full(362, 1 / 362), coordinates=False))
    assert len(boxes(root, PALETTE["ours"])) == 362
    assert words(root) == ["pass"]


def test_visits_are_counts_and_may_all_be_zero():
    root = parsed(Board(np.zeros(25), visits=heat_at(A5=750, B5=50), coordinates=False))
    assert words(root) == ["750", "50", "pass"]
    assert words(parsed(Board(np.zeros(25), visits=np.zeros(26), coordinates=False))) == ["pass"]


def test_ownership_is_as_wide_as_sure():
    owner = np.zeros(25)
    owner[:3] = 1.0, -0.5, 0.01
    root = parsed(Board(np.zeros(25), ownership=owner))
    (black,), (white,) = boxes(root, BLACK), boxes(root, WHITE)
    assert float(black.get("width")) == pytest.approx(2 * float(white.get("width")))


def test_numbers_and_letters():
    board = Board(
        stones_at(black=["A5"]), last_move=0, numbers={0: 12}, letters={1: "A"}, coordinates=False
    )
    assert words(parsed(board)) == ["12", "A"]
    assert circles(parsed(board), "none") == []  # the number stands for the ring


def test_row_keeps_one_scale_and_does_not_overlap():
    root = ElementTree.fromstring(
        row_svg([Board(stones_at(5, ["A1"])), Board(stones_at(9, ["A1"]), title="b")], 700)
    )
    left, _, width, _ = map(float, root.get("viewBox").split())
    assert root.get("width") == "700"
    (first, second) = circles(root, BLACK)
    assert left < first[0] < first[0] + 4 < second[0] < left + width - 8
    assert second[1] - first[1] == 4
    with pytest.raises(ValueError, match="at least one board"):
        row_svg([])


def test_board_of_a_state():
    go = Go(Rules(size=5))
    state = go.new(2)
    go.step_(state, torch.tensor([3, 25]))
    assert circles(parsed(Board.of(state)), BLACK) == [(3, 0)]
    assert Board.of(state).last_move == 3
    assert Board.of(state, 1).shows_pass
    assert not Board.of(go.new(1)).shows_pass


def test_matplotlib_draws_the_same_stones():
    figure, ax = plt.subplots()
    board = Board(stones_at(9, ["C3"], ["D4"]), policy=heat_at(9, E5=1.0), title="one")
    draw_board(ax, board)
    found = {
        to_hex(patch.get_facecolor()).upper(): patch.center
        for patch in ax.patches
        if isinstance(patch, Circle) and patch.radius > 0.4
    }
    assert found == {BLACK: (2, 6), WHITE: (3, 5)}
    extent = extent_of(board)
    for letters in (patch for patch in ax.patches if isinstance(patch, PathPatch)):
        corners = letters.get_path().get_extents()
        assert extent.x <= corners.x0 <= corners.x1 <= extent.x + extent.width
        assert extent.y <= corners.y0 <= corners.y1 <= extent.y + extent.height
    figure.canvas.draw()
    plt.close(figure)


@pytest.mark.parametrize(
    ("marks", "message"),
    [
        ({"stones": np.zeros(24)}, "size\\^2"),
        ({"stones": np.zeros(400)}, "size\\^2"),
        ({"stones": np.full(25, 2)}, "got 2"),
        ({"policy": np.zeros(25)}, "policy of a 5x5 board has shape \\(26,\\)"),
        ({"policy": np.full(26, np.nan)}, "policy must lie"),
        ({"policy": np.full(26, 1.5)}, "policy must lie in \\[0, 1\\]"),
        ({"visits": np.full(26, -1)}, "visits must lie"),
        ({"ownership": np.full(25, -2)}, "ownership must lie in \\[-1, 1\\]"),
        ({"policy": np.zeros(26), "visits": np.zeros(26)}, "one of them"),
        ({"winner": 2}, "winner"),
        ({"heat_limit": 0.0}, "heat_limit"),
        ({"numbers": {25: 1}}, "25 is no point"),
        ({"letters": {-1: "A"}}, "-1 is no point"),
        ({"next_moves": [26]}, "26 is no move"),
        ({"last_move": 26}, "26 is no move"),
    ],
)
def test_what_means_nothing_is_refused(marks, message):
    with pytest.raises(ValueError, match=message):
        Board(**{"stones": np.zeros(25)} | marks)
