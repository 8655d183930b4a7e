"""What the checks of notebook 03 feed an answer, and what must hold of it by theory."""

from collections.abc import Iterator

import torch

from rlcourse.course.compare import CheckFailed
from rlcourse.course.grading import Case
from rlcourse.ops import dual


def pre_tanh_samples(generator: torch.Generator) -> Iterator[Case]:
    for shape, spread in (((4, 2), 1.0), ((3, 5, 2), 1.0), ((4, 2), 12.0)):
        mean, noise = (torch.randn(*shape, generator=generator) for _ in range(2))
        std = 0.2 + torch.rand(*shape, generator=generator)
        yield mean + spread * std * noise, mean, std
    far = torch.tensor([[30.0, -30.0], [0.3, 15.0]])  # tanh rounds to 1 and -1
    yield far, torch.zeros(2, 2), torch.tensor([[10.0, 10.0], [0.5, 5.0]])


def one_steps(generator: torch.Generator) -> Iterator[Case]:
    for temperature in (0.1, 1.0):
        discount = torch.tensor([0.9, 0.0, 0.9, 0.9])
        reward, log_prob = torch.randn(2, 4, generator=generator)
        next_q = torch.randn(2, 4, generator=generator)
        yield reward, discount, next_q, log_prob, temperature


def policy_batches(generator: torch.Generator) -> Iterator[Case]:
    for temperature in (0.1, 2.0):
        q = torch.randn(2, 5, generator=generator).requires_grad_()
        log_prob = torch.randn(5, generator=generator).requires_grad_()
        yield q, log_prob, temperature


def sampled_values(generator: torch.Generator) -> Iterator[Case]:
    for shape, temperature in (((20, 4), 0.5), ((6, 3), 2.0), ((5, 5), 0.1)):
        q = torch.randn(*shape, generator=generator)
        yield q, torch.tensor(temperature, requires_grad=True)
    far_apart = 3000.0 * torch.randn(8, 3, generator=generator)  # exp(Q / eta) overflows
    yield far_apart, torch.tensor(0.1, requires_grad=True)


def sampled_values_and_bound(generator: torch.Generator) -> Iterator[Case]:
    for case, epsilon in zip(sampled_values(generator), (0.1, 0.5, 1.0, 0.1), strict=True):
        yield *case, epsilon


def trajectories(generator: torch.Generator) -> Iterator[Case]:
    for shape, trace_decay in (((5, 3), 0.9), ((4,), 1.0), ((7, 2), 0.5), ((1, 2), 1.0)):
        q, next_value, reward, log_rho = (torch.randn(*shape, generator=generator) for _ in "1234")
        discount = 0.95 * (torch.rand(*shape, generator=generator) > 0.15)
        yield q, next_value, reward, discount, log_rho, trace_decay


def svg_terms(generator: torch.Generator) -> Iterator[Case]:
    for shape, weights in (((4, 3), (0.5, 0.1)), ((2, 5), (0.1, 1.0)), ((3, 3), (0.3, 0.0))):
        terms = (torch.randn(*shape, generator=generator).requires_grad_() for _ in "123")
        yield *terms, *weights


def squashed_density_is_normalized(answer) -> None:
    edge = torch.linspace(-12.0, 12.0, 4801, dtype=torch.float64)[:, None]
    mean, std = torch.full_like(edge, 0.4), torch.full_like(edge, 1.3)
    density = answer(edge, mean, std).exp()
    total = float(torch.trapezoid(density, edge.tanh().squeeze(-1)))
    if not abs(total - 1.0) < 1e-3:
        raise CheckFailed(
            f"the density of the action must integrate to 1 over (-1, 1), here to {total:.4g}"
        )


def loss_pulls_the_right_way(answer) -> None:
    """d loss / d Q reaches the smaller critic only; d loss / d log pi is alpha / B."""
    q = torch.tensor([[1.0, 0.0], [0.0, 2.0]], requires_grad=True)
    log_prob = torch.zeros(2, requires_grad=True)
    loss = answer(q, log_prob, 0.5)
    to_q, to_log_prob = torch.autograd.grad(loss, (q, log_prob), allow_unused=True)
    if to_log_prob is None:
        raise CheckFailed(
            "no gradient reaches log_prob: the entropy is part of what the policy maximizes, "
            "do not detach it"
        )
    if to_q is None:
        raise CheckFailed("no gradient reaches Q: it is how the policy learns which way is up")
    if not torch.allclose(to_q, torch.tensor([[0.0, -0.5], [-0.5, 0.0]])):
        raise CheckFailed("the gradient must reach the smaller of the two critics, and no other")


def weights_sum_to_one(answer) -> None:
    weights = answer(torch.tensor([[1.0, 2.0], [0.0, 5.0], [3.0, 2.0]]), torch.tensor(0.7))
    total = weights.sum(0)
    if not torch.allclose(total, torch.ones(2), atol=1e-5):
        raise CheckFailed(
            "the weights of a state's samples must sum to 1, here they sum to "
            f"{[round(float(x), 3) for x in total]}"
        )


def dual_is_least_where_the_bound_binds(answer) -> None:
    """Theory: g'(eta) = epsilon - KL(weights || uniform)."""
    q = torch.tensor([[0.0], [0.5], [2.0], [1.0]], dtype=torch.float64)
    for temperature in (0.3, 1.0, 3.0):
        eta = torch.tensor(temperature, dtype=torch.float64, requires_grad=True)
        (slope,) = torch.autograd.grad(answer(q, eta, 0.1).sum(), eta)
        expected = 0.1 - dual.sample_kl(dual.sample_weights(q, temperature)).sum()
        if not torch.allclose(slope, expected, atol=1e-6):
            raise CheckFailed(
                f"its slope in the temperature must be epsilon - KL = {float(expected):.4f}, "
                f"here it is {float(slope):.4f}"
            )


def on_policy_retrace_is_the_return(answer) -> None:
    """With ratio 1 and lambda 1 the target is the n-step return, whatever Q says."""
    generator = torch.Generator().manual_seed(3)
    reward, q = torch.randn(2, 5, generator=generator)
    value = torch.cat([q[1:], torch.tensor([0.7])])  # V = Q of the action taken
    discount = torch.full((5,), 0.9)
    got = answer(q, value, reward, discount, torch.zeros(5), 1.0)
    wanted = sum(0.9**t * reward[t] for t in range(5)) + 0.9**5 * 0.7
    if not torch.isclose(got[0], wanted, atol=1e-5):
        raise CheckFailed(
            "on-policy and with lambda = 1 the first target must be the discounted return, "
            f"{float(wanted):.4f}, here it is {float(got[0]):.4f}"
        )
