"""Learners' notebooks as shipped, with the fallback turned off: only unwritten exercises raise."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from traitlets.config import Config

from rlcourse.course.execute import kernel_address
from rlcourse.course.pedagogy import excuses
from tests.notebooks.errors import cell_errors, exercise_ids, unexpected_errors

ROOT = Path(__file__).resolve().parents[2]
LEARNER = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
SOLVED = sorted((ROOT / "solutions").glob("[0-9]*.ipynb"))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.fixture(autouse=True)
def smoke(monkeypatch, tmp_path):
    monkeypatch.setenv("RLCOURSE_PRESET", "smoke")
    monkeypatch.setenv("RLCOURSE_PROGRESS", str(tmp_path / "progress.json"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def excused(notebook) -> list[str]:
    """Whatever excuses a cell of the notebook from running cleanly."""
    return [
        found
        for cell in notebook.cells
        for found in excuses(
            cell.source if cell.cell_type == "code" else "", cell.metadata.get("tags", ())
        )
    ]


@pytest.mark.slow
@pytest.mark.parametrize("path", LEARNER, ids=name)
def test_without_the_fallback_only_unwritten_exercises_raise(
    path, monkeypatch, record_property, tmp_path_factory
):
    monkeypatch.setenv("RLCOURSE_STRICT", "1")
    notebook = nbformat.read(path, as_version=4)
    address = Config({"KernelManager": kernel_address(str(tmp_path_factory.mktemp("k")))})
    client = NotebookClient(
        notebook, allow_errors=True, timeout=120, kernel_name="python3", config=address
    )
    client.execute(cwd=str(path.parent))
    assert unexpected_errors(notebook) == []
    raised = [e.message for e in cell_errors(notebook) if e.kind == "NotImplementedError"]
    silent = [i for i in exercise_ids(notebook) if not any(i in text for text in raised)]
    assert not silent, f"these exercises are unwritten, and nothing notices: {silent}"
    record_property("table", f"{name(path)}: {len(raised)} NotImplementedError, nothing else")


@pytest.mark.parametrize("path", LEARNER, ids=name)
def test_learner_notebooks_carry_no_outputs(path):
    cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)


@pytest.mark.parametrize("path", LEARNER + SOLVED, ids=name)
def test_no_cell_is_skipped(path):
    assert excused(nbformat.read(path, as_version=4)) == []


@pytest.mark.parametrize("tag", ["skip-execution", "nbval-ignore-output"])
def test_a_skipped_cell_would_be_found(tag):
    cell = nbformat.v4.new_code_cell("1 + 1", metadata={"tags": [tag]})
    marked = nbformat.v4.new_code_cell("# NBVAL_SKIP\n1 + 1")
    assert excused(nbformat.v4.new_notebook(cells=[cell, marked])) == [tag, "NBVAL_SKIP"]


def test_learner_and_solved_notebooks_come_in_pairs():
    assert [path.name for path in LEARNER] == [path.name for path in SOLVED]
