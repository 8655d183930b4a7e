"""Which komi is fair: for players who move at random, and for GNU Go?

The area on the final board does not depend on the komi. So the margins of one set of games say how
often Black would have won under every komi: the share of margins above it, and half of the share
that equals it, for a drawn game counts as half a win. The fair komi is where that is one half, the
median of the margins.

Random players draw uniformly from the legal moves, the pass among them, on the compiled engine; a
score function counts their final boards. GNU Go's games are those that the course ships; their
margins are recorded. The intervals are Wilson's, at 95 %, for one komi at a time.

Our own setting; the paper (Humphreys et al. 2022, arXiv 2206.05314) has no such experiment.
**Deviations** from what the question asks: GNU Go played all its games under one komi, and knew it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from tqdm.auto import tqdm

from rlcourse.experiments.reference import Curve
from rlcourse.experiments.settings import check_counts
from rlcourse.go import shipped
from rlcourse.go.arena import wilson_interval
from rlcourse.go.board import Go
from rlcourse.go.flood import area_score
from rlcourse.go.records import Game
from rlcourse.go.rules import Rules
from rlcourse.run.record import Record, load_config, load_metrics
from rlcourse.viz.curves import plot_band, plot_reference
from rlcourse.viz.style import PALETTE, SIZES

PLAYERS = ("random", "gnugo")
LABELS = {"random": "random players", "gnugo": "GNU Go"}
_BIN = 6  # points
COLORS = {"random": PALETTE["baseline"], "gnugo": PALETTE["expert"]}


@dataclass(frozen=True)
class Config:
    """How many games; our own setting."""

    num_batches: int = 40
    batch_size: int = 500  # random games that are played side by side
    max_moves: int = 486  # of a random game, 6 per point; the shipped games have the same limit
    lowest_komi: float = -10.0
    highest_komi: float = 20.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_counts(self, "num_batches", "batch_size", "max_moves")
        for name in ("lowest_komi", "highest_komi"):
            if 2 * getattr(self, name) != round(2 * getattr(self, name)):
                raise ValueError(
                    f"{name} must be a multiple of 1/2, as komis are, got {getattr(self, name)}"
                )
        if self.lowest_komi >= self.highest_komi:
            raise ValueError(
                "lowest_komi must lie below highest_komi, got "
                f"{self.lowest_komi} and {self.highest_komi}"
            )

    @property
    def komis(self) -> np.ndarray:
        """In half points."""
        return np.arange(2 * self.lowest_komi, 2 * self.highest_komi + 1) / 2


PRESETS = {
    "smoke": Config(num_batches=3, batch_size=60),
    "laptop": Config(),
    "paper": Config(num_batches=400, batch_size=5_000),
}


def run(
    config: Config,
    folder: Path,
    *,
    score: Callable[[Tensor, float], Tensor] = area_score,
    games: Sequence[Game] | None = None,
    progress: bool = True,
) -> None:
    """Counts how often each margin on the board comes up; resumes by batches.

    Args:
        config: see `Config`.
        folder: receives config.json and metrics.jsonl: one row for the recorded games, and one for
            each batch of random games, with the number of games by margin, from -P to P.
        score: maps boards [B, H, W] and a komi to Black's margins [B]; notebook 13's exercise.
        games: of the expert, on 9x9 with a komi of 7.5; None: those that the course ships.
        progress: draw a progress bar.

    Raises:
        ValueError: the folder was begun with other games, or a margin is no whole number.
    """
    rules, games = shipped.load_games() if games is None else (Rules(9, 7.5), games)
    points, record = rules.num_points, Record(folder, config)
    recorded = _count([game.margin + rules.komi for game in games], points)
    if record.last_step is None:
        record.write(0, {"gnugo": recorded})
    elif not np.array_equal(load_metrics(folder)["gnugo"][0], recorded):
        raise ValueError(f"{folder} was begun with other games: choose another folder")
    batches = range(record.last_step + 1, config.num_batches + 1)
    for batch in tqdm(batches, disable=not progress, unit="batch", desc="random games"):
        boards = random_final_boards(config, rules.size, config.seed + 1_000_003 * batch)
        record.write(batch, {"random": _count(score(boards, 0.0).tolist(), points)})


def random_final_boards(config: Config, size: int, seed: int) -> Tensor:
    """The ends [B, H, W] of games whose players draw their moves uniformly."""
    go = Go(Rules(size, 0.0, max_moves=config.max_moves))
    state = go.new(config.batch_size)
    go.random_games_(state, config.max_moves, seed)
    return state.stones.view(-1, size, size).clone()


class Margins(NamedTuple):
    """Games by Black's margin on the board, without komi."""

    margin: np.ndarray  # [M] -P .. P
    count: np.ndarray  # [M] games

    @property
    def num_games(self) -> int:
        return int(self.count.sum())

    @property
    def mean(self) -> float:
        return float((self.margin * self.count).sum() / self.num_games)

    @property
    def std(self) -> float:
        squares = (self.margin - self.mean) ** 2
        return float(((squares * self.count).sum() / self.num_games) ** 0.5)

    def wins(self, komi: float) -> float:
        """Games that Black wins under this komi; a drawn one counts half."""
        above = self.count[self.margin > komi].sum()
        return float(above + 0.5 * self.count[self.margin == komi].sum())

    def fair(self, komis: np.ndarray) -> np.ndarray:
        """Of these komis, those whose interval around Black's win rate holds one half."""
        rates = [wilson_interval(self.wins(komi), self.num_games) for komi in komis]
        return komis[[rate.low <= 0.5 <= rate.high for rate in rates]]


