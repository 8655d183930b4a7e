"""Tabular DISTRAL against the equations over lists, the exact solution, and its baselines."""

import math
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlcourse.envs.gridworld import Gridworld
from rlcourse.envs.mdp import remembering_action, side_by_side
from rlcourse.envs.tabular_env import TabularEnv
from rlcourse.klrl import distral, soft_q, tabular
from rlcourse.ops.kl import soft_value
from rlcourse.ops.mixtures import log_mixture
from rlcourse.run.checkpoint import load_checkpoint
from rlcourse.run.loop import run_loop
from rlcourse.run.record import NonFiniteMetric, Record
from rlcourse.types import Transition
from tests.oracles import slow_distral

TASKS = [Gridworld.from_ascii(text).mdp() for text in ("G.S.", "S..G", "S.G.")]


def random_log_probs(seed: int, *shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).log_softmax(-1)


def make(settings: distral.Config, num_seeds: int = 2, tasks=TASKS, seed: int = 0, **pieces):
    starts = torch.block_diag(*(task.initial.unsqueeze(0) for task in tasks)).repeat(num_seeds, 1)
    generators = [torch.Generator().manual_seed(seed + k) for k in (0, 1_000)]
    env = TabularEnv(side_by_side(tasks), len(starts), generators[0], 30, initial=starts)
    sizes = (num_seeds, len(tasks), tasks[0].num_states, tasks[0].num_actions)
    return env, distral.TabularDistral(settings, *sizes, generators[1], **pieces)


@given(
    seed=st.integers(0, 10_000),
    alpha=st.floats(0.0, 1.0),
    beta=st.floats(0.1, 20.0),
    num_actions=st.integers(1, 5),
)
def test_value_and_policy_are_the_papers(seed, alpha, beta, num_actions):
    log_prior, q = random_log_probs(seed, num_actions), random_log_probs(seed + 1, num_actions)
    plain = (q.tolist(), log_prior.exp().tolist(), alpha, beta)
    value = distral.distral_value(q, log_prior, alpha, beta)
    assert float(value) == pytest.approx(slow_distral.value(*plain), rel=1e-5, abs=1e-5)
    policy = distral.distral_log_policy(q, log_prior, alpha, beta).exp()
    assert policy.tolist() == pytest.approx(slow_distral.policy(*plain), rel=1e-5, abs=1e-7)


@given(seed=st.integers(0, 10_000), kl_cost=st.floats(0.01, 2.0), entropy_cost=st.floats(0.01, 2.0))
def test_the_policy_maximizes_the_objective_whose_maximum_is_the_value(seed, kl_cost, entropy_cost):
    alpha, beta = kl_cost / (kl_cost + entropy_cost), 1.0 / (kl_cost + entropy_cost)
    reward, log_prior, other = (random_log_probs(seed + k, 4) for k in range(3))
    best = distral.distral_log_policy(reward, log_prior, alpha, beta)
    costs = (log_prior.exp().tolist(), kl_cost, entropy_cost)
    reached = slow_distral.objective(reward.tolist(), best.exp().tolist(), *costs)
    value = distral.distral_value(reward, log_prior, alpha, beta)
    assert float(value) == pytest.approx(reached, abs=1e-6)
    assert slow_distral.objective(reward.tolist(), other.exp().tolist(), *costs) <= reached + 1e-9


def test_large_values_do_not_overflow():
    q = torch.tensor([1e6, 1e6 - 1.0])
    log_prior = torch.tensor([0.5, 0.5]).log()
    assert float(distral.distral_value(q, log_prior, 0.5, 100.0)) == pytest.approx(1e6)
    assert distral.distral_log_policy(q, log_prior, 0.5, 100.0)[0].item() == pytest.approx(0.0)


def test_alpha_one_is_klrl_and_alpha_zero_forgets_the_prior():
    log_prior, q = random_log_probs(0, 3, 4), random_log_probs(1, 3, 4)
    value = distral.distral_value(q, log_prior, 1.0, 4.0)
    assert torch.allclose(value, soft_value(q, log_prior, 0.25))
    impossible = torch.tensor([0.0, -math.inf, -math.inf, -math.inf])
    value = distral.distral_value(q, impossible, 0.0, 4.0)
    assert torch.allclose(value, (4.0 * q).logsumexp(-1) / 4.0)


def test_counts_of_visits_give_the_posterior_weighted_mixture():
    log_policy = torch.stack([random_log_probs(k, 4) for k in range(3)])  # [M, A]
    visits = torch.tensor([1.0, 0.5, 0.0], dtype=torch.float64)
    counts = (visits.unsqueeze(-1) * log_policy.exp()).sum(0)
    mixture = log_mixture(log_policy, (visits / visits.sum()).log())
    assert torch.allclose(distral.distilled_log_prior(counts, 1e-12), mixture, atol=1e-6)
    nowhere = distral.distilled_log_prior(torch.zeros(4), 0.01)
    assert nowhere.exp().tolist() == pytest.approx([0.25] * 4)


