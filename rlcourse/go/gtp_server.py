"""A GTP server: any player of ours in Sabaki, GoGui or against another engine.

Source: Farnebaeck, "GTP Version 2" (draft 2, 2002): all required commands, and of the others those
that referees and boards use. Not there: handicap, whose commands are answered as unknown.

    python -m rlcourse gtp agent:FOLDER     # any player of ours
    python -m rlcourse.go.gtp_server        # plays legal moves at random, to try a set-up

Deviations: a color that moves out of turn makes the other one pass; after two passes, or 6 size^2
moves, the board has to be cleared, or moves undone, before anybody can move. Time is not kept.
"""

import inspect
import os
import sys
from collections.abc import Callable
from typing import IO

import torch

from rlcourse.go.board import Go, Player, State
from rlcourse.go.notation import RESIGN, board_text, move_of, result_text, vertex_of
from rlcourse.go.rules import BLACK, WHITE, Rules

_COLORS = {"b": BLACK, "black": BLACK, "w": WHITE, "white": WHITE}


class RefusedError(Exception):
    """A command that GTP answers with "?" and this text."""


def random_player(seed: int = 0) -> Player:
    """Legal moves at random; passes only when nothing else is legal, or after the other's pass."""
    generator = torch.Generator().manual_seed(seed)

    def play(go: Go, state: State) -> int:
        places = state.legal[0, :-1].float()
        if int(state.num_passes) == 1 or not bool(places.any()):
            return go.rules.num_points
        return int(torch.multinomial(places, 1, generator=generator))

    return play


