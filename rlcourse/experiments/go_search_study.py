"""What notebook 16 runs: the learner's search on positions and in a short match, and a database
that grows by the games of that match. The comparisons with their curves are in `go_play`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from rlcourse.experiments.go_lookup import some_games
from rlcourse.experiments.settings import check_counts
from rlcourse.go import agent as agents
from rlcourse.go.agent import SearchAgent, initial, recurrent
from rlcourse.go.arena import Match
from rlcourse.go.batch_match import play_batch_match
from rlcourse.go.board import Go, State
from rlcourse.go.database import Database
from rlcourse.go.mcts import Evaluation, Recurrent, Search
from rlcourse.go.model import RetrievalModel
from rlcourse.go.plain_search import Backup, Expand, PlainSearch, Score, plant, simulate_
from rlcourse.go.records import Game, GameFile
from rlcourse.go.retrieve import FromDatabase
from rlcourse.go.rules import Rules
from rlcourse.go.splits import split_of
from rlcourse.go.stored_database import DatabaseFiles, build_database, settings_for
from rlcourse.viz.search_widget import Stage, Watched

OWN = 1  # the source of the games of the match
_COUNTS = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


@dataclass(frozen=True)
class Config:
    """Sizes of what the notebook runs itself; the paper has 50 million positions, 200 simulations.

    Attributes:
        num_games: to retrieve from.
        num_pairs: of games in the match.
        simulations: of the player that searches there.
        most_simulations: of the search that is watched.
        plies: of the positions that it is watched on.
    """

    num_games: int = 600
    num_pairs: int = 16
    simulations: int = 16
    most_simulations: int = 128
    plies: tuple[int, ...] = (8, 20, 30, 40)

    def __post_init__(self) -> None:
        check_counts(self, "num_games", "num_pairs", "simulations", "most_simulations")
        if not self.plies or min(self.plies) < 0:
            raise ValueError(f"plies must name at least one, none negative, got {self.plies}")


PRESETS = {
    "smoke": Config(num_games=12, num_pairs=1, simulations=2, most_simulations=8, plies=(8, 30)),
    "laptop": Config(),
    "paper": Config(num_games=20_000, num_pairs=100, simulations=200, most_simulations=512),
}


def memory(config: Config, folder: Path, rules: Rules, games: Sequence[Game]) -> Database:
    """A database over the first games that are not for tests; made once, opened afterwards."""
    chosen = [g for g in some_games(games, config.num_games, 1) if split_of(g.number) != "test"]
    count = sum(len(game.moves) - game.opening for game in chosen)
    files = DatabaseFiles.below(folder / "memory")
    return build_database(files, rules, chosen, settings_for(count))


class Position(NamedTuple):
    """A position of a game."""

    name: str
    state: State  # one board


def positions(config: Config, rules: Rules, games: Sequence[Game]) -> list[Position]:
    """One of a different test game for each ply, at its end if it was shorter."""
    go, found = Go(rules), []
    tests = [game for game in games if split_of(game.number) == "test"]
    for ply, game in zip(config.plies, tests, strict=False):
        state = go.new(1)
        moves = game.moves[: min(ply, len(game.moves) - 3)]
        for move in moves:
            go.step_(state, torch.tensor([move]))
        found.append(Position(f"{len(moves)} moves", state))
    return found


def stages(
    root: Evaluation,
    below: Recurrent,
    most: int,
    score: Score,
    expand: Expand,
    backup: Backup,
    progress: bool = False,
) -> list[list[Stage]]:
    """A search of B games, looked at after 0, 1, 2, 4, 8 ... simulations; a list for each game.

    Args:
        root, below: as in `mcts.search`.
        most: simulations.
        score, expand, backup: exercises of notebook 16.
        progress: draw a bar.
    """
    forest = plant(root, most + 1, expand, backup)
    seen: list[list[Stage]] = [[] for _ in forest.trees]
    for number in tqdm(range(most + 1), desc="simulations", disable=not progress):
        if number in _COUNTS or number == most:
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
    places: Sequence[Position],
    go: Go,
    model: RetrievalModel,
    retrieve: FromDatabase,
    score: Score,
    expand: Expand,
    backup: Backup,
    progress: bool = True,
) -> list[Watched]:
    """Searches positions with their neighbors, for `SearchExplorer`; arguments as in `stages`."""
    found = []
    for name, state in tqdm(places, desc="positions", disable=not progress):
        root = initial(model, go.planes(state), retrieve(go, state).input)
        root = root._replace(legal=state.legal)
        (own,) = stages(root, recurrent(model), config.most_simulations, score, expand, backup)
        prior = root.logits.masked_fill(~state.legal, -torch.inf).softmax(-1)[0]
        found.append(Watched(name, state.stones[0], int(state.recent[0, 0]), prior, own))
    return found


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
    """The model with the learner's search against its policy alone, without neighbors; resumes."""
    own = PlainSearch(score, expand, backup)
    searching = agents.Config(Search(config.simulations))
    one = SearchAgent(model, None, searching, name="search", search=own)
    other = SearchAgent(model, None, agents.Config(Search(0)), name="policy alone")
    options = {"num_parallel": 2 * config.num_pairs, "progress": progress}
    return play_batch_match(one, other, rules, config.num_pairs, folder, **options)


class Nearness(NamedTuple):
    """Squared distances of the nearest stored position, for N positions met in play."""

    before: Float[Tensor, " N"]
    after: Float[Tensor, " N"]


@torch.no_grad()
def grow(database: Database, folder: Path, progress: bool = True) -> Nearness:
    """Adds the first three quarters of a match's games to the database, and says how near its
    positions are to those of the last quarter, before and after. Trains nothing.

    Called again, it begins with the database as it was.

    Args:
        database: stays as it was made on disk; in memory it holds the games then.
        folder: of the match.
        progress: draw bars.
    """
    games = sorted(GameFile.open(folder / "match.games"))
    split = max(1, 3 * len(games) // 4)
    planes = _met(database.positions.rules, games[split:])
    known = database.positions.numbers(OWN)
    missing = [game for game in games[:split] if game.number not in known]
    if missing:
        database.positions.append(missing, source=OWN, progress=progress)
    database.load(progress=False)  # as it was saved, without the games
    before = database.retrieve(planes, 1).distances[:, 0]
    database.add(progress)
    return Nearness(before, database.retrieve(planes, 1).distances[:, 0])


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
