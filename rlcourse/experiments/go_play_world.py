"""Who plays in the matches of notebook 16, and from which games the agents retrieve.

Either models that `go_retrieval` has trained, with its database of an expert's games; or, to try
the experiment in seconds, untrained models that retrieve from random games on a small board.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from tqdm.auto import tqdm

from rlcourse.experiments import go_lookup, go_retrieval_study
from rlcourse.experiments.go_players import RandomMoves
from rlcourse.experiments.go_retrieval_data import prepare, shared_folder
from rlcourse.experiments.go_retrieval_variants import Variant, variant_of
from rlcourse.go import agent, model
from rlcourse.go.agent import SearchAgent
from rlcourse.go.batch_match import BatchContestant, play_wave
from rlcourse.go.batches import ABSENT, RETRIEVED
from rlcourse.go.board import Go, Ongoing, State
from rlcourse.go.database import Database
from rlcourse.go.database_config import EXACT
from rlcourse.go.database_config import Config as DatabaseConfig
from rlcourse.go.engine_pool import EnginePool
from rlcourse.go.gtp import EngineError, gnu_go_command
from rlcourse.go.key_shards import compute_keys
from rlcourse.go.keys import RawKeys
from rlcourse.go.mcts import Search
from rlcourse.go.model import RetrievalModel
from rlcourse.go.records import Game
from rlcourse.go.retrieve import FromDatabase
from rlcourse.go.rules import Rules
from rlcourse.go.stored_database import report_on_own
from rlcourse.go.symmetry import NUM_SYMMETRIES

SPECS = (
    "random, baseline:SIMULATIONS, gnugo:LEVEL or gnugo:LEVEL:SHARE (levels 1 to 10, a share of"
    " random moves such as 0.1), gtp:COMMAND"
)
BASELINE = "baseline"
_SMALL = Rules(5, 0.5)


class World(NamedTuple):
    """What the agents are made of."""

    database: Database  # shared by all seeds; never added to
    test_ids: Int[Tensor, " N"]  # of positions that the database does not store
    model_of: Callable[[int, str], RetrievalModel]  # of a seed, by the name of a variant

    @property
    def rules(self) -> Rules:
        return self.database.positions.rules


class Careless(EnginePool):
    """Engines of which a share of the moves is drawn at random, which makes them weaker."""

    careless: RandomMoves
    share = 0.0

    @property
    def fingerprint(self) -> str:
        """Of the command, the share and the seed."""
        return f"{super().fingerprint} {self.share} {self.careless.fingerprint}"

    def moves(self, go: Go, state: State, games: Sequence[Ongoing]) -> Int[Tensor, " B"]:
        """Where chance has it a random move, else the engine's."""
        chance = RandomMoves(self.careless.seed + 1)
        draws = [chance.generator(game) for game in games]
        random = torch.tensor(
            [float(torch.rand((), generator=draw)) < self.share for draw in draws]
        )
        moves = torch.empty(len(games), dtype=torch.int64)
        for ask, rows in ((self.careless.moves, random), (super().moves, ~random)):
            if bool(rows.any()):
                some = state.select(rows.to(go.device))
                moves[rows] = ask(go, some, [g for g, row in zip(games, rows, strict=True) if row])
        return moves


def num_neighbors(variant: str) -> int:
    """N of a variant that plays: 0 of "baseline", 4 of "n4".

    Raises:
        ValueError: neither "baseline" nor "n" and a number.
    """
    with suppress(ValueError):
        found = variant_of(variant)
        if found in (Variant(ABSENT, 0), Variant(RETRIEVED, found.num_neighbors)):
            return found.num_neighbors
    raise ValueError(f"a variant is {BASELINE!r}, or n and a number of neighbors, got {variant!r}")


def make_agent(
    world: World,
    seed: int,
    variant: str,
    num_simulations: int,
    database: Database | None = None,
    device: torch.device | str = "cpu",
) -> SearchAgent:
    """The agent of a seed's model, which retrieves from `database`, or from the world's own."""
    trained, k = world.model_of(seed, variant).to(device), num_neighbors(variant)
    found = None
    if k:
        found = FromDatabase(database or world.database, k, trained.config.num_next)
    settings = agent.Config(Search(num_simulations))
    name = f"{variant} of seed {seed}, {num_simulations} simulations"
    return SearchAgent(trained, found, settings, device=device, name=name)


class Operations(NamedTuple):
    """Floating-point operations of one move."""

    model: int  # the root with its neighbors, and the simulations
    keys: int  # of the query; 0 without retrieval


def operations(world: World, seed: int, variant: str, num_simulations: int) -> Operations:
    """What a move of an agent costs; the search for neighbors and the tree are left out."""
    k = num_neighbors(variant)
    cost = _cost(world.model_of(seed, variant).config, k, world.rules.size)
    of_model = cost.represent + cost.predict + num_simulations * cost.search
    if not k:
        return Operations(of_model, 0)
    go, database = Go(world.rules), world.database
    images = NUM_SYMMETRIES if database.config.symmetries == "query" else 1
    with FlopCounterMode(display=False) as counter:
        database.keys(go.planes(go.new(images)))
    return Operations(of_model, counter.get_total_flops())


