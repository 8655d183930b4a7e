"""Turn the source of a lesson into the learner's notebook and its solved twin."""

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from rlcourse.course.frame import Measured, footer, header, setup_code
from rlcourse.course.lesson_source import HEADING, LABELS, Cell, hints, split_regions
from rlcourse.course.outline import Lesson

METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
MAX_LEVEL = 5
# A link to a file beside the learner's notebook that is not itself a notebook.
NEIGHBOR_FILE = re.compile(r"(\]\(|src=\")(?![\w+.-]+:|#|/|\.\./)([^)\"\s]+)")


def learner_notebook(
    cells: Sequence[Cell], lesson: Lesson, measured: Measured | None, version: str
) -> dict[str, Any]:
    """The notebook that learners open: solutions taken out, no outputs."""
    body = [
        _markdown(_learner_text(i, cells))
        if cell.kind == "markdown"
        else _code(learner_code(cell), _without(cell.tags, "nbval-check-output"))
        for i, cell in enumerate(cells)
    ]
    return _notebook(body, lesson, measured, version)


def solved_notebook(
    cells: Sequence[Cell], lesson: Lesson, measured: Measured | None, version: str
) -> dict[str, Any]:
    """The twin, before it is executed: solutions in, links pointing to the learner's folder."""
    body = [
        _markdown(_to_notebooks_folder(_learner_text(i, cells, with_solution=False)))
        if cell.kind == "markdown"
        else _code(solved_code(cell), cell.tags)
        for i, cell in enumerate(cells)
    ]
    return _notebook(body, lesson, measured, version)


def learner_code(cell: Cell) -> str:
    """The code a learner meets: in an exercise, the scaffold and a stub instead of the solution."""
    if cell.exercise_id is None:
        return cell.source
    regions = split_regions(cell.source)
    stub = (
        f'{regions.indent}raise NotImplementedError("{cell.exercise_id}: '
        "write this, or run on with the package's own\")"
    )
    pieces = [regions.before, regions.stub, stub, regions.after]
    return "\n".join(piece for piece in pieces if piece.strip())


def solved_code(cell: Cell) -> str:
    """The code with its solution, without scaffold and markers."""
    if cell.exercise_id is None:
        return cell.source
    regions = split_regions(cell.source)
    pieces = [regions.before, regions.solution, regions.after]
    return "\n".join(piece for piece in pieces if piece.strip())


def _learner_text(i: int, cells: Sequence[Cell], with_solution: bool = True) -> str:
    """The markdown of cell `i`, with labels drawn and hints folded."""
    cell = cells[i]
    if "hints" in cell.tags:
        return _folded_hints(cell.source, cells[i - 2] if with_solution else None)
    if HEADING.search(cell.source):
        return LABELS.sub(_drawn_labels, cell.source)
    return cell.source


def _drawn_labels(labels: re.Match[str]) -> str:
    def dots(name: str) -> str:
        level = int(labels[name])
        return f"{name} {'●' * level}{'○' * (MAX_LEVEL - level)} {level}/{MAX_LEVEL}"

    return f"*{dots('difficulty')} · {dots('importance')} · about {labels['minutes']} min*"


def _folded_hints(source: str, answer: Cell | None) -> str:
    nudge, approach = hints(source)
    folds = [_details("Hint 1: a nudge", nudge), _details("Hint 2: the approach", approach)]
    if answer is not None:
        folds.append(_details("Solution", f"```python\n{_solution(answer)}\n```"))
    return "\n\n".join(folds)


def _solution(answer: Cell) -> str:
    """The whole function without its docstring, so that it can be compared line by line."""
    regions = split_regions(answer.source)
    signature = re.sub(r'\n\s*[rRuU]?("""|\'\'\').*?\1', "", regions.before, flags=re.DOTALL)
    pieces = [signature, regions.solution, regions.after]
    return "\n".join(piece for piece in pieces if piece.strip())


def _details(summary: str, body: str) -> str:
    return f"<details><summary>{summary}</summary>\n\n{body}\n\n</details>"


def _to_notebooks_folder(markdown: str) -> str:
    def prefix(link: re.Match[str]) -> str:
        opening, target = link.groups()
        own = target.partition("#")[0].endswith(".ipynb")
        return link[0] if own else f"{opening}../notebooks/{target}"

    return NEIGHBOR_FILE.sub(prefix, markdown)


def _notebook(
    body: list[dict[str, Any]], lesson: Lesson, measured: Measured | None, version: str
) -> dict[str, Any]:
    cells = [
        _markdown(header(lesson, measured)),
        _code(setup_code(lesson, version), ("setup",)),
        *body,
        _markdown(footer(lesson)),
    ]
    return {
        "cells": [_with_id(cell, name) for cell, name in zip(cells, _ids(cells), strict=True)],
        "metadata": METADATA,
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _ids(cells: Sequence[dict[str, Any]]) -> list[str]:
    """One id per cell, from its content: editing a cell changes no other cell's id."""
    seen: Counter[str] = Counter()
    ids = []
    for cell in cells:
        content = f"{cell['cell_type']}\n{cell['source']}"
        ids.append(hashlib.sha256(f"{content}\n{seen[content]}".encode()).hexdigest()[:12])
        seen[content] += 1
    return ids


def _with_id(cell: dict[str, Any], name: str) -> dict[str, Any]:
    return {"id": name, **cell}


def _markdown(source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def _code(source: str, tags: Sequence[str] = ()) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {"tags": list(tags)} if tags else {},
        "outputs": [],
        "source": source,
    }


def _without(tags: Sequence[str], left_out: str) -> tuple[str, ...]:
    return tuple(tag for tag in tags if tag != left_out)
