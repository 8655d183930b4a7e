"""How far a reader of one algorithm has to walk: the files and lines reachable by imports.

Not counted: what is imported for annotations alone; the implementations of `types.Index`, whose
protocol says all that an algorithm needs; and the second of the two backends of the Go engine,
which does what the first does. Files that only put algorithms together, from other files, are no
algorithms.
"""

from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[2]
ALGORITHM_PACKAGES = ("klrl", "priors", "baselines", "episodic", "rarl", "go")
INDEXES = ("rlcourse.data.index", "rlcourse.data.faiss_index", "rlcourse.data.key_table")
NOT_COUNTED = (*INDEXES, "rlcourse.go.kernel_torch")
TOGETHER = ("rlcourse.go.saved_agent", "rlcourse.go.stored_database")
MAX_FILES, MAX_LINES = 10, 2_000


def algorithm_modules() -> list[str]:
    """The dotted names of all algorithm files."""
    found = [
        path
        for package in ALGORITHM_PACKAGES
        for path in sorted((ROOT / "rlcourse" / package).glob("*.py"))
        if path.name != "__init__.py"
    ]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in found]
    return [name for name in names if name not in (*NOT_COUNTED, *TOGETHER)]


def module_path(name: str) -> Path:
    plain = ROOT.joinpath(*name.split("."))
    package = plain / "__init__.py"
    return package if package.exists() else plain.with_suffix(".py")


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    built = grimp.build_graph("rlcourse", cache_dir=None, exclude_type_checking_imports=True)
    for module in NOT_COUNTED:
        built.remove_module(module)
    return built


def reachable(graph: grimp.ImportGraph, module: str) -> list[Path]:
    """The file and all that it imports, directly or not; empty files do not count."""
    names = {module} | graph.find_upstream_modules(module)
    paths = [module_path(name) for name in names]
    return [path for path in paths if path.read_text()]


def test_no_algorithm_is_far_away(graph, record_property):
    rows = {}
    for module in algorithm_modules():
        paths = reachable(graph, module)
        rows[module] = (len(paths), sum(len(path.read_text().splitlines()) for path in paths))
    table = [f"| {'files and lines reachable from':32} | files | lines |"]
    table += [f"| {'-' * 32} | ----: | ----: |"]
    for name, (files, lines) in [*rows.items(), ("at most", (MAX_FILES, MAX_LINES))]:
        table += [f"| {name:32} | {files:5} | {lines:5} |"]
    record_property("table", "\n".join(table))
    too_far = {m: row for m, row in rows.items() if row[0] > MAX_FILES or row[1] > MAX_LINES}
    assert rows, "no algorithm found"
    assert not too_far
