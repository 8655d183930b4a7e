"""The still pictures of notebook 03: densities, reference behaviors, bounds, traces."""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from rlcourse.ops.gaussian import decoupled_gaussian_kl, gaussian_kl
from rlcourse.ops.kl import boltzmann_log_policy, soft_value
from rlcourse.viz.style import PALETTE, SIZES

STD_COLORS = ("#8EC1E0", "#0072B2", "#0B3A66")  # one hue, darker where wider
SAMPLES_FIT = (0.12, 0.36)  # mean and stddev of the weighted samples in `m_step_bounds`
_GRID = torch.linspace(-0.999, 0.999, 1999, dtype=torch.float64)  # actions


def squashed_densities(
    log_prob: Callable[[Tensor, Tensor, Tensor], Tensor], stds: Sequence[float], mean: float = 0.0
) -> Figure:
    """Gaussians over u on the left, and what tanh makes of them on the right.

    Args:
        log_prob: (u [N, 1], mean [N, 1], std [N, 1]) -> log-density of tanh(u) [N].
        stds: at most three.
        mean: of all of them.
    """
    figure = Figure(figsize=SIZES["wide"], layout="constrained")
    left, right = figure.subplots(1, 2)
    u = torch.linspace(-4.0, 4.0, 801, dtype=torch.float64)
    inner = _GRID.atanh()[:, None]
    for std, color in zip(stds, STD_COLORS, strict=False):
        density = torch.exp(-0.5 * ((u - mean) / std) ** 2) / (std * math.sqrt(2 * math.pi))
        left.plot(u, density, color=color, label=f"std {std:g}")
        full = (torch.full_like(inner, mean), torch.full_like(inner, std))
        right.plot(_GRID, log_prob(inner, *full).exp(), color=color)
    right.axhline(0.5, color=PALETTE["uniform prior"], linestyle=":", label="uniform")
    left.set(xlabel="u, before the tanh", ylabel="density")
    left.set_title("A Gaussian over u")
    right.set(xlabel="action a = tanh(u)", ylabel="density", ylim=(0, 2.2))
    right.set_title("The same, as a density over actions")
    left.legend()
    right.legend(loc="upper center")
    return figure


def three_references(alpha: float = 0.25) -> Figure:
    """One Q and one alpha, and the best compromise for each of three reference behaviors."""
    q = _GRID.clone().sub(0.35).div(0.3).square().mul(-0.5).exp()  # a hill at 0.35
    step = float(_GRID[1] - _GRID[0])
    references = {
        "uniform: SAC": (torch.zeros_like(q), PALETTE["alternative"]),
        "its own last policy: MPO": (_log_bump(0.0, 0.35), PALETTE["expert"]),
        "any prior: SVG(0)": (_log_bump(0.5, 0.22), PALETTE["ours"]),
    }
    figure = Figure(figsize=SIZES["wide"], layout="constrained")
    for ax, (title, (log_p, color)) in zip(
        figure.subplots(1, 3, sharey=True), references.items(), strict=True
    ):
        log_prior = log_p.log_softmax(-1)
        best = boltzmann_log_policy(q, log_prior, alpha).exp() / step
        ax.fill_between(_GRID, log_prior.exp() / step, color=color, alpha=0.22, label="π₀")
        ax.plot(_GRID, best, color=color, label="π*")
        ax.plot(_GRID, 1.5 * q, color=PALETTE["muted"], linestyle="--", linewidth=1.2, label="Q")
        value = float(soft_value(q, log_prior, alpha))
        ax.set_title(title)
        ax.set_xlabel("action")
        corner = {"transform": ax.transAxes, "ha": "right", "va": "top", "fontsize": 10}
        ax.text(0.97, 0.96, f"V = {value:.2f}", **corner)
        ax.legend(loc="upper left")
    figure.axes[0].set_ylabel("density (Q in units of its own)")
    return figure


