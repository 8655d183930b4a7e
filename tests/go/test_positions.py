"""Positions on disk: against single boards of the engine, interrupted, damaged, misused."""

import json
import random
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from rlcourse.go import position_shards, positions
from rlcourse.go.board import Go
from rlcourse.go.position_records import NUM_NEXT, is_kept, record_type
from rlcourse.go.positions import Config, Positions, build, half_of
from rlcourse.go.records import Game, GameFile, split_of
from rlcourse.go.rules import NUM_PLANES, Rules
from rlcourse.run.files import exclusively

ROOT = Path(__file__).resolve().parents[2]
TINY = Rules(3, 0.5)


def random_game(rules: Rules, number: int, longest: int | None = None) -> Game:
    """A game of random legal moves, resigned after `longest` of them."""
    draw, go = random.Random(number), Go(rules)
    state, moves = go.new(1), []
    while not bool(go.is_over(state)) and len(moves) != longest:
        legal = state.legal[0].nonzero().squeeze(1).tolist()
        moves.append(draw.choice(legal[:-1] if len(legal) > 1 and draw.random() < 0.9 else legal))
        go.step_(state, torch.tensor([moves[-1]]))
    resigned = not bool(go.is_over(state))
    margin = draw.choice([-0.5, 0.5]) if resigned else float(go.score(state))
    return Game(number, tuple(moves), margin, resigned, opening=min(len(moves), number % 4))


def tiny_games(count: int, start: int = 0) -> list[Game]:
    return [random_game(TINY, number, 20) for number in range(start, start + count)]


def make(folder, games, rules=TINY, **settings) -> Positions:
    made = Positions.create(folder, rules)
    made.append(games, progress=False, **settings)
    return made


def everything(made: Positions) -> positions.Batch:
    return made.batch(torch.arange(len(made)))


def same(one, other) -> bool:
    return all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(one, other, strict=True))


def replayed(games: list[Game], rules: Rules, source: int = 0) -> positions.Batch:
    """What `batch` should give for all positions, from one board at a time."""
    go, rows = Go(rules), []
    for game in games:
        state, seen = go.new(1), []
        for ply, move in enumerate(game.moves):
            following = [*game.moves[ply:], *[-1] * NUM_NEXT][:NUM_NEXT]
            if ply >= game.opening:
                color = int(state.to_play)
                winner = (game.margin > 0) - (game.margin < 0)
                seen.append((state.clone(), go.planes(state)[0], following, color * winner, ply))
            go.step_(state, torch.tensor([move]))
        final = go.area(state)[0]
        rows += [(*some, final, game.number) for some in seen]
    states, planes, following, outcome, plies, final, numbers = zip(*rows, strict=True)
    return positions.Batch(
        torch.cat([state.stones for state in states]).to(torch.int8),
        torch.cat([state.to_play for state in states]).to(torch.int8),
        torch.stack(planes),
        torch.tensor(following),
        torch.tensor(outcome, dtype=torch.float32),
        torch.stack(final).to(torch.int8),
        torch.tensor(numbers),
        torch.tensor(plies),
        torch.full((len(rows),), source),
    )


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


@pytest.mark.parametrize("superko", [True, False])
@pytest.mark.parametrize(("size", "longest"), [(2, None), (5, None), (9, 150), (16, 250)])
def test_random_games_come_back_bit_for_bit(size, longest, superko, tmp_path):
    rules = Rules(size, 0.5, superko)
    games = [random_game(rules, number, longest) for number in (7, 2, 4_000_000_001)]
    found = everything(make(tmp_path / "p", games, rules, source=3))
    assert same(found, replayed(games, rules, source=3))
    assert found.planes.shape == (len(found.ply), NUM_PLANES, size, size)
    assert bool((found.planes[:, 2:4] > 0).any())
    assert bool((found.planes[:, 6] > 0).any())


def test_games_of_an_engine_come_back_bit_for_bit(tmp_path):
    file = GameFile.open(ROOT / "data" / "go9x9" / "gnugo_000.games")
    rules = Rules(file.size, file.komi, max_moves=6 * file.size**2)
    games = list(file)[:25]
    assert all(game.opening >= 4 for game in games)
    found = everything(make(tmp_path / "p", games, rules))
    assert same(found, replayed(games, rules))
    assert set(found.outcome.tolist()) == {-1.0, 1.0}


