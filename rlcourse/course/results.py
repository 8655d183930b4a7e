"""Where a notebook keeps what its experiments wrote, so that an interrupted cell can go on."""

import hashlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rlcourse.course import progress


def results_folder(name: str, config: Any, *answers: Callable[..., Any]) -> Path:
    """The folder of one experiment with one configuration and one version of the learner's code.

    Running a cell again with nothing changed takes up where it was interrupted, or finds the result
    finished. With another configuration, or an answer that was edited, the folder is a new one.

    Args:
        name: of the experiment.
        config: its configuration; its repr tells configurations apart.
        answers: the learner's functions that the experiment uses.
    """
    code = [inspect.getsource(answer) for answer in answers]
    written = [str(getattr(answer, "stands_in", False)) for answer in answers]
    version = hashlib.sha256("\0".join([repr(config), *code, *written]).encode()).hexdigest()[:10]
    return progress.progress_path().parent / "results" / f"{name}-{version}"
