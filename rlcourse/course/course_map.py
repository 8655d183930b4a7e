"""The drawn map of the course: every lesson in its part, and how far the learner has come."""

import base64
import html
import textwrap
from collections.abc import Mapping
from typing import Any

from rlcourse.course.outline import LESSONS, PARTS, Lesson, Part

# Lesson slug -> (exercises solved, exercises in all)
Counts = Mapping[str, tuple[int, int]]

# Okabe and Ito's blue, green and vermillion on a light card of our own: the same in every theme.
BLUE, GREEN, VERMILLION = "#0072B2", "#009E73", "#D55E00"
INK, MUTED, LINE, PAPER, FILL = "#1F2937", "#6B7280", "#D1D5DB", "#FFFFFF", "#F3F4F6"

WIDTH, MARGIN, TOP = 960, 24, 58
TRAIL_X, LABEL_X, CARDS_X = 44, 72, 226
CARD_WIDTH, CARD_HEIGHT, GAP, ROW = 168, 62, 10, 76
HEIGHT = TOP + ROW * len(PARTS) + MARGIN - (ROW - CARD_HEIGHT)


def course_map_svg(counts: Counts | None = None, current: str = "") -> str:
    """A standalone SVG of the course.

    Args:
        counts: solved and total exercises of the available lessons; None shows work times instead.
        current: slug of the lesson to mark, or empty.
    """
    rows = "\n".join(_row(part, row, counts, current) for row, part in enumerate(PARTS))
    trail_end = TOP + ROW * (len(PARTS) - 1) + CARD_HEIGHT / 2
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" \
width="{WIDTH}" height="{HEIGHT}" role="img" aria-labelledby="map-title map-summary" \
font-family="system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif">
<title id="map-title">Map of the course</title>
<desc id="map-summary">{html.escape(map_summary(counts, current))}</desc>
<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="12" fill="{PAPER}" \
stroke="{LINE}"/>
{_text(MARGIN, 34, "Map of the course", size=17, weight=600)}
{_legend(counts)}
<line x1="{TRAIL_X}" y1="{TOP + CARD_HEIGHT / 2}" x2="{TRAIL_X}" y2="{trail_end}" \
stroke="{LINE}" stroke-width="2"/>
{rows}
</svg>"""


def course_map_html(counts: Counts | None = None, current: str = "") -> str:
    """The map as an image with its data inside, which untrusted notebooks show as well."""
    data = base64.b64encode(course_map_svg(counts, current).encode()).decode()
    return (
        f'<img alt="{html.escape(map_summary(counts, current))}" '
        f'style="width:100%;max-width:{WIDTH}px" src="data:image/svg+xml;base64,{data}">'
    )


def course_map_text(counts: Counts | None = None, current: str = "") -> str:
    """The map as plain text; `>` marks the current lesson."""
    lines = []
    for part in PARTS:
        lines.append(f"{part.numeral} {part.title}".strip())
        for lesson in lessons_of(part):
            mark = ">" if lesson.slug == current else " "
            name = f"{lesson.number:02d} {lesson.title}"
            lines.append(f"{mark} {name:<36} {_status(lesson, counts)}")
    return "\n".join(lines)


def map_summary(counts: Counts | None, current: str = "") -> str:
    """The map in a sentence, for readers who cannot see it."""
    available = [lesson for lesson in LESSONS if lesson.available]
    parts = [
        f"{lesson.number:02d} {lesson.title}: {_status(lesson, counts)}" for lesson in available
    ]
    here = "".join(f" You are in {lesson.title}." for lesson in LESSONS if lesson.slug == current)
    return f"{len(LESSONS)} lessons, {len(available)} available. {'; '.join(parts)}.{here}"


def lessons_of(part: Part) -> tuple[Lesson, ...]:
    """The lessons of a part, in order."""
    return tuple(lesson for lesson in LESSONS if lesson.part == part.numeral)


def _status(lesson: Lesson, counts: Counts | None) -> str:
    if not lesson.available:
        return "coming"
    if counts is None:
        return f"{lesson.work_minutes} min"
    solved, total = counts.get(lesson.slug, (0, 0))
    return f"{solved}/{total} solved"


def _row(part: Part, row: int, counts: Counts | None, current: str) -> str:
    y = TOP + ROW * row
    lessons = lessons_of(part)
    open_now = any(lesson.available for lesson in lessons)
    circle = (
        f'<circle cx="{TRAIL_X}" cy="{y + CARD_HEIGHT / 2}" r="16" '
        f'fill="{BLUE if open_now else PAPER}" stroke="{BLUE if open_now else LINE}" '
        'stroke-width="2"/>'
    )
    numeral = _text(
        TRAIL_X,
        y + CARD_HEIGHT / 2 + 5,
        part.numeral or "0",
        weight=600,
        fill=PAPER if open_now else MUTED,
        anchor="middle",
    )
    words = textwrap.wrap(part.title, 18)
    label = _lines(
        LABEL_X,
        y + CARD_HEIGHT / 2 + 4.5 - 8 * (len(words) - 1),
        words,
        fill=INK if open_now else MUTED,
        weight=600,
    )
    cards = [
        _card(lesson, CARDS_X + column * (CARD_WIDTH + GAP), y, counts, lesson.slug == current)
        for column, lesson in enumerate(lessons)
    ]
    return "\n".join([circle, numeral, label, *cards])


def _card(lesson: Lesson, x: float, y: float, counts: Counts | None, current: bool) -> str:
    solved, total = (counts or {}).get(lesson.slug, (0, 0))
    complete = lesson.available and total > 0 and solved == total
    edge = VERMILLION if current else GREEN if complete else BLUE if lesson.available else LINE
    dashes = "" if lesson.available else ' stroke-dasharray="4 3"'
    box = (
        f'<rect x="{x}" y="{y}" width="{CARD_WIDTH}" height="{CARD_HEIGHT}" rx="8" '
        f'fill="{PAPER if lesson.available else FILL}" stroke="{edge}" '
        f'stroke-width="{2.5 if current else 1.5}"{dashes}/>'
    )
    ink = INK if lesson.available else MUTED
    number = _text(
        x + 10, y + 20, f"{lesson.number:02d}", size=12, weight=600, fill=_edge_ink(edge)
    )
    title = _lines(x + 32, y + 20, textwrap.wrap(lesson.title, 19), size=12, fill=ink, weight=500)
    status = ("✓ " if complete else "") + _status(lesson, counts) + (" · here" if current else "")
    state = _text(x + CARD_WIDTH - 10, y + 52, status, size=11, fill=_edge_ink(edge), anchor="end")
    return "\n".join([box, number, title, state, _bar(x + 10, y + 46, solved, total, complete)])


def _edge_ink(edge: str) -> str:
    """The text color that goes with a card's edge; the faint line is too faint for text."""
    return MUTED if edge == LINE else edge


