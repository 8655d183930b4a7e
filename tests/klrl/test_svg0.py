"""SVG(0) with Retrace against algorithm 1 by loops, closed forms, probes and interruptions."""

import math
from dataclasses import replace

import pytest
import torch

from rlcourse.envs.groups import flatten
from rlcourse.klrl import svg0
from rlcourse.klrl.control_priors import LearnedPrior, UniformPrior
from rlcourse.ops.distributions import Categorical, DiagonalGaussian, SquashedGaussian
from rlcourse.run.record import NonFiniteMetric
from rlcourse.types import Sequence
from tests.klrl import continuous

CONFIG = svg0.Config(
    groups=continuous.GROUPS,
    policy_sizes=(32,),
    critic_sizes=(32, 32),
    alpha=0.02,
    alpha_entropy=0.0,
    discount=continuous.GAMMA,
    learning_rate=1e-2,
    batch_size=32,
    sequence_length=2,
    num_samples=5,
    target_period=10,
    replay_capacity=1_000,
    min_replay=16,
    updates_per_step=2,
)
UNROLL = 4


def squashed(mean, std):
    return SquashedGaussian(DiagonalGaussian(mean, std))


class FixedPrior:
    """One squashed Gaussian everywhere."""

    def __init__(self, mean, std, num_actions=1):
        self.mean, self.std, self.num_actions = mean, std, num_actions

    def distribution(self, obs):
        shape = (*obs["state"].shape[:-1], self.num_actions)
        return squashed(torch.full(shape, self.mean), torch.full(shape, self.std))


def learned_prior(seed=5, groups=("state",)):
    generator = torch.Generator().manual_seed(seed)
    return LearnedPrior(groups, (16,), continuous.OBS_SIZES, 1, generator)


def make_agent(seed=0, prior=None, **changes):
    generator = torch.Generator().manual_seed(seed)
    prior = UniformPrior(1) if prior is None else prior
    return svg0.SVG0(replace(CONFIG, **changes), continuous.OBS_SIZES, 1, generator, prior)


def random_sequence(generator, num_steps=UNROLL, batch_size=3):
    """Sequences of which the last ends one step early, by a time limit."""
    T, B = num_steps, batch_size

    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    def draw_obs(*shape):
        return {name: draw(*shape, 1) for name in continuous.GROUPS}

    valid = torch.ones(T, B, dtype=torch.bool)
    valid[-1, -1] = False
    log_prob = draw(T, B) - 1.0
    log_prob[-1, -1] = math.inf
    discount = (torch.rand(T, B, generator=generator) > 0.2).float()
    discount[-1, -1] = 0.0
    reward, action = draw(T, B), draw(T, B, 1).tanh()
    reward[-1, -1] = action[-1, -1] = 0.0
    is_first = torch.zeros(T, B, dtype=torch.bool)
    sequence = Sequence(draw_obs(T, B), action, reward, discount, is_first, log_prob, draw_obs(B))
    return sequence, valid


