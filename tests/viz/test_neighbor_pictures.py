"""Neighbors lie as the query does, in its colors, with what happened next."""

import pytest
import torch

from rlcourse.go.neighbors import Neighbors
from rlcourse.go.symmetry import transform_planes
from rlcourse.viz import neighbor_pictures
from tests.experiments.key_world import positions_in


@pytest.fixture(scope="module")
def positions(tmp_path_factory):
    return positions_in(tmp_path_factory.mktemp("p") / "positions")


def turned(batch, symmetry: int):
    """The same positions with their stones under a symmetry."""
    stones = batch.stones.view(-1, 9, 9)
    g = torch.full((len(stones),), symmetry)
    return batch._replace(stones=transform_planes(stones, g).flatten(1))


@pytest.mark.parametrize("symmetry", range(8))
def test_a_turned_neighbor_is_turned_back(symmetry, positions):
    near = positions.batch(torch.tensor([30, 31]))
    query = positions.batch(torch.tensor([30]))
    g = torch.full((2,), symmetry)
    there = turned(near, symmetry)  # it resembles the query under the symmetry
    boards = neighbor_pictures.neighbor_boards(query, there, g, torch.tensor([0.0, 2.5]))
    assert (boards[0].stones == query.stones[0].numpy()).all()
    assert (boards[1].stones == -near.stones[1].numpy()).all()  # the other color is to move
    assert [board.title for board in boards] == ["0", "2.5"]
    own = neighbor_pictures.query_board(query)
    assert boards[0].winner == own.winner
    assert boards[1].winner == -own.winner  # the same game, colors swapped


def test_moves_are_turned_back_with_the_stones(positions):
    query = positions.batch(torch.tensor([30]))
    boards = neighbor_pictures.neighbor_boards(query, query, torch.tensor([1]), torch.tensor([1.0]))
    stones, move = boards[0].stones.reshape(9, 9), int(query.next_moves[0, 0])
    assert (stones == torch.rot90(query.stones.view(9, 9), -1).numpy()).all()
    board = torch.zeros(81)
    board[move] = 1
    there = torch.rot90(board.view(9, 9), -1).flatten()
    assert boards[0].next_moves == [int(there.argmax())]


def found_for(positions, number: int) -> Neighbors:
    ids = torch.stack([torch.arange(6) + 10 * n for n in range(number)])
    return Neighbors(ids, torch.arange(6.0).expand(number, 6), torch.zeros_like(ids))


def test_rows_have_the_query_first(positions):
    found = found_for(positions, 3)
    html = neighbor_pictures.neighbor_rows(
        positions, torch.tensor([0, 10, 20]), {"stones": found, "learned": found}, 1
    )
    assert html.data.count("<img") == 2
    assert html.data.count("query: 9x9 Go board") == 2
    with pytest.raises(ValueError, match="one row with 7 neighbors"):
        neighbor_pictures.boards_of(positions, 0, neighbor_pictures.row_of(found, 0), 7)


def test_the_widget_pages_and_switches(positions):
    queries = torch.tensor([0, 10, 20])
    near = found_for(positions, 3)
    other = near._replace(ids=near.ids + 1)
    shown = neighbor_pictures.NeighborExplorer(positions, queries, {"a": near, "b": other}, k=4)
    assert len(shown.boards) == 5
    assert shown.num_agreeing >= 1  # the first neighbor is the query itself
    first = shown.picture.value
    shown.slider.value = 2
    second = shown.picture.value
    assert first != second
    shown.keys.value = "b"
    assert shown.picture.value != second
    assert shown.words.value.startswith(f"{shown.num_agreeing} of 4 neighbors")
    bundle = shown._repr_mimebundle_()
    view = bundle["application/vnd.jupyter.widget-view+json"]
    assert view["model_id"] == shown.widget.model_id
    assert "b. A still" in bundle["text/html"]


def test_neighbors_of_other_queries_are_refused(positions):
    with pytest.raises(ValueError, match="must be a position"):
        neighbor_pictures.NeighborExplorer(positions, torch.zeros(0, dtype=torch.int64), {})
    with pytest.raises(ValueError, match=r"must have 5 neighbors of 2 positions, got \[3, 6\]"):
        neighbor_pictures.NeighborExplorer(
            positions, torch.tensor([0, 1]), {"a": found_for(positions, 3)}
        )


def test_explained_variance_is_summed():
    figure = neighbor_pictures.explained({"a": torch.tensor([0.5, 0.25])})
    assert list(figure.axes[0].get_lines()[0].get_ydata()) == [50.0, 75.0]
