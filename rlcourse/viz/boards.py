"""Go boards as pictures: stones, marks, heat maps, and several boards in a row.

`Board` says what is on a board; `board_svg`, `row_svg` and `draw_board` (matplotlib) draw it from
the same shapes. One unit is the distance between two lines, and (0, 0) is the top left point.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from rlcourse.go.board import State
from rlcourse.go.notation import COLUMNS, vertex_of
from rlcourse.go.rules import BLACK, MAX_SIZE, WHITE
from rlcourse.viz.shapes import Box, Circle, Shape, Words, draw_shapes, svg_text
from rlcourse.viz.style import PALETTE

NAMES = {BLACK: "black", WHITE: "white", 0: "nobody"}
EDGE = 0.72  # wood beyond the outermost lines
FRAME = 0.26  # the border in the winner's color
_STONE, _LINE = 0.47, 0.035
_LABELS = 0.8  # room for the coordinates, on the left and below
_PASS = 1.55  # room for the pass, on the right
_TITLE = 1.0
_GAP = 0.7  # between boards of a row
_LEAST_SHADE = 0.02  # of the darkest: a heat map leaves out what is less
_LEAST_PERCENT = 0.5  # a policy's number is left out where it is less


@dataclass(frozen=True, eq=False)
class Board:
    """One board and what is to be marked on it. Moves are numbers as in `go.board`.

    Attributes:
        stones: [P] +1 black, -1 white, 0 empty; P = size^2.
        last_move: gets a ring; None or a negative number: there is none.
        next_moves: what was played from here, the first first; numbered if there are several.
        numbers: by point, such as the order of moves.
        letters: by point.
        winner: of the game, +1, -1 or 0, in the color of the border; None: no border.
        policy: [P + 1] probabilities, the pass last, printed in percent from 0.5 on.
        visits: [P + 1] counts of a search, the pass last; not together with `policy`.
        heat_limit: probability, or share of visits, at which a point is darkest; None: the
            largest on this board. Give the same to boards that are to be compared.
        ownership: [P] from -1, surely white's, to +1, surely black's.
        title: above the board.
        coordinates: letters and numbers beside the board, as in GTP.

    Raises:
        ValueError: for sizes that do not fit together, and values that mean nothing.
    """

    stones: ArrayLike
    last_move: int | None = None
    next_moves: Sequence[int] = ()
    numbers: Mapping[int, int] = field(default_factory=dict)
    letters: Mapping[int, str] = field(default_factory=dict)
    winner: int | None = None
    policy: ArrayLike | None = None
    visits: ArrayLike | None = None
    heat_limit: float | None = None
    ownership: ArrayLike | None = None
    title: str = ""
    coordinates: bool = True

    def __post_init__(self) -> None:
        for name in ("stones", "policy", "visits", "ownership"):
            object.__setattr__(self, name, _array(getattr(self, name)))
        _check(self)

    @staticmethod
    def of(state: State, index: int = 0, **marks: Any) -> "Board":
        """Board `index` of these games with its last move; `marks` are attributes of `Board`."""
        marks.setdefault("last_move", int(state.recent[index, 0]))
        return Board(state.stones[index], **marks)

    @property
    def size(self) -> int:
        return math.isqrt(len(self.stones))

    @property
    def pass_move(self) -> int:
        return len(self.stones)

    @property
    def shows_pass(self) -> bool:
        """Whether something is marked beside the board."""
        heat = self.policy is not None or self.visits is not None
        return heat or self.pass_move == self.last_move or self.pass_move in self.next_moves

    @property
    def description(self) -> str:
        """What a screen reader says."""
        black, white = (int((self.stones == color).sum()) for color in (BLACK, WHITE))
        words = f"{self.title}: " if self.title else ""
        words += f"{self.size}x{self.size} Go board, {black} black and {white} white stones"
        if self.last_move is not None and self.last_move >= 0:
            words += f", last move {vertex_of(self.last_move, self.size)}"
        if len(self.next_moves):
            words += ", next " + " ".join(vertex_of(int(m), self.size) for m in self.next_moves)
        return words if self.winner is None else f"{words}, {NAMES[self.winner]} won"


def board_svg(board: Board, width: float = 340.0) -> str:
    """The board as SVG text, `width` pixels wide."""
    return svg_text(board_shapes(board), extent_of(board), width, board.description)


def row_svg(boards: Sequence[Board], width: float = 960.0) -> str:
    """Boards side by side as one SVG text, their lines of equal distance, `width` pixels wide.

    Raises:
        ValueError: for no board.
    """
    if not boards:
        raise ValueError("a row needs at least one board, got none")
    extents = [extent_of(board) for board in boards]
    top = min(extent.y for extent in extents)
    bottom = max(extent.y + extent.height for extent in extents)
    shapes: list[Shape] = []
    right = 0.0
    for board, extent in zip(boards, extents, strict=True):
        shapes += [shape.moved(right - extent.x, 0.0) for shape in board_shapes(board)]
        right += extent.width + _GAP
    box = Box(0.0, top, right - _GAP, bottom - top, PALETTE["paper"])
    shapes.insert(0, box)
    return svg_text(shapes, box, width, "; ".join(board.description for board in boards))


def draw_board(ax: Axes, board: Board) -> None:
    """The board on matplotlib's axes, which it fills; its title is drawn inside them."""
    draw_shapes(ax, board_shapes(board), extent_of(board))


