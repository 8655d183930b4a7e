"""What must hold by theory of the answers to notebook 02; CheckFailed where it does not."""

import math

import torch
from torch import Tensor

from rlcourse.course.checks import inputs_02 as inputs
from rlcourse.course.compare import CheckFailed, assert_same
from rlcourse.klrl import distral_neural
from rlcourse.ops import kl, mixtures


def no_prior_is_cheaper(answer) -> None:
    """Gibbs' inequality, in every state: no change of the prior lowers the expected KL."""
    generator = torch.Generator().manual_seed(1)
    for log_policies, visits, task_weights in inputs.tasks_and_visits(generator):
        weights = task_weights[:, None] * visits

        def cost(log_prior: Tensor, policies=log_policies, weights=weights) -> float:
            return float((weights * kl.categorical_kl(policies, log_prior)).sum())

        log_prior = answer(log_policies, visits, task_weights)
        for _ in range(20):
            change = 0.3 * inputs.randn(generator, *log_prior.shape)
            if cost((log_prior + change).log_softmax(-1)) < cost(log_prior) - 1e-9:
                raise CheckFailed("another prior has a smaller expected KL, and none may")


def gaussians_by_formula(answer) -> None:
    """KL(N(0, 1) || N(1, 2^2)) = log 2 + 2 / 8 - 1 / 2, and the other way -log 2 + 5 / 2 - 1/2."""
    points = torch.arange(-30.0, 30.0, 0.05, dtype=torch.float64)
    forward, reverse = answer(
        inputs.log_normal(points, 0.0, 1.0), inputs.log_normal(points, 1.0, 2.0), 0.05
    )
    known = (math.log(2.0) - 0.25, 2.0 - math.log(2.0))
    assert_same(
        (forward, reverse),
        tuple(torch.tensor(value, dtype=torch.float64) for value in known),
        "the pair for N(0, 1) and N(1, 2²)",
    )


def value_bounds_and_limits(answer) -> None:
    generator = torch.Generator().manual_seed(2)
    q, log_prior = inputs.randn(generator, 5, 4), inputs.log_probs(generator, 5, 4)
    value, log_policy = answer(q, log_prior, 1.0, 2.0)
    assert_same(value, kl.soft_value(q, log_prior, 0.5), "with alpha = 1 and beta = 2, the value")
    assert_same(
        log_policy,
        kl.boltzmann_log_policy(q, log_prior, 0.5),
        "with alpha = 1 and beta = 2, the policy",
    )
    if bool((answer(q, log_prior, 0.0, 2.0)[1] - (2.0 * q).log_softmax(-1)).abs().max() > 1e-6):
        raise CheckFailed("with alpha = 0 the prior must not matter, and here it does")


def zero_task_logits_follow_the_prior(answer) -> None:
    prior_logits = torch.tensor([[2.0, 0.0, -1.0]], dtype=torch.float64)
    log_policy, log_prior = answer(torch.zeros_like(prior_logits), prior_logits, 1.0, 3.0, True)
    assert_same(log_policy, log_prior, "with f = 0 and alpha = 1, the policy (it is the prior)")


def both_columns_learn_from_the_policy(answer) -> None:
    """log pi_i has the reference's gradient in f_i, and in h_0, where it is 0 for one column."""
    generator = torch.Generator().manual_seed(5)
    for task_logits, prior_logits, alpha, beta, two_columns in inputs.logits(generator):
        columns = (task_logits, prior_logits)
        weights = inputs.randn(generator, *task_logits.shape)

        def gradients(function, columns=columns, weights=weights, rest=(alpha, beta, two_columns)):
            loss = (weights * function(*columns, *rest)[0]).sum()
            return torch.autograd.grad(loss, columns, allow_unused=True, materialize_grads=True)

        found = gradients(answer)
        for gradient, name, column in zip(found, ("f_i", "h_0"), ("task", "prior"), strict=True):
            if (two_columns or name == "f_i") and not bool(gradient.any()):
                raise CheckFailed(
                    f"the {column}'s column gets no gradient through log pi_i: remove the "
                    f".detach(), {name} learns from what the policy does"
                )
        expected = gradients(distral_neural.column_log_policies)
        assert_same(found, expected, "the pair of gradients of log pi_i, in f_i and in h_0,")


def autograd_agrees(answer) -> None:
    """The regularizer of the package, summed over samples and differentiated automatically."""
    generator = torch.Generator().manual_seed(3)
    for prior_logits, states, log_policy, alpha, beta in inputs.samples(generator):
        leaf = prior_logits.clone().requires_grad_()
        log_prior = leaf.log_softmax(-1)[states]
        distral_neural.regularizer(log_policy, log_prior, alpha, beta).sum().backward()
        found = answer(prior_logits, states, log_policy, alpha, beta)
        assert_same(found, leaf.grad, "compared with automatic differentiation, the gradient")


def the_mixture_stands_still(answer) -> None:
    """The prior of exercise 02.optimal_prior is the fixed point, visits being the samples."""
    generator = torch.Generator().manual_seed(4)
    log_policies, counts = (
        inputs.log_probs(generator, 2, 1, 3),
        torch.tensor([[3.0], [1.0]]).double(),
    )
    prior = mixtures.optimal_log_prior(log_policies, counts, torch.ones(2).double())
    rows = torch.cat([log_policies[0].expand(3, -1), log_policies[1]])
    step = answer(prior, torch.zeros(4, dtype=torch.int64), rows, 0.5, 5.0)
    if float(step.abs().max()) > 1e-6:
        raise CheckFailed("at the mixture of the policies the gradient must be 0, and it is not")
