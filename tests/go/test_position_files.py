"""Positions on disk: interrupted, damaged, confused, and made by the command."""

import json
import sys

import pytest

from rlcourse.data.files import exclusively
from rlcourse.go import build_positions, position_shards, positions
from rlcourse.go.build_positions import Config, build
from rlcourse.go.position_records import record_type
from rlcourse.go.positions import Positions
from rlcourse.go.rules import Rules
from tests.go.stored_games import (
    TINY,
    archive,
    everything,
    make,
    replayed,
    same,
    snapshot,
    tiny_games,
)


@pytest.mark.parametrize("stage", ["_checksum", "write_whole", "open_shard"])
def test_an_interrupted_append_adds_nothing_and_can_be_repeated(stage, tmp_path, monkeypatch):
    made = make(tmp_path / "p", tiny_games(5))
    before = (tmp_path / "p" / "positions.json").read_bytes()

    def interrupt(*_):
        raise KeyboardInterrupt

    where = positions if stage == "open_shard" else position_shards
    monkeypatch.setattr(where, stage, interrupt)
    with pytest.raises(KeyboardInterrupt):
        made.append(tiny_games(5, start=5), progress=False)
    monkeypatch.undo()
    assert (tmp_path / "p" / "positions.json").read_bytes() == before
    for some in (made, Positions.open(tmp_path / "p")):
        assert same(everything(some), replayed(tiny_games(5), TINY))
    made.append(tiny_games(5, start=5), progress=False)
    made.verify(progress=False)
    other = make(tmp_path / "q", tiny_games(5))
    other.append(tiny_games(5, start=5), progress=False)
    assert snapshot(tmp_path / "p") == snapshot(tmp_path / "q")


def test_an_append_that_was_interrupted_between_shards_goes_on(tmp_path):
    games = tiny_games(30)

    def until_the_power_fails():
        yield from games[:17]
        raise KeyboardInterrupt

    made = Positions.create(tmp_path / "p", TINY)
    with pytest.raises(KeyboardInterrupt):
        made.append(until_the_power_fails(), progress=False, shard_size=60)
    there = Positions.open(tmp_path / "p")
    assert 0 < len(there.numbers()) < 17
    missing = [game for game in games if game.number not in there.numbers()]
    there.append(missing, progress=False, shard_size=60)
    make(tmp_path / "q", games, shard_size=60)
    assert snapshot(tmp_path / "p") == snapshot(tmp_path / "q")
    assert there.fingerprint == Positions.open(tmp_path / "q").fingerprint


def test_the_fingerprint_tells_rules_and_contents_apart(tmp_path):
    games = tiny_games(6)
    prints = {
        make(tmp_path / str(i), some, rules, **settings).fingerprint
        for i, (some, rules, settings) in enumerate(
            [
                (games, TINY, {}),
                (games[:5], TINY, {}),
                (games[::-1], TINY, {}),
                (games, TINY, {"keep": 0.9}),
                (games, Rules(3, 1.5), {}),
            ]
        )
    }
    assert len(prints) == 5


def test_two_writers_do_not_meet(tmp_path):
    made = make(tmp_path / "p", tiny_games(2))
    with (
        exclusively(tmp_path / "p" / ".lock"),
        pytest.raises(BlockingIOError, match="held by another process"),
    ):
        made.append(tiny_games(1, start=5), progress=False)
    Positions.open(tmp_path / "p").append(tiny_games(1, start=5), progress=False)
    with pytest.raises(ValueError, match="was changed since it was opened: open it again"):
        made.append(tiny_games(1, start=6), progress=False)
    assert Positions.open(tmp_path / "p").numbers() == {0, 1, 5}


def test_damage_is_named(tmp_path):
    folder = tmp_path / "p"
    made = make(folder, tiny_games(20), shard_size=60)
    made.verify(progress=False)
    for name in ("shard_001.npy", "shard_000.games.npy"):
        path, content = folder / name, (folder / name).read_bytes()
        path.write_bytes(content[:-1])
        with pytest.raises(ValueError, match=f"{name} is damaged: restore it"):
            Positions.open(folder)
        path.write_bytes(b"#" * len(content))
        with pytest.raises(ValueError, match=f"{name} is damaged: restore it"):
            Positions.open(folder)
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(ValueError, match=f"{name} is damaged: restore it"):
            Positions.open(folder).verify(progress=False)
        path.unlink()
        with pytest.raises(ValueError, match=f"{name} is missing: restore it"):
            Positions.open(folder)
        path.write_bytes(content)
    about = json.loads((folder / "positions.json").read_bytes())
    about["shards"][0]["num_positions"] += 1
    (folder / "positions.json").write_text(json.dumps(about))
    with pytest.raises(ValueError, match="shard_000.npy is damaged"):
        Positions.open(folder)
    for content in ("", "[]", "{}", json.dumps(about | {"format": "other"}), "{"):
        (folder / "positions.json").write_text(content)
        with pytest.raises(ValueError, match="does not describe positions of this version"):
            Positions.open(folder)


def test_folders_are_not_confused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no positions in .*: make some"):
        Positions.open(tmp_path)
    made = Positions.create(tmp_path, TINY)
    assert len(made) == 0
    assert made.rules == TINY == Positions.open(tmp_path).rules
    with pytest.raises(FileExistsError, match="open it, or choose another folder"):
        Positions.create(tmp_path, TINY)


def test_a_position_is_as_short_as_promised():
    assert record_type(Rules(9)).itemsize == 62
    assert record_type(Rules(19)).itemsize == 4 + 2 + 24 + 4 * 46


def test_the_command_builds_and_goes_on(tmp_path, monkeypatch, capsys):
    file = archive(tmp_path / "games", "a", tiny_games(4))
    archive(tmp_path / "games", "b", tiny_games(3, start=4))
    words = ["build_positions", "--games", str(tmp_path / "games"), "--out", str(tmp_path / "p")]
    monkeypatch.setattr(sys, "argv", words)
    build_positions.main()
    made = Positions.open(tmp_path / "p")
    assert f"{len(made)} positions in" in capsys.readouterr().out
    assert made.rules == Rules(3, 0.5, max_moves=54)
    assert same(everything(made), replayed(tiny_games(7), made.rules))
    before = snapshot(tmp_path / "p")
    build_positions.main()
    assert snapshot(tmp_path / "p") == before
    file.append(tiny_games(2, start=7))
    build_positions.main()
    assert same(everything(Positions.open(tmp_path / "p")), replayed(tiny_games(9), made.rules))

    monkeypatch.setattr(sys, "argv", [*words, "--keep", "0.5"])
    with pytest.raises(SystemExit, match="choose another folder, or another source"):
        build_positions.main()

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(build_positions, "build", interrupt)
    with pytest.raises(SystemExit) as stopped:
        build_positions.main()
    assert stopped.value.code == 130
    assert "the same command goes on from there" in capsys.readouterr().out


def test_the_command_refuses_what_does_not_belong_together(tmp_path):
    games = tmp_path / "games"
    config = Config(games, tmp_path / "p")
    with pytest.raises(ValueError, match=r"no files of games \(\*\.games\) in .*games"):
        build(config, progress=False)
    archive(games, "a", tiny_games(1))
    build(config, progress=False)
    with pytest.raises(ValueError, match="was made by .* not by .*: choose another folder"):
        build(Config(games, tmp_path / "p", superko=False), progress=False)
    archive(games, "b", tiny_games(1, start=1), komi=7.5)
    with pytest.raises(ValueError, match=r"b\.games is of another size or komi than .*a\.games"):
        build(config, progress=False)
