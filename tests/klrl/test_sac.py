"""Soft actor-critic against its equations, on probes, and through interruptions."""

import math
from dataclasses import replace

import pytest
import torch

from rlcourse.envs.groups import flatten
from rlcourse.klrl import sac
from rlcourse.run.record import NonFiniteMetric
from rlcourse.types import Step, Transition
from tests.klrl import continuous

CONFIG = sac.Config(
    groups=continuous.GROUPS,
    hidden_sizes=(32,),
    discount=continuous.GAMMA,
    learning_rate=1e-2,
    batch_size=64,
    target_rate=0.1,
    initial_temperature=1e-3,
    replay_capacity=2_000,
    min_replay=64,
    updates_per_step=2,
)


def make_agent(seed=0, **changes):
    generator = torch.Generator().manual_seed(seed)
    return sac.SAC(replace(CONFIG, **changes), continuous.OBS_SIZES, 1, generator)


def random_batch(generator, size=16):
    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    obs, next_obs = ({name: draw(size, 1) for name in continuous.GROUPS} for _ in range(2))
    discount = (torch.rand(size, generator=generator) > 0.3).float()
    return Transition(obs, draw(size, 1).tanh(), draw(size), discount, next_obs)


class TestLosses:
    def test_target_by_hand(self):
        next_q = torch.tensor([[3.0, 1.0], [2.0, 5.0]])
        found = sac.critic_target(
            torch.tensor([1.0, 2.0]),
            torch.tensor([0.9, 0.0]),
            next_q,
            torch.tensor([-1.0, 4.0]),
            0.5,
        )
        # 1 + 0.9 (2 + 0.5), and 2 after termination
        torch.testing.assert_close(found, torch.tensor([3.25, 2.0]))

    def test_critic_loss_by_hand(self):
        q, target = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([2.0, 4.0])
        # (1 + 4) / 2 / 2 + (4 + 16) / 2 / 2
        assert sac.critic_loss(q, target).item() == pytest.approx(1.25 + 5.0)

    def test_critic_loss_holds_the_target(self):
        target = torch.zeros(2, requires_grad=True)
        q = torch.ones(2, 2, requires_grad=True)
        sac.critic_loss(q, target).backward()
        assert target.grad is None
        torch.testing.assert_close(q.grad, torch.full((2, 2), 0.5))

    def test_policy_loss_by_hand(self):
        q, log_prob = torch.tensor([[1.0, 2.0], [0.5, 3.0]]), torch.tensor([2.0, -2.0])
        # (0.2 - 0.5 + (-0.2) - 2) / 2
        assert sac.policy_loss(q, log_prob, 0.1).item() == pytest.approx(-1.25)

    def test_one_update_is_the_equations(self, generator):
        """All that `learn` does in one step, from the same random numbers."""
        agent, batch = make_agent(), random_batch(generator)
        twin = make_agent()
        twin.load_state_dict(agent.state_dict())
        metrics = agent.learn(batch)

        draws = twin._generator
        obs = torch.cat([batch.obs["state"], batch.obs["time"]], -1)
        next_obs = torch.cat([batch.next_obs["state"], batch.next_obs["time"]], -1)

        def sample(at):
            base = twin.policy(at).base
            x = base.mean + base.std * torch.randn(base.mean.shape, generator=draws)
            normal = torch.distributions.Normal(base.mean, base.std)
            return x.tanh(), (normal.log_prob(x) - (1 - x.tanh() ** 2).log()).sum(-1)

        alpha = twin.temperature().item()
        action, log_prob = sample(next_obs)
        next_q = twin.critic_target(next_obs, action)
        next_value = torch.minimum(next_q[0], next_q[1]) - alpha * log_prob
        y = (batch.reward + continuous.GAMMA * batch.discount * next_value).detach()
        q = twin.critic(obs, batch.action)
        loss_q = ((q[0] - y) ** 2 / 2).mean() + ((q[1] - y) ** 2 / 2).mean()
        assert metrics["critic_loss"].item() == pytest.approx(loss_q.item(), abs=1e-5)
        # Adam's first step is -learning_rate sign(gradient): follow it, as the policy comes after.
        loss_q.backward()
        with torch.no_grad():
            for parameter in twin.critic.parameters():
                gradient = parameter.grad
                parameter -= CONFIG.learning_rate * gradient / (gradient.abs() + 1e-8)
        action, log_prob = sample(obs)
        q = twin.critic(obs, action)
        loss_pi = (alpha * log_prob - torch.minimum(q[0], q[1])).mean()
        assert metrics["policy_loss"].item() == pytest.approx(loss_pi.item(), abs=1e-5)
        surplus = -log_prob.mean().item() - (-1.0)
        assert metrics["entropy_surplus"].item() == pytest.approx(surplus, abs=1e-5)

        for name, mine in agent.critic_target.named_parameters():
            online = dict(agent.critic.named_parameters())[name]
            before = dict(twin.critic_target.named_parameters())[name]
            torch.testing.assert_close(mine, 0.9 * before + 0.1 * online)

    def test_the_temperature_holds_the_entropy_at_its_target(self, generator):
        """Above the target the temperature falls, below it rises."""
        for target, sign in ((-20.0, -1), (20.0, 1)):
            agent = make_agent(target_entropy=target, initial_temperature=1.0)
            before = agent.temperature().item()
            agent.learn(random_batch(generator))
            assert sign * (agent.temperature().item() - before) > 0

    def test_the_target_entropy_defaults_to_minus_the_number_of_actions(self):
        generator = torch.Generator().manual_seed(0)
        assert sac.SAC(CONFIG, continuous.OBS_SIZES, 3, generator).target_entropy == -3.0
        assert make_agent(target_entropy=0.5).target_entropy == 0.5


