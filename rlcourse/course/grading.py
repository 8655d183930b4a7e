"""Grade an answer: against the package on random inputs, then against facts that hold by theory.

A checks module (`checks/nbNN_slug.py`) declares its exercises as data and needs nothing else:

    def soft_cases(generator):
        yield torch.randn(4, 3, generator=generator), 0.5

    EXERCISES = (
        Exercise(
            id="01.soft_max",
            reference=kl.soft_max,
            cases=soft_cases,
            mistakes=(Mistake("The sign of α is flipped", lambda q, a: kl.soft_max(q, -a)),),
            facts=(constant_values_stay_themselves,),
        ),
    )

Every answer meets copies of the inputs. When its output differs from the reference's, the mistakes
are tried on the same inputs: the one that gives exactly the learner's output names what went wrong.
"""

import inspect
import linecache
import traceback
from collections import namedtuple
from collections.abc import Callable, Iterable, Sized
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from rlcourse.course.compare import CheckFailed, clone, describe, difference, parts
from rlcourse.course.limits import TimeLimitExceeded, run_limited

SEED = 0

Case = tuple[Any, ...]


class Mistake(NamedTuple):
    """A plausible wrong answer, and the sentence that names it."""

    says: str
    function: Callable[..., Any]


def no_cases(generator: torch.Generator) -> Iterable[Case]:
    """For exercises that are graded by facts alone."""
    return ()


@dataclass(frozen=True)
class Exercise:
    """What the course knows of an exercise.

    Attributes:
        id: "NN.name", NN being the number of the lesson.
        reference: the package's function; it stands in while the exercise is unsolved.
        cases: from a seeded generator, the inputs: one tuple of positional arguments per case.
        mistakes: wrong answers that are recognized by their output on the cases.
        facts: functions of the answer that raise CheckFailed where theory is contradicted.
        writes: the argument that the answer is to write into; it is compared as well then. No
            other argument may change.
        seconds: the time limit of the whole check.
    """

    id: str
    reference: Callable[..., Any]
    cases: Callable[[torch.Generator], Iterable[Case]] = no_cases
    mistakes: tuple[Mistake, ...] = ()
    facts: tuple[Callable[[Callable[..., Any]], None], ...] = ()
    writes: str | None = None
    seconds: float = 20.0

    def __post_init__(self):
        if self.cases is no_cases and not self.facts:
            raise ValueError(f"exercise {self.id}: a check without cases and facts cannot fail")


class Verdict(NamedTuple):
    """The outcome of a check. `status` is "passed", "failed" or "unsolved"."""

    status: str
    message: str

    @property
    def passed(self) -> bool:
        return self.status == "passed"


def grade(exercise: Exercise, answer: Callable[..., Any]) -> Verdict:
    """Run the check of `exercise` on `answer`, under the exercise's time limit."""
    try:
        return run_limited(lambda: _examine(exercise, answer), exercise.seconds)
    except TimeLimitExceeded:
        return Verdict(
            "failed",
            f"It was still running after {exercise.seconds:g} s and was stopped: look for a loop "
            "whose condition never becomes false, or one that does far more work than needed.",
        )
    except CheckFailed as error:
        return Verdict("failed", _sentence(str(error)))
    except NotImplementedError as error:
        if is_stub(error, exercise.id):
            return Verdict("unsolved", "Not written yet; the package's own function stands in.")
        return Verdict("failed", _exception_message(error, answer))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a learner's code may raise anything
        return Verdict("failed", _exception_message(error, answer))


def is_stub(error: NotImplementedError, exercise_id: str) -> bool:
    """Whether `error` comes from an unwritten answer (torch raises NotImplementedError too)."""
    return not error.args or str(error).startswith(exercise_id)


def draw_cases(exercise: Exercise) -> list[Case]:
    """The inputs on which answers are compared, the same at every call."""
    return list(exercise.cases(torch.Generator().manual_seed(SEED)))


