"""Every experiment through its real entry point at `smoke`: run, resume, draw, ship."""

import importlib
import pkgutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from rlcourse import experiments
from rlcourse.__main__ import main
from rlcourse.experiments import alpha_tradeoff, monte_carlo_value, prior_transfer, reference
from rlcourse.klrl import tabular

MODULES = [
    importlib.import_module(f"rlcourse.experiments.{module.name}")
    for module in pkgutil.iter_modules(experiments.__path__)
]
EXPERIMENTS = [module for module in MODULES if hasattr(module, "PRESETS")]
WITH_CURVES = [module for module in EXPERIMENTS if hasattr(module, "reference_curves")]


def name_of(module) -> str:
    return module.__name__.rpartition(".")[2]


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=name_of)
def test_an_experiment_runs_from_the_command_line_and_again(experiment, tmp_path, capsys):
    arguments = ["run", name_of(experiment), "--preset", "smoke", "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    assert (tmp_path / "out" / "figure.png").stat().st_size > 5_000
    files = {path: path.read_bytes() for path in (tmp_path / "out").rglob("metrics.jsonl")}
    assert main(arguments) == 0  # finds everything finished
    assert all(path.read_bytes() == content for path, content in files.items())


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=name_of)
def test_an_experiment_has_the_three_presets(experiment):
    assert list(experiment.PRESETS) == ["smoke", "laptop", "paper"]
    assert all(isinstance(preset, experiment.Config) for preset in experiment.PRESETS.values())


@pytest.mark.parametrize("experiment", WITH_CURVES, ids=name_of)
def test_shipped_curves_are_those_of_the_laptop_preset(experiment, tmp_path):
    shipped = reference.load_reference(name_of(experiment))
    small = experiment.PRESETS["smoke"]
    experiment.run(small, tmp_path, progress=False)
    assert list(experiment.reference_curves(tmp_path)) == list(shipped)
    for curve in shipped.values():
        assert np.isfinite(np.stack(curve)).all()
        assert (curve.low <= curve.mean + 1e-6).all()
        assert (curve.mean <= curve.high + 1e-6).all()


@pytest.mark.parametrize("experiment", list(WITH_CURVES), ids=name_of)
def test_a_run_is_drawn_over_the_shipped_curves(experiment, tmp_path):
    experiment.run(experiment.PRESETS["smoke"], tmp_path, progress=False)
    shipped = reference.load_reference(name_of(experiment))
    assert isinstance(experiment.plot(tmp_path, shipped), Figure)


def test_the_effect_of_notebook_01_is_in_the_shipped_curves():
    curves = reference.load_reference("prior_transfer")
    at_50 = {name: (curve.low[50], curve.high[50]) for name, curve in curves.items()}
    assert at_50["same room"][0] > at_50["uniform"][1]  # intervals apart
    assert at_50["whole house"][0] > at_50["uniform"][1]
    assert at_50["other room"][1] < at_50["uniform"][0]


def test_an_interrupted_transfer_says_so_and_goes_on(tmp_path, monkeypatch):
    config = prior_transfer.PRESETS["smoke"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    prior_transfer.run(config, whole, progress=False)
    update, calls = tabular.SoftQLearner.update, 0

    def interrupt(self, transition, valid):
        nonlocal calls
        calls += 1
        if calls == 70:
            raise KeyboardInterrupt
        return update(self, transition, valid)

    monkeypatch.setattr(tabular.SoftQLearner, "update", interrupt)
    with pytest.raises(KeyboardInterrupt):
        prior_transfer.run(config, broken, progress=False)
    with pytest.raises(ValueError, match="was interrupted: run it again"):
        prior_transfer.load(broken)
    prior_transfer.run(config, broken, progress=False)
    a, b = prior_transfer.load(whole), prior_transfer.load(broken)
    for name in config.priors:
        assert np.array_equal(a.value[name], b.value[name])


def test_priors_are_learned_on_other_goals_than_the_held_out_one():
    config = prior_transfer.Config()
    with_all = prior_transfer.make_prior(config, "same room", (11, 11))
    with_other = prior_transfer.make_prior(config, "same room", (8, 7))
    assert not torch.equal(with_all, with_other)
    few = prior_transfer.make_prior(replace(config, num_tasks=2), "same room", (11, 11))
    assert float(few.exp().max()) >= float(with_all.exp().max())
    with pytest.raises(ValueError, match="no prior is called 'attic'"):
        prior_transfer.make_prior(config, "attic", (11, 11))


def test_the_learners_functions_are_what_runs(tmp_path):
    seen = []

    def returns(reward, discount):
        seen.append(tuple(reward.shape))
        return monte_carlo_value.package_returns(reward, discount)

    config = monte_carlo_value.PRESETS["smoke"]
    monte_carlo_value.run(config, tmp_path, returns=returns, progress=False)
    assert len(seen) == len(config.walks) * config.num_seeds


def test_monte_carlo_is_unbiased():
    config = replace(monte_carlo_value.Config(), num_steps=200)
    walks = monte_carlo_value.random_walks(config, 20_000, seed=5)
    values = monte_carlo_value.package_returns(walks.reward, config.discount * walks.discount)[0]
    start = int(walks.obs[0, 0])
    exact = float(monte_carlo_value.exact_value(config)[start])
    assert float(values.mean()) == pytest.approx(exact, abs=4 * float(values.std()) / 20_000**0.5)


def test_the_bridge_is_left_where_the_notebook_says():
    curve = reference.load_reference("alpha_tradeoff")["uniform"]
    crossing = curve.x[np.argmax(curve.mean < 0.5)]
    assert 0.08 < crossing < 0.12


def test_reference_curves_survive_a_round_trip_and_name_damage(tmp_path, monkeypatch):
    monkeypatch.setattr(reference, "curves_folder", lambda: tmp_path)
    curve = reference.curve_of(np.arange(4.0), np.random.default_rng(0).normal(size=(5, 4)))
    path = reference.save_reference("made_up", {"a": curve, "b": curve})
    loaded = reference.load_reference("made_up")
    assert list(loaded) == ["a", "b"]
    assert np.allclose(np.stack(loaded["b"]), np.stack(curve), atol=1e-5)
    path.write_text("curve,x,mean\na,1,oops\n")
    with pytest.raises(ValueError, match=r"made_up\.csv is damaged"):
        reference.load_reference("made_up")
    with pytest.raises(FileNotFoundError, match="rlcourse run absent --reference"):
        reference.load_reference("absent")


def test_alpha_tradeoff_records_what_the_objective_is_made_of(tmp_path):
    alpha_tradeoff.run(alpha_tradeoff.PRESETS["smoke"], tmp_path)
    from rlcourse.run.record import load_metrics

    rows = load_metrics(tmp_path)
    for prior in alpha_tradeoff.PRIORS:
        rebuilt = rows[f"{prior}/return"] - rows["alpha"] * rows[f"{prior}/kl"]
        assert np.allclose(rebuilt, rows[f"{prior}/objective"])
        assert (rows[f"{prior}/kl"] >= -1e-9).all()
