"""The folder of a notebook's experiment changes with its configuration and the learner's code."""

from rlcourse.course.results import results_folder


def first(x):
    return x


def second(x):
    return x + 1


def test_the_folder_is_the_same_until_something_changes():
    folder = results_folder("study", {"alpha": 1}, first)
    assert folder == results_folder("study", {"alpha": 1}, first)
    others = {
        results_folder("study", {"alpha": 2}, first),
        results_folder("study", {"alpha": 1}, second),
        results_folder("other", {"alpha": 1}, first),
    }
    assert len(others | {folder}) == 4


def test_an_answer_that_starts_to_be_stood_in_for_gets_its_own_folder():
    def answer(x):
        return x

    answer.stands_in = False
    written = results_folder("study", {}, answer)
    answer.stands_in = True
    assert results_folder("study", {}, answer) != written
