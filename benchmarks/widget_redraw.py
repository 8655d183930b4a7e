"""How long the widget of notebook 01 takes to redraw, in Python, on each map.

Slider: another alpha, solved beforehand. Edit: a wall drawn or taken away, the prior learned again
from the other tasks, and all alphas of the slider solved; a new prior or map costs the same.

    python benchmarks/widget_redraw.py
"""

import time
from collections.abc import Callable
from functools import partial
from statistics import median

from rlcourse.envs.gridworld import MAPS
from rlcourse.viz.widgets import SoftPolicyExplorer

REPEATS = 20


def main() -> None:
    """Prints a Markdown table of median and longest times in milliseconds."""
    print("| map | states | slider | edit |")
    print("| --- | ---: | ---: | ---: |")
    for name in MAPS:
        explorer = SoftPolicyExplorer(name, prior="learned from other tasks")
        slider, edit = _timed(partial(_slide, explorer)), _timed(partial(_edit, explorer))
        print(f"| {name} | {len(explorer.grid.cells)} | {slider} | {edit} |")


def _slide(explorer: SoftPolicyExplorer, i: int) -> None:
    explorer.alpha.value = 10 ** (-2.5 + 0.125 * (i + 1))


def _edit(explorer: SoftPolicyExplorer, i: int) -> None:
    """Opens and closes a corner of the outer wall, which every map has."""
    explorer.editor.tool.value = ("floor", "wall")[i % 2]
    explorer.editor.paint(0, 0)


def _timed(action: Callable[[int], None]) -> str:
    times = []
    for i in range(REPEATS):
        start = time.perf_counter()
        action(i)
        times.append(1e3 * (time.perf_counter() - start))
    return f"{median(times):.0f} (max {max(times):.0f}) ms"


if __name__ == "__main__":
    main()
