"""The shipped reference curves: small CSV files in data/curves/, one per experiment.

`python -m rlcourse run NAME --preset laptop --reference` writes one. They travel inside the wheel,
so that a notebook finds them in Colab too.
"""

import csv
import os
import uuid
from pathlib import Path
from typing import NamedTuple

import numpy as np

import rlcourse
from rlcourse.run.evaluate import interval

FIELDS = ("curve", "x", "mean", "low", "high")


class Curve(NamedTuple):
    """A mean over seeds with its interval, each [T]."""

    x: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def curve_of(x: np.ndarray, runs: np.ndarray) -> Curve:
    """Summarizes runs [R, T] by their mean and its 95 % bootstrap interval."""
    found = interval(runs)
    return Curve(np.asarray(x, dtype=float), found.mean, found.low, found.high)


def curves_folder() -> Path:
    """data/curves of the checkout, or the copy inside an installed wheel."""
    package = Path(rlcourse.__file__).parent
    inside = package / "_data" / "curves"
    return inside if inside.is_dir() else package.parent / "data" / "curves"


def load_reference(name: str) -> dict[str, Curve]:
    """The shipped curves of an experiment, by label.

    Raises:
        FileNotFoundError: there are none; the message says which command makes them.
        ValueError: the file is damaged; the message names it.
    """
    path = curves_folder() / f"{name}.csv"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: make it with `python -m rlcourse run {name} --reference`"
        )
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    try:
        table = [(row["curve"], *(float(row[field]) for field in FIELDS[1:])) for row in rows]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is damaged ({error!r}): restore it with `git checkout -- {path}`"
        ) from error
    labels = dict.fromkeys(row[0] for row in table)
    return {
        label: Curve(*np.array([row[1:] for row in table if row[0] == label]).T) for label in labels
    }


def save_reference(name: str, curves: dict[str, Curve]) -> Path:
    """Writes the curves of an experiment; an interrupted write leaves the old file whole."""
    path = curves_folder() / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(FIELDS)
            for label, curve in curves.items():
                for row in zip(*curve, strict=True):
                    writer.writerow([label, *(f"{value:.6g}" for value in row)])
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
