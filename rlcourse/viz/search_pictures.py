"""Pictures of a search: the parts of its scores, its tree, where its visits go, and win rates."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from rlcourse.go.plain_search import Tree
from rlcourse.viz.style import PALETTE, SIZES

_COLORS = ("ours", "baseline", "expert", "ablation", "alternative", "failure")
Interval = Callable[[float, int], tuple[float, float]]


def score_parts(
    names: Sequence[str], known: Float[Tensor, " A"], scores: Float[Tensor, " A"]
) -> Figure:
    """Each move's value and what exploring adds to it; the highest score is marked.

    Args:
        names: of the moves.
        known: Q, or the node's mean value where a move was not tried.
        scores: not less than `known`.
    """
    figure = Figure(figsize=SIZES["single"], layout="constrained")
    ax, places = figure.subplots(), np.arange(len(names))
    value, score = known.numpy(), scores.numpy()
    ax.bar(places - 0.2, value, 0.38, color=PALETTE["baseline"], label="value Q(s, a)")
    ax.bar(
        places + 0.2, score - value, 0.38, value, color=PALETTE["alternative"], label="what P adds"
    )
    for place, number in zip(places, score, strict=True):
        ax.annotate(
            f"{number:.2f}", (place + 0.2, number), (0, 4), textcoords="offset points", ha="center",
            weight="bold" if number == score.max() else "normal",
        )  # fmt: skip
    ax.axhline(0, color=PALETTE["muted"], linewidth=0.8)
    ax.set_xticks(places, names)
    ax.set_ylabel("pUCT score")
    ax.set_ylim(top=float(score.max()) + 0.35)
    ax.set_title("The bold number is the move of the next walk")
    ax.legend(loc="upper left", ncols=2)
    return figure


def tree_picture(tree: Tree, moves: Sequence[str]) -> Figure:
    """A small tree: each node with its visits and its mean value for its player to move.

    Args:
        tree: with a root.
        moves: a name for each action, written on the edges.
    """
    figure = Figure(figsize=(9.0, 4.2), layout="constrained")
    ax = figure.subplots()
    places = _places(tree)
    for node, (x, y) in places.items():
        parent = int(tree.parent[node])
        if parent >= 0:
            above = places[parent]
            ax.plot([above[0], x], [above[1], y], color=PALETTE["muted"], linewidth=1.2, zorder=1)
            middle = (0.42 * above[0] + 0.58 * x, 0.42 * above[1] + 0.58 * y)
            paper = {"facecolor": PALETTE["paper"], "edgecolor": "none", "pad": 1.0}
            ax.text(*middle, moves[int(tree.action[node])], ha="center", va="center", bbox=paper)
        color = PALETTE["black stone" if round(y) % 2 == 0 else "white stone"]
        ink = PALETTE["white stone" if round(y) % 2 == 0 else "black stone"]
        rim = {"markeredgecolor": PALETTE["stone rim"], "color": color, "zorder": 2}
        ax.plot(x, y, "o", markersize=25, **rim)
        words = f"{tree.value(node):+.2f}"
        ax.text(x, y, words, ha="center", va="center", color=ink, fontsize=7.5, zorder=3)
        ax.annotate(
            f"{int(tree.num_visits[node])}", (x, y), (15, 9), textcoords="offset points",
            fontsize=8, color=PALETTE["ours"], weight="bold",
        )  # fmt: skip
    ax.margins(0.08, 0.16)
    ax.axis("off")
    ax.set_title("Each node: mean value for who is to move there; in blue, its visits")
    return figure


def visits_over_simulations(
    counts: Sequence[int], visits: Int[Tensor, "T A"], names: Sequence[str], title: str
) -> Figure:
    """The share of each action's visits after each number of simulations."""
    figure = Figure(figsize=SIZES["single"], layout="constrained")
    ax = figure.subplots()
    shares = 100 * visits.double() / visits.sum(1, keepdim=True).clamp(min=1)
    for action, name in enumerate(names):
        color = PALETTE[_COLORS[action % len(_COLORS)]]
        ax.plot(counts, shares[:, action].numpy(), "o-", color=color, label=name, markersize=3.5)
    ax.set(xscale="log", xlabel="simulations", ylabel="visits (%)", ylim=(0, 103))
    ax.set_xticks(counts, [str(count) for count in counts])
    ax.minorticks_off()
    ax.set_title(title)
    ax.legend(loc="center right")
    return figure