def load(folder: Path) -> dict[str, Margins]:
    """Reads a finished run.

    Raises:
        FileNotFoundError: it has not been run.
        ValueError: it was interrupted; run the experiment again to go on.
    """
    metrics, config = load_metrics(folder), Config(**load_config(folder))
    if metrics["step"][-1] < config.num_batches:
        raise ValueError(
            f"the run in {folder} was interrupted: run it again, it goes on from there"
        )
    found = {}
    for name in PLAYERS:
        count = np.nansum(metrics[name], 0)
        largest = len(count) // 2
        found[name] = Margins(np.arange(-largest, largest + 1), count)
    return found


def curve(margins: Margins, komis: np.ndarray) -> Curve:
    """Black's win rate against the komi, with Wilson's interval."""
    rates = [wilson_interval(margins.wins(komi), margins.num_games) for komi in komis]
    return Curve(komis, *np.array(rates).T)


def reference_curves(folder: Path) -> dict[str, Curve]:
    """What is shipped in data/curves: one curve for each kind of player."""
    komis = Config(**load_config(folder)).komis
    return {name: curve(margins, komis) for name, margins in load(folder).items()}


def table(folder: Path) -> str:
    """For each kind of player: games, mean and spread of the margins, and the fair komis."""
    komis = Config(**load_config(folder)).komis
    lines = [f"{'players':16}{'games':>8}{'mean margin':>13}{'std':>7}{'fair komi':>16}"]
    for name, margins in load(folder).items():
        fair = margins.fair(komis)
        ends = dict.fromkeys(f"{komi:g}" for komi in (*fair[:1], *fair[-1:]))
        words = " to ".join(ends) or "none of these"
        lines.append(
            f"{LABELS[name]:16}{margins.num_games:>8,}{margins.mean:>13.1f}{margins.std:>7.1f}"
            f"{words:>16}"
        )
    return "\n".join(lines)


def plot(folder: Path, reference: dict[str, Curve] | None = None) -> Figure:
    """Black's win rate against the komi, over the shipped curves where given; and the margins."""
    komis, found = Config(**load_config(folder)).komis, load(folder)
    figure = Figure(figsize=SIZES["wide"], layout="constrained")
    rates, shares = figure.subplots(1, 2)
    for number, shipped_curve in enumerate((reference or {}).values()):
        label = "_again" if number else "dashed: shipped"  # once in the legend
        plot_reference(rates, *shipped_curve, label)
    for name, margins in found.items():
        label = f"{LABELS[name]}, {margins.num_games:,} games"
        plot_band(rates, *curve(margins, komis), label, COLORS[name])
        edges, share = binned(margins)
        shares.stairs(100.0 * share, edges, color=COLORS[name], linewidth=1.6)
    _finish_rates(rates)
    shares.set_xlabel("Black's margin on the board (points)")
    shares.set_ylabel(f"games per bin of {_BIN} points (%)")
    shares.set_title("How far apart the players end")
    return figure


def plot_shipped(reference: dict[str, Curve]) -> Figure:
    """The shipped curves alone."""
    figure = Figure(figsize=SIZES["single"], layout="constrained")
    ax = figure.subplots()
    for name, found in reference.items():
        plot_band(ax, *found, LABELS[name], COLORS[name])
    _finish_rates(ax)
    return figure


def binned(margins: Margins) -> tuple[np.ndarray, np.ndarray]:
    """The edges [N + 1] of bins of `_BIN` points, and the share of games in each [N].

    The width is even, so that each bin holds as many odd margins as even ones: where every point is
    owned, a board with an odd number of points has odd margins only.
    """
    first = margins.margin[0] - 0.5
    num_bins = -(-len(margins.margin) // _BIN)
    edges = first + _BIN * np.arange(num_bins + 1)
    count, _ = np.histogram(margins.margin, edges, weights=margins.count)
    return edges, count / margins.num_games


def _finish_rates(ax: Axes) -> None:
    ax.axhline(0.5, color=PALETTE["muted"], linewidth=0.8, linestyle=":")
    ax.set_xlabel("komi (points for White)")
    ax.set_ylabel("Black's win rate")
    ax.set_ylim(0.0, 1.0)
    ax.set_title("Where is the game even?")
    ax.legend(loc="lower left")


def _count(margins: Sequence[float], points: int) -> list[int]:
    """Games by margin, -P to P."""
    found = np.asarray(margins)
    whole = np.round(found)
    if not np.array_equal(found, whole) or (abs(whole) > points).any():
        raise ValueError(
            f"a margin on the board is a whole number from {-points} to {points}, "
            f"got {found[(found != whole) | (abs(whole) > points)][0]:g}"
        )
    return np.bincount(whole.astype(int) + points, minlength=2 * points + 1).tolist()
