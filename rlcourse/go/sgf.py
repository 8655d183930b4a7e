"""Games in the Smart Game Format: written for people, and read from any archive.

What cannot be used is not guessed at: `import_archive` counts each game that it leaves out under
its reason. The format itself is read and written by sgfmill.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from sgfmill import sgf

from rlcourse.go.board import Go
from rlcourse.go.notation import result_text, sgf_of
from rlcourse.go.records import Game, GameFile
from rlcourse.go.rules import BLACK, Rules

_RESULT = re.compile(r"([BW])\+(R|Resign|\d+(?:\.\d+)?)", re.IGNORECASE)
_UNKNOWN_MARGIN = 0.5  # of a resignation: only its sign counts


class RejectedGameError(ValueError):
    """A game that cannot be used. `reason` is a short phrase, the same for all of its kind."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


@dataclass
class Report:
    """What became of an archive."""

    num_kept: int = 0
    rejected: Counter = field(default_factory=Counter)  # reason -> number of games
    examples: dict[str, str] = field(default_factory=dict)  # reason -> the first one, in words

    def __str__(self) -> str:
        lines = [f"{self.num_kept} games kept, {sum(self.rejected.values())} left out"]
        for reason, number in self.rejected.most_common():
            lines.append(f"  {number} {reason} (first: {self.examples[reason]})")
        return "\n".join(lines)


def to_sgf(
    game: Game, size: int, komi: float, black: str = "", white: str = "", *, finished: bool = True
) -> bytes:
    """A game as a file that any Go program opens; without a result if it is not finished.

    Raises:
        ValueError: for a move off the board.
    """
    tree = sgf.Sgf_game(size=size)
    root = tree.get_root()
    root.set("KM", komi)
    if finished:
        root.set("RE", result_text(game.margin, game.resigned))
    for name, player in (("PB", black), ("PW", white)):
        if player:
            root.set(name, player)
    for number, move in enumerate(game.moves):
        color = "w" if number % 2 else "b"
        tree.extend_main_sequence().set_raw(color.upper(), sgf_of(move, size).encode())
    return tree.serialise()


def read_sgf(content: bytes, rules: Rules, number: int) -> Game:
    """The main line of a file, checked move by move against the rules.

    Args:
        content: of the file.
        rules: size, komi and ko rule that the game must keep to.
        number: what to call the game.

    Raises:
        RejectedGameError: the game cannot be used; its `reason` is one of a few phrases.
    """
    try:
        tree = sgf.Sgf_game.from_bytes(content)
    except ValueError as error:
        raise RejectedGameError("not readable as SGF", str(error)) from error
    if tree.get_size() != rules.size:
        raise RejectedGameError("another board size", f"{tree.get_size()}")
    root = tree.get_root()
    handicap = root.has_property("HA") and root.get_raw("HA").strip() != b"0"  # as some write none
    if handicap or any(root.has_property(name) for name in ("AB", "AW", "AE")):
        raise RejectedGameError("handicap or stones set up")
    if tree.get_komi() != rules.komi:
        raise RejectedGameError("another komi", f"{tree.get_komi():g}")
    if any(len(node) > 1 for node in tree.get_main_sequence()):
        raise RejectedGameError("variations")
    moves = _moves(tree, rules)
    margin, resigned = _result(root)
    _replay(moves, rules)
    return Game(number, moves, margin, resigned)


def import_archive(paths: Iterable[Path], file: GameFile, rules: Rules) -> Report:
    """Adds the games of SGF files to `file`, numbered on from the largest number there.

    Games that are there already, move by move, are left out too.

    Raises:
        ValueError: the file is of another size or komi than the rules.
    """
    if (file.size, file.komi) != (rules.size, rules.komi):
        raise ValueError(
            f"{file.path} holds games of size {file.size} and komi {file.komi:g}, the rules say "
            f"{rules.size} and {rules.komi:g}: make another file"
        )
    report, kept = Report(), []
    known = {game.moves for game in file}
    following = max(file.numbers(), default=-1) + 1
    for path in paths:
        try:
            game = read_sgf(path.read_bytes(), rules, following + len(kept))
            if game.moves in known:
                raise RejectedGameError("a game that is there already")
        except RejectedGameError as error:
            report.rejected[error.reason] += 1
            report.examples.setdefault(error.reason, f"{path.name}, {error}")
            continue
        known.add(game.moves)
        kept.append(game)
    file.append(kept)
    report.num_kept = len(kept)
    return report


def _moves(tree: sgf.Sgf_game, rules: Rules) -> tuple[int, ...]:
    moves, expected = [], "b"
    for node in tree.get_main_sequence()[1:]:
        try:
            color, point = node.get_move()
        except ValueError as error:
            raise RejectedGameError("a bad coordinate", str(error)) from error
        if color is None:
            continue  # a comment
        if color != expected:
            raise RejectedGameError("the wrong color to move", f"move {len(moves) + 1}")
        expected = "w" if expected == "b" else "b"
        row_column = None if point is None else (rules.size - 1 - point[0], point[1])
        moves.append(
            rules.num_points if row_column is None else row_column[0] * rules.size + row_column[1]
        )
    if not moves:
        raise RejectedGameError("no moves")
    return tuple(moves)


def _result(root: sgf.Tree_node) -> tuple[float, bool]:
    text = root.get("RE").strip() if root.has_property("RE") else ""
    if text.lower() in ("0", "draw", "jigo"):
        return 0.0, False
    found = _RESULT.fullmatch(text)
    if not found:
        raise RejectedGameError("no result", repr(text))
    sign = 1.0 if found[1].upper() == "B" else -1.0
    if found[2][0].upper() == "R":
        return sign * _UNKNOWN_MARGIN, True
    return sign * float(found[2]), False


def _replay(moves: tuple[int, ...], rules: Rules) -> None:
    go = Go(rules)
    state = go.new(1)
    for number, move in enumerate(moves, 1):
        if not bool(state.legal[0, move]):
            over = bool(go.is_over(state))
            why = "moves after the end" if over else "an illegal move"
            color = "black" if int(state.to_play) == BLACK else "white"
            raise RejectedGameError(why, f"move {number}, {color}")
        go.step_(state, torch.tensor([move]))
