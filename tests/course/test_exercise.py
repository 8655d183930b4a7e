"""An answer is graded, replaced while it is unwritten, and never let off."""

import contextlib
import dataclasses
import inspect

import pytest
import torch

from rlcourse.course import progress
from rlcourse.course.catalog import find_exercise
from rlcourse.course.compare import CheckFailed
from rlcourse.course.exercise import check, exercise
from rlcourse.course.grading import Exercise, Mistake, grade

SPEC_ID = "97.double"


def right(x, times=1.0):
    """Twice x."""
    return x * times + x * times


def stub(x, times=1.0):
    raise NotImplementedError("97.double: write this")


def loops(x, times=1.0):
    while True:
        pass


def swallows_everything(x, times=1.0):
    while True:
        with contextlib.suppress(Exception):
            x = x + 1


def raises(x, times=1.0):
    weights = {}
    return x * weights["missing"]


def writes_into_its_input(x, times=1.0):
    return x.mul_(2.0 * times)


WRONG = {
    "squares": (lambda x, times=1.0: x * x * times, "This squares"),
    "sign": (lambda x, times=1.0: -2.0 * x * times, "sign is flipped"),
    "value": (lambda x, times=1.0: 3.0 * x * times, r"is wanted \(inputs: x: a tensor of shape"),
    "shape": (lambda x, times=1.0: (2.0 * x * times).sum(-1), "too many axes"),
    "dtype": (lambda x, times=1.0: (2.0 * x * times).long(), "cut off fractions"),
    "nothing": (lambda x, times=1.0: None, "`return` statement"),
    "signature": (lambda x: 2.0 * x, "restore the signature"),
    "in place": (writes_into_its_input, r"changes its input `x` in place"),
    "exception": (raises, r'KeyError: .missing.\nin the line: `return x \* weights\["missing"\]'),
    "endless loop": (loops, r"still running after 0\.8 s and was stopped"),
    "endless loop that catches": (swallows_everything, "still running"),
    "exit": (lambda x, times=1.0: exit(1), "SystemExit"),
    "torch's NotImplementedError": (
        lambda x, times=1.0: torch.empty_like(x, device="meta").cpu(),
        "NotImplementedError: Cannot copy",
    ),
}


@pytest.mark.parametrize("case", WRONG, ids=str)
def test_wrong_answers_are_told_what_is_wrong(case, capsys):
    answer, says = WRONG[case]
    verdict = grade(find_exercise(SPEC_ID), answer)
    assert verdict.status == "failed"
    with pytest.raises(AssertionError, match=says):
        raise AssertionError(verdict.message)


def test_reference_passes_and_stub_is_unsolved():
    spec = find_exercise(SPEC_ID)
    assert grade(spec, spec.reference).message == "Correct on 2 random cases and 1 known fact."
    assert grade(spec, stub).status == "unsolved"


def test_a_broken_fact_fails():
    def off_at_zero(x, times=1.0):
        return torch.where(x == 0.0, torch.ones_like(x), 2.0 * x * times)

    assert grade(find_exercise(SPEC_ID), off_at_zero).status == "failed"


def test_a_check_that_cannot_fail_is_refused():
    with pytest.raises(ValueError, match="cannot fail"):
        Exercise(id="97.nothing", reference=right)
    empty = Exercise(id="97.empty", reference=right, cases=lambda generator: ())
    assert "nothing is checked" in grade(empty, right).message


def test_solved_runs_the_learners_function(capsys):
    calls = []

    @exercise(SPEC_ID)
    def double(x, times=1.0):
        """Mine."""
        calls.append(times)
        return right(x, times)

    assert torch.equal(double(torch.ones(2), times=3.0), torch.full((2,), 6.0))
    assert calls == [3.0]
    assert double.__doc__ == "Mine."
    assert list(inspect.signature(double).parameters) == ["x", "times"]
    check(double)
    assert "PASS · 97.double" in capsys.readouterr().out
    assert progress.passed_exercises() == {SPEC_ID}


