"""A client of the Go Text Protocol: drives any engine that speaks it, from its command line.

Source: Farnebaeck, "GTP Version 2" (draft 2, 2002). A command is a line; an answer begins with "="
or, where the engine refuses, with "?", and ends with an empty line.

The engine is a program of its own. Whatever it does, a call here comes back: with its answer, or
with an `EngineError` that says which engine failed at which command.
"""

import queue
import shlex
import shutil
import subprocess
import threading
import time
from collections import deque
from collections.abc import Sequence
from types import TracebackType

from rlcourse.go.notation import RESIGN, move_of, vertex_of
from rlcourse.go.rules import BLACK, Rules

GNU_GO_PLACES = ("gnugo", "/usr/games/gnugo")  # Debian's folder of games is not on every PATH
_LAST_WORDS = 12  # lines of its error output that an error repeats


class EngineError(RuntimeError):
    """An engine is missing, died, took too long, refused a command, or answered nonsense."""


def gnu_go_command(level: int, rules: Rules, place: str | None = None) -> list[str]:
    """GNU Go that plays out its games: it takes dead stones before it passes, so that the area on
    the board is the score.

    Args:
        level: 1 to 10; higher is stronger and slower.
        rules: positional superko if `superko`, else GNU Go's simple ko.
        place: the program; None: where it is usually found.

    Raises:
        EngineError: GNU Go is not installed.
    """
    found = [shutil.which(name) for name in ((place,) if place else GNU_GO_PLACES)]
    programs = [name for name in found if name]
    if not programs:
        raise EngineError(
            "GNU Go is not installed: on Debian or Ubuntu, `apt-get install gnugo` mends it"
        )
    superko = ["--positional-superko"] if rules.superko else []
    return [
        programs[0], "--mode", "gtp", "--boardsize", str(rules.size), "--komi", str(rules.komi),
        "--chinese-rules", "--never-resign", "--capture-all-dead", "--level", str(level), *superko,
    ]  # fmt: skip


class Engine:
    """A running engine.

    Args:
        command: the program and its arguments; a string is split as a shell would.
        rules: size and komi are told to the engine.
        timeout: seconds that one command may take.
        name: for errors and records; None: the engine is asked.

    Raises:
        EngineError: the program is missing or does not speak GTP.
    """

    def __init__(
        self,
        command: str | Sequence[str],
        rules: Rules,
        timeout: float = 60.0,
        name: str | None = None,
    ) -> None:
        self.command = shlex.split(command) if isinstance(command, str) else list(command)
        self.rules, self.timeout = rules, timeout
        self.name = name or self.command[0]
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._errors: deque[str] = deque(maxlen=_LAST_WORDS)
        self._known: dict[str, bool] = {}  # which commands the engine says it has
        try:
            self._process = subprocess.Popen(
                self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, text=True, encoding="utf-8", errors="replace",
            )  # fmt: skip
        except OSError as error:
            raise EngineError(
                f"cannot start {self.command[0]!r}: {error.strerror}. Is it installed, and is its"
                " path right?"
            ) from error
        for stream, keep in ((self._process.stdout, self._lines.put), (self._process.stderr, None)):
            reader = threading.Thread(target=self._read, args=(stream, keep), daemon=True)
            reader.start()
        try:
            self.name = name or f"{self.send('name')} {self.send('version')}".strip()
            self.new_game()
        except EngineError:
            self.close()
            raise

    def send(self, command: str) -> str:
        """One command; returns the answer without its "=".

        Raises:
            EngineError: see the class. The engine cannot be used after it died or took too long.
        """
        try:
            self._process.stdin.write(command + "\n")
            self._process.stdin.flush()
        except (OSError, ValueError) as error:
            raise self._died(command) from error
        answer = self._answer(command)
        if answer.startswith("="):
            return answer[1:].strip()
        said = answer.removeprefix("?").strip() or "nothing"
        raise EngineError(f"{self.name} refused {command!r}: {said}")

    def new_game(self, seed: int | None = None, level: int | None = None) -> None:
        """Clears the board, and sets size and komi.

        A seed is for engines that know `set_random_seed`, as GNU Go does; others draw their own
        random numbers. A level is for GNU Go.
        """
        self.send(f"boardsize {self.rules.size}")
        self.send(f"komi {self.rules.komi:g}")
        self.send("clear_board")
        if seed is not None and self._knows("set_random_seed"):
            self.send(f"set_random_seed {seed}")
        if seed is not None and self._knows("clear_cache"):
            self.send("clear_cache")
        if level is not None:
            self.send(f"level {level}")

    def play(self, color: int, move: int) -> None:
        """Tells the engine of a move of `color`, +1 black or -1 white."""
        self.send(f"play {_letter(color)} {vertex_of(move, self.rules.size)}")

    def genmove(self, color: int) -> int:
        """The engine's move for `color`, which it also plays on its board; or `RESIGN`.

        Raises:
            EngineError: also for an answer that is no move. Whether the move is legal is for the
                caller's board to say.
        """
        command = f"genmove {_letter(color)}"
        answer = self.send(command)
        if answer.lower() == "resign":
            return RESIGN
        try:
            return move_of(answer, self.rules.size)
        except ValueError as error:
            raise EngineError(f"{self.name} answered {command!r}: {error}") from error

    def final_score(self) -> float:
        """Points of black minus those of white, as the engine counts them."""
        answer = self.send("final_score")
        try:
            if answer.startswith("0"):
                return 0.0
            return float(answer[2:]) * {"B+": 1.0, "W+": -1.0}[answer[:2].upper()]
        except (KeyError, ValueError) as error:
            raise EngineError(f"{self.name} gave the score {answer!r}") from error

    def close(self) -> None:
        """Ends the program, asking first."""
        if self._process.poll() is None:
            try:
                self._process.stdin.write("quit\n")
                self._process.stdin.close()
                self._process.wait(timeout=2.0)
            except (OSError, ValueError, subprocess.TimeoutExpired):
                self._process.kill()
                self._process.wait()

    def __enter__(self) -> "Engine":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _knows(self, command: str) -> bool:
        if command not in self._known:
            self._known[command] = self.send(f"known_command {command}").lower() == "true"
        return self._known[command]

    def _read(self, stream, keep) -> None:
        for line in stream:
            (keep or self._errors.append)(line.rstrip("\r\n"))
        if keep:
            keep(None)  # the engine has gone

    def _answer(self, command: str) -> str:
        """All lines up to the empty one that ends an answer."""
        lines: list[str] = []
        until = time.monotonic() + self.timeout
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                self._process.kill()
                raise EngineError(
                    f"{self.name} did not answer {command!r} within {self.timeout:g} seconds, and"
                    " was stopped: give it more time, or a lower level"
                ) from None
            if line is None:
                raise self._died(command)
            if line.strip():
                lines.append(line)
            elif lines:
                return "\n".join(lines)

    def _died(self, command: str) -> EngineError:
        status = self._process.wait()
        words = "\n".join(self._errors)
        return EngineError(
            f"{self.name} ended (status {status}) at {command!r}" + (f":\n{words}" if words else "")
        )


def _letter(color: int) -> str:
    return "b" if color == BLACK else "w"
