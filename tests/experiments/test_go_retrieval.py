"""The studies of retrieval: variants, data without leaks, resumed runs, intervals by hand."""

import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rlcourse.experiments import (
    go_retrieval,
    go_retrieval_data,
    go_retrieval_models,
    go_retrieval_robustness,
    go_retrieval_sizes,
    reference,
)
from rlcourse.experiments import go_retrieval_results as results
from rlcourse.experiments import go_retrieval_study as study
from rlcourse.experiments.go_retrieval_data import Settings
from rlcourse.experiments.go_retrieval_variants import ROBUST, variant_of
from rlcourse.go import inputs, learn, model
from rlcourse.go.keys import KeyNetwork
from rlcourse.go.saved_model import load_model, read_about
from rlcourse.go.splits import split_of
from rlcourse.run.files import exclusively
from rlcourse.run.record import Record, load_metrics

SMOKE = go_retrieval.PRESETS["smoke"]
SMALL = replace(SMOKE, variants=("baseline", "n2"), num_seeds=1)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder whose runs share their data."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def data(home):
    return go_retrieval.prepare(SMOKE.data, home / "go_retrieval_data", progress=False)


@pytest.fixture(scope="module")
def whole(home, data):
    """An uninterrupted run; only to be read."""
    folder = home / "go_retrieval" / "whole"
    assert go_retrieval.run(SMALL, folder, progress=False)
    return folder


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("baseline", ("absent", 0, 1.0, ())),
        ("blank", ("blank", 1, 1.0, ())),
        ("n4", ("retrieved", 4, 1.0, ())),
        ("n10/half", ("retrieved", 10, 0.5, ())),
        ("baseline/double", ("absent", 0, 2.0, ())),
        ("n4/plain", ("retrieved", 4, 1.0, ROBUST)),
        ("n4/no_dropout", ("retrieved", 4, 1.0, ("dropout",))),
    ],
)
def test_names_of_variants(name, expected):
    assert variant_of(name) == expected


@pytest.mark.parametrize("name", ["n0", "n", "m4", "", "n4/", "n4/tall", "n-4", "n4/half/half"])
def test_other_names_are_refused(name):
    with pytest.raises(ValueError, match=r"a variant (is baseline, blank|has one of plain)"):
        variant_of(name)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("num_seeds", 0, "num_seeds must be at least 1, got 0"),
        ("num_steps", 3, "num_steps must be a multiple of evaluate_every.* got 3 and 2"),
        ("decay_at", (0.5, 1.0), r"decay_at must lie in \(0, 1\), got \(0.5, 1.0\)"),
        ("variants", ("n4", "n4"), "variants must name at least one of the variants, each once"),
        ("variants", ("n11",), "'n11' needs 11 neighbors, and data.k is 10"),
        ("dropout", 1.5, r"dropout must lie in \[0, 1\], got 1.5"),
    ],
)
def test_studies_that_mean_nothing_are_refused(field, value, message):
    with pytest.raises(ValueError, match=message):
        replace(SMOKE, **{field: value})


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("k", 0, "k must be at least 1, got 0"),
        ("num_games", 0, "num_games must be at least 1, or None for all, got 0"),
        ("fractions", (0.5,), r"fractions must ascend and end with 1.0, got \(0.5,\)"),
        ("fractions", (1.0, 0.5), "fractions must ascend and end with 1.0"),
        ("fractions", (), "fractions must ascend and end with 1.0"),
        ("fractions", (0.0, 1.0), r"fractions must lie in \(0, 1\], got 0.0"),
    ],
)
def test_data_that_mean_nothing_are_refused(field, value, message):
    with pytest.raises(ValueError, match=message):
        Settings(**{field: value})


