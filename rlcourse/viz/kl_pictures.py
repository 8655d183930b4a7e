"""Pictures that explain KL regularization in one state. Each returns a figure."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from rlcourse.envs.mdp import TabularMDP
from rlcourse.klrl.tabular import start_value
from rlcourse.ops.kl import categorical_kl, limit_log_policies
from rlcourse.viz.style import PALETTE, SIZES

ACTION_COLORS = (PALETTE["ours"], PALETTE["baseline"], PALETTE["expert"], PALETTE["ablation"])


def kl_terms(p: Sequence[float], q: Sequence[float]) -> Figure:
    """Two distributions side by side, and the terms whose sum is KL(p || q)."""
    probabilities, expected = np.asarray(p), np.asarray(q)
    terms = probabilities * np.log(probabilities / expected)
    places = np.arange(len(terms))
    figure = Figure(figsize=SIZES["wide"], layout="constrained")
    left, right = figure.subplots(1, 2)
    left.bar(places - 0.2, probabilities, 0.38, color=PALETTE["ours"], label="p, the policy")
    left.bar(places + 0.2, expected, 0.38, color=PALETTE["baseline"], label="q, the habit")
    left.set_ylabel("probability")
    left.set_title("Two distributions over moves")
    left.legend()
    right.bar(places, terms, 0.5, color=PALETTE["ablation"])
    right.axhline(0.0, color=PALETTE["muted"], linewidth=0.8)
    for place, term in zip(places, terms, strict=True):
        right.annotate(f"{term:+.2f}", (place, max(term, 0.0) + 0.02), ha="center")
    right.set_ylabel("p log(p / q)  (nats)")
    right.set_title(f"Terms, with the sum KL(p‖q) = {terms.sum():.2f} nats")
    right.set_ylim(min(terms.min(), 0.0) * 1.6 - 0.02, terms.max() * 1.25 + 0.02)
    for ax in (left, right):
        ax.set_xticks(places, ("up", "right", "down", "left")[: len(places)])
        ax.grid(axis="x", visible=False)
    return figure


def one_state_objective(q: Sequence[float], alphas: Sequence[float]) -> Figure:
    """E[Q] - alpha KL over all policies for two actions and a uniform prior."""
    values = torch.tensor(q, dtype=torch.float64)
    first = torch.linspace(1e-6, 1 - 1e-6, 400, dtype=torch.float64)
    policy = torch.stack([first, 1 - first], -1)
    log_prior = torch.full((2,), 0.5, dtype=torch.float64).log()
    distance = categorical_kl(policy.log(), log_prior)
    figure = Figure(figsize=SIZES["single"], layout="constrained")
    ax = figure.subplots()
    for alpha, color in zip(alphas, ACTION_COLORS, strict=False):
        objective = policy @ values - alpha * distance
        best = int(objective.argmax())
        ax.plot(first, objective, color=color, label=f"α = {alpha:g}")
        ax.plot(first[best], objective[best], "o", color=color)
    ax.axvline(0.5, color=PALETTE["muted"], linewidth=0.8, linestyle=":")
    ax.annotate("prior", (0.5, ax.get_ylim()[0]), (3, 4), textcoords="offset points")
    ax.set_xlabel("probability of the first action")
    ax.set_ylabel("E[Q] − α KL  (reward)")
    ax.set_ylim(-0.8, 1.05)
    ax.set_title("The objective in one state")
    ax.legend(loc="lower center")
    return figure


def policy_against_alpha(
    policy_of: Callable[[Tensor, Tensor, float], Tensor], q: Tensor, log_prior: Tensor
) -> Figure:
    """The probability of each action against alpha, with the two limits dotted."""
    alphas = np.logspace(-2, 2, 120)
    curves = torch.stack([policy_of(q, log_prior, float(a)).exp() for a in alphas]).cpu()  # [N, A]
    cold, hot = limit_log_policies(q, log_prior)
    figure = Figure(figsize=SIZES["single"], layout="constrained")
    ax = figure.subplots()
    for action, color in zip(range(len(q)), ACTION_COLORS, strict=False):
        label = f"Q = {float(q[action]):g}, prior {float(log_prior[action].exp()):.1f}"
        ax.semilogx(alphas, curves[:, action], color=color, label=label)
        for limit, span in ((cold, (0.0, 0.12)), (hot, (0.88, 1.0))):
            ax.axhline(float(limit[action].exp()), *span, color=color, linestyle=":")
    ax.set_xlabel("α (reward per nat)")
    ax.set_ylabel("probability under π*")
    ax.set_title("From the best action to the prior (limits dotted)")
    ax.legend(loc="center right")
    return figure


def perturbed_policies(
    value_of: Callable[[Tensor], Tensor],
    mdp: TabularMDP,
    log_policy: Tensor,
    num_policies: int = 200,
    seed: int = 0,
) -> Figure:
    """What randomly changed policies lose against the given one, by their distance from it."""
    generator = torch.Generator().manual_seed(seed)
    best = float(start_value(mdp, value_of(log_policy)))
    distances, losses = [], []
    for size in torch.logspace(-1.5, 0.7, num_policies):
        noise = torch.randn(log_policy.shape, generator=generator, dtype=log_policy.dtype)
        changed = (log_policy + size * noise.to(log_policy.device)).log_softmax(-1)
        distances.append(float((categorical_kl(changed, log_policy) * mdp.continues).mean()))
        losses.append(best - float(start_value(mdp, value_of(changed))))
    figure = Figure(figsize=SIZES["single"], layout="constrained")
    ax = figure.subplots()
    ax.loglog(distances, losses, ".", color=PALETTE["ours"])
    ax.set_xlabel("mean KL from π* over states (nats)")
    ax.set_ylabel("loss of the objective (reward)")
    better = sum(loss < 0 for loss in losses)
    ax.set_title(f"{num_policies} changed policies, {better} better than π*")
    return figure
