"""How well, how fast and in how many bytes do indexes find neighbors? On keys in memory.

Recall is the share of the true neighbors that an index returns. Speeds are of one run on the
machine at hand, an example and no benchmark (those are in `benchmarks/`), and are recorded nowhere.

The paper (Humphreys et al. 2022, arXiv 2206.05314) searches with ScaNN, and states neither its
settings nor its recall. **Deviations**: FAISS.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from matplotlib.figure import Figure
from torch import Tensor
from tqdm.auto import tqdm

from rlcourse.data.faiss_index import FaissIndex
from rlcourse.data.index import ExactIndex
from rlcourse.data.index import recall as share_of_true
from rlcourse.go.database_report import EXACT_BYTES
from rlcourse.viz.style import PALETTE, SIZES

Recall = Callable[[Tensor, Tensor], float]  # found [B, K], true [B, K] -> share


class Kind(NamedTuple):
    """An index and the settings, from quick to thorough, at which it is measured."""

    name: str
    factory: str  # of FAISS; empty: exact
    setting: str = ""  # "nprobe" or "ef"
    values: tuple[int, ...] = (0,)
    rerank: int = 0
    color: str = "muted"

    def make(self, dim: int) -> FaissIndex | ExactIndex:
        """An empty index."""
        if not self.factory:
            return ExactIndex(dim)
        return FaissIndex(dim, self.factory, rerank=self.rerank)


def kinds(nlist: int) -> tuple[Kind, ...]:
    """Exact search, two kinds of lists with `nlist` of them, and a graph."""
    probes = tuple(n for n in (1, 2, 4, 8, 16, 32, 64) if n <= nlist)
    fast = f"IVF{nlist},PQ32x4fs,Refine(SQ8)"
    return (
        Kind("exact", ""),
        Kind("IVF, whole keys", f"IVF{nlist},Flat", "nprobe", probes, color="ours"),
        Kind("IVF, short codes, refined", fast, "nprobe", probes, rerank=32, color="expert"),
        Kind("HNSW graph", "HNSW32", "ef", (10, 20, 40, 80, 160), color="ablation"),
    )


class Measured(NamedTuple):
    """One index at one setting."""

    kind: Kind
    value: int  # of the setting
    recall: float
    per_second: float  # queries
    num_bytes: float  # for a key
    build_seconds: float


class Setting(NamedTuple):
    """Lists that are made, lists that a query visits, and the recall that this gives."""

    nlist: int
    nprobe: int
    recall: float


def cost(num_keys: int, nlist: int, nprobe: int) -> float:
    """Distances that a query computes: to all centers, and to the keys of the visited lists."""
    return nlist + nprobe * num_keys / nlist


def cheapest(
    settings: Sequence[tuple[int, int, float]], num_keys: int, wanted: float
) -> tuple[int, int]:
    """nlist and nprobe of least `cost` among (nlist, nprobe, recall) that reach a recall; where
    none does, among those of the highest recall.

    Raises:
        ValueError: there are no settings.
    """
    if not settings:
        raise ValueError("there are no settings to choose from: measure some")
    highest = max(recall for _, _, recall in settings)
    reach = [setting for setting in settings if setting[2] >= min(wanted, highest)]
    nlist, nprobe, _ = min(reach, key=lambda setting: cost(num_keys, setting[0], setting[1]))
    return nlist, nprobe


def sweep(
    keys: Float[Tensor, "N D"],
    queries: Float[Tensor, "B D"],
    true: Int[Tensor, "B K"],
    nlists: Sequence[int],
    nprobes: Sequence[int],
    recall: Recall = share_of_true,
    progress: bool = True,
) -> list[Setting]:
    """The recall of IVF with whole keys; an nprobe above nlist is left out."""
    found = []
    for nlist in tqdm(nlists, desc="lists", disable=not progress):
        index = FaissIndex(keys.shape[1], f"IVF{nlist},Flat")
        _fill(index, keys)
        for nprobe in (n for n in nprobes if n <= nlist):
            index.nprobe = nprobe
            _, ids = index.search(queries, true.shape[1])
            found.append(Setting(nlist, nprobe, recall(ids, true)))
    return found


def measure(
    keys: Float[Tensor, "N D"],
    queries: Float[Tensor, "B D"],
    true: Int[Tensor, "B K"],
    some: Sequence[Kind],
    recall: Recall = share_of_true,
    progress: bool = True,
) -> list[Measured]:
    """Each kind at each of its settings; the best of three runs counts."""
    rows = []
    for kind in tqdm(some, desc="indexes", disable=not progress):
        index = kind.make(keys.shape[1])
        start = time.perf_counter()
        _fill(index, keys)
        built = time.perf_counter() - start
        num_bytes = _bytes_of(index, keys.shape[1])
        for value in kind.values:
            if kind.setting:
                setattr(index, kind.setting, value)
            seconds, ids = min(
                (_timed(index, queries, true.shape[1]) for _ in range(3)), key=lambda run: run[0]
            )
            found = recall(ids, true)
            rows.append(Measured(kind, value, found, len(queries) / seconds, num_bytes, built))
    return rows


def table(rows: Sequence[Measured], wanted: float) -> str:
    """Of each kind the quickest setting that reaches a recall, or its best."""
    lines = [f"{'index':28}{'setting':>12}{'recall':>8}{'queries/s':>11}{'bytes a key':>13}"]
    for kind in dict.fromkeys(row.kind for row in rows):
        own = [row for row in rows if row.kind == kind]
        reach = [row for row in own if row.recall >= wanted]
        best = max(reach, key=lambda r: r.per_second) if reach else max(own, key=lambda r: r.recall)
        setting = f"{kind.setting} {best.value}" if kind.setting else ""
        lines.append(
            f"{kind.name:28}{setting:>12}{best.recall:>8.3f}{best.per_second:>11,.0f}"
            f"{best.num_bytes:>13.0f}"
        )
    return "\n".join(lines)


def plot(rows: Sequence[Measured]) -> Figure:
    """Recall against speed, and bytes for a key."""
    figure = Figure(figsize=SIZES["wide"], layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    names = list(dict.fromkeys(row.kind for row in rows))
    for place, kind in enumerate(names):
        own = [row for row in rows if row.kind == kind]
        color = PALETTE[kind.color]
        speeds, recalls = [row.per_second for row in own], [row.recall for row in own]
        left.plot(speeds, recalls, marker="o", markersize=4, color=color, label=kind.name)
        right.barh(place, own[0].num_bytes, color=color, height=0.6)
        right.annotate(f" {own[0].num_bytes:.0f}", (own[0].num_bytes, place), va="center")
    left.set_xscale("log")
    left.set(xlabel="queries per second", ylabel="recall", title="How much, how fast")
    left.legend(loc="lower left")
    right.set_yticks(range(len(names)), [kind.name for kind in names])
    most = max(row.num_bytes for row in rows)
    right.set(xlabel="bytes for a key", title="In how much memory", xlim=(0, 1.25 * most))
    right.invert_yaxis()
    right.grid(axis="y", visible=False)
    return figure


def plot_sweep(settings: Sequence[Setting], num_keys: int, wanted: float) -> Figure:
    """Recall against the distances that a query computes, one line for each number of lists."""
    figure = Figure(figsize=SIZES["single"], layout="constrained")
    ax = figure.subplots()
    roles = ("ours", "baseline", "expert", "ablation", "alternative", "failure")
    for nlist, role in zip(dict.fromkeys(s.nlist for s in settings), roles, strict=False):
        own = [s for s in settings if s.nlist == nlist]
        costs = [cost(num_keys, s.nlist, s.nprobe) for s in own]
        recalls = [s.recall for s in own]
        ax.plot(costs, recalls, marker="o", markersize=4, color=PALETTE[role], label=f"{nlist}")
    ax.axhline(wanted, color=PALETTE["muted"], linewidth=0.8, linestyle=":")
    ax.axvline(num_keys, color=PALETTE["muted"], linewidth=0.8, linestyle="--")
    inside = ("data", "axes fraction")  # at any range of recalls
    ax.annotate("exact ", (num_keys, 0.1), xycoords=inside, ha="right", color=PALETTE["muted"])
    ax.set_xscale("log")
    ax.set(xlabel="distances that a query computes", ylabel="recall of the 10 nearest")
    ax.set_title("Lists that are made, and lists that are visited")
    ax.legend(title="lists made")
    return figure


def _fill(index: FaissIndex | ExactIndex, keys: Tensor) -> None:
    if isinstance(index, FaissIndex):
        index.train(keys)
    index.add(keys, torch.arange(len(keys)))


def _timed(index: FaissIndex | ExactIndex, queries: Tensor, k: int) -> tuple[float, Tensor]:
    start = time.perf_counter()
    _, ids = index.search(queries, k)
    return time.perf_counter() - start, ids


def _bytes_of(index: FaissIndex | ExactIndex, dim: int) -> float:
    """For a key: what is in memory, for FAISS as it is saved."""
    if isinstance(index, ExactIndex):
        return 4 * dim + EXACT_BYTES
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index"
        index.save(path)
        return path.stat().st_size / len(index)
