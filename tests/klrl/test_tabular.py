"""Exact KL-regularized RL against loops, linear algebra, known values and theory."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlcourse.envs.gridworld import Gridworld
from rlcourse.klrl import tabular
from tests.oracles import slow_tabular

GRID = Gridworld.from_ascii("S..#\n.X..\n...G")
DISCOUNT = 0.9


def random_log_probs(seed: int, *shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).log_softmax(-1)


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("alpha", [0.05, 1.0])
def test_value_iteration_agrees_with_loops(dense: bool, alpha: float):
    mdp = GRID.mdp(slip=0.2)
    log_prior = random_log_probs(0, mdp.num_states, mdp.num_actions)
    solution = tabular.soft_value_iteration(mdp, log_prior, alpha, DISCOUNT, dense=dense)
    slow = slow_tabular.soft_value_iteration(mdp, log_prior, alpha, DISCOUNT, sweeps=300)
    assert solution.value.tolist() == pytest.approx(slow, abs=1e-7)


def test_a_bandit_has_the_value_computed_by_hand():
    # Q = (1, 0), uniform prior, alpha = 1: V = log((e + 1) / 2), pi(1) = e / (e + 1).
    mdp = Gridworld.from_ascii("GS.").mdp()
    solution = tabular.soft_value_iteration(mdp, torch.tensor([[1 / 4] * 4] * 3).log(), 1.0, 0.0)
    e = math.e
    assert float(solution.value[1]) == pytest.approx(math.log((e + 3) / 4), abs=1e-6)
    assert float(solution.log_policy[1, 3].exp()) == pytest.approx(e / (e + 3), abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), alpha=st.floats(0.02, 5.0), slip=st.floats(0.0, 1.0))
def test_the_solution_attains_the_objective_and_no_policy_exceeds_it(seed, alpha, slip):
    mdp = GRID.mdp(slip=slip)
    shape = (mdp.num_states, mdp.num_actions)
    log_prior = random_log_probs(seed, *shape)
    solution = tabular.soft_value_iteration(mdp, log_prior, alpha, DISCOUNT)
    regularized = {"log_prior": log_prior, "alpha": alpha}
    exact = tabular.evaluate_policy(mdp, solution.log_policy, DISCOUNT, **regularized)
    assert torch.allclose(exact, solution.value, atol=1e-6)
    other = tabular.evaluate_policy(
        mdp, random_log_probs(seed + 1, *shape), DISCOUNT, **regularized
    )
    assert bool((other <= solution.value + 1e-6).all())


def test_both_ways_to_evaluate_agree():
    mdp = GRID.mdp(slip=0.3)
    log_policy, log_prior = (random_log_probs(k, mdp.num_states, mdp.num_actions) for k in (1, 2))
    for regularized in ({}, {"log_prior": log_prior, "alpha": 0.4}):
        solved = tabular.evaluate_policy(mdp, log_policy, DISCOUNT, **regularized)
        swept = tabular.evaluate_policy_iteratively(mdp, log_policy, DISCOUNT, **regularized)
        assert torch.allclose(solved, swept, atol=1e-7)


def test_small_and_large_alpha_are_ordinary_rl_and_the_prior():
    mdp = GRID.mdp(slip=0.1)
    log_prior = random_log_probs(3, mdp.num_states, mdp.num_actions)
    cold = tabular.soft_value_iteration(mdp, log_prior, 1e-4, DISCOUNT)
    assert torch.allclose(cold.value, tabular.optimal_value(mdp, DISCOUNT), atol=5e-3)
    hot = tabular.soft_value_iteration(mdp, log_prior, 1e4, DISCOUNT)
    ordinary = tabular.evaluate_policy(mdp, log_prior, DISCOUNT)
    assert torch.allclose(hot.value, ordinary, atol=1e-3)
    assert torch.allclose(hot.log_policy.exp(), log_prior.exp(), atol=1e-3)


def test_many_alphas_at_once_are_each_the_single_solution():
    mdp = GRID.mdp()
    log_prior = tabular.uniform_log_prior(mdp)
    alphas = torch.tensor([[0.05], [0.5], [5.0]], dtype=torch.float64)
    together = tabular.soft_value_iteration(mdp, log_prior, alphas, DISCOUNT)
    for i, alpha in enumerate(alphas.flatten().tolist()):
        single = tabular.soft_value_iteration(mdp, log_prior, alpha, DISCOUNT)
        assert torch.allclose(together.value[i], single.value, atol=1e-7)


def test_the_iteration_contracts_by_the_discount():
    mdp = GRID.mdp(slip=0.2)
    residuals = tabular.soft_value_iteration(
        mdp, tabular.uniform_log_prior(mdp), 0.1, DISCOUNT
    ).residuals
    assert bool((residuals[1:] <= DISCOUNT * residuals[:-1] + 1e-12).all())


def test_visitation_is_the_discounted_count_of_visits():
    mdp = Gridworld.from_ascii("S.G").mdp()
    always_right = torch.tensor([[0.0, 1.0, 0.0, 0.0]] * 3, dtype=torch.float64).log()
    visits = tabular.visitation(mdp, always_right, 0.5)
    assert visits.tolist() == pytest.approx([0.5, 0.25, 0.125])


def test_bad_problems_are_refused():
    mdp = GRID.mdp()
    log_prior = tabular.uniform_log_prior(mdp)
    with pytest.raises(ValueError, match=r"discount must lie in \[0, 1\).*got 1\.0"):
        tabular.soft_value_iteration(mdp, log_prior, 0.1, 1.0)
    with pytest.raises(ValueError, match="prior is over"):
        tabular.soft_value_iteration(mdp, log_prior[:, :2], 0.1, DISCOUNT)
    with pytest.raises(ValueError, match="alpha"):
        tabular.soft_value_iteration(mdp, log_prior, -1.0, DISCOUNT)
    with pytest.raises(RuntimeError, match="in 3 iterations"):
        tabular.soft_value_iteration(mdp, log_prior, 0.1, DISCOUNT, max_iterations=3)
    with pytest.raises(ValueError, match=r"alpha\[:, None\]"):
        tabular.soft_value_iteration(mdp, log_prior, torch.full((11,), 0.1).double(), DISCOUNT)
    with pytest.raises(ValueError, match="log_prior and alpha together"):
        tabular.evaluate_policy(mdp, log_prior, DISCOUNT, alpha=0.5)
    with pytest.raises(ValueError, match="values became nan in sweep 1"):
        tabular.soft_value_iteration(mdp, log_prior * float("nan"), 0.1, DISCOUNT)


def test_what_a_policy_does_in_a_terminal_state_does_not_matter():
    mdp = GRID.mdp()
    log_prior = torch.tensor([0.0, 0.5, 0.5, 0.0]).double().log().expand(mdp.num_states, 4)
    log_policy = torch.where(mdp.continues[:, None] > 0, log_prior, math.log(0.25))
    value = tabular.evaluate_policy(mdp, log_policy, DISCOUNT, log_prior=log_prior, alpha=0.5)
    assert torch.allclose(value, tabular.evaluate_policy(mdp, log_policy, DISCOUNT))
    outside = log_prior.roll(1, -1)
    with pytest.raises(ValueError, match="takes an action that the prior excludes"):
        tabular.evaluate_policy(mdp, outside, DISCOUNT, log_prior=log_prior, alpha=0.5)


def test_evaluation_takes_batches_of_alpha_and_of_policies():
    mdp = GRID.mdp(slip=0.2)
    log_prior = random_log_probs(5, mdp.num_states, mdp.num_actions)
    log_policy = random_log_probs(6, 3, mdp.num_states, mdp.num_actions)
    alphas = torch.tensor([[0.1], [0.5], [2.0]], dtype=torch.float64)
    for policy in (log_policy, log_policy[0]):
        together = tabular.evaluate_policy(mdp, policy, DISCOUNT, log_prior=log_prior, alpha=alphas)
        for i, alpha in enumerate(alphas.flatten().tolist()):
            one = policy[i] if policy.ndim == 3 else policy
            single = tabular.evaluate_policy_iteratively(
                mdp, one, DISCOUNT, log_prior=log_prior, alpha=alpha
            )
            assert torch.allclose(together[i], single, atol=1e-7)


def test_the_promised_tolerance_is_kept_and_a_good_guess_saves_sweeps():
    mdp = GRID.mdp(slip=0.2)
    log_prior = tabular.uniform_log_prior(mdp)
    exact = tabular.soft_value_iteration(mdp, log_prior, 0.2, 0.99, tolerance=1e-12)
    loose = tabular.soft_value_iteration(mdp, log_prior, 0.2, 0.99, tolerance=1e-2)
    assert float((loose.value - exact.value).abs().max()) <= 1e-2
    stopped = int((exact.residuals <= 1e-2).nonzero()[0])  # where the plain change would stop
    assert len(loose.residuals) > 2 * stopped
    again = tabular.soft_value_iteration(
        mdp, log_prior, 0.2, 0.99, tolerance=1e-8, initial_value=exact.value
    )
    assert len(again.residuals) < 5