def m_step_bounds(epsilon_mean: float = 0.05, epsilon_std: float = 0.001) -> Figure:
    """Which new Gaussians MPO allows around an old one, and which fits the samples best: with one
    bound on the KL, and with one on each part.

    Args:
        epsilon_mean, epsilon_std: the two bounds, in nats; the one bound is `epsilon_mean`.
    """
    mean, std = torch.meshgrid(
        torch.linspace(-0.3, 0.36, 331).double(),
        torch.linspace(0.32, 0.72, 401).double(),
        indexing="xy",
    )
    new = (mean[..., None], std[..., None])
    old = (torch.zeros_like(new[0]), torch.full_like(new[0], 0.5))
    of_mean, of_std = (part.squeeze(-1) for part in decoupled_gaussian_kl(*old, *new))
    whole = gaussian_kl(*old, *new)
    inside = (of_mean <= epsilon_mean) & (of_std <= epsilon_std)
    figure = Figure(figsize=SIZES["single"], layout="constrained")
    ax = figure.subplots()
    ax.contourf(mean, std, inside.double(), [0.5, 1.5], colors=[PALETTE["ours"]], alpha=0.25)
    ax.contour(mean, std, whole, levels=[epsilon_mean], colors=[PALETTE["muted"]], linestyles="--")
    fit = _log_likelihood(mean, std)
    one, each = (
        _best_place(fit, allowed, mean, std) for allowed in (whole <= epsilon_mean, inside)
    )
    two = f"{epsilon_mean:g} and {epsilon_std:g}"
    _mark(ax, (0.0, 0.5), "old policy", "o", "expert", (-58, -3))
    _mark(ax, SAMPLES_FIT, "fit without bounds", "*", "text", (9, -3))
    _mark(ax, one, "one bound", "s", "muted", (9, -3))
    _mark(ax, each, f"two bounds:\n{two}", "D", "ours", (28, 2))
    words = f"KL ≤ {epsilon_mean:g}"
    ax.annotate(words, (-0.12, 0.62), (-38, 6), textcoords="offset points", color=PALETTE["muted"])
    ax.set(xlabel="new mean", ylabel="new stddev")
    ax.set_title("Where the M-step may go, and where it ends")
    return figure


def trace_weights(
    retrace: Callable[..., Tensor], ratios: Mapping[str, Sequence[float]], discount: float = 0.95
) -> Figure:
    """How much a reward t steps ahead counts in the target of step 0, for several rows of ratios.

    The target is linear in the rewards: reward 1 at one step and 0 elsewhere gives its weight.

    Args:
        retrace: (q, next_value, reward, discount, log_rho, lambda) -> targets [T, B].
        ratios: pi / mu of the actions taken, [T] each.
        discount: gamma.
    """
    figure = Figure(figsize=SIZES["wide"], layout="constrained")
    axes = figure.subplots(1, len(ratios), sharey=True, squeeze=False)[0]
    for ax, (title, rho) in zip(axes, ratios.items(), strict=True):
        length = len(rho)
        reward, zero = torch.eye(length), torch.zeros(length, length)
        log_rho = torch.tensor(rho).log()[:, None].expand(length, length)
        weights = retrace(zero, zero, reward, torch.full_like(zero, discount), log_rho, 1.0)[0]
        ax.bar(range(length), weights.tolist(), color=PALETTE["ours"], width=0.7)
        for step, ratio in enumerate(rho):
            ax.annotate(f"{ratio:g}", (step, 1.1), ha="center", fontsize=8.5)
        ax.set_title(title)
        ax.set_xlabel("step t, with its ratio π/μ above")
        ax.set(xticks=range(length), ylim=(0, 1.22))
        ax.grid(axis="x", visible=False)
    axes[0].set_ylabel("weight of reward t in target 0")
    return figure


def _log_likelihood(mean: Tensor, std: Tensor) -> Tensor:
    """Mean log-likelihood, up to a constant, of samples with the moments of `SAMPLES_FIT`."""
    center, width = SAMPLES_FIT
    return -std.log() - ((center - mean).square() + width**2) / (2 * std.square())


def _best_place(score: Tensor, allowed: Tensor, mean: Tensor, std: Tensor) -> tuple[float, float]:
    """Mean and stddev of the highest score on the grid where it is allowed."""
    place = torch.where(allowed, score, -torch.inf).argmax()
    return float(mean.flatten()[place]), float(std.flatten()[place])


def _mark(
    ax: Axes, at: tuple[float, float], words: str, marker: str, color: str, shift: tuple[int, int]
) -> None:
    ax.plot(*at, marker, ms=12 if marker == "*" else 7, color=PALETTE[color], label=words)
    near = {"textcoords": "offset points", "fontsize": 8.5, "color": PALETTE[color]}
    ax.annotate(words, at, shift, **near)


def _log_bump(center: float, width: float) -> Tensor:
    return -0.5 * ((_GRID - center) / width) ** 2
