"""A network's picture: its parts with widths, sizes and strides, and which reads which."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from matplotlib.path import Path as Line
from torch import nn

from tiramisu.atomic import write_then_rename
from tiramisu.summary.figure_layout import LEFT, MIDDLE, RIGHT, find_lanes, place_parts
from tiramisu.summary.network_parts import BLOCKS, Part, by
from tiramisu.summary.tables import Summary, graph_network

Point = tuple[float, float]
SUFFIXES = (".svg", ".png", ".pdf")

COLORS = {
    "convolution": "#7a5cb8",
    "dense block": "#2f6fb3",
    "transition down": "#d9822b",
    "transition up": "#2f9e58",
    "pooling": "#cf5c5c",
    "upsampling": "#1f9a98",
    "linear": "#b04a93",
    "module": "#55707a",
}
INK, FAINT, ARROW, SKIP = "#1f2937", "#4b5563", "#6b7280", "#2f6fb3"

# In inches; BOLD_LETTER and LETTER are mean widths of a letter.
BOX, ROW, GAP, LANE = 0.52, 0.76, 1.4, 0.16
MARGIN, PADDING, HEAD, BOLD_LETTER, LETTER = 0.3, 0.13, 1.28, 0.082, 0.069

# Points.
TITLE, BOLD, SMALL = 15.0, 9.5, 8.0

# Text stays text, for small files. Without random names the same network gives the same file.
STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "tiramisu"}


def draw_network(
    model: nn.Module,
    path: str | Path,
    *,
    height: int,
    width: int,
    depth: int | None = None,
    title: str | None = None,
) -> Path:
    """Draw a network as one figure and write it. An existing file is replaced.

    Args:
        model: a network as for `summarize`; height, width and depth are those of its input.
        path: the file; its suffix chooses among SVG, PNG and PDF.
        title: the network's name; by default its class.

    Returns:
        The path.

    Raises:
        ValueError: another suffix, no such folder, or a size that the network cannot take.
        OSError: the file cannot be written.
    """
    path = Path(path)
    check_picture_path(path)
    graph = graph_network(model, height=height, width=width, depth=depth)
    # Without a date the same network gives the same file.
    dates = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    with style.context(["default", STYLE]), write_then_rename(path) as part:
        draw_graph(graph, title=title).savefig(part, metadata=dates.get(path.suffix.lower()))
    return path


def check_picture_path(path: Path) -> None:
    """Raise ValueError unless a picture can be put there."""
    if path.suffix.lower() not in SUFFIXES or path.is_dir() or not path.parent.is_dir():
        raise ValueError(
            f"cannot draw {path}; expected a file in a folder that exists, with one of the "
            f"suffixes {', '.join(SUFFIXES)}"
        )


def draw_graph(graph: Summary, *, title: str | None = None) -> Figure:
    """Draw a network's graph on a page that is as large as it needs. Lengths are inches."""
    title = title or graph.network
    places = place_parts(graph)
    lanes = find_lanes(graph, places)
    parts = [part for part in graph.parts if part.name in places]
    channels = {part.name: part.channels for part in parts}
    columns, rows = zip(*places.values(), strict=True)
    # An estimate: the program that shows an SVG chooses the font.
    lines = [line for part in parts for line in _describe(part)]
    box_width = 2 * PADDING + max(BOLD_LETTER * len(a) + LETTER * (len(b) + 1) for a, b in lines)
    step = (box_width + GAP) / 2  # from one column to the next
    left = LANE * -min([0, *lanes.values()])
    drawing_width = left + step * max(columns) + box_width + LANE * max([0, *lanes.values()])
    page_width = 2 * MARGIN + max(drawing_width, 4, len(title) * 0.15)
    page_height = HEAD + ROW * max(rows) + BOX + MARGIN
    left += (page_width - drawing_width + box_width) / 2
    centers = {
        name: (left + step * place.column, HEAD + ROW * place.row + BOX / 2)
        for name, place in places.items()
    }
    figure = Figure(figsize=(page_width, page_height), dpi=150, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, page_width), ylim=(page_height, 0))
    axes.axis("off")
    axes.text(MARGIN, MARGIN, title, size=TITLE, weight="bold", color=INK, va="top")
    work = graph.multiply_adds
    amount = f"{work / 1e9:.2f} G" if work >= 1e9 else f"{work / 1e6:.1f} M"
    skips = "; blue arrows: skip connections" if any(edge.skip for edge in graph.edges) else ""
    facts = (
        f"{graph.network}, input {by(graph.input)}\n"
        f"{graph.parameters:,} parameters, {amount} multiply-adds\n"
        f"bars: output channels{skips}"
    )
    axes.text(MARGIN, MARGIN + 0.3, facts, size=SMALL, color=FAINT, va="top", linespacing=1.5)
    for edge in graph.edges:
        source, target = centers[edge.source], centers[edge.target]
        ends = places[edge.source].column, places[edge.target].column
        corners = _route(source, target, ends, lanes.get(edge, 0), box_width / 2)
        color = SKIP if edge.skip else ARROW
        arrow = FancyArrowPatch(path=Line(corners), arrowstyle="-|>,head_length=4,head_width=2")
        arrow.set(color=color, linewidth=1.2, joinstyle="round", zorder=1)
        axes.add_patch(arrow)
        if set(ends) == {LEFT, RIGHT}:
            x, y = (source[0] + target[0]) / 2, (source[1] + target[1]) / 2
            label = axes.text(x, y, str(channels[edge.source]), size=SMALL, weight="bold")
            label.set(color=color, ha="center", va="center", backgroundcolor="white")
    for part in parts:
        _draw_box(axes, part, centers[part.name], box_width, part.channels / max(channels.values()))
    return figure


