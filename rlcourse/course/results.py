"""Where a notebook keeps what its experiments wrote, so that an interrupted cell can go on."""

import functools
import hashlib
import importlib.metadata
import inspect
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from rlcourse.course import progress
from rlcourse.course.requirements import PACKAGE


def results_folder(name: str, config: Any, *answers: Callable[..., Any]) -> Path:
    """The folder of one experiment with one configuration and one version of the code.

    Running a cell again with nothing changed takes up where it was interrupted, or finds the result
    finished. With another configuration, another version of the course, or an edited answer, or an
    edited function of the notebook that an answer calls, the folder is a new one.

    Where progress cannot be saved, the folder is a temporary one, which lasts until the kernel
    stops.

    Args:
        name: of the experiment.
        config: its configuration; its repr tells configurations apart.
        answers: the learner's functions that the experiment uses.
    """
    parts = [importlib.metadata.version(PACKAGE), repr(config)]
    for function in _with_helpers(answers):
        parts += [_source(function), str(getattr(function, "stands_in", False))]
    version = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:10]
    return _writable_root() / f"{name}-{version}"


def _writable_root() -> Path:
    """The folder beside the learner's progress; a temporary one where nothing can be written."""
    root = progress.progress_path().parent / "results"
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            return root
    except OSError as error:
        temporary = Path(_temporary_folder().name)
        progress.tell_once(
            "RESULTS ARE NOT KEPT",
            f"Results cannot be saved ({error}); until this kernel stops they are in {temporary}.",
        )
        return temporary


@functools.cache
def _temporary_folder() -> tempfile.TemporaryDirectory:
    """This session's; it is removed when the process ends."""
    return tempfile.TemporaryDirectory(prefix="rlcourse-", ignore_cleanup_errors=True)


def _with_helpers(answers: tuple[Callable[..., Any], ...]) -> list[Callable[..., Any]]:
    """The answers, then each function of their own modules that they call, at any depth."""
    found = list(answers)
    for function in found:  # grows on the way
        found += [helper for helper in _called(function) if helper not in found]
    return found


def _called(function: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """The functions that `function` names and that were defined in its own module or notebook."""
    plain = inspect.unwrap(function)
    if not isinstance(plain, FunctionType):
        return
    for name in sorted(_names(plain.__code__)):
        value = plain.__globals__.get(name)
        if callable(value):
            helper = inspect.unwrap(value)
            if isinstance(helper, FunctionType) and helper.__module__ == plain.__module__:
                yield value


def _names(code: CodeType) -> set[str]:
    """The global names and attributes in `code` and in the functions inside it."""
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return set(code.co_names).union(*map(_names, inner))


def _source(function: Callable[..., Any]) -> str:
    try:
        return inspect.getsource(function)
    except OSError:  # made by exec: its compiled code tells its versions apart
        return inspect.unwrap(function).__code__.co_code.hex()
