"""The still pictures of notebook 03, and the curves of its agents."""

import matplotlib
import numpy as np
import pytest
import torch

from rlcourse.experiments.reference import curve_of
from rlcourse.ops.distributions import DiagonalGaussian, SquashedGaussian
from rlcourse.ops.targets import retrace
from rlcourse.run.evaluate import interval
from rlcourse.viz import agent_curves, control_pictures

matplotlib.use("Agg")


def log_prob(pre_tanh, mean, std):
    return SquashedGaussian(DiagonalGaussian(mean, std)).log_prob_from_pre_tanh(pre_tanh)


def test_densities_before_and_after_the_tanh():
    figure = control_pictures.squashed_densities(log_prob, (0.4, 2.0))
    left, right = figure.axes
    for ax in (left, right):
        for line in ax.get_lines()[:2]:
            x, y = line.get_data()
            assert np.trapezoid(y, x) == pytest.approx(1.0, abs=0.07)  # tails are cut off
    narrow, wide = (np.asarray(line.get_ydata()) for line in right.get_lines()[:2])
    middle = len(narrow) // 2
    assert narrow.argmax() == middle
    assert wide[middle] < 0.25 < wide.max()  # piled up at the ends


def test_a_reference_near_good_actions_is_worth_most():
    figure = control_pictures.three_references()
    values = [float(ax.texts[0].get_text().split("=")[1]) for ax in figure.axes]
    assert values[2] > values[1] > values[0]
    for ax in figure.axes:
        x, density = ax.get_lines()[0].get_data()
        assert np.trapezoid(density, x) == pytest.approx(1.0, abs=0.01)


def test_weights_of_rewards_are_products_of_traces():
    rows = {"even": [1, 1, 1], "cut": [3, 0.5, 0.0]}
    figure = control_pictures.trace_weights(retrace, rows, discount=0.9)
    heights = [[bar.get_height() for bar in ax.patches] for ax in figure.axes]
    assert heights[0] == pytest.approx([1.0, 0.9, 0.81])
    assert heights[1] == pytest.approx([1.0, 0.45, 0.0])


def test_the_bounds_are_a_band_within_the_single_bound():
    ax = control_pictures.m_step_bounds(0.05, 0.001).axes[0]
    band = np.concatenate([p.vertices for p in ax.collections[0].get_paths()])
    assert np.ptp(band[:, 1]) < 0.05 < np.ptp(band[:, 0])
    assert abs(band[:, 0]).max() == pytest.approx(np.sqrt(2 * 0.05) * 0.5, abs=0.01)


def test_two_bounds_reach_the_mean_of_the_samples_and_one_does_not():
    ax = control_pictures.m_step_bounds(0.05, 0.001).axes[0]
    marks = {line.get_marker(): np.ravel(line.get_data()) for line in ax.get_lines()}
    mean, std = control_pictures.SAMPLES_FIT
    assert marks["*"] == pytest.approx([mean, std])
    assert marks["D"][0] == pytest.approx(mean, abs=2e-3)
    assert marks["D"][1] > 0.48  # from 0.5
    assert marks["s"][0] < 0.09
    assert marks["s"][1] < 0.43


@pytest.fixture
def runs():
    rows = torch.linspace(0.0, 1.0, 5).repeat(3, 1).numpy()
    return {"one": rows, "two": rows**2}


LOOKS = {"one": agent_curves.Look("One", "ours"), "two": agent_curves.Look("Two, long", "expert")}


def test_agents_have_a_panel_each_over_bars(runs):
    steps = np.arange(5.0) * 1e3
    looks = {name: look._replace(color="#0072B2") for name, look in LOOKS.items()}
    bars = {("Steps", "steps"): {name: interval(rows[:, -1]) for name, rows in runs.items()}}
    shipped = {"one": curve_of(steps, runs["one"])}
    figure = agent_curves.side_by_side(steps, runs, shipped, bars, looks, 0.9)
    titles = [ax.get_title(loc="left") or ax.get_title() for ax in figure.axes]
    assert titles == ["One", "Two,\nlong", "Steps"]
    with_shipped, without, below = figure.axes
    assert len(with_shipped.get_lines()) == len(without.get_lines()) + 1
    assert [bar.get_width() for bar in below.patches] == pytest.approx([1.0, 1.0])


def test_all_curves_in_one_panel_are_named(runs):
    curves = {name: curve_of(np.arange(5.0), rows) for name, rows in runs.items()}
    ax = agent_curves.together(curves, LOOKS, "All").axes[0]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["One", "Two, long"]
