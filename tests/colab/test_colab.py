"""Notebook 01 in an environment like Colab's: the set-up cell leaves Colab's packages alone.

A fresh virtual environment gets Colab's versions instead of our pins, and a stand-in for the module
`google.colab`. Then the notebook runs as shipped, with the package as a wheel of this checkout.

    make colab-test
    RLCOURSE_COLAB_TORCH=torch==2.13.0 RLCOURSE_COLAB_PYTHON=/usr/bin/python3.12 make colab-test

torch comes with its CUDA libraries, as in Colab: about 5 GB on disk while the test runs.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "notebooks" / "01_kl_regularized_rl.ipynb"
PYTHONS = ("3.13", "3.12")
TORCH = os.environ.get("RLCOURSE_COLAB_TORCH", "torch==2.11.0")
# As Colab has them in 2026; none of them is what requirements.txt pins.
COLAB_PACKAGES = (
    "numpy==2.1.3",
    "ipython==7.34.0",
    "ipykernel==6.17.1",
    "ipywidgets==7.7.1",
    "matplotlib==3.10.0",
    "tqdm==4.67.1",
    "packaging==24.2",
)
SHOWN = ("torch", "numpy", "ipython", "ipywidgets", "ipykernel", "matplotlib", "tqdm", "packaging")
VERSIONS = (
    "import importlib.metadata as m, json;"
    "print(json.dumps({d.name.lower(): d.version for d in m.distributions()}))"
)
pytestmark = [pytest.mark.colab, pytest.mark.slow]


def candidates() -> Iterator[str]:
    """Interpreters that may be a Python of Colab's age, best first."""
    if chosen := os.environ.get("RLCOURSE_COLAB_PYTHON"):
        yield chosen
        return
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for version in PYTHONS:
        yield from map(str, sorted(pyenv.glob(f"{version}*/bin/python"), reverse=True))
        yield f"python{version}"
    yield sys.executable


def find_python() -> str:
    """The first candidate that runs and is Python 3.12 or 3.13; skips the test without one."""
    wanted = "import sys; sys.exit(sys.version_info[:2] not in {(3, 12), (3, 13)})"
    for candidate in candidates():
        if shutil.which(candidate) is None:
            continue
        if subprocess.run([candidate, "-c", wanted], capture_output=True, check=False).returncode:
            continue
        return candidate
    pytest.skip("needs Python 3.12 or 3.13: name one in RLCOURSE_COLAB_PYTHON")


def run(*command: str | Path) -> str:
    """Runs a command; fails the test with all that it says when it does not succeed."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.fail(f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def versions(python: Path) -> dict[str, str]:
    return json.loads(run(python, "-c", VERSIONS))


@pytest.fixture
def colab(tmp_path) -> Iterator[Path]:
    """The interpreter of an environment like Colab's; removed afterwards, since it is large."""
    folder = tmp_path / "colab"
    run(find_python(), "-m", "venv", folder)
    python = folder / "bin" / "python"
    pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    begun = time.monotonic()
    run(*pip, TORCH, *COLAB_PACKAGES)
    print(f"\n{sys.platform}, {run(python, '--version').strip()}, {TORCH}: ", end="")
    print(f"installed in {time.monotonic() - begun:.0f} s")
    (site,) = (folder / "lib").glob("python3*/site-packages")
    (site / "google" / "colab").mkdir(parents=True)
    (site / "google" / "colab" / "__init__.py").write_text('"""A stand-in for Colab\'s own."""\n')
    # Colab's kernel has its module loaded before the first cell runs.
    (site / "colab_stand_in.pth").write_text("import google.colab\n")
    yield python
    shutil.rmtree(folder)


@pytest.fixture
def wheel(tmp_path) -> Path:
    """The package as a wheel of this checkout."""
    folder = tmp_path / "wheel"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    run(*pip, "wheel", "--quiet", "--no-deps", "-w", folder, ROOT)
    (found,) = folder.glob("*.whl")
    return found


def add_kernel(python: Path, folder: Path) -> str:
    """Describes the environment's kernel under a Jupyter data folder; returns its name."""
    kernel = folder / "kernels" / "like-colab"
    kernel.mkdir(parents=True)
    arguments = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    description = {"argv": arguments, "display_name": "like Colab", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(description))
    return kernel.name


def print_table(before: dict[str, str], after: dict[str, str], wheel: Path) -> None:
    print(f"\n| package | in Colab | after the set-up cell |\n| {'-' * 12} | --- | --- |")
    for name in SHOWN:
        print(f"| {name:12} | {before[name]} | {after[name]} |")
    print(f"| rlcourse     | none | {after['rlcourse']} from {wheel.name} |")


def test_notebook_01_runs_in_an_environment_like_colabs(colab, wheel, tmp_path, monkeypatch):
    before = versions(colab)
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("RLCOURSE_SOURCE", str(wheel))
    monkeypatch.setenv("RLCOURSE_PRESET", "smoke")
    monkeypatch.setenv("RLCOURSE_PROGRESS", str(tmp_path / "progress.json"))
    monkeypatch.delenv("RLCOURSE_STRICT", raising=False)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    kernel = add_kernel(colab, tmp_path / "jupyter")
    content = tmp_path / "content"
    content.mkdir()
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(notebook, timeout=900, kernel_name=kernel)
    client.resources["metadata"] = {"path": str(content)}
    setup = next(i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code")
    assert "google.colab" in notebook.cells[setup].source, "the first cell is not the set-up cell"
    begun = time.monotonic()
    with client.setup_kernel():
        client.execute_cell(notebook.cells[setup], setup)
        after, installed = versions(colab), time.monotonic()
        print_table(before, after, wheel)
        changed = {name: (v, after.get(name)) for name, v in before.items() if after.get(name) != v}
        assert not changed, "the set-up cell changed Colab's own packages"
        for index, cell in enumerate(notebook.cells):
            if index > setup and cell.cell_type == "code":
                client.execute_cell(cell, index)
    print(
        f"\nset-up cell {installed - begun:.0f} s; the rest of {NOTEBOOK.name} "
        f"{time.monotonic() - installed:.0f} s at smoke"
    )