def _bar(x: float, y: float, solved: int, total: int, complete: bool) -> str:
    if total == 0:
        return ""
    width = 44
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="6" rx="3" fill="{LINE}"/>'
        f'<rect x="{x}" y="{y}" width="{width * solved / total:g}" height="6" rx="3" '
        f'fill="{GREEN if complete else BLUE}"/>'
    )


def _legend(counts: Counts | None) -> str:
    available = sum(lesson.available for lesson in LESSONS)
    says = f"{available} of {len(LESSONS)} lessons available"
    if counts:
        solved, total = (sum(numbers) for numbers in zip(*counts.values(), strict=True))
        says = f"{solved} of {total} exercises solved · {says}"
    return _text(WIDTH - MARGIN, 34, says, size=13, fill=MUTED, anchor="end")


def _lines(x: float, y: float, lines: list[str], size: int = 13, **style: Any) -> str:
    """Lines of text; `y` is the baseline of the first."""
    return "\n".join(
        _text(x, y + i * (size + 3), line, size=size, **style) for i, line in enumerate(lines)
    )


def _text(
    x: float,
    y: float,
    text: str,
    size: int = 13,
    fill: str = INK,
    weight: int = 400,
    anchor: str = "start",
) -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" font-weight="{weight}" fill="{fill}" '
        f'text-anchor="{anchor}">{html.escape(text)}</text>'
    )
