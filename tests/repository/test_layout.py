"""The limits that keep the repository readable: sizes, names at the top level, clean imports."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE_FOLDERS = ("rlcourse", "benchmarks", "tests")
MODULES = sorted(path for name in SOURCE_FOLDERS for path in (ROOT / name).rglob("*.py"))
MAX_MODULE_LINES, MAX_FUNCTION_LINES, MAX_LINE_LENGTH = 399, 59, 100
TOP_LEVEL = {
    ".ci",
    ".gitignore",
    "LICENSE",
    "LOG.md",
    "Makefile",
    "README.md",
    "benchmarks",
    "data",
    "environment.yml",
    "notebooks",
    "pyproject.toml",
    "requirements-bench.txt",
    "requirements-dev.txt",
    "requirements-rlax.txt",
    "requirements.txt",
    "rlcourse",
    "solutions",
    "tests",
}
# A text that names one of these works on one machine only.
MACHINE_PATHS = ("/home" + "/", "/Users" + "/", "/work" + "/", "/root" + "/", "C:" + "\\\\")
TEXT_SUFFIXES = {".py", ".md", ".toml", ".txt", ".yml", ".ipynb", ".json", ".csv", ""}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text())
    return [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]


def tracked_files() -> list[Path]:
    """Files that git knows or would add."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if listing.returncode != 0:
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in listing.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file()]


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_modules_functions_and_lines_are_short(path):
    lines = path.read_text().splitlines()
    too_long = [f"line {i}" for i, line in enumerate(lines, 1) if len(line) > MAX_LINE_LENGTH]
    too_long += [
        f"{node.name}, {node.end_lineno - node.lineno + 1} lines"
        for node in functions(path)
        if node.end_lineno - node.lineno + 1 > MAX_FUNCTION_LINES
    ]
    if len(lines) > MAX_MODULE_LINES:
        too_long.append(f"the module, {len(lines)} lines")
    assert not too_long, f"{relative(path)}: too long: {too_long}"


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_annotations_are_evaluated(path):
    tree = ast.parse(path.read_text())
    imports = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert "__future__" not in imports, f"{relative(path)}: shapes are checked from annotations"


def test_init_files_are_empty():
    filled = [relative(p) for p in (ROOT / "rlcourse").rglob("__init__.py") if p.read_text()]
    assert not filled


def test_every_package_folder_has_an_init_file():
    folders = {path.parent for path in (ROOT / "rlcourse").rglob("*.py")}
    assert not [relative(folder) for folder in folders if not (folder / "__init__.py").exists()]


def test_the_top_level_is_as_planned():
    found = {path.relative_to(ROOT).parts[0] for path in tracked_files()}
    assert found - TOP_LEVEL == set(), "not planned: move it, or extend TOP_LEVEL on purpose"
    assert TOP_LEVEL - found == set(), "missing"


def test_no_text_names_a_path_of_one_machine():
    guilty = []
    for path in tracked_files():
        if path.suffix not in TEXT_SUFFIXES:
            continue
        text = path.read_text(errors="ignore")
        guilty += [f"{relative(path)}: {name}" for name in MACHINE_PATHS if name in text]
    assert not guilty


IMPORT_PROBE = """
import importlib, os, pathlib, random, sys, warnings
import gymnasium, ipywidgets, IPython, matplotlib.pyplot, numba, numpy, torch, tqdm.auto
def world():
    return (
        torch.initial_seed(), torch.get_rng_state().sum().item(), torch.get_default_dtype(),
        torch.get_num_threads(), torch.is_grad_enabled(), random.getstate(),
        tuple(numpy.random.get_state()[1]), dict(os.environ), os.getcwd(), sys.path[:],
        sorted(p.name for p in pathlib.Path.cwd().iterdir()), warnings.filters[:],
        dict(matplotlib.rcParams),
    )
names = sys.argv[1:]
before = world()
for name in names:
    importlib.import_module(name)
    assert world() == before, f"importing {name} changes the state of the process"
heavy = {"rlax", "jax", "ray", "ale_py", "playwright", "jupyterlab", "nbval", "pytest"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""


def module_names() -> list[str]:
    paths = (ROOT / "rlcourse").rglob("*.py")
    dotted = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    return sorted(name.removesuffix(".__init__") for name in dotted)


def test_importing_any_module_has_no_effect(tmp_path):
    names = [name for name in module_names() if not name.endswith("__main__")]
    command = [sys.executable, "-c", IMPORT_PROBE, *names]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "", f"importing prints: {result.stdout}"


def test_every_benchmark_has_a_main_function():
    for path in sorted((ROOT / "benchmarks").glob("*.py")):
        assert "main" in {node.name for node in functions(path)}, relative(path)
