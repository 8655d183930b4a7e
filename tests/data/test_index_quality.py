"""What the indexes of `data` promise beyond their common contract: exactness, recall, settings."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlcourse.data.faiss_index import FaissIndex
from rlcourse.data.index import ExactIndex, recall
from tests.oracles.slow_nearest import slow_nearest


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def clustered(count, dim=16, clusters=50):
    """Keys in overlapping clusters, and 200 queries from the same clusters."""
    g = seeded(1)
    centers = torch.randn(clusters, dim, generator=g)
    of = torch.randint(clusters, (count + 200,), generator=g)
    points = centers[of] + 0.5 * torch.randn(count + 200, dim, generator=g)
    return points[:count], points[count:]


def in_double(keys, queries, k):
    """The k smallest squared distances [B, K] in float64, and their rows."""
    differences = queries[:, None].double() - keys.double()
    return differences.square().sum(-1).topk(k, largest=False)


def exact_index(keys, **settings):
    index = ExactIndex(keys.shape[1], **settings)
    index.add(keys, torch.arange(len(keys)))
    return index


class TestExact:
    @given(
        keys=st.lists(st.lists(st.floats(-3, 3, width=32), min_size=2, max_size=2), min_size=30),
        offset=st.sampled_from([0.0, 1000.0, 1e6]),
        k=st.integers(1, 5),
    )
    def test_equals_the_oracle_even_far_from_the_origin(self, keys, offset, k):
        keys = torch.tensor(keys) + offset
        distances, ids = exact_index(keys).search(keys[:3], k)
        held = dict(enumerate(keys.tolist()))
        for row in range(3):
            true = slow_nearest(held, keys[row].tolist(), k)
            expected = torch.tensor([d for d, _ in true])
            torch.testing.assert_close(distances[row], expected, rtol=1e-6, atol=0.0)
            assert ids[row].tolist() == [i for _, i in true]

    @pytest.mark.parametrize("offset", [0.0, 30.0, 3000.0])
    @pytest.mark.parametrize("work_bytes", [1 << 20, 1 << 28])
    def test_many_keys_in_blocks(self, offset, work_bytes):
        keys, queries = clustered(20_000)
        keys, queries = keys + offset, queries + offset
        distances, ids = exact_index(keys, work_bytes=work_bytes).search(queries, 10)
        true = in_double(keys, queries, 10)
        torch.testing.assert_close(distances, true.values.float(), rtol=1e-6, atol=0.0)
        assert torch.equal(ids, true.indices)

    def test_the_matrix_product_alone_would_be_wrong(self):
        keys, queries = clustered(20_000)
        keys, queries = keys + 3000, queries + 3000
        scores = keys.square().sum(-1) - 2 * queries @ keys.T
        found = scores.topk(10, largest=False).indices
        assert recall(found, in_double(keys, queries, 10).indices) < 0.5

    def test_ties_go_to_the_smaller_id_however_many_there_are(self):
        index = ExactIndex(3)
        ids = torch.randperm(5000, generator=seeded())
        index.add(torch.ones(5000, 3), ids)
        assert torch.equal(index.search(torch.zeros(2, 3), 4)[1], torch.arange(4).expand(2, 4))

    @pytest.mark.parametrize("precision", ["high", "medium"])
    def test_holds_where_torch_multiplies_roughly(self, precision):
        keys, queries = clustered(3000)
        true = in_double(keys, queries, 5).indices
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision(precision)
        try:
            assert torch.equal(exact_index(keys).search(queries, 5)[1], true)
        finally:
            torch.set_float32_matmul_precision(before)

    @pytest.mark.gpu
    @pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
    def test_on_a_gpu_within_its_memory(self):
        keys, queries = clustered(200_000)
        index = exact_index(keys, device="cuda", work_bytes=1 << 24)
        queries = queries.cuda()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        distances, ids = index.search(queries, 10)
        assert torch.cuda.max_memory_allocated() - before < (1 << 25) + 4 * len(keys)
        true = exact_index(keys).search(queries.cpu(), 10)
        assert distances.is_cuda
        assert torch.equal(ids.cpu(), true[1])

    def test_a_search_sees_every_change(self):
        index, query = exact_index(torch.eye(3).repeat(20, 1)), torch.full((1, 3), 5.0)
        index.search(query, 1)
        index.add(query, torch.tensor([100]))
        assert index.search(query, 1)[1].item() == 100
        index.update(query + 1, torch.tensor([100]))
        assert index.search(query, 1)[0].item() == 3.0
        index.update(query, torch.tensor([7]))
        assert index.search(query, 1)[1].item() == 7
        index.remove(torch.tensor([7]))
        assert index.search(query, 1)[1].item() == 100

    def test_settings_out_of_range(self):
        with pytest.raises(ValueError, match="dim must be at least 1, got 0"):
            ExactIndex(0)
        with pytest.raises(ValueError, match="work_bytes must be at least 1048576, got 5"):
            ExactIndex(2, work_bytes=5)


class TestFaiss:
    @pytest.mark.parametrize(
        ("factory", "settings"),
        [
            ("IVF64,Flat", {"nprobe": 8}),
            ("IVF64,SQ8", {"nprobe": 8}),
            ("IVF64,PQ8x4fs", {"nprobe": 8, "rerank": 32}),
            ("IVF64,PQ16x4fs,Refine(SQ8)", {"nprobe": 8, "rerank": 16}),
            ("IVF64_HNSW16,Flat", {"nprobe": 8, "ef": 32}),
            ("HNSW32", {"ef": 64}),
        ],
    )
    def test_recall_on_clustered_keys(self, factory, settings):
        keys, queries = clustered(20_000)
        index = FaissIndex(16, factory, **settings)
        index.train(keys[:5000])
        index.add(keys, torch.arange(len(keys)))
        true = in_double(keys, queries, 10).indices
        assert recall(index.search(queries, 10)[1], true) >= 0.9

    def test_more_probes_and_reranking_find_more(self):
        keys, queries = clustered(20_000)
        true = in_double(keys, queries, 10).indices
        index = FaissIndex(16, "IVF64,PQ8x4fs", nprobe=1, rerank=1)
        index.train(keys[:5000])
        index.add(keys, torch.arange(len(keys)))
        found = []
        for index.nprobe, index.rerank in [(1, 1), (16, 1), (16, 8), (64, 100)]:
            found.append(recall(index.search(queries, 10)[1], true))
        assert found == sorted(found)
        assert found[0] < 0.5 < 0.97 < found[-1]

    def test_reranked_distances_are_exact(self):
        keys, queries = clustered(5000)
        index = FaissIndex(16, "IVF16,PQ8x4fs", nprobe=16, rerank=4)
        index.train(keys)
        index.add(keys, torch.arange(len(keys)) + 7)
        distances, ids = index.search(queries, 5)
        true = (queries[:, None] - keys[ids - 7]).double().square().sum(-1).float()
        torch.testing.assert_close(distances, true, rtol=1e-5, atol=0.0)
        assert (distances.diff(dim=-1) >= 0).all()

    def test_short_lists_are_padded(self):
        keys = torch.eye(4).repeat_interleave(50, 0) * 100
        index = FaissIndex(4, "IVF4,Flat", nprobe=1)
        index.train(keys + torch.randn(200, 4, generator=seeded()))
        index.add(keys, torch.arange(200))
        distances, ids = index.search(keys[:1], 120)
        missing = ids < 0
        assert 0 < missing.sum() <= 70
        assert torch.equal(missing, distances.isinf())

    def test_a_graph_says_that_it_cannot_forget(self):
        index = FaissIndex(4, "HNSW16")
        index.add(torch.eye(4), torch.arange(4))
        for call in (
            lambda: index.remove(torch.tensor([1])),
            lambda: index.update(torch.ones(1, 4), torch.tensor([1])),
        ):
            with pytest.raises(ValueError, match="'HNSW16' cannot forget keys: choose Flat or IVF"):
                call()
        assert len(index) == 4
        assert index.search(torch.eye(4), 1)[1][:, 0].tolist() == [0, 1, 2, 3]

    def test_training(self):
        index = FaissIndex(4, "IVF8,Flat")
        assert not index.is_trained
        with pytest.raises(ValueError, match="'IVF8,Flat' is not trained: call `train`"):
            index.add(torch.eye(4), torch.arange(4))
        with pytest.raises(ValueError, match="4 keys are too few to train 'IVF8,Flat'"):
            index.train(torch.eye(4))
        with pytest.raises(ValueError, match=r"sample\[0\].*not finite"):
            index.train(torch.full((400, 4), math.nan))
        index.train(torch.randn(400, 4, generator=seeded()))
        assert index.is_trained
        assert len(index) == 0
        index.add(torch.eye(4), torch.arange(4))
        with pytest.raises(ValueError, match="holds 4 keys already"):
            index.train(torch.randn(400, 4, generator=seeded()))

    @pytest.mark.parametrize(
        ("factory", "settings", "message"),
        [
            ("Foo", {}, "FAISS cannot make 'Foo' for keys of dimension 4"),
            ("IVF4,PQ3x4fs", {}, "FAISS cannot make 'IVF4,PQ3x4fs' for keys of dimension 4"),
            ("PCA2,Flat", {}, "'PCA2,Flat' transforms the keys"),
            ("Flat", {"nprobe": 2}, "nprobe has no meaning for 'Flat'"),
            ("IVF4,Flat", {"ef": 2}, "ef has no meaning for 'IVF4,Flat'"),
            ("IVF4,Flat", {"nprobe": 0}, "nprobe must be at least 1, got 0"),
            ("HNSW16", {"ef": -1}, "ef must be at least 1, got -1"),
            ("Flat", {"ef_construction": 9}, "ef_construction has no meaning for 'Flat'"),
            ("IVF4,Flat", {"ef_construction": 9}, "ef_construction has no meaning for 'IVF4,Fl"),
            ("HNSW16", {"ef_construction": 0}, "ef_construction must be at least 1, got 0"),
            ("Flat", {"rerank": -1}, "rerank must be at least 0, got -1"),
        ],
    )
    def test_settings_that_do_not_fit(self, factory, settings, message):
        with pytest.raises(ValueError, match=message):
            FaissIndex(4, factory, **settings)

    def test_the_same_sample_gives_the_same_index(self):
        keys, queries = clustered(3000)
        results = []
        for _ in range(2):
            index = FaissIndex(16, "IVF16,PQ8x4fs", nprobe=2)
            index.train(keys)
            index.add(keys, torch.arange(len(keys)))
            results.append(index.search(queries, 5))
        assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


class TestRecall:
    def test_counts_by_hand(self):
        found = torch.tensor([[3, 1, 9], [4, -1, -1]])
        true = torch.tensor([[1, 2, 3], [4, 5, -1]])
        assert recall(found, true) == pytest.approx(3 / 5)
        assert recall(true, true) == 1.0

    def test_widths_may_differ(self):
        assert recall(torch.tensor([[5, 6, 7]]), torch.tensor([[7]])) == 1.0

    def test_errors(self, without_type_checks):
        with pytest.raises(ValueError, match="no true neighbor"):
            recall(torch.tensor([[1]]), torch.tensor([[-1]]))
        with pytest.raises(ValueError, match="2 queries were searched, but 1 have"):
            recall(torch.zeros(2, 1).long(), torch.zeros(1, 1).long())
