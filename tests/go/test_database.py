"""A database of positions: who is found, who never is, and what survives on disk."""

import dataclasses
import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlcourse.go.database import PRESETS, Config, Database
from rlcourse.go.database_config import rank_of
from rlcourse.go.key_shards import compute_keys
from rlcourse.go.symmetry import transform_planes
from tests.go.stored_worlds import Boards, Projection, canonical_form, images_of

EVERY = ("train", "retrieval", "test")
INDEXES = {
    "exact": Config(),
    "lists": Config("IVF4,Flat", nprobe=4),
    "codes": Config("IVF4,PQ4x4fs,Refine(SQ8)", nprobe=4, rerank=64),
    "graph": Config("HNSW16", ef=64),
    "halves": Config(split_halves=True),
    "halves of lists": Config("IVF4,Flat", nprobe=4, split_halves=True),
    "all symmetries": Config(symmetries="query"),
    "halves, all symmetries": Config(split_halves=True, symmetries="query"),
}
every_index = pytest.mark.parametrize("config", INDEXES.values(), ids=INDEXES.keys())


class World:
    """A database with what it is made of."""

    def __init__(self, folder, config=None, num_games=40, **kwargs):
        self.config = dataclasses.replace(config or Config(), rows_per_add=50)
        self.positions = Boards(num_games)
        self.keys = Projection(canonical=self.config.symmetries == "canonical")
        self.form = canonical_form if self.keys.canonical else None
        self.folder = folder
        self.shards = self.computed()
        self.database = self.opened(**kwargs)

    def computed(self):
        folder, form = self.folder / "keys", self.form
        return compute_keys(
            folder, self.positions, self.keys, dtype="float32", canonical_form=form,
            rows_per_shard=100, progress=False,
        )  # fmt: skip

    def opened(self, **changes):
        config = dataclasses.replace(self.config, **changes)
        return Database(
            self.folder / "index", self.positions, self.keys, self.shards, config,
            canonical_form=self.form,
        )  # fmt: skip

    def built(self):
        self.database.build(progress=False)
        return self.database


def expected_ids(world, planes, k, allowed):
    """Brute force over the stored boards; `allowed` [B, N] says which may be found."""
    stored = world.keys(world.positions.planes)
    images = images_of(planes) if world.config.symmetries == "query" else planes[:, None]
    asked = torch.stack([world.keys(some) for some in images])  # [B, S, D]
    distances = (asked[:, :, None].double() - stored.double()).square().sum(-1).amin(1)
    distances = distances.masked_fill(~allowed, torch.inf)
    values, ids = distances.sort(dim=1, stable=True)
    return ids.masked_fill(values.isinf(), -1)[:, :k]


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


