import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlcourse.ops.distributions import (
    Categorical,
    DiagonalGaussian,
    SquashedGaussian,
    masked_log_softmax,
)
from tests.oracles import slow_gaussian

INF = math.inf


def row(*values, dtype=torch.float64):
    return torch.tensor(values, dtype=dtype)


def gaussian(seed, batch=(4,), dim=3, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    mean, log_std = torch.randn(2, *batch, dim, generator=generator, dtype=torch.float64).to(dtype)
    return DiagonalGaussian(mean, (0.5 * log_std).exp())


class TestDiagonalGaussian:
    def test_log_prob_by_hand(self):
        # N(0; 0, 1) N(3; 1, 2) = (1 / sqrt(2 pi)) (1 / (2 sqrt(2 pi))) exp(-1/2)
        policy = DiagonalGaussian(row(0.0, 1.0), row(1.0, 2.0))
        expected = -math.log(2 * math.pi) - math.log(2.0) - 0.5
        assert policy.log_prob(row(0.0, 3.0)).item() == pytest.approx(expected)

    @given(st.floats(-3, 3), st.floats(-1, 1), st.floats(0.1, 3))
    def test_log_prob_matches_the_slow_density(self, x, mean, std):
        expected = math.log(slow_gaussian.normal_density(x, mean, std))
        log_prob = DiagonalGaussian(row(mean), row(std)).log_prob(row(x))
        assert log_prob.item() == pytest.approx(expected, abs=1e-9)

    def test_entropy_and_kl_match_torch(self):
        p, q = gaussian(0), gaussian(1)
        torch_p, torch_q = (torch.distributions.Normal(d.mean, d.std) for d in (p, q))
        torch.testing.assert_close(p.entropy(), torch_p.entropy().sum(-1))
        expected = torch.distributions.kl_divergence(torch_p, torch_q).sum(-1)
        torch.testing.assert_close(p.kl(q), expected)

    def test_samples_have_the_moments(self, generator):
        policy = gaussian(0)
        actions = policy.sample(generator, (40_000,))
        torch.testing.assert_close(actions.mean(0), policy.mean, atol=0.06, rtol=0)
        torch.testing.assert_close(actions.std(0), policy.std, atol=0.0, rtol=0.03)

    def test_rsample_carries_the_gradient_and_sample_does_not(self, generator):
        mean, std = row(0.5, -0.5).requires_grad_(), row(1.0, 2.0).requires_grad_()
        policy = DiagonalGaussian(mean, std)
        action = policy.rsample(generator, (5,))
        action.sum().backward()
        assert mean.grad.tolist() == [5.0, 5.0]
        noise = ((action - mean) / std).detach()
        torch.testing.assert_close(std.grad, noise.sum(0))
        assert not policy.sample(generator).requires_grad
        assert not policy.detach().log_prob(action.detach()).requires_grad


class TestSquashedGaussian:
    def test_log_prob_by_hand(self):
        # a = 1/2: x = atanh(1/2) = ln(3) / 2, and dx/da = 1 / (1 - 1/4)
        policy = SquashedGaussian(DiagonalGaussian(row(0.0), row(1.0)))
        x = 0.5 * math.log(3.0)
        expected = -0.5 * x**2 - 0.5 * math.log(2 * math.pi) + math.log(4 / 3)
        assert policy.log_prob(row(0.5)).item() == pytest.approx(expected)
        assert policy.log_prob_from_pre_tanh(row(x)).item() == pytest.approx(expected)

    @given(st.floats(-1.5, 1.5), st.floats(0.1, 1.2))
    def test_integrates_to_one(self, mean, std):
        policy = SquashedGaussian(DiagonalGaussian(row(mean), row(std)))
        # Nodes dense at the ends, where a wide Gaussian piles up: a = tanh(u) on a plain grid of u.
        u = torch.linspace(-14, 14, 20_001, dtype=torch.float64)
        action = u.tanh()
        density = policy.log_prob(action[:, None]).exp()
        assert torch.trapezoid(density, action).item() == pytest.approx(1.0, abs=1e-3)

    @given(st.integers(0, 10_000))
    def test_matches_change_of_variables_by_autograd(self, seed):
        base = gaussian(seed, ())
        x = base.sample(torch.Generator().manual_seed(seed))
        jacobian = torch.autograd.functional.jacobian(torch.tanh, x)
        expected = base.log_prob(x) - torch.linalg.slogdet(jacobian).logabsdet
        policy = SquashedGaussian(base)
        torch.testing.assert_close(policy.log_prob_from_pre_tanh(x), expected)
        torch.testing.assert_close(policy.log_prob(x.tanh()), expected)

    def test_matches_torch(self):
        base = gaussian(0)
        squashed = torch.distributions.TransformedDistribution(
            torch.distributions.Normal(base.mean, base.std),
            torch.distributions.transforms.TanhTransform(),
        )
        action = torch.linspace(-0.9, 0.9, 12, dtype=torch.float64).reshape(4, 3)
        expected = squashed.log_prob(action).sum(-1)
        torch.testing.assert_close(SquashedGaussian(base).log_prob(action), expected)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("x", [-300.0, -30.0, 15.0, 1000.0])
    def test_log_prob_from_pre_tanh_is_exact_where_tanh_is_one(self, x, dtype):
        policy = SquashedGaussian(DiagonalGaussian(row(x, dtype=dtype), row(1.0, dtype=dtype)))
        pre_tanh = row(x, dtype=dtype).requires_grad_()
        log_prob = policy.log_prob_from_pre_tanh(pre_tanh)
        # log(1 - tanh^2) is 2 log 2 - 2 |x| there
        expected = -0.5 * math.log(2 * math.pi) - 2 * math.log(2.0) + 2 * abs(x)
        assert log_prob.item() == pytest.approx(expected, rel=1e-5)
        (slope,) = torch.autograd.grad(log_prob.sum(), pre_tanh)
        assert slope.item() == pytest.approx(math.copysign(2.0, x), rel=1e-5)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_log_prob_at_and_beyond_the_ends(self, dtype):
        mean = torch.zeros(2, dtype=dtype).requires_grad_()
        policy = SquashedGaussian(DiagonalGaussian(mean, torch.ones(2, dtype=dtype)))
        action = torch.tensor([[1.0, -1.0], [0.0, 1.1], [-2.0, 0.0], [0.5, 0.5]], dtype=dtype)
        log_prob = policy.log_prob(action)
        assert log_prob.isfinite().tolist() == [True, False, False, True]
        assert log_prob[1].item() == -INF
        neighbor = torch.nextafter(torch.ones(2, dtype=dtype), torch.zeros(2, dtype=dtype))
        assert neighbor[0].item() < 1
        at_neighbor = policy.log_prob_from_pre_tanh((neighbor * action[0]).atanh())
        assert log_prob[0] == at_neighbor
        log_prob[[0, 3]].sum().backward()
        assert mean.grad.isfinite().all()
        assert mean.grad.abs().max() > 0

    def test_sample_with_its_log_prob(self, generator):
        policy = SquashedGaussian(gaussian(0))
        action, log_prob = policy.rsample_with_log_prob(generator, (7,))
        assert action.shape == (7, 4, 3)
        assert action.abs().max() < 1
        torch.testing.assert_close(policy.log_prob(action), log_prob)

    def test_gradient_through_the_sample(self):
        """d/dmean of E[-log p], by autograd and by differences of the same noise."""

        def negative_entropy(mean, std):
            policy = SquashedGaussian(DiagonalGaussian(mean, std))
            return policy.rsample_with_log_prob(torch.Generator().manual_seed(0), (5,))[1].mean()

        parameters = (row(0.3, -0.8).requires_grad_(), row(0.5, 1.5).requires_grad_())
        assert torch.autograd.gradcheck(negative_entropy, parameters)

    def test_kl_is_that_of_the_gaussians(self, generator):
        p, q = SquashedGaussian(gaussian(0)), SquashedGaussian(gaussian(1))
        torch.testing.assert_close(p.kl(q), p.base.kl(q.base))
        action, log_p = p.rsample_with_log_prob(generator, (100_000,))
        estimate = (log_p - q.log_prob(action)).mean(0)
        torch.testing.assert_close(estimate, p.kl(q), atol=0.03, rtol=0.03)

    def test_mode_and_detach(self):
        mean = row(0.0, 2.0).requires_grad_()
        policy = SquashedGaussian(DiagonalGaussian(mean, row(1.0, 1.0)))
        torch.testing.assert_close(policy.mode, row(0.0, math.tanh(2.0)))
        assert policy.mode.requires_grad
        assert not policy.detach().mode.requires_grad

    @pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
    def test_against_rlax(self):
        """rlax squashes its parameters first; the same squashing here gives the same numbers."""
        rlax = pytest.importorskip("rlax")
        raw_mean, raw_std, other_mean, other_std = np.random.default_rng(0).normal(size=(4, 6, 3))
        action = np.linspace(-0.95, 0.95, 18).reshape(6, 3)
        arrays = (raw_mean, raw_std, other_mean, other_std, action)
        raw_mean, raw_std, other_mean, other_std, action = (a.astype(np.float32) for a in arrays)
        theirs = rlax.squashed_gaussian(sigma_min=-4, sigma_max=0.0)

        def ours(mean, std):
            mean, std = torch.from_numpy(mean), torch.from_numpy(std)
            return SquashedGaussian(
                DiagonalGaussian(mean.tanh(), (-4 + 2 * (std.tanh() + 1)).exp())
            )

        policy, other = ours(raw_mean, raw_std), ours(other_mean, other_std)
        np.testing.assert_allclose(
            policy.log_prob(torch.from_numpy(action)),
            theirs.logprob(action, raw_mean, raw_std, None),
            rtol=1e-5,
        )
        np.testing.assert_allclose(
            policy.kl(other), theirs.kl(raw_mean, raw_std, other_mean, other_std), rtol=1e-5
        )
        np.testing.assert_allclose(
            policy.base.entropy(), theirs.entropy(raw_mean, raw_std), rtol=1e-5, atol=1e-5
        )


class TestCategorical:
    policy = Categorical(row(0.5, 0.25, 0.25, 0.0).log())

    def test_by_hand(self):
        assert self.policy.log_prob(torch.tensor(1)).item() == pytest.approx(math.log(0.25))
        assert self.policy.log_prob(torch.tensor(3)).item() == -INF
        assert self.policy.entropy().item() == pytest.approx(1.5 * math.log(2.0))
        uniform = Categorical(torch.full((4,), 0.25, dtype=torch.float64).log())
        assert self.policy.kl(uniform).item() == pytest.approx(0.5 * math.log(2.0))
        assert uniform.kl(self.policy).item() == INF
        assert self.policy.mode.item() == 0

    def test_samples_have_the_frequencies(self, generator):
        actions = self.policy.sample(generator, (20_000,))
        frequency = actions.bincount(minlength=4) / 20_000
        torch.testing.assert_close(frequency.double(), self.policy.log_p.exp(), atol=0.02, rtol=0)
        assert frequency[3].item() == 0.0

    def test_shapes(self, generator):
        log_p = torch.randn(5, 2, 3, generator=generator).log_softmax(-1)
        policy = Categorical(log_p)
        assert policy.sample(generator).shape == (5, 2)
        actions = policy.sample(generator, (7, 4))
        assert actions.shape == (7, 4, 5, 2)
        log_prob = policy.log_prob(actions)
        assert log_prob.shape == (7, 4, 5, 2)
        assert log_prob[6, 1, 3, 0] == log_p[3, 0, actions[6, 1, 3, 0]]

    def test_each_state_draws_from_its_own_row(self, generator):
        certain = masked_log_softmax(torch.zeros(3, 3), torch.eye(3, dtype=torch.bool))
        actions = Categorical(certain).sample(generator, (9,))
        assert actions.tolist() == [[0, 1, 2]] * 9


class TestMaskedLogSoftmax:
    def test_by_hand(self):
        allowed = torch.tensor([True, False, True])
        log_p = masked_log_softmax(row(0.0, 50.0, math.log(3.0)), allowed)
        torch.testing.assert_close(log_p, row(0.25, 0.0, 0.75).log())

    @given(st.integers(0, 10_000))
    def test_is_the_softmax_over_what_is_allowed(self, seed):
        generator = torch.Generator().manual_seed(seed)
        logits = torch.randn(4, 6, generator=generator, dtype=torch.float64)
        allowed = torch.rand(4, 6, generator=generator) < 0.5
        allowed[:, 0] = True
        log_p = masked_log_softmax(logits, allowed)
        for b in range(4):
            expected = logits[b][allowed[b]].log_softmax(-1)
            torch.testing.assert_close(log_p[b][allowed[b]], expected)
            assert (log_p[b][~allowed[b]] == -INF).all()

    def test_gradients_are_finite(self):
        logits = row(0.0, INF, 1.0).requires_grad_()
        log_p = masked_log_softmax(logits, torch.tensor([True, False, True]))
        (Categorical(log_p).entropy() + log_p[0]).backward()
        assert logits.grad.isfinite().all()
        assert logits.grad[1].item() == 0.0

    @pytest.mark.usefixtures("without_type_checks")
    def test_wrong_masks(self):
        allowed = torch.tensor([[True, False], [False, False]])
        with pytest.raises(ValueError, match="1 of 2 have none"):
            masked_log_softmax(torch.zeros(2, 2), allowed)
        with pytest.raises(ValueError, match=r"last axis.*got \[2, 3\] and \[2, 2\]"):
            masked_log_softmax(torch.zeros(2, 3), allowed)


KINDS = {
    "gaussian": lambda dtype: gaussian(0, dtype=dtype),
    "squashed": lambda dtype: SquashedGaussian(gaussian(0, dtype=dtype)),
    "categorical": lambda dtype: Categorical(gaussian(0, dtype=dtype).mean.log_softmax(-1)),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_generator_gives_one_sample_and_dtypes_are_kept(kind, dtype):
    policy = KINDS[kind](dtype)
    before = torch.get_rng_state()
    first, second = (policy.sample(torch.Generator().manual_seed(3), (2,)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), before)
    assert policy.log_prob(first).shape == (2, 4)
    assert policy.log_prob(first).dtype == policy.kl(policy).dtype == dtype
    torch.testing.assert_close(policy.kl(policy), torch.zeros(4, dtype=dtype))


@pytest.mark.usefixtures("without_type_checks")
def test_wrong_shapes():
    with pytest.raises(ValueError, match=r"one shape.*got \[2\] and \[3\]"):
        DiagonalGaussian(torch.zeros(2), torch.ones(3))
    policy = DiagonalGaussian(torch.zeros(2), torch.ones(2))
    for kind in (policy, SquashedGaussian(policy)):
        with pytest.raises(ValueError, match=r"2 dimensions on the last axis: got shape \[4, 1\]"):
            kind.log_prob(torch.zeros(4, 1))


def test_generator_on_another_device():
    policy = DiagonalGaussian(torch.zeros(2, device="meta"), torch.ones(2, device="meta"))
    with pytest.raises(ValueError, match=r"generator is on cpu and the distribution on meta"):
        policy.sample(torch.Generator())
