"""A pytest plugin for nbval: smallest preset, progress apart from the learner's, table of times.

RLCOURSE_STRICT=1 python -m pytest -p tests.notebooks.smoke --nbval-lax solutions
"""

import os
import tempfile
from collections import defaultdict
from functools import partial
from pathlib import Path

import nbval.kernel

from rlcourse.course.execute import kernel_address

BUDGET_SECONDS = 60  # per notebook at `smoke`; reported, not enforced: machines differ


def pytest_configure(config):
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ["RLCOURSE_PRESET"] = "smoke"
    folder = tempfile.mkdtemp(prefix="rlcourse-smoke-")
    os.environ["RLCOURSE_PROGRESS"] = str(Path(folder) / "progress.json")
    manager = partial(nbval.kernel.KernelManager, **kernel_address(folder))
    nbval.kernel.KernelManager = manager  # it has no option for the address


def pytest_terminal_summary(terminalreporter):
    seconds = defaultdict(float)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if hasattr(report, "duration"):
                seconds[report.nodeid.partition("::")[0]] += report.duration
    if not seconds:
        return
    mode = "strict" if os.environ.get("RLCOURSE_STRICT") == "1" else "unsolved, with the fallback"
    terminalreporter.section(f"seconds per notebook at smoke, {mode}")
    for name, taken in sorted(seconds.items()):
        note = "" if taken <= BUDGET_SECONDS else f"   over the budget of {BUDGET_SECONDS}"
        terminalreporter.write_line(f"{taken:8.1f}  {name}{note}")