@pytest.mark.parametrize("name", continuous.PROBES)
def test_probes(name, tmp_path):
    agent = make_agent()
    continuous.train(agent, name, 200, tmp_path)

    def q_of(agent, obs, action):
        return agent.critic(flatten(obs, continuous.GROUPS), action).amin(0)

    continuous.assert_solves(agent, name, q_of)


def test_the_learners_own_functions_are_what_runs(generator):
    def zero_target(*arguments):
        return torch.zeros_like(arguments[0])

    agent = sac.SAC(
        CONFIG,
        continuous.OBS_SIZES,
        1,
        generator,
        critic_target=zero_target,
        policy_loss=lambda q, log_prob, temperature: 7.0 + 0.0 * q.sum(),
    )
    metrics = agent.learn(random_batch(generator))
    assert metrics["policy_loss"].item() == 7.0


class TestStates:
    def test_a_resumed_run_is_the_uninterrupted_one(self, tmp_path):
        continuous.assert_resumes_exactly(make_agent, tmp_path)

    def test_a_state_can_be_given_to_two_agents(self, generator):
        agent = make_agent()
        agent.learn(random_batch(generator))
        state = agent.state_dict()
        twins = [make_agent(seed=1), make_agent(seed=2)]
        for twin in twins:
            twin.load_state_dict(state)
            twin.learn(random_batch(torch.Generator().manual_seed(3)))
        continuous.assert_same_state(twins[0].state_dict(), twins[1].state_dict())

    def test_another_architecture(self, generator):
        agent, other = make_agent(), make_agent(hidden_sizes=(16,))
        other.learn(random_batch(generator))
        before = [x.clone() for x in agent.policy.parameters()]
        with pytest.raises(ValueError, match=r"policy\.torso.* is \[16, 2\] there and \[32, 2\]"):
            agent.load_state_dict(other.state_dict())
        with pytest.raises(ValueError, match="another architecture: .* is absent there"):
            agent.load_state_dict({"q": torch.zeros(3)})
        with pytest.raises(ValueError, match="capacity"):
            agent.load_state_dict(make_agent(replay_capacity=500).state_dict())
        assert all(map(torch.equal, before, agent.policy.parameters()))

    def test_a_diverging_run_names_the_last_good_checkpoint(self, tmp_path):
        with pytest.raises(NonFiniteMetric, match=r"last good checkpoint is .*checkpoint\.pt"):
            continuous.diverge(make_agent(learning_rate=1e30), tmp_path)

    @pytest.mark.parametrize("updates", [1, 2])
    def test_nor_do_actions_that_the_environment_refuses_hide_it(self, updates, tmp_path):
        groups = {"groups": ("proprio", "targets", "task")}
        settings = replace(CONFIG, learning_rate=1e30, updates_per_step=updates, **groups)

        def make(sizes, num_actions):
            return sac.SAC(settings, sizes, num_actions, torch.Generator().manual_seed(0))

        continuous.assert_stops_where_it_diverges(make, tmp_path)


class TestBadInput:
    def test_unknown_group(self):
        with pytest.raises(ValueError, match="unknown observation group 'goal'"):
            make_agent(groups=("state", "goal"))

    @pytest.mark.parametrize(
        "changes",
        [
            {"discount": 1.0},
            {"learning_rate": 0.0},
            {"learning_rate": math.inf},
            {"min_replay": 3_000},
            {"target_rate": 0.0},
            {"target_rate": 2.0},
            {"target_entropy": math.nan},
        ],
    )
    def test_config(self, changes):
        with pytest.raises(ValueError, match=next(iter(changes))):
            make_agent(**changes)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu():
    generator = torch.Generator("cuda").manual_seed(0)
    agent = sac.SAC(CONFIG, continuous.OBS_SIZES, 1, generator)
    batch = random_batch(torch.Generator().manual_seed(0))
    batch = Transition(
        {name: x.cuda() for name, x in batch.obs.items()},
        *(x.cuda() for x in batch[1:4]),
        {name: x.cuda() for name, x in batch.next_obs.items()},
    )
    metrics = agent.learn(batch)
    assert all(value.isfinite() and value.is_cuda for value in metrics.values())
    for _ in range(3):
        agent.update(batch, torch.ones(len(batch.reward), dtype=torch.bool, device="cuda"))
    other = sac.SAC(CONFIG, continuous.OBS_SIZES, 1, torch.Generator("cuda").manual_seed(1))
    other.load_state_dict(agent.state_dict())
    step = Step(batch.obs, batch.reward, batch.discount, torch.zeros_like(batch.reward).bool())
    assert torch.equal(agent.act(step), other.act(step))
