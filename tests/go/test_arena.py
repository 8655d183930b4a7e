"""Matches: intervals by hand, pairs with swapped colors, interruption, openings."""

import math

import pytest

from rlcourse.go.arena import Local, Match, elo_difference, play_game, play_match, wilson_interval
from rlcourse.go.board import Go, random_opening
from rlcourse.go.gtp_server import random_player
from rlcourse.go.notation import RESIGN
from rlcourse.go.records import GameFile
from rlcourse.go.rules import Rules
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


def test_a_match_is_paired_stored_and_gone_on_with(tmp_path):
    one, other = Local("filler", fills, RULES), Local("random", random_player(0), RULES)
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


def test_resignation_and_cheating():
    resigns = Local("resigns", lambda go, state: RESIGN, RULES)
    game = play_game(Local("filler", fills, RULES), resigns, RULES, 4, [])
    assert (game.resigned, game.margin, len(game.moves)) == (True, 0.5, 1)

    class Cheat(Local):
        def genmove(self, color):
            return 12

    with pytest.raises(ValueError, match="cheat played the illegal move 12 in game 0"):
        play_game(Cheat("cheat", fills, RULES), Cheat("cheat", fills, RULES), RULES, 0, [])


def test_openings_are_legal_repeatable_and_varied():
    rules = Rules(9)
    openings = [random_opening(rules, number, 2, 6) for number in range(50)]
    assert openings[7] == random_opening(rules, 7, 2, 6)
    assert {len(moves) for moves in openings} == {2, 3, 4, 5, 6}
    assert len({tuple(moves) for moves in openings}) == 50
    assert all(0 < m // 9 < 8 and 0 < m % 9 < 8 for moves in openings for m in moves)
    with pytest.raises(ValueError, match="has 0 to 24 stones, got 3 to 30"):
        random_opening(rules, 0, 3, 30)
