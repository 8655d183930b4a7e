"""What the studies of retrieval share: positions, a database, and the neighbors of many positions.

As in section 3 of Humphreys et al. 2022 (arXiv 2206.05314) the database D_r is split in two halves
by game and a training position's neighbors come from the half that its game is not in; a position
of a test game is in neither, and both halves answer. Smaller databases hold a share of the games,
those of a smaller share among those of a larger one.

All is made once for all seeds and studies, in a folder that is named after what it was made of, and
an interrupted call goes on where it stopped.

**Deviations.** The paper's index and the number of its test positions are not known: the settings
are ours. All eight symmetries of a position are looked up.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm.auto import tqdm

from rlcourse.data.files import exclusively, write_whole
from rlcourse.experiments.go_lookup import positions_of, some_games
from rlcourse.experiments.settings import check_counts
from rlcourse.go import database_config, shipped
from rlcourse.go.database import Database
from rlcourse.go.database_report import Report
from rlcourse.go.key_shards import KeyShards, compute_keys
from rlcourse.go.keys import KeyNetwork
from rlcourse.go.neighbors import Neighbors
from rlcourse.go.positions import Positions
from rlcourse.go.precomputed import Precomputed
from rlcourse.go.records import Game
from rlcourse.go.rules import Rules

WHOLE = 1.0
SPLITS = ("train", "retrieval")  # stored, and learned from; "test" is neither
_DONE = "data.json"  # the last file that is written
_REPORT = "report.json"  # of each database: its recall and what it costs
_NUM_REPORTED = 200  # positions
_FEW_KEYS = 100_000  # fewer are compared one by one: lists would not be worth their training


@dataclass(frozen=True)
class Settings:
    """Which positions, and how neighbors are found.

    Attributes:
        num_games: to store and to learn from; None: all that are shipped.
        num_test_games: to test on; counts only with `num_games`.
        num_pool: positions to learn from, drawn from all.
        num_test: positions to test on, drawn from all test games.
        k: neighbors of each.
        fractions: of the games, 1 among them: the databases that test positions are looked up in.
        index, nprobe, rerank: of a database with 100,000 keys or more; of smaller ones, and with
            "exact", all keys are compared.
        num_train: keys that FAISS is trained on, in each half.
        seed: of the draws.
    """

    num_games: int | None = None
    num_test_games: int = 100
    num_pool: int = 100_000
    num_test: int = 10_000
    k: int = 10
    fractions: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3, 1.0)
    index: str = "IVF1024,PQ32x4fs,Refine(SQ8)"
    nprobe: int = 16
    rerank: int = 32
    num_train: int = 100_000
    seed: int = 0

    def __post_init__(self) -> None:
        check_counts(self, "num_test_games", "num_pool", "num_test", "k", "nprobe", "num_train")
        if self.num_games is not None and self.num_games < 1:
            raise ValueError(f"num_games must be at least 1, or None for all, got {self.num_games}")
        if list(self.fractions) != sorted(set(self.fractions)) or self.fractions[-1:] != (WHOLE,):
            raise ValueError(f"fractions must ascend and end with 1.0, got {self.fractions}")
        if self.fractions[0] <= 0:
            raise ValueError(f"fractions must lie in (0, 1], got {self.fractions[0]}")


@dataclass(frozen=True)
class Data:
    """Positions and their k nearest neighbors; the nearest N are the first N."""

    settings: Settings
    folder: Path
    positions: Positions
    games: str  # their fingerprint
    keys: KeyNetwork
    shards: KeyShards
    train_ids: Int[Tensor, " N"]  # ascending
    test_ids: Int[Tensor, " M"]  # ascending
    train: Precomputed  # of the training positions, each from the half that its game is not in
    tests: dict[float, Precomputed]  # of the test positions, by the share of games looked up in

    @property
    def fingerprint(self) -> str:
        """Of all that a result depends on: settings, games and keys."""
        return self.folder.name

    def database(self, fraction: float = WHOLE, progress: bool = True) -> Database:
        """The database of a share of the games, loaded; it has two halves.

        Raises:
            ValueError: nothing was prepared for this share.
        """
        if fraction not in self.tests:
            raise ValueError(f"fraction must be one of {self.settings.fractions}, got {fraction}")
        place = _place_of(self.folder, fraction)
        parts = (self.positions, self.shards, self.keys)
        return _database(self.settings, place, *parts, fraction, progress)

    def neighbors_of_train(self, ids: Int[Tensor, " B"], k: int) -> Neighbors:
        """The k nearest of training positions."""
        return self.train.of(ids, k)

    def neighbors_of_test(
        self, ids: Int[Tensor, " B"], k: int, fraction: float = WHOLE
    ) -> Neighbors:
        """The k nearest of test positions, in a share of the games."""
        return self.tests[fraction].of(ids, k)

    def random_neighbors_of_test(self, ids: Int[Tensor, " B"], k: int) -> Neighbors:
        """For each test position those of another one: always the same, and no two get those of
        one. It may be of the same game."""
        generator = torch.Generator().manual_seed(self.settings.seed)
        order = torch.randperm(len(self.test_ids), generator=generator)
        giver = torch.empty_like(order)
        giver[order] = order.roll(1)  # one cycle, so that nobody keeps its own
        rows = torch.searchsorted(self.test_ids, ids)
        return self.tests[WHOLE].of(self.test_ids[giver[rows]], k)


class RememberedKeys:
    """A key network that answers from memory what it was asked before.

    The same test positions are looked up in several databases, and making their keys costs more
    than the search.
    """

    def __init__(self, keys: KeyNetwork) -> None:
        self._keys, self._known = keys, {}
        self.dim, self.fingerprint, self.canonical = keys.dim, keys.fingerprint, keys.canonical

    def __call__(self, planes: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D"]:
        """The keys of positions, on the CPU."""
        asked = hashlib.sha256(planes.cpu().contiguous().numpy().tobytes()).digest()
        if asked not in self._known:
            self._known[asked] = self._keys(planes).cpu()
        return self._known[asked]


def shared_folder(folder: Path) -> Path:
    """Where the studies keep what they share: for runs/STUDY/PRESET, runs/go_retrieval_data."""
    return folder.parent.parent / "go_retrieval_data"


def prepare(
    settings: Settings,
    folder: Path,
    progress: bool = True,
    *,
    device: torch.device | str = "cpu",
    known: str | None = None,
) -> Data:
    """Makes what is missing, and opens all of it.

    Args:
        settings: see `Settings`.
        folder: as `shared_folder` gives it; receives a folder for these settings, today's games and
            keys.
        progress: draw bars.
        device: of the key network; the searches are on the CPU.
        known: the fingerprint that the data must have, if any: that of a run which has begun.

    Raises:
        FileNotFoundError: there are no games, or no key network.
        ValueError: there are too few games, a file is damaged, another process is preparing the
            same, or games or keys have changed since that run; nothing is made then.
    """
    rules, games = shipped.load_games()
    if settings.num_games is not None:
        games = some_games(games, settings.num_games, settings.num_test_games)
    keys = KeyNetwork.load(shipped.key_network_path(), device)
    about = asdict(settings) | {"games": shipped.fingerprint(games), "keys": keys.fingerprint}
    whole = json.dumps(about, sort_keys=True)
    place = folder / hashlib.sha256(whole.encode()).hexdigest()[:16]
    check_known(known, place.name)
    if not (place / _DONE).exists():
        place.mkdir(parents=True, exist_ok=True)
        try:
            with exclusively(place / ".lock"):
                _make(settings, place, rules, games, keys, progress)
                write_whole(place / _DONE, whole + "\n")
        except BlockingIOError as error:
            raise ValueError(str(error)) from error
    return _open(settings, place, about["games"], keys)


def check_known(known: str | None, found: str) -> None:
    """Compares the fingerprint of the data of a run that has begun, None before, with today's.

    Raises:
        ValueError: it is another one.
    """
    if known not in (None, found):
        raise ValueError(
            f"the run was begun with the data {known}, and now they are {found}: the games or the"
            " key network in data/go9x9 have changed. Restore them, or train anew in another folder"
        )


def drawn(ids: Int[Tensor, " N"], count: int, seed: int) -> Int[Tensor, " M"]:
    """At most `count` of the ids, in ascending order."""
    order = torch.randperm(len(ids), generator=torch.Generator().manual_seed(seed))
    return ids[order[:count]].sort().values


def _make(
    settings: Settings,
    place: Path,
    rules: Rules,
    games: Sequence[Game],
    keys: KeyNetwork,
    progress: bool,
) -> None:
    positions = positions_of(place / "positions", rules, games, progress)
    shards = compute_keys(place / "keys", positions, keys, progress=progress)
    pool = drawn(positions.of_split(*SPLITS), settings.num_pool, settings.seed)
    tests = drawn(positions.of_split("test"), settings.num_test, settings.seed + 1)
    remembered = RememberedKeys(keys)
    for fraction in reversed(settings.fractions):
        here = _place_of(place, fraction)
        parts = (positions, shards, remembered)
        found = _database(settings, here, *parts, fraction, progress)
        found.precompute(tests, settings.k, here / "tests", held_out=True, progress=progress)
        report = _report(found, positions, tests, settings.k)
        write_whole(here / _REPORT, json.dumps(report._asdict()) + "\n")
        if progress:
            tqdm.write(f"{fraction:.0%} of the games, {report}")
    whole = _place_of(place, WHOLE)
    found = _database(settings, whole, positions, shards, keys, WHOLE, progress)
    found.precompute(pool, settings.k, whole / "train", progress=progress)


def _report(database: Database, positions: Positions, tests: Int[Tensor, " N"], k: int) -> Report:
    """Of some test positions."""
    some = drawn(tests, _NUM_REPORTED, seed=0)
    return database.report(positions.batch(some).planes, k)


def _open(settings: Settings, place: Path, games: str, keys: KeyNetwork) -> Data:
    positions = Positions.open(place / "positions")
    shards = KeyShards.open(place / "keys", positions, keys)
    train = Precomputed.open(_place_of(place, WHOLE) / "train")
    tests = {
        fraction: Precomputed.open(_place_of(place, fraction) / "tests")
        for fraction in settings.fractions
    }
    train_ids, test_ids = (torch.from_numpy(x.queries.copy()) for x in (train, tests[WHOLE]))
    return Data(settings, place, positions, games, keys, shards, train_ids, test_ids, train, tests)


def _place_of(place: Path, fraction: float) -> Path:
    return place / f"fraction_{fraction:g}"


def _database(
    settings: Settings,
    place: Path,
    positions: Positions,
    shards: KeyShards,
    keys: Any,
    fraction: float,
    progress: bool,
) -> Database:
    """Loaded where it was built before."""
    config = database_config.Config(
        split_halves=True,
        fraction=fraction,
        splits=SPLITS,
        symmetries="query",
        num_train=settings.num_train,
        seed=settings.seed,
    )
    count = len(database_config.chosen(config, positions, 0, len(shards)))
    if count >= _FEW_KEYS and settings.index != database_config.EXACT:
        approximate = {"nprobe": settings.nprobe, "rerank": settings.rerank}
        config = replace(config, index=settings.index, **approximate)
    found = Database(place / "index", positions, keys, shards, config)
    try:
        found.load(progress)
    except FileNotFoundError:
        found.build(progress)
    return found
