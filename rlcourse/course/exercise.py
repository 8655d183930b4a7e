"""Exercises in notebooks: `@exercise(id)` marks an answer, `check(answer)` grades it.

An answer that is not written yet is replaced by the package's own function, visibly, so that every
notebook runs from top to bottom. RLCOURSE_STRICT=1 turns that off.
"""

import functools
import os
from collections.abc import Callable
from typing import Any

from rlcourse.course import progress
from rlcourse.course.banner import announce
from rlcourse.course.catalog import find_exercise
from rlcourse.course.compare import CheckFailed
from rlcourse.course.grading import Exercise, Verdict, grade, is_stub

BANNERS = {
    "passed": ("PASS", "green"),
    "failed": ("FAIL", "red"),
    "unsolved": ("NOT YET", "orange"),
}


def strict() -> bool:
    """Whether unsolved and wrong answers raise (RLCOURSE_STRICT=1) instead of being shown."""
    return os.environ.get("RLCOURSE_STRICT", "") == "1"


def exercise(exercise_id: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Mark a function as the answer to an exercise.

    While the answer raises the stub's NotImplementedError, the package's function stands in.

    Raises:
        ValueError: if there is no such exercise; the message lists the nearest ids.
    """
    spec = find_exercise(exercise_id)

    def decorate(answer: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(answer)
        def run(*args: Any, **kwargs: Any) -> Any:
            if run.stands_in:
                return spec.reference(*args, **kwargs)
            try:
                return answer(*args, **kwargs)
            except NotImplementedError as error:
                if strict() or not is_stub(error, spec.id):
                    raise
            stand_in(run)
            return spec.reference(*args, **kwargs)

        run.exercise = spec
        run.stands_in = False
        return run

    return decorate


def stand_in(answer: Callable[..., Any]) -> None:
    """From now on the package's function runs in place of the unwritten `answer`; say so once."""
    if answer.stands_in:
        return
    answer.stands_in = True
    announce(
        f"NOT YET · {answer.exercise.id}",
        f"{answer.__name__} is not written yet; the package's own function stands in. "
        "Write it and run its cell again, or run on.",
        "orange",
        "unsolved",
    )


def check(answer: Callable[..., Any]) -> None:
    """Grade an answer, show the verdict, and record it in the learner's progress.

    Raises:
        TypeError: if `answer` is not marked with @exercise.
        NotImplementedError: in strict mode, if it is not written yet.
        CheckFailed: in strict mode, if it is wrong.
    """
    spec = getattr(answer, "exercise", None)
    if not isinstance(spec, Exercise):
        raise TypeError(
            f"check({answer!r}): give it a function marked with @exercise(...); "
            "run the exercise's cell first"
        )
    verdict = _blame_what_it_calls(grade(spec, answer.__wrapped__), answer.__wrapped__)
    if verdict.status == "unsolved":
        if strict():
            raise NotImplementedError(f"{spec.id}: not written yet")
        stand_in(answer)
        return
    progress.record(spec.id, verdict.passed)
    _show_verdict(spec, verdict)
    if strict() and not verdict.passed:
        raise CheckFailed(f"{spec.id}: {verdict.message}")


def _show_verdict(spec: Exercise, verdict: Verdict) -> None:
    word, color = BANNERS[verdict.status]
    announce(f"{word} · {spec.id}", verdict.message, color, verdict.status)


def _blame_what_it_calls(verdict: Verdict, answer: Callable[..., Any]) -> Verdict:
    """Name the wrong exercise that a failed answer calls, if there is one."""
    if verdict.status != "failed" or not hasattr(answer, "__code__"):
        return verdict
    for name in answer.__code__.co_names:
        called = answer.__globals__.get(name)
        spec = getattr(called, "exercise", None)
        if isinstance(spec, Exercise) and grade(spec, called.__wrapped__).status == "failed":
            says = f"`{name}`, which this calls, does not pass its own check: mend that first."
            return Verdict("failed", says)
    return verdict