def test_a_game_by_hand(tmp_path):
    # On 2x2, points 0 1 / 2 3 and the pass 4: black 0, white 1, black 3 takes white's stone.
    rules = Rules(2, komi=1.0)
    game = Game(6, (0, 1, 3, 4, 4), margin=3.0, opening=1)
    found = everything(make(tmp_path / "p", [game], rules))
    assert found.ply.tolist() == [1, 2, 3, 4]
    assert found.game.tolist() == [6] * 4
    assert found.to_play.tolist() == [-1, 1, -1, 1]
    assert found.outcome.tolist() == [-1.0, 1.0, -1.0, 1.0]
    assert found.stones.tolist() == [[1, 0, 0, 0], [1, -1, 0, 0], [1, 0, 0, 1], [1, 0, 0, 1]]
    assert found.final.tolist() == [[1, 1, 1, 1]] * 4
    none = [-1] * NUM_NEXT
    expected = [[1, 3, 4, 4], [3, 4, 4], [4, 4], [4]]
    assert found.next_moves.tolist() == [(some + none)[:NUM_NEXT] for some in expected]
    # Before black takes: each stone has one liberty, black's the point 2 and white's the point 3.
    planes = found.planes[1].flatten(1)
    own, other, own_atari, other_atari, last, before_last, illegal, black = planes
    assert own.tolist() == own_atari.tolist() == before_last.tolist() == [1, 0, 0, 0]
    assert other.tolist() == other_atari.tolist() == last.tolist() == [0, 1, 0, 0]
    assert illegal.tolist() == [0, 0, 0, 0]
    assert black.tolist() == [1, 1, 1, 1]


def test_drawn_and_resigned_games_keep_their_outcome(tmp_path):
    games = [Game(0, (0, 4), 0.0, resigned=True), Game(1, (0, 4), -0.5, resigned=True)]
    assert everything(make(tmp_path / "p", games)).outcome.tolist() == [0.0, 0.0, -1.0, 1.0]


def test_ids_in_any_order_from_any_shard(tmp_path, generator):
    games = tiny_games(30)
    made = make(tmp_path / "p", games, shard_size=60)
    assert len(list((tmp_path / "p").glob("shard_*.games.npy"))) > 3
    whole = everything(made)
    assert same(whole, replayed(games, TINY))
    ids = torch.randint(len(made), (500,), generator=generator)
    assert same(made.batch(ids), [part[ids] for part in whole])
    with ThreadPoolExecutor(4) as pool:
        blocks = list(pool.map(made.batch, ids.split(20)))
    assert same([torch.cat(parts) for parts in zip(*blocks, strict=True)], made.batch(ids))
    assert same(made.batch(ids[:0]), [part[ids[:0]] for part in whole])
    assert same(everything(Positions.open(tmp_path / "p")), whole)


def test_threads_read_while_positions_are_added(tmp_path):
    made = make(tmp_path / "p", tiny_games(10))
    ids, before = torch.arange(len(made)), everything(made)
    with ThreadPoolExecutor(2) as pool:
        adding = pool.submit(made.append, tiny_games(60, start=10), progress=False, shard_size=40)
        reads = 0
        while not adding.done() or not reads:
            assert same(pool.submit(made.batch, ids).result(), before)
            reads += 1
        adding.result()
    assert same(everything(made), replayed(tiny_games(70), TINY))


def test_columns_agree_with_batches_and_grow(tmp_path):
    made = make(tmp_path / "p", tiny_games(8), shard_size=40)
    assert len(made.games) == len(made)
    first = made.fingerprint, len(made)
    made.append(tiny_games(8), source=5, progress=False)
    whole = everything(made)
    assert torch.equal(made.games, whole.game)
    assert torch.equal(made.plies, whole.ply)
    assert torch.equal(made.sources, whole.source)
    assert whole.source.unique().tolist() == [0, 5]
    assert made.fingerprint != first[0] == made.fingerprint_of(first[1])
    with pytest.raises(ValueError, match=rf"{len(made) - 1} is not a number of positions"):
        made.fingerprint_of(len(made) - 1)
    assert made.numbers(5) == set(range(8))
    assert made.numbers(1) == set()


