"""The learner's progress: a local JSON file that nothing can spoil, and the map drawn from it.

The file is RLCOURSE_PROGRESS, or ~/.rlcourse/progress.json. Each write reads it again under a lock
and replaces it in one step, so that two kernels keep each other's entries. A corrupt file is moved
aside, never overwritten. Where nothing can be written, progress is kept in memory, and said so.
"""

import contextlib
import functools
import html
import json
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlcourse.course.banner import announce, show
from rlcourse.course.course_map import course_map_html, course_map_text
from rlcourse.course.outline import available_lessons

VERSION = 1
LOCK_WAIT_SECONDS = 2.0
LOCK_STALE_SECONDS = 10.0
TITLE = "PROGRESS IS NOT SAVED"
# What JSON that is cut, nested too deep, or not made by this course raises.
CORRUPT = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)


class NewerFileError(Exception):
    """The file was written by a newer version of the course."""


@dataclass
class Session:
    """What this process knows besides the file."""

    lesson: str = ""
    unsaved: dict[str, dict[str, Any]] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)


@functools.cache
def session() -> Session:
    """The session of this process."""
    return Session()


def progress_path() -> Path:
    """Where progress is kept."""
    chosen = os.environ.get("RLCOURSE_PROGRESS")
    return Path(chosen) if chosen else Path.home() / ".rlcourse" / "progress.json"


def begin(slug: str) -> None:
    """Mark the lesson that this notebook works through."""
    session().lesson = slug


def record(exercise_id: str, passed: bool) -> None:
    """Count an attempt at an exercise; once passed, it stays passed."""
    path = progress_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _lock(path):
            entries = _read(path)
            _add_unsaved(entries)
            entries[exercise_id] = _merge(entries.get(exercise_id), _attempt(passed))
            _write(path, entries)
        session().unsaved.clear()
    except (OSError, NewerFileError) as error:
        unsaved = session().unsaved
        unsaved[exercise_id] = _merge(unsaved.get(exercise_id), _attempt(passed))
        tell_once(TITLE, f"Progress cannot be saved ({error}); it is kept until this kernel stops.")


def passed_exercises() -> set[str]:
    """The ids of all exercises passed so far, in the file or in this session."""
    try:
        entries = _read(progress_path())
    except (OSError, NewerFileError) as error:
        entries = {}
        tell_once(TITLE, f"The saved progress cannot be read ({error}); this session's is shown.")
    _add_unsaved(entries)
    return {exercise_id for exercise_id, entry in entries.items() if entry["passed"]}


def progress() -> None:
    """Draw the course map with what is solved so far."""
    counts = solved_counts()
    current = session().lesson
    solved, total = (sum(numbers) for numbers in zip(*counts.values(), strict=True))
    summary = f"{solved} of {total} exercises solved · kept in {progress_path()}"
    picture = course_map_html(counts, current)
    caption = (
        '<div style="font-family:system-ui,sans-serif;font-size:13px" class="rlcourse-progress">'
        f"{html.escape(summary)}</div>"
    )
    show(picture + caption, f"{course_map_text(counts, current)}\n{summary}")


def solved_counts() -> dict[str, tuple[int, int]]:
    """Slug of each available lesson -> (exercises solved, exercises in all)."""
    from rlcourse.course.catalog import lesson_exercises  # loads torch, see `threads`

    passed = passed_exercises()
    counts = {}
    for lesson in available_lessons():
        ids = [exercise.id for exercise in lesson_exercises(f"{lesson.number:02d}")]
        counts[lesson.slug] = (sum(exercise_id in passed for exercise_id in ids), len(ids))
    return counts


def tell_once(title: str, text: str) -> None:
    """Show a notice, unless this session has shown it before."""
    if text not in session().told:
        session().told.add(text)
        announce(title, text, "orange", "notice")


def _attempt(passed: bool) -> dict[str, Any]:
    return {"passed": passed, "attempts": 1}


def _merge(old: dict[str, Any] | None, new: dict[str, Any]) -> dict[str, Any]:
    if old is None:
        return new
    return {
        "passed": old["passed"] or new["passed"],
        "attempts": old["attempts"] + new["attempts"],
    }


def _add_unsaved(entries: dict[str, dict[str, Any]]) -> None:
    """Merge into `entries` what this session could not save."""
    for exercise_id, entry in session().unsaved.items():
        entries[exercise_id] = _merge(entries.get(exercise_id), entry)


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """The entries of the file; empty if there is none, or if it was corrupt and is moved aside."""
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except UnicodeDecodeError:
        return _set_aside(path)
    try:
        return _entries(json.loads(text))
    except CORRUPT:
        return _set_aside(path)


def _entries(document: Any) -> dict[str, dict[str, Any]]:
    """The validated entries of a parsed file; a corrupt one raises what `_read` catches."""
    if document["version"] > VERSION:
        raise NewerFileError(
            f"version {document['version']} of the file, this course writes {VERSION}"
        )
    entries = document["exercises"]
    return {
        str(exercise_id): {"passed": bool(entry["passed"]), "attempts": int(entry["attempts"])}
        for exercise_id, entry in entries.items()
    }


def _set_aside(path: Path) -> dict[str, dict[str, Any]]:
    stamp = time.strftime("%Y%m%d-%H%M%S")
    aside = path.with_name(f"{path.stem}.corrupt-{stamp}-{time.monotonic_ns()}{path.suffix}")
    path.rename(aside)
    announce(
        "PROGRESS STARTS AFRESH",
        f"{path} could not be read. It is kept unchanged as {aside}; a new file is begun.",
        "orange",
        "notice",
    )
    return {}


def _write(path: Path, entries: dict[str, dict[str, Any]]) -> None:
    if path.exists() and not path.stat().st_mode & stat.S_IWUSR:
        raise PermissionError(f"{path} is read-only")
    document = {"version": VERSION, "exercises": dict(sorted(entries.items()))}
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    os.replace(part, path)


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold `path`.lock; a lock left behind by a kernel that died is removed after a while."""
    lock = path.with_name(path.name + ".lock")
    patience = time.monotonic() + LOCK_WAIT_SECONDS
    while True:
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            break
        except FileExistsError:
            if _age(lock) > LOCK_STALE_SECONDS:
                lock.unlink(missing_ok=True)
            elif time.monotonic() > patience:
                raise TimeoutError(f"{lock} is held by another kernel") from None
            time.sleep(0.01)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
