"""Results of the studies of retrieval: gains and their intervals by hand, curves, figures."""

import numpy as np
import pytest

from rlcourse.experiments import go_retrieval, go_retrieval_robustness, go_retrieval_sizes
from rlcourse.experiments import go_retrieval_results as results
from rlcourse.experiments import go_retrieval_study as study
from rlcourse.experiments.go_retrieval_table import of_games, table
from rlcourse.experiments.go_retrieval_variants import variant_of
from rlcourse.run.record import Record

SMOKE = go_retrieval.PRESETS["smoke"]


def made_tests(hits, count) -> results.Tests:
    hits, count = np.array(hits, float), np.array(count, float)
    accuracy = hits.sum(1) / count.sum()
    return results.Tests(accuracy, 1 - accuracy, count, hits, count - hits)


def test_a_gain_by_hand():
    ours = made_tests([[3, 8], [4, 9]], [10, 10])
    theirs = made_tests([[1, 6], [2, 7]], [10, 10])
    found = results.gain(ours, theirs)  # 2 of 10 more in each game, for each seed
    assert [float(x) for x in found] == pytest.approx([0.2, 0.2, 0.2])
    found = results.gain(ours, theirs, "value_error")
    assert [float(x) for x in found] == pytest.approx([-0.2, -0.2, -0.2])


def test_the_interval_of_a_gain_covers_seeds_and_games():
    random = np.random.default_rng(0)
    count = np.full(400, 5.0)

    def width(of_seeds, of_games):
        hits = 2 + of_seeds * random.normal(size=(3, 1)) + of_games * random.normal(size=(1, 400))
        ours = made_tests(np.broadcast_to(hits, (3, 400)), count)
        found = results.gain(ours, made_tests(np.full((3, 400), 2.0), count))
        return float(found.high - found.low)

    assert width(0.0, 0.0) == pytest.approx(0.0, abs=1e-9)
    standard_error = 1 / 400**0.5 / 5
    assert width(0.0, 1.0) == pytest.approx(2 * 1.96 * standard_error, rel=0.15)
    assert width(1.0, 0.0) > 2 * width(0.0, 1.0)


def test_gains_are_over_the_same_games():
    ours, theirs = made_tests([[1, 2]], [10, 10]), made_tests([[1, 2]], [10, 11])
    with pytest.raises(ValueError, match="must be tested on the same games"):
        results.gain(ours, theirs)
    with pytest.raises(ValueError, match="must be tested on the same games"):
        results.gain(ours, made_tests([[1, 2], [1, 2]], [10, 10]))
    with pytest.raises(ValueError, match="metric must be one of accuracy, value_error, got 'hits'"):
        results.gain(ours, ours, "hits")


def made_up(folder, config, base=0.4):
    """A finished run with numbers that were made up: each neighbor is worth a point."""
    Record(folder, config)
    for number, name in study.jobs(config):
        place = study.place_of(folder, number, name)
        good = base + 0.01 * variant_of(name).num_neighbors
        record = Record(place, {})
        for step in (0, 2, 4):
            record.write(step, {"test_accuracy": good * step / 4, "test_value_error": 0.5})
        record = Record(place / "tests", {})
        for row, condition in enumerate(study.conditions(config, name)):
            share = good * condition.fraction if condition.kind == "retrieved" else base
            games = {"positions": [50.0, 50.0], "hits": [50 * share] * 2}
            means = {"accuracy": share, "value_error": 0.5, "cross_entropy": 1.0}
            record.write(row, {**means, **games, "squared_errors": [25.0, 25.0]})
    return folder


