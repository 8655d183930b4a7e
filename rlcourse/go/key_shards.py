"""Keys of positions on disk, which memory need not hold.

The keys are those of section 3 of Humphreys et al., "Large-Scale Retrieval for Reinforcement
Learning", NeurIPS 2022: k_i = g_phi(o_i), of a frozen network. Row i belongs to position i.

A folder holds `keys.json` and, for each shard, `keys_00000.npy` [N, D]. Where the network brings
positions into a canonical form first, `symmetries_00000.npy` [N] says by which symmetry. Shards are
only ever appended, so that the first rows keep their meaning when positions are added. A shard
takes its place once it is complete: an interrupted computation goes on after the last one.

A position takes 2 D bytes as float16 and 4 D as float32, and one more with a canonical form.
50 million keys of 64 numbers take 6.4 GB as float16 [by formula, not measured].

**Deviations**: the paper does not say how its keys are stored.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm.auto import tqdm

from rlcourse.data.files import exclusively, replacing, write_whole

if TYPE_CHECKING:
    from rlcourse.go.keys import KeyNetwork
    from rlcourse.go.positions import Positions

FORMAT = "rlcourse keys 1"
DTYPES = {"float16": torch.float16, "float32": torch.float32}
_MANIFEST, _LOCK = "keys.json", ".lock"
_SAMPLED = 64  # boards of a shard that its identity looks at

CanonicalForm = Callable[[Tensor], Tensor]  # planes [B, C, H, W] -> symmetry [B]


class _Shard(NamedTuple):
    name: str
    count: int
    checksum: str  # of its files
    identity: str  # of its positions

    def path(self, folder: Path, kind: str) -> Path:
        return folder / f"{kind}_{self.name}.npy"


@dataclass(frozen=True)
class KeyShards:
    """Keys that are complete for the positions 0 ... len - 1. Make them with `compute_keys`."""

    folder: Path
    dim: int
    dtype: str  # "float16" or "float32"
    canonical: bool  # whether a symmetry is kept for each position
    key_fingerprint: str  # of the network that made them
    shards: tuple[_Shard, ...]
    _keys: tuple[np.ndarray, ...]  # [N, D] each, mapped
    _symmetries: tuple[np.ndarray, ...]  # [N] each, mapped; empty without a canonical form

    @classmethod
    def open(cls, folder: Path, positions: "Positions", keys: "KeyNetwork") -> "KeyShards":
        """Maps the keys that are on disk. There may be more positions than keys.

        Raises:
            FileNotFoundError: there are none.
            ValueError: they are of other positions or another network, or a file is damaged.
        """
        manifest = _read_manifest(folder)
        if manifest["keys"] != keys.fingerprint or manifest["dim"] != keys.dim:
            raise ValueError(
                f"{folder} holds keys of the network {manifest['keys']!r} with"
                f" {manifest['dim']} numbers, not of {keys.fingerprint!r} with {keys.dim}: load"
                " that network, or run `compute_keys` in another folder"
            )
        shards = tuple(_Shard(**shard) for shard in manifest["shards"])
        if manifest["positions"] != positions.fingerprint:
            _check_positions(folder, shards, positions)
        dtype, canonical = manifest["dtype"], manifest["canonical"]
        arrays = tuple(_mapped(folder, shard, dtype, keys.dim) for shard in shards)
        symmetries = [_mapped_symmetries(folder, shard) for shard in shards if canonical]
        return cls(
            folder, keys.dim, dtype, canonical, keys.fingerprint, shards, arrays, tuple(symmetries)
        )

    def __len__(self) -> int:
        """Number of positions that have keys."""
        return sum(shard.count for shard in self.shards)

    @property
    def bytes_per_position(self) -> float:
        """Bytes on disk for a position."""
        arrays = (*self._keys, *self._symmetries)
        return sum(array.nbytes for array in arrays) / max(1, len(self))

    def fingerprint(self, count: int | None = None) -> str:
        """Of the first `count` keys (None: all), the network and the positions.

        Raises:
            ValueError: no shard ends there.
        """
        bounds = self._bounds().tolist()
        if count is not None and count not in bounds:
            raise ValueError(
                f"no shard in {self.folder} ends after {count} keys: they were computed anew since"
            )
        shards = self.shards if count is None else self.shards[: bounds.index(count)]
        parts = [self.key_fingerprint, self.dtype, str(self.canonical)]
        parts += [shard.checksum + shard.identity for shard in shards]
        return hashlib.sha256("|".join(parts).encode()).hexdigest()

    def rows(self, ids: Int[Tensor, " N"]) -> Float[Tensor, "N D"]:
        """The keys of positions as float32, on the CPU; -1 is no id here.

        Raises:
            ValueError: an id without a key.
        """
        rows = np.zeros((len(ids), self.dim), np.float32)
        self._gather(ids, self._keys, rows)
        return torch.from_numpy(rows)

    def symmetries(self, ids: Int[Tensor, " N"]) -> Int[Tensor, " N"]:
        """The symmetry that brings each position into its canonical form, 0 without one.

        Raises:
            ValueError: an id without a key.
        """
        found = np.zeros(len(ids), np.int64)
        if self.canonical:
            self._gather(ids, self._symmetries, found)
        return torch.from_numpy(found)

    def blocks(
        self, ids: Int[Tensor, " N"], size: int = 1 << 18
    ) -> Iterator[tuple[Float[Tensor, "M D"], Int[Tensor, " M"]]]:
        """Keys and ids in the order given, at most `size` at a time.

        Raises:
            ValueError: an id without a key.
        """
        for some in ids.split(size):
            yield self.rows(some), some

    def round(self, keys: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
        """Keys as they come back from disk: a position then has distance 0 from itself."""
        return keys.detach().to(DTYPES[self.dtype]).float()

    def verify(self) -> None:
        """Reads every file and compares its checksum.

        Raises:
            ValueError: a file is damaged.
        """
        for shard in self.shards:
            if _checksum(self.folder, shard, self.canonical) != shard.checksum:
                raise ValueError(_damage(shard.path(self.folder, "keys")))

    def _bounds(self) -> np.ndarray:
        return np.cumsum([0] + [shard.count for shard in self.shards])

    def _gather(self, ids: Tensor, arrays: tuple[np.ndarray, ...], out: np.ndarray) -> None:
        wanted, bounds = ids.cpu().numpy(), self._bounds()
        if len(wanted) and not 0 <= wanted.min() <= wanted.max() < len(self):
            bad = wanted.min() if wanted.min() < 0 else wanted.max()
            raise ValueError(
                f"position {bad} has no key, there are {len(self)} in {self.folder}: run"
                " `compute_keys` there to add those of new positions"
            )
        places = np.searchsorted(bounds, wanted, side="right") - 1
        for place in np.unique(places):
            here = np.flatnonzero(places == place)
            out[here] = arrays[place][wanted[here] - bounds[place]]


def compute_keys(
    folder: Path,
    positions: "Positions",
    keys: "KeyNetwork",
    *,
    dtype: str = "float16",
    canonical_form: CanonicalForm | None = None,
    rows_per_shard: int = 1 << 18,
    batch_size: int = 4096,
    progress: bool = True,
) -> KeyShards:
    """Computes the keys that are missing: all of them, or those of positions that were added.

    Args:
        folder: made if absent.
        positions: which to compute keys of.
        keys: planes [B, C, H, W] on the CPU -> keys [B, D].
        dtype: how they are stored, "float16" or "float32".
        canonical_form: `keys.canonical_symmetry`, for a network that uses that form.
        rows_per_shard: so much work an interruption can cost; the last shard may be shorter.
        batch_size: positions that are read at a time.

    Raises:
        BlockingIOError: another process computes keys there.
        ValueError: the folder holds keys of other positions, another network or another dtype; a
            setting out of its range; keys that are not finite as `dtype`.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
    for name, value in (("rows_per_shard", rows_per_shard), ("batch_size", batch_size)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    folder.mkdir(parents=True, exist_ok=True)
    with exclusively(folder / _LOCK):
        held = _prepared(folder, positions, keys, dtype, canonical_form is not None)
        shards, start = list(held.shards), len(held)
        bar = tqdm(desc="keys", total=len(positions), initial=start, disable=not progress)
        with bar:
            while start < len(positions):
                stop = min(start + rows_per_shard, len(positions))
                name = f"{len(shards):05}"
                batches = torch.arange(start, stop).split(batch_size)
                arrays = _computed(positions, keys, batches, dtype, canonical_form, bar)
                shards.append(_write_shard(folder, name, *arrays, positions, start))
                _write_manifest(folder, _read_manifest(folder), positions, shards)
                start = stop
    return KeyShards.open(folder, positions, keys)


def _prepared(
    folder: Path, positions: "Positions", keys: "KeyNetwork", dtype: str, canonical: bool
) -> KeyShards:
    """The keys that a folder holds already, of which there may be none."""
    if getattr(keys, "canonical", canonical) != canonical:
        raise ValueError(
            f"the key network has canonical={keys.canonical}: give canonical_form with a network"
            " that uses one, and with no other"
        )
    if not (folder / _MANIFEST).exists():
        about = {"keys": keys.fingerprint, "dim": keys.dim, "dtype": dtype}
        _write_manifest(folder, about | {"canonical": canonical}, positions, [])
    held = KeyShards.open(folder, positions, keys)
    if (held.dtype, held.canonical) != (dtype, canonical):
        raise ValueError(
            f"{folder} holds keys with dtype={held.dtype!r} and canonical={held.canonical}, not"
            f" {dtype!r} and {canonical}: ask for those, or choose another folder"
        )
    return held


def _computed(
    positions: "Positions",
    keys: "KeyNetwork",
    batches: tuple[Tensor, ...],
    dtype: str,
    canonical_form: CanonicalForm | None,
    bar: tqdm,
) -> tuple[np.ndarray, np.ndarray | None]:
    """The keys [N, D] of a shard, and the symmetries [N] of canonical forms."""
    rows, symmetries = [], []
    for ids in batches:
        planes = positions.batch(ids).planes
        some = keys(planes).detach().to("cpu", DTYPES[dtype])
        if some.shape != (len(ids), keys.dim):
            raise ValueError(f"keys must have shape {[len(ids), keys.dim]}, got {list(some.shape)}")
        bad = ~some.isfinite().all(-1)
        if bad.any():
            raise ValueError(
                f"the key of position {int(ids[bad][0])} is not finite as {dtype}: store float32,"
                " or mend the network that made it"
            )
        rows.append(some)
        if canonical_form is not None:
            symmetries.append(canonical_form(planes).to("cpu", torch.uint8))
        bar.update(len(ids))
    return torch.cat(rows).numpy(), torch.cat(symmetries).numpy() if symmetries else None


def _write_shard(
    folder: Path,
    name: str,
    keys: np.ndarray,
    symmetries: np.ndarray | None,
    positions: "Positions",
    start: int,
) -> _Shard:
    shard = _Shard(name, len(keys), "", _identity(positions, start, start + len(keys)))
    with replacing(shard.path(folder, "keys")) as file:
        np.save(file, keys, allow_pickle=False)
    if symmetries is not None:
        with replacing(shard.path(folder, "symmetries")) as file:
            np.save(file, symmetries, allow_pickle=False)
    return shard._replace(checksum=_checksum(folder, shard, symmetries is not None))


def _identity(positions: "Positions", start: int, stop: int) -> str:
    """A hash of games, plies and sources of a range of positions, and of some of their boards."""
    columns = (positions.games, positions.plies, positions.sources)
    digest = hashlib.sha256()
    for column in columns:
        digest.update(np.ascontiguousarray(column[start:stop].cpu().numpy(), np.int64).tobytes())
    sampled = start + torch.arange(_SAMPLED) * (stop - start) // _SAMPLED
    stones = positions.batch(sampled.unique()).stones
    digest.update(np.ascontiguousarray(stones.numpy(), np.int8).tobytes())
    return digest.hexdigest()


def _check_positions(folder: Path, shards: tuple[_Shard, ...], positions: "Positions") -> None:
    """Positions may have been added since; those that have keys must be the same.

    Raises:
        ValueError: they are not.
    """
    start = 0
    for shard in shards:
        stop = start + shard.count
        if stop > len(positions) or _identity(positions, start, stop) != shard.identity:
            raise ValueError(
                f"{folder} holds keys of other positions (from number {start} on): open the"
                " positions that they were made of, or run `compute_keys` in another folder"
            )
        start = stop


def _mapped(folder: Path, shard: _Shard, dtype: str, dim: int) -> np.ndarray:
    return _map_file(shard.path(folder, "keys"), np.dtype(dtype), (shard.count, dim))


def _mapped_symmetries(folder: Path, shard: _Shard) -> np.ndarray:
    return _map_file(shard.path(folder, "symmetries"), np.dtype(np.uint8), (shard.count,))


def _map_file(path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(_damage(path)) from error
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(_damage(path))
    return array


def _checksum(folder: Path, shard: _Shard, canonical: bool) -> str:
    sums = []
    for kind in ("keys", "symmetries")[: 1 + canonical]:
        with shard.path(folder, kind).open("rb") as file:
            sums.append(hashlib.file_digest(file, "sha256").hexdigest())
    return "".join(sums)


def _damage(path: Path) -> str:
    return f"{path} is missing or damaged: restore it, or delete its folder and run `compute_keys`"


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / _MANIFEST
    if not path.exists():
        raise FileNotFoundError(f"no keys in {folder}: make them with `compute_keys`")
    try:
        manifest = json.loads(path.read_text())
        fields = {"keys", "dim", "dtype", "canonical", "positions", "shards"}
        if manifest.pop("format") != FORMAT or not fields <= manifest.keys():
            raise ValueError
        for shard in manifest["shards"]:
            _Shard(**shard)  # a TypeError where a field is missing
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(_damage(path)) from None
    return manifest


def _write_manifest(
    folder: Path, about: dict[str, Any], positions: "Positions", shards: list[_Shard]
) -> None:
    content = about | {
        "format": FORMAT,
        "positions": positions.fingerprint,
        "shards": [shard._asdict() for shard in shards],
    }
    write_whole(folder / _MANIFEST, json.dumps(content, indent=1, sort_keys=True) + "\n")
