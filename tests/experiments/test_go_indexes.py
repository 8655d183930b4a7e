"""Indexes measured: the choice by hand, and what must hold at the ends of each curve."""

import pytest
import torch

from rlcourse.data.index import recall
from rlcourse.experiments import go_indexes
from rlcourse.ops.neighbors import nearest


@pytest.fixture(scope="module")
def world():
    generator = torch.Generator().manual_seed(0)
    keys, queries = (torch.randn(n, 32, generator=generator) for n in (1_200, 40))
    return keys, queries, nearest(queries, keys, 5)[1]


def test_the_cheapest_that_reaches_the_recall_by_hand():
    settings = [(10, 1, 0.5), (10, 4, 0.9), (50, 4, 0.9), (100, 20, 0.97)]
    costs = [go_indexes.cost(1_000, nlist, nprobe) for nlist, nprobe, _ in settings]
    assert costs == [110, 410, 130, 300]
    assert go_indexes.cheapest(settings, 1_000, 0.4) == (10, 1)
    assert go_indexes.cheapest(settings, 1_000, 0.9) == (50, 4)
    assert go_indexes.cheapest(settings, 1_000, 0.95) == (100, 20)
    assert go_indexes.cheapest(settings, 1_000, 0.99) == (100, 20)  # none reaches it
    with pytest.raises(ValueError, match="no settings to choose from"):
        go_indexes.cheapest([], 1_000, 0.5)


def test_more_lists_find_more_and_all_lists_find_all(world):
    keys, queries, true = world
    calls = []

    def counted(found, wanted):
        calls.append(len(found))
        return recall(found, wanted)

    settings = go_indexes.sweep(keys, queries, true, (4, 16), (1, 4, 16), counted, progress=False)
    assert [setting[:2] for setting in settings] == [(4, 1), (4, 4), (16, 1), (16, 4), (16, 16)]
    assert len(calls) == 5
    recalls = {setting[:2]: setting.recall for setting in settings}
    assert recalls[4, 4] == recalls[16, 16] == 1.0
    assert recalls[16, 1] < recalls[16, 4] < 1.0
    figure = go_indexes.plot_sweep(settings, len(keys), 0.9)
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == ["4", "16"]
    figure.draw_without_rendering()
    (exact,) = figure.axes[0].texts
    assert figure.axes[0].get_window_extent().contains(*exact.get_window_extent().p0)


def test_each_kind_is_measured(world):
    keys, queries, true = world
    rows = go_indexes.measure(keys, queries, true, go_indexes.kinds(8), progress=False)
    by_name = {}
    for row in rows:
        by_name.setdefault(row.kind.name, []).append(row)
    assert [len(own) for own in by_name.values()] == [1, 4, 4, 5]
    exact, whole, short, graph = (own[-1] for own in by_name.values())
    assert exact.recall == whole.recall == 1.0
    assert graph.recall > 0.95
    assert short.recall > 0.8
    assert exact.num_bytes == 4 * 32 + 28
    assert all(row.per_second > 0 for row in rows)
    assert short.num_bytes < whole.num_bytes < graph.num_bytes
    assert go_indexes.table(rows, 0.9).count("\n") == 4
    _, right = go_indexes.plot(rows).axes
    assert right.get_xlim()[1] > max(row.num_bytes for row in rows)