def test_curves_of_a_run(tmp_path):
    folder = made_up(tmp_path, SMOKE)
    curves = go_retrieval.reference_curves(folder)
    assert curves["n4/accuracy"].mean.tolist() == pytest.approx([0.0, 0.22, 0.44])
    assert curves["n4/tests/accuracy"].x.tolist() == [0.5, 1.0]
    assert curves["n4/gain/accuracy"].mean.tolist() == pytest.approx([-0.18, 0.04])
    assert curves["n4/gain_random/accuracy"].x.tolist() == [4.0]
    assert curves["n4/gain_random/accuracy"].mean.tolist() == pytest.approx([0.0])
    assert curves["blank/gain/accuracy"].mean.tolist() == pytest.approx([0.0])
    assert curves["n4/over_blank/accuracy"].x.tolist() == [0.5, 1.0]
    assert curves["n4/over_blank/accuracy"].mean.tolist() == pytest.approx([-0.18, 0.04])
    assert "baseline/gain/accuracy" not in curves
    assert "blank/over_blank/accuracy" not in curves
    assert len(go_retrieval.plot(folder, curves).axes) == 2
    assert len(go_retrieval.plot_shipped(curves).axes) == 2


def test_the_table_of_a_run(tmp_path):
    result = results.load(made_up(tmp_path, SMOKE))
    accuracy, value_error = table(result).split("\n\n")
    lines = accuracy.splitlines()
    assert len(lines) == 3 + 3 * 4
    assert lines[0].endswith("over blank")
    assert lines[8].count("+4.00 [+4.00, +4.00]") == 2  # over the baseline, and over blank
    assert lines[2].count("[") == 1
    assert value_error.count("+0.000 [+0.000, +0.000]") == 1 + 3 * 4 * 2


def test_the_table_of_later_games():
    tests = made_tests([[3, 8, 2], [4, 9, 2]], [10, 10, 5])
    other = made_tests([[3, 8, 1], [4, 9, 1]], [10, 10, 5])
    found = {("n4", "retrieved/1"): tests, ("baseline", "absent"): other, ("blank", "blank"): other}
    result = results.Result(SMOKE, np.zeros(0), {}, found)
    late = of_games(result, np.array([False, True, True]))
    assert late.tests["n4", "retrieved/1"].accuracy.tolist() == pytest.approx([10 / 15, 11 / 15])
    assert late.tests["n4", "retrieved/1"].value_error.tolist() == pytest.approx([5 / 15, 4 / 15])
    assert late.tests["n4", "retrieved/1"].positions.tolist() == [10, 5]
    line = table(late).splitlines()[1]
    assert line.split()[2:4] == ["70.00", "+6.67"]
    with pytest.raises(ValueError, match="no test game counts: choose an earlier first game"):
        of_games(result, np.zeros(3, bool))


def test_sizes_are_compared_with_the_baseline_of_their_width(tmp_path):
    config = go_retrieval_sizes.PRESETS["smoke"]
    curves = go_retrieval_sizes.reference_curves(made_up(tmp_path, config))
    found = go_retrieval_sizes.by_width(curves, "n4", "gain/accuracy")
    assert found.x.tolist() == [0.25, 0.5, 1.0]
    assert found.mean.tolist() == pytest.approx([4.0] * 3)
    assert len(go_retrieval_sizes.plot_shipped(curves).axes) == 2
    assert len(go_retrieval_sizes.plot(tmp_path, curves).axes) == 2
    with pytest.raises(ValueError, match="there is no 'gain/accuracy' of 'n5'"):
        go_retrieval_sizes.by_width(curves, "n5", "gain/accuracy")


def test_what_makes_robust_is_drawn_with_what_is_given(tmp_path):
    config = go_retrieval_robustness.PRESETS["smoke"]
    folder = made_up(tmp_path, config)
    curves = go_retrieval_robustness.reference_curves(folder)
    for figure in (
        go_retrieval_robustness.plot(folder, curves),
        go_retrieval_robustness.plot_shipped(curves),
    ):
        assert len(figure.axes) == 1
        assert [label.get_text() for label in figure.legends[0].get_texts()] == [
            "retrieved neighbors",
            "random neighbors",
            "no neighbors",
        ]
