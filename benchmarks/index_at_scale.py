"""Cost of a query, memory and build time of our index from 100,000 to 10,000,000 keys.

Keys of 64 numbers are drawn as in `nearest_neighbors.py`, in blocks: the index is trained on a
sample of them and filled block by block, and no more than one block of keys is ever held. For each
size the fewest probes with recall@10 >= 0.9 are found, and queries are timed with them. Exact
neighbors come from a pass over the same blocks. Each size runs in a process of its own, so that its
peak memory is its own.

    python benchmarks/index_at_scale.py --figure index_at_scale.png
"""

import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import tyro

from rlcourse.course.execute import peak_megabytes
from rlcourse.course.threads import wait_passively
from rlcourse.data.faiss_index import FaissIndex
from rlcourse.data.index import ExactIndex, recall

wait_passively()  # before FAISS starts its threads

DIM, K, WANTED = 64, 10, 0.9
NUM_CLUSTERS = 20_000
PROBES = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512)
SIZES = (100_000, 300_000, 1_000_000, 3_000_000, 10_000_000)


class Clusters:
    """Overlapping clusters of Pareto sizes with a decaying spectrum."""

    def __init__(self) -> None:
        draw = np.random.default_rng(0)
        self.spectrum = (1.0 + np.arange(DIM)) ** -0.5
        self.centers = draw.normal(size=(NUM_CLUSTERS, DIM)) * self.spectrum
        sizes = draw.pareto(1.5, NUM_CLUSTERS) + 1.0
        self.cumulated = np.cumsum(sizes / sizes.sum())

    def block(self, number: int, count: int) -> torch.Tensor:
        """Keys [count, D], the same for the same number."""
        draw = np.random.default_rng((1, number))
        which = np.searchsorted(self.cumulated, draw.random(count)).clip(max=NUM_CLUSTERS - 1)
        spread = 0.5 * draw.normal(size=(count, DIM)) * self.spectrum
        return torch.from_numpy((self.centers[which] + spread).astype(np.float32))


def num_lists(num_keys: int) -> int:
    """A power of 2 near 4 sqrt(N), which balances the search for lists and the search in them."""
    return 2 ** round(math.log2(4 * math.sqrt(num_keys)))


def blocks(num_keys: int, size: int) -> Iterator[tuple[int, int]]:
    """Number and length of each block."""
    for number in range(math.ceil(num_keys / size)):
        yield number, min(size, num_keys - number * size)


def exact_neighbors(
    clusters: Clusters, queries: torch.Tensor, num_keys: int, block: int
) -> torch.Tensor:
    """Ids [B, K] of the nearest keys, one block after the other."""
    distances = torch.full((len(queries), 0), torch.inf)
    ids = torch.zeros(len(queries), 0, dtype=torch.int64)
    for number, count in blocks(num_keys, block):
        part = ExactIndex(DIM)
        part.add(clusters.block(number, count), torch.arange(count) + number * block)
        found = part.search(queries, K)
        distances, ids = torch.cat([distances, found[0]], 1), torch.cat([ids, found[1]], 1)
        distances, order = distances.topk(K, largest=False)
        ids = ids.gather(1, order)
    return ids


def measure(num_keys: int, num_queries: int, block: int) -> dict[str, float]:
    """Builds and times one size."""
    clusters, lists = Clusters(), num_lists(num_keys)
    queries = clusters.block(1_000_000, num_queries)
    index = FaissIndex(DIM, f"IVF{lists},PQ{DIM // 2}x4fs,Refine(SQ8)", nprobe=1, rerank=16)
    begun = time.perf_counter()
    # The blocks are alike, so the first ones are a sample of all.
    needed = min(num_keys, 40 * lists)
    sample = [clusters.block(number, count) for number, count in blocks(needed, block)]
    index.train(torch.cat(sample))
    trained = time.perf_counter() - begun
    del sample
    for number, count in blocks(num_keys, block):
        index.add(clusters.block(number, count), torch.arange(count) + number * block)
    built = time.perf_counter() - begun
    megabytes = peak_megabytes()  # the exact search below is no part of the index
    true = exact_neighbors(clusters, queries, num_keys, block)
    for nprobe in PROBES:
        index.nprobe = nprobe
        reached = recall(index.search(queries, K)[1], true)
        if reached >= WANTED:
            break
    times = []
    for _ in range(3):
        begun = time.perf_counter()
        index.search(queries, K)
        times.append(time.perf_counter() - begun)
    result = {"keys": num_keys, "lists": lists, "nprobe": nprobe, "recall": reached}
    result |= {"train": trained, "build": built, "peak": megabytes}
    return result | {"micros": 1e6 * min(times) / num_queries}


def draw(rows: list[dict[str, float]], path: Path) -> None:
    """Saves time per query against keys on logarithmic axes, with a line of slope 1/2."""
    from matplotlib import pyplot as plt

    from rlcourse.viz.style import PALETTE, use_style

    use_style()
    figure, ax = plt.subplots()
    x = np.array([row["keys"] for row in rows])
    y = np.array([row["micros"] for row in rows])
    ax.loglog(x, y, "o-", color=PALETTE["ours"], label="measured, recall@10 of 0.9 or more")
    ax.loglog(x, y[0] * np.sqrt(x / x[0]), "--", color=PALETTE["reference"], label="square root")
    ax.set(xlabel="keys in the index", ylabel="microseconds per query")
    ax.legend()
    figure.savefig(path)
    plt.close(figure)


def main(
    sizes: tuple[int, ...] = SIZES,
    num_queries: int = 2_000,
    block: int = 250_000,
    figure: Path | None = None,
    only: int | None = None,
) -> None:
    """Measure every size in a process of its own and print a table.

    Args:
        sizes: numbers of keys.
        num_queries: in one call.
        block: keys that are held at a time.
        figure: where to save the picture, for example cost.png; none is saved without it.
        only: measure this size in this process and print it as JSON.
    """
    if only is not None:
        print(json.dumps(measure(only, num_queries, block)))
        return
    print(
        "| keys | lists | probes | recall@10 | microseconds per query | train, s | build, s |",
        end="",
    )
    print(" peak MB |\n" + "| ---: " * 8 + "|", flush=True)
    rows = []
    for size in sizes:
        command = [sys.executable, __file__, "--only", str(size)]
        command += ["--num-queries", str(num_queries), "--block", str(block)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        row = json.loads(done.stdout.splitlines()[-1])
        rows.append(row)
        print(f"| {row['keys']:,} | {row['lists']:,} | {row['nprobe']} |", end="")
        print(f" {row['recall']:.3f} | {row['micros']:.1f} |", end="")
        print(f" {row['train']:.0f} | {row['build']:.0f} | {row['peak']:,.0f} |", flush=True)
    if figure is not None:
        draw(rows, figure)
        print(f"Drawn in {figure}.")


if __name__ == "__main__":
    tyro.cli(main)
