"""The games that a database grows by: their numbers, and openings that none of them had."""

import pytest

from rlcourse.experiments import go_growth
from rlcourse.go.arena import match_opening
from rlcourse.go.records import Game
from rlcourse.go.rules import Rules
from rlcourse.go.symmetry import destinations


def test_games_of_several_matches_get_numbers_of_their_own():
    one = [Game(0, (1,), 0.5), Game(1, (2,), 0.5), Game(2, (3,), 0.5)]
    numbered = go_growth.numbered([one, one[:2], one])
    assert [game.number for game in numbered] == [0, 1, 2, 4, 5, 6, 7, 8]
    assert [game.moves[0] for game in numbered] == [1, 2, 3, 1, 2, 1, 2, 3]


def test_a_match_of_many_pairs_finds_openings_of_its_own():
    rules, stones = Rules(9), (2, 2)
    openings = [match_opening(rules, 0, 2 * pair, stones) for pair in range(50)]
    games = [Game(0, (*moves, 81), 0.5, opening=2) for moves in openings]
    seed = go_growth.seed_of_other_openings(rules, games, 12, stones, 1)
    begun = {go_growth._image(rules, moves) for moves in openings}
    others = [match_opening(rules, seed, 2 * pair, stones) for pair in range(12)]
    assert not begun & {go_growth._image(rules, moves) for moves in others}


def test_the_second_match_has_openings_of_its_own(monkeypatch):
    rules, stones = Rules(5), (1, 2)
    every = [match_opening(rules, seed, 0, stones) for seed in range(9)]
    turned = [[int(destinations(5)[3, move]) for move in moves] for moves in every[:4]]
    games = [Game(0, (*moves, 25), 0.5, opening=len(moves)) for moves in turned]
    seed = go_growth.seed_of_other_openings(rules, games, 1, stones, 0)
    image = go_growth._image
    assert seed >= 4  # the images of the first four are refused
    assert image(rules, every[0]) == image(rules, turned[0]) != image(rules, every[seed])
    assert all(image(rules, every[i]) in {image(rules, t) for t in turned} for i in range(seed))
    corner = [Game(0, (5,), 0.5, opening=1)]  # all four inner points are images of it
    monkeypatch.setattr(go_growth, "MOST_SEEDS", 1_000)
    with pytest.raises(ValueError, match="of 1,000 seeds none has 1 openings of 1 to 1 stones"):
        go_growth.seed_of_other_openings(Rules(4), corner, 1, (1, 1), 0)
