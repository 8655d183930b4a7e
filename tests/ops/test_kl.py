import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlcourse.ops.kl import (
    boltzmann_log_policy,
    categorical_kl,
    entropy,
    soft_value,
)
from tests.oracles import slow_kl

INF = math.inf


def logs(*probabilities, dtype=torch.float64):
    return torch.tensor(probabilities, dtype=dtype).log()


@st.composite
def distributions(draw, count=1, zeros=False):
    """`count` lists of probabilities over the same 2 to 6 actions, and the number of actions."""
    num_actions = draw(st.integers(2, 6))
    weight = st.floats(0.01, 1.0)
    if zeros:
        weight = st.just(0.0) | weight
    weights = st.lists(weight, min_size=num_actions, max_size=num_actions).filter(any)
    drawn = [draw(weights) for _ in range(count)]
    values = st.lists(st.floats(-5, 5), min_size=num_actions, max_size=num_actions)
    return [[w / sum(ws) for w in ws] for ws in drawn], draw(values)


class TestCategoricalKl:
    def test_by_hand(self):
        # 3/4 ln((3/4)/(1/2)) + 1/4 ln((1/4)/(1/2)) = 3/4 ln 1.5 - 1/4 ln 2
        expected = 0.75 * math.log(1.5) - 0.25 * math.log(2.0)
        kl = categorical_kl(logs(0.75, 0.25), logs(0.5, 0.5))
        assert kl.item() == pytest.approx(expected, abs=1e-12)

    def test_is_not_symmetric(self):
        p, q = logs(0.9, 0.1), logs(0.5, 0.5)
        assert categorical_kl(p, q).item() == pytest.approx(0.3680642, abs=1e-6)
        assert categorical_kl(q, p).item() == pytest.approx(0.5108256, abs=1e-6)

    def test_zero_mass_counts_nothing_and_missing_mass_is_infinite(self):
        p, q = logs(1.0, 0.0), logs(0.5, 0.5)
        assert categorical_kl(p, q).item() == pytest.approx(math.log(2.0))
        assert categorical_kl(q, p).item() == INF
        assert categorical_kl(p, p).item() == 0.0

    def test_batched_and_broadcast(self):
        p = torch.stack([logs(0.9, 0.1), logs(0.5, 0.5)])[None].expand(3, 2, 2)
        kl = categorical_kl(p, logs(0.5, 0.5))
        assert kl.shape == (3, 2)
        assert kl[2, 1].item() == 0.0

    @given(distributions(count=2, zeros=True))
    def test_matches_the_slow_loop(self, drawn):
        (p, q), _ = drawn
        expected = slow_kl.kl(p, q)
        assert categorical_kl(logs(*p), logs(*q)).item() == pytest.approx(expected, abs=1e-9)

    @given(distributions(count=2))
    def test_is_positive_and_zero_only_for_equals(self, drawn):
        (p, q), _ = drawn
        kl = categorical_kl(logs(*p), logs(*q)).item()
        distance = max(abs(a - b) for a, b in zip(p, q, strict=True))
        # Pinsker: KL >= 2 TV^2 >= distance^2 / 2
        assert kl >= distance**2 / 2 - 1e-12
        assert categorical_kl(logs(*p), logs(*p)).item() == 0.0

    @given(distributions(count=2, zeros=True))
    def test_gradients_are_finite(self, drawn):
        (p, q), _ = drawn
        log_p, log_q = logs(*p).requires_grad_(), logs(*q).requires_grad_()
        categorical_kl(log_p, log_q).backward()
        assert torch.isfinite(log_p.grad).all()
        assert torch.isfinite(log_q.grad).all()

    def test_gradient_by_hand(self):
        # d/dlog q(a) = -p(a); d/dlog p(a) = p(a) (log p(a) - log q(a) + 1)
        log_p, log_q = logs(0.75, 0.25).requires_grad_(), logs(0.5, 0.5).requires_grad_()
        categorical_kl(log_p, log_q).backward()
        torch.testing.assert_close(log_q.grad, -log_p.exp())
        p, q = log_p.exp().detach(), log_q.exp().detach()
        torch.testing.assert_close(log_p.grad, p * ((p / q).log() + 1))

    def test_nan_stays_visible(self):
        assert categorical_kl(logs(0.5, math.nan), logs(0.5, 0.5)).isnan()
        assert categorical_kl(logs(0.5, 0.5), logs(0.5, math.nan)).isnan()

    @pytest.mark.usefixtures("without_type_checks")
    def test_wrong_shapes(self):
        with pytest.raises(ValueError, match=r"last axis \(actions\) must agree.*\[2\].*\[3\]"):
            categorical_kl(torch.zeros(2), torch.zeros(3))
        with pytest.raises(ValueError, match="do not broadcast"):
            categorical_kl(torch.zeros(4, 2), torch.zeros(3, 2))
        with pytest.raises(ValueError, match="action axis is missing"):
            categorical_kl(torch.zeros(()), torch.zeros(()))


