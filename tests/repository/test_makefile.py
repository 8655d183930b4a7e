"""What the Makefile promises, short of installing anything."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def make(*arguments: str, **variables: str) -> subprocess.CompletedProcess:
    ours = ("MAKE", "MFLAGS", "OMP")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    return subprocess.run(
        ["make", *arguments],
        cwd=ROOT,
        env=environment | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def test_openmp_threads_sleep_in_everything_that_make_starts():
    shown = make("-s", "--eval", "show: ; @echo $$OMP_WAIT_POLICY", "show")
    assert shown.stdout.strip() == "PASSIVE"


def test_an_old_python_is_refused_with_what_to_do(tmp_path):
    old = tmp_path / "python3.8"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    refused = make("venv", f"PYTHON={old}", f"VENV={tmp_path / 'venv'}")
    assert refused.returncode != 0
    assert "3.11" in refused.stdout
    assert "PYTHON=" in refused.stdout
    assert not (tmp_path / "venv").exists()


def test_an_interrupted_installation_leaves_no_stamp(tmp_path):
    """pip fails half-way: neither the old stamp nor a new one is there afterwards."""
    binaries = tmp_path / "venv" / "bin"
    binaries.mkdir(parents=True)
    python = binaries / "python"
    python.write_text('#!/bin/sh\ncase "$*" in *install*) exit 1;; esac\n')
    python.chmod(0o755)
    (tmp_path / "venv" / ".learn-1").touch()
    failed = make("learn", f"VENV={tmp_path / 'venv'}")
    assert failed.returncode != 0
    assert not list((tmp_path / "venv").glob(".learn-*"))


def test_a_second_call_installs_nothing(tmp_path):
    """With a stamp for these pins in place, `make learn` goes straight to JupyterLab."""
    binaries = tmp_path / "venv" / "bin"
    binaries.mkdir(parents=True)
    python = binaries / "python"
    python.write_text(f'#!/bin/sh\necho "$*" >> "{tmp_path}/calls"\n')
    python.chmod(0o755)
    (binaries / "jupyter").symlink_to(python)
    assert make("learn", f"VENV={tmp_path / 'venv'}").returncode == 0
    (tmp_path / "calls").unlink()
    assert make("learn", "ARGS=--no-browser", f"VENV={tmp_path / 'venv'}").returncode == 0
    calls = (tmp_path / "calls").read_text()
    assert " install " not in calls
    assert "-m jupyterlab " in calls
    assert "--no-browser" in calls


def test_the_bare_machine_script_is_valid():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
