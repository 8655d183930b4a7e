"""Build the notebooks from their sources, and check that nothing has drifted from them.

For each lesson `solutions/NN_slug.py` gives `notebooks/NN_slug.ipynb` and the executed
`solutions/NN_slug.ipynb`; the figures measured on the way are kept in `solutions/measured.json`
and appear in the headers and in the README's table.
"""

import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlcourse.course.catalog import lesson_exercises
from rlcourse.course.execute import execute
from rlcourse.course.frame import Measured, read_measured, readme_table
from rlcourse.course.lesson_source import Cell, LessonError, read_cells
from rlcourse.course.outline import Lesson, available_lessons, find_lesson
from rlcourse.course.pedagogy import Facts, enforce, glossary_anchors
from rlcourse.course.render import learner_notebook, solved_notebook

MAX_BYTES = 1_000_000
MAP = re.compile(r"(<!-- map:begin -->\n).*?(\n<!-- map:end -->)", re.DOTALL)
EXECUTED_AT = "laptop"


@dataclass(frozen=True)
class Project:
    """A checkout: its folder, and the lessons to build."""

    root: Path
    lessons: tuple[Lesson, ...]

    @property
    def measured_path(self) -> Path:
        return self.root / "solutions" / "measured.json"

    @property
    def version(self) -> str:
        text = (self.root / "pyproject.toml").read_text(encoding="utf-8")
        return tomllib.loads(text)["project"]["version"]

    def source(self, lesson: Lesson) -> Path:
        return self.root / "solutions" / f"{lesson.slug}.py"

    def learner(self, lesson: Lesson) -> Path:
        return self.root / "notebooks" / f"{lesson.slug}.ipynb"

    def solved(self, lesson: Lesson) -> Path:
        return self.root / "solutions" / f"{lesson.slug}.ipynb"


def checkout(names: Sequence[str] = ()) -> Project:
    """The checkout that this package runs from, with the named lessons or all available ones.

    Raises:
        FileNotFoundError: if the package was installed without its sources.
        ValueError: if a lesson is unknown.
    """
    root = Path(__file__).resolve().parents[2]
    if not (root / "solutions").is_dir():
        raise FileNotFoundError(f"{root} holds no solutions/: build works in a clone of the course")
    return Project(root, tuple(map(find_lesson, names)) or available_lessons())


def build(project: Project, run_solutions: bool = True, preset: str = EXECUTED_AT) -> None:
    """Write the notebooks of the project's lessons and the README's table.

    Without `run_solutions`, a solved notebook keeps its outputs as long as its code is unchanged.

    Raises:
        LessonError: if a lesson breaks a rule, does not run, or grows too large.
    """
    sources = {lesson: checked_cells(project, lesson) for lesson in project.lessons}
    readme_with_table(project)  # refused before anything is run, not after
    for lesson, cells in sources.items():
        if run_solutions:
            _execute_solution(project, lesson, cells, preset)
        measured = read_measured(project.measured_path).get(lesson.slug)
        learner = learner_notebook(cells, lesson, measured, project.version)
        write(project.learner(lesson), notebook_text(learner))
        solved = solved_notebook(cells, lesson, measured, project.version)
        _write_solution(project, lesson, solved)
    write(project.root / "README.md", readme_with_table(project))


def checked_cells(project: Project, lesson: Lesson) -> tuple[Cell, ...]:
    """The cells of a lesson that keeps all the rules.

    Raises:
        LessonError: if its source is missing or breaks a rule.
    """
    source = project.source(lesson)
    if not source.exists():
        raise LessonError(f"lesson {lesson.slug}: {source} is missing; write it")
    cells = read_cells(source)
    glossary = project.root / "notebooks" / "glossary.md"
    text = glossary.read_text(encoding="utf-8") if glossary.exists() else ""
    registered = [exercise.id for exercise in lesson_exercises(f"{lesson.number:02d}")]
    enforce(cells, Facts(lesson, registered, glossary_anchors(text)))
    return cells


def drift(project: Project) -> list[str]:
    """What is out of step with the sources: one line per file, with the reason."""
    found = [line for lesson in project.lessons for line in _lesson_drift(project, lesson)]
    readme = project.root / "README.md"
    if readme.read_text(encoding="utf-8") != readme_with_table(project):
        found.append("README.md: its table of lessons differs from the outline and the figures")
    slugs = {lesson.slug for lesson in available_lessons()} | {
        lesson.slug for lesson in project.lessons
    }
    for path in sorted((project.root / "notebooks").glob("*.ipynb")):
        if path.stem not in slugs:
            found.append(f"notebooks/{path.name}: no available lesson has this name; delete it")
    return found


