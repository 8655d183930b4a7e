"""Exact and sampled KL-regularized RL against loops, linear algebra, known values and theory."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlcourse.envs.gridworld import Gridworld
from rlcourse.envs.probes import probes
from rlcourse.envs.tabular_env import TabularEnv
from rlcourse.klrl import tabular
from rlcourse.ops.kl import boltzmann_log_policy
from rlcourse.run.loop import run_loop
from rlcourse.run.record import Record
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
    for bad in ({"alpha": 0.0}, {"discount": 1.0}, {"learning_rate": 0.0}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            tabular.Config(**bad)


def learner_for(mdp, alpha: float, discount: float, num_learners: int = 4):
    env = TabularEnv(mdp, num_learners, torch.Generator().manual_seed(0), max_steps=50)
    config = tabular.Config(alpha, discount, learning_rate=0.5)
    log_prior = tabular.uniform_log_prior(mdp)
    generator = torch.Generator().manual_seed(1)
    return env, tabular.SoftQLearner(config, log_prior, num_learners, generator), log_prior


@pytest.mark.parametrize("probe", probes(), ids=lambda probe: probe.name)
def test_sampled_soft_q_learning_solves_the_probes(probe, tmp_path):
    env, learner, log_prior = learner_for(probe.mdp, 1.0, probe.gamma)
    run_loop(env, learner, 1_500, record=Record(tmp_path, {}), progress=False)
    acting = probe.mdp.continues.bool()
    expected = probe.soft_q(log_prior, 1.0)[acting].double()
    for q in learner.q[:, acting].double():
        assert torch.allclose(q, expected, atol=0.02)


def test_sampled_soft_q_learning_reaches_the_exact_solution(tmp_path):
    mdp = Gridworld.from_ascii("S.\n.G").mdp()
    env, learner, log_prior = learner_for(mdp, 0.5, 0.8)
    run_loop(env, learner, 4_000, record=Record(tmp_path, {}), progress=False)
    exact = tabular.soft_value_iteration(mdp, log_prior, 0.5, 0.8)
    acting = mdp.continues.bool()
    assert torch.allclose(learner.q[0, acting].double(), exact.q[acting], atol=1e-3)


def test_before_the_first_reward_a_learner_behaves_like_its_prior():
    mdp = GRID.mdp()
    priors = torch.stack([random_log_probs(k, mdp.num_states, mdp.num_actions) for k in (0, 1)])
    learner = tabular.SoftQLearner(tabular.Config(), priors, 2, torch.Generator())
    assert torch.allclose(learner.log_policy().double(), priors, atol=1e-6)


def test_a_learner_uses_the_pieces_it_is_given(tmp_path):
    calls = []

    def policy(q, log_prior, alpha):
        calls.append("policy")
        return boltzmann_log_policy(q, log_prior, alpha)

    def target(reward, discount, next_q, next_log_prior, alpha):
        calls.append("target")
        return reward

    mdp = GRID.mdp()
    env = TabularEnv(mdp, 2, torch.Generator().manual_seed(0))
    learner = tabular.SoftQLearner(
        tabular.Config(), tabular.uniform_log_prior(mdp), 2, torch.Generator(), policy, target
    )
    run_loop(env, learner, 3, record=Record(tmp_path, {}), progress=False)
    assert calls == ["policy", "target"] * 3


def test_a_checkpoint_of_another_size_is_refused():
    mdp = GRID.mdp()
    small, large = (learner_for(mdp, 0.1, 0.9, n)[1] for n in (2, 3))
    with pytest.raises(ValueError, match=r"this learner's \(3, "):
        large.load_state_dict(small.state_dict())
