"""What the network sees of its neighbors."""

import pytest
import torch

from rlcourse.go.board import Go
from rlcourse.go.inputs import (
    NeighborInput,
    blank,
    compare_,
    drop,
    neighbor_planes,
    num_neighbor_planes,
    randomize,
    transform_neighbors,
)
from rlcourse.go.rules import Rules
from rlcourse.go.symmetry import (
    NUM_SYMMETRIES,
    destinations,
    sources,
    transform_moves,
    transform_planes,
)
from tests.go.retrieval import Stored, draw, random_stored


def test_a_neighbor_by_hand():
    """White to play; black has a corner, white the center; the query is empty but for a white."""
    stored = random_stored(1, 3)._replace(
        stones=torch.tensor([[1, 0, 0, 0, -1, 0, 0, 0, 0]], dtype=torch.int8),
        to_play=torch.tensor([-1], dtype=torch.int8),
        next_moves=torch.tensor([[2, 9, -1]]),
        outcome=torch.tensor([-1.0]),
        final=torch.tensor([[1, 1, 1, 1, -1, 1, 0, 0, 0]], dtype=torch.int8),
    )
    query = torch.zeros(1, 8, 3, 3)
    query[0, 0, 1, 1] = 1.0
    seen = neighbor_planes(stored, torch.tensor([0]), query, num_next=3)
    assert seen.present.tolist() == [[True]]
    rows = [plane.flatten().tolist() for plane in seen.planes[0, 0]]
    assert len(rows) == num_neighbor_planes(3) == 10
    assert rows[0] == [0, 0, 0, 0, 1, 0, 0, 0, 0]  # own: white
    assert rows[1] == [1, 0, 0, 0, 0, 0, 0, 0, 0]
    assert rows[2] == [0, 0, 0, 0, 1, 0, 0, 0, 0]  # the same stone
    assert rows[3] == [1, 0, 0, 0, 0, 0, 0, 0, 0]  # differs
    assert rows[4] == [0, 0, 1, 0, 0, 0, 0, 0, 0]
    assert rows[5] == pytest.approx([1 / 9] * 9)  # a pass
    assert rows[6] == [0] * 9  # the game was over
    assert rows[7] == [-1] * 9
    assert rows[8] == [0, 0, 0, 0, 1, 0, 0, 0, 0]
    assert rows[9] == [1, 1, 1, 1, 0, 1, 0, 0, 0]


