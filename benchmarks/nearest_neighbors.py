"""Approximate search among 1,000,000 keys of 64 numbers: our index against hnswlib, ScaNN and
FAISS as it comes.

Keys are drawn from 20,000 overlapping clusters of Pareto sizes with a decaying spectrum, as learned
embeddings are; well separated clusters would flatter every index. For each index the settings are
tried from fast to slow until recall@10 against exact search reaches 0.9, and that one is timed:
10,000 queries in one call. Times are on the clock with all cores: run this on a quiet machine.

Ours is `data.index.FaissIndex`, twice: the lists that the course uses, which take the least memory,
and a graph over vectors of bytes, for where speed is all. "FAISS as it comes" is the same library
with its usual choices: IVF4096 with plain vectors, and HNSW32.

    pip install -r requirements-bench.txt
    python benchmarks/nearest_neighbors.py
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
import tyro

from rlcourse.course.threads import wait_passively
from rlcourse.data.faiss_index import FaissIndex
from rlcourse.data.index import ExactIndex, recall

wait_passively()  # before FAISS starts its threads

try:
    import hnswlib
    import scann
except ImportError:
    sys.exit("this benchmark needs its peers: pip install -r requirements-bench.txt")

DIM, K, WANTED = 64, 10, 0.9
BREADTHS = (10, 12, 16, 24, 32, 48, 64, 128)  # candidates in a graph

Search = Callable[[np.ndarray], np.ndarray]  # queries [B, D] -> ids [B, K]


class Contestant(NamedTuple):
    """An index that is built, and its settings from fast to slow."""

    name: str
    seconds: float  # to build it
    settings: Iterable[tuple[str, Search]]


def clustered(num_keys: int, num_clusters: int, seed: int) -> np.ndarray:
    """Keys [N, D] float32."""
    draw = np.random.default_rng(seed)
    spectrum = (1.0 + np.arange(DIM)) ** -0.5
    centers = draw.normal(size=(num_clusters, DIM)) * spectrum
    sizes = draw.pareto(1.5, num_clusters) + 1.0
    which = draw.choice(num_clusters, num_keys, p=sizes / sizes.sum())
    spread = 0.5 * draw.normal(size=(num_keys, DIM)) * spectrum
    return (centers[which] + spread).astype(np.float32)


def num_lists(num_keys: int) -> int:
    """4096 for a million keys, fewer for fewer."""
    return max(4, min(4096, num_keys // 244))


def ours(keys: np.ndarray) -> Contestant:
    factory = f"IVF{num_lists(len(keys))},PQ{DIM // 2}x4fs,Refine(SQ8)"
    return _faiss_index("ours: ", keys, factory, rerank=16)


def faiss_lists(keys: np.ndarray) -> Contestant:
    return _faiss_index("FAISS ", keys, f"IVF{num_lists(len(keys))},Flat", rerank=0)


def _faiss_index(prefix: str, keys: np.ndarray, factory: str, rerank: int) -> Contestant:
    begun = time.perf_counter()
    index = FaissIndex(DIM, factory, nprobe=1, rerank=rerank)
    index.train(torch.from_numpy(keys[:: max(1, len(keys) // (64 * num_lists(len(keys))))]))
    index.add(torch.from_numpy(keys), torch.arange(len(keys)))
    built = time.perf_counter() - begun

    def settings() -> Iterator[tuple[str, Search]]:
        for nprobe in (8, 12, 16, 24, 32, 48, 64, 96, 128, 256):
            index.nprobe = nprobe
            yield f"nprobe {nprobe}", lambda q: index.search(torch.from_numpy(q), K)[1].numpy()

    return Contestant(prefix + factory, built, settings())


def our_graph(keys: np.ndarray) -> Contestant:
    return _faiss_graph("ours: ", keys, "HNSW16_SQ8")


def faiss_graph(keys: np.ndarray) -> Contestant:
    return _faiss_graph("FAISS ", keys, "HNSW32")


def _faiss_graph(prefix: str, keys: np.ndarray, factory: str) -> Contestant:
    begun = time.perf_counter()
    index = FaissIndex(DIM, factory, ef=16)
    index.train(torch.from_numpy(keys[:: max(1, len(keys) // 100_000)]))
    index.add(torch.from_numpy(keys), torch.arange(len(keys)))
    built = time.perf_counter() - begun

    def settings() -> Iterator[tuple[str, Search]]:
        for ef in BREADTHS:
            index.ef = ef
            yield f"ef {ef}", lambda q: index.search(torch.from_numpy(q), K)[1].numpy()

    return Contestant(prefix + factory, built, settings())


def hnswlib_graph(keys: np.ndarray) -> Contestant:
    begun = time.perf_counter()
    index = hnswlib.Index(space="l2", dim=DIM)
    index.init_index(len(keys), M=16, ef_construction=100)
    index.add_items(keys)
    built = time.perf_counter() - begun

    def settings() -> Iterator[tuple[str, Search]]:
        for ef in BREADTHS:
            index.set_ef(ef)
            yield f"ef {ef}", lambda q: index.knn_query(q, K)[0].astype(np.int64)

    return Contestant("hnswlib M 16, efC 100", built, settings())


def scann_tree(keys: np.ndarray) -> Contestant:
    begun = time.perf_counter()
    builder = scann.scann_ops_pybind.builder(keys, K, "squared_l2")
    builder = builder.tree(min(4000, num_lists(len(keys))), 32, training_sample_size=250_000)
    index = builder.score_ah(2, anisotropic_quantization_threshold=0.2).reorder(160).build()
    built = time.perf_counter() - begun

    def settings() -> Iterator[tuple[str, Search]]:
        for leaves in (16, 24, 32, 48, 64, 96, 128):

            def search(queries: np.ndarray, leaves: int = leaves) -> np.ndarray:
                found, _ = index.search_batched_parallel(queries, leaves_to_search=leaves)
                return found.astype(np.int64)

            yield f"leaves {leaves}", search

    return Contestant("ScaNN tree + AH(2) + reorder 160", built, settings())


def measure(
    contestant: Contestant, queries: np.ndarray, true: torch.Tensor, rounds: int
) -> tuple[str, float, float]:
    """The first setting with enough recall (or the last), its recall, and queries per second."""
    for setting, search in contestant.settings:
        reached = recall(torch.from_numpy(search(queries)), true)
        chosen = setting, reached
        if reached >= WANTED:
            break
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        search(queries)
        times.append(time.perf_counter() - begun)
    return *chosen, len(queries) / min(times)


def main(num_keys: int = 1_000_000, num_queries: int = 10_000, rounds: int = 3) -> None:
    """Build every index, find its setting and time it.

    Args:
        num_keys: in each index.
        num_queries: in one call.
        rounds: of which the fastest counts.
    """
    keys = clustered(num_keys + num_queries, max(2, num_keys // 50), seed=0)
    keys, queries = keys[:num_keys], keys[num_keys:].copy()
    exact = ExactIndex(DIM)
    exact.add(torch.from_numpy(keys), torch.arange(num_keys))
    true = exact.search(torch.from_numpy(queries), K)[1]
    print("| index | build, s | setting | recall@10 | queries per second | ratio to the best |")
    print("| --- | ---: | --- | ---: | ---: | ---: |", flush=True)
    results = []
    for make in (faiss_lists, faiss_graph, hnswlib_graph, scann_tree, ours, our_graph):
        contestant = make(keys)
        results.append((contestant, *measure(contestant, queries, true, rounds)))
    peers = max(rate for contestant, *_, rate in results if not contestant.name.startswith("ours"))
    for contestant, setting, reached, rate in results:
        row = f"| {contestant.name} | {contestant.seconds:.0f} | {setting} | {reached:.3f} |"
        print(f"{row} {rate:,.0f} | {rate / peers:.2f} |")


if __name__ == "__main__":
    tyro.cli(main)
