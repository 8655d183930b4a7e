"""The folder of a notebook's experiment changes with its configuration and the learner's code."""

import linecache

from rlcourse.course import results
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


def test_another_version_of_the_course_gets_its_own_folder(monkeypatch):
    folder = results_folder("study", {}, first)
    monkeypatch.setattr(results.importlib.metadata, "version", lambda name: "99.0")
    assert results_folder("study", {}, first) != folder


NOTEBOOK = {
    "deeper": "def deeper(x):\n    return x\n",
    "helper": "def helper(x):\n    return deeper(x)\n",
    "beside": "def beside(x):\n    return x\n",
    "answer": "def answer(x):\n    return [helper(y) + first(answer) for y in x]\n",
}


def folder_of(cells, version):
    """The folder that a notebook of these cells gets, the helper wrapped as exercises are."""
    scope = {"__name__": "__main__", "first": first}
    for name, code in cells.items():
        path = f"<{name} {version}>"
        linecache.cache[path] = (len(code), None, code.splitlines(keepends=True), path)
        exec(compile(code, path, "exec"), scope)
    plain = scope["helper"]
    scope["helper"] = results.functools.wraps(plain)(lambda *args: plain(*args))
    return results_folder("study", {}, scope["answer"])


def test_editing_a_function_that_the_answer_calls_makes_a_new_folder():
    folder = folder_of(NOTEBOOK, 0)
    assert folder == folder_of(NOTEBOOK, 1)
    edited = {name: code.replace("(x)\n", "(x) + 1\n") for name, code in NOTEBOOK.items()}
    assert folder_of(NOTEBOOK | {"helper": edited["helper"]}, 2) != folder
    deeper = NOTEBOOK["deeper"].replace("return x", "return 2 * x")
    assert folder_of(NOTEBOOK | {"deeper": deeper}, 3) != folder
    beside = NOTEBOOK["beside"].replace("return x", "return 2 * x")
    assert folder_of(NOTEBOOK | {"beside": beside}, 4) == folder


def test_the_packages_functions_are_told_apart_by_its_version_alone(monkeypatch):
    folder = folder_of(NOTEBOOK, 5)
    monkeypatch.setattr("tests.course.test_results.first", second)
    assert folder_of(NOTEBOOK, 6) == folder


def test_functions_without_source_have_folders_too():
    def folder_of_code(body):
        scope = {"__name__": "__main__"}
        exec(f"def answer(x):\n    return {body}", scope)
        return results_folder("study", {}, scope["answer"])

    assert folder_of_code("x") == folder_of_code("x")
    assert folder_of_code("x") != folder_of_code("-x")


def test_an_unwritable_place_gives_a_temporary_folder_and_says_so_once(
    monkeypatch, tmp_path, capsys
):
    kept = results_folder("study", {}, first)
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("RLCOURSE_PROGRESS", str(tmp_path / "file" / "progress.json"))
    folder = results_folder("study", {}, first)
    assert folder == results_folder("study", {}, first)
    folder.mkdir()
    (folder / "result.txt").write_text("written")
    assert kept.name == folder.name
    assert capsys.readouterr().out.count("RESULTS ARE NOT KEPT") == 1
