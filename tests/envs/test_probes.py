import pytest
import torch

from rlcourse.envs.probes import probes, soft_backup_probe
from rlcourse.envs.tabular_env import TabularEnv
from rlcourse.types import Environment

ALL = {probe.name: probe for probe in (*probes(), soft_backup_probe())}
INF = float("inf")
NO_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NO_CUDA])]


@pytest.fixture(params=ALL)
def probe(request):
    return ALL[request.param]


def slow_soft_q(probe, log_prior, alpha, num_sweeps=5):
    """Soft value iteration on the dense model, over plain lists."""
    mdp = probe.mdp
    dense, reward = mdp.transition_tensor().double(), mdp.expected_reward().double()
    value = torch.zeros(mdp.num_states, dtype=torch.float64)
    for _ in range(num_sweeps):
        q = reward + probe.gamma * dense @ (mdp.continues * value)
        weight = (q / alpha).exp() * log_prior.double().exp()
        value = alpha * weight.sum(-1).log()
        value = value * mdp.continues
    return q.float()


def slow_q(probe):
    mdp = probe.mdp
    value = torch.zeros(mdp.num_states)
    for _ in range(5):
        q = mdp.expected_reward() + probe.gamma * mdp.transition_tensor() @ (mdp.continues * value)
        value = q.amax(-1)
    return q


def test_there_are_five_with_names_of_their_own():
    assert len(probes()) == 5
    assert len(ALL) == 6


def test_known_values_by_hand():
    values = {name: probe.optimal_value().tolist() for name, probe in ALL.items()}
    expected = {
        "constant_value": [1, 0],
        "observation_dependent_value": [1, -1, 0],
        "two_step_discount": [0.9, 1, 0],
        "action_dependent_reward": [1, 0],
        "observation_and_action_dependent_reward": [1, 1, 0],
        "soft_backup": [0.9, 1, 0],
    }
    assert values.keys() == expected.keys()
    for name, value in expected.items():
        assert values[name] == pytest.approx(value), name


def test_optimal_q_solves_the_mdp(probe):
    torch.testing.assert_close(probe.optimal_q(), slow_q(probe))


@pytest.mark.parametrize("alpha", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("prior", [[0.5, 0.5], [0.9, 0.1], [1.0, 0.0]])
def test_soft_q_solves_the_regularized_mdp(probe, alpha, prior):
    log_prior = torch.tensor(prior).log()
    expected = slow_soft_q(probe, log_prior, alpha)
    torch.testing.assert_close(probe.soft_q(log_prior, alpha), expected, atol=1e-5, rtol=1e-5)
    per_state = log_prior.expand(probe.mdp.num_states, 2)
    assert torch.equal(probe.soft_q(log_prior, alpha), probe.soft_q(per_state, alpha))
    policy = probe.soft_log_policy(log_prior, alpha).exp()
    torch.testing.assert_close(policy.sum(-1), torch.ones(probe.mdp.num_states))


def test_soft_values_by_hand():
    # alpha = 1: ln((e + 1/e) / 2) = ln cosh 1 = 0.433781
    probe = soft_backup_probe()
    log_prior = torch.tensor([0.5, 0.5]).log()
    value = probe.soft_value(log_prior, 1.0)
    assert value.tolist() == pytest.approx([0.9 * 0.433781, 0.433781, 0.0], abs=1e-6)
    log_policy = probe.soft_log_policy(log_prior, 1.0)
    assert (log_policy[1, 1] - log_policy[1, 0]).item() == pytest.approx(2.0)


def test_only_the_sixth_distinguishes_soft_from_hard_backups():
    log_prior = torch.tensor([0.5, 0.5]).log()
    for probe in ALL.values():
        same = torch.allclose(probe.soft_q(log_prior, 1.0), probe.optimal_q())
        assert same == (probe.name != "soft_backup")


def test_an_action_that_the_prior_excludes():
    value = ALL["action_dependent_reward"].soft_value(torch.tensor([0.0, -INF]), 0.5)
    assert value.tolist() == pytest.approx([-1.0, 0.0])


def test_episodes(probe, generator):
    env = TabularEnv(probe.mdp, 64, generator)
    assert isinstance(env, Environment)
    step = env.reset()
    starts = set(step.obs.tolist())
    assert starts == set((probe.mdp.initial > 0).nonzero().flatten().tolist())
    for _ in range(6):
        action = torch.randint(2, (64,), generator=generator)
        before, step = step, env.step(action)
        real = ~step.is_first
        terminal = probe.mdp.num_states - 1
        ends = (probe.leads_to[before.obs] < 0) & real
        assert torch.equal(step.obs[real] == terminal, ends[real])
        assert torch.equal(step.discount == 0.0, ends)
        expected = probe.last_q[before.obs, action]
        torch.testing.assert_close(step.reward[real], expected[real])


@pytest.mark.parametrize("device", DEVICES)
def test_probes_on_a_device(device):
    log_prior = torch.tensor([0.9, 0.1], device=device).log()
    for probe in (*probes(device), soft_backup_probe(device)):
        plain = ALL[probe.name]
        assert probe.mdp.reward.device.type == probe.leads_to.device.type == device
        q = probe.soft_q(log_prior, 0.5)
        assert q.device.type == probe.optimal_q().device.type == device
        torch.testing.assert_close(q.cpu(), plain.soft_q(log_prior.cpu(), 0.5))
        TabularEnv(probe.mdp, 2, torch.Generator(device)).reset()
