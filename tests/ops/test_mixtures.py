"""Mixtures of policies, the best prior for many tasks, and KLs of densities."""

import math

import pytest
import torch

from rlcourse.ops.kl import categorical_kl
from rlcourse.ops.mixtures import density_kls, log_mixture, optimal_log_prior

INF = math.inf


def logs(*probabilities, dtype=torch.float64):
    return torch.tensor(probabilities, dtype=dtype).log()


class TestLogMixture:
    def test_by_hand(self):
        policies = torch.stack([logs(1.0, 0.0, 0.0), logs(0.5, 0.5, 0.0)])
        mixture = log_mixture(policies, logs(0.5, 0.5))
        torch.testing.assert_close(mixture.exp(), logs(0.75, 0.25, 0.0).exp())
        assert mixture[2] == -INF

    def test_gradient_is_finite_where_no_policy_has_mass(self):
        policies = torch.stack([logs(1.0, 0.0, 0.0), logs(0.5, 0.5, 0.0)]).requires_grad_()
        weights = logs(1.0, 0.0).requires_grad_()
        mixture = log_mixture(policies, weights)
        mixture[0].backward()
        assert torch.isfinite(policies.grad).all()
        assert torch.isfinite(weights.grad).all()

    def test_is_the_prior_with_the_smallest_expected_kl(self, generator):
        policies = torch.randn(3, 5, 4, generator=generator, dtype=torch.float64).log_softmax(-1)
        weights = torch.randn(3, 5, generator=generator, dtype=torch.float64).log_softmax(0)

        def expected_kl(log_prior):
            return (weights.exp() * categorical_kl(policies, log_prior)).sum(0)  # [5]

        best = expected_kl(log_mixture(policies, weights))
        for _ in range(20):
            noise = torch.randn(5, 4, generator=generator, dtype=torch.float64)
            other = (log_mixture(policies, weights) + 0.3 * noise).log_softmax(-1)
            assert (expected_kl(other) >= best).all()

    def test_weights_broadcast_over_states(self, generator):
        policies = torch.randn(3, 5, 4, generator=generator).log_softmax(-1)
        weights = logs(0.2, 0.3, 0.5, dtype=torch.float32)[:, None]
        expected = (policies.exp() * weights.exp()[..., None]).sum(0)
        torch.testing.assert_close(log_mixture(policies, weights).exp(), expected)

    @pytest.mark.usefixtures("without_type_checks")
    @pytest.mark.parametrize("shape", [(2,), (3, 4), (1, 5), (2, 5), (3, 5, 4)])
    def test_wrong_weights(self, shape):
        with pytest.raises(ValueError, match=r"without its action axis, \[3, 5\]"):
            log_mixture(torch.zeros(3, 5, 4), torch.zeros(shape))


def test_optimal_log_prior_by_hand():
    log_policies = torch.tensor([[[0.9, 0.1], [0.6, 0.4]], [[0.1, 0.9], [0.2, 0.8]]]).log()
    visits = torch.tensor([[3.0, 0.0], [1.0, 0.0]])  # nobody is in the second state
    prior = optimal_log_prior(log_policies, visits, torch.tensor([0.5, 0.5])).exp()
    torch.testing.assert_close(prior, torch.tensor([[0.7, 0.3], [0.4, 0.6]]))
    prior = optimal_log_prior(log_policies, visits, torch.tensor([0.25, 0.75])).exp()
    torch.testing.assert_close(prior[0], torch.tensor([0.5, 0.5]))


@pytest.mark.parametrize(("visits", "weights"), [(-1.0, 1.0), (1.0, 0.0)])
def test_optimal_log_prior_refuses_weights_that_are_none(visits, weights):
    log_policies = torch.full((2, 3, 4), 0.25).log()
    with pytest.raises(ValueError, match="visits must be >= 0 and task weights > 0"):
        optimal_log_prior(log_policies, torch.full((2, 3), visits), torch.full((2,), weights))


def test_density_kls_of_gaussians():
    points = torch.arange(-30.0, 30.0, 0.05, dtype=torch.float64)

    def log_normal(mean, deviation):
        return torch.distributions.Normal(mean, deviation).log_prob(points)

    forward, reverse = density_kls(log_normal(0.0, 1.0), log_normal(1.0, 2.0), 0.05)
    assert float(forward) == pytest.approx(math.log(2.0) + 2.0 / 8.0 - 0.5, abs=1e-7)
    assert float(reverse) == pytest.approx(-math.log(2.0) + 5.0 / 2.0 - 0.5, abs=1e-7)
    with pytest.raises(ValueError, match="width must be positive"):
        density_kls(log_normal(0.0, 1.0), log_normal(1.0, 2.0), 0.0)
