"""A game of Go in the terminal: the board as text, moves typed as GTP writes them."""

from collections.abc import Callable
from pathlib import Path
from typing import IO, Protocol

import torch

from rlcourse.data.files import write_whole
from rlcourse.go.board import Go, State
from rlcourse.go.gtp import EngineError
from rlcourse.go.notation import RESIGN, board_text, move_of, result_text, vertex_of
from rlcourse.go.records import Game
from rlcourse.go.rules import BLACK, Rules
from rlcourse.go.sgf import to_sgf

HELP = """\
a move is a point such as D4, or:
  pass        two passes in a row end the game
  undo        take back your last move and the answer to it
  resign      give up
  board       draw the board again
  save FILE   write the game as SGF; game.sgf if you name no file
  help        this text
  quit        leave
X is black, O is white; the last move stands in brackets. The score is counted by area, and all
stones on the board count as alive: capture dead ones before you pass."""


class Opponent(Protocol):
    """Who plays against the person; an `Engine` and an `arena.Local` are some."""

    name: str

    def new_game(self, seed: int | None = None) -> None: ...

    def play(self, color: int, move: int) -> None: ...

    def genmove(self, color: int) -> int: ...


class Terminal:
    """A game between a person and an opponent.

    Args:
        opponent: made for the same rules.
        rules: of the game.
        color: of the person, +1 black or -1 white.
        source: gives lines, as stdin does.
        sink: is written to, as stdout is.
        seed: of the opponent.
    """

    def __init__(
        self,
        opponent: Opponent,
        rules: Rules,
        color: int,
        source: IO[str],
        sink: IO[str],
        seed: int = 0,
    ) -> None:
        self._opponent, self._go, self._color, self._seed = opponent, Go(rules), color, seed
        self._source, self._sink = source, sink
        self._states: list[State] = [self._go.new(1)]
        self._moves: list[int] = []
        self._resigned: int | None = None  # the color that gave up
        self._failure: EngineError | None = None  # of the opponent
        self._commands: dict[str, Callable[..., None]] = {
            "undo": self._undo,
            "resign": lambda: self._resign(self._color),
            "board": self._draw,
            "save": self._save,
            "help": lambda: self._say(HELP),
        }

    def run(self) -> Game | None:
        """Plays until the person leaves. Returns the game, or None if it did not end.

        Where the opponent fails, the person is told and may save what was played.

        Raises:
            EngineError: the opponent failed, and the person left a game that did not end.
            ValueError: the opponent made an illegal move.
        """
        self._opponent.new_game(self._seed)
        you = f"{_name(self._color)} ({_letter(self._color)})"
        self._say(f"You are {you} against {self._opponent.name}. Type help for help.")
        self._guarded(self._begin)
        while True:
            stopped = self._is_over or self._failure is not None
            self._write("> " if stopped else f"{_letter(self._color)} > ")
            line = self._source.readline()
            words = line.split()
            if not line or line.strip().lower() in ("quit", "exit"):
                return self._left()
            if words:
                self._guarded(self._obey, *words)

    @property
    def _state(self) -> State:
        return self._states[-1]

    @property
    def _is_over(self) -> bool:
        return self._resigned is not None or bool(self._go.is_over(self._state))

    def _begin(self) -> None:
        self._let_opponent_move()
        self._draw()

    def _left(self) -> Game | None:
        if self._failure is not None and not self._is_over:
            raise self._failure
        return self._game() if self._is_over else None

    def _guarded(self, action: Callable[..., None], *words: str) -> None:
        """Does it; a failure of the opponent ends the play and not the session."""
        try:
            action(*words)
        except EngineError as error:
            self._failure = error
            self._say(f"{error}\n{self._opponent.name} cannot go on: save FILE, or quit.")

    def _obey(self, word: str, *rest: str) -> None:
        command = self._commands.get(word.lower())
        if command is None:
            self._move(" ".join([word, *rest]))
        elif rest and command != self._save:
            self._say(f"{word} takes nothing after it.")
        else:
            command(*rest)

    def _move(self, text: str) -> None:
        if self._is_over:
            self._say("The game is over: save FILE, undo, or quit.")
            return
        if self._failure is not None:
            self._say(f"{self._opponent.name} cannot go on: save FILE, or quit.")
            return
        try:
            move = move_of(text, self._go.rules.size)
        except ValueError as error:
            self._say(f"{error}. Type help for what you can say.")
            return
        if not bool(self._state.legal[0, move]):
            self._say(self._why_illegal(move))
            return
        self._push(move)  # first, so that it can be saved if the opponent fails
        self._opponent.play(self._color, move)
        self._let_opponent_move()
        self._draw()

    def _why_illegal(self, move: int) -> str:
        point = vertex_of(move, self._go.rules.size)
        if int(self._state.stones[0, move]):
            return f"There is a stone on {point} already."
        return f"{point} is illegal: it repeats a position, or takes its own last liberty."

    def _let_opponent_move(self) -> None:
        if self._is_over or int(self._state.to_play) == self._color:
            return
        move = self._opponent.genmove(-self._color)
        if move == RESIGN:
            self._resign(-self._color)
            return
        if not 0 <= move <= self._go.rules.num_points or not bool(self._state.legal[0, move]):
            raise ValueError(f"{self._opponent.name} played the illegal move {move}")
        self._push(move)
        self._say(f"{self._opponent.name} plays {vertex_of(move, self._go.rules.size)}.")

    def _push(self, move: int) -> None:
        state = self._state.clone()
        self._go.step_(state, torch.tensor([move]))
        self._states.append(state)
        self._moves.append(move)

    def _resign(self, color: int) -> None:
        if self._is_over:
            self._say("The game is over: save FILE, undo, or quit.")
            return
        self._resigned = color
        self._say(f"{_name(color).capitalize()} resigns: {self._result()}.")

    def _undo(self) -> None:
        """Back to the person's last turn; only a resignation is taken back alone."""
        if self._failure is not None:
            self._say(f"{self._opponent.name} cannot go on: save FILE, or quit.")
            return
        if self._resigned is not None and int(self._state.to_play) == self._color:
            self._resigned = None
            self._draw()
            return
        mine = [n for n, state in enumerate(self._states[:-1]) if int(state.to_play) == self._color]
        if not mine:
            self._say("There is nothing to take back.")
            return
        self._resigned, keep = None, mine[-1]
        del self._states[keep + 1 :], self._moves[keep:]
        self._opponent.new_game(self._seed)
        for number, move in enumerate(self._moves):
            self._opponent.play(BLACK if number % 2 == 0 else -BLACK, move)
        self._draw()

    def _draw(self) -> None:
        size = self._go.rules.size
        last = self._moves[-1] if self._moves else None
        self._say(board_text(self._state.stones[0].tolist(), size, last))
        if self._is_over:
            self._say(f"The game is over: {self._result()}. Type save FILE, undo or quit.")

    def _save(self, *words: str) -> None:
        path = Path(" ".join(words) or "game.sgf")
        if not self._is_over and self._failure is None:
            self._say("The game has not ended: play on, or resign, and save it then.")
            return
        game, rules = self._game(), self._go.rules
        players = {self._color: "you", -self._color: self._opponent.name}
        names = players[BLACK], players[-BLACK]
        content = to_sgf(game, rules.size, rules.komi, *names, finished=self._is_over)
        try:
            write_whole(path, content)
        except OSError as error:
            self._say(f"{path} cannot be written: {error.strerror}. Name another file.")
            return
        self._say(f"Saved as {path}.")

    def _game(self) -> Game:
        if self._resigned is not None:
            return Game(0, tuple(self._moves), -0.5 * self._resigned, resigned=True)
        return Game(0, tuple(self._moves), float(self._go.score(self._state)))

    def _result(self) -> str:
        game = self._game()
        if game.margin == 0.0:
            return "a draw"
        winner = BLACK if game.margin > 0 else -BLACK
        whose = "you win" if winner == self._color else f"{self._opponent.name} wins"
        return f"{whose}, {result_text(game.margin, game.resigned)}"

    def _say(self, text: str) -> None:
        self._write(text + "\n")

    def _write(self, text: str) -> None:
        self._sink.write(text)
        self._sink.flush()


def _name(color: int) -> str:
    return "black" if color == BLACK else "white"


def _letter(color: int) -> str:
    return "X" if color == BLACK else "O"
