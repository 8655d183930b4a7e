"""What is installed, what is missing, and the command that mends it."""

import importlib.metadata
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from ctypes.util import find_library
from pathlib import Path
from typing import NamedTuple

from rlcourse.course.progress import progress_path
from rlcourse.course.requirements import PACKAGE, Need, needs, pip_command

MIN_PYTHON = (3, 11)


class Finding(NamedTuple):
    """One line of the report. `mend` is empty where all is well; `core` findings are errors."""

    name: str
    state: str
    mend: str = ""
    core: bool = False


def doctor() -> int:
    """Print the report; the exit status is 1 if something is missing that every lesson needs."""
    findings = list(examine())
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        mark = "ok " if not finding.mend else "!! " if finding.core else "-  "
        print(f"{mark} {finding.name:<{width}}  {finding.state}")
        if finding.mend:
            print(f"    {'':<{width}} mend: {finding.mend}")
    broken = [finding.name for finding in findings if finding.core and finding.mend]
    if broken:
        print(f"\nThe course cannot run yet: {', '.join(broken)}.")
    else:
        print("\nThe course can run. Lines marked - are optional.")
    return 1 if broken else 0


def examine() -> Iterator[Finding]:
    """Look at everything the course uses."""
    old = sys.version_info < MIN_PYTHON
    wanted = ".".join(map(str, MIN_PYTHON))
    yield Finding(
        "Python",
        platform.python_version(),
        f"install Python {wanted} or newer" if old else "",
        True,
    )
    yield from _packages()
    yield _progress(progress_path())
    yield _program("git", ("git",), "apt-get install git")
    yield _program("chromium", ("chromium", "chromium-browser"), "apt-get install chromium")
    yield _program("gnugo", ("gnugo", "/usr/games/gnugo"), "apt-get install gnugo")
    egl = find_library("EGL")
    yield Finding(
        "EGL",
        egl or "missing: MuJoCo draws no camera pictures",
        _unless(egl, "apt-get install libegl1"),
    )


def _packages() -> Iterator[Finding]:
    try:
        found = needs()
    except ModuleNotFoundError as error:
        yield Finding(PACKAGE, "not installed", str(error).partition("run: ")[2], True)
        return
    yield Finding(PACKAGE, importlib.metadata.version(PACKAGE))
    for need in found:
        name = need.name + (f" [{need.extra}]" if need.extra else "")
        mend = "" if need.met else pip_command([need])
        yield Finding(name, _state(need), mend, core=not need.extra)


def _state(need: Need) -> str:
    if need.installed is None:
        return f"missing, {need.wanted or 'any version'} is wanted"
    return need.installed if need.met else f"{need.installed}, {need.wanted} is wanted"


def _program(name: str, candidates: tuple[str, ...], mend: str) -> Finding:
    path = next(filter(None, map(shutil.which, candidates)), None)
    return Finding(name, path or "missing", _unless(path, mend))


def _progress(path: Path) -> Finding:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            return Finding("progress", str(path))
    except OSError as error:
        mend = "set RLCOURSE_PROGRESS to a file in a folder that can be written"
        return Finding("progress", f"not writable ({error})", mend)


def _unless(found: str | None, mend: str) -> str:
    return "" if found else mend
