import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlcourse.data.faiss_index import FaissIndex
from rlcourse.data.index import ExactIndex
from rlcourse.types import Index
from tests.oracles.slow_nearest import slow_nearest

DIM = 4
# Each is set so that it finds what an exact search finds.
BACKENDS = {
    "exact": lambda dim: ExactIndex(dim),
    "exact, small blocks": lambda dim: ExactIndex(dim, work_bytes=1 << 20),
    "faiss flat": lambda dim: FaissIndex(dim, "Flat"),
    "faiss flat, re-ranked": lambda dim: FaissIndex(dim, "Flat", rerank=2),
    "faiss lists": lambda dim: FaissIndex(dim, "IVF4,Flat", nprobe=4),
    "faiss codes, re-ranked": lambda dim: FaissIndex(
        dim, f"IVF4,PQ{dim}x4fs", nprobe=4, rerank=1000
    ),
}
GRAPH = {"faiss graph": lambda dim: FaissIndex(dim, "HNSW16", ef=64)}
every_backend = pytest.mark.parametrize("make", BACKENDS.values(), ids=BACKENDS.keys())
graph_too = pytest.mark.parametrize(
    "make", (BACKENDS | GRAPH).values(), ids=(BACKENDS | GRAPH).keys()
)

grid = st.integers(-2, 2)  # small integers: distances are exact and ties are common
key = st.lists(grid, min_size=DIM, max_size=DIM)
operation = st.tuples(
    st.sampled_from(["add", "add", "update", "remove"]),
    st.lists(st.integers(0, 15), min_size=1, max_size=8, unique=True),
    st.lists(key, min_size=8, max_size=8),
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def ready(make, dim=DIM):
    """An empty index that is trained where it needs that."""
    index = make(dim)
    if isinstance(index, FaissIndex):
        index.train(torch.randn(200, dim, generator=seeded(9)))
    return index


def filled(make, count=30, dim=DIM):
    index = ready(make, dim)
    index.add(torch.randn(count, dim, generator=seeded()), torch.arange(count) + 100)
    return index


def apply(index, held, name, ids, keys):
    """Does the same to an index and to a dict, with the ids for which it is allowed."""
    ids = [i for i in ids if (i in held) != (name == "add")]
    keys = keys[: len(ids)]
    given_ids = torch.tensor(ids, dtype=torch.int64)
    if name == "remove":
        index.remove(given_ids)
        for i in ids:
            del held[i]
    else:
        rows = torch.tensor(keys, dtype=torch.float32).reshape(len(ids), DIM)
        getattr(index, name)(rows, given_ids)
        held.update(zip(ids, keys, strict=True))


class TestEveryIndex:
    @every_backend
    @settings(max_examples=25)
    @given(operations=st.lists(operation, min_size=1, max_size=8), query=key, k=st.integers(1, 9))
    def test_equals_a_sorted_dict(self, make, operations, query, k):
        index, held = ready(make), {}
        for name, ids, keys in operations:
            apply(index, held, name, ids, keys)
            assert len(index) == len(held)
        if not held:
            return
        distances, ids = index.search(torch.tensor([query, query]).float(), k)
        true = slow_nearest(held, query, k)
        for row in range(2):
            assert distances[row].tolist() == [d for d, _ in true]
            found = [i for i in ids[row].tolist() if i >= 0]
            assert len(set(found)) == len(found) == min(k, len(held))
            own = {i: d for d, i in slow_nearest(held, query, len(held))}
            assert [own[i] for i in found] == distances[row, : len(found)].tolist()
        if isinstance(index, ExactIndex):
            assert ids[0].tolist() == [i for _, i in true]

    @graph_too
    def test_is_an_index(self, make):
        assert isinstance(make(DIM), Index)

    @graph_too
    def test_finds_a_key_by_itself(self, make):
        index = filled(make)
        keys = torch.randn(30, DIM, generator=seeded())
        distances, ids = index.search(keys, 1)
        assert torch.equal(ids[:, 0], torch.arange(30) + 100)
        assert distances.max() < 1e-5

    @graph_too
    def test_pads(self, make):
        distances, ids = filled(make, 3).search(torch.zeros(2, DIM), 5)
        assert (ids[:, 3:] == -1).all()
        assert distances[:, 3:].isinf().all()
        assert (ids[:, :3] >= 100).all()
        assert distances[:, :3].isfinite().all()

    @graph_too
    def test_no_queries(self, make):
        distances, ids = filled(make).search(torch.zeros(0, DIM), 3)
        assert distances.shape == ids.shape == (0, 3)

    @graph_too
    def test_adding_nothing(self, make):
        index = filled(make)
        index.add(torch.zeros(0, DIM), torch.zeros(0, dtype=torch.int64))
        assert len(index) == 30

    @graph_too
    def test_does_not_hold_the_callers_memory(self, make):
        index, keys = ready(make), torch.ones(1, DIM)
        index.add(keys, torch.tensor([7]))
        keys.zero_()
        assert index.search(torch.ones(1, DIM), 1)[0].item() == 0.0

    @graph_too
    def test_errors_leave_it_as_it_was(self, make, without_type_checks):
        index, query = filled(make), torch.zeros(1, DIM)
        before = index.search(query, 30)
        good, new = torch.ones(2, DIM), torch.tensor([1, 2])
        bad = good.clone()
        bad[1, 2] = math.nan
        for call, keys, ids, message in [
            (index.add, bad, new, r"keys\[1\].*not finite"),
            (index.add, bad.nan_to_num(math.inf), new, r"keys\[1\].*not finite"),
            (index.add, good * 1e16, new, r"keys\[0\].*beyond 1e\+15"),
            (index.add, good[:, :3], new, r"shape \[N, 4\], got \[2, 3\]"),
            (index.add, good.long(), new, "floating-point numbers, got torch.int64"),
            (index.add, good, new[:1], r"ids must have shape \[2\], got \[1\]"),
            (index.add, good, new.int(), "int64, got torch.int32"),
            (index.add, good, new - 2, ">= 0 .*got -1"),
            (index.add, good, torch.tensor([1, 1]), "id 1 is given twice"),
            (index.add, good, torch.tensor([1, 129]), "id 129 is in the index already"),
            (index.update, good, torch.tensor([129, 5]), "id 5 is not in the index"),
            (index.update, bad, torch.tensor([128, 129]), r"keys\[1\].*not finite"),
        ]:
            with pytest.raises(ValueError, match=message):
                call(keys, ids)
        for ids, message in [([129, 5], "id 5 is not in"), ([129, 129], "id 129 is given twice")]:
            with pytest.raises(ValueError, match=message):
                index.remove(torch.tensor(ids))
        after = index.search(query, 30)
        assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))

    @graph_too
    def test_searches_that_make_no_sense(self, make, without_type_checks):
        index = ready(make)
        with pytest.raises(ValueError, match="empty"):
            index.search(torch.zeros(1, DIM), 1)
        index = filled(make)
        with pytest.raises(ValueError, match="k must be at least 1, got 0"):
            index.search(torch.zeros(1, DIM), 0)
        with pytest.raises(ValueError, match=r"queries must have shape \[N, 4\], got \[1, 5\]"):
            index.search(torch.zeros(1, 5), 1)
        with pytest.raises(ValueError, match=r"queries\[0\].*not finite"):
            index.search(torch.full((1, DIM), math.inf), 1)


