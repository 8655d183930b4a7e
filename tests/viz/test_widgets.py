import base64
import re
import xml.etree.ElementTree as ElementTree

import pytest

from rlcourse.envs.gridworld import MAPS
from rlcourse.viz import widgets
from rlcourse.viz.map_editor import TOOLS
from rlcourse.viz.widgets import PRIORS, SoftPolicyExplorer

VIEW = "application/vnd.jupyter.widget-view+json"
SMALL = {"small": "#######\n#S....#\n#.....#\n#....G#\n#######", "tiny": "###\n#S#\n#G#\n###"}


@pytest.fixture
def explorer():
    return SoftPolicyExplorer("small", maps=SMALL)


def click(explorer, tool, row, column):
    explorer.draw.value = True
    explorer.editor.tool.value = tool
    explorer.editor.button(row, column).click()


def test_alpha_redraws_and_buys_less_kl(explorer):
    before, kl = explorer.picture.value, explorer.frame.total_kl
    explorer.alpha.value = 1.0
    assert explorer.picture.value != before
    assert explorer.frame.alpha == pytest.approx(1.0)
    assert explorer.frame.total_kl < kl
    ElementTree.fromstring(explorer.picture.value)


def test_alpha_between_two_positions_takes_the_nearest(explorer):
    explorer.alpha.value = 0.105
    assert explorer.frame.alpha == pytest.approx(0.1)


@pytest.mark.parametrize("alpha", [10**-2.5, 10.0])
def test_alpha_at_the_ends(alpha):
    explorer = SoftPolicyExplorer("small", alpha=alpha, maps=SMALL)
    assert explorer.frame.alpha == pytest.approx(alpha)


def test_every_prior_gives_another_picture(explorer):
    pictures = set()
    for prior in PRIORS:
        explorer.prior.value = prior
        pictures.add(explorer.picture.value)
    assert len(pictures) == len(PRIORS)


@pytest.mark.parametrize("name", MAPS)
def test_every_map(name):
    explorer = SoftPolicyExplorer("open room")
    explorer.draw.value = True
    explorer.map.value = name
    assert "\n".join(explorer.grid.rows) == "\n".join(MAPS[name].split())
    pad = explorer.editor.widget.children[-1]
    assert len(pad.children) == explorer.grid.height * explorer.grid.width
    assert not explorer.message.value


@pytest.mark.parametrize(("tool", "symbol"), TOOLS.items())
def test_each_tool_draws_and_a_second_click_erases(explorer, tool, symbol):
    before = explorer.picture.value
    target = (2, 2) if symbol != "." else (0, 0)
    click(explorer, tool, *target)
    assert explorer.grid.rows[target[0]][target[1]] == symbol
    assert symbol in ".#" or explorer.editor.button(*target).description
    assert explorer.picture.value != before
    click(explorer, tool, *target)
    assert explorer.grid.rows[target[0]][target[1]] == "."


def test_a_new_start_takes_the_place_of_the_old_one(explorer):
    click(explorer, "start", 3, 3)
    assert "".join(explorer.grid.rows).count("S") == 1
    assert explorer.grid.rows[1][1] == "."


def test_the_learned_prior_follows_the_drawn_map(explorer):
    explorer.prior.value = "learned from other tasks"
    before = explorer.frame.objective
    click(explorer, "wall", 2, 3)
    assert explorer.frame.objective != before


def test_reset_brings_the_map_back(explorer):
    rows = explorer.grid.rows
    click(explorer, "wall", 2, 2)
    explorer.editor.reset.click()
    assert explorer.grid.rows == rows


def test_without_a_goal_the_policy_is_the_prior_and_the_widget_says_so(explorer):
    click(explorer, "floor", 3, 5)
    assert explorer.frame.total_kl == pytest.approx(0.0, abs=1e-9)
    assert "No goal can be reached" in explorer.message.value


def test_an_edit_that_leaves_no_floor_is_refused():
    explorer = SoftPolicyExplorer("tiny", maps=SMALL)
    picture = explorer.picture.value
    click(explorer, "wall", 1, 1)
    assert "keep one floor cell" in explorer.editor.message.value
    assert explorer.grid.rows[1] == "#S#"
    assert explorer.editor.grid == explorer.grid
    assert explorer.picture.value == picture
    click(explorer, "floor", 1, 1)  # a start that becomes floor is still one
    assert not explorer.editor.message.value


def test_a_prior_that_does_not_exist_on_a_map_is_refused():
    explorer = SoftPolicyExplorer("tiny", maps=SMALL)
    explorer.prior.value = "learned from other tasks"
    assert explorer.prior.value == "uniform"
    assert "no other task" in explorer.message.value
    explorer.map.value = "small"
    explorer.prior.value = "learned from other tasks"
    explorer.map.value = "tiny"
    assert explorer.map.value == "small"
    assert explorer.grid.rows == tuple(SMALL["small"].split())
    assert "no other task" in explorer.message.value


@pytest.mark.parametrize(
    "bad", [{"map_name": "moon"}, {"prior": "mine"}, {"alpha": 0.0}, {"alpha": 100.0}]
)
def test_bad_arguments(bad):
    with pytest.raises(ValueError, match=str(next(iter(bad.values())))):
        SoftPolicyExplorer(**bad)


def test_one_bundle_with_view_picture_and_words(explorer):
    bundle = explorer._repr_mimebundle_()
    assert set(bundle) == {VIEW, "text/html", "text/plain"}
    assert bundle[VIEW]["model_id"] == explorer.widget.model_id
    assert "objective" in bundle["text/plain"]
    encoded = re.search(r'base64,([^"]+)"', bundle["text/html"]).group(1)
    root = ElementTree.fromstring(base64.b64decode(encoded))
    words = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert words.count("objective") == 3
    assert set(explorer._repr_mimebundle_(include={"text/plain"})) == {"text/plain"}
    assert VIEW not in explorer._repr_mimebundle_(exclude={VIEW})


def test_show_displays_the_bundle_once(explorer, monkeypatch):
    shown = []
    monkeypatch.setattr(widgets, "display", lambda data, raw: shown.append((data, raw)))
    explorer.show()
    assert [(set(data), raw) for data, raw in shown] == [({VIEW, "text/html", "text/plain"}, True)]


def test_the_pad_is_made_when_it_is_opened(explorer):
    pad = explorer.editor.widget.children[-1]
    assert not pad.children
    explorer.draw.value = True
    assert explorer.editor.is_open
    explorer.draw.value = False
    assert not explorer.editor.is_open
    assert pad.children
