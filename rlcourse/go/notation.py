"""Moves as people and engines write them.

A move is a number here: row * size + column with rows from the top, and size^2 for a pass. GTP
counts rows from the bottom and leaves out the letter I; SGF counts both from the top left.
"""

from collections.abc import Sequence

RESIGN = -1  # what a player answers instead of a move
COLUMNS = "ABCDEFGHJKLMNOPQRSTUVWXYZ"  # GTP's, without I


def vertex_of(move: int, size: int) -> str:
    """GTP's name of a move: "A9" for the top left corner of 9x9, or "pass".

    Raises:
        ValueError: for a number that is no move on this board.
    """
    _check_move(move, size)
    if move == size**2:
        return "pass"
    row, column = divmod(move, size)
    return f"{COLUMNS[column]}{size - row}"


def move_of(vertex: str, size: int) -> int:
    """The move that GTP calls `vertex`, in either case.

    Raises:
        ValueError: for anything but a point of the board or "pass".
    """
    name = vertex.strip().upper()
    if name == "PASS":
        return size**2
    letters, number = name[:1], name[1:]
    known = letters and letters in COLUMNS[:size] and number.isascii() and number.isdecimal()
    if not known or not 1 <= int(number) <= size:
        last = f"{COLUMNS[size - 1]}{size}"
        raise ValueError(f"{vertex!r} is no point of a {size}x{size} board, from A1 to {last}")
    return (size - int(number)) * size + COLUMNS.index(letters)


def sgf_of(move: int, size: int) -> str:
    """SGF's name of a move: "aa" for the top left corner, and an empty string for a pass.

    Raises:
        ValueError: for a number that is no move on this board.
    """
    _check_move(move, size)
    if move == size**2:
        return ""
    row, column = divmod(move, size)
    return chr(ord("a") + column) + chr(ord("a") + row)


def result_text(margin: float, resigned: bool = False) -> str:
    """A result as SGF and GTP write it: "B+3.5", "W+R" after resignation, or "0".

    Args:
        margin: points of black minus those of white; only its sign counts after a resignation.
        resigned: the loser gave up.
    """
    if margin == 0.0:
        return "0"
    winner = "B" if margin > 0 else "W"
    return f"{winner}+R" if resigned else f"{winner}+{abs(margin):g}"


def board_text(stones: Sequence[int], size: int, last_move: int | None = None) -> str:
    """A board for people: X black, O white, GTP's coordinates around it.

    Args:
        stones: of the points, in rows from the top: 1 black, -1 white, 0 empty.
        size: of the board.
        last_move: a point to put in brackets; a pass, or None, marks nothing.
    """
    letters = "   " + " ".join(COLUMNS[:size])
    rows = []
    for row in range(size):
        line = f"{size - row:2} " + " ".join(
            ".XO"[stone] for stone in stones[row * size : (row + 1) * size]
        )
        if last_move is not None and last_move // size == row:
            place = 3 + 2 * (last_move % size)
            line = f"{line[: place - 1]}({line[place]}){line[place + 2 :]}"
        rows.append(line)
    return "\n".join([letters, *rows, letters])


def _check_move(move: int, size: int) -> None:
    if not 0 <= move <= size**2:
        raise ValueError(f"{move} is no move on a {size}x{size} board: 0 to {size**2}, the pass")
