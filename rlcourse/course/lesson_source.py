"""Read the one source of a lesson, `solutions/NN_slug.py`, and take its exercises apart.

The file is in jupytext's py:percent format. An exercise is four cells in a row: a markdown cell
with a heading and one line of labels, the code cell with `@exercise("NN.name")`, the cell that
checks it, and a markdown cell tagged `hints`.
"""

import re
import textwrap
from pathlib import Path
from typing import NamedTuple

EXERCISE_ID = re.compile(r"^@exercise\(\s*[\"']([^\"']+)[\"']\s*\)", re.MULTILINE)
HEADING = re.compile(r"^### Exercise (?P<id>\S+): (?P<title>.+)$", re.MULTILINE)
LABELS = re.compile(
    r"^difficulty (?P<difficulty>\d+) · importance (?P<importance>\d+) · (?P<minutes>\d+) minutes$",
    re.MULTILINE,
)
LIST_ITEM = re.compile(r"(?:[-*]|\d+\.)\s+")
SOLUTION = ("### BEGIN SOLUTION", "### END SOLUTION")
STUB = ("### BEGIN STUB", "### END STUB")


class LessonError(ValueError):
    """A lesson breaks a rule. The message names the lesson, the cell and what mends it."""


class Cell(NamedTuple):
    """A cell of the source: `kind` is "markdown" or "code"; `number` counts from 1."""

    number: int
    kind: str
    source: str
    tags: tuple[str, ...] = ()

    @property
    def exercise_id(self) -> str | None:
        """The id of the exercise that this cell answers, if it does."""
        found = EXERCISE_ID.search(self.source) if self.kind == "code" else None
        return found.group(1) if found else None

    @property
    def name(self) -> str:
        """How messages refer to this cell: its number and its first line."""
        first = self.source.strip().split("\n")[0]
        return f"cell {self.number} ({textwrap.shorten(first, 60)})"


class Regions(NamedTuple):
    """An exercise cell taken apart. `indent` is that of the solution."""

    before: str
    stub: str
    solution: str
    after: str
    indent: str


def read_cells(path: Path) -> tuple[Cell, ...]:
    """The cells of a source file.

    Raises:
        FileNotFoundError: if there is no such file.
    """
    import jupytext  # a dependency of maintainers only

    notebook = jupytext.reads(path.read_text(encoding="utf-8"), fmt="py:percent")
    return tuple(
        Cell(number, cell.cell_type, cell.source, tuple(cell.metadata.get("tags", ())))
        for number, cell in enumerate(notebook.cells, start=1)
    )


def split_regions(source: str) -> Regions:
    """Take an exercise cell apart.

    Raises:
        ValueError: if the solution region is missing, or a region is unbalanced or out of order.
    """
    lines = source.split("\n")
    solution = _find_region(lines, SOLUTION)
    if solution is None:
        raise ValueError(f"no solution region: put the answer between {' and '.join(SOLUTION)}")
    begin, end = solution
    stub = _find_region(lines[:begin], STUB)
    if stub is None and _find_region(lines[begin:], STUB) is not None:
        raise ValueError("the stub region must stand before the solution region")
    stub_begin, stub_end = stub or (begin, begin - 1)
    return Regions(
        before="\n".join(lines[:stub_begin]),
        stub="\n".join(lines[stub_begin + 1 : stub_end]) if stub else "",
        solution="\n".join(lines[begin + 1 : end]),
        after="\n".join(lines[end + 1 :]),
        indent=re.match(r"\s*", lines[begin]).group(),
    )


def hints(source: str) -> list[str]:
    """The items of the list in a hints cell, as markdown of their own."""
    items: list[list[str]] = []
    for line in source.split("\n"):
        marker = LIST_ITEM.match(line)
        if marker:
            items.append([" " * marker.end() + line[marker.end() :]])
        elif items:
            items[-1].append(line)
    return [textwrap.dedent("\n".join(lines)).strip() for lines in items]


def _find_region(lines: list[str], markers: tuple[str, str]) -> tuple[int, int] | None:
    begins, ends = (
        [i for i, line in enumerate(lines) if line.strip() == marker] for marker in markers
    )
    if not begins and not ends:
        return None
    if len(begins) != 1 or len(ends) != 1 or begins[0] > ends[0]:
        raise ValueError(f"the region needs exactly one {markers[0]} and after it one {markers[1]}")
    return begins[0], ends[0]
