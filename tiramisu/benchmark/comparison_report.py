"""Comparisons as tables, JSON and pictures."""

import dataclasses
import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from tiramisu.benchmark.comparison import Comparison
from tiramisu.text import format_table
from tiramisu.visual.figure import render
from tiramisu.visual.pictures import Picture

HEADINGS = "contender|time|spread|ratio|images/s|memory|ratio|GMAC|GFLOP/s|of limit|max diff"
SECONDS, BYTES = (EngFormatter(unit, places=2) for unit in ("s", "B"))  # 135.21 ms, 1.53 GB
COLORS = {"ours": "tab:blue", "plain": "tab:gray", "torchvision": "tab:gray"}


def describe_comparison(comparison: Comparison) -> dict[str, object]:
    """A comparison for JSON: what was measured, and what follows from it."""
    reference = comparison.results[0]
    results = []
    for result in comparison.results:
        speed = 2 * result.multiply_adds / result.median  # a multiply-add is two operations
        peak, most = result.peak_bytes, reference.peak_bytes
        derived = {
            "median_seconds": result.median,
            "time_ratio": result.median / reference.median,
            "memory_ratio": None if peak is None or not most else peak / most,
            "gflops": speed / 1e9,
            "part_of_limit": speed / comparison.limit,
        }
        results.append({**dataclasses.asdict(result), **derived})
    return {
        "case": dataclasses.asdict(comparison.case),
        "reference": reference.contender,
        "limit_gflops": comparison.limit / 1e9,
        "results": results,
        "notes": comparison.notes,
    }


def format_comparisons(comparisons: Sequence[Comparison]) -> str:
    """Comparisons as one table of about 100 columns, with notes below."""
    varying, title = _find_varying(comparisons)
    rows = [[*varying, *HEADINGS.split("|")]]
    notes = []
    for comparison in comparisons:
        values = [str(getattr(comparison.case, name)) for name in varying]
        rows += [[*values, *cells] for cells in _format_results(comparison)]
        limit = f"{comparison.limit / 1e9:.0f} GFLOP/s in {comparison.case.precision}"
        prepared = [result for result in comparison.results if result.setup_seconds]
        lines = [
            f"limit: {limit}, the fastest large product of matrices in the same turns",
            *(f"{r.contender}: prepared in {r.setup_seconds:.0f} s" for r in prepared),
            *(f"{name}: {note}" for name, note in comparison.notes.items()),
        ]
        notes += [f"{', '.join(values)}: {line}" if values else line for line in lines]
    references = dict.fromkeys(comparison.results[0].contender for comparison in comparisons)
    table = format_table(rows, left=len(varying) + 1)
    return "\n".join([f"{title} (ratios to {', '.join(references)})", "", table, "", *notes])


def plot_bars(comparisons: Sequence[Comparison]) -> Picture:
    """Bars of time (with its spread) and peak memory, panels side by side for each comparison."""
    heights = [1.0 + 0.34 * len(comparison.results) for comparison in comparisons]  # inches
    figure = Figure(figsize=(13, sum(heights)), dpi=100, layout="constrained")
    columns = 1 + any(r.peak_bytes is not None for c in comparisons for r in c.results)
    panels = figure.subplots(len(comparisons), columns, squeeze=False, height_ratios=heights)
    for (left, *right), comparison in zip(panels, comparisons, strict=True):
        results, cells = comparison.results, _format_results(comparison)
        names, medians = [r.contender for r in results], [r.median for r in results]
        colors = [COLORS.get(name.split("+")[0], "tab:green") for name in names]
        spread = [(r.median - min(r.seconds), max(r.seconds) - r.median) for r in results]
        times = [f"{row[1]}   {row[3]} x" for row in cells]
        _draw_bars(left, names, medians, times, color=colors, xerr=[*zip(*spread, strict=True)])
        left.set_title(comparison.case.title, loc="left", fontsize=11)
        left.set_xlabel("seconds per step (median; lines from the fastest to the slowest turn)")
        for axes in right:
            peaks = [(result.peak_bytes or 0) / 1e9 for result in results]
            sizes = [f"{row[5]}   {row[6]} x".replace("-   - x", "not measured") for row in cells]
            _draw_bars(axes, names, peaks, sizes, color=colors)
            axes.tick_params(labelleft=False)
            axes.set_xlabel("peak memory in GB, without the loaded program")
    return render(figure)


