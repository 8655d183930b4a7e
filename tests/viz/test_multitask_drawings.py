"""The drawings and the widget of notebook 02."""

import math
import re
import xml.etree.ElementTree as ElementTree

import pytest
import torch
from matplotlib.figure import Figure

from rlcourse.experiments import course_picture
from rlcourse.klrl import distral
from rlcourse.ops.mixtures import density_kls
from rlcourse.viz import kl_svg, multitask_pictures
from rlcourse.viz.kl_widget import KLExplorer


def title_of(figure, index=0):
    return figure.axes[index].get_title(loc="left") + figure.axes[index].get_title()


def test_two_opinions_are_cheapest_at_the_weighted_average():
    ax = multitask_pictures.two_opinions((0.9, 0.1), (3, 1)).axes[0]
    dot = next(line for line in ax.get_lines() if len(line.get_xdata()) == 1)
    assert dot.get_xdata()[0] == pytest.approx(0.7, abs=0.01)
    assert dot.get_ydata()[0] == pytest.approx(1.143, abs=2e-3)


def test_the_two_directions_add_up_what_each_action_adds():
    left, right = multitask_pictures.two_directions((0.5, 0.5), (0.9, 0.1)).axes
    assert [bar.get_height() for bar in left.patches] == [0.5, 0.5, 0.9, 0.1]
    added = [bar.get_height() for bar in right.patches]
    assert sum(added[:2]) == pytest.approx(0.5108, abs=1e-4)
    assert sum(added[2:]) == pytest.approx(0.3681, abs=1e-4)
    names = [text.get_text() for text in right.get_legend().get_texts()]
    assert ["0.51" in names[0], "0.37" in names[1]] == [True, True]


def test_the_curves_against_alpha_end_at_the_two_limits():
    def policy_of(*inputs):
        return distral.distral_value(*inputs), distral.distral_log_policy(*inputs)

    q, log_prior = torch.tensor([0.0, 1.0]), torch.tensor([0.8, 0.2]).log()
    lines = multitask_pictures.policy_against_share(policy_of, q, log_prior, 1.0).axes[0]
    first = lines.get_lines()[0].get_ydata()
    assert first[0] == pytest.approx(1.0 / (1.0 + math.e), abs=1e-5)
    assert first[-1] == pytest.approx(0.8 / (0.8 + 0.2 * math.e), abs=1e-5)


def test_the_prior_on_its_way_shows_every_action_and_its_target():
    history, target = torch.full((5, 4), 0.25), torch.tensor([0.1, 0.5, 0.1, 0.3])
    lines = multitask_pictures.prior_on_its_way(history, target).axes[0].get_lines()
    assert [round(float(line.get_ydata()[0]), 2) for line in lines[1::2]] == [0.1, 0.5, 0.1, 0.3]


def test_sketches_and_shipped_curves_are_figures():
    for draw in (multitask_pictures.draw_columns, multitask_pictures.draw_alternation):
        assert isinstance(draw(), Figure)
    figure = course_picture.plot_distral()
    assert [len(ax.get_lines()) for ax in figure.axes] == [4, 4]
    assert "20 seeds" in title_of(figure)


@pytest.fixture
def explorer():
    return KLExplorer()


@pytest.mark.parametrize(("slider", "value"), [("mean", -1.0), ("width", 2.0), ("gap", 1.0)])
def test_every_slider_changes_the_picture(explorer, slider, value):
    before = explorer.picture.value
    getattr(explorer, slider).value = value
    assert explorer.picture.value != before
    ElementTree.fromstring(explorer.picture.value)


def test_the_forward_kl_covers_and_the_reverse_one_seeks(explorer):
    ((forward, mean, width),) = explorer.landscape.minima(0)
    assert mean == pytest.approx(0.0, abs=1e-9)  # the moments of p
    assert width == pytest.approx(math.sqrt(4.0 + kl_svg.BUMP**2), abs=0.06)
    assert forward == pytest.approx(0.56, abs=0.01)
    reverse = explorer.landscape.minima(1)
    assert [round(mean, 2) for _, mean, _ in reverse] == [-2.0, 2.0]
    assert all(kl == pytest.approx(math.log(2.0), abs=2e-3) for kl, _, _ in reverse)


def test_without_a_gap_both_agree_and_find_p():
    landscape = KLExplorer(gap=0.0).landscape
    for which in (0, 1):
        ((kl, mean, width),) = landscape.minima(which)
        assert (kl, mean, width) == pytest.approx((0.0, 0.0, kl_svg.BUMP), abs=1e-6)


def test_the_numbers_are_those_of_the_given_function():
    calls = []

    def counted(log_p, log_q, width):
        calls.append(log_q.shape)
        return density_kls(log_p, log_q, width)

    explorer = KLExplorer(counted, mean=2.0, width=0.6)
    shown = re.findall(r"weighted by \w: ([\d.]+) nats", explorer.svg)
    assert float(shown[1]) == pytest.approx(math.log(2.0), abs=0.01)
    assert len(calls[0]) == 3  # the maps: widths, means, points
    assert len(calls[1]) == 1  # one q


def test_the_dot_lies_on_the_cross_at_the_minimum():
    explorer = KLExplorer(mean=0.0, width=2.1)
    assert "×" not in explorer.picture.value  # who looks for the least is not told at once
    explorer.crosses.value = True
    svg = ElementTree.fromstring(explorer.picture.value)
    dot = next(svg.iter("{http://www.w3.org/2000/svg}circle"))
    cross = next(t for t in svg.iter("{http://www.w3.org/2000/svg}text") if t.text == "×")
    assert float(dot.get("cx")) == pytest.approx(float(cross.get("x")), abs=0.2)
    assert float(dot.get("cy")) + 7 == pytest.approx(float(cross.get("y")), abs=0.2)


@pytest.mark.parametrize("numbers", [{"mean": 3.5}, {"width": 0.1}, {"gap": -1.0}])
def test_a_number_off_its_slider_is_refused(numbers):
    with pytest.raises(ValueError, match="slider"):
        KLExplorer(**numbers)


@pytest.mark.parametrize(
    ("kls", "message"),
    [
        (lambda log_p, log_q, width: (log_q.sum(), log_q.sum()), "must return two tensors"),
        (lambda log_p, log_q, width: log_q.sum(-1), "got Tensor"),
        (lambda log_p, log_q, width: (log_q.sum(-1), log_q.sum(-1) * math.nan), "not finite"),
    ],
)
def test_a_function_that_cannot_be_drawn_is_refused(kls, message):
    with pytest.raises(ValueError, match=message):
        KLExplorer(kls)


def test_the_widget_leaves_a_still(explorer):
    bundle = explorer._repr_mimebundle_()
    assert "data:image/svg+xml" in bundle["text/html"]
    assert bundle["text/plain"].startswith("gap 4")
