"""The batched pUCT search against mctx's `muzero_policy`: simulations per second on the CPU.

Both search the same 64 games with the same small network (64 numbers a state, one hidden layer of
128, 82 actions) for 200 simulations, without noise, with MuZero's constants. mctx is compiled
before the clock starts. Two cases:

* shallow: the priors are nearly flat, all trees stay a few moves deep;
* one deep: in one game of the batch the prior names one move everywhere, so that its tree is a
  single line. A search that walks all games in step waits for it.

The value is 0, so that neither search's treatment of values plays a part (mctx rescales them to
[0, 1] by what it has seen, we do not): both grow the same trees, and the mean depth of the
simulations is printed for both. Times are on the clock: XLA spreads over all cores, ours keeps to
one thread, which is the faster for so small a network. Run this on a quiet machine.

    pip install -r requirements-bench.txt
    python benchmarks/go_search_vs_mctx.py
"""

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import tyro

from rlcourse.go.mcts import Evaluation, Search, search

try:
    import jax
    import jax.numpy as jnp
    import mctx
except ImportError:
    sys.exit("this benchmark needs mctx: pip install -r requirements-bench.txt")

NUM_GAMES, NUM_ACTIONS, WIDTH, HIDDEN = 64, 82, 64, 128
PEAK = 100.0  # added to the logit of action 0 where the last number of a state is 1


def weights() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)

    def matrix(*shape: int) -> np.ndarray:
        return (draw.normal(size=shape) / np.sqrt(shape[0])).astype(np.float32)

    return {
        "state": matrix(WIDTH, HIDDEN),
        "action": matrix(NUM_ACTIONS, HIDDEN),
        "next": matrix(HIDDEN, WIDTH),
        "logits": 0.1 * matrix(WIDTH, NUM_ACTIONS),
        "value": np.zeros((WIDTH, 1), np.float32),
    }


def roots(deep: bool) -> np.ndarray:
    """States of all games; the last number tells which game goes deep."""
    states = np.random.default_rng(1).normal(size=(NUM_GAMES, WIDTH)).astype(np.float32)
    states[:, -1] = 0.0
    states[0, -1] = float(deep)
    return states


def our_search(w: dict[str, np.ndarray], states: np.ndarray, num_simulations: int) -> Any:
    """Returns a function that searches and gives the mean depth of each game."""
    t = {name: torch.from_numpy(x) for name, x in w.items()}

    def evaluate(state: torch.Tensor) -> Evaluation:
        logits = state @ t["logits"]
        logits[:, 0] += PEAK * state[:, -1]
        return Evaluation(state, logits, torch.tanh(state @ t["value"]).squeeze(1))

    def recurrent(state: torch.Tensor, action: torch.Tensor) -> Evaluation:
        new = torch.relu(state @ t["state"] + t["action"][action]) @ t["next"]
        new[:, -1] = state[:, -1]
        return evaluate(new)

    settings, first = Search(num_simulations), torch.from_numpy(states)

    @torch.no_grad()
    def run() -> np.ndarray:
        return search(evaluate(first), recurrent, settings).mean_depth.numpy()

    return run


def peer_search(w: dict[str, np.ndarray], states: np.ndarray, num_simulations: int) -> Any:
    """The same with mctx."""

    def evaluate(params, state):
        logits = state @ params["logits"]
        logits = logits.at[:, 0].add(PEAK * state[:, -1])
        return logits, jnp.tanh(state @ params["value"])[:, 0]

    def recurrent(params, key, action, state):
        del key
        new = jax.nn.relu(state @ params["state"] + params["action"][action]) @ params["next"]
        new = new.at[:, -1].set(state[:, -1])
        logits, value = evaluate(params, new)
        ones = jnp.ones_like(value)
        output = mctx.RecurrentFnOutput(
            reward=0.0 * ones, discount=-ones, prior_logits=logits, value=value
        )
        return output, new

    @jax.jit
    def compiled(params, first):
        logits, value = evaluate(params, first)
        root = mctx.RootFnOutput(prior_logits=logits, value=value, embedding=first)
        key = jax.random.PRNGKey(0)
        found = mctx.muzero_policy(
            params, key, root, recurrent, num_simulations, dirichlet_fraction=0.0
        )
        return found.search_tree.parents

    params, first = {name: jnp.asarray(x) for name, x in w.items()}, jnp.asarray(states)

    def run() -> np.ndarray:
        return mean_depths(np.asarray(compiled(params, first)))

    return run


def mean_depths(parents: np.ndarray) -> np.ndarray:
    """Of the nodes below the root, from their parents [B, N]: a simulation adds one."""
    depth = np.zeros(parents.shape, np.int64)
    for node in range(1, parents.shape[1]):
        depth[:, node] = depth[np.arange(len(parents)), parents[:, node]] + 1
    return depth[:, 1:].mean(1)


def seconds(run: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    begun = time.perf_counter()
    depths = run()
    return time.perf_counter() - begun, depths


def main(num_simulations: int = 200, rounds: int = 7) -> None:
    """Search both cases with both, and print simulations per second.

    Args:
        num_simulations: per game.
        rounds: of which the fastest counts, for each contestant.
    """
    torch.set_num_threads(1)
    print("| case | search | mean depth, game 0 | others | simulations per second | ratio |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    w = weights()
    for case, deep in (("shallow", False), ("one deep", True)):
        makers = {"mctx": peer_search, "ours": our_search}
        runs = {name: make(w, roots(deep), num_simulations) for name, make in makers.items()}
        depths = {name: run() for name, run in runs.items()}  # compiles
        best = dict.fromkeys(runs, np.inf)
        for _ in range(rounds):
            for name, run in runs.items():
                best[name] = min(best[name], seconds(run)[0])
        assert np.allclose(depths["mctx"], depths["ours"], atol=0.2), depths
        for name, taken in best.items():
            rate, ratio = NUM_GAMES * num_simulations / taken, best["mctx"] / taken
            first, others = depths[name][0], depths[name][1:].mean()
            print(f"| {case} | {name} | {first:.1f} | {others:.1f} | {rate:,.0f} | {ratio:.2f} |")


if __name__ == "__main__":
    tyro.cli(main)
