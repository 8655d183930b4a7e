"""What the builder writes around a lesson: header, set-up cell, footer, and the README's table."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rlcourse.course.outline import (
    BRANCH,
    LESSONS,
    PARTS,
    REPOSITORY,
    Lesson,
    available_lessons,
    colab_url,
)

SETUP_TEMPLATE = """\
# Set-up: in Colab this cell installs the course's package; anywhere else it installs nothing.
import importlib.metadata, os, re, subprocess, sys

if "google.colab" in sys.modules:
    have = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions()}
    if have.pop("rlcourse", None) != "@VERSION@":
        plain = re.compile(r"\\d+(\\.\\d+)*((a|b|rc|\\.post|\\.dev)\\d+)*(\\+[a-z0-9.]+)?")
        keep = "\\n".join(f"{name}=={v}" for name, v in have.items() if name and plain.fullmatch(v))
        source = os.environ.get("RLCOURSE_SOURCE", "@SOURCE@")
        pip = [sys.executable, "-m", "pip", "install", "-q", "-c", "/dev/stdin", source]
        if (done := subprocess.run(pip, input=keep, capture_output=True, text=True)).returncode:
            raise RuntimeError("pip could not install the course:\\n" + done.stderr[-1500:])

from rlcourse.course.setup import start
start("@SLUG@")"""


class Measured(NamedTuple):
    """What the solved notebook took when it was last executed."""

    preset: str
    seconds: float
    megabytes: float
    cores: int


def read_measured(path: Path) -> dict[str, Measured]:
    """Slug -> figures; empty if nothing has been measured yet."""
    if not path.exists():
        return {}
    return {slug: Measured(**row) for slug, row in json.loads(path.read_text("utf-8")).items()}


def header(lesson: Lesson, measured: Measured | None) -> str:
    """The markdown of the first cell."""
    part = next(part for part in PARTS if part.numeral == lesson.part)
    place = f"Part {part.numeral} · {part.title}. " if part.numeral else ""
    labels = {
        "your work": f"about {lesson.work_minutes} min",
        "computing": compute_time(measured),
        "hardware": lesson.hardware,
        "before this": ", ".join(map(_link, map(_by_number, lesson.prerequisites))) or "nothing",
    }
    lines = [
        f"# {lesson.number:02d} · {lesson.title}",
        f"{place}{lesson.summary}",
        "\n".join(_table(list(labels), [list(labels.values())])),
        f"[**Open in Colab**]({colab_url(lesson)})  ·  {_neighbors(lesson)}",
        _papers(lesson),
    ]
    return "\n\n".join(line for line in lines if line)


def footer(lesson: Lesson) -> str:
    """The markdown of the last cell."""
    return f"---\n\n{_neighbors(lesson)}"


def setup_code(lesson: Lesson, version: str) -> str:
    """The code of the set-up cell, stamped with this package's version and address."""
    stamps = {
        "@VERSION@": version,
        "@SOURCE@": f"git+{REPOSITORY}@{BRANCH}",
        "@SLUG@": lesson.slug,
    }
    code = SETUP_TEMPLATE
    for stamp, value in stamps.items():
        code = code.replace(stamp, value)
    return code


def readme_table(measured: Mapping[str, Measured]) -> str:
    """The markdown table of all lessons."""
    columns = ["lesson", "what you build", "your work", "computing", "hardware", "Colab"]
    rows = []
    for lesson in LESSONS:
        name = f"{lesson.number:02d} {lesson.title}"
        if lesson.available:
            name = f"[{name}](notebooks/{lesson.slug}.ipynb)"
        rows.append(
            [
                name,
                lesson.summary,
                f"{lesson.work_minutes} min",
                compute_time(measured.get(lesson.slug)) if lesson.available else "",
                lesson.hardware,
                f"[open]({colab_url(lesson)})" if lesson.available else "coming",
            ]
        )
    return "\n".join(_table(columns, rows))


def compute_time(measured: Measured | None) -> str:
    """Measured figures in round numbers, such as "about 2 min on 2 CPU cores, 600 MB"."""
    if measured is None:
        return "not measured yet"
    if measured.seconds < 55:
        time = f"{max(10, -(-round(measured.seconds) // 10) * 10)} s"
    else:
        time = f"{max(1, round(measured.seconds / 60))} min"
    memory = round(measured.megabytes, -2)
    cores = f"{measured.cores} CPU core" + ("" if measured.cores == 1 else "s")
    return f"about {time} on {cores}, {memory:.0f} MB"


def _by_number(number: int) -> Lesson:
    return LESSONS[number]


def _link(lesson: Lesson) -> str:
    name = f"{lesson.number:02d} {lesson.title}"
    return f"[{name}]({lesson.slug}.ipynb)" if lesson.available else name


def _neighbors(lesson: Lesson) -> str:
    """Links to the available lessons before and after this one."""
    lessons = available_lessons()
    before = [other for other in lessons if other.number < lesson.number]
    after = [other for other in lessons if other.number > lesson.number]
    links = [f"← {_link(before[-1])}"] if before else []
    links += [f"{_link(after[0])} →"] if after else ["the next lesson is coming"]
    return "  ·  ".join(links)


def _papers(lesson: Lesson) -> str:
    names = []
    for paper in lesson.papers:
        where = (
            f", [arXiv:{paper.arxiv}](https://arxiv.org/abs/{paper.arxiv})" if paper.arxiv else ""
        )
        names.append(f"{paper.authors}, *{paper.title}*{where}")
    return "**Source papers**: " + "; ".join(names) + "." if names else ""


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [columns, ["---"] * len(columns), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]
