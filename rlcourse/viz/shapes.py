"""A few flat shapes, drawn alike as SVG text and by matplotlib.

A picture is a sequence of shapes, drawn in order. Lengths are in the picture's own units, y points
down, and letters are measured in the same units, so that a picture can be scaled without any text
leaving its place.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from html import escape

from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Circle as CirclePatch
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D

from rlcourse.viz.style import PALETTE

FONT = "'DejaVu Sans', Verdana, system-ui, sans-serif"
_BASELINE = 0.36  # of the size: how far a baseline lies below the middle of a digit
_SHIFTS = {"start": 0.0, "middle": 0.5, "end": 1.0}


@dataclass(frozen=True)
class Circle:
    """Around (x, y). Without a stroke where `stroke` is "none"."""

    x: float
    y: float
    radius: float
    fill: str = "none"
    stroke: str = "none"
    stroke_width: float = 0.0
    opacity: float = 1.0

    def moved(self, right: float, down: float) -> "Circle":
        return replace(self, x=self.x + right, y=self.y + down)

    def svg(self) -> str:
        place = f'cx="{self.x:.6g}" cy="{self.y:.6g}" r="{self.radius:.6g}"'
        return f"<circle {place}{_paint(self)}/>"

    def draw(self, ax: Axes, points: float) -> None:
        ax.add_patch(CirclePatch((self.x, self.y), self.radius, **_patch_paint(self, points)))


@dataclass(frozen=True)
class Box:
    """A rectangle with its top left corner at (x, y)."""

    x: float
    y: float
    width: float
    height: float
    fill: str = "none"
    stroke: str = "none"
    stroke_width: float = 0.0
    opacity: float = 1.0

    def moved(self, right: float, down: float) -> "Box":
        return replace(self, x=self.x + right, y=self.y + down)

    def svg(self) -> str:
        place = f'x="{self.x:.6g}" y="{self.y:.6g}"'
        extent = f'width="{self.width:.6g}" height="{self.height:.6g}"'
        return f"<rect {place} {extent}{_paint(self)}/>"

    def draw(self, ax: Axes, points: float) -> None:
        paint = _patch_paint(self, points)
        ax.add_patch(Rectangle((self.x, self.y), self.width, self.height, **paint))


@dataclass(frozen=True)
class Words:
    """One line of text; (x, y) is its start, middle or end, halfway up a digit."""

    x: float
    y: float
    text: str
    size: float
    color: str = PALETTE["text"]
    anchor: str = "middle"
    bold: bool = False

    def moved(self, right: float, down: float) -> "Words":
        return replace(self, x=self.x + right, y=self.y + down)

    def svg(self) -> str:
        weight = ' font-weight="bold"' if self.bold else ""
        return (
            f'<text x="{self.x:.6g}" y="{self.y + _BASELINE * self.size:.6g}" '
            f'font-size="{self.size:.6g}" fill="{self.color}" text-anchor="{self.anchor}"'
            f"{weight}>{escape(self.text)}</text>"
        )

    def draw(self, ax: Axes, points: float) -> None:
        if not self.text.strip():
            return
        font = FontProperties(family="DejaVu Sans", weight="bold" if self.bold else "normal")
        outline = TextPath((0, 0), self.text, size=self.size, prop=font, usetex=False)
        left = outline.get_extents().width * _SHIFTS[self.anchor]
        place = Affine2D().translate(-left, 0).scale(1, -1)
        place = place.translate(self.x, self.y + _BASELINE * self.size)
        path = place.transform_path(outline)
        # Snapped to pixels, the bars of small letters would vanish.
        ax.add_patch(PathPatch(path, facecolor=self.color, linewidth=0, snap=False))


Shape = Circle | Box | Words


def svg_text(shapes: Iterable[Shape], box: Box, width: float, label: str) -> str:
    """The part of the picture inside `box` as SVG, `width` pixels wide.

    It has no ids, style sheets or links, so that it can be put into a page any number of times.

    Args:
        shapes: in the order of drawing.
        box: the visible part; its paint does not count.
        width: in pixels; a narrower page shrinks the picture.
        label: what a screen reader says.
    """
    height = width * box.height / box.width
    view = f"{box.x:.6g} {box.y:.6g} {box.width:.6g} {box.height:.6g}"
    body = "".join(shape.svg() for shape in shapes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{view}" width="{width:.6g}" '
        f'height="{height:.6g}" role="img" aria-label="{escape(label)}" '
        f'font-family="{FONT}">{body}</svg>'
    )


def draw_shapes(ax: Axes, shapes: Iterable[Shape], box: Box) -> None:
    """The part of the picture inside `box` on empty axes, whose own lines and ticks are hidden."""
    ax.set_axis_off()
    ax.set_xlim(box.x, box.x + box.width)
    ax.set_ylim(box.y + box.height, box.y)
    ax.set_aspect("equal", adjustable="box")
    figure = ax.get_figure()
    if ax.get_subplotspec() is not None and figure.get_layout_engine() is not None:
        figure.draw_without_rendering()  # a layout engine places the axes only now
    ax.apply_aspect()
    points = ax.get_window_extent().width / box.width * 72 / figure.dpi
    for shape in shapes:
        shape.draw(ax, points)


def _paint(shape: Circle | Box) -> str:
    words = f' fill="{shape.fill}"'
    if shape.stroke != "none":
        words += f' stroke="{shape.stroke}" stroke-width="{shape.stroke_width:.6g}"'
    if shape.opacity < 1.0:
        words += f' opacity="{shape.opacity:.3f}"'
    return words


def _patch_paint(shape: Circle | Box, points: float) -> dict[str, object]:
    """`points`: of matplotlib, 1/72 inch, for each unit of the picture."""
    width = shape.stroke_width * points if shape.stroke != "none" else 0.0
    return {
        "facecolor": shape.fill,
        "edgecolor": shape.stroke,
        "linewidth": width,
        "alpha": None if shape.opacity >= 1.0 else shape.opacity,
        "snap": False,  # else thin lines differ in width from one to the next
    }
