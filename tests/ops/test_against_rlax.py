"""The same inputs through rlax, whose functions take one trajectory or one transition."""

import numpy as np
import pytest
import torch

from rlcourse.ops import targets
from rlcourse.ops.kl import boltzmann_log_policy, categorical_kl

rlax = pytest.importorskip("rlax")

TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}


@pytest.fixture(params=[0, 1, 2])
def trajectory(request):
    rng = np.random.default_rng(request.param)
    reward = rng.normal(size=(9, 4)).astype(np.float32)
    discount = (0.97 * (rng.random((9, 4)) > 0.2)).astype(np.float32)
    value = rng.normal(size=(9, 4)).astype(np.float32)
    return reward, discount, value


@pytest.fixture(params=[0, 1, 2])
def transitions(request):
    rng = np.random.default_rng(request.param)
    q_tm1, q_t, selector = rng.normal(size=(3, 6, 5)).astype(np.float32)
    action = rng.integers(5, size=6)
    reward = rng.normal(size=6).astype(np.float32)
    discount = (0.97 * (rng.random(6) > 0.2)).astype(np.float32)
    return q_tm1, action, reward, discount, q_t, selector


def columns(function, *arrays):
    """Apply a function of [T] to each column of [T, B]."""
    return np.stack([function(*column) for column in zip(*(a.T for a in arrays), strict=True)], 1)


def tensors(*arrays):
    return [torch.from_numpy(array) for array in arrays]


def test_discounted_returns(trajectory):
    reward, discount, value = trajectory
    expected = columns(rlax.discounted_returns, reward, discount, value)
    r, d, v = tensors(*trajectory)
    np.testing.assert_allclose(targets.discounted_returns(r, d, v[-1]), expected, **TOLERANCE)


@pytest.mark.parametrize("n", [1, 2, 5, 9, 12])
def test_n_step_returns(trajectory, n):
    expected = columns(lambda *a: rlax.n_step_bootstrapped_returns(*a, n), *trajectory)
    actual = targets.n_step_returns(*tensors(*trajectory), n)
    np.testing.assert_allclose(actual, expected, **TOLERANCE)


@pytest.mark.parametrize("lambda_", [0.0, 0.5, 1.0])
def test_lambda_returns(trajectory, lambda_):
    expected = columns(lambda *a: rlax.lambda_returns(*a, lambda_), *trajectory)
    actual = targets.lambda_returns(*tensors(*trajectory), lambda_)
    np.testing.assert_allclose(actual, expected, **TOLERANCE)


def test_lambda_returns_with_a_lambda_per_step(trajectory):
    lambda_t = np.random.default_rng(7).random((9, 4)).astype(np.float32)
    expected = columns(rlax.lambda_returns, *trajectory, lambda_t)
    actual = targets.lambda_returns(*tensors(*trajectory), torch.from_numpy(lambda_t))
    np.testing.assert_allclose(actual, expected, **TOLERANCE)


def chosen(q_tm1, action):
    return q_tm1[np.arange(len(action)), action]


def test_q_learning(transitions):
    q_tm1, action, reward, discount, q_t, _ = transitions
    rows = zip(q_tm1, action, reward, discount, q_t, strict=True)
    errors = np.stack([rlax.q_learning(*row) for row in rows])
    target = targets.q_learning_target(*tensors(reward, discount, q_t)).numpy()
    np.testing.assert_allclose(target - chosen(q_tm1, action), errors, **TOLERANCE)


def test_double_q_learning(transitions):
    q_tm1, action, reward, discount, q_t, selector = transitions
    rows = zip(q_tm1, action, reward, discount, q_t, selector, strict=True)
    errors = np.stack([rlax.double_q_learning(*row) for row in rows])
    target = targets.double_q_learning_target(*tensors(reward, discount, q_t, selector)).numpy()
    np.testing.assert_allclose(target - chosen(q_tm1, action), errors, **TOLERANCE)


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
@pytest.mark.parametrize("alpha", [0.05, 0.5, 2.0])
def test_soft_q_learning(transitions, alpha):
    """rlax has no soft Q-learning; its expected Sarsa less the KL of its softmax policy is that."""
    q_tm1, action, reward, discount, q_t, prior_logits = transitions
    log_prior = torch.from_numpy(prior_logits).log_softmax(-1)
    tilted = log_prior.numpy() + q_t / alpha
    policy = np.stack([rlax.softmax(1.0).probs(logits) for logits in tilted])
    kl = np.stack(list(map(rlax.categorical_kl_divergence, tilted, log_prior.numpy())))
    taxed = reward - discount * alpha * kl
    rows = zip(q_tm1, action, taxed, discount, q_t, policy, strict=True)
    errors = np.stack([rlax.expected_sarsa(*row) for row in rows])
    target = targets.soft_q_learning_target(*tensors(reward, discount, q_t), log_prior, alpha)
    np.testing.assert_allclose(target.numpy() - chosen(q_tm1, action), errors, **TOLERANCE)
    log_policy = boltzmann_log_policy(torch.from_numpy(q_t), log_prior, alpha)
    np.testing.assert_allclose(log_policy.exp(), policy, **TOLERANCE)


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_categorical_kl(transitions):
    p_logits, _, _, _, q_logits, _ = transitions
    expected = np.stack(
        [rlax.categorical_kl_divergence(p, q) for p, q in zip(p_logits, q_logits, strict=True)]
    )
    log_p, log_q = (t.log_softmax(-1) for t in tensors(p_logits, q_logits))
    np.testing.assert_allclose(categorical_kl(log_p, log_q), expected, **TOLERANCE)
