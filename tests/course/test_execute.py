"""A real kernel: strict mode, the preset, the temporary progress, and the measured figures."""

import pytest

from rlcourse.course.execute import execute
from rlcourse.course.lesson_source import LessonError

pytest.importorskip("nbclient")

METADATA = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
CODE = """\
import os, sys
from rlcourse.course import progress
progress.record("97.double", passed=True)
names = ("RLCOURSE_STRICT", "RLCOURSE_PRESET", "RLCOURSE_PROGRESS")
print([os.environ[name] for name in names])
print("a progress bar", file=sys.stderr)"""


def notebook(*codes):
    cells = [
        {
            "cell_type": "code",
            "execution_count": None,
            "id": f"cell{i}",
            "metadata": {},
            "outputs": [],
            "source": code,
        }
        for i, code in enumerate(codes)
    ]
    return {"cells": cells, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5}


def test_executes_in_strict_mode_and_measures(project):
    executed, measured = execute(notebook(CODE, "1 + 1"), "97_fake", project.root, "smoke")
    (printed,), (value,) = (cell["outputs"] for cell in executed["cells"])
    assert printed["text"] == "['1', 'smoke', '~/.rlcourse/progress.json']\n"
    assert value["data"] == {"text/plain": "2"}
    assert [cell["execution_count"] for cell in executed["cells"]] == [1, 2]
    assert executed["metadata"] == METADATA
    assert measured.preset == "smoke"
    assert 0 < measured.seconds < 120
    assert measured.megabytes > 10


def test_a_cell_that_raises_is_named(project):
    with pytest.raises(LessonError, match=r"(?s)97_fake\.ipynb does not run.*no such thing") as e:
        execute(notebook("raise KeyError('no such thing')"), "97_fake", project.root, "smoke")
    assert "\x1b" not in str(e.value)
