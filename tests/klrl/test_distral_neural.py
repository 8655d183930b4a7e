"""Neural DISTRAL: its losses against lists and exact gradients, its agent on small problems."""

import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlcourse.envs.gridworld import Gridworld
from rlcourse.envs.mdp import side_by_side
from rlcourse.envs.probes import probes
from rlcourse.envs.tabular_env import TabularEnv
from rlcourse.klrl import distral_neural as neural
from rlcourse.klrl import tabular
from rlcourse.run.checkpoint import load_checkpoint
from rlcourse.run.loop import run_loop
from rlcourse.run.record import NonFiniteMetric, Record
from rlcourse.types import Transition
from tests.klrl import continuous
from tests.oracles import slow_distral

TASKS = [Gridworld.from_ascii(text).mdp() for text in ("GS..", "S..G")]


def logits_of(seed: int, *shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def make(
    settings, num_seeds=2, num_copies=2, tasks=TASKS, seed=0, device="cpu", features=None
) -> tuple[TabularEnv, neural.NeuralDistral]:
    """Instance (b M + m) n + k is the k-th copy of seed b in task m; seeds have the same maps."""
    starts = torch.block_diag(*(task.initial.unsqueeze(0) for task in tasks)).to(device)
    starts = starts.repeat_interleave(num_copies, 0).repeat(num_seeds, 1)
    generators = [torch.Generator(device).manual_seed(seed + k) for k in (0, 1_000)]
    joint = side_by_side(tasks).to(device)
    env = TabularEnv(joint, len(starts), generators[0], 30, initial=starts)
    if features is None:
        features = torch.eye(joint.num_states, device=device)
    sizes = (num_seeds, len(tasks), num_copies, joint.num_actions)
    return env, neural.NeuralDistral(settings, features, *sizes, generators[1])


def small(**changes) -> neural.Config:
    return neural.Config(**{"hidden": (16,), "beta": 5.0, "rollout": 4, **changes})


def interact(env, agent, num_steps: int, change=lambda reward: reward) -> list[dict]:
    step, metrics = env.reset(), []
    for _ in range(num_steps):
        with torch.no_grad():
            action = agent.act(step)
        after = env.step(action)
        reward = change(after.reward)
        transition = Transition(step.obs, action, reward, after.discount, after.obs)
        metrics.append(agent.update(transition, ~after.is_first))
        step = after
    return metrics


@given(seed=st.integers(0, 10_000), alpha=st.floats(0.0, 1.0), beta=st.floats(0.1, 5.0))
def test_the_two_columns_are_the_papers(seed, alpha, beta):
    task, prior = logits_of(seed, 4), logits_of(seed + 1, 4)
    log_policy, log_prior = neural.column_log_policies(task, prior, alpha, beta, two_columns=True)
    plain = slow_distral.two_columns(prior.tolist(), task.tolist(), alpha, beta)
    assert log_policy.exp().tolist() == pytest.approx(plain, abs=1e-6)
    assert torch.allclose(log_prior, prior.log_softmax(-1))
    # The same as tilting pi_0^alpha by the task's logits.
    tilted = slow_distral.policy(task.tolist(), log_prior.exp().tolist(), alpha, beta)
    assert log_policy.exp().tolist() == pytest.approx(tilted, abs=1e-6)
    alone, _ = neural.column_log_policies(task, prior, alpha, beta, two_columns=False)
    assert torch.allclose(alone, (beta * task).log_softmax(-1))


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_losses_against_rlax(generator):
    """KL, entropy, lambda-returns and the policy gradient on the same inputs."""
    rlax = pytest.importorskip("rlax")
    close = {"atol": 1e-5, "rtol": 1e-5}
    T, N, A, beta = 7, 3, 4, 2.5
    logits, prior_logits = torch.randn(2, T, N, A, generator=generator)
    log_policy, log_prior = logits.log_softmax(-1), prior_logits.log_softmax(-1)
    flat, flat_prior = logits.flatten(0, 1).numpy(), prior_logits.flatten(0, 1).numpy()
    kl = np.stack(list(map(rlax.categorical_kl_divergence, flat, flat_prior))).reshape(T, N)
    entropy = np.stack([rlax.softmax(1.0).entropy(row) for row in flat]).reshape(T, N)
    for alpha in (0.0, 0.3, 1.0):
        expected = (-alpha * kl + (1.0 - alpha) * entropy) / beta
        found = neural.regularizer(log_policy, log_prior, alpha, beta)
        np.testing.assert_allclose(found, expected, **close)

    value, reward = torch.randn(T + 1, N, generator=generator), torch.randn(T, N)
    action = torch.randint(A, (T, N), generator=generator)
    discount = 0.9 * (torch.rand(T, N, generator=generator) > 0.2)
    valid = torch.ones(T, N, dtype=torch.bool)
    loss = neural.actor_critic_loss(log_policy, found, value, action, reward, discount, valid, 0.8)
    paid = (reward + found).numpy()
    for n in range(N):
        # The last return is bootstrapped from V whatever lambda is.
        lambdas = np.float32([0.8] * (T - 1) + [1.0])
        columns = (paid[:, n], discount[:, n].numpy(), value[1:, n].numpy())
        advantage = np.asarray(rlax.lambda_returns(*columns, lambdas)) - value[:-1, n].numpy()
        np.testing.assert_allclose(loss.value[:, n], advantage**2, **close)
        gradient = rlax.policy_gradient_loss(
            logits[:, n].numpy(), action[:, n].numpy(), advantage, np.ones(T, np.float32), False
        )
        found_mean = (loss.policy + found)[:, n].mean().item()
        assert found_mean == pytest.approx(float(gradient), abs=1e-5)


@given(seed=st.integers(0, 10_000), kl_cost=st.floats(0.01, 2.0), entropy_cost=st.floats(0.01, 2.0))
def test_the_regularizer_is_the_objective_without_its_reward(seed, kl_cost, entropy_cost):
    alpha, beta = kl_cost / (kl_cost + entropy_cost), 1.0 / (kl_cost + entropy_cost)
    log_policy, log_prior = (logits_of(seed + k, 4).log_softmax(-1) for k in (0, 1))
    plain = slow_distral.objective(
        [0.0] * 4, log_policy.exp().tolist(), log_prior.exp().tolist(), kl_cost, entropy_cost
    )
    found = neural.regularizer(log_policy, log_prior, alpha, beta)
    assert float(found) == pytest.approx(plain, abs=1e-6)


def test_the_distillation_gradient_is_policy_minus_prior():
    log_policy = logits_of(0, 3, 4).log_softmax(-1)
    prior_logits = logits_of(1, 3, 4).requires_grad_()
    neural.regularizer(log_policy, prior_logits.log_softmax(-1), 0.8, 5.0).sum().backward()
    expected = 0.8 / 5.0 * (log_policy.exp() - prior_logits.detach().softmax(-1))
    assert torch.allclose(prior_logits.grad, expected, atol=1e-12)


def test_the_distillation_gradient_written_out_is_that_of_the_regularizer():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 4, generator=generator, dtype=torch.float64).requires_grad_()
    states = torch.tensor([0, 2, 2, 0, 2])
    log_policy = torch.randn(5, 4, generator=generator, dtype=torch.float64).log_softmax(-1)
    charge = neural.regularizer(log_policy, logits.log_softmax(-1)[states], 0.3, 5.0)
    charge.sum().backward()
    written_out = neural.distillation_gradient(logits.detach(), states, log_policy, 0.3, 5.0)
    torch.testing.assert_close(written_out, logits.grad)
    assert (written_out[1] == 0.0).all()  # nobody was there


