"""Pictures of what was measured, RGB uint8 (H, W, 3)."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tiramisu.benchmark.cases import Case
from tiramisu.benchmark.compare import Comparison
from tiramisu.benchmark.data_path import DataPath
from tiramisu.benchmark.growth import TiledResult
from tiramisu.benchmark.result_tables import (
    format_bytes,
    format_rate,
    format_seconds,
    memory_ratio,
    name_tile,
)
from tiramisu.visual.figure import render
from tiramisu.visual.pictures import Picture

COLORS = {"ours": "tab:blue", "plain": "tab:gray", "torchvision": "tab:gray"}
XLABELS = {"size": "image, to scale", "depth": "network", "batch": "images a step"}
OTHER_COLOR = "tab:green"
BAR = 0.34
"""Height of a bar with its share of the space, in inches."""


def plot_comparisons(comparisons: Sequence[Comparison]) -> Picture:
    """Bars of time (with its spread) and peak memory, a row of panels for each comparison."""
    heights = [1.0 + BAR * len(comparison.results) for comparison in comparisons]
    figure = Figure(figsize=(13, sum(heights)), dpi=100, layout="constrained")
    panels = figure.subplots(len(comparisons), 2, squeeze=False, height_ratios=heights)
    for (left, right), comparison in zip(panels, comparisons, strict=True):
        results = comparison.results
        names = [result.contender for result in results]
        medians = [result.median for result in results]
        ratios = [seconds / medians[0] for seconds in medians]
        labels = [
            f"{format_seconds(seconds)}   {ratio:.2f} x"
            for seconds, ratio in zip(medians, ratios, strict=True)
        ]
        spread = [
            [middle - min(r.seconds) for middle, r in zip(medians, results, strict=True)],
            [max(r.seconds) - middle for middle, r in zip(medians, results, strict=True)],
        ]
        _draw_bars(left, names, medians, labels, spread=spread)
        left.set_title(comparison.case.title, loc="left", fontsize=11)
        left.set_xlabel("seconds a step (median, with the fastest and the slowest turn)")

        peaks = [math.nan if r.peak_bytes is None else r.peak_bytes / 1e9 for r in results]
        labels = [
            format_bytes(r.peak_bytes) + (f"   {part:.2f} x" if part is not None else "")
            if r.peak_bytes is not None
            else "not measured"
            for r, part in ((r, memory_ratio(r, results[0])) for r in results)
        ]
        _draw_bars(right, [""] * len(names), peaks, labels, colored_by=names)
        right.set_xlabel("GB of peak memory, above the loaded program")
    return render(figure)


def plot_growth(what: str, comparisons: Mapping[str, Comparison]) -> Picture:
    """Lines of time and peak memory, one for each contender, over what grows."""
    figure, (left, right) = _two_panels()
    # To scale, so that what grows in proportion is a straight line; networks have no scale.
    cases = [comparison.case for comparison in comparisons.values()]
    pixels = [case.batch * case.height * case.width for case in cases]
    places = list(range(len(cases))) if what == "depth" else pixels
    names = dict.fromkeys(r.contender for c in comparisons.values() for r in c.results)
    for name in names:
        seconds, peaks = [], []
        for comparison in comparisons.values():
            result = next((r for r in comparison.results if r.contender == name), None)
            seconds.append(result.median if result else math.nan)
            peak = result.peak_bytes if result else None
            peaks.append(math.nan if peak is None else peak / 1e9)
        for axes, heights in (left, seconds), (right, peaks):
            color = "gray" if name in ("plain", "torchvision") else None
            axes.plot(places, heights, marker="o", label=name, color=color)
    for axes in (left, right):
        axes.set_xlabel(XLABELS[what])
        axes.set_xticks(places, list(comparisons))
        if what != "depth":
            axes.set_xlim(left=0)
    left.set_ylabel("seconds a step")
    title = f"growing {what}, from {next(iter(comparisons.values())).case.title}"
    _finish(figure, title, left, right)
    return render(figure)


def plot_tiles(case: Case, results: Sequence[TiledResult]) -> Picture:
    """Lines of time and peak memory over the image's size, whole and in tiles."""
    figure, (left, right) = _two_panels()
    for tile in dict.fromkeys(result.tile for result in results):
        mine = [result for result in results if result.tile == tile]
        megapixels = [result.height * result.width / 1e6 for result in mine]
        seconds = [math.nan if r.seconds is None else r.seconds for r in mine]
        peaks = [math.nan if r.peak_bytes is None else r.peak_bytes / 1e9 for r in mine]
        for axes, heights in (left, seconds), (right, peaks):
            axes.plot(megapixels, heights, marker="o", label=name_tile(tile))
    for axes in (left, right):
        axes.set_xlim(left=0)
        axes.set_xlabel("megapixels")
    left.set_ylabel("seconds a prediction")
    _finish(figure, f"{case.arch}: large images whole and in tiles", left, right)
    return render(figure)


