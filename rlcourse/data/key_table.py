"""Keys under ids, and the file that an index is saved in: what all indexes share."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rlcourse.data.files import replacing
from rlcourse.data.tensor_files import load_format

FORMAT = "rlcourse index 1"
MAX_COORDINATE = 1e15  # larger ones have squared distances that overflow float32


class KeyTable:
    """Rows of `width` numbers, one for each id, in no order that lasts.

    Rows 0 ... len - 1 are in use; the last ones move into the holes that a removal leaves. Next to
    the rows it takes 24 bytes an id.

    Args:
        width: of a row; 0 keeps the ids alone.
        device: where the rows are kept; what finds an id stays on the CPU.
    """

    def __init__(self, width: int, device: torch.device | str = "cpu") -> None:
        self._rows = torch.zeros(0, width, device=device)  # [capacity, D]
        self._row_ids = torch.zeros(0, dtype=torch.int64, device=device)  # [capacity]
        self._sorted = np.zeros(0, np.int64)  # [N] the ids in ascending order
        self._places = np.zeros(0, np.int64)  # [N] the row of each

    def __len__(self) -> int:
        """Number of ids held."""
        return len(self._sorted)

    @property
    def width(self) -> int:
        """Numbers in a row."""
        return self._rows.shape[1]

    @property
    def rows(self) -> Tensor:
        """The rows in use [N, D]: a view, which the next change may overwrite."""
        return self._rows[: len(self)]

    @property
    def ids(self) -> Tensor:
        """The id of each row in use [N]: a view, as `rows` is."""
        return self._row_ids[: len(self)]

    def find(self, ids: Tensor) -> Tensor:
        """The rows [N] where the ids [N] are held, or -1."""
        wanted = ids.cpu().numpy()
        if not len(self):
            return torch.full_like(ids, -1)
        at = np.searchsorted(self._sorted, wanted).clip(max=len(self) - 1)
        places = np.where(self._sorted[at] == wanted, self._places[at], -1)
        return torch.from_numpy(places).to(ids.device)

    def add_(self, rows: Tensor, ids: Tensor) -> None:
        """Holds rows [N, D] under ids [N], which must be new."""
        size, count = len(self), len(ids)
        if size + count > len(self._rows):
            self._grow_(max(size + count, size + size // 4))
        self._rows[size : size + count] = rows
        self._row_ids[size : size + count] = ids
        new, order = torch.sort(ids.cpu())
        at = np.searchsorted(self._sorted, new.numpy())
        self._sorted = np.insert(self._sorted, at, new.numpy())
        self._places = np.insert(self._places, at, size + order.numpy())

    def remove_(self, ids: Tensor) -> None:
        """Forgets ids [N], which must be held."""
        removed = self.find(ids).cpu().numpy()
        size = len(self) - len(removed)
        holes = np.sort(removed[removed < size])
        movers = np.setdiff1d(np.arange(size, len(self)), removed)
        device = self._rows.device
        to, start = (torch.from_numpy(x).to(device) for x in (holes, movers))
        self._rows[to], self._row_ids[to] = self._rows[start], self._row_ids[start]
        moved = np.searchsorted(self._sorted, self._row_ids[to].cpu().numpy())
        self._places[moved] = holes
        gone = np.searchsorted(self._sorted, ids.cpu().numpy())
        self._sorted, self._places = np.delete(self._sorted, gone), np.delete(self._places, gone)

    def _grow_(self, capacity: int) -> None:
        for name in ("_rows", "_row_ids"):
            old = getattr(self, name)
            new = old.new_zeros(capacity, *old.shape[1:])
            new[: len(self)] = old[: len(self)]
            setattr(self, name, new)


def check_keys(keys: Tensor, dim: int, name: str = "keys") -> Tensor:
    """Returns keys [N, D] as float32 without gradient.

    Raises:
        ValueError: another dimension, no floating-point numbers, or entries that are not finite or
            beyond 1e15.
    """
    if keys.ndim != 2 or keys.shape[1] != dim:
        raise ValueError(f"{name} must have shape [N, {dim}], got {list(keys.shape)}")
    if not keys.is_floating_point():
        raise ValueError(f"{name} must be floating-point numbers, got {keys.dtype}")
    keys = keys.detach().float()
    bad = ~(keys.abs() <= MAX_COORDINATE).all(-1)
    if bad.any():
        row = int(bad.nonzero()[0])
        raise ValueError(
            f"{name}[{row}] has an entry that is not finite or beyond {MAX_COORDINATE:g}:"
            " drop it, or mend the network that made it"
        )
    return keys


def check_dim(dim: int) -> None:
    """Checks the dimension of keys.

    Raises:
        ValueError: it is < 1.
    """
    if dim < 1:
        raise ValueError(f"dim must be at least 1, got {dim}")


def check_saved_count(path: str | Path, held: int, count: int) -> None:
    """Checks the number of keys that a file holds against the `count` that it states.

    Raises:
        ValueError: they differ.
    """
    if held != count:
        raise ValueError(f"{path} should hold {count} keys, but holds {held}: build it again")


def check_ids(ids: Tensor, count: int | None, table: KeyTable, held: bool) -> None:
    """Checks ids [N] that are about to be added (`held` False) or changed (`held` True).

    Raises:
        ValueError: another shape or dtype, negative or repeated ids, or, by `held`, ids that the
            table holds already or does not hold.
    """
    if ids.ndim != 1 or (count is not None and len(ids) != count):
        wanted = "N" if count is None else count
        raise ValueError(f"ids must have shape [{wanted}], got {list(ids.shape)}")
    if ids.dtype != torch.int64:
        raise ValueError(f"ids must be int64, got {ids.dtype}")
    if len(ids) and int(ids.min()) < 0:
        raise ValueError(f"ids must be >= 0 (-1 marks a missing neighbor), got {int(ids.min())}")
    ordered = torch.sort(ids).values
    repeated = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(repeated):
        raise ValueError(f"id {int(repeated[0])} is given twice in one call: keep one of the two")
    found = table.find(ids) >= 0
    if held and not found.all():
        raise ValueError(f"id {int(ids[~found][0])} is not in the index: add it first")
    if not held and found.any():
        raise ValueError(f"id {int(ids[found][0])} is in the index already: use `update`")


def check_search(queries: Tensor, dim: int, k: int, size: int) -> Tensor:
    """Returns queries [B, D] as float32.

    Raises:
        ValueError: as `check_keys`, or k < 1, or an index without keys.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    if not size:
        raise ValueError("the index is empty: add keys before searching")
    return check_keys(queries, dim, "queries")


