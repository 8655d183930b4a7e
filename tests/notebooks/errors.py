"""Which errors of an executed notebook come from unwritten exercises, and which do not."""

import ast
import re
from typing import Any, NamedTuple

EXERCISE = re.compile(r"""^@exercise\(\s*["']([^"']+)["']""", re.MULTILINE)


class CellError(NamedTuple):
    """The error that one cell ended with."""

    cell: int
    kind: str
    message: str


def exercise_ids(notebook: Any) -> list[str]:
    """The exercises that the notebook's cells define, in order."""
    return [
        found
        for cell in notebook.cells
        if cell.cell_type == "code"
        for found in EXERCISE.findall(cell.source)
    ]


def cell_errors(notebook: Any) -> list[CellError]:
    """All errors, in order."""
    return [
        CellError(number, output.ename, output.evalue)
        for number, cell in enumerate(notebook.cells)
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "error"
    ]


def unexpected_errors(notebook: Any) -> list[CellError]:
    """Errors that an unwritten exercise does not explain.

    Explained are NotImplementedError, and a NameError for a name that a failed cell would define.
    """
    lost: set[str] = set()
    unexpected = []
    for error in cell_errors(notebook):
        if not (error.kind == "NotImplementedError" or _missing_name(error) in lost):
            unexpected.append(error)
            continue
        lost |= defined_names(notebook.cells[error.cell].source)
    return unexpected


def defined_names(source: str) -> set[str]:
    """The names that a cell binds at its top level."""
    plain = "\n".join(
        "pass" if line.startswith(("%", "!")) else line for line in source.split("\n")
    )
    finder = _TopLevelNames()
    finder.visit(ast.parse(plain))
    return finder.names


class _TopLevelNames(ast.NodeVisitor):
    def __init__(self) -> None:
        self.names: set[str] = set()

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Store):
            self.names.add(node.id)

    def visit_alias(self, node: ast.alias) -> None:
        self.names.add((node.asname or node.name).partition(".")[0])

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self.names.add(node.name)  # what its body binds is local

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.names.add(node.name)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        pass

    def visit_ListComp(self, node: ast.ListComp) -> None:
        pass

    visit_SetComp = visit_DictComp = visit_GeneratorExp = visit_ListComp  # noqa: N815


def _missing_name(error: CellError) -> str | None:
    found = re.match(r"name '(\w+)' is not defined", error.message)
    return found.group(1) if error.kind == "NameError" and found else None
