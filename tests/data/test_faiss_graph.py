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
