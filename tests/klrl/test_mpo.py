"""MPO against rlax and its equations, in a closed loop on a known Q, and on probes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from rlcourse.envs.groups import flatten
from rlcourse.klrl import mpo
from rlcourse.ops.distributions import DiagonalGaussian
from rlcourse.ops.dual import (
    multiplier_loss,
    multiplier_penalty,
    sample_weights,
    temperature_loss,
)
from rlcourse.ops.gaussian import gaussian_kl
from rlcourse.run.record import NonFiniteMetric
from rlcourse.types import Transition
from tests.klrl import continuous

CONFIG = mpo.Config(
    groups=continuous.GROUPS,
    policy_sizes=(32,),
    critic_sizes=(32, 32),
    discount=continuous.GAMMA,
    learning_rate=1e-2,
    batch_size=64,
    epsilon_mean=0.1,
    epsilon_std=1e-3,
    dual_learning_rate=5e-2,
    initial_temperature=0.5,
    initial_multiplier_mean=1.0,
    initial_multiplier_std=1.0,
    target_period=5,
    replay_capacity=2_000,
    min_replay=64,
    updates_per_step=2,
)


def make_agent(seed=0, num_actions=1, **changes):
    generator = torch.Generator().manual_seed(seed)
    return mpo.MPO(replace(CONFIG, **changes), continuous.OBS_SIZES, num_actions, generator)


def random_batch(generator, size=16, num_actions=1):
    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    obs, next_obs = ({name: draw(size, 1) for name in continuous.GROUPS} for _ in range(2))
    discount = (torch.rand(size, generator=generator) > 0.3).float()
    return Transition(obs, draw(size, num_actions).tanh(), draw(size), discount, next_obs)


def random_gaussian(generator, *shape):
    mean = torch.randn(*shape, generator=generator)
    return DiagonalGaussian(mean, torch.rand(*shape, generator=generator) + 0.3)


class TestLosses:
    def test_cross_entropy_by_hand(self):
        old = DiagonalGaussian(torch.zeros(1, 1), torch.ones(1, 1))
        new = DiagonalGaussian(torch.ones(1, 1), torch.full((1, 1), 2.0))
        action = torch.tensor([[[1.0]], [[3.0]]])
        weights = torch.tensor([[0.25], [0.75]])
        half_log_two_pi = 0.9189385
        # mean 1, std 1: distances 0 and 2; mean 0, std 2: distances 1/2 and 3/2
        of_mean = -half_log_two_pi - 0.75 * 2.0
        of_std = -half_log_two_pi - np.log(2.0) - 0.25 * 0.125 - 0.75 * 1.125
        found = mpo.cross_entropy(new, old, action, weights).item()
        assert found == pytest.approx(-(of_mean + of_std), abs=1e-5)

    def test_constrained_kl(self, generator):
        old, new = random_gaussian(generator, 5, 3), random_gaussian(generator, 5, 3)
        apart = mpo.constrained_kl(new, old, per_dimension=True)
        whole = mpo.constrained_kl(new, old, per_dimension=False)
        moved = gaussian_kl(old.mean, old.std, new.mean, old.std)
        scaled = gaussian_kl(old.mean, old.std, old.mean, new.std)
        for dimensions, total, expected in zip(apart, whole, (moved, scaled), strict=True):
            assert dimensions.shape == (5, 3)
            torch.testing.assert_close(dimensions.sum(-1), expected)
            torch.testing.assert_close(total, expected[:, None])

    @pytest.mark.parametrize("per_dimension", [True, False])
    def test_rlax(self, generator, per_dimension):
        """E-step, M-step and dual losses on the same samples."""
        rlax = pytest.importorskip("rlax")
        S, B, A = 6, 5, 3
        old, new = random_gaussian(generator, B, A), random_gaussian(generator, B, A)
        action = old.sample(generator, (S,))
        q = torch.randn(S, B, generator=generator)
        K = A if per_dimension else 1
        eta, bounds = torch.tensor(0.7), (0.1, 0.01)
        duals = [torch.rand(K, generator=generator) + 0.5 for _ in range(2)]
        kls = mpo.constrained_kl(new, old, per_dimension)

        def constraint(kl, bound, dual):
            last = (lambda x: x.numpy()) if per_dimension else (lambda x: x.numpy()[..., 0])
            penalty = rlax.LagrangePenalty(last(dual), np.float32(bound), per_dimension)
            return last(kl), penalty

        log_prob = DiagonalGaussian(new.mean, old.std).log_prob(action)
        log_prob = log_prob + DiagonalGaussian(old.mean, new.std).log_prob(action)
        _, expected = rlax.mpo_loss(
            log_prob.numpy(),
            q.numpy(),
            rlax.LagrangePenalty(eta.numpy(), np.float32(0.1)),
            [constraint(*each) for each in zip(kls, bounds, duals, strict=True)],
        )
        weights = sample_weights(q, eta)
        close = {"atol": 1e-5, "rtol": 1e-5}
        np.testing.assert_allclose(weights, expected.normalized_weights, **close)
        np.testing.assert_allclose(
            temperature_loss(q, eta, 0.1), expected.temperature_loss, **close
        )
        found = mpo.cross_entropy(new, old, action, weights)
        np.testing.assert_allclose(found, expected.policy_loss.mean(), **close)
        penalty = [multiplier_penalty(k, d).sum(-1) for k, d in zip(kls, duals, strict=True)]
        np.testing.assert_allclose(sum(penalty), expected.kl_loss, **close)
        of_duals = [
            multiplier_loss(kl, bound, dual).sum(-1)
            for kl, bound, dual in zip(kls, bounds, duals, strict=True)
        ]
        np.testing.assert_allclose(sum(of_duals), expected.alpha_loss, **close)

    @pytest.mark.parametrize("per_dimension", [True, False])
    @pytest.mark.parametrize("penalize", [True, False])
    def test_one_update_is_the_equations(self, generator, per_dimension, penalize):
        """All that `learn` reports of one step, by loops over states and samples."""
        changes = {"per_dimension": per_dimension, "penalize_actions": penalize}
        changes |= {"num_samples": 5, "initial_temperature": 0.5, "initial_multiplier_mean": 3.0}
        agent = make_agent(num_actions=2, **changes)
        twin = make_agent(num_actions=2, **changes)
        with torch.no_grad():  # so that the policy is not its own copy any more
            for parameter in agent.policy.parameters():
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
        twin.load_state_dict(agent.state_dict())
        batch = random_batch(generator, 4, num_actions=2)
        metrics = agent.learn(batch)

        obs, next_obs = (torch.cat(list(x.values()), -1) for x in (batch.obs, batch.next_obs))
        with torch.no_grad():
            old = twin.policy_target(torch.stack([obs, next_obs]))
            noise = torch.randn(5, 2, 4, 2, generator=twin._generator)
            action = old.mean + old.std * noise
            new = twin.policy(obs)
            critic_loss = cross = 0.0
            for b in range(4):
                q_next = [
                    twin.critic_target(next_obs[b], action[i, 1, b].clip(-1, 1)) for i in range(5)
                ]
                y = batch.reward[b] + continuous.GAMMA * batch.discount[b] * sum(q_next) / 5
                critic_loss += (twin.critic(obs[b], batch.action[b]) - y) ** 2 / 2 / 4
                q = torch.stack(
                    [twin.critic_target(obs[b], action[i, 0, b].clip(-1, 1)) for i in range(5)]
                )
                weights = (q / 0.5).exp() / (q / 0.5).exp().sum()
                if penalize:
                    out = action[:, 0, b] - action[:, 0, b].clip(-1, 1)
                    cost = -(out**2).sum(-1).sqrt()
                    weights = weights + (cost / 0.5).exp() / (cost / 0.5).exp().sum()
                for i in range(5):
                    for mean, std in ((new.mean, old.std[0]), (old.mean[0], new.std)):
                        normal = torch.distributions.Normal(mean[b], std[b])
                        cross -= weights[i] * normal.log_prob(action[i, 0, b]).sum() / 4
            kl_mean = (new.mean - old.mean[0]) ** 2 / (2 * old.std[0] ** 2)
            ratio = old.std[0] / new.std
            kl_std = ratio**2 / 2 - 0.5 - ratio.log()
            loss_pi = cross + 3.0 * kl_mean.sum(-1).mean() + 1.0 * kl_std.sum(-1).mean()
        assert metrics["critic_loss"].item() == pytest.approx(critic_loss.item(), abs=1e-5)
        assert metrics["policy_loss"].item() == pytest.approx(loss_pi.item(), rel=1e-5, abs=1e-4)
        for name, kl, bound in (("mean", kl_mean, 0.1), ("std", kl_std, 1e-3)):
            kl = kl if per_dimension else kl.sum(-1, keepdim=True)
            expected = kl.mean(0).amax().item() / bound
            assert metrics[f"kl_{name}/epsilon"].item() == pytest.approx(expected, rel=1e-4)

    def test_targets_are_copied_every_period(self, generator):
        agent = make_agent(target_period=3)
        for number in range(1, 7):
            agent.learn(random_batch(generator))
            for online, target in (
                (agent.policy, agent.policy_target),
                (agent.critic, agent.critic_target),
            ):
                same = all(map(torch.equal, online.parameters(), target.parameters()))
                assert same == (number % 3 == 0)


class TestClosedLoop:
    """MPO's own pieces on one state with Q(a) = -|a - best|^2, known without a critic."""

    BEST = torch.tensor([0.8, -0.4])
    BOUNDS = (0.02, 0.005)  # of mean and std

    def iterate(self, generator, num_iterations=12, num_inner=150):
        """Yield the policies before and after each E-step and converged M-step."""
        mean = torch.zeros(1, 2, requires_grad=True)
        log_std = torch.full((1, 2), -0.7, requires_grad=True)
        policy_optimizer = torch.optim.Adam([mean, log_std], 1e-2)
        for _ in range(num_iterations):
            old = DiagonalGaussian(mean.detach().clone(), log_std.detach().exp())
            action = old.sample(generator, (128,))
            q = -(action - self.BEST).square().sum(-1)
            duals = mpo.Duals(
                mpo.Config(initial_temperature=1.0, initial_multiplier_std=10.0),
                2,
                torch.device("cpu"),
            )
            dual_optimizer = torch.optim.Adam(duals.parameters(), 0.2)
            for _ in range(num_inner):
                policy = DiagonalGaussian(mean, log_std.exp())
                weights = sample_weights(q, duals.temperature())
                loss = mpo.cross_entropy(policy, old, action, weights)
                loss_dual = temperature_loss(q, duals.temperature(), 0.1).mean()
                kls = mpo.constrained_kl(policy, old, True)
                multipliers = (duals.mean, duals.std)
                for kl, bound, dual in zip(kls, self.BOUNDS, multipliers, strict=True):
                    loss = loss + multiplier_penalty(kl, dual()).sum()
                    loss_dual = loss_dual + multiplier_loss(kl, bound, dual()).sum()
                for optimizer, each in ((policy_optimizer, loss), (dual_optimizer, loss_dual)):
                    optimizer.zero_grad()
                    each.backward()
                    optimizer.step()
            yield old, DiagonalGaussian(mean.detach().clone(), log_std.detach().exp())

    def test_the_mean_moves_to_the_optimum_within_the_bounds(self, generator):
        distances, moved, scaled = [], [], []
        for old, new in self.iterate(generator):
            kls = mpo.constrained_kl(new, old, True)
            relative = [kl.amax().item() / b for kl, b in zip(kls, self.BOUNDS, strict=True)]
            moved.append(relative[0])
            scaled.append(relative[1])
            distances.append((new.mean - self.BEST).norm().item())
        assert max(moved) < 1.1
        assert max(scaled) < 1.1
        assert moved[0] > 0.9  # the bound holds the first step back
        assert distances[:10] == sorted(distances[:10], reverse=True)
        assert distances[-1] < 0.1