def test_a_separate_agent_is_soft_q_learning_under_the_uniform_prior(tmp_path):
    tasks = [TASKS[1]]
    settings = distral.Config("separate", alpha=1.0, beta=4.0, discount=0.9, learning_rate=0.3)
    env, agent = make(settings, 3, tasks)
    run_loop(env, agent, 300, record=Record(tmp_path / "a", {}), progress=False)
    env, _ = make(settings, 3, tasks)
    plain = soft_q.SoftQLearner(
        soft_q.Config(0.25, 0.9, 0.3),
        tabular.uniform_log_prior(tasks[0]),
        3,
        torch.Generator().manual_seed(1_000),
    )
    run_loop(env, plain, 300, record=Record(tmp_path / "b", {}), progress=False)
    assert torch.allclose(agent.q[:, 0], plain.q, atol=1e-5)
    assert float(agent.q.abs().max()) > 0.1


def test_entropy_that_is_centered_makes_alpha_irrelevant_without_a_prior(tmp_path):
    tables = []
    for alpha in (0.0, 0.5, 1.0):
        env, agent = make(distral.Config("separate", alpha=alpha, learning_rate=0.5))
        run_loop(env, agent, 50, record=Record(tmp_path / str(alpha), {}), progress=False)
        tables.append(agent.q)
    assert torch.allclose(tables[0], tables[1], atol=1e-5)
    assert torch.allclose(tables[1], tables[2], atol=1e-5)


@pytest.mark.parametrize("sees_action", [True, False])
def test_the_learned_tables_solve_the_problem_under_the_learned_prior(sees_action, tmp_path):
    maps = ("G...", "...G", ".G..")
    settings = distral.Config(
        beta=2.0, discount=0.8, learning_rate=0.3, prior_sees_action=sees_action, forgetting=1e-3
    )
    env, agent = make(settings, 1, [Gridworld.from_ascii(text).mdp() for text in maps])
    run_loop(env, agent, 2_500, record=Record(tmp_path, {}), progress=False)
    log_prior = agent.log_prior()[0].double()
    assert log_prior.shape == (5 if sees_action else 1, 4, 4)
    bonus = 0.5 * math.log(4) / 2.0
    for q, text in zip(agent.q[0].double(), maps, strict=True):
        mdp = Gridworld.from_ascii(text).mdp(step_reward=-bonus)
        mdp = remembering_action(mdp) if sees_action else mdp
        exact = tabular.soft_value_iteration(mdp, 0.5 * log_prior.flatten(0, 1), 0.5, 0.8).q[:4]
        acting = mdp.continues[:4].bool()
        assert torch.allclose(q[acting], exact[acting] + bonus, atol=0.03)


def test_the_prior_of_the_tasks_learns_what_they_have_in_common(tmp_path):
    tasks = [Gridworld.from_ascii(text).mdp() for text in ("S...G.", "S..G..", "S....G")]
    env, agent = make(distral.Config(beta=20.0, learning_rate=0.5), 4, tasks)
    run_loop(env, agent, 1_500, record=Record(tmp_path, {}), progress=False)
    right, states = 1, [1, 2]
    after_a_step_right = agent.log_prior().exp()[:, right + 1, states, right]
    assert float(after_a_step_right.min()) > 0.9


def test_shared_agents_have_one_policy_and_count_every_task():
    env, agent = make(distral.Config("shared", learning_rate=0.5), 1)
    assert agent.q.shape == (1, 1, 4, 4)
    policies = agent.log_policy()
    assert policies.shape == (1, 3, 5, 4, 4)
    assert torch.equal(policies[:, 0], policies[:, 1])
    step = env.reset()
    agent.act(step)
    reached = step._replace(obs=torch.tensor([0, 4, 8]), reward=torch.ones(3))
    action = torch.tensor([3, 3, 3])
    transition = Transition(
        torch.tensor([1, 5, 9]), action, reached.reward, torch.zeros(3), reached.obs
    )
    agent.update(transition, torch.tensor([True, True, False]))
    assert float(agent.q[0, 0, 1, 3]) == pytest.approx(0.5)  # two tasks, one step half the way


