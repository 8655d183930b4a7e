"""A database in three folders, positions, keys and index, opened or made without saying how again.

What a `database.Database` is made of lies in folders of their own, so that several databases can
share positions and keys. `DatabaseFiles` names them; the index says itself with which settings it
was built.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm.auto import tqdm

from rlcourse.go import database_files, shipped
from rlcourse.go.database import Config, Database
from rlcourse.go.database_config import chosen
from rlcourse.go.database_report import Report
from rlcourse.go.key_shards import KeyShards, compute_keys
from rlcourse.go.keys import KeyNetwork, canonical_symmetry
from rlcourse.go.positions import Positions
from rlcourse.go.records import Game
from rlcourse.go.rules import Rules

_FEW = 100_000
_NUM_ASKED = 100  # positions, for a report
_K = 10


@dataclass(frozen=True)
class DatabaseFiles:
    """Where a database lies.

    Attributes:
        positions, keys, index: folders.
        key_network: the file of the network that made the keys; None: the one that is shipped.
        nprobe, ef: of FAISS, which may differ from search to search.
    """

    positions: Path
    keys: Path
    index: Path
    key_network: Path | None = None
    nprobe: int | None = None
    ef: int | None = None

    @classmethod
    def below(cls, folder: Path, key_network: Path | None = None) -> "DatabaseFiles":
        """The folders of these names inside `folder`."""
        return cls(folder / "positions", folder / "keys", folder / "index", key_network)

    def load_keys(self, device: torch.device | str = "cpu") -> KeyNetwork:
        """The network of the keys.

        Raises:
            FileNotFoundError: there is none.
            ValueError: the file is damaged.
        """
        return KeyNetwork.load(self.key_network or shipped.key_network_path(), device)


def open_database(
    files: DatabaseFiles, device: torch.device | str = "cpu", progress: bool = True
) -> Database:
    """The database with the positions that its index held when it was saved.

    Args:
        files: where it lies.
        device: of the network of the keys. FAISS searches on the CPU; an exact index there too,
            unless the device is another.
        progress: draw a bar where an exact index is filled.

    Raises:
        FileNotFoundError: a folder or the network is missing.
        ValueError: a file is damaged, or positions, keys, index and network do not belong together.
    """
    keys = files.load_keys(device)
    positions = Positions.open(files.positions)
    shards = KeyShards.open(files.keys, positions, keys)
    saved = dict(database_files.read(files.index)["settings"]["config"])
    for name in ("splits", "expert_sources"):  # JSON knows no tuples
        saved[name] = tuple(saved[name])
    config = Config(**saved, nprobe=files.nprobe, ef=files.ef)
    made = _database(files, positions, keys, shards, config, device)
    made.load(progress)
    return made


def build_database(
    files: DatabaseFiles,
    rules: Rules,
    games: Iterable[Game],
    config: Config,
    *,
    keep: float = 1.0,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: bool = True,
) -> Database:
    """Makes positions, keys and index where they are missing; what was interrupted goes on.

    Args:
        files: where they are to lie; `config` has nprobe and ef.
        rules: of the games.
        games: of source 0. Those that the folder has already, by their numbers, are left out.
        config: of the database.
        keep, seed: the share of the positions that are stored, as for `Positions.append`.
        device: as for `open_database`.
        progress: draw bars, and say in the end how well and how fast the index finds.

    Raises:
        FileNotFoundError: there is no network of the keys.
        ValueError: the folders hold other games, by number, or something else.
        BlockingIOError: another process makes the same.
    """
    keys = files.load_keys(device)
    exists = (files.positions / "positions.json").exists()
    positions = (
        Positions.open(files.positions) if exists else Positions.create(files.positions, rules)
    )
    known, games = positions.numbers(), list(games)
    others = known - {game.number for game in games}
    if others or positions.rules != rules:
        what = f"game {min(others)}" if others else f"games by {positions.rules}, not {rules}"
        raise ValueError(f"{files.positions} holds {what}: choose another folder, or delete it")
    missing = [game for game in games if game.number not in known]
    if missing:
        positions.append(missing, keep=keep, seed=seed, progress=progress)
    form = canonical_symmetry if config.symmetries == "canonical" else None
    shards = compute_keys(files.keys, positions, keys, canonical_form=form, progress=progress)
    made = _database(files, positions, keys, shards, config, device)
    made.build(progress)
    if progress and (report := report_on_own(made)) is not None:
        tqdm.write(str(report))
    return made


def report_on_own(database: Database, seed: int = 0) -> Report | None:
    """How well some positions of a database find their neighbors in its other games; None where it
    has only one game."""
    positions = database.positions
    stored = chosen(database.config, positions, 0, len(positions))
    if len(positions.games[stored].unique()) < 2:
        return None
    order = torch.randperm(len(stored), generator=torch.Generator().manual_seed(seed))
    asked = positions.batch(stored[order[:_NUM_ASKED]].sort().values)
    return database.report(asked.planes, _K, exclude_game=asked.game)


def _database(
    files: DatabaseFiles,
    positions: Positions,
    keys: KeyNetwork,
    shards: KeyShards,
    config: Config,
    device: torch.device | str,
) -> Database:
    form = canonical_symmetry if config.symmetries == "canonical" else None
    where = device if config.index == "exact" else "cpu"
    return Database(files.index, positions, keys, shards, config, device=where, canonical_form=form)


def settings_for(num_positions: int) -> Config:
    """For an agent that plays: all positions in one index, which is asked about all eight
    symmetries of a board. Below 100,000 positions all are compared."""
    if num_positions < _FEW:
        return Config(symmetries="query")
    index = "IVF1024,PQ32x4fs,Refine(SQ8)"
    return Config(index, nprobe=16, rerank=32, num_train=_FEW, symmetries="query")
