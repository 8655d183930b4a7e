import math

import pytest
import torch
from torch import nn

from rlcourse.nets.blocks import MLP, Critic, GaussianHead, LayerNormMLP, TwinCritic, linear
from rlcourse.nets.state import target_of, update_target_
from rlcourse.ops.distributions import SquashedGaussian

NETWORKS = {
    "linear": lambda g: linear(3, 2, g),
    "mlp": lambda g: MLP(3, [8, 8], 2, g),
    "layer norm": lambda g: LayerNormMLP(3, [8, 8], 2, g),
    "head": lambda g: GaussianHead(3, 2, g),
}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("kind", NETWORKS)
def test_weights_come_from_the_generator_alone(kind):
    before = torch.get_rng_state()
    first, second, other = (NETWORKS[kind](seeded(seed)) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    pairs = list(zip(first.state_dict().values(), second.state_dict().values(), strict=True))
    assert all(torch.equal(a, b) for a, b in pairs)
    weights = zip(first.parameters(), other.parameters(), strict=True)
    assert any(not torch.equal(a, b) for a, b in weights)


@pytest.mark.parametrize("kind", ["linear", "mlp", "layer norm"])
@pytest.mark.parametrize("batch", [(), (4,), (5, 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shapes_and_dtypes(kind, batch, dtype):
    network = NETWORKS[kind](seeded()).to(dtype)
    inputs = torch.randn(*batch, 3, generator=seeded(), dtype=dtype)
    outputs = network(inputs)
    assert outputs.shape == (*batch, 2)
    assert outputs.dtype == dtype
    alone = network(inputs.reshape(-1, 3)[-1])
    torch.testing.assert_close(outputs.reshape(-1, 2)[-1], alone)


class TestLinear:
    def test_sizes_of_the_weights(self):
        layer = linear(100, 200, seeded(), scale=0.5)
        assert 0.045 < layer.weight.abs().max().item() <= 0.05
        assert layer.weight.mean().abs().item() < 1e-3
        assert layer.bias.tolist() == [0.0] * 200

    def test_invalid(self):
        with pytest.raises(ValueError, match="at least one input and one output: got 0 and 2"):
            linear(0, 2, seeded())


class TestMLP:
    def test_by_hand(self):
        network = MLP(2, [2], 1, seeded())
        hidden, _, last = network.layers
        with torch.no_grad():
            hidden.weight.copy_(torch.tensor([[1.0, -1.0], [-1.0, 1.0]]))
            last.weight.copy_(torch.tensor([[2.0, 10.0]]))
            last.bias.fill_(0.5)
        # relu(3 - 1) = 2 and relu(1 - 3) = 0
        assert network(torch.tensor([3.0, 1.0])).tolist() == [4.5]

    def test_torso_ends_with_its_activation(self):
        torso = MLP(3, [8, 5], None, seeded(), activation=nn.Tanh)
        assert torso.num_outputs == 5
        outputs = torso(100 * torch.randn(6, 3, generator=seeded()))
        assert outputs.shape == (6, 5)
        assert outputs.abs().max() <= 1

    def test_no_hidden_layer_is_linear(self):
        network = MLP(3, [], 2, seeded())
        x, y = torch.randn(2, 3, generator=seeded())
        torch.testing.assert_close(network(x) + network(y), network(x + y))

    def test_invalid(self):
        with pytest.raises(ValueError, match="hidden_sizes or num_outputs"):
            MLP(3, [], None, seeded())
        with pytest.raises(ValueError, match="at least one input and one output: got 3 and 0"):
            MLP(3, [0], 2, seeded())


class TestLayerNormMLP:
    def test_by_hand(self):
        network = LayerNormMLP(1, [2, 2], None, seeded())
        first, _, _, second, _ = network.layers
        with torch.no_grad():
            first.weight.copy_(torch.tensor([[1.0], [3.0]]))
            second.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
        # the norm makes (5, 15) into (-1, 1); tanh; elu(-t) = exp(-t) - 1, elu(t) = t
        t = math.tanh(1.0)
        torch.testing.assert_close(
            network(torch.tensor([5.0])),
            torch.tensor([math.exp(-t) - 1, t]),
            atol=1e-6,
            rtol=1e-5,
        )

    def test_scale_of_the_inputs_does_not_matter(self):
        network = LayerNormMLP(3, [16, 16], 2, seeded())
        inputs = torch.randn(6, 3, generator=seeded())
        torch.testing.assert_close(network(inputs), network(1000 * inputs), atol=1e-3, rtol=1e-3)

    def test_sizes(self):
        assert LayerNormMLP(3, [8, 5], None, seeded()).num_outputs == 5
        network = LayerNormMLP(3, [8], 2, seeded())
        assert network.num_outputs == 2
        assert network(torch.zeros(4, 3)).shape == (4, 2)

    def test_invalid(self):
        with pytest.raises(ValueError, match="at least one hidden layer"):
            LayerNormMLP(3, [], 2, seeded())


class TestGaussianHead:
    def test_starts_near_the_scales_asked_for(self):
        head = GaussianHead(32, 4, seeded(), init_scale=0.7, min_scale=0.1)
        policy = head(torch.randn(50, 32, generator=seeded()))
        assert policy.mean.abs().max() < 0.1
        torch.testing.assert_close(policy.std, torch.full((50, 4), 0.8), atol=0.05, rtol=0)

    def test_exact_at_zero(self):
        policy = GaussianHead(3, 2, seeded(), init_scale=0.3, min_scale=0.0)(torch.zeros(3))
        assert policy.mean.tolist() == [0.0, 0.0]
        torch.testing.assert_close(policy.std, torch.full((2,), 0.3))

    def test_limits_of_mean_and_stddev(self):
        features = 1e5 * torch.randn(200, 8, generator=seeded())
        policy = GaussianHead(8, 2, seeded(), tanh_mean=True, min_scale=0.1)(features)
        assert policy.mean.abs().max() <= 1
        assert policy.mean.abs().max() > 0.99
        assert policy.std.min().item() == pytest.approx(0.1)
        assert policy.std.isfinite().all()
        assert GaussianHead(8, 2, seeded())(features).mean.abs().max() > 1

    def test_squashed(self, generator):
        policy = SquashedGaussian(GaussianHead(3, 2, seeded())(torch.zeros(5, 3)))
        action, log_prob = policy.rsample_with_log_prob(generator)
        assert action.shape == (5, 2)
        assert log_prob.shape == (5,)

    def test_gradients_reach_every_weight(self, generator):
        head = GaussianHead(3, 2, seeded())
        head(torch.ones(5, 3)).rsample(generator).square().sum().backward()
        assert all(p.grad.abs().sum() > 0 for p in head.parameters())

    @pytest.mark.parametrize("scales", [{"init_scale": 0.0}, {"min_scale": -0.1}])
    def test_invalid(self, scales):
        with pytest.raises(ValueError, match=r"init_scale must be finite and > 0.*got"):
            GaussianHead(3, 2, seeded(), **scales)


class TestCritics:
    def test_is_the_network_of_both_inputs(self):
        network = MLP(5, [8], 1, seeded())
        obs, action = torch.randn(4, 3, generator=seeded()), torch.ones(4, 2)
        expected = network(torch.cat([obs, action], -1)).squeeze(-1)
        torch.testing.assert_close(Critic(network)(obs, action), expected)

    def test_samples_of_actions_broadcast(self):
        critic = Critic(MLP(5, [8], 1, seeded()))
        obs = torch.randn(4, 3, generator=seeded())
        actions = torch.randn(7, 4, 2, generator=seeded())
        values = critic(obs, actions)
        assert values.shape == (7, 4)
        torch.testing.assert_close(values[6], critic(obs, actions[6]))

    def test_twins_differ_and_both_learn(self):
        generator = seeded()
        twins = TwinCritic(lambda: MLP(5, [8], 1, generator))
        values = twins(torch.ones(4, 3), torch.ones(4, 2))
        assert values.shape == (2, 4)
        assert not torch.equal(values[0], values[1])
        torch.testing.assert_close(values[1], twins.second(torch.ones(4, 3), torch.ones(4, 2)))
        values.sum().backward()
        assert all(p.grad is not None for p in twins.parameters())


class TestTargets:
    def test_target_is_an_equal_copy_without_gradient(self):
        network = MLP(3, [4], 2, seeded())
        target = target_of(network)
        inputs = torch.ones(3)
        assert torch.equal(target(inputs), network(inputs))
        assert not target(inputs).requires_grad
        assert network(inputs).requires_grad
        with torch.no_grad():
            network.layers[0].weight.add_(1.0)
        assert not torch.equal(target(inputs), network(inputs))

    def test_update_by_hand(self):
        network = linear(1, 1, seeded())
        target = target_of(network)
        with torch.no_grad():
            target.weight.fill_(1.0)
            network.weight.fill_(5.0)
        update_target_(target, network, 0.25)
        assert target.weight.item() == 2.0
        assert network.weight.item() == 5.0
        update_target_(target, network)
        assert target.weight.item() == 5.0

    def test_buffers_are_copied(self):
        network = nn.BatchNorm1d(2)
        target = target_of(network)
        network.running_mean.fill_(3.0)
        update_target_(target, network, 0.1)
        assert target.running_mean.tolist() == [3.0, 3.0]
        assert target.running_mean is not network.running_mean

    def test_invalid(self):
        network = linear(1, 1, seeded())
        for rate in (0.0, 1.5, math.nan):
            with pytest.raises(ValueError, match=r"rate must be in \(0, 1\]: got"):
                update_target_(target_of(network), network, rate)
        with pytest.raises(ValueError, match="not a copy of the network"):
            update_target_(linear(1, 2, seeded()), network)
