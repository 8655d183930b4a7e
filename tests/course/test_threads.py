"""OpenMP's waiting policy is set before torch is imported, and a user's own one is kept."""

import subprocess
import sys

import pytest

from rlcourse.course.threads import wait_passively

LOADED = "import sys; print('torch' in sys.modules)"


def test_a_policy_is_set_once(monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    wait_passively()
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    wait_passively()
    import os

    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"


@pytest.mark.parametrize("module", ["rlcourse.__main__", "rlcourse.course.setup"])
def test_importing_the_entry_points_does_not_load_torch(module: str):
    code = f"import {module}; {LOADED}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
