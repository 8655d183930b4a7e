"""What notebook 16 runs: the learner's search on positions and in a short match, and a database
that grows by the games of that match. The comparisons with their curves are in `go_play`."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from tqdm.auto import tqdm

from rlcourse.experiments import go_growth
from rlcourse.experiments.go_lookup import some_games
from rlcourse.experiments.settings import check_counts
from rlcourse.go import agent as agents
from rlcourse.go import shipped
from rlcourse.go.agent import SearchAgent, initial, recurrent
from rlcourse.go.arena import Match, count
from rlcourse.go.batch_match import play_batch_match
from rlcourse.go.board import Go, State
from rlcourse.go.database import Database
from rlcourse.go.mcts import Evaluation, Recurrent, Search
from rlcourse.go.model import RetrievalModel
from rlcourse.go.plain_search import Backup, Expand, PlainSearch, Score, plant, simulate_
from rlcourse.go.records import Game
from rlcourse.go.retrieve import FromDatabase
from rlcourse.go.rules import Rules
from rlcourse.go.saved_model import load_model
from rlcourse.go.splits import split_of
from rlcourse.go.stored_database import DatabaseFiles, build_database, settings_for
from rlcourse.go.symmetry import NUM_SYMMETRIES
from rlcourse.viz.search_widget import Stage, Watched

_COUNTS = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


@dataclass(frozen=True)
class Config:
    """Sizes of what the notebook runs itself; the paper has some 50 million positions.

    Attributes:
        num_games: to retrieve from.
        num_pairs: of games in the match.
        simulations: of the player that searches there.
        most_simulations: of the search that is watched.
        plies: of the positions that it is watched on.
    """

    num_games: int = 600
    num_pairs: int = 32
    simulations: int = 16
    most_simulations: int = 128
    plies: tuple[int, ...] = (8, 20, 30, 40)

    def __post_init__(self) -> None:
        check_counts(self, "num_games", "num_pairs", "simulations", "most_simulations")
        if not self.plies or min(self.plies) < 0:
            raise ValueError(f"plies must name at least one, none negative, got {self.plies}")


SETTINGS = {
    "smoke": Config(num_games=12, num_pairs=2, simulations=2, most_simulations=8, plies=(8, 30)),
    "laptop": Config(),
    # 200 simulations are the paper's; the other sizes are ours.
    "paper": Config(num_games=20_000, num_pairs=100, simulations=200, most_simulations=512),
}


def memory(config: Config, folder: Path, rules: Rules, games: Sequence[Game]) -> Database:
    """A database over the first games that are not for tests, kept in a folder for these games."""
    chosen = [g for g in some_games(games, config.num_games, 1) if split_of(g.number) != "test"]
    count = sum(len(game.moves) - game.opening for game in chosen)
    files = DatabaseFiles.below(folder / "memory" / shipped.fingerprint(chosen))
    return build_database(files, rules, chosen, settings_for(count))


def models() -> dict[str, RetrievalModel]:
    """The networks that travel with the course: "baseline" and "retrieval".

    Raises:
        FileNotFoundError: one is missing.
    """
    return {name: load_model(shipped.model_path(name)) for name in shipped.MODELS}


def stages(
    root: Evaluation,
    below: Recurrent,
    most: int,
    score: Score,
    expand: Expand,
    backup: Backup,
    counts: Collection[int] = _COUNTS,
) -> list[list[Stage]]:
    """A search of B games, looked at after some numbers of simulations; a list for each game.

    Args:
        root, below: as in `mcts.search`.
        most: simulations.
        score, expand, backup: exercises of notebook 16.
        counts: when to look; at the end in any case.
    """
    forest = plant(root, most + 1, expand, backup)
    seen: list[list[Stage]] = [[] for _ in forest.trees]
    for number in range(most + 1):
        if number in counts or number == most:
            found = forest.found
            for game, own in enumerate(seen):
                parts = (found.visits[game], found.q[game], float(found.value[game]))
                own.append(Stage(number, *parts, forest.best_line(game)))
        if number < most:
            simulate_(forest, below, score, expand, backup)
    return seen


@torch.no_grad()
def watch(
    config: Config,
    games: Sequence[Game],
    model: RetrievalModel,
    memory: Database,
    score: Score,
    expand: Expand,
    backup: Backup,
    progress: bool = True,
) -> list[Watched]:
    """Searches a position of another test game for each ply, with neighbors from the memory, for
    `SearchExplorer`; steps as in `stages`."""
    go, found = Go(memory.positions.rules), []
    retrieve = FromDatabase(memory, model.config.num_neighbors, model.config.num_next)
    tests = [game for game in games if split_of(game.number) == "test"]
    chosen = list(zip(config.plies, tests, strict=False))
    for ply, game in tqdm(chosen, desc="positions", disable=not progress):
        moves = game.moves[: min(ply, len(game.moves) - 3)]
        state = _after(go, moves)
        root = initial(model, go.planes(state), retrieve(go, state).input)
        root = root._replace(legal=state.legal)
        most = config.most_simulations
        steps = (score, expand, backup)
        (own,) = stages(root, recurrent(model), most, *steps, counts=range(most))
        prior = root.logits.masked_fill(~state.legal, -torch.inf).softmax(-1)[0]
        name = f"{len(moves)} moves, {'White' if len(moves) % 2 else 'Black'} next"
        found.append(Watched(name, state.stones[0], int(state.recent[0, 0]), prior, own))
    return found


def _after(go: Go, moves: Sequence[int]) -> State:
    """One board after these moves."""
    state = go.new(1)
    for move in moves:
        go.step_(state, torch.tensor([move]))
    return state


def match(
    config: Config,
    folder: Path,
    rules: Rules,
    model: RetrievalModel,
    score: Score,
    expand: Expand,
    backup: Backup,
    progress: bool = True,
) -> Match:
    """The model with the learner's search against its policy alone, without neighbors; resumes.

    Interrupted, it counts the games that are finished.

    Raises:
        KeyboardInterrupt: none is.
    """
    own = PlainSearch(score, expand, backup)
    searching = agents.Config(Search(config.simulations))
    one = SearchAgent(model, None, searching, name="search", search=own)
    other = SearchAgent(model, None, agents.Config(Search(0)), name="policy alone")
    options = {"num_parallel": 2 * config.num_pairs, "progress": progress}
    try:
        return play_batch_match(one, other, rules, config.num_pairs, folder, **options)
    except KeyboardInterrupt:
        done = go_growth.games_of(folder) if (folder / "match.games").exists() else []
        if not done:
            raise
        print("interrupted: the cells below go on with the games that are finished")
        return count(done)


def player(
    config: Config,
    model: RetrievalModel,
    memory: Database,
    score: Score,
    expand: Expand,
    backup: Backup,
) -> SearchAgent:
    """Plays with neighbors from the memory and the learner's search, `most_simulations` a move."""
    retrieve = FromDatabase(memory, model.config.num_neighbors, model.config.num_next)
    searching = agents.Config(Search(config.most_simulations))
    own = PlainSearch(score, expand, backup)
    return SearchAgent(model, retrieve, searching, name="your search", search=own)