def slow_planes(stored: Stored, symmetry: list[int], query: torch.Tensor) -> torch.Tensor:
    """One point at a time; `sources` says where the stored board has what the query has."""
    size = query.shape[-1]
    num, num_next, points = len(symmetry), stored.next_moves.shape[1], size**2
    each = num // len(query)
    planes, table = torch.zeros(num, 7 + num_next, points), sources(size).tolist()
    for n, g in enumerate(symmetry):
        own = int(stored.to_play[n])
        for there in range(points):
            here = table[g][there]
            stone, owner = int(stored.stones[n, there]) * own, int(stored.final[n, there]) * own
            ours = query[n // each, :2].flatten(1)[:, here]
            mine = int(ours[0]) - int(ours[1])
            planes[n, 0, here], planes[n, 1, here] = stone == 1, stone == -1
            planes[n, 2, here] = stone == mine and stone != 0
            planes[n, 3, here] = stone != mine
            planes[n, -2, here], planes[n, -1, here] = owner == 1, owner == -1
            for k, move in enumerate(stored.next_moves[n].tolist()):
                if move == points:
                    planes[n, 4 + k, here] = 1 / points
                elif move == there:
                    planes[n, 4 + k, here] = 1
        planes[n, 4 + num_next] = stored.outcome[n]
    return planes.view(len(query), each, -1, size, size)


def test_planes_are_those_of_a_slow_loop():
    stored, query = random_stored(8, 4), random_stored(4, 4, seed=1).planes
    symmetry = torch.arange(8).view(4, 2)
    seen = neighbor_planes(stored, symmetry, query)
    torch.testing.assert_close(seen.planes, slow_planes(stored, symmetry.flatten().tolist(), query))


def test_a_symmetric_game_is_seen_as_the_query_sees_itself():
    """A neighbor that is the image of the query under g looks like the query, moves and all."""
    go, symmetry = Go(Rules(5)), torch.arange(8)
    here, there = go.new(8), go.new(8)
    random, played = draw(3), []
    for ply in range(16):
        move = torch.multinomial(here.legal + 1e-9, 1, generator=random).squeeze(1)
        if ply == 11:
            query, stones, to_play = go.planes(here), there.stones.clone(), there.to_play.clone()
        played.append(move)
        go.step_(here, move)
        go.step_(there, transform_moves(move, symmetry, 5))
    next_moves = torch.stack(played[11:], 1)
    images, final = transform_moves(next_moves, symmetry, 5), go.area(there)
    stored = random_stored(8)._replace(
        stones=stones, to_play=to_play, next_moves=images, final=final
    )
    seen = neighbor_planes(stored, symmetry, query, num_next=5).planes[:, 0]
    assert torch.equal(seen[:, :2], query[:, :2])
    assert torch.equal(seen[:, 2], query[:, :2].sum(1))
    assert not seen[:, 3].any()
    is_pass = next_moves == 25
    points = torch.where(is_pass, -1, seen[:, 4:9].flatten(2).argmax(-1))
    assert torch.equal(points, torch.where(is_pass, -1, next_moves))
    owned = (go.area(here) * to_play.unsqueeze(1)).view(8, 5, 5)
    assert torch.equal(seen[:, -2] - seen[:, -1], owned.float())


@pytest.mark.parametrize("turn", range(NUM_SYMMETRIES))
def test_inputs_move_with_the_board(turn):
    """The query turned by h: the neighbor found with g h^-1 is seen as the one found with g, turned
    by h.
    """
    stored, query = random_stored(16, 4), random_stored(8, 4, seed=1).planes
    found = torch.arange(16).view(8, 2) % 8
    table = [row.tolist() for row in sources(4)]
    back = destinations(4)[turn, :-1]
    after = torch.tensor([table.index(back[sources(4)[g]].tolist()) for g in range(8)])
    turned = torch.full((8,), turn)
    seen = transform_neighbors(neighbor_planes(stored, found, query), turned)
    again = neighbor_planes(stored, after[found], transform_planes(query, turned))
    assert torch.equal(seen.planes, again.planes)


def test_positions_of_other_types_and_flat_symmetries_do():
    stored, query = random_stored(6), random_stored(3, seed=1).planes
    symmetry, present = torch.arange(6), torch.tensor([[True, False]] * 3)
    wide = stored._replace(stones=stored.stones.long(), to_play=stored.to_play.int())
    seen = neighbor_planes(stored, symmetry, query, present=present)
    other = neighbor_planes(wide, symmetry.view(3, 2).to(torch.int8), query)
    assert torch.equal(seen.planes, other.planes)
    assert torch.equal(seen.present, present)
    assert other.present.all()


def test_fewer_next_moves_are_the_first_ones():
    stored, query = random_stored(2), random_stored(2, seed=1).planes
    symmetry = torch.zeros(2, dtype=torch.int64)
    few = neighbor_planes(stored, symmetry, query, num_next=3).planes
    many = neighbor_planes(stored, symmetry, query).planes
    assert few.shape[2] == 10
    assert torch.equal(few, torch.cat([many[:, :, :7], many[:, :, -3:]], 2))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"query": torch.zeros(3, 8, 5, 5)}, "4 positions do not divide among 3"),
        ({"query": torch.zeros(8, 8, 5, 5)}, "4 positions do not divide among 8"),
        ({"query": torch.zeros(2, 8, 4, 4)}, "25 points are no neighbors of boards 4x4"),
        ({"symmetry": torch.zeros(3, dtype=torch.int64)}, r"4 symmetries, got \(3,\)"),
        ({"symmetry": torch.tensor([0, 8, 0, 0])}, r"from 0 to 7, got \[0, 8\]"),
        ({"present": torch.ones(4, 1, dtype=torch.bool)}, r"\(2, 2\), got \(4, 1\)"),
        ({"num_next": 11}, r"\[1, 10\], the moves stored: got 11"),
        ({"num_next": 0}, "got 0"),
    ],
)
def test_what_does_not_fit_is_refused(change, says):
    given = {"symmetry": torch.zeros(4, dtype=torch.int64), "query": torch.zeros(2, 8, 5, 5)}
    given |= change
    query = given.pop("query")
    with pytest.raises(ValueError, match=says):
        neighbor_planes(random_stored(4), given.pop("symmetry"), query, **given)


def some_neighbors(num: int = 400, k: int = 5) -> tuple[NeighborInput, torch.Tensor]:
    query = random_stored(num, 3, seed=1).planes
    symmetry = torch.zeros(num, k, dtype=torch.int64)
    return neighbor_planes(random_stored(num * k, 3), symmetry, query), query


def test_dropout_drops_each_neighbor_on_its_own():
    neighbors, _ = some_neighbors()
    dropped = drop(neighbors, 0.3, draw(0))
    assert dropped.planes is neighbors.planes
    assert dropped.present.float().mean().item() == pytest.approx(0.7, abs=0.04)
    assert dropped.present.sum(1).unique().numel() > 3  # not all of an observation together
    assert torch.equal(drop(neighbors, 0.0, draw(0)).present, neighbors.present)
    assert not drop(neighbors, 1.0, draw(0)).present.any()
    together = drop(neighbors, 0.0, draw(0), 0.3).present
    assert torch.equal(together.all(1), together.any(1))
    assert together.float().mean().item() == pytest.approx(0.7, abs=0.1)
    absent = neighbors._replace(present=torch.zeros_like(neighbors.present))
    assert not drop(absent, 0.3, draw(0)).present.any()