def test_splits_and_halves_are_by_game(tmp_path):
    made = make(tmp_path / "p", tiny_games(25))
    parts = {name: made.of_split(name) for name in ("train", "retrieval", "test")}
    for name, ids in parts.items():
        assert {split_of(game) for game in made.games[ids].tolist()} == {name}
        assert torch.equal(ids, ids.sort().values)
    together = torch.cat(list(parts.values())).sort().values
    assert together.tolist() == list(range(len(made)))
    both = torch.cat([parts["train"], parts["test"]]).sort().values
    assert torch.equal(made.of_split("test", "train"), both)
    assert half_of(made.games[parts["train"]]).unique().tolist() == [0]
    assert [half_of(game) for game in (0, 3, 8)] == [0, 1, 0]
    for wrong in ((), ("valid",), ("train", "all")):
        with pytest.raises(ValueError, match="splits must be some of"):
            made.of_split(*wrong)


def test_a_share_is_kept_whatever_the_order(tmp_path):
    games = tiny_games(40)
    total = len(make(tmp_path / "all", games))
    made = make(tmp_path / "some", games, keep=0.3, seed=4, shard_size=50)
    share = len(made) / total
    assert abs(share - 0.3) < 4 * (0.3 * 0.7 / total) ** 0.5

    def names(made: Positions) -> set[tuple[int, int]]:
        return set(zip(made.games.tolist(), made.plies.tolist(), strict=True))

    assert names(make(tmp_path / "back", games[::-1], keep=0.3, seed=4)) == names(made)
    assert names(make(tmp_path / "more", games, keep=0.5, seed=4)) > names(made)
    assert names(make(tmp_path / "seed", games, keep=0.3, seed=5)) != names(made)
    assert names(make(tmp_path / "source", games, keep=0.3, seed=4, source=1)) != names(made)
    assert same(everything(made), [part[_rows(made, games)] for part in replayed(games, TINY)])
    assert made.numbers() == set(range(40))


def _rows(made: Positions, games: list[Game]) -> torch.Tensor:
    """Where the kept positions stand among all."""
    every = [(game.number, ply) for game in games for ply in range(game.opening, len(game.moves))]
    kept = zip(made.games.tolist(), made.plies.tolist(), strict=True)
    return torch.tensor([every.index(name) for name in kept])


def test_what_is_kept_is_spread_evenly():
    numbers, plies = np.divmod(np.arange(200_000), 50)
    kept = is_kept(numbers, plies, keep=0.15, seed=-1, source=0)
    assert abs(kept.mean() - 0.15) < 4 * (0.15 * 0.85 / kept.size) ** 0.5
    for part in (kept[plies == 7], kept[plies % 2 == 1], kept[numbers % 10 == 3]):
        assert abs(part.mean() - 0.15) < 4 * (0.15 * 0.85 / part.size) ** 0.5
    games = kept.reshape(-1, 50).sum(1)  # binomial, where positions of a game are independent
    assert abs(games.var() / (50 * 0.15 * 0.85) - 1) < 0.1
    assert bool(is_kept(numbers, plies, keep=1.0, seed=3, source=0).all())


def test_games_without_positions_are_known(tmp_path):
    empty = [Game(0, (), 0.5), Game(1, (0, 4), 0.5, opening=2)]
    made = make(tmp_path / "p", empty)
    assert len(made) == len(made.games) == 0
    assert made.numbers() == {0, 1}
    made.append(tiny_games(3, start=2), progress=False)
    again = Positions.open(tmp_path / "p")
    assert same(everything(again), replayed(tiny_games(3, start=2), TINY))
    made.append([], progress=False)
    assert len(list((tmp_path / "p").glob("shard_*.games.npy"))) == 2
    with pytest.raises(ValueError, match="game 1 is there already"):
        made.append(empty[1:], progress=False)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (Game(77, (0, 1, 0), 0.5), "game 77, ply 2: the move 0 is illegal"),
        (Game(77, (9, 9, 0), 0.5), "game 77, ply 2: the move 0 comes after the end of the game"),
        (Game(77, (0, 10), 0.5), r"game 77, ply 1: moves must lie in \[0, 9\], got 10"),
        (Game(77, (-1,), 0.5), r"game 77, ply 0: moves must lie in \[0, 9\], got -1"),
        (Game(77, (0,), 0.5, opening=2), "game 77: an opening of 2 moves does not fit"),
        (Game(77, (0,), float("nan")), "game 77: the margin must be finite, got nan"),
        (Game(-1, (0,), 0.5), "game -1 of 1 moves does not fit"),
        (Game(3, (0,), 0.5), "game 3 is there already: leave it out, or give another source"),
        (Game(20, (0,), 0.5), "game 20 is there already"),
    ],
)
def test_a_bad_game_leaves_everything_as_it_was(bad, says, tmp_path):
    made = make(tmp_path / "p", tiny_games(5))
    before, fingerprint = snapshot(tmp_path / "p"), made.fingerprint
    with pytest.raises(ValueError, match=says):
        made.append([*tiny_games(20, start=20), bad], progress=False, shard_size=30)
    assert snapshot(tmp_path / "p") == before
    assert made.fingerprint == fingerprint == Positions.open(tmp_path / "p").fingerprint
    assert same(everything(made), replayed(tiny_games(5), TINY))


