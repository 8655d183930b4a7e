"""Sampled soft Q-learning against exact solutions, on probes and on maps."""

import math

import pytest
import torch

from rlcourse.envs.gridworld import Gridworld
from rlcourse.envs.probes import probes
from rlcourse.envs.tabular_env import TabularEnv
from rlcourse.klrl import soft_q, tabular
from rlcourse.ops.kl import boltzmann_log_policy
from rlcourse.run.loop import run_loop
from rlcourse.run.record import NonFiniteMetric, Record
from rlcourse.types import Transition

GRID = Gridworld.from_ascii("S..#\n.X..\n...G")


def random_log_probs(seed: int, *shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).log_softmax(-1)


def learner_for(mdp, alpha: float, discount: float, num_learners: int = 4, max_steps: int = 50):
    env = TabularEnv(mdp, num_learners, torch.Generator().manual_seed(0), max_steps)
    config = soft_q.Config(alpha, discount, learning_rate=0.5)
    log_prior = tabular.uniform_log_prior(mdp)
    generator = torch.Generator().manual_seed(1)
    return env, soft_q.SoftQLearner(config, log_prior, num_learners, generator), log_prior


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
    # Many episodes are cut off: learning across their ends would show.
    env, learner, log_prior = learner_for(mdp, 0.5, 0.8, max_steps=3)
    run_loop(env, learner, 4_000, record=Record(tmp_path, {}), progress=False)
    exact = tabular.soft_value_iteration(mdp, log_prior, 0.5, 0.8)
    acting = mdp.continues.bool()
    assert torch.allclose(learner.q[0, acting].double(), exact.q[acting], atol=1e-3)


def test_before_the_first_reward_a_learner_behaves_like_its_prior():
    mdp = GRID.mdp()
    priors = torch.stack([random_log_probs(k, mdp.num_states, mdp.num_actions) for k in (0, 1)])
    learner = soft_q.SoftQLearner(soft_q.Config(), priors, 2, torch.Generator())
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
    learner = soft_q.SoftQLearner(
        soft_q.Config(), tabular.uniform_log_prior(mdp), 2, torch.Generator(), policy, target
    )
    run_loop(env, learner, 3, record=Record(tmp_path, {}), progress=False)
    assert calls == ["policy", "target"] * 3


def test_a_checkpoint_of_another_size_is_refused():
    mdp = GRID.mdp()
    small, large = (learner_for(mdp, 0.1, 0.9, n)[1] for n in (2, 3))
    with pytest.raises(ValueError, match=r"this learner's \(3, "):
        large.load_state_dict(small.state_dict())


def test_bad_settings_and_functions_are_refused(tmp_path):
    for bad in ({"alpha": 0.0}, {"alpha": math.nan}, {"discount": 1.0}, {"learning_rate": 0.0}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            soft_q.Config(**bad)
    mdp = GRID.mdp()
    log_prior = tabular.uniform_log_prior(mdp)

    def run(folder, **pieces):
        env = TabularEnv(mdp, 2, torch.Generator().manual_seed(0))
        learner = soft_q.SoftQLearner(soft_q.Config(), log_prior, 2, torch.Generator(), **pieces)
        run_loop(env, learner, 3, record=Record(tmp_path / folder, {}), progress=False)
        return learner

    with pytest.raises(NonFiniteMetric, match="the target of learner 0 is nan"):
        run("nan", target=lambda reward, *rest: reward * math.nan)
    with pytest.raises(ValueError, match="must return the logarithms"):
        run("probabilities", policy=lambda q, prior, alpha: (prior + q / alpha).softmax(-1))


def test_the_error_is_averaged_over_real_transitions():
    mdp = GRID.mdp()
    _, learner, _ = learner_for(mdp, 0.1, 0.9, 2)
    zeros = torch.zeros(2, dtype=torch.int64)
    transition = Transition(zeros, zeros, torch.ones(2), torch.zeros(2), zeros)
    metrics = learner.update(transition, torch.tensor([True, False]))
    assert float(metrics["td_error"]) == pytest.approx(1.0)