def test_before_the_first_action_of_an_episode_the_prior_sees_none():
    env, agent = make(distral.Config(), 1)
    step = env.reset()
    seen = []
    for _ in range(40):
        action = agent.act(step)
        seen.append((step.is_first.clone(), agent._context.clone(), action))
        after = env.step(action)
        agent.update(
            Transition(step.obs, action, after.reward, after.discount, after.obs), ~after.is_first
        )
        step = after
    for (_, _, action), (is_first, context, _) in zip(seen[:-1], seen[1:], strict=True):
        assert torch.equal(context, torch.where(is_first, 0, action + 1))


def run_for(folder, num_steps: int, seed: int = 0) -> distral.TabularDistral:
    """Run, or go on from what the folder holds."""
    env, agent = make(distral.Config(learning_rate=0.5), seed=seed)
    checkpoint = folder / "checkpoint.pt"
    record = Record(folder, {})
    run_loop(env, agent, num_steps, record=record, checkpoint_path=checkpoint, progress=False)
    return agent


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path):
    whole = run_for(tmp_path / "whole", 400).state_dict()
    run_for(tmp_path / "parts", 137)
    resumed = run_for(tmp_path / "parts", 400, seed=7).state_dict()
    assert whole.pop("sharing") == resumed.pop("sharing") == "distral"
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


def test_a_learner_uses_the_pieces_it_is_given():
    calls = []

    def policy(*arguments):
        calls.append("policy")
        return distral.distral_log_policy(*arguments)

    def value(*arguments):
        calls.append("value")
        return distral.distral_value(*arguments)

    def prior(*arguments):
        calls.append("prior")
        return distral.distilled_log_prior(*arguments)

    env, agent = make(distral.Config(), policy=policy, value=value, prior=prior)
    step = env.reset()
    action = agent.act(step)
    after = env.step(action)
    agent.update(
        Transition(step.obs, action, after.reward, after.discount, after.obs), step.is_first
    )
    assert set(calls) == {"policy", "value", "prior"}


def test_bad_settings_and_checkpoints_are_refused(without_type_checks):
    for bad in (
        {"sharing": "all"},
        {"alpha": 1.5},
        {"beta": 0.0},
        {"discount": 1.0},
        {"learning_rate": 0.0},
        {"forgetting": 1.0},
        {"pseudo_count": 0.0},
    ):
        with pytest.raises(ValueError, match=next(iter(bad))):
            distral.Config(**bad)
    _, small = make(distral.Config(), 2)
    _, large = make(distral.Config(), 3)
    with pytest.raises(ValueError, match=r"checkpoint's q is \(2, 3, 4, 4\), this learner's \(3, "):
        large.load_state_dict(small.state_dict())
    _, separate = make(distral.Config("separate"), 2)
    with pytest.raises(ValueError, match="of 'distral' agents, these are 'separate'"):
        separate.load_state_dict(small.state_dict())
    _, blind = make(distral.Config(prior_sees_action=False), 2)
    with pytest.raises(ValueError, match="checkpoint's counts"):
        blind.load_state_dict(small.state_dict())


class Overflowing:
    """An environment whose rewards are infinite after some steps."""

    def __init__(self, env: TabularEnv, num_good: int) -> None:
        self.env, self.num_left, self.num_envs = env, num_good, env.num_envs
        self.reset, self.state_dict = env.reset, env.state_dict
        self.load_state_dict = env.load_state_dict

    def step(self, action):
        self.num_left -= 1
        step = self.env.step(action)
        return step if self.num_left > 0 else step._replace(reward=step.reward + math.inf)


def test_a_run_that_diverges_stops_and_names_the_last_good_checkpoint(tmp_path):
    env, agent = make(distral.Config())
    checkpoint = tmp_path / "checkpoint.pt"
    options = {"checkpoint_path": checkpoint, "checkpoint_every": 10, "progress": False}
    with pytest.raises(NonFiniteMetric, match=re.escape(str(checkpoint))):
        run_loop(Overflowing(env, 25), agent, 600, record=Record(tmp_path, {}), **options)
    saved = load_checkpoint(checkpoint)
    assert saved["loop"]["num_done"] == 20
    assert bool(saved["agent"]["q"].isfinite().all())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_it_learns_on_a_gpu(tmp_path):
    tasks = [task.to("cuda") for task in TASKS]
    starts = torch.block_diag(*(task.initial.unsqueeze(0) for task in tasks)).repeat(2, 1)
    generator = torch.Generator("cuda").manual_seed(0)
    env = TabularEnv(side_by_side(tasks), 6, generator, 30, initial=starts)
    agent = distral.TabularDistral(
        distral.Config(learning_rate=0.5), 2, 3, 4, 4, torch.Generator("cuda").manual_seed(1)
    )
    run_loop(env, agent, 500, record=Record(tmp_path, {}), progress=False)
    assert agent.log_policy().is_cuda
    assert float(agent.q.max()) > 0.5
