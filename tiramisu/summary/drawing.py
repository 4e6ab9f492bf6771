"""A network's picture: its blocks with widths, sizes and strides, and what feeds what."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import nn

from tiramisu.summary.connections import INPUT, OUTPUT
from tiramisu.summary.figure_layout import LEFT, MIDDLE, RIGHT, find_lanes, place_nodes
from tiramisu.summary.figure_shapes import (
    BAR_HEIGHT,
    BOX_HEIGHT,
    COLORS,
    FAINT,
    FLOW,
    INK,
    LANE,
    SKIP,
    SMALL,
    Box,
    Ruler,
    arrow,
    draw_bar,
    draw_box,
    draw_edge,
)
from tiramisu.summary.graph import KINDS, NetworkGraph, graph_network

SUFFIXES = (".svg", ".png", ".pdf")

# Lengths are inches, from the bottom left: the axes have the size of the page.
ROW = 0.76
GAP = 1.4
MARGIN = 0.3
HEAD = 1.12
MIN_WIDTH = 3.8
LEGEND_LINE = 0.27
SWATCH = 0.26

# Points.
NAME, FACTS = 15.0, 8.5

STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": matplotlib.rcParamsDefault["font.sans-serif"],
    # Text stays text: small files, which can be searched. Random ids stay out: the same network
    # gives the same file.
    "svg.fonttype": "none",
    "svg.hashsalt": "tiramisu",
    "pdf.fonttype": 42,
}


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

    All that is drawn is read off a run of the network on the meta device, see `graph_network`.

    Args:
        model: a network of this package, or another that takes images or volumes and has a
            convolution.
        path: the file; its suffix chooses among SVG, PNG and PDF.
        height: height of the input in pixels.
        width: width of the input in pixels.
        depth: depth of the input in voxels, for networks that take volumes.
        title: the network's name; by default its class.

    Returns:
        The path.

    Raises:
        ValueError: for another suffix, a file that cannot be written, or an input of a size that
            the network cannot take.
    """
    path = Path(path)
    check_picture_path(path)
    graph = graph_network(model, height=height, width=width, depth=depth)
    with matplotlib.rc_context(STYLE):
        _write(draw_graph(graph, title=title), path)
    return path


def check_picture_path(path: Path) -> None:
    """Raise ValueError unless a picture can be put there."""
    if path.suffix.lower() not in SUFFIXES:
        came = f"its suffix is {path.suffix!r}" if path.suffix else "it has no suffix"
        raise ValueError(f"cannot draw {path}: {came}, expected one of: {', '.join(SUFFIXES)}")
    if path.is_dir() or not path.parent.is_dir():
        came = "it is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise ValueError(f"cannot write {path}: {came}; give a file in a folder that exists")


def draw_graph(graph: NetworkGraph, *, title: str | None = None) -> Figure:
    """Draw a network's graph on a page that is as large as it needs."""
    places = place_nodes(graph)
    lanes = find_lanes(graph, places)
    ruler = Ruler()
    box_width = max(map(ruler.node_width, graph.nodes))
    is_u = any(place.column == RIGHT for place in places.values())
    used = {
        column: max(
            (LANE * (2 + lane.number) for lane in lanes.values() if lane.column == column),
            default=0.0,
        )
        for column in (LEFT, RIGHT)
    }
    drawing_width = used[LEFT] + box_width + (GAP + box_width if is_u else 0.0) + used[RIGHT]
    title = title or graph.network
    texts_width = max(MIN_WIDTH, ruler.width(title, NAME, "bold"))
    page_width = max(drawing_width, texts_width) + 2 * MARGIN
    entries = _legend_entries(graph)
    entry_width = SWATCH + max(ruler.width(entry, SMALL) for entry in entries) + 0.38
    per_line = max(int((page_width - MARGIN) / entry_width), 1)
    legend = [entries[i : i + per_line] for i in range(0, len(entries), per_line)]
    rows = 1 + max(place.row for place in places.values())
    page_height = HEAD + rows * ROW + len(legend) * LEGEND_LINE + MARGIN

    figure = Figure(figsize=(page_width, page_height), dpi=150, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, page_width), ylim=(0, page_height))
    axes.axis("off")

    start = (page_width - drawing_width) / 2 + used[LEFT]
    lefts = {LEFT: start, MIDDLE: start + (box_width + GAP) / 2, RIGHT: start + box_width + GAP}
    boxes = {
        node.name: Box(
            node=node,
            column=places[node.name].column,
            left=lefts[places[node.name].column],
            bottom=page_height - HEAD - places[node.name].row * ROW - BOX_HEIGHT,
            width=box_width,
        )
        for node in graph.nodes
    }
    _draw_title(axes, graph, title, top=page_height - MARGIN)
    for edge in graph.edges:
        draw_edge(axes, edge, boxes, lane=lanes.get(edge))
    most = max(node.channels for node in graph.nodes)
    for box in boxes.values():
        draw_box(axes, box)
        if box.node.name not in (INPUT, OUTPUT):
            draw_bar(axes, box, fraction=box.node.channels / most)
    _draw_legend(axes, legend, entry_width)
    return figure


