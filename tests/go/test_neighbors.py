"""Several searches become one; a game is left out; symmetries follow one another."""

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from rlcourse.data.index import ExactIndex
from rlcourse.go.neighbors import (
    Neighbors,
    composed,
    inverse,
    merged,
    no_neighbors,
    search_others,
)
from rlcourse.go.symmetry import transform_planes

candidate = st.tuples(st.integers(-1, 5), st.integers(0, 3), st.integers(0, 7))


@given(st.lists(st.lists(candidate, min_size=4, max_size=4), min_size=1, max_size=3),
       st.integers(1, 14))  # fmt: skip
def test_merging_keeps_the_best_of_each_id(rows, k):
    parts = []
    for row in rows:
        ids, distances, symmetry = (torch.tensor([column]) for column in zip(*row, strict=True))
        parts.append(Neighbors(ids, distances.float(), symmetry))
    best = {}
    for i, distance, symmetry in sorted(x for row in rows for x in row if x[0] >= 0):
        best.setdefault(i, (distance, i, symmetry))
    expected = sorted(best.values())[:k]
    found = merged(parts, k)
    none = k - len(expected)
    assert found.ids.tolist() == [[i for _, i, _ in expected] + [-1] * none]
    assert found.distances.tolist() == [[float(d) for d, _, _ in expected] + [torch.inf] * none]
    assert found.symmetry.tolist() == [[g for _, _, g in expected] + [0] * none]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(1, 8),
       st.lists(st.integers(-1, 4), min_size=1, max_size=6), st.booleans())  # fmt: skip
@example([0] * 60, 8, [-1], True)
@example([0] * 50 + [1] * 10, 8, [0, 1, -1], False)
def test_a_search_without_a_game_finds_the_nearest_of_the_others(games, k, exclude, short):
    games, exclude = torch.tensor(games), torch.tensor(exclude)
    index = ExactIndex(1)
    index.add(torch.arange(len(games)).float()[:, None], torch.arange(len(games)))
    queries = torch.linspace(0, len(games), len(exclude))[:, None]
    calls = []

    def search(some, count):
        calls.append(count)
        distances, ids = index.search(some, count)
        if short:  # as an index of lists that gives no more than four
            distances[:, 4:], ids[:, 4:] = torch.inf, -1
        return distances, ids

    distances, ids = search_others(search, len(games), queries, k, exclude, lambda x: games[x])
    for row, query in enumerate(queries):
        order = sorted((float((query - i) ** 2), i) for i in range(len(games)))
        order = [x for x in order[: 4 if short else None] if games[x[1]] != exclude[row]]
        found = [(d, i) for d, i in zip(distances[row].tolist(), ids[row].tolist(), strict=True)]
        expected = [(pytest.approx(d), i) for d, i in order[:k]]
        assert found == expected + [(torch.inf, -1)] * (k - len(expected))
    assert max(calls) <= len(games)
    if short:  # what has no more to give is not asked again
        assert sum(count > 4 for count in calls) <= 1


def test_an_empty_index_gives_no_neighbors():
    distances, ids = search_others(
        lambda *_: pytest.fail("it was asked"), 0, torch.zeros(2, 3), 2,
        torch.tensor([-1, 0]), lambda ids: ids,
    )  # fmt: skip
    assert ids.tolist() == [[-1, -1]] * 2
    assert bool(distances.isinf().all())


def test_symmetries_follow_one_another_and_are_undone(generator):
    boards = torch.rand(64, 2, 5, 5, generator=generator)
    first, second = (x.flatten() for x in torch.meshgrid(*[torch.arange(8)] * 2, indexing="ij"))
    both = transform_planes(transform_planes(boards, first), second)
    assert torch.equal(transform_planes(boards, composed(first, second)), both)
    undone = transform_planes(transform_planes(boards, first), inverse(first))
    assert torch.equal(undone, boards)


def test_the_nearest_are_the_first_columns():
    found = no_neighbors(2, 3)
    assert (found.ids.dtype, found.distances.dtype) == (torch.int64, torch.float32)
    assert [part.shape for part in found.nearest(2)] == [(2, 2)] * 3
    for k in (0, 4):
        with pytest.raises(ValueError, match=rf"k must lie in \[1, 3\], got {k}"):
            found.nearest(k)
    assert found.to("cpu").ids.tolist() == [[-1] * 3] * 2
