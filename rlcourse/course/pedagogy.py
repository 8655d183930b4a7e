"""The rules that every lesson keeps. Each rule yields the breaches that it finds."""

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from rlcourse.course.lesson_source import HEADING, LABELS, Cell, LessonError, hints, split_regions
from rlcourse.course.outline import Lesson
from rlcourse.course.render import learner_code

MAX_CELL_LINES = 15
MAX_EXERCISE_LINES = 20  # signature and docstring: what the learner sees around the solution
SOLUTION_LINES = range(2, 26)
MAX_WORDS = 150
MAX_LEVEL = 5
REQUIRED_SECTIONS = ("What you will build", "Warm-up", "Recap")
# Tags that excuse a cell; nbval reads its own also from comments, written # NBVAL_SKIP.
EXCUSES = (
    "raises-exception",
    "skip-execution",
    "nbval-skip",
    "nbval-ignore-output",
    "nbval-raises-exception",
    "pytest-validate-ignore-output",
)
# To look at or do: a folded answer, a line of a table, a picture.
THING = re.compile(
    r"<details.*?</details>|^ *\|[^\n]*|!\[.*?\]\(.*?\)|<img.*?>", re.DOTALL | re.MULTILINE
)
GLOSSARY_LINK = re.compile(r"\]\(glossary\.md#([^)\s]+)\)")


class Breach(NamedTuple):
    """A broken rule: where (a cell, or None for the whole lesson), what, and what mends it."""

    cell: Cell | None
    what: str


class Facts(NamedTuple):
    """What the rules need to know besides the cells."""

    lesson: Lesson
    registered: Sequence[str]  # ids in the lesson's checks module
    anchors: frozenset[str]  # of the glossary


Rule = Callable[[Sequence[Cell], Facts], Iterator[Breach]]


def enforce(cells: Sequence[Cell], facts: Facts) -> None:
    """Raise LessonError with every breach of every rule, if there is any."""
    breaches = [breach for rule in RULES for breach in rule(cells, facts)]
    if breaches:
        lines = [
            f"lesson {facts.lesson.slug}, {breach.cell.name if breach.cell else 'all of it'}: "
            f"{breach.what}"
            for breach in breaches
        ]
        raise LessonError("\n".join(lines))


def glossary_anchors(text: str) -> frozenset[str]:
    """The anchors of a markdown file's headings, as JupyterLab and GitHub form them."""
    headings = re.findall(r"^#+ +(.+)$", text, re.MULTILINE)
    return frozenset(re.sub(r"[^\w\- ]", "", h.strip().lower()).replace(" ", "-") for h in headings)


def exercise_ids(cells: Sequence[Cell], facts: Facts) -> Iterator[Breach]:
    """Each exercise is registered, belongs to this lesson and occurs once; none is left out."""
    seen: set[str] = set()
    for cell in cells:
        if cell.exercise_id is None:
            continue
        if not cell.exercise_id.startswith(f"{facts.lesson.number:02d}."):
            wanted = f"{facts.lesson.number:02d}."
            yield Breach(
                cell, f"{cell.exercise_id} is of another lesson: ids here start with {wanted}"
            )
        elif cell.exercise_id not in facts.registered:
            known = ", ".join(facts.registered) or "none"
            yield Breach(cell, f"{cell.exercise_id} has no registered check; registered: {known}")
        if cell.exercise_id in seen:
            yield Breach(cell, f"{cell.exercise_id} occurs twice: give each exercise its own id")
        seen.add(cell.exercise_id)
    for missing in sorted(set(facts.registered) - seen):
        yield Breach(None, f"{missing} has a check and no cell: add the exercise or drop the check")


def exercise_labels(cells: Sequence[Cell], facts: Facts) -> Iterator[Breach]:
    """The cell before an exercise has its heading and its labels."""
    for before, cell, _, _ in _exercises(cells):
        source = before.source if before and before.kind == "markdown" else ""
        heading, labels = HEADING.search(source), LABELS.search(source)
        if heading is None or heading["id"] != cell.exercise_id:
            wanted = f"### Exercise {cell.exercise_id}: its title"
            yield Breach(cell, f"no heading: the markdown cell before it needs `{wanted}`")
        if labels is None:
            wanted = "difficulty 2 · importance 5 · 10 minutes"
            yield Breach(cell, f"no labels: the markdown cell before it needs a line as `{wanted}`")
            continue
        for label in ("difficulty", "importance"):
            if not 1 <= int(labels[label]) <= MAX_LEVEL:
                yield Breach(cell, f"{label} {labels[label]}: choose from 1 to {MAX_LEVEL}")
        if not 1 <= int(labels["minutes"]) <= facts.lesson.work_minutes:
            budget = facts.lesson.work_minutes
            yield Breach(cell, f"{labels['minutes']} minutes: the whole lesson has {budget}")


def exercise_followers(cells: Sequence[Cell], facts: Facts) -> Iterator[Breach]:
    """After an exercise come its check, and then exactly two hints."""
    for _, cell, check, folded in _exercises(cells):
        name = re.search(r"^def (\w+)", cell.source, re.MULTILINE)
        if name is None:
            yield Breach(cell, "no function: an exercise is a `def` below @exercise")
        elif check is None or f"check({name[1]})" not in check.source:
            yield Breach(cell, f"no check: the next cell must call check({name[1]})")
        if folded is None or "hints" not in folded.tags:
            yield Breach(cell, 'no hints: after the check, add a markdown cell with tags=["hints"]')
        elif len(hints(folded.source)) != 2:
            number = len(hints(folded.source))
            yield Breach(folded, f"{number} hints: write a list of two, a nudge and the approach")


