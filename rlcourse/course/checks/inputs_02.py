"""The random inputs on which notebook 02's answers are compared with the package."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from rlcourse.course.grading import Case


def randn(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def log_probs(generator: torch.Generator, *shape: int) -> Tensor:
    return randn(generator, *shape).log_softmax(-1)


def tasks_and_visits(generator: torch.Generator) -> Iterator[Case]:
    for num_tasks, num_states, num_actions in ((2, 3, 4), (4, 5, 3)):
        visits = torch.rand(num_tasks, num_states, generator=generator, dtype=torch.float64)
        visits[0, 1] = 0.0  # one task never comes here
        visits[:, 2] = 0.0  # and here none
        task_weights = torch.rand(num_tasks, generator=generator, dtype=torch.float64) + 0.2
        log_policies = log_probs(generator, num_tasks, num_states, num_actions)
        yield log_policies, visits, task_weights / task_weights.sum()


def densities(generator: torch.Generator) -> Iterator[Case]:
    for width, batch in ((0.1, ()), (0.25, (2, 3))):
        points = torch.arange(-6.0, 6.0, width, dtype=torch.float64)
        means = torch.tensor([[-2.0], [1.5]], dtype=torch.float64)
        log_p = log_normal(points, means, 0.7).logsumexp(0) - math.log(2.0)
        yield log_p, log_normal(points, randn(generator, *batch, 1), 1.2), width


def log_normal(points: Tensor, mean: Tensor | float, deviation: float) -> Tensor:
    normalizer = math.log(deviation) + 0.5 * math.log(2.0 * math.pi)
    return -0.5 * ((points - mean) / deviation) ** 2 - normalizer


def values_and_priors(generator: torch.Generator) -> Iterator[Case]:
    for alpha, beta in ((0.5, 5.0), (0.9, 0.7), (1.0, 2.0)):
        yield randn(generator, 4, 3), log_probs(generator, 4, 3), alpha, beta
    far_apart = 3000.0 * randn(generator, 2, 4, 3)  # exp(beta Q) overflows
    yield far_apart, log_probs(generator, 2, 4, 3), 0.5, 5.0


def logits(generator: torch.Generator) -> Iterator[Case]:
    for alpha, beta, two_columns in ((0.5, 5.0, True), (0.8, 2.0, True), (0.5, 5.0, False)):
        shape = (3, 2, 4)
        prior_logits = randn(generator, *shape).requires_grad_()
        yield randn(generator, *shape).requires_grad_(), prior_logits, alpha, beta, two_columns


def samples(generator: torch.Generator) -> Iterator[Case]:
    for alpha, beta in ((0.5, 5.0), (0.8, 2.0)):
        states = torch.tensor([0, 2, 2, 3, 0, 2])  # nobody visits state 1
        yield randn(generator, 4, 3), states, log_probs(generator, 6, 3), alpha, beta
