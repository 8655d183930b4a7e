"""Does retrieval win games, and does a database of the agent's own games help without training?

Humphreys et al. 2022 (arXiv 2206.05314) play a searched agent against a fixed opponent, Pachi. Here
the agents of `go_retrieval` (`trained`) play paired games with random openings against `opponent`,
all agents of a seed with the same openings:

* the baseline and the agent with `retrieval` neighbors at several numbers of simulations; 0 is the
  policy alone (their Figs. 5 and 8);
* agents with other numbers of neighbors, at `main` simulations (Fig. 4b for win rates);
* both against floating-point operations of a move (Fig. 10): neighbors against simulations;
* retrieval against the baseline directly.

Then all games that the agents of a seed have played against the opponent are added to a copy of the
database (Figs. 6b and 9). Nothing is trained. The agent plays a second match, on openings that none
of these games had, nor an image of one, with the database as it was and as it is: win rates, and
how near the nearest stored position is, for positions that it meets and for those of test games;
and once more for the former when the games are removed again. Openings are short, so that the games
of both matches have something in common.

Intervals of win rates are Wilson's, 95 %, over all games of all seeds; those of differences are
bootstrapped over pairs of openings, which both agents played; those of distances over games, of
which those of tests are the same for all seeds. They hold for these trainings: three seeds say
little about others.

**Deviations.** A far weaker expert and opponent: GNU Go, a tenth of whose moves are random, so that
the win rates of short trainings lie away from 0. Fewer simulations. Games of all agents of a seed
are added, not of one. Operations count the keys of a query under all eight symmetries; what the
paper counts is not known to us.
"""

import sys
from pathlib import Path

import torch
from tqdm.auto import tqdm

from rlcourse.data.files import exclusively
from rlcourse.experiments import go_growth
from rlcourse.experiments.go_growth import KINDS, games_of, read_rows
from rlcourse.experiments.go_met import Watched
from rlcourse.experiments.go_play_config import Config, Pairing
from rlcourse.experiments.go_play_plots import plot, plot_growth, plot_shipped
from rlcourse.experiments.go_play_result import MET, Result, load, reference_curves, table
from rlcourse.experiments.go_play_world import (
    BASELINE,
    World,
    make_agent,
    num_neighbors,
    operations,
    opponent,
    small_world,
    trained_world,
)
from rlcourse.go.agent import SearchAgent, weights_fingerprint
from rlcourse.go.arena import count
from rlcourse.go.batch_match import BatchContestant, play_batch_match
from rlcourse.go.database import Database
from rlcourse.run.record import Record

__all__ = [
    "PRESETS",
    "Config",
    "Pairing",
    "Result",
    "load",
    "plot",
    "plot_growth",
    "plot_shipped",
    "reference_curves",
    "run",
    "table",
]

_FAR = 1_000_000  # seeds of the second matches begin behind those of the first
_WORLD = "world"

PRESETS = {
    "smoke": Config(
        trained="",
        opponent="random",
        simulations=(0, 2),
        main=2,
        num_pairs=2,
        num_parallel=4,
        stones=(1, 4),
        num_looked_up=20,
        num_seeds=2,
    ),
    "laptop": Config(),
    "paper": Config(  # the sizes are ours, but for the opponent and the simulations
        trained="runs/go_retrieval/paper",
        index="IVF65536,Flat",
        opponent="gtp:pachi -t =400000 --nodcnn",
        simulations=(0, 50, 200, 400),
        main=200,
        num_pairs=200,
        num_parallel=100,
        num_looked_up=10_000,
    ),
}


def run(
    config: Config,
    folder: Path,
    *,
    device: torch.device | str = "cpu",
    progress: bool = True,
) -> bool:
    """Plays all matches; resumes; False if something is left to do.

    Several processes may run the same in one folder: each takes the seeds that no other is at.

    Args:
        config: see `Config`.
        folder: receives config.json and a folder for each seed: one for each match, with all games
            as SGF files, and `growth`.
        device: of the models.
        progress: draw bars.

    Raises:
        FileNotFoundError: the models are not trained; says by which command.
        ValueError: the folder was begun with other settings, models or games, the games have
            changed since the models were trained, another process makes the database, or there is
            no such opponent.
        EngineError: the opponent has failed in a game.
    """
    Record(folder, config)
    taken = []
    try:
        world = _world(config, folder / _WORLD, device, progress)
        for number in range(config.num_seeds):
            place = folder / f"seed_{number}"
            place.mkdir(exist_ok=True)
            try:
                with exclusively(place / ".lock"):
                    _Seed(config, number, place, world, device, progress).run()
            except BlockingIOError:
                taken.append(place.name)
    except KeyboardInterrupt:
        return False
    if taken:
        print(
            f"other processes are at {', '.join(taken)} in {folder}: run this again when they are"
            " done",
            file=sys.stderr,
        )
    return not taken


