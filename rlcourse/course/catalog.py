"""Which exercises exist: one checks module per lesson, loaded when it is asked for."""

import difflib
import importlib
import pkgutil

from rlcourse.course import checks
from rlcourse.course.grading import Exercise


def find_exercise(exercise_id: str) -> Exercise:
    """The exercise with this id.

    Raises:
        ValueError: if there is none; the message lists the nearest ids.
    """
    for candidate in lesson_exercises(exercise_id.partition(".")[0]):
        if candidate.id == exercise_id:
            return candidate
    known = [other.id for number in check_modules() for other in lesson_exercises(number)]
    near = difflib.get_close_matches(exercise_id, known, cutoff=0.5)
    same_lesson = [other for other in known if other.startswith(exercise_id[:2])]
    nearest = ", ".join(near or same_lesson or known) or "no exercise is registered"
    raise ValueError(f"there is no exercise {exercise_id!r}; the nearest: {nearest}")


def lesson_exercises(number: str) -> tuple[Exercise, ...]:
    """The exercises of lesson `number` ("01"), in order; empty if it has no checks module."""
    name = check_modules().get(number)
    if name is None:
        return ()
    return tuple(importlib.import_module(f"{checks.__name__}.{name}").EXERCISES)


def check_modules() -> dict[str, str]:
    """Lesson number ("01") -> name of its checks module ("nb01_kl_regularized_rl")."""
    names = (module.name for module in pkgutil.iter_modules(checks.__path__))
    return {name[2:4]: name for name in sorted(names) if name.startswith("nb")}