class GtpServer:
    """One game over GTP.

    Args:
        player: chooses moves for `genmove`.
        rules: of the first game, 9x9 if None; size and komi may be changed by commands.
        name, version: what the server calls itself.
    """

    def __init__(
        self,
        player: Player,
        rules: Rules | None = None,
        name: str = "rlcourse",
        version: str = "1",
    ) -> None:
        self._player, self._words = player, {"name": name, "version": version}
        self._set_rules(rules or Rules())
        self._commands: dict[str, Callable[..., str]] = {
            "protocol_version": lambda: "2",
            "name": lambda: self._words["name"],
            "version": lambda: self._words["version"],
            "known_command": lambda command: str(command in self._commands).lower(),
            "list_commands": lambda: "\n".join(self._commands),
            "quit": lambda: "",
            "boardsize": self._boardsize,
            "clear_board": self._clear_board,
            "komi": self._komi,
            "play": self._play,
            "genmove": self._genmove,
            "reg_genmove": self._reg_genmove,
            "undo": self._undo,
            "showboard": self._showboard,
            "final_score": self._final_score,
            "final_status_list": self._final_status_list,
            "time_settings": self._time_settings,
            "time_left": self._time_left,
        }

    def answer(self, line: str) -> str | None:
        """The answer to a line of input, with its empty line; None if that holds no command."""
        words = "".join(c for c in line.split("#")[0] if c.isprintable() or c == "\t").split()
        number = words.pop(0) if words and words[0].isdecimal() else ""
        if not words:
            return None
        name, *arguments = words
        try:
            if name not in self._commands:
                raise RefusedError("unknown command")
            command = self._commands[name]
            try:
                inspect.signature(command).bind(*arguments)
            except TypeError:
                raise RefusedError("syntax error") from None
            sign, said = "=", command(*arguments)
        except RefusedError as refused:
            sign, said = "?", str(refused)
        return f"{sign}{number} {said}".rstrip() + "\n\n"

    def serve(self, source: IO[str], sink: IO[str]) -> None:
        """Answers lines until `quit`, the end of the input, or nobody reads the answers."""
        for line in source:
            answer = self.answer(line)
            if answer is not None:
                try:
                    sink.write(answer)
                    sink.flush()
                except BrokenPipeError:
                    return
            if line.split("#")[0].split()[-1:] == ["quit"]:
                return

    def _set_rules(self, rules: Rules) -> None:
        self._go = Go(rules)
        self._states = [self._go.new(1)]

    @property
    def _state(self) -> State:
        return self._states[-1]

    def _boardsize(self, size: str) -> str:
        rules = self._go.rules
        try:
            self._set_rules(Rules(int(size), rules.komi, rules.superko, 6 * int(size) ** 2))
        except ValueError:
            raise RefusedError("unacceptable size") from None
        return ""

    def _clear_board(self) -> str:
        self._states = [self._go.new(1)]
        return ""

    def _komi(self, komi: str) -> str:
        rules = self._go.rules
        try:
            self._go = Go(Rules(rules.size, float(komi), rules.superko, rules.max_moves))
        except ValueError:
            raise RefusedError("syntax error") from None
        return ""

    def _play(self, color: str, vertex: str) -> str:
        try:
            move = move_of(vertex, self._go.rules.size)
        except ValueError:
            raise RefusedError("invalid color or coordinate") from None
        state = self._turn_of(color)
        if not bool(state.legal[0, move]):
            raise RefusedError("illegal move")
        self._push(state, move)
        return ""

    def _genmove(self, color: str) -> str:
        state = self._turn_of(color)
        move = self._choose(state)
        if move == RESIGN:
            return "resign"
        self._push(state, move)
        return vertex_of(move, self._go.rules.size)

    def _reg_genmove(self, color: str) -> str:
        move = self._choose(self._turn_of(color))
        return "resign" if move == RESIGN else vertex_of(move, self._go.rules.size)

    def _choose(self, state: State) -> int:
        if bool(self._go.is_over(state)):
            return self._go.rules.num_points
        try:
            return self._player(self._go, state.clone())
        except ValueError as error:  # such as an agent whose database is of another komi
            raise RefusedError(" ".join(str(error).split())) from error

    def _push(self, state: State, move: int) -> None:
        if not bool(self._go.is_over(state)):
            self._go.step_(state, torch.tensor([move]))
        self._states.append(state)

    def _turn_of(self, color: str) -> State:
        """A copy of the position, with this color to play."""
        wanted = _COLORS.get(color.lower())
        if wanted is None:
            raise RefusedError("invalid color or coordinate")
        state = self._state.clone()
        if int(state.to_play) != wanted and not bool(self._go.is_over(state)):
            passes = int(state.num_passes)
            state.num_passes.zero_()
            self._go.step_(state, torch.tensor([self._go.rules.num_points]))
            state.num_passes.fill_(passes)  # the pass was nobody's decision
        return state

    def _undo(self) -> str:
        if len(self._states) == 1:
            raise RefusedError("cannot undo")
        self._states.pop()
        return ""

    def _time_settings(self, main: str, overtime: str, stones: str) -> str:
        _check_counts(main, overtime, stones)
        return ""  # our players take the time they take

    def _time_left(self, color: str, seconds: str, stones: str) -> str:
        if color.lower() not in _COLORS:
            raise RefusedError("invalid color or coordinate")
        _check_counts(seconds, stones)
        return ""

    def _showboard(self) -> str:
        return "\n" + board_text(self._state.stones[0].tolist(), self._go.rules.size)

    def _final_score(self) -> str:
        return result_text(float(self._go.score(self._state)))

    def _final_status_list(self, status: str) -> str:
        """All stones are alive: players take dead ones before they pass."""
        if status not in ("alive", "dead", "seki"):
            raise RefusedError("syntax error")
        if status != "alive":
            return ""
        points = self._state.stones[0].nonzero().squeeze(1).tolist()
        return "\n".join(vertex_of(point, self._go.rules.size) for point in points)


def _check_counts(*words: str) -> None:
    if not all(word.isdecimal() for word in words):
        raise RefusedError("syntax error")


def serve_terminal(server: GtpServer) -> None:
    """Answers stdin on stdout. Whoever started the program may leave at any moment."""
    server.serve(sys.stdin, sys.stdout)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes once more when it ends, and would report it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    serve_terminal(GtpServer(random_player()))
