"""A database of positions: who is found, and who never is."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlcourse.go.database import Config, Database
from rlcourse.go.database_config import rank_of
from rlcourse.go.key_shards import compute_keys
from rlcourse.go.symmetry import transform_planes
from tests.go.databases import EVERY, INDEXES, World, every_index, expected_ids
from tests.go.stored_worlds import Boards, Projection


@every_index
def test_the_own_game_is_never_found_and_the_nearest_of_the_others_are(tmp_path, config):
    world = World(tmp_path, config)
    database, positions = world.built(), world.positions
    ids = torch.arange(0, len(positions), 3)
    games, planes = positions.games[ids], positions.planes[ids]
    stored = torch.isin(positions.games % 10, torch.arange(9))  # no games of the split "test"
    assert len(database) == int(stored.sum())
    allowed = stored & (positions.games != games[:, None])
    if config.split_halves:
        allowed &= positions.games % 2 != games[:, None] % 2
    for k in (1, 7, 300):
        found = database.retrieve(planes, k, exclude_game=games)
        real = found.ids >= 0
        assert not (real & (positions.games[found.ids.clamp(min=0)] == games[:, None])).any()
        assert all(len(row[row >= 0].unique()) == int((row >= 0).sum()) for row in found.ids)
        assert bool(found.distances.isinf().eq(~real).all())
        expected = expected_ids(world, planes, k, allowed)
        if config.index == "exact":
            assert torch.equal(found.ids[:, : expected.shape[1]], expected)
            assert (found.ids[:, expected.shape[1] :] == -1).all()
        elif k < 300:
            hits = (found.ids[:, :, None] == expected[:, None]).any(1)
            assert hits.float().mean() > 0.95


@pytest.mark.parametrize("name", ["exact", "halves"])
def test_a_game_of_another_source_is_another_game(tmp_path, name):
    world = World(tmp_path, INDEXES[name])
    world.positions.append(12, source=1)  # numbered as those of source 0 are
    world.shards = world.computed()
    world.database = world.opened()
    database, positions = world.built(), world.positions
    ids = torch.arange(0, len(positions), 5)
    planes, games, sources = (
        x[ids] for x in (positions.planes, positions.games, positions.sources)
    )
    own = {"exclude_game": games, "exclude_source": sources}
    stored = (positions.games % 10 != 9) | (positions.sources == 1)
    for exclude, source in ((own, sources), ({"exclude_game": games}, torch.zeros_like(games))):
        same = (positions.games == games[:, None]) & (positions.sources == source[:, None])
        allowed = stored & ~same
        if name == "halves":
            allowed &= positions.games % 2 != games[:, None] % 2
        expected = expected_ids(world, planes, 5, allowed)
        for retrieve in (database.retrieve, database.retrieve_exactly):
            assert torch.equal(retrieve(planes, 5, **exclude).ids, expected)
    kept = database.precompute(ids, 5, tmp_path / "found", progress=False).of(ids)
    assert torch.equal(kept.ids, database.retrieve(planes, 5, **own).ids)
    report = database.report(planes, 5, database.retrieve(planes, 5, **own), **own)
    assert report.recall == 1.0
    with pytest.raises(ValueError, match=r"exclude_source must have shape \[.*got \[2\]"):
        database.retrieve(planes, 5, exclude_game=games, exclude_source=sources[:2])


@given(
    st.lists(st.sampled_from([-1, 0, 1, 2, 3, 8, 19, 1000]), min_size=1, max_size=5),
    st.integers(1, 60),
    st.booleans(),
)
@settings(max_examples=25)
def test_any_mixture_of_excluded_games_is_answered(tmp_path_factory, games, k, halves):
    world = World(tmp_path_factory.mktemp("world"), Config(split_halves=halves), num_games=20)
    database, positions = world.built(), world.positions
    games = torch.tensor(games)
    planes = positions.planes[: len(games)]
    allowed = (positions.games % 10 != 9) & (positions.games != games[:, None])
    if halves:
        allowed &= (games[:, None] < 0) | (positions.games % 2 != games[:, None] % 2)
    found = database.retrieve(planes, k, exclude_game=games)
    assert torch.equal(found.ids, expected_ids(world, planes, k, allowed))


def test_without_a_game_both_halves_answer_as_one_index(tmp_path):
    halves = World(tmp_path / "halves", Config(split_halves=True))
    whole = World(tmp_path / "whole")
    planes = Boards(5, seed=9).planes
    found = halves.built().retrieve(planes, 9)
    assert halves.database.split_halves
    for ours, theirs in zip(found, whole.built().retrieve(planes, 9), strict=True):
        assert torch.equal(ours, theirs)
    none = torch.full((len(planes),), -1)
    again = halves.database.retrieve(planes, 9, exclude_game=none)
    assert torch.equal(again.ids, found.ids)


@pytest.mark.parametrize("symmetries", ["query", "canonical"])
def test_a_turned_board_is_found_with_the_symmetry_that_turns_it(tmp_path, symmetries):
    world = World(tmp_path, Config(symmetries=symmetries, splits=EVERY))
    database, positions = world.built(), world.positions
    ids = torch.arange(0, len(positions), 4)
    turned = transform_planes(positions.planes[ids], ids % 8)
    found = database.retrieve(turned, 3)
    assert torch.equal(found.ids[:, 0], ids)
    torch.testing.assert_close(found.distances[:, 0], torch.zeros(len(ids)), atol=1e-8, rtol=0)
    seen = transform_planes(turned, found.symmetry[:, 0])
    assert torch.equal(seen, positions.planes[ids])
    assert len(found.symmetry.unique()) == 8


def test_without_symmetries_a_board_finds_itself_as_it_is(tmp_path):
    world = World(tmp_path, Config(splits=EVERY))
    found = world.built().retrieve(world.positions.planes, 2)
    assert torch.equal(found.ids[:, 0], torch.arange(len(world.positions)))
    assert found.distances[:, 0].max() == 0
    assert found.symmetry.unique().tolist() == [0]


def test_half_precision_on_disk_leaves_a_board_at_distance_0_from_itself(tmp_path):
    positions, keys = Boards(), Projection()
    shards = compute_keys(tmp_path / "keys", positions, keys, progress=False)
    database = Database(tmp_path / "index", positions, keys, shards, Config(splits=EVERY))
    database.build(progress=False)
    found = database.retrieve(positions.planes, 1)
    assert torch.equal(found.ids[:, 0], torch.arange(len(positions)))
    assert found.distances.max() == 0


def test_a_smaller_share_of_the_games_is_among_a_larger_one(tmp_path):
    world = World(tmp_path, Config(splits=EVERY), num_games=200)
    before, shares = set(), (0.05, 0.3, 0.6, 1.0)
    world.keys.calls = 0
    for fraction in shares:
        database = world.opened(fraction=fraction)
        database.build(progress=False)
        found = database.retrieve(world.positions.planes[:1], 2000)
        games = set(world.positions.games[found.ids[found.ids >= 0]].tolist())
        assert before < games
        assert len(games) / 200 == pytest.approx(fraction, abs=0.1)
        positions = [g in games for g in world.positions.games.tolist()]
        assert len(database) == sum(positions)  # a game is stored whole
        before = games
    assert world.keys.calls == len(shares)  # for the queries: no key was computed again
    ranks = rank_of(torch.arange(20_000), seed=0)
    assert float(ranks.min()) >= 0
    assert float(ranks.max()) < 1
    assert float((ranks < 0.1).double().mean()) == pytest.approx(0.1, abs=0.01)
    assert float((rank_of(torch.arange(20_000), seed=1) - ranks).abs().mean()) > 0.2