def test_a_ko_that_the_rules_allow_is_no_error(tmp_path):
    # White takes two stones, then one; black takes three and is back where the game began.
    moves = (0, 1, 2, 3, 0, 2, 0)
    taken = Game(0, moves, 0.5)
    with pytest.raises(ValueError, match="game 0, ply 6: the move 0 is illegal: drop the game"):
        make(tmp_path / "strict", [taken], Rules(2, 0.5))
    assert len(make(tmp_path / "simple", [taken], Rules(2, 0.5, superko=False))) == 7


def test_settings_out_of_range_are_named(tmp_path):
    made = make(tmp_path / "p", tiny_games(2))
    for settings, says in (
        ({"keep": 0.0}, r"keep must lie in \(0, 1\], got 0.0"),
        ({"keep": 1.5}, "got 1.5"),
        ({"source": -2}, "source must be >= 0 and shard_size >= 1: -2, 1000000"),
        ({"shard_size": 0}, "source must be >= 0 and shard_size >= 1: 0, 0"),
    ):
        with pytest.raises(ValueError, match=says):
            made.append(tiny_games(1, start=9), progress=False, **settings)
    for settings, says in (
        ({"keep": -0.1}, "got -0.1"),
        ({"source": -1}, "source must be >= 0, got -1"),
        ({"max_moves": 0}, "max_moves must be at least 1, got 0"),
    ):
        with pytest.raises(ValueError, match=says):
            Config(**settings)
    for ids, says in (
        (torch.tensor([0, len(made)]), rf"ids must lie in \[0, {len(made)}\), got {len(made)}"),
        (torch.tensor([-1]), "got -1"),
        (torch.tensor([0.0]), "ids must be an int64 vector, got torch.float32"),
        (torch.tensor([[0]]), r"of \[1, 1\]"),
    ):
        with pytest.raises(ValueError, match=says):
            made.batch(ids)


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


def archive(folder: Path, name: str, games: list[Game], komi: float = TINY.komi) -> GameFile:
    file = GameFile.create(folder / f"{name}.games", TINY.size, komi, {})
    file.append(games)
    return file


def test_the_command_builds_and_goes_on(tmp_path, monkeypatch, capsys):
    file = archive(tmp_path / "games", "a", tiny_games(4))
    archive(tmp_path / "games", "b", tiny_games(3, start=4))
    words = ["positions", "--games", str(tmp_path / "games"), "--out", str(tmp_path / "p")]
    monkeypatch.setattr(sys, "argv", words)
    positions.main()
    made = Positions.open(tmp_path / "p")
    assert f"{len(made)} positions in" in capsys.readouterr().out
    assert made.rules == Rules(3, 0.5, max_moves=54)
    assert same(everything(made), replayed(tiny_games(7), made.rules))
    before = snapshot(tmp_path / "p")
    positions.main()
    assert snapshot(tmp_path / "p") == before
    file.append(tiny_games(2, start=7))
    positions.main()
    assert same(everything(Positions.open(tmp_path / "p")), replayed(tiny_games(9), made.rules))

    monkeypatch.setattr(sys, "argv", [*words, "--keep", "0.5"])
    with pytest.raises(SystemExit, match="choose another folder, or another source"):
        positions.main()

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(positions, "build", interrupt)
    with pytest.raises(SystemExit) as stopped:
        positions.main()
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
