"""The fair komi: counted by hand, resumed, refused, and as the course ships it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from rlcourse.experiments import fair_komi, reference
from rlcourse.go.arena import wilson_interval
from rlcourse.go.flood import area_score
from rlcourse.go.records import Game

GAMES = [Game(n, (), margin) for n, margin in enumerate((-6.5, -0.5, -0.5, 3.5))]  # komi 7.5
SMALL = fair_komi.Config(num_batches=3, batch_size=20)


def test_wins_under_each_komi_by_hand(tmp_path):
    fair_komi.run(SMALL, tmp_path, games=GAMES, progress=False)
    margins = fair_komi.load(tmp_path)["gnugo"]  # on the board: 1, 7, 7, 11
    assert margins.num_games == 4
    assert margins.mean == 6.5
    assert margins.std == pytest.approx(np.std([1, 7, 7, 11]))
    wins = {0.5: 4.0, 1.0: 3.5, 6.5: 3.0, 7.0: 2.0, 7.5: 1.0, 11.5: 0.0}
    assert {komi: margins.wins(komi) for komi in wins} == wins
    curve = fair_komi.curve(margins, np.array([7.0, 11.5]))
    assert list(curve.mean) == [0.5, 0.0]
    assert curve.low[0] == wilson_interval(2, 4).low
    assert list(margins.fair(np.array([-80.0, 7.0, 80.0]))) == [7.0]


def test_random_margins_are_those_of_the_boards(tmp_path):
    fair_komi.run(SMALL, tmp_path, games=GAMES, progress=False)
    margins = fair_komi.load(tmp_path)["random"]
    boards = [fair_komi.random_final_boards(SMALL, 9, 1_000_003 * n) for n in (1, 2, 3)]
    scores = area_score(torch.cat(boards), 0.0)
    assert margins.num_games == 60
    assert margins.mean == pytest.approx(float(scores.mean()), abs=1e-5)
    assert margins.wins(0.0) == float((scores > 0).sum() + 0.5 * (scores == 0).sum())


def test_an_interrupted_run_goes_on(tmp_path):
    calls = []

    def score(stones, komi):
        calls.append(komi)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return area_score(stones, komi)

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    fair_komi.run(SMALL, whole, games=GAMES, progress=False)
    with pytest.raises(KeyboardInterrupt):
        fair_komi.run(SMALL, broken, score=score, games=GAMES, progress=False)
    with pytest.raises(ValueError, match="was interrupted: run it again"):
        fair_komi.load(broken)
    fair_komi.run(SMALL, broken, score=score, games=GAMES, progress=False)
    files = [(folder / "metrics.jsonl").read_bytes() for folder in (whole, broken)]
    assert files[0] == files[1]
    assert set(calls) == {0.0}  # the learner's function is what ran, without komi


def test_other_games_need_another_folder(tmp_path):
    fair_komi.run(SMALL, tmp_path, games=GAMES, progress=False)
    with pytest.raises(ValueError, match="begun with other games: choose another folder"):
        fair_komi.run(SMALL, tmp_path, games=GAMES[:3], progress=False)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda stones, komi: area_score(stones, 0.5), "whole number from -81 to 81, got"),
        (lambda stones, komi: torch.full((len(stones),), 200.0), "got 200"),
        (lambda stones, komi: area_score(stones, 0.0) * torch.nan, "got nan"),
    ],
)
def test_scores_that_are_no_margins_are_refused(wrong, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        fair_komi.run(SMALL, tmp_path, score=wrong, games=GAMES, progress=False)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("num_batches", 0, "num_batches must be at least 1, got 0"),
        ("batch_size", -1, "batch_size must be at least 1, got -1"),
        ("max_moves", 0, "max_moves must be at least 1, got 0"),
        ("lowest_komi", 0.3, "multiple of 1/2, as komis are, got 0.3"),
        ("highest_komi", -10.0, "must lie below highest_komi, got -10.0 and -10.0"),
    ],
)
def test_settings_that_mean_nothing_are_refused(field, value, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **{field: value})


def test_bins_hold_as_many_odd_margins_as_even_ones_and_all_games():
    margins = fair_komi.Margins(np.arange(-81, 82), np.ones(163))
    edges, share = fair_komi.binned(margins)
    assert set(np.diff(edges)) == {6.0}
    assert share.sum() == pytest.approx(1.0)
    odd = fair_komi.Margins(np.arange(-81, 82), (np.arange(-81, 82) % 2).astype(float))
    assert len(set(fair_komi.binned(odd)[1][:-1].round(9))) == 1  # the last bin is cut


def test_the_table_and_the_legend(tmp_path):
    fair_komi.run(SMALL, tmp_path, games=GAMES, progress=False)
    lines = fair_komi.table(tmp_path).splitlines()
    assert [line.split("  ")[0] for line in lines[1:]] == ["random players", "GNU Go"]
    figure = fair_komi.plot(tmp_path, reference.load_reference("fair_komi"))
    words = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert words == ["dashed: shipped", "random players, 60 games", "GNU Go, 4 games"]


def test_the_effect_of_notebook_13_is_in_the_shipped_curves():
    curves = reference.load_reference("fair_komi")
    low_komi = {name: curve.x[np.argmax(curve.high < 0.5)] for name, curve in curves.items()}
    assert low_komi["random"] < 3.0  # from here on White is ahead for sure
    assert 5.0 < low_komi["gnugo"] < 10.0
    at_4 = {name: list(curve.x).index(4.0) for name, curve in curves.items()}
    assert curves["gnugo"].low[at_4["gnugo"]] > 0.5 > curves["random"].high[at_4["random"]]
