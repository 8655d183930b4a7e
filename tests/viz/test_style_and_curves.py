import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import is_color_like
from matplotlib.figure import Figure

from rlcourse.viz import curves, style

X = np.arange(5) * 10
LABELS = {"x_label": "episodes", "y_label": "return (reward)"}


@pytest.fixture
def ax():
    return Figure().subplots()


def test_use_style_changes_the_defaults_and_roles_are_colors():
    with mpl.rc_context():
        mpl.rcdefaults()
        style.use_style()
        assert not mpl.rcParams["axes.spines.top"]
        assert mpl.rcParams["font.sans-serif"] == ["DejaVu Sans"]
    assert all(is_color_like(color) for color in style.PALETTE.values())


def test_color_scales_are_steady_in_lightness():
    maps = [mpl.colormaps[style.VALUE_COLORMAP], style.visit_colormap(), style.cost_colormap()]
    for colormap in maps:
        gray = colormap(np.linspace(0, 1, 50))[:, :3] @ [0.299, 0.587, 0.114]
        steps = np.diff(gray)
        assert (steps > 0).all() or (steps < 0).all(), colormap.name


def test_mean_and_band_of_several_runs(ax):
    runs = np.stack([X * 1.0, X * 3.0])
    line = curves.plot_curves(ax, X, runs, "twice", "ours", **LABELS)
    np.testing.assert_allclose(line.get_ydata(), X * 2.0)
    assert line.get_color() == style.PALETTE["ours"]
    assert ax.get_xlabel() == "episodes"
    assert len(ax.collections) == 1


def test_a_single_run_is_only_a_line(ax):
    curves.plot_curves(ax, X, X * 1.0, "one", "tab:red", **LABELS)
    assert len(ax.lines) == 1
    assert not ax.collections


def test_the_reference_stays_visible_where_a_run_covers_it(ax):
    ours = curves.plot_curves(ax, X, X, "ours", "ours", **LABELS)
    reference = curves.plot_reference(ax, X, X, X - 1, X + 1, "shipped (20 seeds)")
    assert reference.get_zorder() > ours.get_zorder()
    assert reference.get_linewidth() < ours.get_linewidth()
    assert reference.is_dashed()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"runs": np.ones((2, 4))}, r"\[R, T\]"),
        ({"runs": np.ones((2, 2, 5))}, r"\[R, T\]"),
        ({"runs": np.array([[1, 2, np.nan, 4, 5]])}, "nan at x = 20"),
        ({"label": " "}, "label"),
        ({"x_label": ""}, "unit"),
        ({"runs": np.ones((2, 5)), "interval": 1.0}, "level"),
    ],
)
def test_bad_curves_are_refused(ax, change, message):
    arguments = {"x": X, "runs": np.ones(5), "label": "a", "color": "ours", **LABELS}
    with pytest.raises(ValueError, match=message):
        curves.plot_curves(ax, **{**arguments, **change})


def test_a_band_that_is_known_and_labels_inside_a_subfigure():
    ax = Figure().subfigures(1, 2)[0].subplots()
    line = curves.plot_band(ax, X, X, X - 1, X + 1, "known", "expert")
    assert line.get_color() == style.PALETTE["expert"]
    curves.label_lines(ax)
    assert [text.get_text() for text in ax.texts] == ["known"]


def test_direct_labels_do_not_overlap(ax):
    for end in (1.0, 1.001, 1.002, 0.0):
        ax.plot([0, 1], [0, end], label=f"ends at {end}")
    curves.label_lines(ax)
    ax.figure.draw_without_rendering()
    boxes = sorted((text.get_window_extent() for text in ax.texts), key=lambda box: box.y0)
    assert len(boxes) == 4
    assert all(lower.y1 <= upper.y0 for lower, upper in zip(boxes, boxes[1:], strict=False))


def test_labels_without_lines_do_nothing(ax):
    curves.label_lines(ax)
    assert not ax.texts