def win_rates(scores: Mapping[str, tuple[float, int]], interval: Interval) -> Figure:
    """Win rates with their intervals.

    Args:
        scores: wins and games by the name of the match; a draw is half a win.
        interval: of wins and games, as exercise 16.wilson.
    """
    figure = Figure(figsize=(6.0, 1.2 + 0.5 * len(scores)), layout="constrained")
    ax = figure.subplots()
    for row, (wins, games) in enumerate(scores.values()):
        low, high = interval(wins, games)
        color = PALETTE[_COLORS[row % len(_COLORS)]]
        ax.plot([100 * low, 100 * high], [row, row], color=color, linewidth=2.4)
        ax.plot(100 * wins / games, row, "o", color=color, markersize=7)
        ax.text(102, row, f"{wins:g} of {games}", va="center", color=PALETTE["muted"])
    ax.axvline(50, color=PALETTE["muted"], linestyle=":", linewidth=1.2)
    ax.set_yticks(range(len(scores)), list(scores))
    ax.set(xlim=(0, 100), ylim=(len(scores) - 0.5, -0.5), xlabel="games won (%)")
    ax.set_title("Bars are 95% intervals")
    return figure


def needed(games_needed: Callable[[float], int], marks: Sequence[float] = (20, 50, 100)) -> Figure:
    """How many games a difference needs, over a range of differences, with some of them marked."""
    figure = Figure(figsize=SIZES["single"], layout="constrained")
    ax, elos = figure.subplots(), np.geomspace(10, 400, 60)
    ax.plot(elos, [games_needed(float(elo)) for elo in elos], color=PALETTE["ours"])
    for elo in marks:
        number, rate = games_needed(elo), 100 / (1 + 10 ** (-elo / 400))
        ax.plot(elo, number, "o", color=PALETTE["failure"])
        words = f"{elo:g} Elo, {rate:.0f}%: {number:,} games"
        ax.annotate(words, (elo, number), (8, 5), textcoords="offset points")
    ax.set(xscale="log", yscale="log", xlabel="difference (Elo)", ylabel="games")
    ax.set_xticks([10, 20, 50, 100, 200, 400], ["10", "20", "50", "100", "200", "400"])
    ax.set_yticks([10, 100, 1000], ["10", "100", "1,000"])
    ax.minorticks_off()
    ax.set_title("When does the interval leave out 50%?")
    return figure


def gains(curve: Sequence[NDArray]) -> Figure:
    """What retrieval adds to the win rate at each number of simulations.

    Args:
        curve: numbers, and the mean, low and high end of the gain, a share, as `go_play` ships it.
    """
    x, mean, low, high = (np.asarray(part) for part in curve)
    figure = Figure(figsize=SIZES["single"], layout="constrained")
    ax, places = figure.subplots(), np.arange(len(x))
    errors = 100 * np.maximum([mean - low, high - mean], 0)
    ax.errorbar(places, 100 * mean, errors, fmt="o", color=PALETTE["ours"], capsize=3, markersize=6)
    ax.axhline(0, color=PALETTE["muted"], linestyle=":", linewidth=1.2)
    ax.set_xticks(places, [f"{number:g}" for number in x])
    ax.set(xlabel="simulations a move (0: the policy alone)", ylabel="points of win rate")
    ax.set_title("Retrieval minus baseline, on the same openings")
    return figure


def distances(
    before: Float[Tensor, " N"], after: Float[Tensor, " N"], names: tuple[str, str]
) -> Figure:
    """The squared distances of the nearest neighbor, as shares below each distance."""
    figure = Figure(figsize=SIZES["single"], layout="constrained")
    ax = figure.subplots()
    for values, name, role in zip((before, after), names, ("failure", "ours"), strict=True):
        ordered = values.sort().values.numpy()
        shares = 100 * np.arange(1, len(ordered) + 1) / len(ordered)
        ax.plot(ordered, shares, color=PALETTE[role], label=f"{name}: mean {ordered.mean():,.0f}")
    ax.set(xlabel="squared distance of the nearest", ylabel="positions (%)", ylim=(0, 100))
    ax.set_xlim(left=0)
    ax.set_title("Positions whose nearest is at most so far")
    ax.legend(loc="lower right")
    return figure


def _places(tree: Tree) -> dict[int, tuple[float, float]]:
    """x, from leaf to leaf, and y, minus the depth, of each node."""
    places: dict[int, tuple[float, float]] = {}
    next_leaf = 0.0

    def place(node: int, depth: int) -> float:
        nonlocal next_leaf
        below = [int(child) for child in tree.child[node] if child >= 0]
        spread = [place(child, depth + 1) for child in below]
        if not spread:
            spread, next_leaf = [next_leaf], next_leaf + 1.0
        places[node] = (sum(spread) / len(spread), -float(depth))
        return places[node][0]

    place(0, 0)
    return places