def test_the_loss_has_the_gradient_of_the_objective():
    # One state, one step: every action once, weighted by its probability, is the exact expectation.
    reward, num_actions = logits_of(0, 4), 4
    columns = [logits_of(k, 4).requires_grad_() for k in (1, 2)]
    log_policy, log_prior = neural.column_log_policies(*columns, 0.6, 3.0, two_columns=True)
    regularizer = neural.regularizer(log_policy, log_prior, 0.6, 3.0)
    exact = (log_policy.exp() * reward).sum() + regularizer
    expected = torch.autograd.grad(exact, columns, retain_graph=True)

    ones = torch.ones(1, num_actions, dtype=torch.float64)
    loss = neural.actor_critic_loss(
        log_policy.expand(1, num_actions, -1),
        regularizer.expand(1, num_actions),
        torch.full((2, num_actions), 0.3, dtype=torch.float64),  # any baseline will do
        torch.arange(num_actions).unsqueeze(0),
        reward.unsqueeze(0),
        0.0 * ones,
        ones.bool(),
        0.9,
    )
    sampled = (log_policy.detach().exp() * loss.policy).sum()
    for found, wanted in zip(torch.autograd.grad(-sampled, columns), expected, strict=True):
        assert torch.allclose(found, wanted, atol=1e-10)
    target = reward + regularizer.detach()
    assert torch.allclose(loss.value, (target - 0.3).square().unsqueeze(0))