class TestLosses:
    def test_policy_loss_by_hand(self):
        q, kl, entropy = torch.tensor([2.0]), torch.tensor([3.0]), torch.tensor([5.0])
        assert svg0.policy_loss(q, kl, entropy, 0.1, 0.01).item() == pytest.approx(-1.75)

    def test_kl_to_a_squashed_gaussian_is_exact(self, generator):
        policy = squashed(torch.zeros(4, 2), torch.full((4, 2), 0.3))
        prior = squashed(torch.ones(4, 2), torch.ones(4, 2))
        expected = 2 * (math.log(1 / 0.3) + (0.09 + 1) / 2 - 0.5)
        samples = policy.rsample_with_log_prob(generator, (3,))
        found = svg0.kl_to_prior(policy, prior, *samples)
        torch.testing.assert_close(found, torch.full((4,), expected))

    def test_kl_to_the_uniform_prior_is_minus_the_entropy_up_to_a_constant(self, generator):
        policy = squashed(torch.zeros(4, 2), torch.full((4, 2), 0.3))
        uniform = UniformPrior(2).distribution({"state": torch.zeros(4, 7)})
        action, log_prob = policy.rsample_with_log_prob(generator, (3,))
        found = svg0.kl_to_prior(policy, uniform, action, log_prob)
        torch.testing.assert_close(found, log_prob.mean(0) + 2 * math.log(2.0))

    def test_kl_to_other_priors_is_estimated_with_its_gradient(self, generator):
        class Wrapped:
            def __init__(self, distribution):
                self.log_prob = distribution.log_prob

        mean = torch.zeros(1, requires_grad=True)
        policy = squashed(mean, torch.full((1,), 0.5))
        prior = squashed(torch.ones(1), torch.ones(1))
        samples = policy.rsample_with_log_prob(generator, (20_000,))
        kls = policy.kl(prior), svg0.kl_to_prior(policy, Wrapped(prior), *samples)
        torch.testing.assert_close(*kls, atol=0.02, rtol=0)
        gradients = [torch.autograd.grad(kl.sum(), mean, retain_graph=True)[0] for kl in kls]
        torch.testing.assert_close(*gradients, atol=0.02, rtol=0)

    def test_one_update_is_algorithm_1(self, generator):
        """All losses of one step with a learned prior, by loops over sequences and steps."""
        settings = {"alpha": 0.3, "alpha_entropy": 0.05, "trace_decay": 0.9}
        settings["sequence_length"] = UNROLL
        agent, twin = (make_agent(prior=learned_prior(), **settings) for _ in range(2))
        with torch.no_grad():  # so that networks and their copies differ
            for network in (agent.critic, agent.prior):
                for parameter in network.parameters():
                    parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
        twin.load_state_dict(agent.state_dict())
        sequence, valid = random_sequence(generator)
        metrics = agent.learn(sequence, valid)

        obs = {k: torch.cat([x, sequence.final_obs[k][None]]) for k, x in sequence.obs.items()}
        x = torch.cat([obs["state"], obs["time"]], -1)  # [T + 1, B, 2]
        with torch.no_grad():
            pi = twin.policy(x)
            priors = [p.distribution(obs).base for p in (twin.prior_target, twin.prior)]
            noise = torch.randn(CONFIG.num_samples, *pi.mean.shape, generator=twin._generator)
            pre_tanh = pi.mean + pi.std * noise
            q = sum(twin.critic_target(x, each.tanh()) for each in pre_tanh) / len(noise)
            normal = torch.distributions.Normal(pi.mean, pi.std)
            slope = (1 - pre_tanh.tanh() ** 2).log()
            entropy = -(normal.log_prob(pre_tanh) - slope).sum(-1).mean(0)
            normals = [torch.distributions.Normal(p.mean, p.std) for p in priors]
            kl, kl_online = (
                torch.distributions.kl_divergence(normal, each).sum(-1) for each in normals
            )
            value = q - 0.3 * kl
            loss_q = loss_pi = loss_prior = 0.0
            for b in range(3):
                length = int(valid[:, b].sum())
                taken = [twin.critic_target(x[t, b], sequence.action[t, b]) for t in range(length)]
                for t in range(length):
                    target, product = taken[t], 1.0
                    for s in range(t, length):
                        if s > t:
                            a = sequence.action[s, b]
                            at = torch.distributions.Normal(pi.mean[s, b], pi.std[s, b])
                            log_pi = (at.log_prob(a.atanh()) - (1 - a**2).log()).sum()
                            rho = (log_pi - sequence.log_prob[s, b]).exp()
                            product *= continuous.GAMMA * sequence.discount[s - 1, b]
                            product *= 0.9 * min(1.0, rho.item())
                        gamma = continuous.GAMMA * sequence.discount[s, b]
                        error = sequence.reward[s, b] + gamma * value[s + 1, b] - taken[s]
                        target = target + product * error
                    loss_q += (target - twin.critic(x[t, b], sequence.action[t, b])) ** 2
                    loss_pi -= q[t, b] - 0.3 * kl[t, b] + 0.05 * entropy[t, b]
                    loss_prior += kl_online[t, b]
            count = valid.sum()
        assert metrics["critic_loss"].item() == pytest.approx((loss_q / count).item(), rel=1e-5)
        assert metrics["policy_loss"].item() == pytest.approx((loss_pi / count).item(), abs=1e-5)
        assert metrics["prior_loss"].item() == pytest.approx((loss_prior / count).item(), abs=1e-5)
        assert not torch.allclose(kl, kl_online)

    def test_gradients_go_to_one_network_each(self, generator):
        """Distillation leaves the policy alone, and the policy's loss the prior and the critic."""
        settings = {"alpha": 0.0, "sequence_length": UNROLL}
        changed = {}
        for name in ("policy", "critic", "prior"):
            agent = make_agent(prior=learned_prior(), **settings)
            agent._optimizers = {name: agent._optimizers[name], "prior": agent._optimizers["prior"]}
            agent._descend = lambda part, loss, agent=agent, name=name: (
                svg0.SVG0._descend(agent, part, loss) if part == name else None
            )
            before = {
                n: [x.clone() for x in net.parameters()] for n, net in agent._networks.items()
            }
            agent.learn(*random_sequence(torch.Generator().manual_seed(1)))
            changed[name] = {
                n
                for n, net in agent._networks.items()
                if not all(map(torch.equal, before[n], net.parameters()))
            }
        assert changed == {name: {name} for name in changed}

    def test_padding_changes_nothing(self, generator):
        sequence, valid = random_sequence(generator)
        metrics = []
        for junk in (0.0, 5.0):
            action, reward = sequence.action.clone(), sequence.reward.clone()
            action[-1, -1] = reward[-1, -1] = junk
            agent = make_agent(sequence_length=UNROLL)
            metrics.append(agent.learn(sequence._replace(action=action, reward=reward), valid))
        continuous.assert_same_state(*metrics)


