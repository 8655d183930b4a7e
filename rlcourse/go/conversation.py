"""What an engine answers to a list of GTP commands, as it comes over the wire.

Source: Farnebaeck, "GTP Version 2" (draft 2, 2002). `gtp.Engine` is for playing games; this is for
reading along.
"""

import subprocess
from collections.abc import Sequence

from rlcourse.go.gtp import EngineError, gnu_go_command
from rlcourse.go.gtp_server import GtpServer, random_player
from rlcourse.go.rules import Rules

_SECONDS = 60.0


def gnu_go_missing(rules: Rules) -> str:
    """Why GNU Go cannot play here, with what mends it; empty if it can."""
    try:
        gnu_go_command(1, rules)
    except EngineError as error:
        return str(error)
    return ""


def ask_server(commands: Sequence[str], rules: Rules, seed: int = 0) -> list[str]:
    """The course's own server, which moves at random; one answer for each command."""
    server = GtpServer(random_player(seed), rules)
    return [server.answer(command) or "" for command in commands]


def ask_gnu_go(commands: Sequence[str], rules: Rules, level: int = 3) -> list[str]:
    """GNU Go, started for these commands and ended after them; one answer for each command.

    Raises:
        EngineError: GNU Go is not installed, took too long, or did not answer every command.
    """
    command = gnu_go_command(level, rules)
    lines = "\n".join([*commands, "quit"]) + "\n"
    try:
        done = subprocess.run(
            command, input=lines, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"GNU Go did not answer {len(commands)} commands in time") from error
    answers = [part.lstrip("\n") + "\n\n" for part in done.stdout.split("\n\n") if part.strip()]
    if len(answers) != len(commands) + 1:  # that of quit
        raise EngineError(f"GNU Go gave {len(answers)} answers to {len(commands) + 1} commands")
    return answers[:-1]