def test_a_variant_changes_what_its_name_says():
    config = replace(SMOKE, dropout=0.1, randomization=0.2, regularization=0.3)
    assert config.model("n4/half") == replace(config.sizes, width=0.5, num_neighbors=4)
    assert config.model("baseline").num_neighbors == 1
    plain, one = config.learner("n4/plain"), config.learner("n4/no_randomization")
    rates = [(x.dropout, x.randomization, x.regularization_weight) for x in (plain, one)]
    assert rates == [(0.0, 0.0, 0.0), (0.1, 0.0, 0.3)]
    assert config.learner("blank").mode == "blank"
    assert replace(config, num_steps=100).learner("n4").decay_steps == (60, 85)


def test_nothing_that_is_tested_is_stored_and_no_game_answers_itself(data):
    games = data.positions.games
    assert len(data.train_ids) == 120
    assert len(data.test_ids) == 40
    assert {split_of(game) for game in games[data.test_ids].tolist()} == {"test"}
    assert "test" not in {split_of(game) for game in games[data.train_ids].tolist()}
    found = data.neighbors_of_train(data.train_ids, 10).ids
    assert bool((found >= 0).all())
    assert bool((games[found] % 2 != games[data.train_ids, None] % 2).all())
    for fraction in (0.5, 1.0):
        found = data.neighbors_of_test(data.test_ids, 10, fraction).ids
        assert not set(games[found].flatten().tolist()) & set(games[data.test_ids].tolist())
        assert set(found.flatten().tolist()) <= set(data.database(fraction).held().tolist())
    held = [set(data.database(fraction).held().tolist()) for fraction in (0.5, 1.0)]
    assert held[0] < held[1]
    with pytest.raises(ValueError, match=r"fraction must be one of \(0.5, 1.0\), got 0.25"):
        data.database(0.25)


def test_what_was_prepared_is_what_the_database_finds(data):
    some = data.test_ids[:5]
    asked = data.database(0.5, progress=False).retrieve(data.positions.batch(some).planes, 4)
    found = data.neighbors_of_test(some, 4, 0.5)
    assert torch.equal(found.ids, asked.ids)
    assert torch.equal(found.symmetry, asked.symmetry)


def test_random_neighbors_are_those_of_others(data):
    own, other = (
        of(data.test_ids, 10).ids for of in (data.neighbors_of_test, data.random_neighbors_of_test)
    )
    assert sorted(own.tolist()) == sorted(other.tolist())
    assert bool((own != other).any(1).all())
    some = torch.tensor([7, 3])
    again = data.random_neighbors_of_test(data.test_ids[some], 2).ids
    assert torch.equal(again, other[some, :2])


def test_keys_are_computed_once(data):
    calls = []

    class Counting:
        dim, fingerprint, canonical = 2, "f", False

        def __call__(self, planes):
            calls.append(len(planes))
            return planes[:, :2, 0, 0]

    remembered, planes = go_retrieval_data.RememberedKeys(Counting()), torch.rand(4, 8, 9, 9)
    assert torch.equal(remembered(planes), remembered(planes.clone()))
    assert calls == [4]
    assert torch.equal(remembered(planes[:1]), planes[:1, :2, 0, 0])
    assert calls == [4, 1]


