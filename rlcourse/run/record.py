"""Records: the metrics and the configuration of one run, side by side in a folder.

    config.json     the configuration, one JSON object
    metrics.jsonl   one JSON object per line: {"step": 1000, "episode_return": 0.7, ...}

A line is written whole or recognized as torn. A value is a number, or a list of numbers for runs
that are batched over seeds. No wall-clock times are in the file, so two runs that do the same
write the same bytes.
"""

import dataclasses
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rlcourse.data.files import write_whole

Metric = float | int | np.number | Tensor | np.ndarray | list[float]


class NonFiniteMetric(ArithmeticError):  # noqa: N818 (named for what it reports)
    """A metric became NaN or infinite; the run up to the last checkpoint is intact."""


class Record:
    """Appends metrics to a folder, and takes up again where an earlier run stopped.

    Args:
        folder: made if absent.
        config: a dataclass or a mapping of numbers, strings, booleans, None, lists and dicts.

    Raises:
        OSError: the folder cannot be written.
        ValueError: the folder holds a run with another configuration; names the fields that differ.
        TypeError: a field of the configuration that JSON cannot hold.
    """

    def __init__(self, folder: str | Path, config: Any) -> None:
        self.folder = Path(folder)
        fields = _plain_config(config)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _keep_config(self.folder, fields)
            with open(self._path, "ab"):
                pass
        except OSError as error:
            raise OSError(
                f"cannot write the record of this run in {self.folder} ({error}); choose a folder"
                " that you may write"
            ) from error
        _drop_torn_line(self._path)
        self.last_step = max((row["step"] for row in _rows(self._path)), default=None)

    @property
    def _path(self) -> Path:
        return self.folder / "metrics.jsonl"

    def write(
        self, step: int, metrics: Mapping[str, Metric], *, last_checkpoint: Path | None = None
    ) -> None:
        """Append one line; `last_checkpoint` is only named in the error.

        Args:
            step: not below the step of the line before.
            metrics: name -> number, or [R] numbers.

        Raises:
            NonFiniteMetric: after writing the finite metrics of the line.
            ValueError: a step that goes back, or a metric with more than one axis.
        """
        if self.last_step is not None and step < self.last_step:
            raise ValueError(f"step {step} comes after step {self.last_step} in {self._path}")
        row = {name: _plain_metric(name, value) for name, value in metrics.items()}
        finite = {name: value for name, value in row.items() if np.isfinite(value).all()}
        with open(self._path, "ab") as file:
            file.write((json.dumps({"step": step, **finite}) + "\n").encode())
        self.last_step = step
        for name in row.keys() - finite.keys():
            raise NonFiniteMetric(_explanation(name, row[name], step, self._path, last_checkpoint))

    def flush(self) -> None:
        """Force what was written to the disk; call it before a checkpoint refers to it."""
        with open(self._path, "ab") as file:
            os.fsync(file.fileno())

    def rewind(self, step: int) -> None:
        """Drop the lines after `step`, which a run resumed there will write again."""
        kept = [row for row in _rows(self._path) if row["step"] <= step]
        write_whole(self._path, "".join(json.dumps(row) + "\n" for row in kept))
        self.last_step = kept[-1]["step"] if kept else None


def load_metrics(folder: str | Path) -> dict[str, np.ndarray]:
    """Return the metrics of a run: name -> float64 [rows] or [rows, R], and "step" int64 [rows].

    A metric that a row does not have is NaN there. A torn last line is left out with a warning.

    Raises:
        FileNotFoundError: there is no record in the folder.
        ValueError: a damaged line that is not the last, or a metric whose length changes.
    """
    path = Path(folder) / "metrics.jsonl"
    if not path.exists():
        raise FileNotFoundError(f"no metrics in {folder}: run the experiment first")
    rows = list(_rows(path))
    names = dict.fromkeys(name for row in rows for name in row if name != "step")
    columns = {name: _column(name, rows, path) for name in names}
    return {"step": np.array([row["step"] for row in rows], dtype=np.int64), **columns}


def load_config(folder: str | Path) -> dict[str, Any]:
    """Return the configuration that a run was started with."""
    return json.loads((Path(folder) / "config.json").read_text())


def _column(name: str, rows: list[dict[str, Any]], path: Path) -> np.ndarray:
    shapes = {np.shape(row[name]) for row in rows if name in row}
    if len(shapes) != 1:
        raise ValueError(f"the metric {name!r} changes its length in {path}: {sorted(shapes)}")
    absent = np.full(shapes.pop(), np.nan)
    return np.array([row.get(name, absent) for row in rows], dtype=np.float64)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the complete lines of the file."""
    content = path.read_bytes()
    lines = content.split(b"\n")
    if lines[-1]:
        warnings.warn(_torn(path, lines[-1]), stacklevel=3)
    for number, line in enumerate(lines[:-1], start=1):
        try:
            row = json.loads(line)
            row["step"] = int(row["step"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"line {number} of {path} is damaged ({error}): delete that line, or the folder"
                " to start the run anew"
            ) from error
        yield row


def _drop_torn_line(path: Path) -> None:
    content = path.read_bytes()
    whole, newline, torn = content.rpartition(b"\n")
    if torn:
        warnings.warn(_torn(path, torn), stacklevel=3)
        os.truncate(path, len(whole) + len(newline))


def _torn(path: Path, torn: bytes) -> str:
    start = torn[:40].decode(errors="replace")
    return f"the last line of {path} is torn and is dropped ({len(torn)} bytes: {start!r}...)"


def _explanation(name: str, value: Any, step: int, path: Path, checkpoint: Path | None) -> str:
    resume = f"the last good checkpoint is {checkpoint}" if checkpoint else "no checkpoint was kept"
    return (
        f"the metric {name!r} is {value} at step {step}; {resume}, and all earlier metrics are in"
        f" {path}. Try a smaller learning rate or clipped gradients, look at the metrics of the"
        " steps before, and check for log(0) and division by 0 in the loss."
    )


def _plain_metric(name: str, value: Metric) -> float | int | list[float]:
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        value = value.to(torch.float64) if value.is_floating_point() else value
    array = np.asarray(value)
    if array.ndim > 1:
        raise ValueError(
            f"the metric {name!r} has shape {list(array.shape)}: record a number, or a list of"
            " numbers with one entry per seed"
        )
    return array.tolist()


def _plain_config(config: Any) -> dict[str, Any]:
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        config = dataclasses.asdict(config)
    if not isinstance(config, Mapping):
        raise TypeError(f"config must be a dataclass instance or a mapping: got {type(config)}")
    plain = {}
    for name, value in config.items():
        value = str(value) if isinstance(value, Path) else value
        try:
            plain[name] = json.loads(json.dumps(value))  # tuples become lists, as on disk
        except TypeError as error:
            raise TypeError(f"the configuration's field {name!r} is not plain: {error}") from error
    return plain


def _keep_config(folder: Path, fields: dict[str, Any]) -> None:
    path = folder / "config.json"
    if not path.exists():
        write_whole(path, json.dumps(fields, indent=2) + "\n")
        return
    try:
        kept = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(
            f"{path} is damaged ({error}): choose another folder, or delete this one"
        ) from error
    absent = "(absent)"
    differing = [
        f"{name}: {kept.get(name, absent)!r} there, {fields.get(name, absent)!r} here"
        for name in sorted(kept.keys() | fields.keys())
        if json.dumps(kept.get(name, absent)) != json.dumps(fields.get(name, absent))
    ]
    if differing:
        raise ValueError(
            f"{folder} holds a run with another configuration ({'; '.join(differing)}): choose"
            " another folder, or delete this one to start anew"
        )
