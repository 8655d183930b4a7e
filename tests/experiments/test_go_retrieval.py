"""The studies of retrieval: variants, data without leaks, resumed runs, models to ship."""

import json
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rlcourse.data.files import exclusively
from rlcourse.experiments import (
    go_retrieval,
    go_retrieval_data,
    go_retrieval_models,
    go_retrieval_robustness,
    go_retrieval_sizes,
    go_retrieval_table,
    reference,
)
from rlcourse.experiments import go_retrieval_study as study
from rlcourse.experiments.go_retrieval_data import Settings
from rlcourse.experiments.go_retrieval_variants import ROBUST, variant_of
from rlcourse.go import inputs, learn, model
from rlcourse.go.keys import KeyNetwork
from rlcourse.go.saved_model import load_model, read_about
from rlcourse.go.splits import split_of
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


def test_the_table_of_later_games_is_a_command(whole, data, monkeypatch, capsys):
    numbers = data.positions.games[data.test_ids].unique().tolist()
    command = ["table", "--folder", str(whole), "--first-game", str(numbers[1])]
    monkeypatch.setattr(sys, "argv", command)
    go_retrieval_table.main()
    few = int((data.positions.games[data.test_ids] >= numbers[1]).sum())
    assert f"{few} positions of {len(numbers) - 1} test games" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", command[:3])
    go_retrieval_table.main()
    assert f"{len(data.test_ids)} positions of {len(numbers)}" in capsys.readouterr().out


def test_each_database_says_how_well_it_finds(data):
    for fraction in SMOKE.data.fractions:
        report = json.loads((data.folder / f"fraction_{fraction:g}" / "report.json").read_text())
        assert report["recall"] == 1.0  # compared one by one
        assert report["num_positions"] == len(data.database(fraction, progress=False))
        assert report["search_seconds"] > 0


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


def test_a_run_keeps_to_its_data(home, data):
    """Also a training that has not begun: seeds of two sets of games would not compare."""
    folder = home / "go_retrieval" / "changed"
    config = replace(SMALL, num_steps=2)
    assert study.finish(config, 0, "baseline", folder, data, progress=False)
    with pytest.raises(FileNotFoundError, match="no run in"):
        study.data_of(folder)
    Record(folder, config)
    assert study.data_of(folder) == data.fingerprint
    other = replace(data, folder=data.folder.with_name("f00"))
    with pytest.raises(ValueError, match=f"begun with the data {data.fingerprint}, .* f00: the"):
        go_retrieval.run(config, folder, data=other, progress=False)
    assert not study.place_of(folder, 0, "n2").exists()
    assert go_retrieval.run(config, folder, data=data, progress=False)
    place = home / "untouched"
    with pytest.raises(ValueError, match="have changed. Restore them, or train anew"):
        go_retrieval.prepare(SMOKE.data, place, progress=False, known="f00")
    assert not place.exists()


def test_runs_of_other_versions_are_named(tmp_path):
    Record(tmp_path, {"data": {"fractions": [1.0]}, "sizes": {}, "num_stones": 3})
    with pytest.raises(ValueError, match="is of another version .*: run it anew in another folder"):
        study.config_of(tmp_path)


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
    assert not list(tmp_path.iterdir())  # what was there before stays


SHIPPED = reference.curves_folder() / "go_retrieval.csv"


@pytest.mark.skipif(not SHIPPED.exists(), reason="the curves are not made yet")
def test_the_effects_of_notebook_15_are_in_the_shipped_curves():
    curves = reference.load_reference("go_retrieval")
    theirs = curves["baseline/tests/accuracy"]  # of all test positions
    for name in ("n4", "n10"):
        assert curves[f"{name}/tests/accuracy"].low[-1] > theirs.high[-1]  # intervals apart
        assert curves[f"{name}/over_blank/accuracy"].low[-1] > 0
    gain = curves["n4/gain/accuracy"]
    assert gain.low[-1] > 0  # over seeds and games
    assert gain.mean[0] < gain.mean[-1]  # from 1 % of the games less than from all
    assert curves["n4/gain_random/accuracy"].high[0] < gain.low[-1]
    assert curves["n2/gain/value_error"].high[-1] < 0  # with four there is no gain at the winner
