"""A JupyterLab page as a learner's hands and eyes: runs, edits and reads the cells of a notebook.

Hands are real (menus, clipboard, keys). Eyes read the notebook's model, since JupyterLab takes
cells outside the window off the page.
"""

import re
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect

RUN_TIMEOUT_MS = 120_000
WAIT_TIMEOUT_MS = 30_000

PANEL = "window.jupyterapp.shell.currentWidget"
CELLS = f"{PANEL}.content.widgets.map(cell => cell.model.toJSON())"
READY = f"""name => {{
    const panel = {PANEL};
    return panel?.context?.path?.endsWith(name) && panel.context.isReady
        && panel.sessionContext.session?.kernel?.status === "idle";
}}"""
# All cells are sent to the kernel at once; those after an error are dropped, and keep no number.
FINISHED = f"""() => {{
    const code = {CELLS}.filter(c => c.cell_type === "code" && [c.source].flat().join("").trim());
    const failed = code.some(c => c.outputs.some(o => o.output_type === "error"));
    return (failed || code.every(c => c.execution_count !== null))
        && {PANEL}.sessionContext.session.kernel.status === "idle";
}}"""
RAN_AGAIN = f"""([index, previous]) => {{
    const count = {PANEL}.content.widgets[index].model.executionCount;
    return count !== null && count !== previous
        && {PANEL}.sessionContext.session.kernel.status === "idle";
}}"""
SCROLL = f"""async index => {{
    const notebook = {PANEL}.content;
    notebook.activeCellIndex = index;
    await notebook.scrollToItem(index, "center");
}}"""
# What is drawn in an element: vector pictures, images and canvases.
DRAWN = """element => [...element.querySelectorAll("svg, img, canvas")].map(
    e => e.tagName === "CANVAS" ? e.toDataURL() : e.outerHTML).join("\\n")"""


def text_of(value: str | list[str]) -> str:
    """Notebook files hold a text as one string or as its lines."""
    return value if isinstance(value, str) else "".join(value)


class Notebook:
    """The notebook that is open in the current tab."""

    def __init__(self, page: Page, screenshots: Path) -> None:
        self.page, self.screenshots = page, screenshots

    def open(self, address: str, name: str) -> None:
        """Opens `address` and waits until the notebook `name` has a kernel that is idle."""
        self.page.goto(address)
        self.page.wait_for_function("window.jupyterapp !== undefined", timeout=WAIT_TIMEOUT_MS)
        self.page.wait_for_function(READY, arg=name, timeout=RUN_TIMEOUT_MS)

    def cells(self) -> list[dict[str, Any]]:
        return self.page.evaluate(CELLS)

    def find(self, text: str, after: int = -1) -> int:
        """The first code cell below cell `after` that contains `text`."""
        for index, cell in enumerate(self.cells()):
            if index > after and cell["cell_type"] == "code" and text in text_of(cell["source"]):
                return index
        raise LookupError(f"no code cell contains {text!r}")

    def run_all(self) -> None:
        """Run menu, Run All Cells; waits until the last one is done, or one has failed."""
        self.page.get_by_role("menuitem", name="Run", exact=True).click()
        self.page.get_by_role("menuitem", name=re.compile("^Run All Cells")).click()
        self.page.wait_for_function(FINISHED, timeout=RUN_TIMEOUT_MS)

    def run(self, index: int) -> None:
        """Selects a cell, presses Shift+Enter and waits for its result."""
        previous = self.cells()[index]["execution_count"]
        self.show(index)
        self.page.keyboard.press("Shift+Enter")
        self.page.wait_for_function(RAN_AGAIN, arg=[index, previous], timeout=RUN_TIMEOUT_MS)

    def replace(self, index: int, source: str) -> None:
        """Selects all of a cell's text and pastes another over it."""
        editor = self.show(index).locator(".jp-Cell-inputArea .cm-content")
        editor.click()
        self.page.keyboard.press("ControlOrMeta+a")
        self.page.evaluate("text => navigator.clipboard.writeText(text)", source)
        self.page.keyboard.press("ControlOrMeta+v")
        found = f"([index, text]) => {CELLS}[index].source === text"
        self.page.wait_for_function(found, arg=[index, source], timeout=WAIT_TIMEOUT_MS)

    def show(self, index: int) -> Locator:
        """Scrolls to a cell and selects it, as a click beside it would."""
        self.page.evaluate(SCROLL, index)
        cell = self.page.locator(f'.jp-NotebookPanel:visible [data-windowed-list-index="{index}"]')
        expect(cell).to_be_visible(timeout=WAIT_TIMEOUT_MS)
        cell.locator(".jp-InputPrompt, .jp-InputArea-prompt").first.click()
        return cell

    def errors(self) -> list[str]:
        """The errors that cells ended with."""
        return [
            f"cell {index}: {output['ename']}: {output['evalue']}"
            for index, cell in enumerate(self.cells())
            for output in cell.get("outputs", [])
            if output["output_type"] == "error"
        ]

    def shown(self, index: int) -> str:
        """All text and HTML that a cell displays."""
        texts = []
        for output in self.cells()[index]["outputs"]:
            texts += [text_of(output.get("text", ""))]
            texts += [text_of(v) for k, v in output.get("data", {}).items() if "text" in k]
        return "\n".join(texts)

    def widget_cell(self, label: str) -> int:
        """The first cell that shows a slider named `label`."""
        for index, cell in enumerate(self.cells()):
            data = [output.get("data", {}) for output in cell.get("outputs", [])]
            if not any("application/vnd.jupyter.widget-view+json" in d for d in data):
                continue
            slider = self.slider(self.show(index), label)
            if slider.count() > 0:
                return index
        raise LookupError(f"no cell shows a slider named {label!r}")

    def slider(self, cell: Locator, label: str) -> Locator:
        """The handle of the slider whose label contains `label`."""
        rows = cell.locator(".jupyter-widgets.widget-slider").filter(
            has=self.page.locator(".widget-label", has_text=label)
        )
        return rows.locator(".noUi-handle").first

    def drawn(self, cell: Locator) -> str:
        """The pictures that a cell's output shows now."""
        return cell.locator(".jp-Cell-outputArea").evaluate(DRAWN)

    def wait_for_another_picture(self, cell: Locator, previous: str) -> None:
        """Waits until what a cell draws differs from `previous`."""
        area = cell.locator(".jp-Cell-outputArea").element_handle()
        changed = f"([element, previous]) => ({DRAWN})(element) !== previous"
        self.page.wait_for_function(changed, arg=[area, previous], timeout=WAIT_TIMEOUT_MS)

    def screenshot(self, name: str) -> None:
        self.screenshots.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=self.screenshots / f"{name}.png")
