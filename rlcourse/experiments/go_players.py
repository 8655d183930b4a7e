"""Go players by name, for matches, for games in the terminal and in a notebook, and over GTP.

This file may know all parts of the package, and so stands outside `go`.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from rlcourse.go import shipped
from rlcourse.go.agent import Config, SearchAgent, game_generator
from rlcourse.go.arena import Contestant, Local
from rlcourse.go.batch_match import BatchContestant
from rlcourse.go.board import Go, Ongoing, Player, State, game_seed
from rlcourse.go.database import Database
from rlcourse.go.engine_pool import EnginePool
from rlcourse.go.gtp import Engine, gnu_go_command
from rlcourse.go.gtp_server import random_player
from rlcourse.go.mcts import Search
from rlcourse.go.rules import Rules
from rlcourse.go.saved_agent import NAME, check_fits, load_agent, make_agent
from rlcourse.go.saved_model import load_model
from rlcourse.go.splits import split_of
from rlcourse.go.stored_database import DatabaseFiles, build_database, open_database, settings_for

SPECS = (
    "random, gnugo:LEVEL (1 to 10), gtp:COMMAND, agent, agent:baseline, agent:FOLDER (with "
    "agent.json)"
)
SIMULATIONS = 8  # of the models that travel: in `go_play` they were not seen to win more with more
DATABASES = Path("runs/go9x9_database")
MOST_POSITIONS = 600_000  # keys take 0.3 ms of a core each: some 100 s on two cores


def load_player(
    spec: str, rules: Rules, seed: int = 0, device: torch.device | str = "cpu"
) -> Contestant:
    """The player of this name; an `Engine` has to be closed in the end.

    Args:
        spec: "random": legal moves at random; "gnugo" or "gnugo:LEVEL": GNU Go, at level 1 if none
            is given; "gtp:COMMAND": any engine that speaks GTP, by its command line; "agent...":
            see `load_search_agent`.
        rules: of its games.
        seed: of a player of ours, which mixes it with the seed of each game.
        device: of an agent's networks.

    Raises:
        EngineError: the engine is not installed, or does not speak GTP.
        FileNotFoundError: a file of the agent is missing.
        ValueError: nobody has this name, or a file of the agent is damaged.
    """
    command = _engine_command(spec, rules)
    if command is not None:
        return Engine(command[0], rules, name=command[1])
    if spec == "random":
        return Local("random", lambda game: random_player(game_seed(seed, game or 0)), rules)
    agent = load_search_agent(spec, rules, device, seed=seed)

    def of_game(game: int | None) -> Player:
        generator = torch.Generator().manual_seed(game_seed(seed, game or 0))
        return SearchAgent(agent.model, agent.retrieve, agent.config, generator, device, agent.name)

    return Local(agent.name, of_game, rules)


def load_own_player(
    spec: str, rules: Rules, seed: int = 0, device: torch.device | str = "cpu"
) -> tuple[str, Player]:
    """The name of a player that is no engine, and the player itself; arguments as `load_player`.

    Raises:
        FileNotFoundError, ValueError: as `load_player`; also for an engine.
    """
    if _engine_command(spec, rules) is not None:
        raise ValueError(f"{spec!r} is an engine, which speaks GTP by itself: name another player")
    if spec == "random":
        return "random", random_player(seed)
    agent = load_search_agent(spec, rules, device, seed=seed)
    return agent.name, agent


@contextmanager
def batch_player(
    spec: str,
    rules: Rules,
    num_parallel: int,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Iterator[BatchContestant]:
    """Yields the player of this name for many games at once, and ends its engines afterwards.

    Args:
        num_parallel: games at once.
        spec, rules, seed, device: as for `load_player`.

    Raises:
        EngineError, FileNotFoundError, ValueError: as `load_player`.
    """
    command = _engine_command(spec, rules)
    if command is not None:
        threads = min(num_parallel, os.cpu_count() or 1)
        with EnginePool(
            command[0], rules, num_parallel, name=command[1], num_threads=threads
        ) as pool:
            yield pool
    elif spec == "random":
        yield RandomMoves(seed)
    else:
        yield load_search_agent(spec, rules, device, seed=seed)


class RandomMoves:
    """Random legal moves in many games; each depends on the seeds of player and game, and the ply.

    Two matches have games of the same numbers: by number alone, the same moves would come again.
    """

    name = "random"

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    @property
    def fingerprint(self) -> str:
        return f"seed {self.seed}"

    def moves(self, go: Go, state: State, games: list[Ongoing]) -> Int[Tensor, " B"]:
        """A move on each board."""
        chosen = []
        for board, game in enumerate(games):
            player = random_player(self.generator(game).initial_seed())
            chosen.append(player(go, state.select(torch.tensor([board], device=state.device))))
        return torch.tensor(chosen)

    def generator(self, game: Ongoing) -> torch.Generator:
        """Random numbers for the next move of a game."""
        return game_generator(game_seed(self.seed, game.seed), game.number, len(game.moves))


def load_search_agent(
    spec: str,
    rules: Rules | None = None,
    device: torch.device | str = "cpu",
    *,
    seed: int | None = None,
    progress: bool = True,
) -> SearchAgent:
    """An agent that retrieves and searches; those that travel with the course make `SIMULATIONS`.

    Args:
        spec: "agent": the model that travels with the course, and a database over the games that
            do, which is made in runs/go9x9_database when it is first asked for; "agent:baseline":
            the model that was trained without neighbors; "agent:FOLDER", or the folder alone: what
            its agent.json says.
        rules: of the games; None: whatever it is asked about.
        device: of its networks.
        seed: of its random numbers; None: the agent's own, or 0.
        progress: draw bars.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: nobody has this name, a file is damaged, or the database is of other rules.
    """
    kind, _, rest = spec.partition(":")
    if kind != "agent" or spec == "agent:":
        if spec.strip() and (Path(spec) / NAME).exists():
            return load_agent(spec, rules, device, seed=seed, progress=progress)
        raise ValueError(f"no player is called {spec!r}; there are: {SPECS}")
    if rest not in ("", "baseline"):
        return load_agent(rest, rules, device, seed=seed, progress=progress)
    name = rest or "retrieval"
    path = shipped.model_path(name)
    if not path.exists():
        raise FileNotFoundError(
            f"the model {path} does not travel with this version: restore it with `git checkout --"
            " data/go9x9`, or name the folder of an agent of yours, agent:FOLDER"
        )
    database = None
    if name == "retrieval":
        database = shipped_database(device=device, progress=progress)
        check_fits(path, database)
    model = load_model(path, device)
    play = Config(search=Search(num_simulations=SIMULATIONS))
    return make_agent(model, database, rules, play=play, seed=seed or 0, device=device, name=name)


def shipped_database(
    folder: Path = DATABASES,
    most: int = MOST_POSITIONS,
    device: torch.device | str = "cpu",
    progress: bool = True,
) -> Database:
    """The database over the games that travel with the course, those for tests left out.

    The first call makes it, which takes some two minutes on two cores; later ones open it. Of more
    than `most` positions a random share is stored.

    Args:
        folder: receives a folder for the games and the network of today.
        most: positions, about.
        device: of the network of the keys.
        progress: draw bars, and say what is made.

    Raises:
        FileNotFoundError: there are no games, or no network of the keys.
        ValueError: a file is damaged.
        BlockingIOError: another process makes it: wait until it is done.
    """
    rules, games = shipped.load_games()
    games = [game for game in games if split_of(game.number) != "test"]
    total = sum(len(game.moves) - game.opening for game in games)
    keep = min(1.0, most / max(1, total))
    config = settings_for(round(keep * total))
    network = DatabaseFiles.below(folder).load_keys().fingerprint
    place = folder / f"{shipped.fingerprint(games)}_{network[:8]}_{1000 * keep:04.0f}"
    files = replace(DatabaseFiles.below(place), nprobe=config.nprobe)
    if (files.index / "database.json").exists():
        return open_database(files, device, progress)
    if progress:
        print(
            f"making the database over {len(games):,} games in {place}, once: this takes a minute"
            " or two",
            file=sys.stderr,
        )
    options = {"keep": keep, "device": device, "progress": progress}
    return build_database(files, rules, games, config, **options)


def _engine_command(spec: str, rules: Rules) -> tuple[str | list[str], str | None] | None:
    """How to start an engine, and its name if the engine is not to be asked; None: no engine.

    Raises:
        EngineError: GNU Go is asked for and not installed.
    """
    kind, _, rest = spec.partition(":")
    if kind == "gnugo" and (rest or "1").isdecimal() and 1 <= int(rest or 1) <= 10:
        level = int(rest or 1)
        return gnu_go_command(level, rules), f"GNU Go, level {level}"
    if kind == "gtp" and rest.strip():
        return rest, None
    return None