def ranked(distances: Tensor, ids: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest of the candidates [B, C] by distance, then by id; padded with inf and -1."""
    by_id = ids.argsort(-1)
    distances, ids = distances.gather(-1, by_id), ids.gather(-1, by_id)
    order = distances.argsort(dim=-1, stable=True)[:, :k]
    return first(distances.gather(-1, order), ids.gather(-1, order), k)


def first(distances: Tensor, ids: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The first k of candidates [B, C] that are in order; padded with inf and -1."""
    distances, ids = distances[:, :k].float(), ids[:, :k]
    missing = k - ids.shape[1]
    if missing > 0:
        distances = torch.nn.functional.pad(distances, (0, missing), value=torch.inf)
        ids = torch.nn.functional.pad(ids, (0, missing), value=-1)
    return distances, ids.masked_fill(distances.isinf(), -1)


def in_order(distances: Tensor, ids: Tensor) -> bool:
    """Whether all candidates [B, C] are ordered by distance, then by id."""
    rises = distances[:, 1:] > distances[:, :-1]
    ties = (distances[:, 1:] == distances[:, :-1]) & (ids[:, 1:] >= ids[:, :-1])
    return bool((rises | ties).all())


def direct_distances(queries: Tensor, rows: Tensor) -> Tensor:
    """Squared distances [B, C] in float64 from queries [B, D] to their own candidates [B, C, D], or
    to rows [1, C, D] that all share."""
    return (queries[:, None].double() - rows.double()).square_().sum(-1)


def write_index(path: str | Path, fingerprint: dict[str, Any], content: dict[str, Any]) -> None:
    """Writes an index so that `path` is complete or as it was before, whatever crashes.

    Raises:
        OSError: the folder cannot be written.
    """
    with replacing(Path(path)) as file:
        torch.save({"format": FORMAT, "fingerprint": fingerprint, "content": content}, file)


def read_index(path: str | Path, kind: str, about: str | None) -> tuple[dict, dict]:
    """Returns the fingerprint and the content that `write_index` wrote. Executes no code.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a damaged or foreign file, or an index of another kind, or about other keys.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no index at {path}")
    file = load_format(path, FORMAT, "index", "build and save it again")
    fingerprint = file["fingerprint"]
    if fingerprint["kind"] != kind:
        raise ValueError(f"{path} holds an index of kind {fingerprint['kind']!r}, not {kind!r}")
    if about is not None and fingerprint["about"] != about:
        raise ValueError(
            f"{path} holds keys of {fingerprint['about']!r}, not of {about!r}: build it again"
        )
    return fingerprint, file["content"]