def test_returns_do_not_cross_the_end_of_an_episode():
    shape = (4, 1)
    valid = torch.tensor([True, True, False, True]).unsqueeze(1)  # a time limit after two steps
    value = torch.tensor([0.0, 1.0, 2.0, 50.0, 60.0]).unsqueeze(1)
    reward = torch.tensor([0.1, 0.2, 0.0, 0.4]).unsqueeze(1)
    uniform = torch.zeros(*shape, 2).log_softmax(-1)
    loss = neural.actor_critic_loss(
        uniform,
        torch.zeros(shape),
        value,
        torch.zeros(shape, dtype=torch.int64),
        reward,
        torch.full(shape, 0.5),
        valid,
        1.0,
    )
    second = 0.2 + 0.5 * 2.0  # bootstraps from the value of the last state
    first = 0.1 + 0.5 * second
    last = 0.4 + 0.5 * 60.0
    targets = torch.tensor([first, second, 0.0, last]).unsqueeze(1)
    assert torch.allclose(loss.value, ((targets - value[:-1]) * valid).square())
    assert float(loss.policy[2]) == 0.0


def test_stacked_networks_are_networks_of_their_own():
    nets = neural.StackedMLP(3, (5, 8, 2), torch.Generator().manual_seed(0))
    x = logits_of(0, 3, 7, 5).float()
    together = nets(x)
    for g in range(3):
        hidden = x[g] @ nets.weights[0][g] + nets.biases[0][g]
        alone = torch.nn.functional.elu(hidden) @ nets.weights[1][g] + nets.biases[1][g]
        assert torch.allclose(together[g], alone, atol=1e-6)
    first, last = (weight.detach().abs().max() for weight in nets.weights)
    bound = 1 / math.sqrt(5)
    assert 0.9 * bound < float(first) <= bound
    assert float(last) <= 0.01 / math.sqrt(8)


