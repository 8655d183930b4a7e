"""Drawings that explain; nothing in them is a result."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Rectangle

from rlcourse.viz.style import PALETTE, SIZES

BLUE, ORANGE, GREEN, PINK = (PALETTE[k] for k in ("ours", "baseline", "expert", "ablation"))
INK, PALE = PALETTE["muted"], PALETTE["line"]


def draw_returns(reward: Sequence[float], discount: float) -> Figure:
    """Rewards as bars, returns as dots, and how each return reaches one step back."""
    returns, following = [], 0.0
    for r in reversed(reward):
        following = r + discount * following
        returns.insert(0, following)
    figure = Figure(figsize=SIZES["single"], layout="constrained")
    ax = figure.subplots()
    ax.bar(range(len(reward)), reward, 0.25, color=PALETTE["baseline"], label="reward $r_t$")
    ax.plot(range(len(reward)), returns, "o", ms=9, color=BLUE, label="return $G_t$", zorder=3)
    for t, value in enumerate(returns):
        ax.annotate(f"{value:g}", (t, value), (0, 9), textcoords="offset points", ha="center")
        if t:
            style = {"arrowstyle": "-|>", "mutation_scale": 14, "color": INK, "shrinkA": 8}
            bend = {"connectionstyle": "arc3,rad=0.25", "shrinkB": 8}
            ax.add_patch(FancyArrowPatch((t, value), (t - 1, returns[t - 1]), **style, **bend))
            middle = (value + returns[t - 1]) / 2
            ax.annotate(f"× {discount:g}", (t - 0.36, middle - 0.1), color=INK)
    ax.set_xticks(range(len(reward)))
    ax.set_xlabel("step t")
    ax.set_ylabel("reward")
    ax.set_ylim(0, max(returns) * 1.25)
    ax.set_title("A return is carried backwards")
    ax.legend(loc="upper left")
    return figure


def draw_parts() -> Figure:
    """One small drawing per part of the course."""
    figure = Figure(figsize=(9.0, 4.4), layout="constrained")
    parts = (
        ("I  A habit and its price", _tilted_bars),
        ("II  Habits that are learned", _point_mass),
        ("III  Remembering", _memory),
        ("IV  Asking a memory", _retrieval),
        ("V  Looking up positions", _go),
        ("VI  Many machines", _machines),
    )
    for ax, (title, draw) in zip(figure.subplots(2, 3).flat, parts, strict=True):
        ax.set(xlim=(0, 10), ylim=(0, 6), aspect="equal")
        ax.axis("off")
        ax.set_title(title)
        draw(ax)
    return figure


def _tilted_bars(ax: Axes) -> None:
    for x, prior, policy in ((1.5, 2.0, 0.7), (4.0, 2.0, 1.4), (6.5, 2.0, 4.6)):
        ax.add_patch(Rectangle((x, 0.5), 0.9, prior, color=ORANGE))
        ax.add_patch(Rectangle((x + 1.0, 0.5), 0.9, policy, color=BLUE))
    ax.plot([1, 9], [0.5, 0.5], color=INK, lw=1)


def _point_mass(ax: Axes) -> None:
    targets = np.array([[2, 4.8], [8, 4.5], [7.4, 1.0], [1.8, 1.2]])
    for (x, y), color in zip(targets, (BLUE, ORANGE, GREEN, PINK), strict=True):
        ax.add_patch(Circle((x, y), 0.6, color=color, alpha=0.9))
    t = np.linspace(0, 1, 60)
    way = np.stack([4.6 + 3.2 * t**1.3, 2.6 + 1.7 * np.sin(1.6 * t)], -1)
    ax.plot(*way.T, color=INK, lw=1.6)
    ax.plot(*way[0], "o", ms=11, color=PALETTE["text"])


def _memory(ax: Axes) -> None:
    rng = np.random.default_rng(3)
    points = rng.uniform((0.6, 0.6), (9.4, 5.4), (40, 2))
    query = np.array([5.2, 3.1])
    near = np.argsort(((points - query) ** 2).sum(-1))[:5]
    ax.plot(*points.T, "o", ms=4, color=PALE, mec=INK, mew=0.6)
    for index in near:
        ax.plot(*np.stack([query, points[index]]).T, color=BLUE, lw=1.2)
    ax.plot(*points[near].T, "o", ms=6, color=BLUE)
    ax.plot(*query, "*", ms=15, color=ORANGE)


def _retrieval(ax: Axes) -> None:
    for row in range(5):
        for column in range(5):
            chosen = (row, column) in ((1, 2), (3, 1), (3, 2))
            place = (0.5 + 0.95 * column, 0.6 + 0.98 * row)
            ax.add_patch(Rectangle(place, 0.78, 0.7, color=BLUE if chosen else PALE))
    for y in (1.2, 3.0, 4.8):
        ax.add_patch(FancyBboxPatch((7.6, y - 0.45), 1.5, 0.9, "round,pad=0.1", color=GREEN))
        ends = ((7.4, y), (5.5, 3.0))
        ax.add_patch(FancyArrowPatch(*ends, arrowstyle="-|>", mutation_scale=10, color=INK))


def _go(ax: Axes) -> None:
    for i in range(5):
        ax.plot([0.6, 5.0], [0.8 + 1.1 * i] * 2, color=INK, lw=0.8)
        ax.plot([0.6 + 1.1 * i] * 2, [0.8, 5.2], color=INK, lw=0.8)
    stones = ((1, 1, "k"), (2, 1, "w"), (2, 2, "k"), (3, 2, "w"), (1, 3, "w"), (3, 3, "k"))
    for column, row, color in stones:
        center = (0.6 + 1.1 * column, 0.8 + 1.1 * row)
        face = PALETTE["text"] if color == "k" else "white"
        ax.add_patch(Circle(center, 0.46, facecolor=face, edgecolor=PALETTE["text"], zorder=3))
    for row, edge in ((0.6, BLUE), (2.4, ORANGE), (4.2, BLUE)):
        ax.add_patch(Rectangle((7.2, row), 1.4, 1.4, fill=False, ec=edge, lw=2.2))
        ends = ((7.0, row + 0.7), (5.3, 3.0))
        ax.add_patch(FancyArrowPatch(*ends, arrowstyle="-|>", mutation_scale=10, color=INK))


def _machines(ax: Axes) -> None:
    ax.add_patch(FancyBboxPatch((3.9, 4.0), 2.2, 1.1, "round,pad=0.15", color=BLUE))
    ax.text(5.0, 4.55, "learner", color="white", ha="center", va="center", fontsize=8.5)
    for x in (0.9, 3.1, 5.3, 7.5):
        ax.add_patch(FancyBboxPatch((x, 0.8), 1.5, 0.9, "round,pad=0.12", color=ORANGE))
        ax.text(x + 0.75, 1.25, "actor", ha="center", va="center", fontsize=8)
        ends = ((x + 0.75, 1.95), (5.0, 3.75))
        ax.add_patch(FancyArrowPatch(*ends, arrowstyle="<|-|>", mutation_scale=9, color=INK))