class TestPriors:
    def test_the_policy_settles_between_value_and_prior(self, generator):
        """With Q(a) = -(x - 1/2)^2 for x = atanh(a), the optimum pi_0 exp(Q / alpha) is a squashed
        Gaussian in closed form.
        """
        alpha, prior_mean, prior_std = 0.5, -0.5, 0.4
        precision = 1 / prior_std**2 + 2 / alpha
        expected = (prior_mean / prior_std**2 + 0.5 * 2 / alpha) / precision
        mean, log_std = (torch.zeros(1, requires_grad=True) for _ in range(2))
        optimizer = torch.optim.Adam([mean, log_std], 0.02)
        prior = squashed(torch.tensor([prior_mean]), torch.tensor([prior_std]))
        for _ in range(400):
            policy = squashed(mean, log_std.exp())
            action, log_prob = policy.rsample_with_log_prob(generator, (64,))
            q = -(action.atanh() - 0.5).square().sum(-1).mean(0)
            kl = svg0.kl_to_prior(policy, prior, action, log_prob)
            loss = svg0.policy_loss(q, kl, -log_prob.mean(0), alpha, 0.0)
            optimizer.zero_grad()
            loss.sum().backward()
            optimizer.step()
        assert mean.item() == pytest.approx(expected, abs=0.03)
        assert log_std.exp().item() == pytest.approx(precision**-0.5, abs=0.03)

    def test_a_strong_prior_is_followed(self, tmp_path):
        agent = make_agent(prior=FixedPrior(-0.3, 0.3), alpha=10.0)
        continuous.train(agent, "action_dependent_reward", 150, tmp_path)
        policy = agent.policy(torch.tensor([[1.0, 0.0]]))
        assert policy.mean.item() == pytest.approx(-0.3, abs=0.1)
        assert policy.std.item() == pytest.approx(0.3, abs=0.1)

    def test_the_value_pays_for_the_kl(self, tmp_path):
        """One step ahead of a state where the policy is not the prior: V = E Q - alpha KL."""
        prior, alpha = FixedPrior(3.0, 1.0), 0.1
        agent = make_agent(prior=prior, alpha=alpha)
        agent._optimizers["policy"].step = lambda: None  # the policy stays what it is
        continuous.train(agent, "two_step_discount", 200, tmp_path)
        at = torch.tensor([[1.0, 1.0]])
        with torch.no_grad():
            policy = SquashedGaussian(agent.policy(at))
            kl = policy.kl(prior.distribution({"state": at[:, :1]})).item()
            q = agent.critic(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5]])).item()
        assert kl > 3.0
        assert q == pytest.approx(continuous.GAMMA * (1.0 - alpha * kl), abs=0.1)

    def test_a_fixed_prior_has_no_loss_and_a_learned_one_follows_the_policy(self, tmp_path):
        assert "prior_loss" not in make_agent(sequence_length=UNROLL).learn(
            *random_sequence(torch.Generator().manual_seed(0))
        )
        prior = learned_prior()
        agent = make_agent(prior=prior, alpha=0.02)
        continuous.train(agent, "observation_and_action_dependent_reward", 200, tmp_path)
        for state in (-1.0, 1.0):
            found = prior.distribution(continuous.first_step(state)).mode.item()
            assert found == pytest.approx(continuous.BEST * state, abs=0.1)

    def test_a_prior_that_sees_less_is_the_mixture_of_what_it_cannot_tell_apart(self, tmp_path):
        prior = learned_prior(groups=("time",))
        agent = make_agent(prior=prior, alpha=0.02)
        continuous.train(agent, "observation_and_action_dependent_reward", 200, tmp_path)
        found = prior.distribution(continuous.first_step(1.0)).base
        assert found.mean.item() == pytest.approx(0.0, abs=0.15)
        assert found.std.item() > math.atanh(continuous.BEST) - 0.1  # it covers both modes

    def test_the_prior_copy_moves_with_the_period(self, generator):
        agent = make_agent(prior=learned_prior(), target_period=3, sequence_length=UNROLL)
        for number in range(1, 7):
            agent.learn(*random_sequence(generator))
            for online, target in (
                (agent.prior, agent.prior_target),
                (agent.critic, agent.critic_target),
            ):
                same = all(map(torch.equal, online.parameters(), target.parameters()))
                assert same == (number % 3 == 0)


