"""Every experiment through its real entry point at `smoke`: run, resume, draw, ship."""

import importlib
import pkgutil
import re
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from rlcourse import experiments
from rlcourse.__main__ import main
from rlcourse.course.outline import find_lesson
from rlcourse.envs.gridworld import Gridworld
from rlcourse.experiments import (
    alpha_tradeoff,
    control_agents,
    distral_gridworlds,
    distral_two_rooms,
    monte_carlo_value,
    prior_transfer,
    reference,
)
from rlcourse.klrl import distral, distral_neural, mpo, sac, soft_q, svg0, tabular
from rlcourse.run.record import Record, load_metrics

MODULES = [
    importlib.import_module(f"rlcourse.experiments.{module.name}")
    for module in pkgutil.iter_modules(experiments.__path__)
]
EXPERIMENTS = [module for module in MODULES if hasattr(module, "PRESETS")]
WITH_CURVES = [module for module in EXPERIMENTS if hasattr(module, "reference_curves")]
# The numbers of the lessons that show curves which are made just before these lessons are opened.
SHOWN_IN = {"go_retrieval": 15, "go_retrieval_sizes": 15, "go_retrieval_robustness": 15}
SHOWN_IN |= {"go_play": 16}


def name_of(module) -> str:
    return module.__name__.rpartition(".")[2]


def shipped_curves(experiment) -> dict[str, reference.Curve]:
    """Skips the test where the lesson that shows them is still closed."""
    name = name_of(experiment)
    if name in SHOWN_IN and not find_lesson(SHOWN_IN[name]).available:
        pytest.skip(f"the curves of {name} come with lesson {SHOWN_IN[name]}")
    return reference.load_reference(name)


def arguments(experiment, folder) -> list[str]:
    return ["run", name_of(experiment), "--preset", "smoke", "--out", str(folder)]


@pytest.fixture(scope="module")
def smoke_run(tmp_path_factory):
    """The folder of an experiment's one run at `smoke`, from the command line; only to be read."""
    folders = {}

    def folder_of(experiment) -> Path:
        name = name_of(experiment)
        if name not in folders:
            folder = tmp_path_factory.mktemp(name) / "out"
            assert main(arguments(experiment, folder)) == 0
            folders[name] = folder
        return folders[name]

    return folder_of


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=name_of)
def test_an_experiment_runs_from_the_command_line_and_again(experiment, smoke_run):
    folder = smoke_run(experiment)
    assert (folder / "figure.png").stat().st_size > 5_000
    files = {path: path.read_bytes() for path in folder.rglob("metrics.jsonl")}
    assert files
    assert main(arguments(experiment, folder)) == 0  # finds everything finished
    assert all(path.read_bytes() == content for path, content in files.items())


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=name_of)
def test_an_experiment_has_the_three_presets(experiment):
    assert list(experiment.PRESETS) == ["smoke", "laptop", "paper"]
    assert all(isinstance(preset, experiment.Config) for preset in experiment.PRESETS.values())


@pytest.mark.parametrize("experiment", WITH_CURVES, ids=name_of)
def test_shipped_curves_are_those_of_the_laptop_preset(experiment, smoke_run):
    shipped = shipped_curves(experiment)
    assert list(experiment.reference_curves(smoke_run(experiment))) == list(shipped)
    for curve in shipped.values():
        assert np.isfinite(np.stack(curve)).all()
        assert (curve.low <= curve.mean + 1e-6).all()
        assert (curve.mean <= curve.high + 1e-6).all()


@pytest.mark.parametrize("experiment", WITH_CURVES, ids=name_of)
def test_a_run_is_drawn_over_the_shipped_curves(experiment, smoke_run):
    shipped = shipped_curves(experiment)
    assert isinstance(experiment.plot(smoke_run(experiment), shipped), Figure)


def test_the_effect_of_notebook_01_is_in_the_shipped_curves():
    curves = reference.load_reference("prior_transfer")
    at_50 = {name: (curve.low[50], curve.high[50]) for name, curve in curves.items()}
    assert at_50["same room"][0] > at_50["uniform"][1]  # intervals apart
    assert at_50["whole house"][0] > at_50["uniform"][1]
    assert at_50["other room"][1] < at_50["same room"][0]


