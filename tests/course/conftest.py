"""A tiny lesson of its own, number 97, so that these tests depend on no lesson of the course."""

import sys
from pathlib import Path

import pytest

from rlcourse.course import build as builder
from rlcourse.course import checks, progress
from rlcourse.course.frame import Measured
from rlcourse.course.outline import Lesson

FAKE = Path(__file__).parent / "fake"
LESSON = Lesson(97, "97_fake", "A fake lesson", "I", 30, "CPU", (0,), (), "Doubling.", True)


@pytest.fixture(autouse=True)
def _own_surroundings(monkeypatch, tmp_path):
    """Fake checks beside the real ones; progress in a temporary file; no strict mode."""
    monkeypatch.setattr(checks, "__path__", [*checks.__path__, str(FAKE)])
    monkeypatch.setenv("RLCOURSE_PROGRESS", str(tmp_path / "progress.json"))
    monkeypatch.delenv("RLCOURSE_STRICT", raising=False)
    monkeypatch.delenv("RLCOURSE_PRESET", raising=False)
    progress.session.cache_clear()
    yield
    sys.modules.pop("rlcourse.course.checks.nb97_fake", None)
    progress.session.cache_clear()


@pytest.fixture
def source() -> str:
    """The source of the fake lesson."""
    return (FAKE / "97_fake.txt").read_text(encoding="utf-8")


@pytest.fixture
def project(tmp_path, source, monkeypatch) -> builder.Project:
    """A checkout with the fake lesson; its solutions are not really executed."""
    root = tmp_path / "checkout"
    for folder in ("solutions", "notebooks"):
        (root / folder).mkdir(parents=True)
    (root / "solutions" / "97_fake.py").write_text(source, encoding="utf-8")
    (root / "notebooks" / "glossary.md").write_text("# Glossary\n\n## soft value\n\nA value.\n")
    (root / "README.md").write_text("# Title\n\n<!-- map:begin -->\n\n<!-- map:end -->\n\nEnd.\n")
    (root / "pyproject.toml").write_text('[project]\nname = "rlcourse"\nversion = "0.1.0"\n')
    monkeypatch.setattr(builder, "execute", pretend_to_execute)
    return builder.Project(root, (LESSON,))


def pretend_to_execute(notebook, name, root, preset):
    """An executed copy of `notebook` in which every code cell printed "ran"."""
    code = (cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    for count, cell in enumerate(code, start=1):
        cell["execution_count"] = count
        cell["outputs"] = [{"name": "stdout", "output_type": "stream", "text": "ran\n"}]
    return notebook, Measured(preset, 12.3, 345, 2)
