"""What is shown of a neighbor lies on the query's board; the widget says what the network says."""

import pytest
import torch

from rlcourse.go.batches import make_batch
from rlcourse.go.model import PRESETS, RetrievalModel
from rlcourse.go.neighbors import Neighbors
from rlcourse.go.symmetry import transform_moves, transform_planes
from rlcourse.viz import retrieval_pictures
from tests.experiments.key_world import positions_in

QUERIES = torch.tensor([30, 40, 50])


@pytest.fixture(scope="module")
def positions(tmp_path_factory):
    return positions_in(tmp_path_factory.mktemp("p") / "positions")


@pytest.fixture(scope="module")
def network():
    return RetrievalModel(PRESETS["smoke"], torch.Generator().manual_seed(0)).eval()


def found_for(shift: int) -> Neighbors:
    ids = QUERIES[:, None] + torch.arange(1, 5) * shift
    return Neighbors(ids, torch.arange(4.0).expand(3, 4), torch.zeros_like(ids))


@pytest.mark.parametrize("symmetry", [0, 1, 6])
def test_future_and_final_board_come_in_the_frame_of_the_query(symmetry, positions, monkeypatch):
    drawn = []

    def capture(boards, width):
        drawn.extend(boards)
        return "<svg/>"

    monkeypatch.setattr(retrieval_pictures, "row_svg", capture)
    g = torch.tensor([[symmetry]])
    found = Neighbors(torch.tensor([[31]]), torch.zeros(1, 1), g)
    retrieval_pictures.what_is_shown(positions, 30, found)
    near = positions.batch(torch.tensor([31]))
    _, one, final = drawn
    back = transform_moves(
        torch.tensor(one.next_moves), g.expand(5, 1)[: len(one.next_moves), 0], 9
    )
    assert back.tolist() == near.next_moves[0, :5].tolist()
    there = transform_planes(torch.tensor(final.ownership).view(1, 9, 9), g[0]).flatten()
    assert torch.equal(there, -near.final[0].float())  # the other color is to move: swapped
    assert final.winner == -int(near.outcome[0] * near.to_play[0])


def test_an_opinion_is_that_of_the_network(positions, network):
    found = found_for(1)
    row = Neighbors(*(part[:1] for part in found))
    policy, value = retrieval_pictures.opinion(network, positions, 30, row)
    batch = make_batch(positions, QUERIES[:1], lambda _: row)
    with torch.no_grad():
        logits, wanted = network.predict(network.represent(batch.planes, batch.neighbors, 4))
    torch.testing.assert_close(policy, logits[0].softmax(-1))
    assert value == pytest.approx(float(wanted))
    without, _ = retrieval_pictures.opinion(network, positions, 30, None)
    assert not torch.allclose(policy, without)


def test_the_widget_pages_and_switches(positions, network):
    given = {"retrieved": found_for(1), "absent": None, "random": found_for(7)}
    shown = retrieval_pictures.RetrievalExplorer(network, positions, QUERIES, given)
    assert len(shown.boards) == 6
    first = shown.picture.value
    shown.slider.value = 2
    second = shown.picture.value
    assert first != second
    shown.kind.value = "absent"
    assert len(shown.boards) == 2
    assert shown.picture.value != second
    policy, value = retrieval_pictures.opinion(network, positions, 50, None)
    assert torch.equal(torch.tensor(shown.boards[1].policy), policy)
    assert f"{value:+.2f}" in shown.words.value
    move = int(positions.batch(QUERIES[2:]).next_moves[0, 0])
    assert f"rank {1 + int((policy > policy[move]).sum())}." in shown.words.value
    bundle = shown._repr_mimebundle_()
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == shown.widget.model_id
    assert bundle["text/html"].count("<img") == 1
    shown.kind.value = "random"
    assert shown._repr_mimebundle_()["text/html"].count("<img") == 2


def test_what_does_not_belong_together_is_refused(positions, network):
    explorer = retrieval_pictures.RetrievalExplorer
    with pytest.raises(ValueError, match="must be a position to show"):
        explorer(network, positions, QUERIES, {})
    with pytest.raises(
        ValueError, match=r"near must have 4 neighbors of 2 positions, got \[3, 4\]"
    ):
        explorer(network, positions, QUERIES[:2], {"near": found_for(1)})
    with pytest.raises(ValueError, match="near must have 5 neighbors"):
        explorer(network, positions, QUERIES, {"near": found_for(1)}, k=5)
