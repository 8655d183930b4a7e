"""The command line: `python -m rlcourse build | run | bench | play | match | gtp | doctor`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import tyro
from tyro.conf import Positional

from rlcourse.course import commands
from rlcourse.course.threads import wait_passively

PROGRAM = "python -m rlcourse"
DESCRIPTION = "From KL-regularized RL to large-scale retrieval: a course and the package behind it."


def build(
    lessons: Positional[tuple[str, ...]] = (),
    check: bool = False,
    execute: bool = True,
    preset: Literal["smoke", "laptop", "paper"] = "laptop",
) -> int:
    """Write the notebooks and the README's table from the lessons' sources.

    Args:
        lessons: slugs or numbers, such as 01; all available lessons if none is named.
        check: write nothing; exit with 1 if a file has drifted from its source.
        execute: run the solved notebooks afresh; without it they keep their outputs.
        preset: the size at which they run; what is committed is run at laptop.
    """
    return commands.check(lessons) if check else commands.build(lessons, execute, preset)


def run(experiment: Positional[str] = "") -> int:
    """Run an experiment and draw its figure.

    Args:
        experiment: its name, then --preset, --out, --seeds, --reference, --figure and its own
            settings, which `run NAME --help` lists. Without a name, all experiments are listed.
    """
    return commands.list_experiments()


def bench(names: Positional[tuple[str, ...]] = (), figures: Path | None = None) -> int:
    """Run the benchmarks against this project's peers and print their tables.

    Args:
        names: files in benchmarks/, without .py; all of them if none is named.
        figures: a folder for the pictures of those that draw one.
    """
    return commands.bench(names, figures)


def play(
    opponent: Positional[str] = "gnugo:1",
    engine: str | None = None,
    color: Literal["black", "white"] = "black",
    size: int = 9,
    komi: float = 7.5,
    seed: int = 0,
) -> int:
    """Play a game of Go in the terminal. Notebook 13 has the board as a widget.

    Args:
        opponent: random; gnugo:LEVEL with a level from 1 to 10; agent, the one that travels with
            the course, agent:baseline, the same without retrieval; or agent:FOLDER, one of yours.
        engine: the command line of any other engine that speaks GTP; it plays instead.
        color: yours; black begins.
        size: of the board, 2 to 19.
        komi: points that white gets for moving second.
        seed: of the opponent.
    """
    from rlcourse.course.play import play as play_in_terminal

    opponent = opponent if engine is None else f"gtp:{engine}"
    return play_in_terminal(opponent, color, size, komi, seed)


def match(
    one: Positional[str],
    other: Positional[str],
    pairs: int = 20,
    out: Path = Path("runs/match"),
    size: int = 9,
    komi: float = 7.5,
    stones: tuple[int, int] = (4, 8),
    seed: int = 0,
    parallel: int = 16,
    device: str = "cpu",
) -> int:
    """Play a match of paired games with swapped colors; an interrupted one goes on.

    Args:
        one: a player: random, gnugo:LEVEL, gtp:COMMAND, agent, agent:baseline or agent:FOLDER.
        other: the other player.
        pairs: of games, both from the same random opening.
        out: a folder for the games, as match.games and as SGF.
        size: of the board, 2 to 19.
        komi: points that white gets for moving second.
        stones: fewest and most random stones of an opening; "0 0" begins on the empty board.
        seed: of openings and players.
        parallel: games at once.
        device: of an agent, such as cuda.
    """
    from rlcourse.course.match import match as play_match

    return play_match(one, other, pairs, out, size, komi, stones, seed, parallel, device)


def gtp(
    player: Positional[str] = "agent",
    size: int = 9,
    komi: float = 7.5,
    seed: int = 0,
    device: str = "cpu",
) -> int:
    """Answer GTP commands, for Sabaki, GoGui or a referee of two programs.

    Args:
        player: random, agent, agent:baseline or agent:FOLDER.
        size: of the board, until a command changes it.
        komi: points that white gets for moving second, likewise.
        seed: of the player.
        device: of an agent, such as cuda.
    """
    from rlcourse.course.match import serve

    return serve(player, size, komi, seed, device)


def doctor() -> int:
    """Show what is installed, what is missing, and the command that mends it."""
    return commands.diagnose()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    wait_passively()
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        # An experiment's settings depend on the experiment, so `run NAME` reads them by itself.
        if arguments[:1] == ["run"] and arguments[1:] and not arguments[1].startswith("-"):
            return commands.run_experiment(arguments[1], arguments[2:], PROGRAM)
        return tyro.extras.subcommand_cli_from_dict(
            {
                "build": build,
                "run": run,
                "bench": bench,
                "play": play,
                "match": match,
                "gtp": gtp,
                "doctor": doctor,
            },
            prog=PROGRAM,
            description=DESCRIPTION,
            args=arguments,
        )
    except commands.CommandError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
