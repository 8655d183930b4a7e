"""The widget of notebook 03: what it computes, what it draws, and that the slider moves it."""

import base64
import re
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from rlcourse.ops.dual import sample_weights, temperature_loss
from rlcourse.viz import estep_widget
from rlcourse.viz.estep_widget import COUNTS, EStepExplorer

VIEW = "application/vnd.jupyter.widget-view+json"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def explorer():
    return EStepExplorer()


@pytest.mark.parametrize("count", COUNTS)
def test_the_dual_is_least_where_the_kl_meets_the_bound(explorer, count):
    explorer.count.value = count
    curves = explorer.curves
    best = int(curves.dual.argmin())
    assert 0 < best < len(explorer.etas) - 1
    # KL falls with eta, and crosses epsilon next to the minimum.
    assert (np.diff(curves.kl) < 1e-9).all()
    assert curves.kl[best - 1] > explorer.epsilon > curves.kl[best + 1]


def test_few_samples_count_when_cold_and_all_when_hot(explorer):
    explorer.slider.value = 0.01
    assert explorer.effective == pytest.approx(1.0, abs=0.01)
    explorer.slider.value = 10.0
    assert explorer.effective == pytest.approx(20.0, abs=0.1)


def test_many_samples_have_the_mean_of_the_tilted_density(explorer):
    means = []
    for count in COUNTS:
        explorer.count.value = count
        found = re.search(r"mean action: (\S+) by .* (\S+) by the tilted", explorer.svg)
        means.append([float(number) for number in found.groups()])
    (few, tilted), (many, same) = means
    assert tilted == same == pytest.approx(0.66, abs=0.005)
    assert abs(many - tilted) < 0.02 < abs(few - tilted)


def test_each_position_of_the_slider_gives_another_picture(explorer):
    pictures = set()
    for eta in (0.01, 0.1, 1.0):
        explorer.slider.value = eta
        pictures.add(explorer.picture.value)
    explorer.count.value = COUNTS[1]
    pictures.add(explorer.picture.value)
    assert len(pictures) == 4


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("eta", [0.01, 0.2, 10.0])
def test_the_picture_is_well_formed_and_shows_every_sample(explorer, count, eta):
    explorer.count.value, explorer.slider.value = count, eta
    root = ElementTree.fromstring(explorer.picture.value)
    discs = list(root.iter(f"{SVG}circle"))
    assert len(discs) == count + 2  # and a dot on each curve
    area = sum(float(disc.get("r")) ** 2 for disc in discs[:count])
    assert area >= 15.0**2 * 0.9  # all weights together
    words = " ".join(text.text for text in root.iter(f"{SVG}text"))
    assert f"of {count} samples count" in words
    assert f"η = {eta:.3g}" in words


def test_the_learners_functions_are_what_is_drawn():
    seen = []

    def weights(q, temperature):
        seen.append(q.shape)
        assert isinstance(temperature, torch.Tensor)
        return torch.full_like(q, 1.0 / len(q))

    explorer = EStepExplorer(weights, temperature_loss)
    assert set(seen) == {(20, 1)}
    assert np.allclose(explorer.curves.kl, 0.0)
    assert explorer.effective == pytest.approx(20.0)
    plain = EStepExplorer(sample_weights, lambda q, eta, epsilon: q.sum(0))
    assert np.ptp(plain.curves.dual) == 0.0


def test_moving_the_slider_computes_nothing_anew():
    calls = []

    def weights(q, temperature):
        calls.append(None)
        return sample_weights(q, temperature)

    explorer = EStepExplorer(weights)
    before = len(calls)
    explorer.slider.value = 1.0
    assert len(calls) == before


def test_one_bundle_with_view_picture_and_words(explorer, monkeypatch):
    bundle = explorer._repr_mimebundle_()
    assert set(bundle) == {VIEW, "text/html", "text/plain"}
    assert bundle[VIEW]["model_id"] == explorer.widget.model_id
    encoded = re.search(r'base64,([^"]+)"', bundle["text/html"]).group(1)
    ElementTree.fromstring(base64.b64decode(encoded))
    assert "KL" in bundle["text/plain"]
    shown = []
    monkeypatch.setattr(estep_widget, "display", lambda data, raw: shown.append((set(data), raw)))
    explorer.show()
    assert shown == [(set(bundle), True)]


@pytest.mark.parametrize(
    ("bad", "says"), [({"temperature": 100.0}, "100.0"), ({"epsilon": 0.0}, "epsilon")]
)
def test_bad_arguments(bad, says):
    with pytest.raises(ValueError, match=says):
        EStepExplorer(**bad)