def test_data_are_made_by_one_process_at_a_time_and_found_again(data, home, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(KeyNetwork, "__call__", lambda *_: pytest.fail("computed again"))
        again = go_retrieval.prepare(SMOKE.data, home / "go_retrieval_data", progress=False)
    assert again.fingerprint == data.fingerprint
    assert torch.equal(again.test_ids, data.test_ids)
    other = replace(SMOKE.data, num_test=10)
    monkeypatch.setattr(go_retrieval_data, "_make", lambda *_: None)
    with pytest.raises(FileNotFoundError):
        go_retrieval.prepare(other, home / "elsewhere", progress=False)
    (place,) = (home / "elsewhere").iterdir()
    (place / "data.json").unlink()
    with (
        exclusively(place / ".lock"),
        pytest.raises(ValueError, match="is held by another process: wait until it is done"),
    ):
        go_retrieval.prepare(other, home / "elsewhere", progress=False)


def test_an_interrupted_run_goes_on(whole, home, monkeypatch):
    broken = home / "go_retrieval" / "broken"
    update, evaluate, calls = learn.Learner.update, study.evaluate, []

    def stop_update(self, batch):
        calls.append(batch)
        if len(calls) == 7:
            signal.raise_signal(signal.SIGINT)
        return update(self, batch)

    def stop_test(network, data, ids, condition, k):
        if condition.kind == "random":
            raise KeyboardInterrupt
        return evaluate(network, data, ids, condition, k)

    stops = ((learn.Learner, "update", stop_update), (study, "evaluate", stop_test))
    for target, name, stop in stops:
        with monkeypatch.context() as patch:
            patch.setattr(target, name, stop)
            assert not go_retrieval.run(SMALL, broken, progress=False)
        with pytest.raises(ValueError, match="was interrupted: run it again"):
            go_retrieval.load(broken)
    assert go_retrieval.run(SMALL, broken, progress=False)
    files = list(whole.rglob("metrics.jsonl"))
    assert len(files) == 5  # the run's own is empty
    for path in files:
        assert (broken / path.relative_to(whole)).read_bytes() == path.read_bytes()


def test_trainings_that_others_are_at_are_left_to_them(home, data, capsys):
    folder = home / "go_retrieval" / "shared"
    place = study.place_of(folder, 0, "baseline")
    place.mkdir(parents=True)
    config = replace(SMALL, num_steps=2)
    with exclusively(place / ".lock"):
        assert not go_retrieval.run(config, folder, data=data, progress=False)
    assert "other processes are at some trainings in" in capsys.readouterr().err
    assert not (place / "metrics.jsonl").exists()
    assert study.is_finished(config, study.place_of(folder, 0, "n2"), "n2")
    with pytest.raises(ValueError, match="was interrupted"):
        go_retrieval.load(folder)
    assert go_retrieval.run(config, folder, data=data, progress=False)


def test_models_of_a_run(whole, data):
    network = go_retrieval.model_of(whole, 0, "n2")
    assert network.config == SMALL.model("n2")
    assert not network.training
    found = study.evaluate(network, data, data.test_ids, study.Condition("retrieved", 0.5), 2)
    line = load_metrics(study.place_of(whole, 0, "n2") / "tests")
    assert float(found["cross_entropy"]) == pytest.approx(line["cross_entropy"][0])
    with pytest.raises(ValueError, match=r"\['baseline', 'n2'\] of 1 seeds, not 'n4' of seed 0"):
        go_retrieval.model_of(whole, 0, "n4")
    with pytest.raises(ValueError, match="not 'n2' of seed 1"):
        go_retrieval.model_of(whole, 1, "n2")
    with pytest.raises(FileNotFoundError, match="run the experiment first"):
        go_retrieval.model_of(whole / "nowhere", 0, "n2")


def test_conditions_differ_where_neighbors_do(whole):
    line = load_metrics(study.place_of(whole, 0, "n2") / "tests")
    assert len(set(line["cross_entropy"].tolist())) == 4  # two shares, random, absent
    names = [condition.name for condition in study.conditions(SMALL, "n2")]
    assert names == ["retrieved/0.5", "retrieved/1", "random", "absent"]
    assert [c.name for c in study.conditions(SMALL, "baseline")] == ["absent"]


def test_the_learners_functions_are_what_runs(home, data):
    seen = set()

    def fuse(*given):
        seen.add("fuse")
        return model.join(*given)

    def randomize(*given):
        seen.add("randomize")
        return inputs.randomize(*given)

    def loss(*given):
        seen.add("loss")
        return learn.unrolled_losses(*given)

    config = replace(SMALL, variants=("n2",), num_steps=2)
    pieces = {"fuse": fuse, "randomize": randomize, "loss": loss}
    folder = home / "go_retrieval" / "pieces"
    assert go_retrieval.run(config, folder, data=data, progress=False, **pieces)
    assert seen == {"fuse", "randomize", "loss"}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_run_on_a_gpu(home, data):
    folder = home / "go_retrieval" / "gpu"
    assert go_retrieval.run(SMALL, folder, data=data, device="cuda", progress=False)
    assert next(go_retrieval.model_of(folder, 0, "n2").parameters()).device.type == "cpu"
    assert go_retrieval.run(SMALL, folder, data=data, device="cuda", progress=False)


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
    assert "baseline/gain/accuracy" not in curves
    assert len(go_retrieval.plot(folder, curves).axes) == 2
    assert len(go_retrieval.plot_shipped(curves).axes) == 2
    lines = go_retrieval.table(folder).splitlines()
    assert len(lines) == 3 + 3 * 4
    assert "+4.0%  [+4.0%, +4.0%]" in lines[8]


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


def test_the_studies_share_their_data():
    made = [x.PRESETS for x in (go_retrieval, go_retrieval_sizes, go_retrieval_robustness)]
    for preset in ("smoke", "laptop", "paper"):
        assert len({presets[preset].data for presets in made}) == 1
    folder = go_retrieval.shared_folder
    assert folder(Path("runs/a/laptop")) == folder(Path("runs/b/laptop"))


def test_models_to_ship(whole, data, tmp_path, monkeypatch):
    monkeypatch.setattr(go_retrieval_models, "prepare", lambda *_: pytest.fail("prepared again"))
    config = go_retrieval_models.Config(retrieval="n2", folder=whole, out=tmp_path)
    made = go_retrieval_models.make(config, progress=False)
    assert {label: path.name for label, path in made.items()} == {
        "baseline": "model_baseline.pt",
        "retrieval": "model_retrieval.pt",
    }
    about = read_about(made["retrieval"])
    assert (about["variant"], about["mode"], about["steps"]) == ("n2", "retrieved", 4)
    assert (about["games"], about["keys"]) == (data.games, data.keys.fingerprint)
    shipped, trained = load_model(made["retrieval"]), go_retrieval.model_of(whole, 0, "n2")
    for a, b in zip(shipped.parameters(), trained.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-7, rtol=1e-3)


def test_models_that_are_not_trained_yet_are_trained_first(home, data, tmp_path, monkeypatch):
    few = {"smoke": replace(SMALL, variants=("n2", "baseline", "n3"), num_steps=2)}
    monkeypatch.setattr(go_retrieval, "PRESETS", few)
    folder = home / "go_retrieval" / "models"
    config = go_retrieval_models.Config("n2", "smoke", folder, tmp_path)
    assert set(go_retrieval_models.make(config, progress=False)) == {"baseline", "retrieval"}
    assert study.is_finished(few["smoke"], study.place_of(folder, 0, "n2"), "n2")
    assert not study.place_of(folder, 0, "n3").exists()


def test_models_that_cannot_be_shipped(whole, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="must be a variant with neighbors, got 'baseline'"):
        go_retrieval_models.Config(retrieval="baseline")
    with pytest.raises(ValueError, match="preset must be one of .*, got 'large'"):
        go_retrieval_models.Config(preset="large")
    monkeypatch.setattr(go_retrieval_models, "MAX_BYTES", 10)
    with pytest.raises(ValueError, match="bytes, more than 10: train less wide"):
        go_retrieval_models.make(
            go_retrieval_models.Config(retrieval="n2", folder=whole, out=tmp_path), progress=False
        )


SHIPPED = reference.curves_folder() / "go_retrieval.csv"


@pytest.mark.skipif(not SHIPPED.exists(), reason="the curves are not made yet")
def test_the_effects_of_notebook_15_are_in_the_shipped_curves():
    curves = reference.load_reference("go_retrieval")
    ours, theirs = curves["n4/accuracy"], curves["baseline/accuracy"]
    assert ours.low[-1] > theirs.high[-1]  # intervals apart
    gain = curves["n4/gain/accuracy"]
    assert gain.low[-1] > 0  # over seeds and games
    assert gain.mean[0] < gain.mean[-1]  # from 1 % of the games less than from all
    assert curves["n4/gain_random/accuracy"].high[0] < gain.low[-1]
    assert curves["n4/gain/value_error"].mean[-1] < 0