def _draw_title(axes: Axes, graph: NetworkGraph, title: str, *, top: float) -> None:
    source = graph.nodes[0]
    shape = " \u00d7 ".join(map(str, (source.channels, *source.size)))
    work = graph.multiply_adds
    amount = f"{work / 1e9:.2f} G" if work >= 1e9 else f"{work / 1e6:.1f} M"
    x = MARGIN
    axes.text(x, top, title, size=NAME, weight="bold", color=INK, va="top")
    kind = "" if title == graph.network else f"{graph.network}, "
    axes.text(x, top - 0.3, f"{kind}input {shape}", size=FACTS, color=FAINT, va="top")
    facts = f"{graph.parameters:,} parameters, {amount} multiply-adds"
    axes.text(x, top - 0.48, facts, size=FACTS, color=FAINT, va="top")


_SKIP_ENTRY = "skip connection, its channels"
_BAR_ENTRY = "bar: output channels"


def _legend_entries(graph: NetworkGraph) -> list[str]:
    kinds = [k for k in KINDS if any(node.kind == k for node in graph.nodes)]
    kinds = [kind for kind in kinds if kind not in ("input", "output")]
    return [*kinds, *([_SKIP_ENTRY] if graph.skips else []), _BAR_ENTRY]


def _draw_legend(axes: Axes, lines: Sequence[Sequence[str]], entry_width: float) -> None:
    for row, line in enumerate(lines):
        y = MARGIN + (len(lines) - 1 - row) * LEGEND_LINE
        for column, entry in enumerate(line):
            x = MARGIN + column * entry_width
            if entry == _SKIP_ENTRY:
                arrow(axes, [(x, y), (x + SWATCH, y)], SKIP)
            elif entry == _BAR_ENTRY:
                axes.add_patch(Rectangle((x, y - BAR_HEIGHT / 2), SWATCH, BAR_HEIGHT, color=FLOW))
            else:
                fill, outline = COLORS[entry]
                swatch = Rectangle((x, y - 0.06), SWATCH, 0.12, facecolor=fill, edgecolor=outline)
                axes.add_patch(swatch)
            axes.text(x + SWATCH + 0.08, y, entry, size=SMALL, color=FAINT, va="center_baseline")


def _write(figure: Figure, path: Path) -> None:
    """Write under another name first: the file is whole, or as it was."""
    part = path.with_name(f".{path.stem}-{secrets.token_hex(4)}{path.suffix}")
    # Without a date the same network gives the same file.
    dates = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    try:
        figure.savefig(part, metadata=dates.get(path.suffix.lower()))
        os.replace(part, path)
    except OSError as error:
        raise ValueError(
            f"cannot write {path} ({error.strerror}); give a folder that is writable"
        ) from None
    finally:
        part.unlink(missing_ok=True)