def _describe(part: Part) -> tuple[tuple[str, str], tuple[str, str]]:
    """The two lines in a part's box: the bold words on its left, the others on its right."""
    title = part.kind if part.kind in BLOCKS.values() else part.words
    size = by(part.size) if part.stride is None else f"{by(part.size)}, stride {part.stride}"
    channels = "1 channel" if part.channels == 1 else f"{part.channels} channels"
    return (title, part.detail), (channels, size)


def _route(
    source: Point, target: Point, ends: tuple[int, int], lane: int, half: float
) -> list[Point]:
    """Corners of the arrow from one box to another, given their centers and half their width."""
    (x0, y0), (x1, y1) = source, target
    down = BOX / 2 if y0 < y1 else -BOX / 2
    if lane:  # past the boxes in between
        side = half if lane > 0 else -half
        x = (max(x0, x1) if lane > 0 else min(x0, x1)) + side + LANE * lane
        return [(x0 + side, y0 + 0.1), (x, y0 + 0.1), (x, y1 - 0.1), (x1 + side, y1 - 0.1)]
    if ends[0] == ends[1]:
        return [(x0, y0 + down), (x1, y1 - down)]
    if ends[1] == MIDDLE:
        return [(x0, y0 + down), (x0, y1), (x1 - half, y1)]
    if ends[0] == MIDDLE:
        return [(x0 + half, y0), (x1, y0), (x1, y1 - down)]
    return [(x0 + half, y0), (x1 - half, y1)]


def _draw_box(axes: Axes, part: Part, center: Point, width: float, bar: float) -> None:
    """Draw a part's box with its texts, and along its lower edge a bar of this relative length."""
    color = COLORS.get(part.kind, ARROW)
    left, top = center[0] - width / 2, center[1] - BOX / 2
    box = FancyBboxPatch((left, top), width, BOX, boxstyle="round,pad=0,rounding_size=0.06")
    axes.add_patch(box)
    box.set(facecolor=(color, 0.15), edgecolor=color, linewidth=1.1)
    left, inner = left + PADDING, width - 2 * PADDING
    axes.add_patch(Rectangle((left, top + BOX - 0.09), inner * bar, 0.04, color=color))
    first, second = _describe(part)
    for (bold, normal), y, size, ink in ((first, 0.16, BOLD, INK), (second, 0.33, SMALL, color)):
        place: Any = {"y": top + y, "va": "center_baseline"}
        axes.text(left, s=bold, size=size, weight="bold", color=ink, **place)
        axes.text(left + inner, s=normal, size=SMALL, color=FAINT, ha="right", **place)
