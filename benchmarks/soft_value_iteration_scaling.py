"""What one iteration of sparse soft value iteration costs, from 10^2 to 10^5 states.

Open square rooms in which moves slip, so that each state-action pair has several successors. The
number of iterations is fixed: how many are needed depends on the problem, their cost must not.

    python benchmarks/soft_value_iteration_scaling.py --figure cost.png
"""

import math
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import tyro

from rlcourse.envs.gridworld import Gridworld
from rlcourse.envs.mdp import TabularMDP
from rlcourse.klrl.tabular import soft_backup, uniform_log_prior

SIDES = (10, 18, 32, 56, 100, 178, 317)  # square roots of 10^2 to 10^5 states
SLIP, ALPHA, DISCOUNT = 0.1, 0.1, 0.99
LARGE = 3_000  # states from which on the cost per transition, not per call, dominates


class Row(NamedTuple):
    """One size."""

    states: int
    transitions: int
    seconds: float  # per iteration


def open_room(side: int) -> TabularMDP:
    """A square without walls; start and goal in opposite corners."""
    rows = [["."] * side for _ in range(side)]
    rows[0][0], rows[-1][-1] = "S", "G"
    return Gridworld.from_ascii("\n".join("".join(row) for row in rows)).mdp(slip=SLIP)


def measure(side: int, iterations: int) -> Row:
    """The median time of one iteration, after a few to warm up."""
    mdp = open_room(side)
    log_prior = uniform_log_prior(mdp)
    alpha = torch.as_tensor(ALPHA, dtype=log_prior.dtype)
    value = log_prior.new_zeros(mdp.num_states)
    times = []
    for _ in range(3 + iterations):
        begun = time.perf_counter()
        _, value = soft_backup(mdp, value, log_prior, alpha, DISCOUNT)
        times.append(time.perf_counter() - begun)
    return Row(mdp.num_states, mdp.num_transitions, float(np.median(times[3:])))


def exponent(rows: list[Row]) -> float:
    """b in seconds ~ transitions^b, fitted to the large sizes; 1 is linear."""
    large = [row for row in rows if row.states >= LARGE]
    x, y = [math.log(row.transitions) for row in large], [math.log(row.seconds) for row in large]
    return float(np.polyfit(x, y, 1)[0])


def draw(rows: list[Row], path: Path) -> None:
    """Saves time against transitions on logarithmic axes, with a line of slope 1."""
    from matplotlib import pyplot as plt

    from rlcourse.viz.style import PALETTE, use_style

    use_style()
    figure, ax = plt.subplots()
    x = np.array([row.transitions for row in rows])
    y = np.array([1e3 * row.seconds for row in rows])
    ax.loglog(x, y, "o-", color=PALETTE["ours"], label="measured")
    ax.loglog(x, y[-1] * x / x[-1], "--", color=PALETTE["reference"], label="proportional")
    ax.set(xlabel="transitions", ylabel="milliseconds per iteration")
    ax.legend()
    figure.savefig(path)
    plt.close(figure)


def main(iterations: int = 100, figure: Path | None = None) -> None:
    """Time sparse soft value iteration on rooms of growing size.

    Args:
        iterations: timed at each size.
        figure: where to save the picture, for example cost.png; none is saved without it.
    """
    torch.set_num_threads(1)
    rows = [measure(side, iterations) for side in SIDES]
    print("| states | transitions | ms per iteration | ns per transition |")
    print("| ---: | ---: | ---: | ---: |")
    for row in rows:
        each = 1e9 * row.seconds / row.transitions
        print(f"| {row.states:,} | {row.transitions:,} | {1e3 * row.seconds:.3f} | {each:.1f} |")
    print(
        f"\nTime grows with transitions to the power {exponent(rows):.2f} from {LARGE:,} states on."
    )
    print("One thread; the median of each iteration's time.")
    if figure is not None:
        draw(rows, figure)
        print(f"Drawn in {figure}.")


if __name__ == "__main__":
    tyro.cli(main)
