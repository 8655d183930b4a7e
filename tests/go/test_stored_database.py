"""Databases in folders."""

import dataclasses

import pytest
import torch

from rlcourse.go import stored_database
from rlcourse.go.database import Config
from rlcourse.go.stored_database import (
    DatabaseFiles,
    build_database,
    open_database,
    report_on_own,
    settings_for,
)
from tests.go.agents import STORING, database_files, key_network
from tests.go.stored_games import TINY, tiny_games


def nearest(database):
    planes = database.positions.batch(torch.arange(10)).planes
    return database.retrieve(planes, 3).ids


@pytest.mark.parametrize(
    "config",
    [
        STORING,
        Config(split_halves=True),
        Config("IVF2,Flat", nprobe=2, symmetries="query"),
        Config("HNSW4", ef=20),
    ],
    ids=["exact", "halves", "lists", "graph"],
)
def test_what_was_built_is_opened_as_it_was(tmp_path, config):
    files = database_files(tmp_path / "data", config=config)
    files = dataclasses.replace(files, nprobe=config.nprobe, ef=config.ef)
    positions = stored_database.Positions.open(files.positions)
    keys = files.load_keys()
    shards = stored_database.KeyShards.open(files.keys, positions, keys)
    built = stored_database.Database(files.index, positions, keys, shards, config)
    built.build(progress=False)
    opened = open_database(files, progress=False)
    assert opened.config == config
    assert len(opened) == len(positions) - len(positions.of_split("test"))
    assert opened.fingerprint == built.fingerprint
    assert torch.equal(nearest(opened), nearest(built))


def test_an_interrupted_build_goes_on(tmp_path, monkeypatch):
    whole = open_database(database_files(tmp_path / "whole"), progress=False)
    (tmp_path / "part").mkdir()
    files = DatabaseFiles.below(tmp_path / "part", key_network(tmp_path / "part" / "keys.pt"))

    def stops(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stored_database, "compute_keys", stops)
        with pytest.raises(KeyboardInterrupt):
            build_database(files, TINY, tiny_games(12), STORING, progress=False)
    assert files.positions.exists()
    with pytest.raises(FileNotFoundError, match="no keys in .*part/keys"):
        open_database(files)
    made = build_database(files, TINY, tiny_games(12), STORING, progress=False)
    assert torch.equal(nearest(made), nearest(whole))
    assert made.positions.fingerprint == whole.positions.fingerprint


def test_games_that_are_missing_are_added_and_a_share_kept(tmp_path):
    files = DatabaseFiles.below(tmp_path, key_network(tmp_path / "keys.pt"))
    some = build_database(files, TINY, tiny_games(6), STORING, keep=0.5, progress=False)
    more = build_database(files, TINY, tiny_games(12), STORING, keep=0.5, progress=False)
    assert 0 < len(some) < len(more)
    total = sum(len(game.moves) - game.opening for game in tiny_games(12))
    assert 0.3 < len(more.positions) / total < 0.7


def test_a_database_says_how_well_it_finds_its_own_positions(tmp_path, capsys):
    files = DatabaseFiles.below(tmp_path, key_network(tmp_path / "keys.pt"))
    made = build_database(files, TINY, tiny_games(12), STORING)
    report = report_on_own(made)
    assert report.recall == 1.0  # all are compared
    assert report.num_positions == len(made)
    assert f"{len(made):,} positions: recall 1.000" in "".join(capsys.readouterr())
    blind = dataclasses.replace(files, index=tmp_path / "lists")
    config = Config("IVF8,Flat", nprobe=1, num_train=400)
    assert (
        report_on_own(build_database(blind, TINY, tiny_games(12), config, progress=False)).recall
        < 1
    )
    alone = DatabaseFiles.below(tmp_path / "alone", files.key_network)
    assert report_on_own(build_database(alone, TINY, tiny_games(1), STORING)) is None


def test_folders_with_other_games_are_refused(tmp_path):
    files, games = database_files(tmp_path / "data"), tiny_games(12)
    other = dataclasses.replace(TINY, komi=TINY.komi + 1)
    with pytest.raises(
        ValueError, match="positions holds games by Rules.*, not Rules.*: choose an"
    ):
        build_database(files, other, games, STORING, progress=False)
    with pytest.raises(ValueError, match="positions holds game 11: choose another folder, or del"):
        build_database(files, TINY, games[:11], STORING, progress=False)


def test_canonical_keys_are_opened_with_their_form(tmp_path):
    files = DatabaseFiles.below(tmp_path, key_network(tmp_path / "plain.pt"))
    plain = files.load_keys()
    form = stored_database.KeyNetwork(plain.network, plain.layer, plain.pca, canonical=True)
    form.save(tmp_path / "form.pt")
    files = dataclasses.replace(files, key_network=tmp_path / "form.pt")
    config = Config(symmetries="canonical")
    built = build_database(files, TINY, tiny_games(8), config, progress=False)
    assert torch.equal(nearest(open_database(files, progress=False)), nearest(built))


def test_the_shipped_network_is_used_where_none_is_named(tmp_path):
    files = DatabaseFiles.below(tmp_path)
    path = stored_database.shipped.key_network_path()
    assert files.load_keys().fingerprint == stored_database.KeyNetwork.load(path).fingerprint


def test_what_does_not_belong_together_is_named(tmp_path):
    files = database_files(tmp_path / "data")
    other = key_network(tmp_path / "other.pt", seed=1)
    with pytest.raises(ValueError, match="holds keys of the network"):
        open_database(dataclasses.replace(files, key_network=other))
    with pytest.raises(FileNotFoundError, match="no key network at"):
        open_database(dataclasses.replace(files, key_network=tmp_path / "none.pt"))
    with pytest.raises(FileNotFoundError, match="no database in"):
        open_database(dataclasses.replace(files, index=tmp_path / "none"))
    with pytest.raises(ValueError, match="nprobe"):
        open_database(dataclasses.replace(files, nprobe=3))


def test_few_positions_are_compared_one_by_one():
    assert settings_for(1_000).index == "exact"
    many = settings_for(1_000_000)
    assert many.index.startswith("IVF")
    assert many.nprobe > 1
    assert {settings_for(1_000).symmetries, many.symmetries} == {"query"}
