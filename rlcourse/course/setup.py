"""The start of every notebook: check the environment, choose preset and device, say what runs."""

import html
import os
import platform

from rlcourse.course import progress
from rlcourse.course.banner import announce, card, show
from rlcourse.course.outline import Lesson, find_lesson
from rlcourse.course.requirements import needs, require
from rlcourse.course.threads import wait_passively

PRESETS = ("smoke", "laptop", "paper")
DEFAULT_PRESET = "laptop"


def preset() -> str:
    """The size at which this notebook runs: RLCOURSE_PRESET, or "laptop".

    Raises:
        ValueError: if RLCOURSE_PRESET is set to anything but smoke, laptop and paper.
    """
    chosen = os.environ.get("RLCOURSE_PRESET") or DEFAULT_PRESET
    if chosen not in PRESETS:
        raise ValueError(
            f"RLCOURSE_PRESET={chosen!r} is unknown: set it to {', '.join(PRESETS[:-1])} or "
            f"{PRESETS[-1]}, or unset it, then restart the kernel"
        )
    return chosen


def device():
    """The torch.device that notebooks compute on: the first GPU if there is one, else the CPU."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def start(slug: str) -> None:
    """Begin the lesson `slug`: check versions, set the drawing style, show what it runs on.

    Raises:
        ImportError: if a package is missing or too old; the message has the command that mends it.
        ValueError: if the lesson or the preset is unknown.
    """
    wait_passively()
    lesson, chosen = find_lesson(slug), preset()
    require(needs())
    from rlcourse.viz.style import use_style

    use_style()
    _show_figures()
    progress.begin(slug)
    facts = environment(lesson, chosen)
    rows = "".join(
        f'<span style="color:#6B7280">{html.escape(name)}</span> {html.escape(value)} &emsp; '
        for name, value in facts.items()
    )
    title = f"{lesson.number:02d} · {lesson.title}"
    plain = " · ".join(f"{name} {value}" for name, value in facts.items())
    show(card(title, rows, "blue", "start"), f"{title}\n{plain}")
    if lesson.wants_gpu(chosen) and device().type != "cuda":
        announce(
            "NO GPU",
            f"At preset {chosen} this lesson is meant for a GPU and there is none: it is slow. "
            "In Colab choose Runtime > Change runtime type; or set RLCOURSE_PRESET=laptop.",
            "orange",
            "notice",
        )


def _show_figures() -> None:
    """Make a figure that ends a cell appear, also one that pyplot did not make."""
    from IPython import get_ipython

    if (shell := get_ipython()) is not None:
        shell.run_line_magic("matplotlib", "inline")


def environment(lesson: Lesson, chosen: str) -> dict[str, str]:
    """What a run depends on, by name."""
    import numpy
    import torch

    name = torch.cuda.get_device_name() if device().type == "cuda" else "CPU"
    return {
        "Python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "device": name,
        "preset": chosen,
        "time budget": f"{lesson.work_minutes} min",
        "progress": str(progress.progress_path()),
    }
