"""Neighbors on disk: the same as searched, interrupted, mistaken for others, damaged."""

import dataclasses
import itertools
import json

import pytest
import torch

from rlcourse.go.database import Config, Database
from rlcourse.go.key_shards import compute_keys
from rlcourse.go.precomputed import Precomputed, precompute
from tests.go.stored_worlds import Boards, Projection


def built(folder, **changes):
    positions, keys = Boards(60), Projection()
    shards = compute_keys(folder / "keys", positions, keys, progress=False)
    config = dataclasses.replace(Config(), **changes)
    database = Database(folder / "index", positions, keys, shards, config)
    database.build(progress=False)
    return database


@pytest.mark.parametrize("split_halves", [False, True])
def test_neighbors_on_disk_are_those_that_a_search_finds(tmp_path, split_halves):
    database = built(tmp_path, split_halves=split_halves, symmetries="query")
    ids = torch.arange(0, 360, 2)
    found = database.precompute(ids.flip(0), 5, tmp_path / "found", progress=False)
    assert len(found) == 180
    found.verify()
    asked = torch.tensor([4, 300, 300, 0])
    positions = database.positions
    games = positions.games[asked]
    expected = database.retrieve(positions.planes[asked], 5, exclude_game=games)
    read = found.of(asked)
    for ours, theirs in zip(read, expected, strict=True):
        assert ours.dtype == theirs.dtype
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    assert not (positions.games[read.ids] == games[:, None]).any()
    assert torch.equal(found.of(asked, 2).ids, read.ids[:, :2])
    with pytest.raises(ValueError, match=r"k must lie in \[1, 5\], got 6"):
        found.of(asked, 6)
    with pytest.raises(ValueError, match="position 3 has no neighbors in"):
        found.of(torch.tensor([4, 3]))


def test_held_out_positions_are_answered_by_both_halves(tmp_path):
    database = built(tmp_path, split_halves=True)
    positions = database.positions
    ids = (positions.games % 10 == 9).nonzero()[:, 0]
    found = database.precompute(ids, 8, tmp_path / "both", held_out=True, progress=False).of(ids)
    expected = database.retrieve(positions.planes[ids], 8)
    assert torch.equal(found.ids, expected.ids)
    one = database.precompute(ids, 8, tmp_path / "one", progress=False).of(ids)
    assert (positions.games[one.ids] % 2 == 0).all()
    assert not torch.equal(one.ids, found.ids)
    with pytest.raises(ValueError, match="position 0 is stored: leave held_out out"):
        database.precompute(torch.arange(9), 8, tmp_path / "no", held_out=True, progress=False)
    assert set(database.held().tolist()) == set(range(len(positions))) - set(ids.tolist())


def test_an_interrupted_run_goes_on_and_ends_the_same(tmp_path, monkeypatch):
    seconds = itertools.count()  # a block takes one
    monkeypatch.setattr("rlcourse.go.precomputed.monotonic", lambda: next(seconds))
    monkeypatch.setattr("rlcourse.go.precomputed._SAVE_AFTER", 2)
    database, ids = built(tmp_path), torch.arange(100)
    whole = precompute(database, ids, 3, tmp_path / "whole", block=10, progress=False)
    keys = database.keys
    keys.calls, keys.fail_after = 0, 5  # five blocks, of which four are on the disk
    with pytest.raises(KeyboardInterrupt):
        precompute(database, ids, 3, tmp_path / "cut", block=10, progress=False)
    with pytest.raises(ValueError, match=r"neighbors of 40 of 100 positions: run"):
        Precomputed.open(tmp_path / "cut")
    keys.calls, keys.fail_after = 0, None
    again = precompute(database, ids, 3, tmp_path / "cut", block=10, progress=False)
    assert keys.calls == 6
    for name in ("queries.npy", "ids.npy", "distances.npy", "symmetry.npy"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    keys.calls = 0
    precompute(database, ids, 3, tmp_path / "cut", block=10, progress=False)
    assert keys.calls == 0  # complete already
    assert again.fingerprint == whole.fingerprint == database.fingerprint


def test_neighbors_of_others_are_refused(tmp_path):
    database, ids = built(tmp_path), torch.arange(20)
    folder = tmp_path / "found"
    with pytest.raises(FileNotFoundError, match="make them with `Database.precompute`"):
        Precomputed.open(folder)
    database.precompute(ids, 3, folder, progress=False)
    assert len(Precomputed.open(folder, database.fingerprint)) == 20
    for args, name in (((ids, 4), "k"), ((ids + 1, 3), "ids"), ((ids[1:], 3), "ids, count")):
        with pytest.raises(ValueError, match=rf"with another {name}: choose another folder"):
            database.precompute(*args, folder, progress=False)
    database.remove_source(0)
    with pytest.raises(ValueError, match="with another database"):
        database.precompute(ids, 3, folder, progress=False)
    with pytest.raises(ValueError, match="holds neighbors of another database"):
        Precomputed.open(folder, database.fingerprint)


def test_what_does_not_fit_is_refused(tmp_path):
    database = built(tmp_path)
    for k, block, name in ((0, 1, "k"), (1, 0, "block")):
        with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
            precompute(database, torch.arange(2), k, tmp_path / "x", block=block)
    for ids, given in (([], "none"), ([-1, 2], "-1 to 2"), ([5, 360], "5 to 360")):
        with pytest.raises(ValueError, match=f"ids must be positions, 0 to 359, got {given}"):
            database.precompute(torch.tensor(ids), 2, tmp_path / "x")


def test_damage_is_named(tmp_path):
    database, folder = built(tmp_path), tmp_path / "found"
    database.precompute(torch.arange(20), 3, folder, progress=False)
    path = folder / "distances.npy"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"distances.npy is missing or damaged: delete"):
        Precomputed.open(folder).verify()
    for damaged in (content[:-1], b"", content[:30]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"distances.npy is missing or damaged"):
            Precomputed.open(folder)
    manifest = json.loads((folder / "precomputed.json").read_text())
    less = [{name: x for name, x in manifest.items() if name != gone} for gone in manifest]
    for gone in manifest["about"]:
        about = {name: x for name, x in manifest["about"].items() if name != gone}
        less.append(manifest | {"about": about})
    for damaged in ("[]", json.dumps(manifest | {"about": 1}), *map(json.dumps, less)):
        (folder / "precomputed.json").write_text(damaged)
        with pytest.raises(ValueError, match=r"precomputed.json is missing or damaged"):
            Precomputed.open(folder)