def test_unsolved_falls_back_with_one_banner(capsys):
    double = exercise(SPEC_ID)(stub)
    check(double)
    out = capsys.readouterr().out
    assert "NOT YET · 97.double" in out
    assert "PASS" not in out
    for _ in range(3):
        assert torch.equal(double(torch.ones(2)), torch.full((2,), 2.0))
    assert capsys.readouterr().out == ""
    assert progress.passed_exercises() == set()


def test_first_use_shows_the_banner_too(capsys):
    double = exercise(SPEC_ID)(stub)
    double(torch.ones(2))
    double(torch.ones(2))
    assert capsys.readouterr().out.count("NOT YET") == 1


def test_wrong_answer_is_shown_and_runs_on(capsys):
    double = exercise(SPEC_ID)(lambda x, times=1.0: -2.0 * x * times)
    check(double)
    assert "FAIL · 97.double\nThe sign is flipped: drop the minus." in capsys.readouterr().out
    assert float(double(torch.ones(()))) == -2.0  # what they wrote is what runs


def test_strict_mode_raises(monkeypatch):
    monkeypatch.setenv("RLCOURSE_STRICT", "1")
    unsolved = exercise(SPEC_ID)(stub)
    with pytest.raises(NotImplementedError, match=SPEC_ID):
        unsolved(torch.ones(2))
    with pytest.raises(NotImplementedError, match=SPEC_ID):
        check(unsolved)
    with pytest.raises(CheckFailed, match="sign"):
        check(exercise(SPEC_ID)(lambda x, times=1.0: -2.0 * x * times))


def test_an_answers_own_not_implemented_error_is_not_hidden():
    @exercise(SPEC_ID)
    def double(x, times=1.0):
        raise NotImplementedError("Could not run aten::something")

    with pytest.raises(NotImplementedError, match="aten"):
        double(torch.ones(2))


def test_unknown_id_lists_the_nearest():
    with pytest.raises(ValueError, match=r"97\.duoble.*97\.double"):
        exercise("97.duoble")


def test_check_wants_a_marked_function():
    with pytest.raises(TypeError, match="@exercise"):
        check(right)


def test_a_failure_is_blamed_on_the_wrong_exercise_it_calls(capsys):
    namespace = {"exercise": exercise, "check": check}
    exec(
        "@exercise('97.double')\ndef helper(x):\n    return 3 * x\n\n"
        "@exercise('97.double')\ndef answer(x):\n    return helper(x)\n\ncheck(answer)",
        namespace,
    )
    assert "`helper`, which this calls, does not pass its own check" in capsys.readouterr().out


@dataclasses.dataclass
class Notes:
    """Something to write into."""

    sums: torch.Tensor
    count: int = 0


def add_(notes, x):
    notes.sums += x
    notes.count += 1


def test_what_an_answer_writes_is_compared():
    def cases(generator):
        yield Notes(torch.zeros(2)), torch.tensor([1.0, 2.0])

    def forgets(notes, x):
        notes.sums += x

    def wrong_way(notes, x):
        notes.sums -= x
        notes.count += 1

    def also(notes, x):
        add_(notes, x)
        x.zero_()

    def in_other_words(page, x):
        page.sums, page.count = page.sums + x, page.count + 1

    spec = Exercise(
        "97.add", add_, cases, (Mistake("The sign is wrong", wrong_way),), writes="notes"
    )
    assert grade(spec, add_).passed
    assert grade(spec, in_other_words).passed
    assert "forgets(...).notes.count is the int 0, the int 1" in grade(spec, forgets).message
    assert grade(spec, wrong_way).message == "The sign is wrong."
    assert "changes its input `x`" in grade(spec, also).message
    assert (
        "changes its input `notes`"
        in grade(dataclasses.replace(spec, writes=None), forgets).message
    )