def plot_data_path(path: DataPath) -> Picture:
    """Bars of the images a second that are loaded, against what the training takes, and how much
    of it is left."""
    figure = Figure(figsize=(9, 1.6 + 0.35 * len(path.feedings)), dpi=100, layout="constrained")
    axes = figure.subplots()
    names = [
        f"{'from memory' if feeding.cache else 'read anew'}, {feeding.num_workers} workers"
        for feeding in path.feedings
    ]
    bars = axes.barh(names, [feeding.loaded for feeding in path.feedings], color="tab:blue")
    labels = [
        f"{format_rate(f.loaded)}: trains at {100 * f.trained / path.trainable:.0f} %"
        for f in path.feedings
    ]
    axes.bar_label(bars, labels, padding=4)
    full = f"training that never waits: {format_rate(path.trainable)} images/s"
    axes.axvline(path.trainable, color="tab:red", label=full)
    axes.set_xscale("log")
    axes.margins(x=0.35)  # for the labels
    axes.invert_yaxis()
    axes.set_xlabel("images/s loaded and augmented (logarithmic)")
    axes.set_title(path.title, loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(0, -0.35))
    return render(figure)


def _two_panels() -> tuple[Figure, tuple[Axes, Axes]]:
    figure = Figure(figsize=(12, 4.2), dpi=100, layout="constrained")
    left, right = figure.subplots(1, 2)
    return figure, (left, right)


def _finish(figure: Figure, title: str, left: Axes, right: Axes) -> None:
    figure.suptitle(title, fontsize=11)
    right.set_ylabel("GB of peak memory")
    for axes in (left, right):
        axes.set_ylim(bottom=0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        # NaN stands for what was not measured, and is not drawn.
        if all(np.isnan(np.asarray(line.get_ydata(), float)).all() for line in axes.lines):
            axes.text(0.5, 0.5, "not measured", ha="center", transform=axes.transAxes, color="gray")
            axes.set(xticks=[], yticks=[], xlabel="")
    left.legend(frameon=False)


def _draw_bars(
    axes: Axes,
    names: Sequence[str],
    lengths: Sequence[float],
    labels: Sequence[str],
    *,
    spread: Sequence[Sequence[float]] | None = None,
    colored_by: Sequence[str] | None = None,
) -> None:
    """Bars from the top, each with its label at its end."""
    places = range(len(names))
    colors = [COLORS.get(name.split("+")[0], OTHER_COLOR) for name in colored_by or names]
    axes.barh(places, lengths, color=colors, xerr=spread, ecolor="black", height=0.7)
    ends = list(spread[1]) if spread else [0.0] * len(names)
    reached = [length + end for length, end in zip(lengths, ends, strict=True)]
    longest = max((end for end in reached if not math.isnan(end)), default=1.0) or 1.0
    for place, end, label in zip(places, reached, labels, strict=True):
        start = 0.0 if math.isnan(end) else end
        axes.text(start + 0.01 * longest, place, label, va="center", fontsize=9)
    axes.set_xlim(0, 1.35 * longest)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)