@every_index
def test_what_was_saved_is_found_again(tmp_path, config):
    world = World(tmp_path, config)
    database = world.built()
    planes, games = world.positions.planes[::5], world.positions.games[::5]
    again = world.opened()
    again.load()
    assert (len(again), again.fingerprint) == (len(database), database.fingerprint)
    expected = database.retrieve(planes, 5, exclude_game=games)
    for ours, theirs in zip(again.retrieve(planes, 5, exclude_game=games), expected, strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("name", ["exact", "lists", "codes", "halves", "graph"])
def test_positions_are_added_from_another_source(tmp_path, name):
    world = World(tmp_path, INDEXES[name])
    database = world.built()
    before, old = len(world.positions), database.fingerprint
    held = len(database)
    world.positions.append(10, seed=3, source=1, first=10)  # game 19 would be one for tests
    added = database.add(progress=False)
    assert added == len(world.positions) - before == len(database) - held
    assert database.fingerprint != old
    assert database.add(progress=False) == 0
    planes = world.positions.planes[before:]
    found = database.retrieve(planes, 3)
    assert (found.ids[:, 0] == torch.arange(before, len(world.positions))).float().mean() > 0.95
    database.save()
    again = world.opened()
    with pytest.raises(ValueError, match="no shard in .* ends after"):
        again.load()  # its keys were opened before the others came
    world.shards = world.computed()
    again = world.opened()
    again.load()
    assert torch.equal(again.retrieve(planes, 3).ids, found.ids)
    assert len(list((tmp_path / "index").glob("*.faiss"))) == (name in ("lists", "codes", "graph"))


def test_adding_later_is_as_building_at_once(tmp_path):
    world = World(tmp_path, Config(split_halves=True))
    world.built()
    world.positions.append(20, seed=3, source=2)
    world.database.add(progress=False)
    other = world.opened()
    other.shards = world.database.shards
    other.build(progress=False)
    lists = World(tmp_path / "lists", INDEXES["lists"])
    lists.built().save()
    first = lists.database.fingerprint
    lists.positions.append(20, seed=3, source=2)
    lists.database.add(progress=False)
    later = lists.database.fingerprint
    lists.database.build(progress=False)  # trained on more: it may find others
    assert len({first, later, lists.database.fingerprint}) == 3
    planes, games = world.positions.planes[::7], world.positions.games[::7]
    found = world.database.retrieve(planes, 6, exclude_game=games)
    for ours, theirs in zip(found, other.retrieve(planes, 6, exclude_game=games), strict=True):
        assert torch.equal(ours, theirs)
    assert other.fingerprint == world.database.fingerprint


@pytest.mark.parametrize("name", ["exact", "lists", "halves"])
def test_a_source_is_removed_and_stays_away(tmp_path, name):
    world = World(tmp_path, INDEXES[name])
    world.positions.append(12, source=1)
    world.shards = world.computed()
    world.database = world.opened()
    database = world.built()
    held, of_source = len(database), int((world.positions.sources == 1).sum())
    assert database.remove_source(1) == of_source
    assert len(database) == held - of_source
    found = database.retrieve(world.positions.planes, 500)
    assert set(world.positions.sources[found.ids[found.ids >= 0]].tolist()) == {0}
    with pytest.raises(ValueError, match="no position of source 1 is in the database"):
        database.remove_source(1)
    database.save()
    again = world.opened()
    again.load()
    assert (len(again), again.fingerprint) == (len(database), database.fingerprint)
    world.positions.append(6, seed=4, source=1, first=50)
    assert again.add(progress=False) == 0
    again.build(progress=False)
    assert len(again) == held + int((world.positions.games >= 50).sum())


def test_what_cannot_forget_says_so_and_forgets_nothing(tmp_path):
    for name in ("graph", "codes"):
        world = World(tmp_path / name, INDEXES[name])
        database = world.built()
        held = len(database)
        with pytest.raises(ValueError, match="cannot forget keys"):
            database.remove_source(0)
        assert len(database) == held
        assert database.retrieve(world.positions.planes[:1], 3).ids.min() >= 0


def test_an_emptied_database_finds_nothing(tmp_path):
    world = World(tmp_path)
    world.built().remove_source(0)
    assert world.database.retrieve(world.positions.planes[:2], 2).ids.tolist() == [[-1, -1]] * 2
    assert world.opened().retrieve(world.positions.planes[:2], 1).ids.tolist() == [[-1]] * 2


def test_searches_go_on_while_positions_are_added(tmp_path):
    world = World(tmp_path, INDEXES["lists"])
    database = world.built()
    planes, games = world.positions.planes[:20], world.positions.games[:20]
    held = len(database)
    world.positions.append(300, source=1)
    thread = threading.Thread(target=database.add, args=(False,))
    thread.start()
    searches = 0
    while thread.is_alive() or not searches:
        found = database.retrieve(planes, 4, exclude_game=games)
        assert not (world.positions.games[found.ids] == games[:, None]).any()
        searches += 1
    thread.join()
    assert int((world.positions.sources == 1).sum()) == 300 * 6 == len(database) - held


def test_an_interrupted_build_leaves_the_index_that_was_there(tmp_path, monkeypatch):
    world = World(tmp_path, INDEXES["halves of lists"])
    database = world.built()
    files = {path: path.read_bytes() for path in (tmp_path / "index").iterdir()}
    planes = world.positions.planes[:9]
    expected = database.retrieve(planes, 3)
    replaced = []

    def crash(path, content):
        replaced.append(path)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("rlcourse.go.database_files.write_whole", crash)
        with pytest.raises(KeyboardInterrupt):
            world.opened(seed=1, num_train=100).build(progress=False)
    assert len(replaced) == 1
    assert all(path.read_bytes() == content for path, content in files.items())
    again = world.opened()
    again.load()
    assert torch.equal(again.retrieve(planes, 3).ids, expected.ids)
    world.opened(seed=1).build(progress=False)
    assert len(list((tmp_path / "index").iterdir())) == 3  # what the crash left is gone


def test_an_index_of_others_is_refused(tmp_path):
    world = World(tmp_path, INDEXES["lists"])
    with pytest.raises(FileNotFoundError, match="no database in .*Database.build"):
        world.opened().load()
    world.built()
    with pytest.raises(ValueError, match=r"built with fraction=1.0, not 0.5: .*Database.build"):
        world.opened(fraction=0.5).load()
    changed = world.opened(nprobe=1)  # how it searches may change
    changed.load()
    assert changed.fingerprint != world.database.fingerprint
    other = World(tmp_path, INDEXES["lists"])
    other.keys = Projection(seed=1)
    other.folder = tmp_path / "other"
    other.shards = other.computed()
    other.folder = tmp_path
    with pytest.raises(ValueError, match=r"of other keys or other positions: .*Database.build"):
        other.opened().load()


def test_damage_is_named_with_its_mend(tmp_path):
    world = World(tmp_path, INDEXES["lists"])
    world.built()
    (part,) = (tmp_path / "index").glob("*.faiss")
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    for damaged in (content, content[:100]):
        part.write_bytes(damaged)
        with pytest.raises(ValueError, match=rf"{part.name}.*damaged.*Database.build"):
            world.opened().load()
    part.unlink()
    with pytest.raises(ValueError, match=rf"no index at .*{part.name}. Make it with"):
        world.opened().load()
    (tmp_path / "index" / "database.json").write_text("{")
    with pytest.raises(ValueError, match=r"database.json is damaged: .*Database.build"):
        world.opened().load()


def test_the_report_of_an_exact_search(tmp_path):
    world = World(tmp_path, Config(symmetries="query"))
    planes, games = world.positions.planes[:30], world.positions.games[:30]
    report = world.built().report(planes, 5, exclude_game=games)
    assert report.recall == 1.0
    assert report.index_bytes == 4 * 8 + 28
    assert report.key_bytes == 4 * 8
    assert report.num_positions == len(world.database)
    assert report.key_seconds > 0
    assert report.search_seconds > 0


def test_the_report_counts_what_was_missed(tmp_path):
    world = World(tmp_path, Config("IVF16,Flat", nprobe=1, split_halves=True), num_games=200)
    database, planes = world.built(), world.positions.planes[::20]
    truth = database.retrieve_exactly(planes, 10)
    found = database.retrieve(planes, 10)
    hits = (found.ids[:, :, None] == truth.ids[:, None]).any(1)
    report = database.report(planes, 10, truth)
    assert 0.1 < report.recall < 0.95
    assert report.recall == pytest.approx(float(hits.float().mean()))
    size = sum(path.stat().st_size for path in (tmp_path / "index").glob("*.faiss"))
    assert report.index_bytes == size / len(database)
    with pytest.raises(ValueError, match=r"truth must have shape \[60, 9\], got \[60, 10\]"):
        database.report(planes, 9, truth)
    with pytest.raises(ValueError, match="no true neighbor"):
        database.report(planes, 10, truth._replace(ids=torch.full_like(truth.ids, -1)))


def test_others_at_the_same_distance_count_as_found(tmp_path):
    world = World(tmp_path, Config(splits=EVERY))
    world.positions.planes[:] = 0  # all boards are alike
    world.keys.fingerprint = "alike"
    world.folder = tmp_path / "alike"
    world.shards = world.computed()
    database = world.opened()
    database.build(progress=False)
    truth = database.retrieve_exactly(world.positions.planes[:2], 3)
    other = truth._replace(ids=truth.ids + 50)
    assert database.report(world.positions.planes[:2], 3, other).recall == 1.0


def test_an_exact_search_over_the_disk_is_that_in_memory(tmp_path):
    for name in ("exact", "halves, all symmetries"):
        world = World(tmp_path / name, INDEXES[name])
        planes, games = world.positions.planes[::9], world.positions.games[::9]
        found = world.built().retrieve(planes, 60, exclude_game=games)
        exact = world.database.retrieve_exactly(planes, 60, exclude_game=games)
        for ours, theirs in zip(exact, found, strict=True):
            assert torch.equal(ours, theirs)


def test_settings_that_do_not_fit_are_refused(tmp_path):
    for changes, says in (
        ({"num_train": 0}, "num_train must be at least 1, got 0"),
        ({"rows_per_add": 0}, "rows_per_add must be at least 1, got 0"),
        ({"fraction": 0.0}, r"fraction must lie in \(0, 1\], got 0.0"),
        ({"fraction": 1.1}, "got 1.1"),
        ({"splits": ("training",)}, "splits must be some of train, retrieval, test"),
        ({"splits": ()}, "splits must be some of"),
        ({"symmetries": "all"}, "symmetries must be one of none, canonical, query, got 'all'"),
        ({"nprobe": 3}, r"belong to FAISS, not to 'exact', got \(3, None, 0\)"),
    ):
        with pytest.raises(ValueError, match=says):
            Config(**changes)
    world = World(tmp_path)
    with pytest.raises(ValueError, match="got symmetries='canonical', no canonical_form and keys"):
        world.opened(symmetries="canonical")
    with pytest.raises(ValueError, match="FAISS searches 'HNSW8' on the CPU, got device=cuda"):
        Database(tmp_path, world.positions, world.keys, world.shards, Config("HNSW8"),
                 device="cuda")  # fmt: skip
    with pytest.raises(ValueError, match="not of 'projection 8 4"):
        Database(tmp_path, world.positions, Projection(seed=4), world.shards, Config())
    with pytest.raises(ValueError, match="FAISS cannot make 'IVFx'"):
        world.opened(index="IVFx")
    with pytest.raises(ValueError, match="are too few to train"):
        world.opened(index="IVF1000,Flat").build(progress=False)
    empty = World(tmp_path / "one", Config(split_halves=True), num_games=1)
    with pytest.raises(ValueError, match="no position is chosen for index 1"):
        empty.built()
    assert set(PRESETS) == {"smoke", "laptop", "paper"}


def test_no_query_has_no_neighbors(tmp_path):
    for name in ("exact", "halves of lists"):
        database = World(tmp_path / name, INDEXES[name]).built()
        assert [part.shape for part in database.retrieve(torch.zeros(0, 2, 5, 5), 3)] == [
            (0, 3)
        ] * 3


def test_queries_that_do_not_fit_are_refused(tmp_path):
    database = World(tmp_path).built()
    planes = torch.zeros(3, 2, 5, 5)
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        database.retrieve(planes, 0)
    with pytest.raises(ValueError, match=r"exclude_game must have shape \[3\].*got \[2\]"):
        database.retrieve(planes, 1, exclude_game=torch.tensor([1, 2]))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_an_exact_search_on_a_gpu_finds_the_same(tmp_path):
    world = World(tmp_path, Config(split_halves=True))
    found = world.built().retrieve(world.positions.planes, 4)
    database = Database(tmp_path / "gpu", world.positions, world.keys, world.shards, world.config,
                        device="cuda")  # fmt: skip
    database.build(progress=False)
    assert torch.equal(database.retrieve(world.positions.planes, 4).ids, found.ids)
