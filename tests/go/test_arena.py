"""Matches: intervals by hand, pairs with swapped colors, interruption, openings."""

import math

import pytest

from rlcourse.data.files import exclusively
from rlcourse.go.arena import (
    LOCK,
    Local,
    Match,
    MatchRecord,
    elo_difference,
    games_needed,
    play_game,
    play_match,
    wilson_interval,
)
from rlcourse.go.board import Go, Player, game_seed, random_opening
from rlcourse.go.gtp_server import random_player
from rlcourse.go.notation import RESIGN
from rlcourse.go.records import GameFile
from rlcourse.go.rules import BLACK, WHITE, Rules
from rlcourse.go.sgf import read_sgf

RULES = Rules(5, 2.5)


def test_wilson_interval_by_hand():
    """10 of 20 with z = 2: center 0.5, radius 2 sqrt(1/80 + 1/400) / 1.2 = 0.2041."""
    found = wilson_interval(10, 20, z=2.0)
    assert found == pytest.approx((0.5, 0.5 - 0.204124, 0.5 + 0.204124), abs=1e-5)
    assert wilson_interval(0, 10).low == 0.0
    assert 0.2 < wilson_interval(0, 10).high < 0.3
    for bad in ((1, 0), (-1, 5), (6, 5)):
        with pytest.raises(ValueError, match="at least 1"):
            wilson_interval(*bad)


def test_elo_by_hand():
    assert elo_difference(0.5) == 0.0
    assert elo_difference(10 / 11) == pytest.approx(400.0)
    assert elo_difference(1.0) == math.inf == -elo_difference(0.0)
    assert "3 won, 1 drawn, 0 lost: 87.5%" in str(Match(3, 1, 0))


def fills(go: Go, state) -> int:
    """The first legal point; the pass where there is none, or after a pass."""
    legal = state.legal[0, :-1].nonzero().squeeze(1)
    return int(legal[0]) if len(legal) and int(state.num_passes) == 0 else go.rules.num_points


def local(name: str, player: Player, rules: Rules = RULES) -> Local:
    return Local(name, lambda seed: player, rules)


def seeded(seed: int | None) -> Player:
    return random_player(seed or 0)


def test_a_match_is_paired_stored_and_gone_on_with(tmp_path):
    one, other = local("filler", fills), Local("random", seeded, RULES)
    play_match(one, other, RULES, 1, tmp_path, stones=(1, 3), progress=False)
    first = list(GameFile.open(tmp_path / "match.games"))
    match = play_match(one, other, RULES, 3, tmp_path, stones=(1, 3), progress=False)
    games = list(GameFile.open(tmp_path / "match.games"))
    assert games[:2] == first
    assert match.num_games == len(games) == 6
    signs = [game.margin * (-1) ** game.number for game in games]
    assert match == Match(sum(s > 0 for s in signs), 0, sum(s < 0 for s in signs))
    for pair in (games[i : i + 2] for i in (0, 2, 4)):
        length = pair[0].opening
        assert pair[0].moves[:length] == pair[1].moves[:length]  # the same opening for both
    for game in games:
        read = read_sgf((tmp_path / f"{game.number:05}.sgf").read_bytes(), RULES, game.number)
        assert (read.moves, read.margin) == (game.moves, game.margin)
    assert b"PW[filler]" in (tmp_path / "00001.sgf").read_bytes()
    with pytest.raises(ValueError, match="choose another folder"):
        play_match(other, one, RULES, 1, tmp_path, progress=False)


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"stones": (2, 3)},
        {"rules": Rules(5, 2.5, superko=False)},
        {"rules": Rules(5, 2.5, max_moves=10)},
        {"rules": Rules(5, 3.5)},
        {"mark": "of other weights"},
    ],
)
def test_a_folder_refuses_another_match(tmp_path, changes):
    class Marked:
        name, fingerprint = "marked", changes.get("mark", "of weights")

    def record(rules=RULES, stones=(1, 3), seed=0, mark="of weights"):
        marked = Marked()
        marked.fingerprint = mark
        return MatchRecord((marked, local("filler", fills)), rules, tmp_path, stones, seed)

    record()
    record(rules=Rules(5, 2.5, max_moves=75))  # the same rules, said otherwise
    with pytest.raises(ValueError, match="choose another folder"):
        record(**changes)


