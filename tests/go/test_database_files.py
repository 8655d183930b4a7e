"""A database of positions: what survives on disk, what changes, what is reported and refused."""

import json
import threading

import pytest
import torch

from rlcourse.go import database_files
from rlcourse.go.database import PRESETS, Config, Database
from rlcourse.go.key_shards import KeyShards
from tests.go.databases import EVERY, INDEXES, World, every_index
from tests.go.stored_worlds import Projection


@every_index
def test_what_was_saved_is_found_again(tmp_path, config):
    world = World(tmp_path, config)
    database = world.built()
    planes, games = world.positions.planes[::5], world.positions.games[::5]
    again = world.opened()
    again.load(progress=False)
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
        again.load(progress=False)  # its keys were opened before the others came
    world.shards = world.computed()
    again = world.opened()
    again.load(progress=False)
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
    again.load(progress=False)
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
        same = world.positions.games[found.ids] == games[:, None]
        assert not (same & (world.positions.sources[found.ids] == 0)).any()
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
    again.load(progress=False)
    assert torch.equal(again.retrieve(planes, 3).ids, expected.ids)
    world.opened(seed=1).build(progress=False)
    assert len(list((tmp_path / "index").iterdir())) == 3  # what the crash left is gone


def test_an_index_of_others_is_refused(tmp_path):
    world = World(tmp_path, INDEXES["lists"])
    with pytest.raises(FileNotFoundError, match="no database in .*Database.build"):
        world.opened().load(progress=False)
    world.built()
    with pytest.raises(ValueError, match=r"built with fraction=1.0, not 0.5: .*Database.build"):
        world.opened(fraction=0.5).load(progress=False)
    changed = world.opened(nprobe=1)  # how it searches may change
    changed.load(progress=False)
    assert changed.fingerprint != world.database.fingerprint
    other = World(tmp_path, INDEXES["lists"])
    other.keys = Projection(seed=1)
    other.folder = tmp_path / "other"
    other.shards = other.computed()
    other.folder = tmp_path
    with pytest.raises(ValueError, match=r"of other keys or other positions: .*Database.build"):
        other.opened().load(progress=False)


def test_damage_is_named_with_its_mend(tmp_path):
    world = World(tmp_path, INDEXES["lists"])
    world.built()
    (part,) = (tmp_path / "index").glob("*.faiss")
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    for damaged in (content, content[:100]):
        part.write_bytes(damaged)
        with pytest.raises(ValueError, match=rf"{part.name}.*damaged.*Database.build"):
            world.opened().load(progress=False)
    part.unlink()
    with pytest.raises(ValueError, match=rf"no index at .*{part.name}. Make it with"):
        world.opened().load(progress=False)
    manifest = json.loads((tmp_path / "index" / "database.json").read_text())
    less = [{name: x for name, x in manifest.items() if name != gone} for gone in manifest]
    for damaged in ("{", "[]", json.dumps(manifest | {"settings": {}}), *map(json.dumps, less)):
        (tmp_path / "index" / "database.json").write_text(damaged)
        with pytest.raises(ValueError, match=r"database.json is damaged: .*Database.build"):
            world.opened().load(progress=False)


@pytest.mark.parametrize("name", ["exact", "halves of lists"])
def test_a_load_that_fails_changes_nothing(tmp_path, name, monkeypatch):
    world = World(tmp_path, INDEXES[name])
    database, planes = world.built(), world.positions.planes[:9]
    held, fingerprint = len(database), database.fingerprint
    expected = database.retrieve(planes, 3)
    world.positions.append(10, seed=3, source=1)
    world.shards = database.shards = world.computed()
    world.opened().build(progress=False)  # the folder holds more than the memory

    def fails(*_):
        raise OSError("the disk is gone")

    with monkeypatch.context() as patch:
        patch.setattr(KeyShards, "blocks", fails)
        patch.setattr(database_files, "load_parts", fails)
        with pytest.raises(OSError, match="the disk is gone"):
            database.load(progress=False)
    assert (len(database), database.fingerprint) == (held, fingerprint)
    assert torch.equal(database.retrieve(planes, 3).ids, expected.ids)
    database.load(progress=False)
    assert len(database) == held + int((world.positions.sources == 1).sum())


def test_an_exact_load_shows_how_far_it_is(tmp_path, capsys):
    world = World(tmp_path)
    world.built()
    world.opened().load(progress=False)
    assert capsys.readouterr().err == ""
    world.opened().load()
    assert f"{len(world.database)}/{len(world.database)}" in capsys.readouterr().err


def test_the_report_of_an_exact_search(tmp_path):
    world = World(tmp_path, Config(symmetries="query"))
    planes, games = world.positions.planes[:30], world.positions.games[:30]
    report = world.built().report(planes, 5, exclude_game=games)
    assert report.recall == 1.0
    assert report.index_bytes == 4 * 8 + 28
    assert report.key_bytes == 4 * 8
    assert report.num_positions == len(world.database)
    line = str(report._replace(key_seconds=0.00123, search_seconds=0.5, num_positions=12_345))
    assert line == (
        "12,345 positions: recall 1.000, 500.00 ms a query, 1.23 ms for its keys, 60 bytes in the"
        " index and 32 for the key of each position"
    )


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
    world.positions.append(2, source=1)
    database.add(progress=False)
    with pytest.raises(ValueError, match="another index than the one in memory: write .*save"):
        database.report(planes, 10, truth)
    database.save()
    assert database.report(planes[:2], 10).num_positions == len(database)
    (tmp_path / "index" / "database.json").unlink()
    with pytest.raises(FileNotFoundError, match="no database in"):
        database.report(planes, 10, truth)
    database.save()
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
