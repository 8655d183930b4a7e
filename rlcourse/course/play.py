"""A game of Go in the terminal, for the command line."""

import sys
from contextlib import nullcontext
from typing import IO

from rlcourse.course.commands import CommandError


def play(
    opponent: str,
    color: str,
    size: int,
    komi: float,
    seed: int,
    source: IO[str] | None = None,
    sink: IO[str] | None = None,
) -> int:
    """Play a game; returns the exit status.

    Args:
        opponent: as `load_player` takes it.
        color: of the person, "black" or "white".
        size, komi: of the board.
        seed: of the opponent.
        source, sink: of the lines; stdin and stdout if they are not given.

    Raises:
        CommandError: there is no such opponent, it failed, or the board is none.
    """
    from rlcourse.experiments.go_players import load_player
    from rlcourse.go.gtp import Engine, EngineError
    from rlcourse.go.rules import BLACK, WHITE, Rules
    from rlcourse.go.terminal import Terminal

    try:
        rules = Rules(size, komi, max_moves=6 * size**2)
        player = load_player(opponent, rules, seed)
        with player if isinstance(player, Engine) else nullcontext():
            side = BLACK if color == "black" else WHITE
            Terminal(player, rules, side, source or sys.stdin, sink or sys.stdout, seed).run()
    except (EngineError, ValueError, FileNotFoundError, BlockingIOError) as error:
        raise CommandError(error) from error
    except KeyboardInterrupt:
        return 130
    return 0