def test_a_folder_is_for_one_process(tmp_path):
    players = local("filler", fills), local("other", fills)
    with exclusively(tmp_path / LOCK), pytest.raises(BlockingIOError, match="held by another"):
        play_match(*players, RULES, 1, tmp_path, stones=(1, 3), progress=False)


def test_the_openings_of_matches_are_nobodys_training_games(tmp_path):
    rules, players = Rules(9), (local("one", fills), local("other", fills))
    match = MatchRecord(players, rules, tmp_path / "0", (4, 8))
    found = [match.opening(2 * pair) for pair in range(200)]
    assert found == [match.opening(2 * pair + 1) for pair in range(200)]
    assert not any(found[i] == random_opening(rules, i, 4, 8) for i in range(200))
    other = MatchRecord(players, rules, tmp_path / "1", (4, 8), seed=1)
    assert not any(found[i] == other.opening(2 * i) for i in range(200))
    with pytest.raises(ValueError, match="seed must not be negative, got -1"):
        MatchRecord(players, rules, tmp_path / "2", (4, 8), seed=-1)


def test_games_have_seeds_of_their_own():
    seeds = {game_seed(seed, number) for seed in range(3) for number in range(300)}
    assert len(seeds) == 900
    assert min(seeds) >= 0 < max(seeds) < 2**31  # as GNU Go takes them
    assert not seeds & set(range(1, 30_001))  # those of `generate`
    with pytest.raises(ValueError, match="must not be negative, got 0 and -1"):
        game_seed(0, -1)


def test_a_random_players_game_depends_on_its_seed_only():
    players = Local("one", seeded, RULES), Local("other", seeded, RULES)
    games = [play_game(*players, RULES, 7, [12], seed) for seed in (3, 4, 3)]
    assert games[0] == games[2] != games[1]
    assert play_game(*players, RULES, 8, [12], 3).moves != games[0].moves


def test_a_player_out_of_turn_is_refused():
    player = local("filler", fills)
    for wrong in (lambda: player.genmove(WHITE), lambda: player.play(WHITE, 3)):
        with pytest.raises(ValueError, match="filler: color -1 .* is not to move"):
            wrong()
    player.play(BLACK, 3)
    with pytest.raises(ValueError, match="color 1 .* is not to move"):
        player.play(BLACK, 4)
    player.new_game()
    player.play(BLACK, 4)


def test_resignation_and_cheating():
    resigns = local("resigns", lambda go, state: RESIGN)
    game = play_game(local("filler", fills), resigns, RULES, 4, [])
    assert (game.resigned, game.margin, len(game.moves)) == (True, 0.5, 1)

    class Cheat(Local):
        def genmove(self, color):
            return 12

    cheats = [Cheat("cheat", lambda seed: fills, RULES) for _ in range(2)]
    with pytest.raises(ValueError, match="cheat played the illegal move 12 in game 0"):
        play_game(*cheats, RULES, 0, [])


def test_openings_are_legal_repeatable_and_varied():
    rules = Rules(9)
    openings = [random_opening(rules, number, 2, 6) for number in range(50)]
    assert openings[7] == random_opening(rules, 7, 2, 6)
    assert {len(moves) for moves in openings} == {2, 3, 4, 5, 6}
    assert len({tuple(moves) for moves in openings}) == 50
    assert all(0 < m // 9 < 8 and 0 < m % 9 < 8 for moves in openings for m in moves)
    with pytest.raises(ValueError, match="has 0 to 24 stones, got 3 to 30"):
        random_opening(rules, 0, 3, 30)


@pytest.mark.parametrize("elo", [5.0, 30.0, 100.0, 400.0])
def test_the_games_that_are_needed_are_the_fewest(elo):
    share, needed = 1 / (1 + 10 ** (-elo / 400)), games_needed(elo)
    assert wilson_interval(share * needed, needed).low > 0.5
    assert wilson_interval(share * (needed - 1), needed - 1).low <= 0.5 or needed == 1
    assert elo_difference(share) == pytest.approx(elo)


def test_no_number_of_games_shows_that_two_are_equal():
    with pytest.raises(ValueError, match="elo must be positive, got 0"):
        games_needed(0)
