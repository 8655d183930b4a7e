"""Pictures that explain one prior for many tasks. Each returns a figure."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from torch import Tensor

from rlcourse.envs.gridworld import Gridworld
from rlcourse.ops.kl import categorical_kl
from rlcourse.viz.grids import draw_policy, draw_values
from rlcourse.viz.kl_pictures import ACTION_COLORS
from rlcourse.viz.style import PALETTE, SIZES, cost_colormap

TASK_COLORS = (PALETTE["expert"], PALETTE["ablation"])


def two_opinions(right: Sequence[float], visits: Sequence[float]) -> Figure:
    """What a prior over two actions costs two tasks that meet in one state, and both together.

    Args:
        right: probability with which each task goes right.
        visits: how often each task is in the state.
    """
    prior = torch.linspace(0.01, 0.99, 197, dtype=torch.float64)
    log_prior = torch.stack([prior, 1.0 - prior], -1).log()
    figure = Figure(figsize=SIZES["single"], layout="constrained")
    ax = figure.subplots()
    total = torch.zeros_like(prior)
    for name, p, count, color in zip("AB", right, visits, TASK_COLORS, strict=True):
        log_policy = torch.tensor([p, 1.0 - p], dtype=torch.float64).log()
        cost = count * categorical_kl(log_policy, log_prior)
        total += cost
        label = f"task {name}: {count:g} visit{'s' * (count != 1)}, goes right with {p:g}"
        ax.plot(prior, cost, color=color, label=label)
    ax.plot(prior, total, color=PALETTE["learned prior"], label="both tasks")
    best = int(total.argmin())
    ax.plot(prior[best], total[best], "o", color=PALETTE["learned prior"])
    note = f"least at {prior[best]:.2f}: {total[best]:.2f} nats"
    place = (float(prior[best]), float(total[best]))
    ax.annotate(note, place, (0, 36), textcoords="offset points", ha="center")
    ax.set_xlabel("probability of right under the prior")
    ax.set_ylabel("visits × KL  (nats)")
    ax.set_ylim(0.0, 5.0)
    ax.set_title("One prior for two tasks")
    ax.legend(loc="upper center")
    return figure


def two_directions(p: Sequence[float], q: Sequence[float]) -> Figure:
    """Two distributions over the same actions, and what each action adds to each of their KLs.

    Args:
        p, q: probabilities, all positive.
    """
    p, q = (np.asarray(x, dtype=np.float64) for x in (p, q))
    forward, reverse = p * np.log(p / q), q * np.log(q / p)
    width, _ = SIZES["wide"]
    figure = Figure(figsize=(width, 2.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    gray, blue = PALETTE["reference"], PALETTE["learned prior"]
    _bars(left, (p, q), ("p, what the tasks do", "q, the prior"), (gray, blue))
    left.set(ylabel="probability", ylim=(0.0, 1.5), title="Two distributions")
    names = (
        f"p log(p/q): {forward.sum():.2f} nats in all",
        f"q log(q/p): {reverse.sum():.2f} nats in all",
    )
    _bars(right, (forward, reverse), names, TASK_COLORS)
    right.axhline(0.0, color=PALETTE["muted"], linewidth=0.8)
    right.set(ylabel="nats", ylim=(-0.5, 1.6), title="What each action adds to each KL")
    return figure


def _bars(
    ax: Axes, heights: Sequence[np.ndarray], names: Sequence[str], colors: Sequence[str]
) -> None:
    """Two bars for each action, with their heights written on them."""
    for shift, height, name, color in zip((-0.18, 0.18), heights, names, colors, strict=True):
        bars = ax.bar(np.arange(len(height)) + shift, height, 0.32, color=color, label=name)
        ax.bar_label(bars, fmt="{:.2f}", padding=2, color=PALETTE["text"])
    ax.set_xticks(range(len(height)), [f"action {a + 1}" for a in range(len(height))])
    ax.grid(axis="x", visible=False)
    ax.legend(loc="upper left")


def two_priors(grid: Gridworld, plain: Tensor, weighted: Tensor, saved: Tensor) -> Figure:
    """The plain and the weighted average of policies [S, A], and what the weights save [S] (nats).

    The map is drawn without its starts and goals, which are of one task.
    """
    bare = Gridworld(tuple(row.translate(str.maketrans("SG", "..")) for row in grid.rows))
    width, _ = SIZES["wide"]
    figure = Figure(figsize=(width, 4.9), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.1)
    axes = figure.subplot_mosaic("AABB;.CC.")
    for name, policy, title in (
        ("A", plain, "plain average"),
        ("B", weighted, "weighted by visits: the optimal prior"),
    ):
        draw_policy(axes[name], bare, policy)
        axes[name].set_title(title)
    colormap = cost_colormap()
    draw_values(
        axes["C"], bare, saved, colormap=colormap, label="nats saved", limits=_from_zero(saved)
    )
    axes["C"].set_title("what the weights save, by cell")
    return figure


def policy_against_share(
    policy_of: Callable[..., tuple[Tensor, Tensor]], q: Tensor, log_prior: Tensor, beta: float
) -> Figure:
    """The probability of each action as alpha goes from entropy alone to KL alone."""
    shares = np.linspace(0.0, 1.0, 51)
    curves = torch.stack([policy_of(q, log_prior, float(a), beta)[1].exp() for a in shares])
    figure = Figure(figsize=SIZES["single"], layout="constrained")
    ax = figure.subplots()
    for action, color in zip(range(len(q)), ACTION_COLORS, strict=False):
        label = f"Q = {float(q[action]):g}, prior {float(log_prior[action].exp()):.2g}"
        ax.plot(shares, curves[:, action], color=color, label=label)
    ax.set_xlabel("α, the share of the KL in the costs")
    ax.set_ylabel("probability under π")
    ax.set_ylim(0.0, None)
    ax.set_title(f"From α = 0, no prior, to α = 1, the prior in full (β = {beta:g})")
    ax.legend()
    return figure


def prior_on_its_way(history: Tensor, target: Tensor) -> Figure:
    """The prior [T, A] of one state after each step of distillation, and the mixture [A]."""
    figure = Figure(figsize=SIZES["single"], layout="constrained")
    ax = figure.subplots()
    names = ("up", "right", "down", "left")
    for action, color in zip(range(history.shape[1]), ACTION_COLORS, strict=False):
        ax.plot(history[:, action], color=color, label=names[action])
        ax.axhline(float(target[action]), color=color, linestyle=":", linewidth=1.2)
    ax.set_xlabel("steps of distillation")
    ax.set_ylabel("probability under π₀")
    ax.set_ylim(0.0, None)
    ax.set_title("The prior, and the optimal one (dotted)")
    ax.legend(loc=(0.8, 0.52))
    return figure


def draw_alternation() -> Figure:
    """The tasks lean on the prior, and the prior is distilled from the tasks."""
    width, _ = SIZES["wide"]
    figure = Figure(figsize=(width, 2.2), layout="constrained")
    ax = figure.subplots()
    ax.set(xlim=(0, 9), ylim=(0, 2.4))
    ax.axis("off")
    blue, orange = PALETTE["learned prior"], PALETTE["baseline"]
    _box(ax, 3.4, 1.6, 2.2, "prior π₀", blue)
    for left, i in ((0.2, "1"), (3.4, "2"), (6.6, "M")):
        _box(ax, left, 0.1, 2.2, rf"task ${i}$: $Q_{i}$, $\pi_{i}$", orange)
        middle = left + 1.1
        at_prior = 4.5 + 0.28 * (middle - 4.5)
        for shift, color, arrow in ((-0.12, blue, "-|>"), (0.12, orange, "<|-")):
            style = {"arrowstyle": arrow, "color": color, "linewidth": 1.6}
            ends = (middle + shift, 0.86), (at_prior + shift, 1.54)
            ax.annotate("", *ends, arrowprops=style)
    ax.text(0.2, 1.95, "down: the prior guides", color=blue)
    ax.text(0.2, 1.6, "up: the tasks distill", color=orange)
    ax.text(6.1, 0.45, "…", ha="center", va="center")
    return figure


def draw_columns() -> Figure:
    """The two columns of one task: what it shares with the others, and what is its own."""
    width, _ = SIZES["wide"]
    figure = Figure(figsize=(width, 2.5), layout="constrained")
    ax = figure.subplots()
    ax.set(xlim=(0, 9), ylim=(0, 2.6))
    ax.axis("off")
    blue, orange = PALETTE["learned prior"], PALETTE["baseline"]
    _box(ax, 0.1, 0.95, 1.3, "state s\n(cell, walls)", PALETTE["muted"])
    _box(ax, 2.1, 1.65, 2.0, "prior column h₀\none for all tasks", blue)
    _box(ax, 2.1, 0.25, 2.0, "task column fᵢ\none for each task", orange)
    _box(ax, 6.6, 1.65, 2.3, "π₀ = softmax(h₀)\nthe prior", blue)
    _box(ax, 6.6, 0.25, 2.3, "πᵢ = softmax(αh₀ + βfᵢ)\nthe policy of task i", orange)
    for start, end, color, words, place in (
        ((1.45, 1.4), (2.05, 1.95), PALETTE["muted"], "", (0, 0)),
        ((1.45, 1.15), (2.05, 0.65), PALETTE["muted"], "", (0, 0)),
        ((4.15, 2.0), (6.55, 2.0), blue, "", (0, 0)),
        ((4.15, 1.9), (6.55, 0.8), blue, "× α", (5.55, 1.4)),
        ((4.15, 0.6), (6.55, 0.6), orange, "× β", (5.0, 0.3)),
    ):
        arrow = {"arrowstyle": "-|>", "color": color, "linewidth": 1.6}
        ax.annotate("", end, start, arrowprops=arrow)
        ax.text(*place, words, color=color, ha="center")
    return figure


def _box(ax: Axes, x: float, y: float, width: float, words: str, color: str) -> None:
    style = "round,pad=0.04,rounding_size=0.08"
    box = FancyBboxPatch((x, y), width, 0.7, boxstyle=style, fc="white", ec=color, lw=1.6)
    ax.add_patch(box)
    ax.text(x + width / 2.0, y + 0.35, words, ha="center", va="center")


def _from_zero(values: Tensor) -> tuple[float, float]:
    return min(0.0, float(values.min())), float(values.max())
