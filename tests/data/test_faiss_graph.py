"""The graphs of `FaissIndex`: the breadth that they are built with, and the file that keeps it."""

import faiss
import pytest
import torch

from rlcourse.data import key_table
from rlcourse.data.faiss_index import FaissIndex
from rlcourse.data.index import recall
from tests.data.test_index_quality import clustered, exact_index, seeded


def graph_of(index):
    """The HNSW structure within an index of FAISS, by FAISS's own means."""
    inner = index._index
    if isinstance(inner, faiss.IndexIDMap):
        inner = faiss.downcast_index(inner.index)
    if isinstance(inner, faiss.IndexRefine):
        inner = faiss.downcast_index(inner.base_index)
    if isinstance(inner, faiss.IndexIVF):
        inner = faiss.downcast_index(inner.quantizer)
    return inner.hnsw


def filled(factory="HNSW8", count=300, **settings):
    keys = torch.randn(count, 4, generator=seeded())
    index = FaissIndex(4, factory, **settings)
    index.train(keys)
    index.add(keys, torch.arange(count))
    return index


class TestConstruction:
    @pytest.mark.parametrize(
        "factory", ["HNSW8", "HNSW8_SQ8", "IVF4_HNSW8,Flat", "HNSW8,Refine(SQ8)"]
    )
    @pytest.mark.parametrize(("given", "used"), [(None, 40), (77, 77)])
    def test_reaches_faiss(self, factory, given, used):
        assert graph_of(filled(factory, ef_construction=given)).efConstruction == used

    def test_the_default_is_that_of_faiss(self):
        assert faiss.IndexHNSWFlat(4, 8).hnsw.efConstruction == 40

    def test_may_change_between_two_adds(self):
        index = filled(ef_construction=77)
        for index.ef_construction, used in ((50, 50), (None, 40)):
            index.add(torch.ones(1, 4), torch.tensor([1000 + used]))
            assert graph_of(index).efConstruction == used

    def test_a_bad_change_is_named_and_adds_nothing(self):
        index = filled()
        index.ef_construction = -2
        with pytest.raises(ValueError, match="ef_construction must be at least 1, got -2"):
            index.add(torch.ones(1, 4), torch.tensor([1000]))
        assert len(index) == 300
        with pytest.raises(ValueError, match="ef_construction must be at least 1, got -2"):
            index.search(torch.ones(1, 4), 1)

    def test_a_wider_search_while_building_finds_more(self):
        keys, queries = clustered(4000)
        true = exact_index(keys).search(queries, 10)[1]
        found = []
        for breadth in (4, 100):
            index = FaissIndex(16, "HNSW8", ef=10, ef_construction=breadth)
            index.add(keys, torch.arange(len(keys)))
            found.append(recall(index.search(queries, 10)[1], true))
        assert found[1] > found[0] + 0.05

    def test_is_saved_and_loaded(self, tmp_path):
        index, path = filled(ef=20, ef_construction=77), tmp_path / "a.index"
        index.save(path)
        loaded = FaissIndex.load(path)
        assert (loaded.ef, loaded.ef_construction) == (20, 77)
        assert graph_of(loaded).efConstruction == 77
        queries = torch.randn(5, 4, generator=seeded(3))
        for one, other in zip(index.search(queries, 6), loaded.search(queries, 6), strict=True):
            assert torch.equal(one, other)

    def test_a_file_from_before_the_setting_loads(self, tmp_path):
        path = tmp_path / "a.index"
        filled(ef=20).save(path)
        fingerprint, content = key_table.read_index(path, "faiss", None)
        assert fingerprint["settings"].pop("ef_construction", "missing") is None
        key_table.write_index(path, fingerprint, content)
        loaded = FaissIndex.load(path)
        assert (loaded.ef, loaded.ef_construction, len(loaded)) == (20, None, 300)
        loaded.add(torch.ones(1, 4), torch.tensor([1000]))
        assert graph_of(loaded).efConstruction == 40


class TestOrder:
    """Rows are added and searched in an order of the index's own, which nobody sees."""

    @pytest.mark.parametrize("rerank", [0, 3])
    @pytest.mark.parametrize("factory", ["HNSW8", "IVF4_HNSW8,Flat"])
    def test_results_equal_those_of_small_calls(self, factory, rerank):
        keys, queries = clustered(1000)
        queries = torch.cat([queries, keys])
        index = FaissIndex(16, factory, ef=20, rerank=rerank)
        index.train(keys)
        index.add(keys, torch.arange(len(keys)) * 3)
        assert index._reorders(len(queries))
        assert not index._reorders(300)
        together = index.search(queries, 5)
        apart = [index.search(some, 5) for some in queries.split(300)]
        for number, all_rows in enumerate(together):
            assert torch.equal(all_rows, torch.cat([part[number] for part in apart]))

    @pytest.mark.parametrize("factory", ["HNSW8", "HNSW8_SQ8", "HNSW8_SQ8,Refine(Flat)"])
    def test_ids_stay_with_their_keys(self, factory):
        keys = clustered(1200)[0]
        ids = torch.randperm(5000, generator=seeded())[: len(keys)]
        index = FaissIndex(16, factory, ef=64, rerank=2)
        index.train(keys)
        index.add(keys, ids)
        distances, found = index.search(keys, 1)
        assert (found[:, 0] == ids).float().mean() > 0.99
        own = torch.full((5000,), -1).scatter(0, ids, torch.arange(len(ids)))[found[:, 0]]
        true = (keys - keys[own]).square().sum(-1, keepdim=True)
        torch.testing.assert_close(distances, true, rtol=1e-3, atol=1e-3)

    def test_keys_of_one_cluster_lie_together(self):
        keys = clustered(2000)[0]
        index = FaissIndex(16, "HNSW8", rerank=1)
        index.add(keys, torch.arange(len(keys)))
        assert torch.equal(index._table.rows, keys[index._table.ids])
        held = faiss.downcast_index(faiss.downcast_index(index._index.index).storage)
        stored = torch.from_numpy(held.reconstruct_n(0, len(keys)))
        assert torch.equal(stored, index._table.rows)
        steps = stored.diff(dim=0).norm(dim=-1).mean()
        assert steps < 0.8 * keys.diff(dim=0).norm(dim=-1).mean()

    def test_nothing_else_is_reordered(self):
        index = FaissIndex(4, "IVF4_HNSW8,Flat", rerank=1)
        keys = torch.randn(1500, 4, generator=seeded())
        index.train(keys)
        index.add(keys, torch.arange(1500))
        assert torch.equal(index._table.ids, torch.arange(1500))
        assert not FaissIndex(4, "Flat")._reorders(10**6)

    def test_ties_in_a_large_call_go_to_the_smaller_id(self):
        index = FaissIndex(2, "HNSW8", ef=64)
        index.add(torch.ones(6, 2), torch.tensor([5, 3, 4, 0, 2, 1]))
        found = index.search(torch.zeros(1000, 2), 6)[1]
        assert torch.equal(found, torch.arange(6).expand(1000, 6))
