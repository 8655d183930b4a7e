import numpy as np
import pytest
import torch
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from rlcourse.envs.gridworld import ACTIONS, Gridworld
from rlcourse.viz import grids

GRID = Gridworld.from_ascii("S.X\n..G")
S = len(GRID.cells)


@pytest.fixture
def ax():
    return Figure().subplots()


def collections(ax, kind):
    return [drawn for drawn in ax.collections if isinstance(drawn, kind)]


def test_map_has_symbols_in_different_shapes(ax):
    grids.draw_grid(ax, GRID)
    assert {"_goal", "_pit"} <= {patch.get_label() for patch in ax.patches}
    assert any(isinstance(patch, Circle) for patch in ax.patches)
    assert ax.get_ylim() == (2.0, 0.0)


def test_map_without_symbols(ax):
    grids.draw_grid(ax, GRID, symbols=False)
    assert not any(isinstance(patch, Circle) for patch in ax.patches)


def test_policy_draws_one_arrow_per_likely_move(ax):
    policy = torch.tensor([[0.5, 0.49, 0.01, 0.0]]).repeat(S, 1)
    grids.draw_policy(ax, GRID, policy)
    (arrows,) = collections(ax, PolyCollection)
    assert len(arrows.get_paths()) == 2 * (S - 2)  # none in the goal and the pit


@pytest.mark.parametrize("action", range(4))
def test_arrows_point_where_the_move_goes(action):
    corners = grids.arrow_outline(3, 5, action, 0.6)
    tip = corners[3] - [5.5, 3.5]
    expected = {"up": (0, -1), "right": (1, 0), "down": (0, 1), "left": (-1, 0)}
    np.testing.assert_allclose(tip / np.abs(tip).max(), expected[ACTIONS[action]], atol=1e-9)
    assert np.abs(corners - [5.5, 3.5]).max() < 0.5


def test_arrows_grow_with_probability():
    lengths = [
        np.ptp(grids.arrow_outline(0, 0, 1, probability)[:, 0])
        for probability in (0.05, 0.25, 0.5, 0.8, 1.0)
    ]
    assert lengths == sorted(lengths)
    assert grids.arrow_opacity(0.1) < grids.arrow_opacity(0.9) <= 1.0


def test_values_and_visitation_have_named_color_bars(ax):
    figure = Figure()
    left, right = figure.subplots(1, 2)
    grids.draw_values(left, GRID, torch.linspace(0, 1, S))
    grids.draw_visitation(right, GRID, np.zeros(S))
    names = [axes.get_xlabel() for axes in figure.axes[2:]]
    assert names == ["value V(s)", "visitation d(s)"]


def test_path(ax):
    grids.draw_grid(ax, GRID)
    grids.draw_path(ax, GRID, [0, 3, 4])
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[0.5, 0.5], [0.5, 1.5], [1.5, 1.5]])


def test_wrong_shapes_are_refused(ax):
    with pytest.raises(ValueError, match="one number per state"):
        grids.draw_values(ax, GRID, np.zeros(S + 1))
    with pytest.raises(ValueError, match="one number per state"):
        grids.draw_visitation(ax, GRID, np.zeros((S, 1)))
    with pytest.raises(ValueError, match=r"\[S, A\]"):
        grids.draw_policy(ax, GRID, np.full((S, 3), 1 / 3))
    with pytest.raises(ValueError, match=r"log_policy.exp\(\)"):
        grids.draw_policy(ax, GRID, np.log(np.full((S, 4), 0.25)))
