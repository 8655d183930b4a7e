"""The index of a database on disk: `database.json`, and a file for each index of FAISS.

The names of the files hold the fingerprint of what is in them, and `database.json`, which names
them, is replaced last: whatever crashes, the folder holds one whole database or none. An exact
index has no file: it is filled from the keys.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rlcourse.data.faiss_index import FaissIndex
from rlcourse.data.files import write_whole
from rlcourse.data.index import ExactIndex
from rlcourse.go.database_config import EXACT, Config

FORMAT = "rlcourse database 1"
_MANIFEST = "database.json"
_SEARCH_ONLY = ("nprobe", "ef")  # may change without building anew


def settings_of(
    config: Config, count: int, num_trained: int, removed: Sequence[int], keys: str
) -> dict[str, Any]:
    """What decides the content of an index.

    Args:
        config: of the database.
        count: positions 0 ... count - 1 are in it where they are chosen.
        num_trained: positions that there were when FAISS was trained; 0 for an exact index.
        removed: sources that were taken out again.
        keys: fingerprint of the keys of these positions.
    """
    kept = {name: value for name, value in asdict(config).items() if name not in _SEARCH_ONLY}
    content = {"config": kept, "num_positions": count, "num_trained": num_trained}
    content |= {"removed": list(removed), "keys": keys}
    return json.loads(json.dumps(content))  # as it comes back from disk


def fingerprint_of(settings: dict[str, Any], *search: int | None) -> str:
    """A hash of settings, and of what else decides what a search finds."""
    return hashlib.sha256(json.dumps([settings, *search], sort_keys=True).encode()).hexdigest()


def write(
    folder: Path, indexes: Sequence[ExactIndex | FaissIndex], settings: dict[str, Any]
) -> None:
    """Replaces what the folder holds.

    Raises:
        OSError: it cannot be written; what was there before is whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    about, parts = fingerprint_of(settings), []
    for number, index in enumerate(indexes):
        if isinstance(index, FaissIndex):
            parts.append(f"index_{number}_{about[:16]}.faiss")
            index.save(folder / parts[-1], about)
    sizes = [len(index) for index in indexes]
    manifest = {"format": FORMAT, "parts": parts, "sizes": sizes, "settings": settings}
    write_whole(folder / _MANIFEST, json.dumps(manifest, indent=1, sort_keys=True) + "\n")
    for path in folder.glob("index_*.faiss"):
        if path.name not in parts:
            path.unlink()


def read(folder: Path) -> dict[str, Any]:
    """What `write` wrote: "parts", "sizes" and "settings".

    Raises:
        FileNotFoundError: there is no database.
        ValueError: its description is damaged.
    """
    path = folder / _MANIFEST
    if not path.exists():
        raise FileNotFoundError(f"no database in {folder}: make it with `Database.build`")
    try:
        manifest = json.loads(path.read_text())
        settings = manifest["settings"]
        if manifest["format"] != FORMAT or not {"parts", "sizes"} <= manifest.keys():
            raise ValueError
        if not {"config", "num_positions", "num_trained", "removed", "keys"} <= settings.keys():
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{path} is damaged: make it anew with `Database.build`") from None
    return manifest


def check_same(folder: Path, saved: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Compares settings.

    Raises:
        ValueError: they differ, by what.
    """
    ours, theirs = wanted["config"], saved["config"]
    different = [name for name in ours if theirs.get(name) != ours[name]]
    if different:
        said = ", ".join(f"{name}={theirs.get(name)!r}, not {ours[name]!r}" for name in different)
        raise ValueError(
            f"the database in {folder} was built with {said}: ask for that, or make it anew with"
            " `Database.build`"
        )
    if saved["keys"] != wanted["keys"]:
        raise ValueError(
            f"the database in {folder} was built of other keys or other positions: open those, or"
            " make it anew with `Database.build`"
        )


def load_parts(folder: Path, manifest: dict[str, Any], config: Config) -> list[FaissIndex]:
    """The indexes of FAISS, which search as `config` says.

    Raises:
        ValueError: a file is missing or damaged.
    """
    about, indexes = fingerprint_of(manifest["settings"]), []
    for name, size in zip(manifest["parts"], manifest["sizes"], strict=True):
        try:
            index = FaissIndex.load(folder / name, about)
        except (FileNotFoundError, ValueError) as error:
            raise ValueError(f"{error}. Make it with `Database.build`") from error
        if len(index) != size:
            raise ValueError(
                f"{folder / name} should hold {size} keys, but holds {len(index)}: make it anew"
                " with `Database.build`"
            )
        index.nprobe, index.ef = config.nprobe, config.ef
        indexes.append(index)
    return indexes


def bytes_on_disk(folder: Path, settings: dict[str, Any]) -> float | None:
    """Bytes that the files of FAISS take for each position, None for an exact index.

    Args:
        folder: of the database.
        settings: of the index in memory, from `settings_of`.

    Raises:
        FileNotFoundError: there is no database.
        ValueError: its description is damaged, or it is not the one in memory.
    """
    if settings["config"]["index"] == EXACT:
        return None
    manifest = read(folder)
    if manifest["settings"] != settings:
        raise ValueError(
            f"{folder} holds another index than the one in memory: write that with `Database.save`"
        )
    total = sum((folder / name).stat().st_size for name in manifest["parts"])
    return total / max(1, sum(manifest["sizes"]))
