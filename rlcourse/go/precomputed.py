"""The neighbors of many positions, searched once and kept on disk.

As in section 3 of Humphreys et al., "Large-Scale Retrieval for Reinforcement Learning", NeurIPS
2022, the key network is frozen, so that the neighbors of the training positions do not change.

A folder holds `precomputed.json` and the arrays `queries.npy` [N] int64, ascending, `ids.npy`
[N, K] int32 (int64 above 2^31 positions), `distances.npy` [N, K] float32 and `symmetry.npy` [N, K]
int8. They are written in blocks; the description is replaced every few seconds, so that an
interrupted run goes on from there. A position takes 8 + 9 K bytes, with K = 10 and 50 million
positions 4.9 GB [by formula, not measured].
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from tqdm.auto import tqdm

from rlcourse.data.files import exclusively, replacing, write_whole
from rlcourse.go.neighbors import Neighbors

if TYPE_CHECKING:
    from rlcourse.go.database import Database

FORMAT = "rlcourse neighbors 1"
_MANIFEST, _LOCK = "precomputed.json", ".lock"
_SAVE_AFTER = 10.0  # seconds of work that an interruption may cost, and a block


@dataclass(frozen=True)
class Precomputed:
    """Neighbors on disk, mapped. Make them with `Database.precompute`."""

    folder: Path
    k: int
    fingerprint: str  # of the database that they were searched in
    queries: np.ndarray  # [N] positions, ascending
    _ids: np.ndarray  # [N, K]
    _distances: np.ndarray  # [N, K]
    _symmetry: np.ndarray  # [N, K]

    @classmethod
    def open(cls, folder: Path, fingerprint: str | None = None) -> "Precomputed":
        """Maps the arrays.

        Args:
            folder: of `Database.precompute`.
            fingerprint: of the database that they must come from; None: of any.

        Raises:
            FileNotFoundError: there are none.
            ValueError: they are incomplete, damaged, or of another database.
        """
        manifest = _read_manifest(folder)
        about, count = manifest["about"], manifest["about"]["count"]
        if fingerprint is not None and about["database"] != fingerprint:
            raise ValueError(
                f"{folder} holds neighbors of another database: open that one, or run"
                " `Database.precompute` in another folder"
            )
        if manifest["done"] < count:
            raise ValueError(
                f"{folder} holds the neighbors of {manifest['done']} of {count} positions: run"
                " `Database.precompute` again, it goes on there"
            )
        arrays = _opened(folder, about, "r")
        return cls(folder, about["k"], about["database"], *arrays)

    def __len__(self) -> int:
        """Number of positions whose neighbors are here."""
        return len(self.queries)

    def of(self, ids: Int[Tensor, " B"], k: int | None = None) -> Neighbors:
        """The neighbors of positions, on the CPU.

        Args:
            ids: of positions that were given to `Database.precompute`, in any order.
            k: only so many; None: all.

        Raises:
            ValueError: a position that was not among them, or a k that is not there.
        """
        wanted = ids.cpu().numpy()
        at = np.searchsorted(self.queries, wanted).clip(max=max(0, len(self) - 1))
        missing = self.queries[at] != wanted
        if missing.any():
            raise ValueError(
                f"position {wanted[missing][0]} has no neighbors in {self.folder}: give it to"
                " `Database.precompute`"
            )
        arrays = (self._ids[at], self._distances[at], self._symmetry[at])
        found, distances, symmetry = (torch.from_numpy(array) for array in arrays)
        return Neighbors(found.long(), distances, symmetry.long()).nearest(
            self.k if k is None else k
        )

    def verify(self) -> None:
        """Reads every file and compares its checksum.

        Raises:
            ValueError: a file is damaged.
        """
        for name, checksum in _read_manifest(self.folder)["checksums"].items():
            if _checksum(self.folder / name) != checksum:
                raise ValueError(_damage(self.folder / name))


def precompute(
    database: "Database",
    ids: Int[Tensor, " N"],
    k: int,
    folder: Path,
    *,
    held_out: bool = False,
    block: int = 1024,
    progress: bool = True,
) -> Precomputed:
    """The neighbors of positions on disk, without their own games.

    Args:
        database: to search in.
        ids: of positions; each counts once.
        k: neighbors.
        folder: made if absent; one that an interrupted run left is completed.
        held_out: none of the positions is stored: in halves, both answer.
        block: positions that are searched at a time.
        progress: whether to draw a bar.

    Raises:
        BlockingIOError: another process computes neighbors there.
        ValueError: the folder holds those of another database, other ids or another k; ids that are
            no positions, or none; with `held_out`, a position that is stored; k or block < 1.
    """
    for name, value in (("k", k), ("block", block)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    queries = ids.cpu().long().unique()
    last = len(database.positions) - 1
    if not len(queries) or queries[0] < 0 or queries[-1] > last:
        given = f"{int(queries[0])} to {int(queries[-1])}" if len(queries) else "none"
        raise ValueError(f"ids must be positions, 0 to {last}, got {given}")
    if held_out and (stored := queries[torch.isin(queries, database.held())]).numel():
        raise ValueError(
            f"position {int(stored[0])} is stored: leave held_out out, or give only positions of"
            " games that are not"
        )
    about = _about(database, queries, k) | {"held_out": held_out}
    folder.mkdir(parents=True, exist_ok=True)
    with exclusively(folder / _LOCK):
        done = _prepare(folder, about, queries.numpy())
        if done < len(queries):
            _compute(database, queries, done, folder, about, block, progress)
    return Precomputed.open(folder, database.fingerprint)


def _compute(
    database: "Database",
    queries: Tensor,
    done: int,
    folder: Path,
    about: dict[str, Any],
    block: int,
    progress: bool,
) -> None:
    _, *arrays = _opened(folder, about, "r+")
    bar = tqdm(desc="neighbors", total=len(queries), initial=done, disable=not progress)
    with bar:
        saved = monotonic()
        for ids in queries[done:].split(block):
            positions, exclude = database.positions, {}
            if not about["held_out"]:
                exclude["exclude_game"] = positions.games[ids]
                exclude["exclude_source"] = positions.sources[ids]
            found = database.retrieve(positions.batch(ids).planes, about["k"], **exclude)
            for array, part in zip(arrays, found, strict=True):
                array[done : done + len(ids)] = part.numpy()
            done += len(ids)
            bar.update(len(ids))
            now = monotonic()
            if now - saved >= _SAVE_AFTER or done == len(queries):
                for array in arrays:
                    array.flush()
                _write_manifest(folder, about, done, done == len(queries))
                saved = now


def _prepare(folder: Path, about: dict[str, Any], queries: np.ndarray) -> int:
    """Makes the files where there are none; returns how many positions are done.

    Raises:
        ValueError: there are others.
    """
    if (folder / _MANIFEST).exists():
        manifest = _read_manifest(folder)
        different = [name for name in about if manifest["about"].get(name) != about[name]]
        if different:
            raise ValueError(
                f"{folder} holds neighbors with another {', '.join(different)}: choose another"
                " folder, or delete this one"
            )
        return manifest["done"]
    shape = (about["count"], about["k"])
    for name, dtype in _dtypes(about).items():
        with replacing(folder / name) as file:
            if name == "queries.npy":
                np.save(file, queries, allow_pickle=False)
                continue
            header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype))}
            header |= {"fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            file.truncate(file.tell() + shape[0] * shape[1] * np.dtype(dtype).itemsize)
    _write_manifest(folder, about, 0, False)
    return 0


def _about(database: "Database", queries: Tensor, k: int) -> dict[str, Any]:
    digest = hashlib.sha256(queries.numpy().tobytes()).hexdigest()
    wide = len(database.positions) >= 2**31
    about = {"database": database.fingerprint, "ids": digest, "count": len(queries), "k": k}
    return about | {"wide": wide}


def _dtypes(about: dict[str, Any]) -> dict[str, type]:
    ids = np.int64 if about["wide"] else np.int32
    names = ("queries.npy", "ids.npy", "distances.npy", "symmetry.npy")
    return dict(zip(names, (np.int64, ids, np.float32, np.int8), strict=True))


def _opened(folder: Path, about: dict[str, Any], mode: str) -> list[np.ndarray]:
    arrays = []
    for name, dtype in _dtypes(about).items():
        shape = (about["count"],) if name == "queries.npy" else (about["count"], about["k"])
        try:
            array = np.load(folder / name, mmap_mode=mode, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise ValueError(_damage(folder / name)) from error
        if array.shape != shape or array.dtype != dtype:
            raise ValueError(_damage(folder / name))
        arrays.append(array)
    return arrays


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _damage(path: Path) -> str:
    return f"{path} is missing or damaged: delete its folder and run `Database.precompute` again"


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / _MANIFEST
    if not path.exists():
        raise FileNotFoundError(f"no neighbors in {folder}: make them with `Database.precompute`")
    try:
        manifest = json.loads(path.read_text())
        about = manifest["about"]
        if manifest["format"] != FORMAT or not {"done", "checksums"} <= manifest.keys():
            raise ValueError
        if not {"database", "ids", "count", "k", "wide", "held_out"} <= about.keys():
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(_damage(path)) from None
    return manifest


def _write_manifest(folder: Path, about: dict[str, Any], done: int, complete: bool) -> None:
    sums = {name: _checksum(folder / name) for name in _dtypes(about)} if complete else {}
    content = {"format": FORMAT, "about": about, "done": done, "checksums": sums}
    write_whole(folder / _MANIFEST, json.dumps(content, indent=1, sort_keys=True) + "\n")
