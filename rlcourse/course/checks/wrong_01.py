"""Plausible wrong answers to the exercises of notebook 01, by which a check names the mistake."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from rlcourse.envs.mdp import TabularMDP
from rlcourse.klrl import tabular
from rlcourse.ops import kl


def swapped_axes(q: Tensor, log_prior: Tensor, alpha: float) -> Tensor:
    return (log_prior + q / alpha).log_softmax(0)


def in_linear_space(q: Tensor, log_prior: Tensor, alpha: float) -> Tensor:
    weight = log_prior.exp() * (q / alpha).exp()
    return (weight / weight.sum(-1, keepdim=True)).log()


def backup_with(change: Callable[..., tuple[Tensor, Tensor]]) -> Callable[..., object]:
    """A soft backup in which `change(mdp, q, value, log_prior, alpha)` does the second half."""

    def answer(mdp, value, log_prior, alpha, discount):
        return change(mdp, tabular.backup(mdp, value, discount), value, log_prior, alpha)

    return answer


def no_discount(mdp, value, log_prior, alpha, discount):
    return tabular.soft_backup(mdp, value, log_prior, alpha, 1.0)


def no_terminals(mdp, q, value, log_prior, alpha):
    return q, kl.soft_value(q, log_prior, alpha)


def hard_maximum(mdp, q, value, log_prior, alpha):
    return q, mdp.continues * q.amax(-1)


def no_prior(mdp, q, value, log_prior, alpha):
    return q, mdp.continues * kl.soft_value(q, torch.zeros_like(q), alpha)


def no_alpha_in_front(mdp, q, value, log_prior, alpha):
    return q, mdp.continues * kl.soft_value(q, log_prior, alpha) / alpha


def prior_mean(mdp, q, value, log_prior, alpha):
    return q, mdp.continues * (log_prior.exp() * q).sum(-1)


def transposed(mdp, value, log_prior, alpha, discount):
    from_before = torch.einsum("ijk,i->kj", mdp.transition_tensor(), value)
    q = mdp.expected_reward() + discount * from_before
    return q, mdp.continues * kl.soft_value(q, log_prior, alpha)


def evaluate_with(penalty: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """Policy evaluation in which `penalty(log_policy, log_prior)` [S] replaces the KL."""

    def answer(mdp, log_policy, log_prior, alpha, discount):
        change = alpha * (penalty(log_policy, log_prior) - kl.categorical_kl(log_policy, log_prior))
        shaped = mdp.reward - change[:, None, None]
        changed = TabularMDP(shaped, mdp.successors, mdp.probabilities, mdp.continues, mdp.initial)
        return tabular.evaluate_policy(
            changed, log_policy, discount, log_prior=log_prior, alpha=alpha
        )

    return answer


def terminals_go_on(mdp, log_policy, log_prior, alpha, discount):
    endless = TabularMDP(
        mdp.reward, mdp.successors, mdp.probabilities, torch.ones_like(mdp.continues), mdp.initial
    )
    return tabular.evaluate_policy(endless, log_policy, discount, log_prior=log_prior, alpha=alpha)


def uniform_over_ties(q: Tensor, log_prior: Tensor) -> tuple[Tensor, Tensor]:
    return kl.limit_log_policies(q, torch.where(log_prior > -math.inf, 0.0, -math.inf))[
        0
    ], log_prior


def outside_support(q: Tensor, log_prior: Tensor) -> tuple[Tensor, Tensor]:
    greedy = torch.where(q == q.amax(-1, keepdim=True), 0.0, -math.inf)
    return greedy.log_softmax(-1), log_prior


def first_maximum(q: Tensor, log_prior: Tensor) -> tuple[Tensor, Tensor]:
    inside = torch.where(log_prior > -math.inf, q, -math.inf)
    first = torch.nn.functional.one_hot(inside.argmax(-1), q.shape[-1])
    return first.to(q.dtype).log(), log_prior


def target_with(value: Callable[[Tensor, Tensor, float], Tensor]) -> Callable[..., Tensor]:
    """A one-step target that bootstraps from `value(next_q, next_log_prior, alpha)`."""

    def answer(reward, discount, next_q, next_log_prior, alpha):
        return reward + discount * value(next_q, next_log_prior, alpha)

    return answer


def weighted_by_q(log_p: Tensor, log_q: Tensor) -> Tensor:
    terms = log_q.exp() * (log_p - log_q)
    return torch.where(log_p == -math.inf, 0.0, terms).sum(-1)


def excluded_action_wins(q: Tensor, log_prior: Tensor) -> tuple[Tensor, Tensor]:
    greedy = torch.where(q == q.amax(-1, keepdim=True), log_prior, -math.inf)
    return greedy - greedy.logsumexp(-1, keepdim=True), log_prior


def evaluate_undiscounted(mdp, log_policy, log_prior, alpha, discount):
    return tabular.evaluate_policy(mdp, log_policy, 1.0, log_prior=log_prior, alpha=alpha)
