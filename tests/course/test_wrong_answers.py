"""Each exercise of the course: the stub fails, the reference passes, wrong answers are named.

The wrong answers are written here as a learner would write them, apart from the ones by which the
checks recognize mistakes. Run with -s to see the table.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch

from rlcourse.course.catalog import check_modules, lesson_exercises
from rlcourse.course.grading import Exercise, grade


class Wrong(NamedTuple):
    """A wrong answer, and words that the message must hold."""

    answer: Callable[..., object]
    names: str


def returns_forwards(reward, discount):
    total, returns = torch.zeros_like(reward[0]), []
    for t in range(len(reward)):
        total = reward[t] + discount[t] * total
        returns.append(total)
    return torch.stack(returns)


def returns_reversed(reward, discount):
    total, returns = torch.zeros_like(reward[0]), []
    for t in reversed(range(len(reward))):
        total = reward[t] + discount[t] * total
        returns.append(total)
    return torch.stack(returns)


def returns_undiscounted(reward, discount):
    return reward.flip(0).cumsum(0).flip(0)


def returns_off_by_one(reward, discount):
    returns = reward.clone()
    for t in reversed(range(len(reward) - 1)):
        returns[t] = reward[t] + discount[t + 1] * returns[t + 1]
    return returns


def returns_in_place(reward, discount):
    for t in reversed(range(len(reward) - 1)):
        reward[t] += discount[t] * reward[t + 1]
    return reward


def returns_of_the_batch(reward, discount):
    total, returns = 0.0, []
    for t in reversed(range(len(reward))):
        total = reward[t].sum() + discount[t].mean() * total
        returns.append(total)
    return torch.stack(returns[::-1])


def kl_reversed(log_p, log_q):
    return (log_q.exp() * (log_q - log_p)).sum(-1)


def kl_not_a_number(log_p, log_q):
    return (log_p.exp() * (log_p - log_q)).sum(-1)


def kl_of_probabilities(log_p, log_q):
    terms = torch.where(log_p == -torch.inf, 0.0, log_p.exp() * (log_p - log_q))
    return terms.mean(-1)


def kl_sign(log_p, log_q):
    return torch.where(log_p == -torch.inf, 0.0, log_p.exp() * (log_q - log_p)).sum(-1)


def kl_weights_of_q(log_p, log_q):
    terms = log_q.exp() * (log_p - log_q)
    return torch.where(log_p == -torch.inf, 0.0, terms).sum(-1)


def limits_of_all_actions(q, log_prior):
    best = q == q.amax(-1, keepdim=True)
    greedy = torch.where(best, log_prior, -torch.inf)
    return greedy - greedy.logsumexp(-1, keepdim=True), log_prior


def backup_swapped(mdp, value, log_prior, alpha, discount):
    q = mdp.expected_reward() + discount * mdp.transition_tensor() @ value
    return mdp.continues * alpha * torch.logsumexp(log_prior + q / alpha, -1), q


def value_undiscounted(mdp, log_policy, log_prior, alpha, discount):
    policy = log_policy.exp()
    cost = alpha * (policy * (log_policy - log_prior)).sum(-1)
    return _evaluate(mdp, policy, (policy * mdp.expected_reward()).sum(-1) - cost, 1.0)


def kl_wrong_axis(log_p, log_q):
    return torch.where(log_p == -torch.inf, 0.0, log_p.exp() * (log_p - log_q)).sum(0)


def boltzmann_without_prior(q, log_prior, alpha):
    return torch.log_softmax(q / alpha, -1)


def boltzmann_times_alpha(q, log_prior, alpha):
    return torch.log_softmax(log_prior + alpha * q, -1)


def boltzmann_first_axis(q, log_prior, alpha):
    return torch.log_softmax(log_prior + q / alpha, 0)


def boltzmann_overflows(q, log_prior, alpha):
    weights = log_prior.exp() * torch.exp(q / alpha)
    return torch.log(weights / weights.sum(-1, keepdim=True))


def boltzmann_probabilities(q, log_prior, alpha):
    return torch.softmax(log_prior + q / alpha, -1)


def limits_swapped(q, log_prior):
    inside = torch.where(log_prior == -torch.inf, -torch.inf, q)
    best = inside == inside.amax(-1, keepdim=True)
    greedy = torch.where(best, log_prior, -torch.inf)
    return log_prior, greedy - greedy.logsumexp(-1, keepdim=True)


def limits_argmax(q, log_prior):
    inside = torch.where(log_prior == -torch.inf, -torch.inf, q)
    greedy = torch.full_like(q, -torch.inf)
    return greedy.scatter(-1, inside.argmax(-1, keepdim=True), 0.0), log_prior


def limits_even_ties(q, log_prior):
    inside = torch.where(log_prior == -torch.inf, -torch.inf, q)
    best = inside == inside.amax(-1, keepdim=True)
    return (best / best.sum(-1, keepdim=True)).to(q.dtype).log(), log_prior


def backup_hard(mdp, value, log_prior, alpha, discount):
    q = mdp.expected_reward() + discount * mdp.transition_tensor() @ value
    return q, mdp.continues * q.max(-1).values


def backup_without_prior(mdp, value, log_prior, alpha, discount):
    q = mdp.expected_reward() + discount * mdp.transition_tensor() @ value
    return q, mdp.continues * alpha * torch.logsumexp(q / alpha, -1)


def backup_undiscounted(mdp, value, log_prior, alpha, discount):
    q = mdp.expected_reward() + mdp.transition_tensor() @ value
    return q, mdp.continues * alpha * torch.logsumexp(log_prior + q / alpha, -1)


def backup_never_ends(mdp, value, log_prior, alpha, discount):
    q = mdp.expected_reward() + discount * mdp.transition_tensor() @ value
    return q, alpha * torch.logsumexp(log_prior + q / alpha, -1)


def iteration_once(mdp, log_prior, alpha, discount, tolerance=1e-10):
    q = mdp.expected_reward()
    return q, mdp.continues * alpha * torch.logsumexp(log_prior + q / alpha, -1)


def iteration_ten_sweeps(mdp, log_prior, alpha, discount, tolerance=1e-10):
    value = torch.zeros_like(mdp.initial)
    for _ in range(10):
        q = mdp.expected_reward() + discount * mdp.transition_tensor() @ value
        value = mdp.continues * alpha * torch.logsumexp(log_prior + q / alpha, -1)
    return q, value


def iteration_only_value(mdp, log_prior, alpha, discount, tolerance=1e-10):
    return torch.zeros_like(mdp.initial)


def iteration_endless(mdp, log_prior, alpha, discount, tolerance=1e-10):
    value = torch.zeros_like(mdp.initial)
    while True:
        value = value + 0.0


def _evaluate(mdp, policy, reward, discount, ends=True):
    kernel = torch.einsum("sa,sat->st", policy, mdp.transition_tensor())
    going_on = mdp.continues if ends else torch.ones_like(mdp.continues)
    system = torch.eye(mdp.num_states).double() - discount * going_on[:, None] * kernel
    return torch.linalg.solve(system, going_on * reward)


def value_without_kl(mdp, log_policy, log_prior, alpha, discount):
    policy = log_policy.exp()
    return _evaluate(mdp, policy, (policy * mdp.expected_reward()).sum(-1), discount)


def value_kl_reversed(mdp, log_policy, log_prior, alpha, discount):
    policy = log_policy.exp()
    cost = alpha * (log_prior.exp() * (log_prior - log_policy)).sum(-1)
    return _evaluate(mdp, policy, (policy * mdp.expected_reward()).sum(-1) - cost, discount)


def value_kl_added(mdp, log_policy, log_prior, alpha, discount):
    policy = log_policy.exp()
    cost = alpha * (policy * (log_policy - log_prior)).sum(-1)
    return _evaluate(mdp, policy, (policy * mdp.expected_reward()).sum(-1) + cost, discount)


def value_never_ends(mdp, log_policy, log_prior, alpha, discount):
    policy = log_policy.exp()
    cost = alpha * (policy * (log_policy - log_prior)).sum(-1)
    reward = (policy * mdp.expected_reward()).sum(-1) - cost
    return _evaluate(mdp, policy, reward, discount, ends=False)


def target_hard(reward, discount, next_q, next_log_prior, alpha):
    return reward + discount * next_q.max(-1).values


def target_without_discount(reward, discount, next_q, next_log_prior, alpha):
    return reward + alpha * torch.logsumexp(next_log_prior + next_q / alpha, -1)


def target_without_prior(reward, discount, next_q, next_log_prior, alpha):
    return reward + discount * alpha * torch.logsumexp(next_q / alpha, -1)


def target_expected(reward, discount, next_q, next_log_prior, alpha):
    return reward + discount * (next_log_prior.exp() * next_q).sum(-1)


WRONG = {
    "00.discounted_returns": (
        Wrong(returns_forwards, "run forwards"),
        Wrong(returns_reversed, "reversed time order"),
        Wrong(returns_undiscounted, "Nothing is discounted"),
        Wrong(returns_off_by_one, "one step late"),
        Wrong(returns_in_place, "changes its input `reward` in place"),
        Wrong(returns_of_the_batch, "shape"),
    ),
    "01.categorical_kl": (
        Wrong(kl_reversed, r"KL\(q \|\| p\)"),
        Wrong(kl_not_a_number, "NaN"),
        Wrong(kl_of_probabilities, "mean over actions"),
        Wrong(kl_sign, "sign is flipped"),
        Wrong(kl_weights_of_q, "weights are those of q"),
        Wrong(kl_wrong_axis, "shape"),
    ),
    "01.boltzmann_policy": (
        Wrong(boltzmann_without_prior, "prior is missing"),
        Wrong(boltzmann_times_alpha, "must be divided"),
        Wrong(boltzmann_first_axis, "wrong axis"),
        Wrong(boltzmann_overflows, "overflow"),
        Wrong(boltzmann_probabilities, "return their logarithms"),
    ),
    "01.alpha_limits": (
        Wrong(limits_swapped, "swapped"),
        Wrong(limits_argmax, "Only the first"),
        Wrong(limits_even_ties, "not equally"),
        Wrong(limits_of_all_actions, "excluded action"),
    ),
    "01.soft_backup": (
        Wrong(backup_hard, "maximum"),
        Wrong(backup_without_prior, "prior is missing"),
        Wrong(backup_undiscounted, "discount is missing"),
        Wrong(backup_never_ends, "Terminal states"),
        Wrong(backup_swapped, "swapped"),
    ),
    "01.soft_value_iteration": (
        Wrong(iteration_once, "not a fixed point"),
        Wrong(iteration_ten_sweeps, "not a fixed point"),
        Wrong(iteration_only_value, r"\(q, value\)"),
        Wrong(iteration_endless, "still running"),
    ),
    "01.policy_value": (
        Wrong(value_without_kl, "KL is missing"),
        Wrong(value_kl_reversed, "wrong way round"),
        Wrong(value_kl_added, "subtract"),
        Wrong(value_never_ends, "after the end"),
        Wrong(value_undiscounted, "discount is missing"),
    ),
    "01.soft_q_target": (
        Wrong(target_hard, "ordinary Q-learning"),
        Wrong(target_without_discount, "discount is missing"),
        Wrong(target_without_prior, "prior is missing"),
        Wrong(target_expected, "mean of Q under the prior"),
    ),
}

EXERCISES = [e for number in check_modules() for e in lesson_exercises(number)]
CASES = [(e, wrong) for e in EXERCISES for wrong in WRONG.get(e.id, ())]


def quick(exercise: Exercise) -> Exercise:
    """The same exercise with a short time limit, so that an endless answer ends soon."""
    return exercise.__class__(**{**vars(exercise), "seconds": 3.0})


def test_every_exercise_has_two_wrong_answers():
    assert {e.id for e in EXERCISES} == set(WRONG)
    assert all(len(wrong) >= 2 for wrong in WRONG.values())


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.id)
def test_the_stub_fails_and_the_reference_passes(exercise: Exercise):
    def stub(*args):
        raise NotImplementedError(f"{exercise.id}: write this function")

    assert grade(exercise, stub).status == "unsolved"
    assert grade(exercise, exercise.reference).status == "passed"


@pytest.mark.parametrize(
    ("exercise", "wrong"), CASES, ids=[f"{e.id}-{w.answer.__name__}" for e, w in CASES]
)
def test_a_wrong_answer_is_rejected_by_name(exercise: Exercise, wrong: Wrong, record_property):
    verdict = grade(quick(exercise), wrong.answer)
    record_property("table", f"| {exercise.id} | {wrong.answer.__name__} | {verdict.message} |")
    assert verdict.status == "failed"
    assert re.search(wrong.names, verdict.message), verdict.message


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.id)
def test_each_mistake_that_a_check_knows_is_told_apart(exercise: Exercise):
    for mistake in exercise.mistakes:
        assert grade(exercise, mistake.function).message.startswith(mistake.says[:40])