def second_seed(config: Config, number: int) -> int:
    """The first that is tried for the openings of the second match of seed `number`. Those of
    different `number` do not meet: their games are not the same."""
    return _FAR + go_growth.MOST_SEEDS * (config.seed + number)


def _world(config: Config, place: Path, device: torch.device | str, progress: bool) -> World:
    place.mkdir(exist_ok=True)
    try:
        with exclusively(place / ".lock"):
            if not config.trained:
                return small_world(place)
            parts = (Path(config.trained), place / "index", config.index)
            return trained_world(*parts, device, progress)
    except BlockingIOError as error:
        raise ValueError(str(error)) from error


class _Seed:
    """The matches of the models of one training."""

    def __init__(
        self,
        config: Config,
        number: int,
        folder: Path,
        world: World,
        device: torch.device | str,
        progress: bool,
    ) -> None:
        self._config, self._number, self._folder = config, number, folder
        self._world, self._device, self._progress = world, device, progress

    def run(self) -> None:
        config, pairings = self._config, self._config.matches()
        models = {
            variant: weights_fingerprint(self._world.model_of(self._number, variant))
            for variant in config.variants
        }
        made_of = {"database": self._world.database.fingerprint, "models": models}
        record, grown = (Record(place, made_of) for place in (self._folder, self._growth))
        first = 0 if record.last_step is None else record.last_step + 1
        if first == len(pairings) and grown.last_step is not None:
            return
        at_once = min(config.num_parallel, 2 * config.num_pairs)
        parts = (config.opponent, self._world, at_once, config.seed, self._device)
        with opponent(*parts) as other:
            todo = pairings[first:]
            for pairing in tqdm(todo, desc=f"seed {self._number}", disable=not self._progress):
                self._play(pairing, other)
                record.write(pairings.index(pairing), self._summary(pairing))
            self._grow(other, grown)

    @property
    def _growth(self) -> Path:
        return self._folder / "growth"

    def _agent(
        self, variant: str, simulations: int, database: Database | None = None
    ) -> SearchAgent:
        parts = (self._world, self._number, variant, simulations, database, self._device)
        return make_agent(*parts)

    def _play(self, pairing: Pairing, other: BatchContestant) -> None:
        agent = self._agent(pairing.variant, pairing.simulations)
        against = self._agent(BASELINE, pairing.simulations) if pairing.direct else other
        self._match(agent, against, self._folder / pairing.name, self._openings)

    def _match(self, one: BatchContestant, other: BatchContestant, folder: Path, seed: int) -> None:
        config = self._config
        play_batch_match(
            one,
            other,
            self._world.rules,
            config.num_pairs,
            folder,
            num_parallel=config.num_parallel,
            stones=config.stones,
            seed=seed,
            progress=self._progress,
        )

    @property
    def _openings(self) -> int:
        return self._config.seed + self._number

    def _summary(self, pairing: Pairing) -> dict[str, float]:
        cost = operations(self._world, self._number, pairing.variant, pairing.simulations)
        rate = count(games_of(self._folder / pairing.name)).win_rate.mean
        return {"win_rate": rate, "operations": cost.model, "operations_keys": cost.keys}

    def _grow(self, other: BatchContestant, record: Record) -> None:
        """The second match before and after, and how near stored positions are."""
        config, folder, world = self._config, self._growth, self._world
        against = [p for p in config.matches() if not p.direct]
        games = go_growth.numbered(games_of(self._folder / pairing.name) for pairing in against)
        after = go_growth.grown(world.database, games, folder / "database", self._progress)
        shape = (config.num_pairs, config.stones)
        first = second_seed(config, self._number)
        seed = go_growth.seed_of_other_openings(world.rules, games, *shape, first)
        rates = {}
        for name, database in (("before", world.database), ("after", after)):
            agent = self._agent(config.retrieval, config.main, database)
            watched = Watched(agent, database, folder / name / MET)
            self._match(watched, other, folder / name, seed)
            rates[name] = count(games_of(folder / name)).win_rate.mean
        go_growth.measure(
            world.database,
            after,
            folder / "before",
            folder,
            world.test_ids,
            world.rules,
            num_neighbors(config.retrieval),
            config.num_looked_up,
            self._openings,
            self._progress,
        )
        # One line, so that a record with a line is a record of everything.
        rows = {kind: read_rows(folder / f"{kind}.rows") for kind in KINDS}
        line = {f"{kind}/distance": float(part["distance"].mean()) for kind, part in rows.items()}
        line |= {f"{kind}/added": float(part["added"].mean()) for kind, part in rows.items()}
        record.write(0, line | {f"{name}/win_rate": rate for name, rate in rates.items()})
