"""The judge of notebook errors, on small notebooks that it must acquit or convict."""

import tempfile

import nbformat.v4 as nbformat
import pytest
from nbclient import NotebookClient
from traitlets.config import Config

from rlcourse.course.execute import kernel_address
from tests.notebooks.errors import cell_errors, defined_names, exercise_ids, unexpected_errors


def execute(*sources: str) -> nbformat.new_notebook:
    notebook = nbformat.new_notebook(cells=[nbformat.new_code_cell(s) for s in sources])
    with tempfile.TemporaryDirectory() as sockets:
        config = Config({"KernelManager": kernel_address(sockets)})
        client = NotebookClient(notebook, allow_errors=True, kernel_name="python3", config=config)
        return client.execute()


def kinds(notebook) -> list[str]:
    return [error.kind for error in unexpected_errors(notebook)]


def test_errors_that_an_unwritten_exercise_explains_are_expected():
    notebook = execute(
        "def answer():\n    raise NotImplementedError('01.answer')",
        "value = answer()",
        "other = value + 1",
        "print(other)",
        "fine = 1",
    )
    assert [error.cell for error in cell_errors(notebook)] == [1, 2, 3]
    assert kinds(notebook) == []


def test_other_errors_are_not():
    notebook = execute(
        "def answer():\n    raise NotImplementedError('01.answer')",
        "value = answer()",
        "print(never_defined)",
        "1 / 0",
        "print(value.shape)",
    )
    assert kinds(notebook) == ["NameError", "ZeroDivisionError"]


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("a, (b, *c) = f(); d: int = 1; e += 1", {"a", "b", "c", "d", "e"}),
        ("for i in x:\n    with open(y) as z:\n        k = 1", {"i", "z", "k"}),
        ("import numpy as np, os.path\nfrom torch import nn", {"np", "os", "nn"}),
        ("def f(a):\n    b = 1\nclass C:\n    d = 2", {"f", "C"}),
        ("%matplotlib inline\nx = [y for y in z]\nif (n := 3): pass", {"x", "n"}),
    ],
)
def test_names_that_a_cell_defines(source, names):
    assert defined_names(source) == names


def test_exercises_are_found_in_their_cells():
    cells = [
        nbformat.new_markdown_cell('@exercise("00.quoted")'),
        nbformat.new_code_cell('import torch\n\n@exercise("00.first")\ndef f():\n    pass'),
        nbformat.new_code_cell("@exercise('00.second')\ndef g():\n    pass"),
    ]
    assert exercise_ids(nbformat.new_notebook(cells=cells)) == ["00.first", "00.second"]