@pytest.mark.parametrize("name", continuous.PROBES)
def test_probes(name, tmp_path):
    agent = make_agent()
    continuous.train(agent, name, 200, tmp_path)

    def q_of(agent, obs, action):
        return agent.critic(flatten(obs, continuous.GROUPS), action)

    continuous.assert_solves(agent, name, q_of)


def test_the_penalty_brings_actions_back_within_bounds(generator):
    """Where the value says nothing, nothing else holds the mean."""
    means = []
    for penalize in (True, False):
        settings = replace(CONFIG, penalize_actions=penalize, epsilon_penalty=0.1)
        agent = mpo.MPO(
            settings,
            continuous.OBS_SIZES,
            1,
            torch.Generator().manual_seed(0),
            weights=lambda q, temperature: torch.full_like(q, 1.0 / len(q)),
        )
        with torch.no_grad():
            agent.policy[1].mean.bias.fill_(1.5)
            agent.policy_target.load_state_dict(agent.policy.state_dict())
        for _ in range(150):
            agent.learn(random_batch(generator))
        means.append(agent.policy(torch.tensor([[1.0, 0.0]])).mean.item())
    assert means[0] < 1.0
    assert means[1] == pytest.approx(1.5, abs=0.2)


def test_the_learners_own_functions_are_what_runs(generator):
    seen = []

    def weights(q, temperature):
        seen.append(q.shape)
        return torch.full_like(q, 1.0 / len(q))

    agent = mpo.MPO(
        CONFIG,
        continuous.OBS_SIZES,
        1,
        generator,
        weights=weights,
        temperature_loss=lambda q, temperature, epsilon: 0.0 * temperature * q[0],
    )
    metrics = agent.learn(random_batch(generator))
    assert seen == [(20, 16)]
    assert metrics["kl_samples/epsilon"].item() == pytest.approx(0.0, abs=1e-5)