def exercise_regions(cells: Sequence[Cell], facts: Facts) -> Iterator[Breach]:
    """The solution region is there and of a size to write; a stub is comments only."""
    for _, cell, _, _ in _exercises(cells):
        try:
            regions = split_regions(cell.source)
        except ValueError as error:
            yield Breach(cell, str(error))
            continue
        number = _count_lines(regions.solution)
        if number not in SOLUTION_LINES:
            low, high = SOLUTION_LINES[0], SOLUTION_LINES[-1]
            yield Breach(cell, f"a solution of {number} lines: {low} to {high} are to be written")
        around = _count_lines(regions.before) + _count_lines(regions.after)
        if around > MAX_EXERCISE_LINES:
            yield Breach(cell, f"{around} lines around the solution: {MAX_EXERCISE_LINES} at most")
        if any(line.strip() and line.strip()[0] != "#" for line in regions.stub.split("\n")):
            yield Breach(cell, "code in the stub region: its lines are comments, start them with #")


def valid_python(cells: Sequence[Cell], facts: Facts) -> Iterator[Breach]:
    """Every code cell parses, with the solution and without it."""
    for cell in _code(cells):
        try:
            ast.parse(cell.source)
            ast.parse(learner_code(cell))
        except SyntaxError as error:
            yield Breach(cell, f"not valid Python: {error.msg} in its line {error.lineno}")
        except ValueError:  # the regions are wrong, which `exercise_regions` reports
            continue


def short_cells(cells: Sequence[Cell], facts: Facts) -> Iterator[Breach]:
    """Code cells stay short; exercises have a rule of their own."""
    for cell in _code(cells):
        number = _count_lines(cell.source)
        if cell.exercise_id is None and number > MAX_CELL_LINES:
            mend = "split it, or move code to the package"
            yield Breach(cell, f"{number} lines of code, {MAX_CELL_LINES} at most: {mend}")


def short_texts(cells: Sequence[Cell], facts: Facts) -> Iterator[Breach]:
    """Few words stand between two things to look at or do, up to the last code cell."""
    since_code: list[Cell] = []
    for cell in cells:
        if cell.kind == "markdown":
            since_code.append(cell)
            continue
        words = _longest_text("\n".join(map(_shown, since_code)))
        if words > MAX_WORDS:
            mend = "shorten or fold it, or add a cell to run"
            yield Breach(since_code[0], f"{words} words on end, {MAX_WORDS} at most: {mend}")
        since_code = []


def required_sections(cells: Sequence[Cell], facts: Facts) -> Iterator[Breach]:
    """The sections that each lesson has."""
    text = "\n".join(cell.source for cell in cells if cell.kind == "markdown")
    for section in REQUIRED_SECTIONS:
        if not re.search(rf"^#+ .*{section}", text, re.MULTILINE | re.IGNORECASE):
            yield Breach(None, f"no section `## {section}`: add it")


def glossary_links(cells: Sequence[Cell], facts: Facts) -> Iterator[Breach]:
    """Links to the glossary lead somewhere."""
    for cell in cells:
        for anchor in GLOSSARY_LINK.findall(cell.source) if cell.kind == "markdown" else ():
            if anchor not in facts.anchors:
                yield Breach(cell, f"glossary.md has no #{anchor}: add its heading to the glossary")


def excuses(source: str, tags: Iterable[str]) -> list[str]:
    """The tags, and the comments in a code cell, that let the cell fail or be left out unseen."""
    comments = re.findall(r"^[ \t]*#+[ \t]*(\w+)[ \t]*$", source, re.MULTILINE)
    marked = [word for word in comments if word.lower().replace("_", "-") in EXCUSES]
    return marked + [tag for tag in tags if tag in EXCUSES]


def no_skips(cells: Sequence[Cell], facts: Facts) -> Iterator[Breach]:
    """No cell is excused from running cleanly."""
    for cell in cells:
        for found in excuses(cell.source if cell.kind == "code" else "", cell.tags):
            yield Breach(cell, f"{found}: every cell must run cleanly, remove the tag or comment")


def imports_on_top(cells: Sequence[Cell], facts: Facts) -> Iterator[Breach]:
    """Imports stand in the first code cell."""
    for cell in _code(cells)[1:]:
        if re.search(r"^\s*(import|from \S+ import)\b", cell.source, re.MULTILINE):
            yield Breach(cell, "an import: move it to the first code cell")


RULES: tuple[Rule, ...] = (
    exercise_ids,
    exercise_labels,
    exercise_followers,
    exercise_regions,
    valid_python,
    short_cells,
    short_texts,
    required_sections,
    glossary_links,
    no_skips,
    imports_on_top,
)


def _code(cells: Sequence[Cell]) -> list[Cell]:
    return [cell for cell in cells if cell.kind == "code"]


def _exercises(
    cells: Sequence[Cell],
) -> Iterator[tuple[Cell | None, Cell, Cell | None, Cell | None]]:
    """For each exercise: the cell before it, its own, and the two that follow."""
    padded = [None, *cells, None, None]
    for i, cell in enumerate(cells, start=1):
        if cell.exercise_id is not None:
            yield padded[i - 1], cell, padded[i + 1], padded[i + 2]


def _count_lines(source: str) -> int:
    return sum(1 for line in source.split("\n") if line.strip())


def _shown(cell: Cell) -> str:
    """The text as learners meet it, in which hints are folded."""
    return "<details></details>" if "hints" in cell.tags else cell.source


def _longest_text(markdown: str) -> int:
    """The words of the longest stretch of text without a question to unfold, table or picture."""
    return max(len(stretch.split()) for stretch in THING.split(markdown))
