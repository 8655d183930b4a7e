"""Benchmarks that can be shortened run to their end, far too short to measure anything."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHORT = {
    "go_pipeline": (
        *("--preset", "smoke", "--batch-size", "8", "--num-updates", "2", "--rounds", "1"),
        *("--num-games", "12", "--num-ids", "40"),
    ),
    "index_at_scale": (
        *("--sizes", "5000", "8000", "10000", "--num-queries", "50", "--block", "4000"),
    ),
    "gridworld_vs_minigrid": (
        *("--peer-steps", "160", "--our-steps", "16384", "--verify-steps", "1000"),
    ),
    "mpo_update_over_samples": ("--repeats", "1", "--rounds", "1", "--batch-size", "16"),
    "point_mass_vs_gymnasium": (*("--seconds", "0.02", "--rounds", "1", "--verify-steps", "400"),),
    "sac_update_vs_single_file": ("--updates", "1", "--rounds", "2", "--batch-size", "32"),
    "soft_value_iteration_scaling": ("--iterations", "2"),
}


@pytest.mark.parametrize("name", SHORT)
def test_a_benchmark_prints_its_table(name):
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / f"{name}.py", *SHORT[name]],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"^\| .* \|$", done.stdout, re.MULTILINE)) >= 5, done.stdout