@pytest.mark.parametrize(
    ("name", "ours", "others", "step"),
    [
        ("distral_two_rooms", "distral", ("separate", "shared", "distral, state only"), 12_000),
        ("distral_gridworlds", "two columns", ("separate", "shared"), 19_200),
    ],
)
def test_the_effects_of_notebook_02_are_in_the_shipped_curves(name, ours, others, step):
    curves = reference.load_reference(name)
    place = list(curves[ours].x).index(step)
    for other in others:
        assert curves[ours].low[place] > curves[other].high[place]  # intervals apart


INTERRUPTED = [  # experiment, what is interrupted in which update, and what the run is cut down to
    (distral_two_rooms, distral.TabularDistral, 130, {}),
    (distral_gridworlds, distral_neural.NeuralDistral, 50, {}),
    (control_agents, sac.SAC, 25, {"agents": ("sac",), "num_seeds": 1}),
    (control_agents, mpo.MPO, 25, {"agents": ("sac", "mpo"), "num_seeds": 1}),
    (control_agents, svg0.SVG0, 25, {"agents": ("svg0_prior",), "num_seeds": 1}),
]


@pytest.mark.parametrize(("experiment", "agent", "number", "less"), INTERRUPTED)
def test_an_interrupted_run_says_so_and_goes_on(
    experiment, agent, number, less, smoke_run, tmp_path, monkeypatch
):
    config = replace(experiment.PRESETS["smoke"], **less)
    update, calls = agent.update, 0

    def press_stop(self, transition, valid):
        nonlocal calls
        calls += 1
        if calls == number:
            signal.raise_signal(signal.SIGINT)
        return update(self, transition, valid)

    monkeypatch.setattr(agent, "update", press_stop)
    assert not experiment.run(config, tmp_path, progress=False)
    with pytest.raises((ValueError, FileNotFoundError), match="was interrupted|no metrics"):
        experiment.load(tmp_path)
    assert experiment.run(config, tmp_path, progress=False)
    experiment.load(tmp_path)
    whole, parts = smoke_run(experiment), list(tmp_path.rglob("metrics.jsonl"))
    assert parts
    for part in parts:
        assert part.read_bytes() == (whole / part.relative_to(tmp_path)).read_bytes()


def test_a_transfer_that_crashes_says_so_and_goes_on(smoke_run, tmp_path, monkeypatch):
    config = prior_transfer.PRESETS["smoke"]
    update, calls = soft_q.SoftQLearner.update, 0

    def interrupt(self, transition, valid):
        nonlocal calls
        calls += 1
        if calls == 70:
            raise KeyboardInterrupt
        return update(self, transition, valid)

    monkeypatch.setattr(soft_q.SoftQLearner, "update", interrupt)
    with pytest.raises(KeyboardInterrupt):
        prior_transfer.run(config, tmp_path, progress=False)
    with pytest.raises(ValueError, match="was interrupted: run it again"):
        prior_transfer.load(tmp_path)
    prior_transfer.run(config, tmp_path, progress=False)
    a, b = prior_transfer.load(smoke_run(prior_transfer)), prior_transfer.load(tmp_path)
    for name in config.priors:
        assert np.array_equal(a.value[name], b.value[name])


def test_priors_are_learned_on_other_goals_than_the_held_out_one():
    config = prior_transfer.Config()
    with_all = prior_transfer.make_prior(config, "same room", (11, 11))
    with_other = prior_transfer.make_prior(config, "same room", (8, 7))
    assert not torch.equal(with_all, with_other)
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


def test_return_kl_and_objective_are_computed_apart_and_agree(tmp_path):
    alpha_tradeoff.run(alpha_tradeoff.PRESETS["smoke"], tmp_path)
    rows = load_metrics(tmp_path)
    for prior in alpha_tradeoff.PRIORS:
        rebuilt = rows[f"{prior}/return"] - rows["alpha"] * rows[f"{prior}/kl"]
        assert np.allclose(rebuilt, rows[f"{prior}/objective"], atol=1e-6)
        share = rows[f"{prior}/bridge"]
        assert share[0] > 0.9 > 0.2 > share[-1]


