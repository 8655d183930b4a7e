"""The comparison of notebook 03: priors alone, the learner's pieces, trained agents, the figure."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from rlcourse.experiments import control_agents
from rlcourse.experiments.reference import load_reference
from rlcourse.klrl import sac
from rlcourse.klrl.control_priors import KeepGoing, SteerToTarget, UniformPrior
from rlcourse.run.checkpoint import load_checkpoint

SMOKE = replace(control_agents.PRESETS["smoke"], num_seeds=1)
LAPTOP = control_agents.PRESETS["laptop"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    config = replace(SMOKE, agents=("sac", "svg0_keep_going"))
    assert control_agents.run(config, folder, progress=False)
    return config, folder


def test_each_agent_has_the_prior_that_its_name_says():
    kinds = {"svg0_uniform": UniformPrior, "svg0_prior": SteerToTarget}
    for name, kind in {**kinds, "svg0_keep_going": KeepGoing}.items():
        assert isinstance(control_agents.make_prior(LAPTOP, name), kind)
    with pytest.raises(ValueError, match="'mpo' has no prior"):
        control_agents.make_prior(LAPTOP, "mpo")


def test_the_hand_made_prior_alone_arrives_and_random_thrust_does_not():
    arrived, length = control_agents.prior_alone(LAPTOP, "svg0_prior")
    assert arrived == 1.0
    assert 15.0 < length < 25.0
    by_chance, _ = control_agents.prior_alone(LAPTOP, "svg0_uniform", sample=True, num_episodes=256)
    assert 0.05 < by_chance < 0.2
    going, _ = control_agents.prior_alone(LAPTOP, "svg0_keep_going", sample=True, num_episodes=256)
    assert by_chance < going < 0.4


def test_the_learners_pieces_are_what_runs(tmp_path):
    seen = []

    def target(*args):
        seen.append(None)
        return sac.critic_target(*args)

    config = replace(SMOKE, agents=("sac",), num_steps=20)
    pieces = {"sac": {"critic_target": target}}
    control_agents.run(config, tmp_path, pieces=pieces, progress=False)
    assert seen


def test_a_trained_agent_is_the_one_of_its_checkpoint(finished):
    config, folder = finished
    agent = control_agents.trained(config, folder, "sac")
    state = load_checkpoint(folder / "sac" / "seed_0" / "checkpoint.pt")["agent"]["networks"]
    weights = agent.policy.state_dict()
    assert all(torch.equal(weights[key], state["policy"][key]) for key in weights)
    first, second = (control_agents.watch(config, agent.act_mode, seed=3) for _ in range(2))
    assert np.array_equal(first.position, second.position)
    other = control_agents.watch(config, lambda step: torch.ones(1, 2), seed=3)
    assert np.array_equal(first.targets, other.targets)
    with pytest.raises(FileNotFoundError):
        control_agents.trained(config, folder, "mpo")


def test_table_and_figure_of_agents_without_a_shipped_curve(finished):
    _, folder = finished
    shown = control_agents.table(folder).splitlines()
    assert len(shown) == 3
    assert "prior keeps going" in shown[2]
    figure = control_agents.plot(folder, load_reference("control_agents"))
    titles = [ax.get_title(loc="left") or ax.get_title() for ax in figure.axes]
    assert titles[:2] == ["SAC", "SVG(0),\nprior keeps going"]


def test_the_effect_of_notebook_03_is_in_the_shipped_curves():
    curves = load_reference("control_agents")
    last = {name: curve.mean[-1] for name, curve in curves.items()}
    assert all(mean >= 0.9 for mean in last.values())
    early = int(np.searchsorted(curves["sac"].x, 9_600))
    best = curves["svg0_prior"]
    for name in ("sac", "mpo", "svg0_uniform"):
        assert best.low[early] > curves[name].high[early]
