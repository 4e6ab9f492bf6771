"""Web pages in one file that open without a network: templates, and pictures and figures inside.

Names of files and classes come from anywhere, so templates escape whatever is put into them. Only
the SVG of `figure_svg`, whose texts Matplotlib escapes, is marked as safe there.
"""

import base64
import functools
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from tiramisu.atomic import write_file
from tiramisu.visual import pictures
from tiramisu.visual.pictures import Picture

TEMPLATES = Path(__file__).with_name("templates")
INK, LINE = "#0a0b0c", "#0a0b0d"
"""Colors of figures that become those of the page's text and of its lines, in light and dark."""
SERIES = ("#0a0b11", "#0a0b12", "#0a0b13", "#0a0b14", "#0a0b15", "#0a0b16")
"""Colors of figures that become those of the page's first, second, ... series of data."""

NOTEBOOK_COLORS = {
    "ink": "#767b84",
    "line": "#8a8f98",
    "series-1": "#3b8bc2",
    "series-2": "#d98032",
    "series-3": "#2fa883",
    "series-4": "#cc79a7",
    "series-5": "#b09526",
    "series-6": "#7c8794",
}
"""Colors of figures in a notebook, which can be seen on light and dark paper."""

_VARIABLES = {
    INK: "var(--ink)",
    LINE: "var(--line)",
    **{color: f"var(--series-{number})" for number, color in enumerate(SERIES, start=1)},
}
# Text stays text. Without random names, the same figure gives the same file.
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.size": 8.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": LINE,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": LINE,
}
_NO_METADATA: dict[str, Any] = dict.fromkeys(("Date", "Creator", "Format", "Type"))


def render_page(template: str, values: Mapping[str, object]) -> str:
    """The HTML of a page.

    Args:
        template: a file in `TEMPLATES`, which extends `base.html`.
        values: what it uses, by name.
    """
    return _environment().get_template(template).render(values)


def write_page(path: Path, template: str, values: Mapping[str, object]) -> None:
    """Write a page; see `render_page`. Raises OSError if the file cannot be written."""
    write_file(path, render_page(template, values))


@functools.cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@dataclass(frozen=True, kw_only=True)
class ShownPicture:
    """A picture of a page."""

    address: str
    """It holds the picture."""
    alt: str
    """What it shows, in words."""


def data_uri(picture: Picture, *, longest: int = 320, quality: int | None = 82) -> str:
    """A picture as an address that holds it, as WebP.

    Args:
        picture: RGB, uint8 (H, W, 3).
        longest: its longer side in pixels at most; a larger picture is shrunk.
        quality: 1 to 100; None loses nothing, and suits the flat colors of classes.
    """
    content = io.BytesIO()
    lossless = quality is None
    Image.fromarray(shrink(picture, longest=longest)).save(
        content, "WEBP", quality=70 if quality is None else quality, lossless=lossless
    )
    return f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode()}"


def shrink(picture: Picture, *, longest: int) -> Picture:
    """A picture whose longer side has at most so many pixels."""
    height, width = picture.shape[:2]
    factor = longest / max(height, width)
    if factor >= 1:
        return picture
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return pictures.resize(picture, size)


def new_axes(*, width: float = 3.4, height: float = 2.0) -> tuple[Figure, Axes]:
    """An empty figure for a page, and its axes, with the page's colors.

    Args:
        width, height: in inches. The usual width can be read on a phone.
    """
    with style.context(["default", _STYLE]):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=2)
    return figure, axes


def add_legend(axes: Axes) -> None:
    """A legend in the page's colors, whose texts may have any letters."""
    legend = axes.legend(fontsize=8, frameon=False, labelcolor=INK)
    for text in legend.get_texts():
        text.set_parse_math(False)


def legend_text(name: str) -> str:
    """A name for a legend; Matplotlib leaves out those that begin with a line."""
    return f" {name}" if name.startswith("_") else name


def hex_color(color: Sequence[int]) -> str:
    """An RGB color as pages write it."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def figure_svg(figure: Figure, *, title: str) -> str:
    """A figure of `new_axes` as an SVG element, without any address.

    Args:
        figure: the figure.
        title: what it shows, for people who hear the page; different for each figure of a page.
    """
    content = io.StringIO()
    # The title makes the ids of the parts of one figure differ from those of another.
    with style.context(["default", {**_STYLE, "svg.hashsalt": title}]):
        figure.savefig(content, format="svg", transparent=True, metadata=_NO_METADATA)
    svg = content.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg)
    for color, variable in _VARIABLES.items():
        svg = svg.replace(color, variable)
    label = _environment().from_string("{{ title }}").render(title=title)
    return svg.replace("<svg", f'<svg class="figure" role="img" aria-label="{label}"', 1)


def figure_image(svg: str, *, height: str = "14rem") -> str:
    """A figure of `figure_svg` as an image for a notebook.

    A notebook has no style sheet of ours, and JupyterLab shows no SVG element in a notebook that
    comes from somebody else: only the texts in it.

    Args:
        svg: the figure.
        height: of the image, as CSS.
    """
    for name, color in NOTEBOOK_COLORS.items():
        svg = svg.replace(f"var(--{name})", color)
    label = re.search(r'aria-label="([^"]*)"', svg)
    assert label is not None, "figure_svg has written it"
    names = ' xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    content = base64.b64encode(svg.replace("<svg", f"<svg{names}", 1).encode()).decode()
    address = f"data:image/svg+xml;base64,{content}"
    return f'<img src="{address}" alt="{label[1]}" style="height: {height}">'


def plot_histograms(
    values: Mapping[str, Sequence[float]], *, label: str, title: str, most_bins: int = 30
) -> str:
    """How values are distributed, one outline for each group, as an SVG element.

    Args:
        values: of each group, by its name; not finite ones are left out.
        label: what they are, below the axis.
        title: as in `figure_svg`.
        most_bins: number of bins at most.
    """
    finite = {name: np.asarray(group)[np.isfinite(group)] for name, group in values.items()}
    finite = {name: group for name, group in finite.items() if len(group)}
    figure, axes = new_axes()
    if finite:
        every = np.concatenate(list(finite.values()))
        count = max(5, min(most_bins, round(2 * len(every) ** 0.5)))
        bins = np.histogram_bin_edges(every, bins=count).tolist()
        for (name, group), color in zip(finite.items(), SERIES, strict=False):
            shares = 100 * np.histogram(group, bins)[0] / len(group)
            axes.stairs(shares, bins, color=color, alpha=0.2, fill=True)
            axes.stairs(shares, bins, color=color, lw=1.5, label=legend_text(name))
        add_legend(axes)
    axes.set(xlabel=label, ylabel="% of images")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    return figure_svg(figure, title=title)
