"""Wrong answers to the exercises of notebook 01, as a learner would write them."""

import torch

from tests.course.wrong_answers.wrong import Wrong


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
