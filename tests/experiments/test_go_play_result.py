"""Results of the matches of notebook 16: scores and distances, counted by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from rlcourse.experiments import (
    go_play_result,
)
from rlcourse.experiments.go_met import ROW
from rlcourse.go.records import Game


def test_scores_are_counted_by_hand():
    margins = {0: 2.5, 1: 2.5, 2: -0.5, 3: 0.5, 4: 0.0, 5: -3.5}
    games = [Game(number, (), margin) for number, margin in margins.items()]
    assert go_play_result.pair_scores(games[::-1]).tolist() == [0.5, 0.0, 0.75]
    scores = np.array([[1.0, 0.5, 0.0, 0.5, 0.5]])
    assert go_play_result.win_rate(scores) == pytest.approx((0.5, 0.236593, 0.763407), abs=1e-6)
    same = go_play_result.gain(np.array([[1.0, 0.5], [0.5, 0.0]]), np.array([[0.5, 0], [0, -0.5]]))
    assert same == (0.5, 0.5, 0.5)


def rows(*values):
    return np.array([(game, ply, distance, 0.0) for game, ply, distance in values], ROW)


def test_distances_are_averaged_in_games_and_bins():
    first = rows((0, 1, 1.0), (0, 3, 3.0), (0, 5, 7.0), (1, 2, 6.0))
    second = rows((0, 0, 10.0), (0, 9, 4.0))
    assert go_play_result.game_means(first).tolist() == [pytest.approx(11 / 3), 6.0]
    curve = go_play_result.by_ply([first, second], width=4, num_bins=4)
    assert curve.x.tolist() == [2.0, 6.0, 10.0, 14.0]
    assert curve.mean[:3].tolist() == [6.0, 7.0, 4.0]  # (2 + 6 + 10) / 3: three games
    assert np.isnan(curve.mean[3])
    assert curve.low[0] < 6.0 < curve.high[0]


def test_the_change_of_distances_is_that_of_the_same_positions():
    before, after = (
        rows((0, 1, 5.0), (0, 3, 3.0), (1, 2, 6.0)),
        rows((0, 1, 1.0), (0, 3, 3.0), (1, 2, 6.0)),
    )
    result = SimpleNamespace(met={"met_before": [before, before], "met_after": [after, before]})
    mean, low, high = go_play_result.change(result, "met")
    assert mean == -0.5  # -2 in one of four games
    assert low <= mean <= high <= 0


def test_a_test_game_counts_once_whatever_the_seeds():
    """Its positions are drawn anew for each seed; a game of a match is another game."""
    one, other = rows((3, 1, 1.0), (5, 1, 8.0)), rows((3, 2, 3.0))
    result = SimpleNamespace(met={"test_before": [one, other], "met_before": [one, other]})
    mean, low, high = go_play_result.distance(result, "test_before")
    assert (mean, low, high) == (5.0, 2.0, 8.0)  # (2 + 8) / 2: two games
    assert go_play_result.distance(result, "met_before")[0] == 4.0  # (1 + 8 + 3) / 3