def notebook_text(notebook: Mapping[str, Any]) -> str:
    """A notebook as the bytes that are committed: sorted keys, sources as lists of lines."""
    cells = [{**cell, "source": cell["source"].splitlines(True)} for cell in notebook["cells"]]
    document = {**notebook, "cells": cells}
    return json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def readme_with_table(project: Project) -> str:
    """The README with its table of lessons brought up to date.

    Raises:
        LessonError: if the README lacks the markers between which the table stands.
    """
    text = (project.root / "README.md").read_text(encoding="utf-8")
    if not MAP.search(text):
        raise LessonError(
            "README.md: no place for the table of lessons; add the lines <!-- map:begin -->, an "
            "empty one, and <!-- map:end -->"
        )
    table = readme_table(read_measured(project.measured_path))
    return MAP.sub(lambda marks: f"{marks[1]}{table}{marks[2]}", text)


def write(path: Path, text: str) -> None:
    """Replace a file in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def _execute_solution(project: Project, lesson: Lesson, cells: Sequence[Cell], preset: str) -> None:
    print(f"executing solutions/{lesson.slug}.ipynb at {preset} ...", flush=True)
    draft = solved_notebook(cells, lesson, None, project.version)
    executed, measured = execute(draft, lesson.slug, project.root, preset)
    text = notebook_text(executed)
    if len(text.encode()) >= MAX_BYTES:
        raise LessonError(
            f"solutions/{lesson.slug}.ipynb: {len(text.encode()) / 1e6:.2f} MB, less than "
            f"{MAX_BYTES / 1e6:g} MB is allowed: draw smaller or fewer pictures"
        )
    write(project.solved(lesson), text)
    figures = read_measured(project.measured_path) | {lesson.slug: measured}
    rows = {slug: row._asdict() for slug, row in sorted(figures.items())}
    write(project.measured_path, json.dumps(rows, indent=1) + "\n")


def _write_solution(project: Project, lesson: Lesson, solved: dict[str, Any]) -> None:
    """Give the freshly rendered twin the outputs of the one on disk, if its code is the same."""
    path = project.solved(lesson)
    old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"cells": []}
    old_code, code = _code_cells(old), _code_cells(solved)
    if [_source(cell) for cell in old_code] != [_source(cell) for cell in code]:
        print(f"solutions/{lesson.slug}.ipynb is stale: python -m rlcourse build {lesson.slug}")
        return
    for cell, executed in zip(code, old_code, strict=True):
        cell |= {key: executed[key] for key in ("outputs", "execution_count")}
    write(path, notebook_text(solved))


def _lesson_drift(project: Project, lesson: Lesson) -> Iterator[str]:
    cells = checked_cells(project, lesson)
    measured = read_measured(project.measured_path).get(lesson.slug)
    learner = notebook_text(learner_notebook(cells, lesson, measured, project.version))
    path = project.learner(lesson)
    if not path.exists() or path.read_text(encoding="utf-8") != learner:
        yield f"notebooks/{path.name}: differs from what solutions/{lesson.slug}.py gives"
    reason = _solved_drift(
        project.solved(lesson),
        solved_notebook(cells, lesson, measured, project.version),
        measured,
    )
    if reason:
        yield f"solutions/{lesson.slug}.ipynb: {reason}"


def _solved_drift(path: Path, fresh: dict[str, Any], measured: Measured | None) -> str | None:
    """Why the solved notebook on disk is not the execution of `fresh`, or None if it is."""
    if not path.exists():
        return "is missing"
    if measured is None or measured.preset != EXECUTED_AT:
        return f"was not executed at {EXECUTED_AT}"
    if path.stat().st_size >= MAX_BYTES:
        return f"has {path.stat().st_size} bytes, less than {MAX_BYTES} are allowed"
    notebook = json.loads(path.read_text(encoding="utf-8"))
    code = _code_cells(notebook)
    if json.loads(notebook_text(_without_outputs(notebook))) != json.loads(notebook_text(fresh)):
        return "its cells differ from the source"
    if any(cell["execution_count"] is None for cell in code):
        return "has a cell that was not executed"
    outputs = [output for cell in code for output in cell["outputs"]]
    if not outputs or any(output["output_type"] == "error" for output in outputs):
        return "has no outputs, or an error among them"
    return None


def _without_outputs(notebook: dict[str, Any]) -> dict[str, Any]:
    blank = {"outputs": [], "execution_count": None}
    cells = [
        {**cell, "source": _source(cell), **(blank if cell["cell_type"] == "code" else {})}
        for cell in notebook["cells"]
    ]
    return {**notebook, "cells": cells}


def _code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def _source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])