class TestSaving:
    @graph_too
    def test_a_loaded_index_goes_on(self, make, tmp_path):
        index, path = filled(make), tmp_path / "a.index"
        index.save(path, about="keys of network 1")
        loaded = type(index).load(path, about="keys of network 1")
        queries = torch.randn(5, DIM, generator=seeded(3))
        for one, other in zip(index.search(queries, 6), loaded.search(queries, 6), strict=True):
            assert torch.equal(one, other)
        loaded.add(torch.full((1, DIM), 9.0), torch.tensor([3]))
        assert loaded.search(torch.full((1, DIM), 9.0), 1)[1].item() == 3
        with pytest.raises(ValueError, match="id 129 is in"):
            loaded.add(torch.zeros(1, DIM), torch.tensor([129]))
        assert [p.name for p in tmp_path.iterdir()] == ["a.index"]

    @graph_too
    def test_files_that_do_not_fit_are_named(self, make, tmp_path):
        index, path = filled(make), tmp_path / "a.index"
        index.save(path, about="network 1")
        other = ExactIndex if isinstance(index, FaissIndex) else FaissIndex
        with pytest.raises(ValueError, match=r"a\.index holds keys of 'network 1', not of 'n"):
            type(index).load(path, about="network 2")
        with pytest.raises(ValueError, match=r"a\.index holds an index of kind"):
            other.load(path)
        with pytest.raises(FileNotFoundError, match=r"b\.index"):
            type(index).load(tmp_path / "b.index")

    @graph_too
    def test_every_damaged_byte_of_a_tensor_is_noticed(self, make, tmp_path):
        index, path = filled(make), tmp_path / "a.index"
        index.save(path)
        content = path.read_bytes()
        key = index._table.ids.numpy().tobytes()
        at = content.index(key)
        for offset in range(0, len(key), 37):
            flipped = bytearray(content)
            flipped[at + offset] ^= 1
            path.write_bytes(flipped)
            with pytest.raises(ValueError, match=r"a\.index is no index, or damaged"):
                type(index).load(path)
        for length in (0, 100, len(content) // 2, len(content) - 1):
            path.write_bytes(content[:length])
            with pytest.raises(ValueError, match=r"a\.index is no index, or damaged"):
                type(index).load(path)

    def test_a_foreign_file_of_torch(self, tmp_path):
        torch.save({"a": 1}, tmp_path / "a.index")
        with pytest.raises(ValueError, match=r"a\.index is no index of this version"):
            ExactIndex.load(tmp_path / "a.index")

    @graph_too
    def test_a_failed_write_keeps_the_old_file(self, make, tmp_path, monkeypatch):
        index, path = filled(make), tmp_path / "a.index"
        index.save(path)
        old = path.read_bytes()

        def fail(*_):
            raise OSError("disk full")

        monkeypatch.setattr("os.fsync", fail)
        with pytest.raises(OSError, match="disk full"):
            index.save(path)
        assert path.read_bytes() == old
        assert [p.name for p in tmp_path.iterdir()] == ["a.index"]

    def test_no_code_is_executed(self, tmp_path):
        class Evil:
            def __reduce__(self):
                return (open, (str(tmp_path / "hacked"), "w"))

        torch.save(Evil(), tmp_path / "a.index")
        with pytest.raises(ValueError, match="no index, or damaged"):
            ExactIndex.load(tmp_path / "a.index")
        assert not (tmp_path / "hacked").exists()
