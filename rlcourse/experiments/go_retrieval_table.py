"""What a finished study of retrieval says, in figures.

    python -m rlcourse.experiments.go_retrieval_table --folder runs/go_retrieval/laptop

prints accuracy and value error of each variant in each of its tests, and what they are more than
the baseline's and a blank neighbor's, with intervals. `--first-game 19647` counts only test games
of that number or a later one: of games that did not yet exist when settings were chosen, no
setting can have been chosen for them.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from jaxtyping import Bool

from rlcourse.experiments.go_retrieval_data import prepare, shared_folder
from rlcourse.experiments.go_retrieval_results import (
    ACCURACY,
    BLANK,
    METRICS,
    Result,
    Tests,
    baseline_of,
    gain,
    is_over_blank,
    load,
)
from rlcourse.experiments.go_retrieval_study import data_of
from rlcourse.go.batches import ABSENT


@dataclass(frozen=True)
class Config:
    """What to print.

    Attributes:
        folder: of a finished run of `go_retrieval`, `go_retrieval_sizes` or
            `go_retrieval_robustness`.
        first_game: number of the first test game that counts.
    """

    folder: Path = Path("runs/go_retrieval/laptop")
    first_game: int = 0


def table(result: Result) -> str:
    """For each metric, variant and condition: the mean, and the gains with intervals, over the
    baseline and, where the study has it, over a blank neighbor."""
    return "\n\n".join(_of_metric(result, metric) for metric in METRICS)


def of_games(result: Result, counts: Bool[np.ndarray, " G"]) -> Result:
    """The tests of some of the games; the curves of the training stay those of all.

    Raises:
        ValueError: none of the games counts.
    """
    if not counts.any():
        raise ValueError("no test game counts: choose an earlier first game")

    def part(tests: Tests) -> Tests:
        positions = tests.positions[counts]
        sums = tests.hits[:, counts], tests.squared_errors[:, counts]
        return Tests(*(total.sum(1) / positions.sum() for total in sums), positions, *sums)

    return result._replace(tests={name: part(tests) for name, tests in result.tests.items()})


def numbers_of(folder: Path, result: Result) -> np.ndarray:
    """The numbers [G] of the test games of a run.

    Raises:
        ValueError: the games or the key network have changed since.
    """
    known = data_of(folder)
    data = prepare(result.config.data, shared_folder(folder), progress=False, known=known)
    return torch.unique(data.positions.games[data.test_ids]).numpy()


def main() -> None:
    """The command line."""
    config = tyro.cli(Config, description=__doc__)
    result = load(config.folder)
    if config.first_game > 0:
        counts = numbers_of(config.folder, result) >= config.first_game
        result = of_games(result, counts)
    tests = next(iter(result.tests.values()))
    print(
        f"{int(tests.positions.sum()):,} positions of {len(tests.positions):,} test games,"
        f" {result.config.num_seeds} seeds; 95 % intervals over seeds and games\n"
    )
    print(table(result))


def _of_metric(result: Result, metric: str) -> str:
    scale, digits, unit = (100, 2, "%") if metric == ACCURACY else (1, 3, "")
    title = metric.replace("_", " ") + (f", {unit}" if unit else "")
    heading = f"{'variant':22}{'neighbors':18}{title:>12}{'over the baseline':>26}"
    lines = [heading + f"{'over blank':>26}" * (BLANK in result.config.variants)]
    for (name, condition), tests in result.tests.items():
        base, others = baseline_of(result, name), []
        if base is not None and name != base:
            others.append(result.tests[base, ABSENT])
            if is_over_blank(result, name):
                others.append(result.tests[BLANK, BLANK])
        mean = scale * getattr(tests, metric).mean()
        line = f"{name:22}{condition:18}{mean:>12.{digits}f}"
        for other in others:
            found = (scale * float(part) for part in gain(tests, other, metric))
            mean, low, high = (f"{part:+.{digits}f}" for part in found)
            line += f"{f'{mean} [{low}, {high}]':>26}"
        lines.append(line)
    return "\n".join(lines)


if __name__ == "__main__":
    main()