def test_an_interrupted_sweep_goes_on(tmp_path):
    config = alpha_tradeoff.PRESETS["smoke"]
    alpha_tradeoff.run(config, tmp_path / "whole")
    calls = []

    def solve(*problem):
        calls.append(problem)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return alpha_tradeoff.package_solver(*problem)

    with pytest.raises(KeyboardInterrupt):
        alpha_tradeoff.run(config, tmp_path / "broken", solve=solve)
    alpha_tradeoff.run(config, tmp_path / "broken", solve=solve)
    whole, broken = (tmp_path / name / "metrics.jsonl" for name in ("whole", "broken"))
    assert whole.read_bytes() == broken.read_bytes()


@pytest.mark.parametrize(
    ("experiment", "bad", "says"),
    [
        (prior_transfer, {"alpha": -1.0}, "alpha"),
        (prior_transfer, {"num_tasks": 0}, "num_tasks"),
        (prior_transfer, {"priors": ("moon",)}, "moon"),
        (prior_transfer, {"num_seeds": 0}, "num_seeds"),
        (alpha_tradeoff, {"priors": ("moon",)}, "moon"),
        (alpha_tradeoff, {"num_alphas": 1}, "2 or more"),
        (monte_carlo_value, {"discount": 1.5}, "discount"),
        (monte_carlo_value, {"walks": ()}, "walks"),
        (distral_two_rooms, {"methods": ()}, "methods"),
        (distral_two_rooms, {"methods": ("moon",)}, "no method is called 'moon'"),
        (distral_two_rooms, {"num_seeds": 0}, "num_seeds"),
        (distral_two_rooms, {"max_steps": 0}, "max_steps"),
        (distral_two_rooms, {"threshold": 1.5}, "threshold"),
        (distral_two_rooms, {"alpha": -0.5}, "alpha"),
        (distral_two_rooms, {"beta": 0.0}, "beta"),
        (distral_two_rooms, {"goals": ((2, 6),)}, r"\(2, 6\) must lie in one of the rooms"),
        (distral_two_rooms, {"methods": ("shared", "shared")}, "each once"),
        (distral_two_rooms, {"num_steps": 250}, "multiple of evaluate_every"),
        (distral_two_rooms, {"map": "nowhere"}, "nowhere"),
        (distral_two_rooms, {"goals": ()}, "at least one goal"),
        (distral_gridworlds, {"num_maps": 0}, "num_maps"),
        (distral_gridworlds, {"view": -1}, "view"),
        (distral_gridworlds, {"methods": ()}, "methods"),
        (distral_gridworlds, {"methods": ("moon",)}, "no method is called 'moon'"),
        (distral_gridworlds, {"num_steps": 0}, "num_steps"),
        (distral_gridworlds, {"evaluate_every": 0}, "evaluate_every"),
        (distral_gridworlds, {"lambda_": 1.5}, "lambda_"),
        (distral_gridworlds, {"learning_rate": 0.0}, "learning_rate"),
        (control_agents, {"agents": ()}, "at least one of the agents"),
        (control_agents, {"agents": ("moon",)}, "no agent is called 'moon'"),
        (control_agents, {"agents": ("sac", "sac")}, "each once"),
        (control_agents, {"max_steps": 0}, "max_steps"),
        (control_agents, {"num_steps": 250}, "multiple of evaluate_every"),
        (control_agents, {"num_envs": 0}, "num_envs"),
        (control_agents, {"threshold": 0.0}, "threshold"),
        (control_agents, {"prior_std": 0.0}, "prior_std"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_written(experiment, bad, says):
    with pytest.raises(ValueError, match=says):
        experiment.Config(**bad)


def write_goal(folder, episodes, value):
    record = Record(folder, {})
    for step, (count, returns) in enumerate(zip(episodes, value, strict=True)):
        record.write(step, {"episodes": count, "value": returns})


def test_episodes_are_interpolated_and_never_counts_in_full(tmp_path):
    config = replace(
        prior_transfer.Config(),
        priors=("uniform",),
        num_seeds=2,
        num_episodes=4,
        held_out=((8, 7), (11, 11)),
    )
    Record(tmp_path, config)
    for goal in config.held_out:
        mdp = Gridworld.named(config.map).with_goals([goal]).mdp()
        best = float(tabular.start_value(mdp, tabular.optimal_value(mdp, config.discount)))
        # Seed 0 rises linearly from 0 to the best within 4 episodes; seed 1 never learns.
        write_goal(
            tmp_path / f"goal_{goal[0]}_{goal[1]}",
            [[0, 0], [0, 0], [4, 4]],
            [[0.5, 0.0], [0.0, 0.0], [best, 0.0]],
        )
    result = prior_transfer.load(tmp_path)
    assert np.allclose(result.value["uniform"][0, 0], [0.0, 0.25, 0.5, 0.75, 1.0])
    assert np.allclose(result.needed["uniform"], [[4, np.nan]] * 2, equal_nan=True)
    assert prior_transfer.episodes_needed(tmp_path)["uniform"].mean == 4.0
    assert "never" not in prior_transfer.table(tmp_path)  # one seed got there


def test_priors_and_seeds_are_told_apart_in_a_live_run(tmp_path):
    config = replace(
        prior_transfer.Config(),
        num_seeds=2,
        num_episodes=2,
        max_steps=30,
        held_out=((11, 11),),
        evaluate_every=10,
    )
    assert prior_transfer.run(config, tmp_path, progress=False)
    start = {name: runs[0, :, 0] for name, runs in prior_transfer.load(tmp_path).value.items()}
    mdp = Gridworld.named(config.map).with_goals([(11, 11)]).mdp()
    best = tabular.start_value(mdp, tabular.optimal_value(mdp, config.discount))
    for name in config.priors:  # before the first episode a learner is its prior
        prior = prior_transfer.make_prior(config, name, (11, 11))
        value = tabular.start_value(mdp, tabular.evaluate_policy(mdp, prior, config.discount))
        assert start[name] == pytest.approx([float(value / best)] * 2, abs=1e-4)


@pytest.mark.parametrize("wanted", [1, 8, 12, 1000])
def test_a_prior_is_learned_on_as_many_goals_as_asked_for(wanted, monkeypatch):
    seen = []
    monkeypatch.setattr(
        prior_transfer.grid_priors, "from_tasks", lambda grid, goals, *rest: seen.extend(goals)
    )
    config = replace(prior_transfer.Config(), num_tasks=wanted)
    prior_transfer.make_prior(config, "other room", (11, 11))
    there_are = len(prior_transfer.free_cells(Gridworld.named(config.map), config.other_room))
    assert len(set(seen)) == len(seen) == min(wanted, there_are)


def test_seeds_of_random_walks_differ():
    config = monte_carlo_value.PRESETS["smoke"]
    a, b = (monte_carlo_value.random_walks(config, 4, seed).obs for seed in (0, 1))
    assert not torch.equal(a, b)


def test_each_seed_has_its_own_walks(tmp_path):
    config = monte_carlo_value.PRESETS["smoke"]
    monte_carlo_value.run(config, tmp_path, progress=False)
    _, errors = monte_carlo_value.load(tmp_path)
    assert len(set(errors[:, -1].tolist())) == config.num_seeds


@pytest.mark.parametrize("experiment", WITH_CURVES, ids=name_of)
def test_every_recorded_metric_is_explained_in_the_glossary(experiment, smoke_run):
    text = (Path(__file__).parents[2] / "notebooks" / "glossary.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"`([\w/]+)`", text.split("# Metrics")[1]))
    paths = list(smoke_run(experiment).rglob("metrics.jsonl"))
    assert paths
    for path in paths:
        for name in load_metrics(path.parent):
            generic = re.sub(r"^.*/", "PRIOR/", name)
            assert name == "step" or {name, generic} & explained, f"{name} is not explained"
