"""Go players by name, for matches and for games in the terminal.

This file may know all parts of the package, and so stands outside `go`.
"""

from rlcourse.go.arena import Contestant, Local
from rlcourse.go.gtp import Engine, gnu_go_command
from rlcourse.go.gtp_server import random_player
from rlcourse.go.rules import Rules

SPECS = "random, gnugo:LEVEL (1 to 10), gtp:COMMAND"


def load_player(spec: str, rules: Rules, seed: int = 0) -> Contestant:
    """The player of this name; an `Engine` has to be closed in the end.

    Args:
        spec: "random": legal moves at random; "gnugo" or "gnugo:LEVEL": GNU Go, at level 1 if none
            is given; "gtp:COMMAND": any engine that speaks GTP, by its command line.
        rules: of its games.
        seed: of a random player.

    Raises:
        EngineError: the engine is not installed, or does not speak GTP.
        ValueError: nobody has this name.
    """
    kind, _, rest = spec.partition(":")
    if spec == "random":
        return Local("random", random_player(seed), rules)
    if kind == "gnugo" and (rest or "1").isdecimal() and 1 <= int(rest or 1) <= 10:
        level = int(rest or 1)
        command = gnu_go_command(level, rules)
        return Engine(command, rules, name=f"GNU Go, level {level}")
    if kind == "gtp" and rest.strip():
        return Engine(rest, rules)
    raise ValueError(f"no player is called {spec!r}; there are: {SPECS}")