def plot_growth(comparisons: Sequence[Comparison]) -> Picture:
    """Lines of time and memory over the multiply-adds of the cases; straight if in proportion."""
    varying, title = _find_varying(comparisons)
    work = [comparison.results[0].multiply_adds / 1e9 for comparison in comparisons]
    figure = Figure(figsize=(12, 4.4), dpi=100, layout="constrained")
    points: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for gmac, comparison in zip(work, comparisons, strict=True):
        for r in comparison.results:
            points[r.contender].append((gmac, r.median, (r.peak_bytes or math.nan) / 1e9))
    columns = 1 + any(r.peak_bytes is not None for c in comparisons for r in c.results)
    (panels,) = figure.subplots(1, columns, squeeze=False)
    for index, (name, measured) in enumerate(points.items()):
        gmacs, *heights = zip(*sorted(measured), strict=True)
        for axes, values in zip(panels, heights, strict=False):
            axes.plot(gmacs, values, "o-", label=name, color=COLORS.get(name, f"C{index + 1}"))
    for axes, what in zip(panels, ("seconds per step", "peak memory in GB"), strict=False):
        axes.set(xlim=(0, None), ylim=(0, None), ylabel=what)
        axes.set_xlabel("billions of multiply-adds in one step")
        if len(varying) == 1:
            labels = [getattr(comparison.case, varying[0]) for comparison in comparisons]
            axes.set_xticks(work, labels, rotation=30, ha="right")
            axes.set_xlabel(f"{varying[0]}, spaced by the multiply-adds of one step")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    panels[0].legend(frameon=False)
    figure.suptitle(title, fontsize=11)
    return render(figure)


def _format_results(comparison: Comparison) -> list[list[str]]:
    """The cells below HEADINGS, for each result."""
    described: Any = describe_comparison(comparison)["results"]
    return [
        [
            result.contender,
            SECONDS(result.median),
            f"{SECONDS(min(result.seconds))} .. {SECONDS(max(result.seconds))}",
            f"{values['time_ratio']:.2f}",
            f"{comparison.case.batch / result.median:.2f}",
            "-" if result.peak_bytes is None else BYTES(result.peak_bytes),
            "-" if values["memory_ratio"] is None else f"{values['memory_ratio']:.2f}",
            f"{result.multiply_adds / 1e9:.1f}",
            f"{values['gflops']:.0f}",
            # The limit is that of floating point numbers: 8-bit integers can be faster.
            "-" if "int8" in result.contender else f"{values['part_of_limit']:.0%}",
            "-" if result.difference is None else f"{result.difference:.1e}",
        ]
        for result, values in zip(comparison.results, described, strict=True)
    ]


def _find_varying(comparisons: Sequence[Comparison]) -> tuple[list[str], str]:
    """Which of arch, size and batch differ between the cases, and a title for all of them."""
    cases = [comparison.case for comparison in comparisons]
    names = ("arch", "size", "batch")
    varying = [name for name in names if len({getattr(case, name) for case in cases}) > 1]
    by = f"by {' and '.join(varying)}, from " if varying else ""
    return varying, by + cases[0].title


def _draw_bars(
    axes: Axes, names: list[str], lengths: list[float], labels: list[str], **style: Any
) -> None:
    """Bars with their labels, the first one at the top."""
    axes.bar_label(axes.barh(names, lengths, height=0.7, **style), labels, padding=4, fontsize=9)
    axes.margins(x=0.5)  # with room for the labels
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)