class TestStates:
    def test_a_resumed_run_is_the_uninterrupted_one(self, tmp_path):
        continuous.assert_resumes_exactly(make_agent, tmp_path)

    def test_another_architecture(self, generator):
        agent, other = make_agent(), make_agent(per_dimension=False, num_actions=2)
        other.learn(random_batch(generator, num_actions=2))
        before = [x.clone() for x in agent.policy.parameters()]
        with pytest.raises(ValueError, match="the checkpoint is of another architecture"):
            agent.load_state_dict(other.state_dict())
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
            return mpo.MPO(settings, sizes, num_actions, torch.Generator().manual_seed(0))

        continuous.assert_stops_where_it_diverges(make, tmp_path)


class TestBadInput:
    def test_unknown_group(self):
        with pytest.raises(ValueError, match="unknown observation group 'goal'"):
            make_agent(groups=("state", "goal"))

    @pytest.mark.parametrize(
        "changes", [{"discount": 1.0}, {"epsilon_mean": 0.0}, {"min_replay": 3_000}]
    )
    def test_config(self, changes):
        with pytest.raises(ValueError, match=next(iter(changes))):
            make_agent(**changes)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu():
    generator = torch.Generator("cuda").manual_seed(0)
    agent = mpo.MPO(CONFIG, continuous.OBS_SIZES, 1, generator)
    batch = random_batch(torch.Generator().manual_seed(0))
    batch = Transition(
        {name: x.cuda() for name, x in batch.obs.items()},
        *(x.cuda() for x in batch[1:4]),
        {name: x.cuda() for name, x in batch.next_obs.items()},
    )
    metrics = agent.learn(batch)
    assert all(value.isfinite() and value.is_cuda for value in metrics.values())