class TestEntropy:
    def test_by_hand(self):
        assert entropy(logs(0.25, 0.25, 0.25, 0.25)).item() == pytest.approx(math.log(4))
        assert entropy(logs(1.0, 0.0)).item() == 0.0

    @given(distributions(zeros=True))
    def test_is_log_a_minus_kl_to_uniform(self, drawn):
        (p,), _ = drawn
        log_p = logs(*p).requires_grad_()
        uniform = logs(*[1 / len(p)] * len(p))
        h = entropy(log_p)
        assert h.item() == pytest.approx(
            math.log(len(p)) - categorical_kl(log_p, uniform).item(), abs=1e-9
        )
        h.backward()
        assert torch.isfinite(log_p.grad).all()


class TestSoftValue:
    def test_by_hand(self):
        # alpha = 1, pi_0 = (1/2, 1/2), Q = (0, ln 3): V = ln((1 + 3) / 2) = ln 2, pi* = (1/4, 3/4)
        q = torch.tensor([0.0, math.log(3.0)], dtype=torch.float64)
        assert soft_value(q, logs(0.5, 0.5), 1.0).item() == pytest.approx(math.log(2.0))
        torch.testing.assert_close(boltzmann_log_policy(q, logs(0.5, 0.5), 1.0), logs(0.25, 0.75))

    @given(distributions(zeros=True), st.floats(0.05, 20.0))
    def test_matches_the_slow_loop(self, drawn, alpha):
        (prior,), values = drawn
        q = torch.tensor(values, dtype=torch.float64)
        expected = slow_kl.soft_value(values, prior, alpha)
        assert soft_value(q, logs(*prior), alpha).item() == pytest.approx(expected, abs=1e-6)
        policy = boltzmann_log_policy(q, logs(*prior), alpha).exp()
        assert policy.tolist() == pytest.approx(
            slow_kl.boltzmann_policy(values, prior, alpha), abs=1e-6
        )

    @given(distributions(zeros=True), st.floats(1e-3, 1e3))
    def test_lies_between_the_priors_mean_and_the_supported_maximum(self, drawn, alpha):
        (prior,), values = drawn
        value = soft_value(torch.tensor(values, dtype=torch.float64), logs(*prior), alpha).item()
        mean = sum(p * v for p, v in zip(prior, values, strict=True))
        best = max(v for p, v in zip(prior, values, strict=True) if p > 0)
        assert mean - 1e-9 <= value <= best + 1e-9

    @given(distributions(count=2, zeros=True), st.floats(0.05, 20.0))
    def test_is_the_maximum_of_the_objective(self, drawn, alpha):
        (prior, other), values = drawn
        q, log_prior = torch.tensor(values, dtype=torch.float64), logs(*prior)

        def objective(log_policy):
            return (log_policy.exp() * q).sum() - alpha * categorical_kl(log_policy, log_prior)

        value = soft_value(q, log_prior, alpha)
        policy = boltzmann_log_policy(q, log_prior, alpha)
        torch.testing.assert_close(objective(policy), value, atol=1e-8, rtol=1e-8)
        assert objective(logs(*other)) <= value + 1e-9

    def test_limits_of_alpha(self):
        q = torch.tensor([1.0, 2.0, 9.0], dtype=torch.float64)
        log_prior = logs(0.25, 0.75, 0.0)
        assert soft_value(q, log_prior, 1e-9).item() == pytest.approx(2.0, abs=1e-7)
        assert soft_value(q, log_prior, 1e6).item() == pytest.approx(1.75, abs=1e-5)
        greedy = boltzmann_log_policy(q, log_prior, 1e-9).exp()
        torch.testing.assert_close(greedy, torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64))
        indifferent = boltzmann_log_policy(q, log_prior, 1e9)
        torch.testing.assert_close(indifferent, log_prior)

    def test_policy_is_normalized_and_keeps_the_support(self, generator):
        q = torch.randn(5, 4, generator=generator)
        log_prior = logs(0.5, 0.5, 0.0, 0.0, dtype=torch.float32)
        policy = boltzmann_log_policy(q, log_prior, 0.1)
        torch.testing.assert_close(policy.exp().sum(-1), torch.ones(5))
        assert (policy[:, 2:] == -INF).all()

    def test_uniform_prior_is_entropy_regularization_up_to_a_constant(self, generator):
        q, alpha = torch.randn(6, 4, generator=generator, dtype=torch.float64), 0.3
        uniform = logs(*[0.25] * 4)
        with_entropy = alpha * (q / alpha).logsumexp(-1)
        torch.testing.assert_close(
            soft_value(q, uniform, alpha), with_entropy - alpha * math.log(4)
        )

    def test_large_values_and_small_alpha_lose_no_precision(self):
        q = torch.tensor([10_000.0, 10_000.001953125, 3e38])  # exact in float32
        log_prior = logs(0.5, 0.5, 0.0, dtype=torch.float32)
        policy = boltzmann_log_policy(q, log_prior, 0.001953125)
        assert policy.exp()[1].item() == pytest.approx(1 / (1 + math.exp(-1)), abs=1e-5)
        assert soft_value(q, log_prior, 1e-38).item() == pytest.approx(10_000.001953125)

    def test_gradient_is_the_policy(self, generator):
        q = torch.randn(3, 4, generator=generator, dtype=torch.float64, requires_grad=True)
        log_prior = logs(0.2, 0.3, 0.5, 0.0)
        soft_value(q, log_prior, 0.4).sum().backward()
        torch.testing.assert_close(q.grad, boltzmann_log_policy(q, log_prior, 0.4).exp())

    def test_gradcheck(self, generator):
        q = torch.randn(3, 4, generator=generator, dtype=torch.float64, requires_grad=True)
        prior = torch.randn(4, generator=generator, dtype=torch.float64, requires_grad=True)
        alpha = torch.tensor([0.3, 1.0, 2.0], dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(
            lambda q, w, a: soft_value(q, w.log_softmax(-1), a), (q, prior, alpha)
        )
        assert torch.autograd.gradcheck(
            lambda q, w, a: boltzmann_log_policy(q, w.log_softmax(-1), a), (q, prior, alpha)
        )

    def test_a_tensor_of_alphas(self):
        q = torch.tensor([[0.0, 1.0]]).expand(3, 2)
        alphas = torch.tensor([0.1, 1.0, 10.0])
        together = soft_value(q, logs(0.5, 0.5, dtype=torch.float32), alphas)
        one_by_one = [
            soft_value(q[0], logs(0.5, 0.5, dtype=torch.float32), a) for a in alphas.tolist()
        ]
        torch.testing.assert_close(together, torch.stack(one_by_one))
        # alpha [M, 1] against q [M, S, A]
        wide = soft_value(q[:, None].expand(3, 5, 2), torch.zeros(2), alphas[:, None])
        assert wide.shape == (3, 5)

    @pytest.mark.parametrize("alpha", [0.0, -1.0, math.nan, INF])
    def test_invalid_alpha(self, alpha):
        q, log_prior = torch.zeros(2, 2), logs(0.5, 0.5, dtype=torch.float32)
        message = f"alpha must be finite and > 0: got {alpha}"
        with pytest.raises(ValueError, match=message):
            soft_value(q, log_prior, alpha)
        with pytest.raises(ValueError, match=message):
            boltzmann_log_policy(q, log_prior, torch.tensor([1.0, alpha]))

    def test_alpha_of_a_wrong_shape(self):
        with pytest.raises(ValueError, match=r"broadcast to \[4\].*got shape \[3\]"):
            soft_value(torch.zeros(4, 2), torch.zeros(2), torch.ones(3))
        with pytest.raises(ValueError, match=r"broadcast to \[4\].*got shape \[4, 2\]"):
            soft_value(torch.zeros(4, 2), torch.zeros(2), torch.ones(4, 2))

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_dtype_is_kept(self, dtype):
        q, log_prior = torch.zeros(3, 2, dtype=dtype), logs(0.5, 0.5, dtype=dtype)
        alpha = torch.tensor(0.5, dtype=torch.float64)
        assert soft_value(q, log_prior, alpha).dtype == dtype
        assert boltzmann_log_policy(q, log_prior, 1).dtype == dtype
        assert categorical_kl(log_prior, log_prior).dtype == dtype
        assert entropy(log_prior).dtype == dtype
