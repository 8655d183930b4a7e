"""Keys on disk: computed, interrupted, extended, damaged, mistaken for others."""

import json

import pytest
import torch

from rlcourse.go.key_shards import KeyShards, compute_keys
from tests.go.stored_worlds import Boards, Projection, canonical_form


def computed(folder, positions, keys, **kwargs):
    settings = {"rows_per_shard": 40, "batch_size": 16, "progress": False, "dtype": "float32"}
    return compute_keys(folder, positions, keys, **settings | kwargs)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_rows_are_the_keys_of_their_positions(tmp_path, dtype):
    positions, keys = Boards(), Projection()
    shards = computed(tmp_path, positions, keys, dtype=dtype)
    assert [shard.count for shard in shards.shards] == [40, 40, 40, 40, 20]
    assert len(shards) == len(positions) == 180
    ids = torch.tensor([179, 3, 3, 40, 39, 0])
    expected = keys(positions.planes)[ids]
    torch.testing.assert_close(shards.rows(ids), shards.round(expected), rtol=0, atol=0)
    torch.testing.assert_close(shards.rows(ids), expected, rtol=1e-3, atol=1e-3)
    assert shards.bytes_per_position == {"float16": 2, "float32": 4}[dtype] * keys.dim
    blocks = list(shards.blocks(ids, 4))
    assert [len(rows) for rows, _ in blocks] == [4, 2]
    assert torch.equal(torch.cat([rows for rows, _ in blocks]), shards.rows(ids))
    assert shards.symmetries(ids).tolist() == [0] * 6
    assert shards.rows(ids[:0]).shape == (0, keys.dim)


def test_an_interrupted_computation_goes_on_and_ends_the_same(tmp_path):
    positions, keys = Boards(), Projection()
    whole = computed(tmp_path / "whole", positions, keys)
    keys.calls, keys.fail_after = 0, 7  # three calls a shard: two shards are complete
    with pytest.raises(KeyboardInterrupt):
        computed(tmp_path / "cut", positions, keys)
    assert len(KeyShards.open(tmp_path / "cut", positions, keys)) == 80
    keys.calls = 0
    keys.fail_after = None
    again = computed(tmp_path / "cut", positions, keys)
    assert keys.calls == 3 + 3 + 2
    assert again.fingerprint() == whole.fingerprint()
    assert torch.equal(again.rows(torch.arange(180)), whole.rows(torch.arange(180)))
    assert not [path for path in (tmp_path / "cut").iterdir() if path.name.startswith(".keys")]


def test_positions_that_were_added_get_keys_and_the_others_keep_theirs(tmp_path):
    positions, keys = Boards(), Projection()
    before = computed(tmp_path, positions, keys)
    positions.append(10)
    opened = KeyShards.open(tmp_path, positions, keys)
    assert len(opened) == 180 < len(positions)
    with pytest.raises(ValueError, match="position 180 has no key, there are 180"):
        opened.rows(torch.tensor([0, 180]))
    keys.calls = 0
    after = computed(tmp_path, positions, keys)
    assert keys.calls == 5  # 59 positions in shards of 40 and 19
    assert after.fingerprint(180) == before.fingerprint() != after.fingerprint()
    torch.testing.assert_close(after.rows(torch.arange(239)), keys(positions.planes))
    with pytest.raises(ValueError, match="no shard in .* ends after 100 keys"):
        after.fingerprint(100)


def test_symmetries_are_kept_with_a_canonical_form(tmp_path):
    positions, keys = Boards(), Projection(canonical=True)
    shards = computed(tmp_path, positions, keys, canonical_form=canonical_form)
    ids = torch.tensor([100, 2, 50])
    assert torch.equal(shards.symmetries(ids), canonical_form(positions.planes[ids]))
    assert shards.bytes_per_position == 4 * keys.dim + 1
    with pytest.raises(ValueError, match="canonical=True: give canonical_form"):
        computed(tmp_path / "other", positions, keys)
    with pytest.raises(ValueError, match="canonical=False: give canonical_form"):
        computed(tmp_path / "other", positions, Projection(), canonical_form=canonical_form)


def test_keys_of_others_are_refused(tmp_path):
    positions, keys = Boards(), Projection()
    with pytest.raises(FileNotFoundError, match="make them with `compute_keys`"):
        KeyShards.open(tmp_path, positions, keys)
    computed(tmp_path, positions, keys)
    with pytest.raises(ValueError, match="not of 'projection 8 1 False 1.0' with 8"):
        KeyShards.open(tmp_path, positions, Projection(seed=1))
    for others in (Boards(seed=5), Boards(29), Boards(source=3)):
        with pytest.raises(ValueError, match="holds keys of other positions"):
            KeyShards.open(tmp_path, others, keys)
    with pytest.raises(ValueError, match="dtype='float32' and canonical=False, not 'float16'"):
        computed(tmp_path, positions, keys, dtype="float16")


def test_what_does_not_fit_is_refused(tmp_path):
    positions, keys = Boards(), Projection()
    with pytest.raises(ValueError, match="dtype must be one of float16, float32, got 'int8'"):
        computed(tmp_path, positions, keys, dtype="int8")
    with pytest.raises(ValueError, match="rows_per_shard must be at least 1, got 0"):
        computed(tmp_path, positions, keys, rows_per_shard=0)
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        computed(tmp_path, positions, keys, batch_size=0)
    large = Projection(scale=1e5)
    with pytest.raises(ValueError, match="the key of position 0 is not finite as float16"):
        computed(tmp_path / "large", positions, large, dtype="float16")
    assert len(computed(tmp_path / "larger", positions, large)) == 180
    keys.dim = 7
    with pytest.raises(ValueError, match=r"keys must have shape \[16, 7\], got \[16, 8\]"):
        computed(tmp_path / "narrow", positions, keys)
    keys.dim = 8
    shards = computed(tmp_path / "fine", positions, keys)
    with pytest.raises(ValueError, match="position -1 has no key"):
        shards.rows(torch.tensor([-1]))


def test_damage_is_named(tmp_path):
    positions, keys = Boards(), Projection()
    shards = computed(tmp_path, positions, keys)
    shards.verify()
    path = tmp_path / "keys_00001.npy"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"keys_00001.npy is missing or damaged"):
        KeyShards.open(tmp_path, positions, keys).verify()
    for damaged in (content[:-5], content[:20], b""):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"keys_00001.npy is missing or damaged"):
            KeyShards.open(tmp_path, positions, keys)
    path.unlink()
    with pytest.raises(ValueError, match=r"keys_00001.npy is missing or damaged"):
        KeyShards.open(tmp_path, positions, keys)
    manifest = json.loads((tmp_path / "keys.json").read_text())
    less = [{name: x for name, x in manifest.items() if name != gone} for gone in manifest]
    less.append(manifest | {"shards": [{"name": "00000"}]})
    for damaged in ("{}", "[]", *map(json.dumps, less)):
        (tmp_path / "keys.json").write_text(damaged)
        with pytest.raises(ValueError, match=r"keys.json is missing or damaged"):
            KeyShards.open(tmp_path, positions, keys)
