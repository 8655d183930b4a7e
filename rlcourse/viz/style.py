"""One visual style for the whole course. Importing has no effect; `use_style` is the only one.

The colors are those of Okabe and Ito (2008), which readers with any common color vision deficiency
can tell apart. They are named by role, so that a color means the same in every notebook.
"""

from collections.abc import Mapping
from types import MappingProxyType

import matplotlib as mpl
from matplotlib.colors import Colormap, LinearSegmentedColormap

PALETTE: Mapping[str, str] = MappingProxyType(
    {
        # Curves
        "ours": "#0072B2",  # the learner's own run, and the method under study
        "baseline": "#E69F00",
        "expert": "#009E73",
        "ablation": "#CC79A7",
        "alternative": "#56B4E9",
        "failure": "#D55E00",
        "reference": "#8A94A6",  # curves shipped with the course
        # Priors
        "learned prior": "#0072B2",
        "uniform prior": "#E69F00",
        "wall prior": "#CC79A7",
        # Maps
        "goal": "#009E73",
        "pit": "#D55E00",
        "start": "#1F2733",
        "goal cell": "#D5EFE4",
        "pit cell": "#FBE2D0",
        "wall": "#434C5E",
        "floor": "#F6F7F9",
        # Go boards
        "black stone": "#20242C",
        "white stone": "#FDFDFB",
        "stone rim": "#3B3F48",
        "board wood": "#F0D9AC",
        "board line": "#8B7348",
        "next move": "#009E73",  # the expert's: what was played from a recorded position
        # Ink
        "text": "#1F2733",
        "muted": "#5F6B7C",
        "line": "#DDE2EA",
        "paper": "#FFFFFF",
    }
)

# Figure sizes in inches (width, height); 9 fills a notebook's column.
SIZES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "wide": (9.0, 3.2),
        "single": (6.0, 3.6),
    }
)

# Lightness falls or rises steadily in each, so they also read in gray.
VALUE_COLORMAP = "viridis"
_VISIT_ANCHORS = ("#F6F7F9", "#BBD9EC", "#5BA3CF", "#0072B2", "#0B3A66")
_COST_ANCHORS = ("#FFFFFF", "#FFF0CC", "#FBD27A", "#E69F00")


def visit_colormap() -> Colormap:
    """Pale to dark blue: how often a state is visited."""
    return LinearSegmentedColormap.from_list("visits", _VISIT_ANCHORS)


def cost_colormap() -> Colormap:
    """White to orange: how much a policy pays for leaving its prior; dark ink stays readable."""
    return LinearSegmentedColormap.from_list("cost", _COST_ANCHORS)


def use_style() -> None:
    """Sets matplotlib's defaults, for this session, to the style of the course."""
    mpl.rcParams.update(
        {
            "figure.figsize": SIZES["single"],
            "figure.dpi": 120,
            "savefig.dpi": 160,
            "figure.facecolor": PALETTE["paper"],
            "figure.constrained_layout.use": True,
            "font.family": "sans-serif",
            "font.sans-serif": ["DejaVu Sans"],
            "font.size": 9.5,
            "mathtext.fontset": "dejavusans",
            "text.color": PALETTE["text"],
            "axes.titlesize": 10.5,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.titlepad": 8.0,
            "axes.labelsize": 9.5,
            "axes.labelcolor": PALETTE["text"],
            "axes.edgecolor": PALETTE["muted"],
            "axes.linewidth": 0.8,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.axisbelow": True,
            "axes.grid": True,
            "axes.prop_cycle": mpl.cycler(
                color=[PALETTE[role] for role in ("ours", "baseline", "expert", "ablation")]
                + [PALETTE[role] for role in ("alternative", "failure", "reference")]
            ),
            "grid.color": PALETTE["line"],
            "grid.linewidth": 0.7,
            "xtick.color": PALETTE["muted"],
            "ytick.color": PALETTE["muted"],
            "xtick.labelcolor": PALETTE["text"],
            "ytick.labelcolor": PALETTE["text"],
            "xtick.labelsize": 8.5,
            "ytick.labelsize": 8.5,
            "xtick.major.size": 3.0,
            "ytick.major.size": 3.0,
            "lines.linewidth": 2.0,
            "lines.solid_capstyle": "round",
            "legend.frameon": False,
            "legend.fontsize": 9.0,
            "image.cmap": VALUE_COLORMAP,
            "svg.fonttype": "none",
        }
    )
