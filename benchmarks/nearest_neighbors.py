"""Approximate search among 1,000,000 keys of 64 numbers: our index against hnswlib, ScaNN and
FAISS as it comes.

Keys are drawn from 20,000 overlapping clusters of Pareto sizes with a decaying spectrum, as learned
embeddings are; well separated clusters would flatter every index. For each index the settings are
tried from fast to slow until recall@10 against exact search reaches 0.9, and that one is timed:
10,000 queries in one call. Times are on the clock with all cores: run this on a quiet machine.

Ours is `data.faiss_index.FaissIndex`: the lists that the course uses, which take the least memory,
and graphs, for where speed is all. "FAISS as it comes" is the same library, called directly, with
its usual choices: IVF4096 with plain vectors, and HNSW32. FAISS's graphs, those of the peer as
ours, may search with fewer candidates than neighbors are wanted, and so are tried from
5 on; hnswlib raises them to their number.

    pip install -r requirements-bench.txt
    python benchmarks/nearest_neighbors.py
    python benchmarks/nearest_neighbors.py --graphs HNSW16:200 HNSW24_SQfp16:100
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
    import faiss
    import hnswlib
    import scann
except ImportError:
    sys.exit("this benchmark needs its peers: pip install -r requirements-bench.txt")

DIM, K, WANTED = 64, 10, 0.9
GRAPHS = ("HNSW16:100", "HNSW24:100", "HNSW16_SQ8:100")
PROBES = (8, 12, 16, 24, 32, 48, 64, 96, 128, 256)  # lists visited
BREADTHS = (5, 6, 7, 8, 9, 10, 12, 16, 24, 32, 48, 64, 128)  # candidates in a graph

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


def our_lists(keys: np.ndarray) -> Contestant:
    factory = f"IVF{num_lists(len(keys))},PQ{DIM // 2}x4fs,Refine(SQ8)"
    begun = time.perf_counter()
    index = FaissIndex(DIM, factory, nprobe=1, rerank=16)
    index.train(torch.from_numpy(sample_for_lists(keys)))
    index.add(torch.from_numpy(keys), torch.arange(len(keys)))
    built = time.perf_counter() - begun
    return Contestant(f"ours: {factory}", built, our_settings(index, "nprobe", PROBES))


def our_graph(graph: str) -> Callable[[np.ndarray], Contestant]:
    """Builds one of `GRAPHS`."""
    factory, breadth = graph.split(":")

    def make(keys: np.ndarray) -> Contestant:
        begun = time.perf_counter()
        index = FaissIndex(DIM, factory, ef_construction=int(breadth))
        index.train(torch.from_numpy(keys[:: max(1, len(keys) // 100_000)]))
        index.add(torch.from_numpy(keys), torch.arange(len(keys)))
        built = time.perf_counter() - begun
        name = f"ours: {factory}, efC {breadth}"
        return Contestant(name, built, our_settings(index, "ef", BREADTHS))

    return make


def our_settings(
    index: FaissIndex, name: str, values: Iterable[int]
) -> Iterator[tuple[str, Search]]:
    for value in values:
        setattr(index, name, value)
        yield f"{name} {value}", lambda q: index.search(torch.from_numpy(q), K)[1].numpy()


def faiss_lists(keys: np.ndarray) -> Contestant:
    begun = time.perf_counter()
    index = faiss.index_factory(DIM, f"IVF{num_lists(len(keys))},Flat")
    index.train(sample_for_lists(keys))
    index.add(keys)
    built = time.perf_counter() - begun

    def settings() -> Iterator[tuple[str, Search]]:
        for index.nprobe in PROBES:
            yield f"nprobe {index.nprobe}", lambda q: index.search(q, K)[1]

    return Contestant(f"FAISS IVF{num_lists(len(keys))},Flat", built, settings())


def faiss_graph(keys: np.ndarray) -> Contestant:
    begun = time.perf_counter()
    index = faiss.index_factory(DIM, "HNSW32")
    index.add(keys)
    built = time.perf_counter() - begun

    def settings() -> Iterator[tuple[str, Search]]:
        for index.hnsw.efSearch in BREADTHS:
            yield f"ef {index.hnsw.efSearch}", lambda q: index.search(q, K)[1]

    return Contestant("FAISS HNSW32", built, settings())


def sample_for_lists(keys: np.ndarray) -> np.ndarray:
    """64 keys a list."""
    return np.ascontiguousarray(keys[:: max(1, len(keys) // (64 * num_lists(len(keys))))])


def hnswlib_graph(keys: np.ndarray) -> Contestant:
    begun = time.perf_counter()
    index = hnswlib.Index(space="l2", dim=DIM)
    index.init_index(len(keys), M=16, ef_construction=100)
    index.add_items(keys)
    built = time.perf_counter() - begun

    def settings() -> Iterator[tuple[str, Search]]:
        for ef in (x for x in BREADTHS if x >= K):
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


def main(
    num_keys: int = 1_000_000,
    num_queries: int = 10_000,
    rounds: int = 3,
    graphs: tuple[str, ...] = GRAPHS,
) -> None:
    """Build every index, find its setting and time it.

    Args:
        num_keys: in each index.
        num_queries: in one call.
        rounds: of which the fastest counts.
        graphs: ours, each a factory of FAISS, a colon, and the breadth that it is built with.
    """
    keys = clustered(num_keys + num_queries, max(2, num_keys // 50), seed=0)
    keys, queries = keys[:num_keys], keys[num_keys:].copy()
    exact = ExactIndex(DIM)
    exact.add(torch.from_numpy(keys), torch.arange(num_keys))
    true = exact.search(torch.from_numpy(queries), K)[1]
    print("| index | build, s | setting | recall@10 | queries per second | ratio to the best |")
    print("| --- | ---: | --- | ---: | ---: | ---: |", flush=True)
    results = []
    peers = (faiss_lists, faiss_graph, hnswlib_graph, scann_tree)
    for make in (*peers, our_lists, *map(our_graph, graphs)):
        contestant = make(keys)
        measured = measure(contestant, queries, true, rounds)
        results.append((contestant.name, contestant.seconds, *measured))
        del contestant  # and its memory
    best = max(rate for name, *_, rate in results if not name.startswith("ours"))
    for name, seconds, setting, reached, rate in results:
        row = f"| {name} | {seconds:.0f} | {setting} | {reached:.3f} |"
        print(f"{row} {rate:,.0f} | {rate / best:.2f} |")


if __name__ == "__main__":
    tyro.cli(main)
