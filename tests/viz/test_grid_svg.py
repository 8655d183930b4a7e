import re
import xml.etree.ElementTree as ElementTree

import pytest
import torch
from matplotlib import colormaps
from matplotlib.colors import to_hex

from rlcourse.envs.gridworld import MAPS, Gridworld
from rlcourse.klrl.grid_priors import along_walls
from rlcourse.klrl.tabular import soft_value_iteration, start_value
from rlcourse.viz.grid_svg import HIGHEST_KL, HIGHEST_VALUE, HIGHEST_VISITS, Frame, picture
from rlcourse.viz.soft_sweep import Sweep, soft_sweep
from rlcourse.viz.style import VALUE_COLORMAP, cost_colormap, visit_colormap

TAG = "{http://www.w3.org/2000/svg}"
ALPHAS = torch.tensor([0.01, 0.1, 10.0], dtype=torch.float64)


def sweep_of(grid):
    return soft_sweep(grid.mdp(), along_walls(grid), ALPHAS, 0.95)


def frames_of(grid):
    sweep = sweep_of(grid)
    return [Frame.of(sweep, index) for index in range(len(ALPHAS))]


@pytest.mark.parametrize("name", MAPS)
def test_picture_is_well_formed_and_described(name):
    grid = Gridworld.named(name)
    root = ElementTree.fromstring(picture(grid, frames_of(grid), label='a < b & "c"'))
    assert root.tag == f"{TAG}svg"
    assert root.get("role") == "img"
    assert root.get("aria-label") == 'a < b & "c"'
    words = [text.text for text in root.iter(f"{TAG}text")]
    assert words[0] == "Policy"
    assert words.count("objective") == len(ALPHAS)
    assert not any(element.get("id") for element in root.iter())


def test_symbols_and_tooltips():
    grid = Gridworld.from_ascii("S.X\n..G")
    (frame, *_) = frames_of(grid)
    plain = ElementTree.fromstring(picture(grid, [frame], label="x"))
    assert len(list(plain.iter(f"{TAG}polygon"))) == 3  # the goal, in each panel
    assert len(list(plain.iter(f"{TAG}circle"))) == 6  # the start, edge and ring
    assert not list(plain.iter(f"{TAG}title"))
    rich = ElementTree.fromstring(picture(grid, [frame], label="x", tooltips=True))
    notes = [title.text for title in rich.iter(f"{TAG}title")]
    assert len(notes) == 3 * len(grid.cells)
    assert "KL" in notes[0]


def fills(panel):
    """The color of each cell of a panel, by its (row, column)."""
    found = {}
    for path in panel.find(f"{TAG}g").iter(f"{TAG}path"):
        for column, row in re.findall(r"M(\d+) (\d+)h1v1h-1z", path.get("d")):
            found[int(row), int(column)] = path.get("fill")
    return found


def test_each_panel_is_colored_by_its_own_quantity():
    grid = Gridworld.from_ascii("S..G")
    one = torch.ones(1, dtype=torch.float64)
    sweep = Sweep(
        alphas=one,
        policy=torch.full((1, 4, 4), 0.25, dtype=torch.float64),
        value=torch.tensor([[0.0, HIGHEST_VALUE, 0.0, 0.0]]).double(),
        kl=torch.tensor([[HIGHEST_KL, 0.0, 0.0, 0.0]], dtype=torch.float64),
        visits=torch.tensor([[0.0, 0.0, HIGHEST_VISITS, 0.0]]).double(),
        objective=one,
        expected_return=one,
        total_kl=one,
    )
    root = ElementTree.fromstring(picture(grid, [Frame.of(sweep, 0)], label="x"))
    panels = root.findall(f"{TAG}g")
    scales = (cost_colormap(), colormaps[VALUE_COLORMAP], visit_colormap())
    assert len(panels) == 3
    for highest, (panel, scale) in enumerate(zip(panels, scales, strict=True)):
        shades = [fills(panel)[0, column] for column in range(3)]
        assert shades == [to_hex(scale(float(column == highest))) for column in range(3)]


def test_negative_values_get_a_longer_scale_and_a_minus():
    grid = Gridworld.named("bridge")
    drawn = picture(grid, frames_of(grid), label="x", lowest_value=-0.5)
    assert "−0.5" in drawn


def test_a_picture_needs_a_solution():
    with pytest.raises(ValueError, match="at least one"):
        picture(Gridworld.from_ascii("S.G"), [], label="x")


@pytest.mark.parametrize("name", MAPS)
def test_the_sweep_takes_the_objective_apart(name):
    grid = Gridworld.named(name)
    mdp, sweep = grid.mdp(slip=0.1), soft_sweep(grid.mdp(slip=0.1), along_walls(grid), ALPHAS, 0.95)
    exact = soft_value_iteration(mdp, along_walls(grid), ALPHAS.unsqueeze(-1), 0.95)
    torch.testing.assert_close(sweep.objective, start_value(mdp, exact.value), atol=1e-4, rtol=0.0)
    torch.testing.assert_close(sweep.objective, sweep.expected_return - ALPHAS * sweep.total_kl)
    assert (sweep.visits >= 0.0).all()
    assert (sweep.total_kl.diff() <= 1e-9).all()  # a dearer KL is never bought more of