@pytest.mark.parametrize("name", continuous.PROBES)
def test_probes(name, tmp_path):
    agent = make_agent()
    continuous.train(agent, name, 200, tmp_path)

    def q_of(agent, obs, action):
        return agent.critic(flatten(obs, continuous.GROUPS), action)

    continuous.assert_solves(agent, name, q_of)


def test_the_behavior_is_stored_with_its_log_probabilities(tmp_path):
    agent = make_agent(min_replay=900)  # the policy stays what it is
    continuous.train(agent, "two_step_discount", 30, tmp_path)
    sequence, valid = agent.replay.sample(8, torch.Generator().manual_seed(0))
    obs = torch.cat([sequence.obs["state"], sequence.obs["time"]], -1)
    expected = SquashedGaussian(agent.policy(obs)).log_prob(sequence.action)
    assert valid.all()
    torch.testing.assert_close(sequence.log_prob, expected)


def test_the_learners_own_functions_are_what_runs(generator):
    agent = svg0.SVG0(
        replace(CONFIG, sequence_length=UNROLL),
        continuous.OBS_SIZES,
        1,
        generator,
        UniformPrior(1),
        target=lambda q, value, reward, discount, log_rho, decay: torch.zeros_like(q),
        policy_loss=lambda q, kl, entropy, alpha, alpha_entropy: 7.0 + 0.0 * q,
    )
    with torch.no_grad():
        for parameter in agent.critic.parameters():
            parameter.zero_()
    metrics = agent.learn(*random_sequence(generator))
    assert metrics["policy_loss"].item() == pytest.approx(7.0)
    assert metrics["critic_loss"].item() == 0.0


