"""Each exercise of the course: the stub fails, the reference passes, wrong answers are named.

The wrong answers are in `wrong_answers/`, one file per notebook, apart from the ones by which the
checks recognize mistakes. Run with -s to see the table.
"""

import importlib
import pkgutil
import re

import pytest

from rlcourse.course.catalog import check_modules, lesson_exercises
from rlcourse.course.grading import Exercise, grade
from tests.course import wrong_answers
from tests.course.wrong_answers.wrong import Wrong

FILES = [m.name for m in pkgutil.iter_modules(wrong_answers.__path__) if m.name != "wrong"]
WRONG: dict[str, tuple[Wrong, ...]] = {}
for name in FILES:
    WRONG |= importlib.import_module(f"{wrong_answers.__name__}.{name}").WRONG

EXERCISES = [e for number in check_modules() for e in lesson_exercises(number)]
CASES = [(e, wrong) for e in EXERCISES for wrong in WRONG.get(e.id, ())]


def quick(exercise: Exercise) -> Exercise:
    """The same exercise with a short time limit, so that an endless answer ends soon."""
    return exercise.__class__(**{**vars(exercise), "seconds": 3.0})


def test_every_exercise_has_two_wrong_answers():
    assert {e.id for e in EXERCISES} == set(WRONG)
    assert all(len(wrong) >= 2 for wrong in WRONG.values())


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.id)
def test_the_stub_fails_and_the_reference_passes(exercise: Exercise):
    def stub(*args):
        raise NotImplementedError(f"{exercise.id}: write this function")

    assert grade(exercise, stub).status == "unsolved"
    assert grade(exercise, exercise.reference).status == "passed"


@pytest.mark.parametrize(
    ("exercise", "wrong"), CASES, ids=[f"{e.id}-{w.answer.__name__}" for e, w in CASES]
)
def test_a_wrong_answer_is_rejected_by_name(exercise: Exercise, wrong: Wrong, record_property):
    verdict = grade(quick(exercise), wrong.answer)
    record_property("table", f"| {exercise.id} | {wrong.answer.__name__} | {verdict.message} |")
    assert verdict.status == "failed"
    assert re.search(wrong.names, verdict.message), verdict.message


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.id)
def test_each_mistake_that_a_check_knows_is_told_apart(exercise: Exercise):
    for mistake in exercise.mistakes:
        assert grade(exercise, mistake.function).message.startswith(mistake.says[:40])