def _examine(exercise: Exercise, answer: Callable[..., Any]) -> Verdict:
    cases = draw_cases(exercise)
    if not cases and exercise.cases is not no_cases:
        raise ValueError(f"exercise {exercise.id}: its `cases` yielded nothing, nothing is checked")
    outputs = [_call(exercise, answer, case) for case in cases]
    for case, output in zip(cases, outputs, strict=True):
        expected = _outcome(exercise, exercise.reference, clone(case))
        says = difference(output, expected, f"{answer.__name__}(...)")
        if says is not None:
            named = _name_mistake(exercise, cases, outputs)
            raise CheckFailed(named or f"{says} (inputs: {_inputs(answer, case)})")
    for fact in exercise.facts:
        fact(answer)
    counts = [_count(cases, "random case"), _count(exercise.facts, "known fact")]
    return Verdict("passed", f"Correct on {' and '.join(filter(None, counts))}.")


def _outcome(exercise: Exercise, function: Callable[..., Any], inputs: Case) -> Any:
    """What a function returns; and what it wrote, where it is to write."""
    output, place = function(*inputs), _written(exercise)
    if place is None:
        return output
    return namedtuple("After", ["returned", exercise.writes])(output, inputs[place])


def _written(exercise: Exercise) -> int | None:
    """The place of the argument to write into."""
    if exercise.writes is None:
        return None
    return list(inspect.signature(exercise.reference).parameters).index(exercise.writes)


def _call(exercise: Exercise, answer: Callable[..., Any], case: Case) -> Any:
    """The answer's outcome on a copy of the case, which it must leave as it was but for what it is
    to write into."""
    inputs = clone(case)
    try:
        names = list(inspect.signature(answer).bind(*inputs).arguments)
    except TypeError as error:
        raise CheckFailed(
            f"it cannot be called as the lesson does ({error}): restore the signature that the "
            "exercise came with"
        ) from error
    output = _outcome(exercise, answer, inputs)
    for place, (name, before, after) in enumerate(zip(names, case, inputs, strict=False)):
        if place != _written(exercise) and _changed(before, after):
            raise CheckFailed(
                f"it changes its input `{name}` in place: work on a copy ({name}.clone()), or "
                "build a new tensor instead of writing into the old one"
            )
    return output


def _changed(before: Any, after: Any) -> bool:
    """Whether a tensor anywhere in `after` differs from its counterpart in `before`."""
    if isinstance(before, torch.Tensor):
        return difference(after, before) is not None
    pieces = parts(before)
    if pieces is None:
        return False
    return any(map(_changed, pieces.values(), parts(after).values()))


def _name_mistake(exercise: Exercise, cases: list[Case], outputs: list[Any]) -> str | None:
    """The sentence of the first mistake that gives the learner's output on every case."""
    for mistake in exercise.mistakes:
        try:
            if all(
                difference(output, _outcome(exercise, mistake.function, clone(case))) is None
                for case, output in zip(cases, outputs, strict=True)
            ):
                return mistake.says
        except Exception:  # noqa: BLE001 - a wrong function may fail in any way
            continue
    return None


def _inputs(answer: Callable[..., Any], case: Case) -> str:
    names = inspect.signature(answer).bind(*case).arguments
    return ", ".join(
        f"{name} {value}" if isinstance(value, int | float) else f"{name}: {describe(value)}"
        for name, value in names.items()
    )


def _exception_message(error: BaseException, answer: Callable[..., Any]) -> str:
    """Type, message and the learner's line at which the exception left their code."""
    frames = traceback.extract_tb(error.__traceback__)
    home = getattr(inspect.unwrap(answer), "__code__", None)
    own = [frame for frame in frames if home is not None and frame.filename == home.co_filename]
    frame = (own or frames)[-1]
    line = (frame.line or linecache.getline(frame.filename, frame.lineno or 0)).strip()
    says = str(error).strip().split("\n")[0]
    return f"It raises {type(error).__name__}: {says or '(no message)'}\nin the line: `{line}`"


def _sentence(says: str) -> str:
    """With a capital at the start, unless it starts with a name in code, and a full stop."""
    first = says.split(" ")[0].strip(",:")
    if first.isalpha() and first.islower():
        says = says[0].upper() + says[1:]
    return says if says.endswith((".", "?", ")")) else says + "."


def _count(things: Sized, noun: str) -> str:
    """Such as "3 random cases"; empty where there is none."""
    return f"{len(things)} {noun}{'s' * (len(things) > 1)}" if things else ""