@pytest.mark.parametrize("sharing", neural.SHARING)
def test_outputs_belong_to_the_network_of_their_seed_and_task(sharing):
    _, agent = make(small(sharing=sharing), num_seeds=2, num_copies=3)
    with torch.no_grad():
        agent.nets["tasks"].biases[-1].copy_(
            torch.arange(agent.nets["tasks"].num_nets).view(-1, 1, 1).expand(-1, 1, 5)
        )
    _, _, value = agent.outputs(torch.zeros(2, 12, dtype=torch.int64))
    net = [0] * 6 + [1] * 6 if sharing == "shared" else [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert torch.allclose(value, torch.tensor(net, dtype=torch.float32).expand(2, -1), atol=0.1)


@pytest.mark.parametrize("sharing", neural.SHARING)
def test_seeds_do_not_touch_each_other(sharing):
    agents = []
    for scale in (1.0, 100.0):
        env, agent = make(small(sharing=sharing))
        only_second = torch.tensor([1.0] * 4 + [scale] * 4)
        interact(env, agent, 40, lambda reward, scale=only_second: scale * (reward + 0.1))
        agents.append(agent)
    for name, weight in agents[0].nets.state_dict().items():
        first, second = weight.chunk(2), agents[1].nets.state_dict()[name].chunk(2)
        assert torch.equal(first[0], second[0]), name
    changed = agents[0].nets["tasks"].weights[0].chunk(2)[1]
    assert not torch.equal(changed, agents[1].nets["tasks"].weights[0].chunk(2)[1])


def test_separate_tasks_do_not_touch_each_other_and_distral_tasks_do():
    for sharing, alone in (("separate", True), ("two columns", False), ("shared", False)):
        policies = []
        for scale in (1.0, 100.0):
            env, agent = make(small(sharing=sharing), num_seeds=1)
            only_second = torch.tensor([1.0] * 2 + [scale] * 2)
            interact(env, agent, 4, lambda reward, scale=only_second: scale * (reward + 0.1))
            policies.append(agent.log_policy(torch.tensor([[0, 4], [1, 5]]))[0, 0])
        assert torch.equal(*policies) == alone, sharing


@pytest.mark.parametrize("probe", probes(), ids=lambda probe: probe.name)
def test_a_separate_agent_solves_the_probes(probe, tmp_path):
    settings = small(
        sharing="separate", beta=3.0, discount=probe.gamma, learning_rate=0.01, lambda_=1.0
    )
    env, agent = make(settings, 2, 8, [probe.mdp])
    run_loop(env, agent, 3_000, record=Record(tmp_path, {}), progress=False)
    acting = probe.mdp.continues.bool()
    states = torch.arange(probe.mdp.num_states)[acting].unsqueeze(1).expand(-1, 2)
    log_prior = torch.full((2,), 0.5).log()
    q = probe.soft_q(log_prior, 1 / 3.0)
    expected = (3.0 * q).softmax(-1)[acting]
    for policy in agent.log_policy(states)[:, 0].exp():
        assert torch.allclose(policy, expected, atol=0.06)
    _, _, value = agent.outputs(states)
    wanted = probe.soft_value(log_prior, 1 / 3.0)[acting].unsqueeze(1)
    assert torch.allclose(value, wanted.expand_as(value), atol=0.08)


@pytest.mark.parametrize("sharing", neural.SHARING)
def test_agents_learn_two_tasks(sharing, tmp_path):
    env, agent = make(small(sharing=sharing, beta=30.0, learning_rate=0.01), 2, 4)
    run_loop(env, agent, 2_000, record=Record(tmp_path, {}), progress=False)
    states = torch.arange(8).view(2, 4).T.repeat(1, 2)  # [S, B * M]
    log_policy = agent.log_policy(states).double()
    for i, task in enumerate(TASKS):
        value = tabular.evaluate_policy(task, log_policy[:, i], agent.config.discount)
        best = tabular.start_value(task, tabular.optimal_value(task, agent.config.discount))
        assert bool((tabular.start_value(task, value) > 0.85 * best).all())


def test_the_distilled_prior_keeps_what_tasks_share(tmp_path):
    tasks = [Gridworld.from_ascii(text).mdp() for text in ("S..G.", "S...G")]
    settings = small(sharing="one column", beta=30.0, learning_rate=0.01)
    same_look = torch.eye(5).repeat(2, 1)
    env, agent = make(settings, 2, 4, tasks, features=same_look)
    run_loop(env, agent, 2_000, record=Record(tmp_path, {}), progress=False)
    prior = agent.log_prior(torch.eye(5)).exp()
    assert prior.shape == (2, 5, 4)
    assert float(prior[:, :3, 1].min()) > 0.6  # right, where every task goes right


def run_for(folder, num_steps: int, seed: int = 0, sharing="two columns") -> neural.NeuralDistral:
    """Run, or go on from what the folder holds."""
    env, agent = make(small(sharing=sharing), seed=seed)
    record, checkpoint = Record(folder, {}), folder / "checkpoint.pt"
    run_loop(env, agent, num_steps, record=record, checkpoint_path=checkpoint, progress=False)
    return agent


@pytest.mark.parametrize("sharing", neural.SHARING)
def test_a_resumed_run_equals_an_uninterrupted_one(sharing, tmp_path):
    whole = run_for(tmp_path / "whole", 60, sharing=sharing)
    run_for(tmp_path / "parts", 30, sharing=sharing)  # in the middle of a rollout
    resumed = run_for(tmp_path / "parts", 60, seed=7, sharing=sharing)
    continuous.assert_same_state(whole.state_dict(), resumed.state_dict())


def test_metrics_come_with_each_update():
    env, agent = make(small())
    metrics = interact(env, agent, 8)
    assert [bool(row) for row in metrics] == [False, False, False, True] * 2
    assert set(metrics[3]) == {"loss/policy", "loss/value", "cost"}
    assert float(metrics[3]["cost"]) == pytest.approx(0.0, abs=0.02)  # still uniform
    assert not metrics[3]["loss/policy"].requires_grad


def test_an_agent_uses_the_pieces_it_is_given():
    calls = []

    def columns(*arguments):
        calls.append("columns")
        return neural.column_log_policies(*arguments)

    def charge(*arguments):
        calls.append("charge")
        return neural.regularizer(*arguments)

    sizes = (1, 1, 1, 4, torch.Generator())
    agent = neural.NeuralDistral(small(rollout=1), torch.eye(4), *sizes, columns, charge)
    env, _ = make(small(), 1, 1, TASKS[:1])
    interact(env, agent, 1)
    assert calls == ["columns", "columns", "charge"]


class Broken:
    """An environment whose rewards are no longer numbers after some steps."""

    def __init__(self, env: TabularEnv, num_good: int) -> None:
        self.env, self.num_left, self.num_envs = env, num_good, env.num_envs
        self.reset, self.state_dict = env.reset, env.state_dict
        self.load_state_dict = env.load_state_dict

    def step(self, action):
        self.num_left -= 1
        step = self.env.step(action)
        return step if self.num_left > 0 else step._replace(reward=step.reward * math.nan)


def test_a_run_that_diverges_stops_and_names_the_last_good_checkpoint(tmp_path):
    env, agent = make(small())
    settings = {"log_every": 10, "checkpoint_every": 10, "progress": False}
    checkpoint = tmp_path / "checkpoint.pt"
    with pytest.raises(NonFiniteMetric, match=re.escape(str(checkpoint))):
        run_loop(
            Broken(env, 25), agent, 60, record=Record(tmp_path, {}), checkpoint_path=checkpoint,
            **settings,
        )  # fmt: skip
    assert load_checkpoint(checkpoint)["loop"]["num_done"] == 20
    assert all(bool(weight.isfinite().all()) for weight in agent.nets.parameters())


def test_bad_settings_and_checkpoints_are_refused(without_type_checks):
    for bad in (
        {"sharing": "columns"},
        {"alpha": -0.1},
        {"lambda_": 1.1},
        {"beta": 0.0},
        {"discount": 1.0},
        {"rollout": 0},
        {"learning_rate": 0.0},
    ):
        with pytest.raises(ValueError, match=next(iter(bad))):
            neural.Config(**bad)
    _, agent = make(small())
    with pytest.raises(ValueError, match="checkpoint's networks differs"):
        agent.load_state_dict(make(small(hidden=(8,)))[1].state_dict())
    with pytest.raises(ValueError, match="of 'one column' agents, these are 'two columns'"):
        agent.load_state_dict(make(small(sharing="one column"))[1].state_dict())
    with pytest.raises(ValueError, match="checkpoint's rollout differs"):
        agent.load_state_dict(make(small(rollout=5))[1].state_dict())
    with pytest.raises(ValueError, match="'separate' agents learn no prior"):
        make(small(sharing="separate"))[1].log_prior(torch.eye(8))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_it_learns_on_a_gpu(tmp_path):
    env, agent = make(small(), device="cuda")
    run_loop(env, agent, 40, record=Record(tmp_path, {}), progress=False)
    assert agent.log_policy(torch.zeros(1, 4, dtype=torch.int64, device="cuda")).is_cuda
