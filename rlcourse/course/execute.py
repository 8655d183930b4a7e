"""Execute a solved notebook in a fresh kernel, measure it, and keep of its outputs what lasts."""

import base64
import copy
import io
import os
import re
import tempfile
import time
from pathlib import Path
from typing import Any

from rlcourse.course.frame import Measured
from rlcourse.course.lesson_source import LessonError

CELL_SECONDS = 1800
WIDGET = "application/vnd.jupyter.widget-view+json"
ANSI_COLOR = re.compile(r"\x1b\[[0-9;]*m")
DEFAULT_PROGRESS = "~/.rlcourse/progress.json"
PNG = "image/png"
MEASURE = "from rlcourse.course.execute import peak_megabytes; print(peak_megabytes())"


def execute(
    notebook: dict[str, Any], name: str, root: Path, preset: str
) -> tuple[dict[str, Any], Measured]:
    """The executed notebook, cleaned, and what it took.

    Args:
        notebook: an unexecuted notebook.
        name: how errors refer to it.
        root: the checkout; the kernel runs in its `solutions` folder.
        preset: the value of RLCOURSE_PRESET for the run.

    Raises:
        LessonError: if a cell raises or runs for more than CELL_SECONDS.
    """
    import nbformat  # a dependency of maintainers only

    draft = nbformat.from_dict(copy.deepcopy(notebook))
    draft.cells.append(nbformat.v4.new_code_cell(MEASURE))
    with tempfile.TemporaryDirectory() as folder:
        progress = Path(folder) / "progress.json"
        begin = time.perf_counter()
        _run_kernel(draft, name, root, _environment(root, preset, progress))
        seconds = time.perf_counter() - begin
    megabytes = float(draft.cells.pop().outputs[-1].text)
    replace = {str(progress): DEFAULT_PROGRESS, f"{root}{os.sep}": ""}
    executed = copy.deepcopy(notebook)
    for cell, source in zip(executed["cells"], draft.cells, strict=True):
        if cell["cell_type"] == "code":
            cell["execution_count"] = source.execution_count
            cell["outputs"] = clean_outputs(source.outputs, replace)
    return executed, Measured(preset, round(seconds, 1), round(megabytes), num_cores())


def _run_kernel(draft: Any, name: str, root: Path, environment: dict[str, str]) -> None:
    """Execute `draft`, an nbformat notebook, in place."""
    from nbclient import NotebookClient  # a dependency of maintainers only
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
    from traitlets.config import Config

    with tempfile.TemporaryDirectory() as sockets:
        client = NotebookClient(
            draft,
            timeout=CELL_SECONDS,
            kernel_name="python3",
            resources={"metadata": {"path": str(root / "solutions")}},
            record_timing=False,
            store_widget_state=False,
            coalesce_streams=True,
            config=Config({"KernelManager": kernel_address(sockets)}),
        )
        try:
            client.execute(env=environment)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            says = ANSI_COLOR.sub("", str(error))
            raise LessonError(f"solutions/{name}.ipynb does not run: {says}") from error


def kernel_address(folder: str) -> dict[str, str]:
    """Where a kernel manager should talk to its kernel: through files in an empty `folder`.

    A TCP port is chosen some seconds before the kernel binds it; when anything else takes it
    meanwhile, the client's own attempts to connect included, the kernel dies at its start.
    """
    if os.name == "nt":  # has no such files
        return {}
    return {"transport": "ipc", "ip": str(Path(folder) / "kernel")}


def clean_outputs(outputs: list[dict[str, Any]], replace: dict[str, str]) -> list[dict[str, Any]]:
    """Outputs that read the same on every machine and without a kernel.

    Progress bars and stderr are dropped. Of a widget the still picture beside it is kept. Pictures
    are stored with fewer colors.
    `replace` maps paths of this machine to what stands in the notebook instead.
    """
    kept = []
    for output in outputs:
        output = _replace_text(output, replace)
        if output["output_type"] == "stream" and output["name"] == "stderr":
            continue
        data = output.get("data", {})
        if WIDGET in data:
            del data[WIDGET]
            if set(data) <= {"text/plain"}:
                continue
        if PNG in data:
            data[PNG] = smaller_png(data[PNG])
        kept.append(output)
    return kept


def smaller_png(encoded: str) -> str:
    """The same picture in base64 with a palette of 256 colors, which drawings hardly exceed."""
    from PIL import Image  # comes with matplotlib

    picture = Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGB")
    smaller = io.BytesIO()
    picture.quantize(256, dither=Image.Dither.NONE).save(smaller, "PNG", optimize=True)
    return base64.b64encode(smaller.getvalue()).decode()


def peak_megabytes() -> float:
    """The peak of this process's resident memory, in MB."""
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss is inherited from the process that started this one
        kilobytes = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()).group(1)
        return int(kilobytes) / 1000
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # bytes on macOS


def num_cores() -> int:
    """The number of CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _environment(root: Path, preset: str, progress: Path) -> dict[str, str]:
    paths = [str(root), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "RLCOURSE_STRICT": "1",
        "RLCOURSE_PRESET": preset,
        "RLCOURSE_PROGRESS": str(progress),
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
    }


def _replace_text(value: Any, replace: dict[str, str]) -> Any:
    """`value` with the replacements made in every string inside it."""
    if isinstance(value, str):
        for old, new in replace.items():
            value = value.replace(old, new)
        return value
    if isinstance(value, list):
        return [_replace_text(item, replace) for item in value]
    if isinstance(value, dict):
        return {key: _replace_text(item, replace) for key, item in value.items()}
    return value