def star_points(size: int) -> list[tuple[int, int]]:
    """Rows and columns of the dots that boards of this size have by custom."""
    edge = 3 if size >= 13 else 2
    middle = [size // 2] if size % 2 else []
    if size < 7:
        return [(size // 2, size // 2)] if size == 5 else []
    ends = (edge, size - 1 - edge)
    corners = [(row, column) for row in ends for column in ends]
    if size >= 15 and middle:
        corners += [(row, middle[0]) for row in ends]
        corners += [(middle[0], column) for column in ends]
    return corners + [(center, center) for center in middle]


def extent_of(board: Board) -> Box:
    """The part of the plane that its picture takes, with the paper around it."""
    labels = _LABELS if board.coordinates else 0.0
    outside = EDGE + FRAME + 0.08
    left, top = -outside - labels, -outside - (_TITLE if board.title else 0.0)
    right = board.size - 1 + outside + (_PASS if board.shows_pass else 0.0)
    bottom = board.size - 1 + outside + labels
    return Box(left, top, right - left, bottom - top)


def board_shapes(board: Board) -> list[Shape]:
    """Everything on the picture of a board, in the order of drawing."""
    extent = extent_of(board)
    paper = Box(extent.x, extent.y, extent.width, extent.height, PALETTE["paper"])
    shapes: list[Shape] = [paper, *_wood(board), *_heat_boxes(board)]
    shapes += _stones(board)
    shapes += _ownership(board)
    shapes += _heat_words(board)
    shapes += _last_move(board)
    shapes += _labels_on_points(board)
    shapes += _next_moves(board)
    return shapes


def _wood(board: Board) -> list[Shape]:
    size, wide = board.size, board.size - 1 + 2 * EDGE
    shapes: list[Shape] = []
    if board.winner is not None:
        color = {BLACK: "black stone", WHITE: "white stone", 0: "reference"}[board.winner]
        out = wide + 2 * FRAME
        corner = -EDGE - FRAME
        rim = PALETTE["stone rim"]
        shapes.append(Box(corner, corner, out, out, PALETTE[color], rim, _LINE))
    shapes.append(
        Box(-EDGE, -EDGE, wide, wide, PALETTE["board wood"], PALETTE["board line"], _LINE)
    )
    long, thin, ink = size - 1 + _LINE, _LINE, PALETTE["board line"]
    for line in range(size):
        shapes.append(Box(-thin / 2, line - thin / 2, long, thin, ink))
        shapes.append(Box(line - thin / 2, -thin / 2, thin, long, ink))
    shapes += [Circle(column, row, 0.1, ink) for row, column in star_points(size)]
    if board.coordinates:
        shapes += _coordinates(size)
    if board.title:
        y = -EDGE - FRAME - 0.58
        letter = min(0.62, wide / (0.75 * len(board.title)))  # a long title gets smaller
        shapes.append(Words(-EDGE, y, board.title, letter, anchor="start", bold=True))
    return shapes


def _coordinates(size: int) -> list[Shape]:
    ink, beside = PALETTE["muted"], EDGE + FRAME + 0.44
    shapes: list[Shape] = []
    for index in range(size):
        shapes.append(Words(-beside, index, str(size - index), 0.46, ink))
        shapes.append(Words(index, size - 1 + beside, COLUMNS[index], 0.46, ink))
    return shapes


def _stones(board: Board) -> list[Shape]:
    rim = PALETTE["stone rim"]
    return [
        Circle(*_place(board, point), _STONE, _stone_color(color), rim, 0.04)
        for point, color in enumerate(board.stones)
        if color
    ]


def _heat_boxes(board: Board) -> list[Shape]:
    shapes: list[Shape] = []
    for move, strength, _ in _heat(board):
        x, y = _place(board, move)
        ground = PALETTE["paper" if move == board.pass_move else "board wood"]
        shapes.append(Box(x - 0.46, y - 0.46, 0.92, 0.92, ground))  # no line crosses the number
        shapes.append(Box(x - 0.46, y - 0.46, 0.92, 0.92, PALETTE["ours"], opacity=strength))
    return shapes


def _heat_words(board: Board) -> list[Shape]:
    shapes: list[Shape] = []
    for move, strength, words in _heat(board):
        if not words or (move < len(board.stones) and board.stones[move]):
            continue
        ink = PALETTE["paper"] if strength > 0.55 else PALETTE["text"]
        size = min(0.4, 1.25 / len(words))
        shapes.append(Words(*_place(board, move), words, size, ink, bold=True))
    if board.shows_pass:
        x, y = _place(board, board.pass_move)
        shapes.append(Words(x, y - 0.8, "pass", 0.42, PALETTE["muted"]))
        shapes.append(Box(x - 0.5, y - 0.5, 1.0, 1.0, "none", PALETTE["muted"], _LINE))
    return shapes


def _heat(board: Board) -> list[tuple[int, float, str]]:
    """Move, opacity and words of each point that a heat map marks."""
    heat = board.policy if board.policy is not None else board.visits
    if heat is None or heat.sum() == 0:
        return []
    shares = heat / heat.sum() if board.policy is None else heat
    limit = board.heat_limit or shares.max()
    found = []
    for move in np.flatnonzero(shares >= _LEAST_SHADE * limit):
        strength = 0.12 + 0.83 * min(float(shares[move] / limit), 1.0)
        words = f"{heat[move]:.0f}"
        if board.policy is not None:
            percent = 100 * float(shares[move])
            words = f"{max(percent, 1.0):.0f}" if percent >= _LEAST_PERCENT else ""
        found.append((int(move), strength, words))
    return found


def _ownership(board: Board) -> list[Shape]:
    """Squares in the owner's color, as wide as the owner is sure."""
    if board.ownership is None:
        return []
    shapes: list[Shape] = []
    for point, owner in enumerate(board.ownership):
        half = 0.25 * abs(float(owner))
        if half < 0.02:
            continue
        x, y = _place(board, point)
        color = _stone_color(BLACK if owner > 0 else WHITE)
        rim = PALETTE["reference"]
        shapes.append(Box(x - half, y - half, 2 * half, 2 * half, color, rim, 0.03))
    return shapes


def _last_move(board: Board) -> list[Shape]:
    move = board.last_move
    if move is None or move < 0 or move in board.numbers or move in board.letters:
        return []
    x, y = _place(board, move)
    return [Circle(x, y, 0.24, "none", _ink_on(board, move), 0.08)]


def _labels_on_points(board: Board) -> list[Shape]:
    shapes: list[Shape] = []
    for point, label in [*board.numbers.items(), *board.letters.items()]:
        x, y = _place(board, point)
        if not board.stones[point]:  # the lines would cross it
            shapes.append(Circle(x, y, 0.36, PALETTE["board wood"]))
        words = str(label)
        size = {1: 0.56, 2: 0.48}.get(len(words), 1.15 / max(len(words), 1))
        shapes.append(Words(x, y, words, size, _ink_on(board, point), bold=True))
    return shapes


def _next_moves(board: Board) -> list[Shape]:
    if len(board.next_moves) == 1:
        x, y = _place(board, int(board.next_moves[0]))
        return [Circle(x, y, 0.27, PALETTE["next move"], PALETTE["paper"], 0.06)]
    shapes: list[Shape] = []
    moves = [int(move) for move in board.next_moves]
    for move in dict.fromkeys(moves):  # a point that is played again shows its first number
        x, y = _place(board, move)
        order = str(moves.index(move) + 1)
        shapes.append(Circle(x, y, 0.36, PALETTE["paper"], PALETTE["next move"], 0.11))
        shapes.append(Words(x, y, order, 0.46 if len(order) == 1 else 0.36, bold=True))
    return shapes


def _place(board: Board, move: int) -> tuple[float, float]:
    """x and y of a point, or of the pass beside the board."""
    if move == board.pass_move:
        return board.size - 1 + EDGE + FRAME + 0.85, (board.size - 1) / 2
    row, column = divmod(move, board.size)
    return float(column), float(row)


def _stone_color(color: int) -> str:
    return PALETTE["black stone" if color == BLACK else "white stone"]


def _ink_on(board: Board, move: int) -> str:
    """Readable on what lies on this point."""
    black = move < board.pass_move and board.stones[move] == BLACK
    return PALETTE["white stone" if black else "black stone"]


def _array(values: ArrayLike | Tensor | None) -> NDArray | None:
    if isinstance(values, Tensor):
        return values.detach().cpu().numpy()
    return None if values is None else np.asarray(values)


def _check(board: Board) -> None:
    _check_stones(board.stones)
    points, name = len(board.stones), f"{board.size}x{board.size} board"
    for what, length in (("policy", points + 1), ("visits", points + 1), ("ownership", points)):
        values = getattr(board, what)
        if values is None:
            continue
        if values.shape != (length,):
            raise ValueError(f"{what} of a {name} has shape ({length},), got {values.shape}")
        lowest = -1.0 if what == "ownership" else 0.0
        highest = math.inf if what == "visits" else 1.0
        inside = (values >= lowest - 1e-5) & (values <= highest + 1e-5)
        if not (np.isfinite(values) & inside).all():
            raise ValueError(f"{what} must lie in [{lowest:g}, {highest:g}] everywhere")
    if board.policy is not None and board.visits is not None:
        raise ValueError("policy and visits are printed on the same points: give one of them")
    if board.winner not in (None, BLACK, WHITE, 0):
        raise ValueError(f"winner must be +1, -1, 0 or None, got {board.winner}")
    if board.heat_limit is not None and not 0.0 < board.heat_limit <= 1.0:
        raise ValueError(f"heat_limit must lie in (0, 1], got {board.heat_limit}")
    for point in [*board.numbers, *board.letters]:
        if not 0 <= point < points:
            raise ValueError(f"{point} is no point of a {name}: 0 to {points - 1}")
    last = [] if board.last_move is None or board.last_move < 0 else [board.last_move]
    for move in [*board.next_moves, *last]:
        vertex_of(int(move), board.size)


def _check_stones(stones: NDArray) -> None:
    size = math.isqrt(stones.size)
    if stones.ndim != 1 or size**2 != stones.size or not 2 <= size <= MAX_SIZE:
        raise ValueError(
            f"stones must have shape (size^2,) with size in [2, {MAX_SIZE}], got {stones.shape}"
        )
    strange = stones[~np.isin(stones, (BLACK, 0, WHITE))]
    if len(strange):
        raise ValueError(f"stones are +1, -1 or 0, got {strange[0]}")
