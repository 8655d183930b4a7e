"""A match between two Go players and our GTP server, for the command line."""

from collections.abc import Callable
from pathlib import Path

from rlcourse.course.commands import INTERRUPTED, CommandError, writable_folder


def match(
    one: str,
    other: str,
    pairs: int,
    out: Path,
    size: int,
    komi: float,
    stones: tuple[int, int],
    seed: int,
    parallel: int,
    device: str,
) -> int:
    """Play what is missing of a match, and print what came of it; returns the exit status.

    Args:
        one, other: players, as `load_player` takes them.
        pairs: of games from one opening, with swapped colors.
        out: folder for match.games and an SGF file of each game.
        size, komi: of the board.
        stones: fewest and most random stones of an opening.
        seed: of openings and players.
        parallel: games at once.
        device: of agents.

    Raises:
        CommandError: a player is unknown or failed, the folder holds another match, or a setting
            is out of its range.
    """
    from rlcourse.experiments.go_players import batch_player
    from rlcourse.go.batch_match import play_batch_match
    from rlcourse.go.rules import Rules

    if pairs < 1 or parallel < 1 or seed < 0:
        raise CommandError(
            f"--pairs and --parallel must be at least 1, --seed not negative, got {pairs},"
            f" {parallel} and {seed}"
        )
    folder, at_once = writable_folder(out), min(parallel, 2 * pairs)

    def play() -> None:
        rules = Rules(size, komi, max_moves=6 * size**2)
        settings = (rules, at_once, seed, device)
        with batch_player(one, *settings) as first, batch_player(other, *settings) as second:
            options = {"num_parallel": at_once, "stones": stones, "seed": seed}
            result = play_batch_match(first, second, rules, pairs, folder, **options)
            print(f"{first.name} against {second.name}: {result}")
            print(f"the games are in {folder}: match.games, and an SGF file of each")

    status = _guarded(play)
    if status == INTERRUPTED:
        print(f"stopped: the same command goes on with the games that {folder} lacks")
    return status


def serve(player: str, size: int, komi: float, seed: int, device: str) -> int:
    """Answer GTP commands from stdin on stdout, as a player of ours; returns the exit status.

    Args:
        player: as `load_own_player` takes it.
        size, komi: of the board, until a command changes them.
        seed: of the player.
        device: of an agent.

    Raises:
        CommandError: the player is unknown, or the board is none.
    """
    from rlcourse.experiments.go_players import load_own_player
    from rlcourse.go.gtp_server import GtpServer, serve_terminal
    from rlcourse.go.rules import Rules

    def answer() -> None:
        rules = Rules(size, komi, max_moves=6 * size**2)
        name, chooses = load_own_player(player, rules, seed, device)
        serve_terminal(GtpServer(chooses, rules, name=f"rlcourse {name}"))

    return _guarded(answer)


def _guarded(action: Callable[[], None]) -> int:
    """Turns what players refuse into messages."""
    from rlcourse.go.gtp import EngineError

    try:
        action()
    except (EngineError, ValueError, FileNotFoundError, BlockingIOError) as error:
        raise CommandError(error) from error
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0
