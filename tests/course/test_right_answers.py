"""Right answers that are written in another way than the reference are accepted."""

import torch

from rlcourse.course.catalog import lesson_exercises
from rlcourse.course.grading import grade
from rlcourse.go import flood


def test_a_move_may_be_written_into_a_copy_of_the_boards():
    def play(stones, color, point, ko):
        new, (_, legal, next_ko) = stones.clone(), flood.play(stones, color, point, ko)
        new.flatten(1)[torch.arange(len(new)), point] = color
        other = new == -color[:, None, None]
        new[other & ~flood.flood(other & flood.beside(new == 0), other)] = 0
        new[~legal] = stones[~legal]
        return new, legal, next_ko

    (exercise,) = (e for e in lesson_exercises("13") if e.id == "13.play")
    verdict = grade(exercise, play)
    assert verdict.passed, verdict.message