class TestStates:
    @pytest.mark.parametrize(
        "prior", [lambda: UniformPrior(1), lambda: FixedPrior(-0.3, 0.3), learned_prior]
    )
    def test_a_resumed_run_is_the_uninterrupted_one(self, prior, tmp_path):
        continuous.assert_resumes_exactly(lambda: make_agent(prior=prior()), tmp_path)

    def test_another_architecture(self):
        agent = make_agent(prior=learned_prior())
        before = [x.clone() for x in agent.policy.parameters()]
        with pytest.raises(ValueError, match=r"prior\..* is absent there"):
            agent.load_state_dict(make_agent().state_dict())
        with pytest.raises(ValueError, match="another architecture: critic"):
            agent.load_state_dict(make_agent(prior=learned_prior(), critic_sizes=(8,)).state_dict())
        with pytest.raises(ValueError, match="sequences of 3 steps"):
            agent.load_state_dict(make_agent(prior=learned_prior(), sequence_length=3).state_dict())
        assert all(map(torch.equal, before, agent.policy.parameters()))

    def test_a_diverging_run_names_the_last_good_checkpoint(self, tmp_path):
        with pytest.raises(NonFiniteMetric, match=r"last good checkpoint is .*checkpoint\.pt"):
            continuous.diverge(make_agent(learning_rate=1e30), tmp_path)

    @pytest.mark.parametrize("updates", [1, 2])
    def test_nor_do_actions_that_the_environment_refuses_hide_it(self, updates, tmp_path):
        groups = {"groups": ("proprio", "targets", "task")}
        settings = replace(CONFIG, learning_rate=1e30, updates_per_step=updates, **groups)

        def make(sizes, num_actions):
            generator = torch.Generator().manual_seed(0)
            return svg0.SVG0(settings, sizes, num_actions, generator, UniformPrior(num_actions))

        continuous.assert_stops_where_it_diverges(make, tmp_path)


class TestBadInput:
    def test_a_prior_over_other_actions(self):
        class Discrete:
            def distribution(self, obs):
                return Categorical(torch.zeros(1, 4).log_softmax(-1))

        with pytest.raises(
            ValueError, match=r"prior's actions have shape \[2\], the agent's \[1\]"
        ):
            make_agent(prior=FixedPrior(0.0, 1.0, num_actions=2))
        with pytest.raises(ValueError, match=r"prior's actions have shape \[\], the agent's \[1\]"):
            make_agent(prior=Discrete())

    def test_unknown_group(self):
        with pytest.raises(ValueError, match="unknown observation group 'goal'"):
            make_agent(groups=("state", "goal"))
        with pytest.raises(ValueError, match="unknown observation group 'goal'"):
            learned_prior(groups=("goal",))

    def test_a_sequence_shorter_than_the_unroll(self, generator):
        with pytest.raises(ValueError, match="sequences have 4 steps, and sequence_length is 6"):
            make_agent(sequence_length=6).learn(*random_sequence(generator))

    @pytest.mark.parametrize(
        "changes", [{"discount": 1.0}, {"alpha": -0.1}, {"num_samples": 0}, {"min_replay": 3_000}]
    )
    def test_config(self, changes):
        with pytest.raises(ValueError, match=next(iter(changes))):
            make_agent(**changes)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu():
    config = replace(CONFIG, sequence_length=UNROLL)
    generator = torch.Generator("cuda").manual_seed(0)
    agent = svg0.SVG0(config, continuous.OBS_SIZES, 1, generator, UniformPrior(1))
    sequence, valid = random_sequence(torch.Generator().manual_seed(0))

    def on_gpu(entry):
        if isinstance(entry, dict):
            return {name: x.cuda() for name, x in entry.items()}
        return entry.cuda()

    metrics = agent.learn(Sequence(*map(on_gpu, sequence)), valid.cuda())
    assert all(value.isfinite() and value.is_cuda for value in metrics.values())
