"""Positions on disk: against single boards of the engine, in any order, in part, misused."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from rlcourse.go.build_positions import Config
from rlcourse.go.database_config import Config as DatabaseConfig
from rlcourse.go.database_config import chosen
from rlcourse.go.position_records import is_kept
from rlcourse.go.positions import Positions
from rlcourse.go.records import Game, GameFile
from rlcourse.go.rules import NUM_NEXT, NUM_PLANES, Rules
from rlcourse.go.splits import SPLITS, half_of, split_of
from tests.go.stored_games import (
    ROOT,
    TINY,
    everything,
    make,
    random_game,
    replayed,
    rows_of,
    same,
    snapshot,
    tiny_games,
)


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


def test_splits_are_of_one_source_unless_others_are_asked_for(tmp_path):
    made = make(tmp_path / "p", tiny_games(20))
    experts = len(made)
    made.append(tiny_games(20), source=1, progress=False)
    for splits in (("train",), ("test",), SPLITS):
        theirs = made.of_split(*splits)
        assert made.sources[theirs].unique().tolist() == [0]
        own = made.of_split(*splits, sources=(1,))
        assert torch.equal(own, theirs + experts)
        assert torch.equal(made.of_split(*splits, sources=(0, 1)), torch.cat([theirs, own]))
    assert not len(made.of_split("train", sources=()))


def test_games_of_the_agent_are_stored_and_those_for_tests_never(tmp_path):
    made = make(tmp_path / "p", tiny_games(20))
    made.append(tiny_games(20), source=1, progress=False)
    made.append(tiny_games(20), source=2, progress=False)
    stored = chosen(DatabaseConfig(expert_sources=(0, 2)), made, 0, len(made))
    for source in (0, 2):
        assert len(made.of_split("test", sources=(source,)))
        assert not torch.isin(made.of_split("test", sources=(source,)), stored).any()
        for_others = made.of_split("train", "retrieval", sources=(source,))
        assert torch.isin(for_others, stored).all()
    assert torch.isin((made.sources == 1).nonzero()[:, 0], stored).all()


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
    assert same(everything(made), [part[rows_of(made, games)] for part in replayed(games, TINY)])
    assert made.numbers() == set(range(40))


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