def test_randomization_replaces_single_neighbors_and_compares_anew():
    neighbors, query = some_neighbors(300, 2)
    present = torch.arange(600).view(300, 2) % 3 > 0
    mixed = randomize(neighbors._replace(present=present), query, 0.25, draw(0))
    given = (mixed.planes[:, None, :, 4:] == neighbors.planes[None, :, :, 4:]).flatten(3).all(3)
    giver, rank = given.int().argmax(1), torch.arange(2)  # [B, K]
    assert given.any(1).all()
    changed = giver != torch.arange(300).unsqueeze(1)
    assert changed.float().mean().item() == pytest.approx(0.25, abs=0.06)
    assert changed.all(1).float().mean().item() == pytest.approx(0.0625, abs=0.05)  # each alone
    both = changed.all(1)
    assert (giver[both][:, 0] != giver[both][:, 1]).any()
    assert torch.equal(mixed.present, present[giver, rank])
    assert torch.equal(mixed.game, neighbors.game[giver, rank])
    expected = neighbors.planes[giver, rank]
    compare_(expected, query)
    assert torch.equal(mixed.planes, expected)
    assert (mixed.planes[:, :, 2:4] != neighbors.planes[giver, rank][:, :, 2:4]).any()


def test_randomization_brings_in_nothing_of_the_own_game():
    """Two observations of games 7 and 8: at probability 1 each gets what the other found."""
    neighbors, query = some_neighbors(2, 3)
    neighbors = neighbors._replace(game=torch.tensor([[8, 3, 7], [7, 5, 8]]))
    own = torch.tensor([7, 8])
    mixed = randomize(neighbors, query, 1.0, draw(0), own)
    assert mixed.game.tolist() == [[7, 5, 8], [8, 3, 7]]
    assert mixed.present.tolist() == [[False, True, True]] * 2
    assert randomize(neighbors, query, 1.0, draw(0)).present.all()
    # What was retrieved stays as it is: of a game of another source, perhaps.
    assert randomize(neighbors, query, 0.0, draw(0), own).present.all()
    with pytest.raises(ValueError, match="own_game needs the games of neighbors"):
        randomize(neighbors._replace(game=None), query, 1.0, draw(0), own)


def test_randomization_at_the_ends_of_its_range():
    neighbors, query = some_neighbors(6, 2)
    assert torch.equal(randomize(neighbors, query, 0.0, draw(0)).planes, neighbors.planes)
    mixed = randomize(neighbors, query, 1.0, draw(0)).planes
    assert (mixed != neighbors.planes).flatten(1).any(1).all()  # never one's own
    alone = neighbors.each(lambda x: x[:1])
    assert torch.equal(randomize(alone, query[:1], 1.0, draw(0)).planes, alone.planes)


def test_randomness_is_the_generators():
    neighbors, query = some_neighbors(20, 2)
    for change in (
        lambda seed: drop(neighbors, 0.5, draw(seed)).present,
        lambda seed: randomize(neighbors, query, 0.5, draw(seed)).planes,
    ):
        assert torch.equal(change(1), change(1))
        assert not torch.equal(change(1), change(2))


def test_probabilities_are_checked():
    neighbors, query = some_neighbors(2, 2)
    with pytest.raises(ValueError, match=r"\[0, 1\], got 1.5"):
        drop(neighbors, 1.5, draw(0))
    with pytest.raises(ValueError, match=r"\[0, 1\], got -0.5"):
        randomize(neighbors, query, -0.5, draw(0))


def test_the_games_of_neighbors_are_kept_and_may_be_unknown():
    stored, query = random_stored(6), random_stored(3, seed=1).planes
    seen = neighbor_planes(stored, torch.arange(6), query)
    assert torch.equal(seen.game.flatten(), stored.game)
    assert NeighborInput(seen.planes, seen.present).to("cpu").game is None


def test_blank_neighbors_are_there_and_hold_nothing():
    neighbors, _ = some_neighbors(3, 2)
    empty = blank(neighbors._replace(present=torch.zeros(3, 2, dtype=torch.bool)))
    assert empty.present.all()
    assert empty.planes.shape == neighbors.planes.shape
    assert not empty.planes.any()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_sees_the_same():
    stored, query = random_stored(24, 9), random_stored(8, 9, seed=1).planes
    symmetry = torch.arange(24) % 8
    here = neighbor_planes(stored, symmetry, query)
    there = neighbor_planes(stored, symmetry, query.cuda())
    torch.testing.assert_close(there.planes.cpu(), here.planes)
    assert there.present.is_cuda
    mixed = randomize(there, query.cuda(), 0.5, draw(0))
    torch.testing.assert_close(mixed.planes.cpu(), randomize(here, query, 0.5, draw(0)).planes)
    assert torch.equal(drop(there, 0.5, draw(0)).present.cpu(), drop(here, 0.5, draw(0)).present)
