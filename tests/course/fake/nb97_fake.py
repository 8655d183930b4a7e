"""The checks of the fake lesson."""

import torch

from rlcourse.course.grading import Exercise, Mistake


def double(x, times=1.0):
    """The package's own."""
    return 2.0 * x * times


def vectors(generator):
    for length in (3, 5):
        yield torch.randn(length, 2, generator=generator), 0.75


def zero_stays_zero(answer):
    assert not answer(torch.zeros(2, 1), 1.0).any()


EXERCISES = (
    Exercise(
        id="97.double",
        reference=double,
        cases=vectors,
        mistakes=(
            Mistake("This squares; the factor is constant", lambda x, times: x * x * times),
            Mistake("The sign is flipped: drop the minus", lambda x, times: -double(x, times)),
        ),
        facts=(zero_stays_zero,),
        seconds=0.8,
    ),
)
