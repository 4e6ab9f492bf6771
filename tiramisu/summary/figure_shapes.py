"""The shapes of a network's picture: boxes, bars, arrows. Lengths are inches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from matplotlib.path import Path as Line

from tiramisu.summary.figure_layout import MIDDLE, RIGHT, Lane
from tiramisu.summary.graph import Edge, Node

COLORS = {
    "input": ("#ffffff", "#6b7280"),
    "convolution": ("#ece7f6", "#7a5cb8"),
    "dense block": ("#dbe9f8", "#2f6fb3"),
    "transition down": ("#fdebd3", "#d9822b"),
    "transition up": ("#dcf1e1", "#2f9e58"),
    "pooling": ("#fbe0e0", "#cf5c5c"),
    "upsampling": ("#d9f2f1", "#1f9a98"),
    "linear": ("#f6e3f1", "#b04a93"),
    "module": ("#e6ecee", "#55707a"),
    "output": ("#ffffff", "#6b7280"),
}
"""Fill and outline of each kind; the bar that shows a width has the outline's colour."""

INK, FAINT, FLOW, SKIP = "#1f2937", "#4b5563", "#6b7280", "#2f6fb3"

BOX_HEIGHT = 0.52
BAR_HEIGHT = 0.055
PADDING = 0.13
LANE = 0.16

# Points.
BOLD, SMALL = 9.5, 8.0


@dataclass(frozen=True, kw_only=True)
class Box:
    """A node on the page."""

    node: Node
    column: int
    left: float
    bottom: float
    width: float

    @property
    def x(self) -> float:
        return self.left + self.width / 2

    @property
    def y(self) -> float:
        return self.bottom + BOX_HEIGHT / 2

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def top(self) -> float:
        return self.bottom + BOX_HEIGHT


class Ruler:
    """How wide texts are, in inches."""

    def __init__(self) -> None:
        self._dpi = 150
        self._renderer = FigureCanvasAgg(Figure(dpi=self._dpi)).get_renderer()  # type: ignore[no-untyped-call]

    def width(self, text: str, size: float, weight: str = "normal") -> float:
        font = FontProperties(size=size, weight=weight)
        pixels, _, _ = self._renderer.get_text_width_height_descent(text, font, False)
        return float(pixels) / self._dpi

    def node_width(self, node: Node) -> float:
        """A box around the node's texts."""
        first = self.width(node.title, BOLD, "bold") + self.width(node.detail, SMALL)
        second = self.width(_channels(node), SMALL, "bold") + self.width(_size(node), SMALL)
        return max(first, second) + 0.22 + 2 * PADDING


def _channels(node: Node) -> str:
    return f"{node.channels} channels" if node.channels != 1 else "1 channel"


def _size(node: Node) -> str:
    """Sides and stride: "180 x 240, stride 2"."""
    size = " \u00d7 ".join(map(str, node.size))
    return size if node.stride is None else f"{size}, stride {node.stride}"


def draw_box(axes: Axes, box: Box) -> None:
    """Draw the box of a part with its texts."""
    node = box.node
    fill, outline = COLORS[node.kind]
    axes.add_patch(_frame(box, facecolor=fill, edgecolor=outline, linewidth=1.1, zorder=2))
    left, right = box.left + PADDING, box.right - PADDING
    first, second = box.bottom + 0.68 * BOX_HEIGHT, box.bottom + 0.32 * BOX_HEIGHT
    style: dict[str, Any] = {"va": "center_baseline", "zorder": 4}
    axes.text(left, first, node.title, size=BOLD, weight="bold", color=INK, **style)
    axes.text(right, first, node.detail, size=SMALL, color=FAINT, ha="right", **style)
    axes.text(left, second, _channels(node), size=SMALL, weight="bold", color=outline, **style)
    axes.text(right, second, _size(node), size=SMALL, color=FAINT, ha="right", **style)


def draw_bar(axes: Axes, box: Box, *, fraction: float) -> None:
    """A bar along the lower edge whose length is the width of the features."""
    bar = Rectangle((box.left, box.bottom), box.width * fraction, BAR_HEIGHT, zorder=3)
    bar.set(facecolor=COLORS[box.node.kind][1], edgecolor="none")
    axes.add_patch(bar)
    bar.set_clip_path(_frame(box, transform=axes.transData))


def _frame(box: Box, **style: Any) -> FancyBboxPatch:
    corners = "round,pad=0,rounding_size=0.06"
    return FancyBboxPatch((box.left, box.bottom), box.width, BOX_HEIGHT, boxstyle=corners, **style)


def draw_edge(axes: Axes, edge: Edge, boxes: Mapping[str, Box], *, lane: Lane | None) -> None:
    """Draw the arrow from one part to another, around others where there is a lane."""
    source, target = boxes[edge.source], boxes[edge.target]
    color = SKIP if edge.skip else FLOW
    if lane is not None:
        arrow(axes, _around(source, target, lane), color)
    elif source.column == target.column:
        down = source.bottom > target.bottom
        ends = (source.bottom, target.top) if down else (source.top, target.bottom)
        arrow(axes, [(source.x, ends[0]), (target.x, ends[1])], color)
    elif target.column == MIDDLE:
        arrow(
            axes, [(source.x, source.bottom), (source.x, target.y), (target.left, target.y)], color
        )
    elif source.column == MIDDLE:
        corner = (target.x, source.y)
        arrow(axes, [(source.right, source.y), corner, (target.x, target.bottom)], color)
    else:
        arrow(axes, [(source.right, source.y), (target.left, target.y)], color)
        if source.y == target.y:
            _label(axes, (source.right + target.left) / 2, source.y, f"{edge.channels}", color)


def _around(source: Box, target: Box, lane: Lane) -> list[tuple[float, float]]:
    """Past the boxes in between, on the outer side of the column."""
    if lane.column == RIGHT:
        start, end = source.right, target.right
        x = max(start, end) + LANE * (1 + lane.number)
    else:
        start, end = source.left, target.left
        x = min(start, end) - LANE * (1 + lane.number)
    leave, enter = source.y - 0.1, target.y + 0.1
    return [(start, leave), (x, leave), (x, enter), (end, enter)]


def _label(axes: Axes, x: float, y: float, text: str, color: str) -> None:
    """Text in the middle of an arrow, which passes behind it."""
    ground = {"facecolor": "white", "edgecolor": "none", "pad": 2}
    style: dict[str, Any] = {"ha": "center", "va": "center", "bbox": ground, "zorder": 1.5}
    axes.text(x, y, text, size=SMALL, weight="bold", color=color, **style)


def arrow(axes: Axes, points: list[tuple[float, float]], color: str) -> None:
    """Draw an arrow along points."""
    patch = FancyArrowPatch(
        path=Line(points),
        arrowstyle="-|>,head_length=4,head_width=2",
        color=color,
        linewidth=1.2,
        joinstyle="round",
        shrinkA=0,
        shrinkB=0,
        zorder=1,
    )
    axes.add_patch(patch)
