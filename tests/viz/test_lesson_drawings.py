"""The drawings and the widget of notebooks 00 and 01."""

import xml.etree.ElementTree as ElementTree

import pytest
import torch
from matplotlib.figure import Figure

from rlcourse.envs.gridworld import Gridworld
from rlcourse.klrl import tabular
from rlcourse.ops.kl import boltzmann_log_policy
from rlcourse.viz import kl_pictures, sketches
from rlcourse.viz.return_widget import ReturnExplorer, weights_svg

NO_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NO_CUDA])]


def test_the_terms_in_the_picture_sum_to_the_kl_of_the_text():
    figure = kl_pictures.kl_terms([0.7, 0.1, 0.1, 0.1], [0.25] * 4)
    heights = [bar.get_height() for bar in figure.axes[1].patches]
    assert sum(heights) == pytest.approx(0.4459, abs=1e-3)
    assert "0.45 nats" in figure.axes[1].get_title(loc="left") + figure.axes[1].get_title()


def test_the_dots_of_the_objective_are_at_the_closed_form():
    figure = kl_pictures.one_state_objective([1.0, 0.0], [1.0])
    dot = next(line for line in figure.axes[0].get_lines() if len(line.get_xdata()) == 1)
    assert dot.get_xdata()[0] == pytest.approx(0.731, abs=3e-3)
    assert dot.get_ydata()[0] == pytest.approx(0.620, abs=1e-3)


def test_policies_against_alpha_end_at_their_limits():
    q, log_prior = torch.tensor([0.0, 0.6, 1.0]), torch.tensor([0.7, 0.2, 0.1]).log()
    figure = kl_pictures.policy_against_alpha(boltzmann_log_policy, q, log_prior)
    curves = [line.get_ydata() for line in figure.axes[0].get_lines() if len(line.get_ydata()) > 2]
    assert [round(float(curve[0]), 2) for curve in curves] == [0.0, 0.0, 1.0]
    assert [round(float(curve[-1]), 1) for curve in curves] == [0.7, 0.2, 0.1]


@pytest.mark.parametrize("device", DEVICES)
def test_no_perturbed_policy_beats_the_optimum(device: str):
    mdp = Gridworld.named("bridge").mdp(device=device)
    log_prior = tabular.uniform_log_prior(mdp)
    best = tabular.soft_value_iteration(mdp, log_prior, 0.1, 0.97).log_policy

    def value_of(log_policy):
        return tabular.evaluate_policy(mdp, log_policy, 0.97, log_prior=log_prior, alpha=0.1)

    figure = kl_pictures.perturbed_policies(value_of, mdp, best, num_policies=30)
    assert "0 better" in figure.axes[0].get_title(loc="left") + figure.axes[0].get_title()


def test_sketches_are_figures():
    assert isinstance(sketches.draw_parts(), Figure)
    dots = sketches.draw_returns([0.0, 0.0, 8.0], 0.5).axes[0].get_lines()[0]
    assert list(dots.get_ydata()) == [2.0, 4.0, 8.0]


def test_the_slider_redraws_the_weights():
    explorer = ReturnExplorer(0.9)
    before = explorer.picture.value
    explorer.slider.value = 0.5
    assert explorer.picture.value != before
    assert "counts 0.000" in explorer.picture.value
    bundle = explorer._repr_mimebundle_()
    assert {"text/html", "text/plain", "application/vnd.jupyter.widget-view+json"} == set(bundle)


@pytest.mark.parametrize("discount", [0.5, 0.891, 0.99])
def test_the_picture_of_the_weights_is_well_formed(discount: float):
    root = ElementTree.fromstring(weights_svg(discount))
    bars = list(root.iter("{http://www.w3.org/2000/svg}rect"))[1:]
    assert len(bars) == 61
    assert float(bars[1].get("height")) == pytest.approx(180.0 * discount, abs=0.1)