@lru_cache(maxsize=64)
def _cost(sizes: model.Config, k: int, size: int) -> model.Cost:
    return model.measure_cost(RetrievalModel(sizes, torch.Generator()), k, size)


@contextmanager
def opponent(
    spec: str,
    world: World,
    num_parallel: int,
    seed: int,
    device: torch.device | str = "cpu",
) -> Iterator[BatchContestant]:
    """Yields who the agents play against, and ends its programs.

    Args:
        spec: "random": legal moves; "baseline:SIMULATIONS": the baseline's model of seed 0;
            "gnugo:LEVEL", "gnugo:LEVEL:SHARE" with a share of random moves; or "gtp:COMMAND" for
            any other engine.
        world: see `World`.
        num_parallel: games at once.
        seed: of random moves.
        device: of the baseline's model.

    Raises:
        ValueError: nobody has this name, or the engine is missing.
    """
    kind, _, rest = spec.partition(":")
    check_opponent(spec)
    if kind == "random":
        yield RandomMoves(seed)
    elif kind == BASELINE:
        yield make_agent(world, 0, BASELINE, int(rest), device=device)
    else:
        level, _, share = rest.partition(":")
        known = kind == "gnugo"
        name = f"GNU Go, level {level}" + f", {share} of its moves random" * bool(share)
        try:
            command = gnu_go_command(int(level), world.rules) if known else rest
            # As many engines think at once as there are cores, so that the model gets its share.
            parts = {"name": name if known else None, "num_threads": os.cpu_count()}
            pool = Careless(command, world.rules, num_parallel, **parts)
            pool.careless, pool.share = RandomMoves(seed), float(share or 0) if known else 0.0
        except EngineError as error:
            raise ValueError(f"opponent {spec!r}: {error}") from error
        with pool:
            yield pool


def check_opponent(spec: str) -> None:
    """Raises ValueError for a name that nobody has."""
    kind, _, rest = spec.partition(":")
    level, colon, share = rest.partition(":")
    is_level = level.isdecimal() and 1 <= int(level) <= 10
    known = {
        BASELINE: rest.isdecimal(),
        "gnugo": is_level and (not colon or bool(re.fullmatch(r"0\.\d+", share))),
        "gtp": bool(rest.strip()),
    }
    if spec != "random" and not known.get(kind, False):
        raise ValueError(f"no opponent is called {spec!r}; there are: {SPECS}")


def small_world(folder: Path, num_games: int = 40) -> World:
    """Untrained models on a small board, and a database of random games."""
    both = (RandomMoves(0), RandomMoves(1))
    games: list[Game] = sorted(play_wave(*both, Go(_SMALL), {i: [] for i in range(num_games)}))
    positions = go_lookup.positions_of(folder / "positions", _SMALL, games, progress=False)
    keys = RawKeys(_SMALL.size)
    shards = compute_keys(folder / "keys", positions, keys, progress=False)
    settings = DatabaseConfig(split_halves=True, symmetries="query")
    database = Database(folder / "index", positions, keys, shards, settings)
    database.build(progress=False)
    return World(database, positions.of_split("test"), _untrained)


@lru_cache(maxsize=16)
def _untrained(seed: int, variant: str) -> RetrievalModel:
    generator = torch.Generator().manual_seed(seed)
    sizes = model.Config(
        width=1 / 16,
        num_encoder_blocks=0,
        num_neighbor_blocks=0,
        num_fusion_blocks=0,
        num_neighbors=max(1, num_neighbors(variant)),
    )
    return RetrievalModel(sizes, generator).eval()


def trained_world(
    folder: Path,
    place: Path,
    index: str,
    device: torch.device | str = "cpu",
    progress: bool = True,
) -> World:
    """The models of a run of `go_retrieval`, and a database of the games that it stored.

    Args:
        folder: of the run.
        place: receives the index.
        index: of the database, a factory of FAISS; where the run compares all keys, so does it.
        device: of the key network.
        progress: draw bars.

    Raises:
        FileNotFoundError: there is no such run.
        ValueError: it was interrupted, its data is damaged, or the games that travel with the
            course are others since.
    """
    if not (folder / "config.json").exists():
        raise FileNotFoundError(
            f"there are no models in {folder}: train them with `python -m rlcourse run"
            f" go_retrieval --out {folder}`, or name another run as `trained`"
        )
    settings = go_retrieval_study.config_of(folder).data
    known = go_retrieval_study.data_of(folder)
    data = prepare(settings, shared_folder(folder), progress, device=device, known=known)
    model_of = lru_cache(maxsize=16)(partial(go_retrieval_study.model_of, folder))
    database = in_lists(data.database(progress=progress), place, index, progress)
    return World(database, data.test_ids, model_of)


def in_lists(database: Database, place: Path, index: str, progress: bool = True) -> Database:
    """A database of the same positions with another index; built in `place` if need be."""
    if database.config.index == EXACT:
        return database
    settings = replace(database.config, index=index, rerank=0)
    parts = (database.positions, database.keys, database.shards, settings)
    found = Database(place, *parts)
    try:
        found.load(progress)
    except FileNotFoundError:
        found.build(progress)
        if progress and (report := report_on_own(found)) is not None:
            tqdm.write(str(report))
    return found