class Nearness(NamedTuple):
    """Squared distances of the nearest stored position, for N positions met in play."""

    before: Float[Tensor, " N"]
    after: Float[Tensor, " N"]
    share: float  # of the positions whose nearest is one that was added
    share_of_memory: float  # that the added positions make up


@torch.no_grad()
def grow(database: Database, folder: Path, progress: bool = True) -> Nearness:
    """Adds the first three quarters of a match's pairs of games to a database, and says how near
    stored positions are to those of the last quarter, before and after. Trains nothing.

    Both games of a pair stay together: they begin alike, and one would be near the other for that.

    Args:
        database: stays as it is; the games are added to a copy in the match's folder.
        folder: of the match.
        progress: draw bars.

    Raises:
        ValueError: games of fewer than two pairs are finished.
    """
    games = go_growth.games_of(folder)
    pairs = sorted({game.number // 2 for game in games})
    if len(pairs) < 2:
        raise ValueError(
            f"the match has games of {len(pairs)} pairs, and growing takes two: run its cell again,"
            " it goes on there"
        )
    first = pairs[max(1, 3 * len(pairs) // 4)]  # that is not added
    added = [game for game in games if game.number // 2 < first]
    planes = _met(database.positions.rules, games[len(added) :])
    # One copy for each number of games: a match that was interrupted may have gone on.
    after = go_growth.grown(database, added, folder / f"grown_{len(games)}", progress)
    found = [some.retrieve(planes, 1) for some in (database, after)]
    source = after.positions.sources[found[1].ids[:, 0]]
    share = (source == go_growth.ADDED).float().mean().item()
    return Nearness(*(x.distances[:, 0] for x in found), share, 1 - len(database) / len(after))


def key_operations(memory: Database) -> int:
    """Floating-point operations of the keys of one query: all its images, where the database asks
    for them."""
    images = NUM_SYMMETRIES if memory.config.symmetries == "query" else 1
    go = Go(memory.positions.rules)
    with FlopCounterMode(display=False) as counter:
        memory.keys(go.planes(go.new(images)))
    return counter.get_total_flops()


def _met(rules: Rules, games: Sequence[Game]) -> Float[Tensor, "N C H W"]:
    """The positions that were met after the openings, every second one."""
    go, planes = Go(rules), []
    for game in games:
        state = go.new(1)
        for ply, move in enumerate(game.moves):
            if ply >= game.opening and ply % 2 == 0:
                planes.append(go.planes(state))
            go.step_(state, torch.tensor([move]))
    return torch.cat(planes)
