"""Plots of a run, as RGB arrays, uint8 (H, W, 3); `pictures.save_png` writes them.

Figures are drawn without pyplot, so its global state is not touched and no screen is needed.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tiramisu.evaluation.calibration import BINS, Reliability
from tiramisu.evaluation.scores import FIGURES
from tiramisu.evaluation.scores import Figure as MonitoredFigure
from tiramisu.visual.figure import COLORS, render
from tiramisu.visual.pictures import Picture

MOST_VALUES, MOST_NAMES = 40, 110
"""Number of classes up to which a confusion matrix shows the value of each cell, or each name."""
_BARS: Any = {"width": 1 / BINS, "align": "edge", "color": COLORS[0], "edgecolor": "white"}
_TITLE: Any = {"x": 0.01, "ha": "left", "fontsize": 14, "parse_math": False}
_STEPS = {"train": "training", "val": "validation"}


def plot_curves(
    rows: Sequence[Mapping[str, object]],
    *,
    title: str = "",
    task: str = "segmentation",
    monitor: MonitoredFigure | None = None,
    final_from: int | None = None,
) -> Picture:
    """Plot loss, score and learning rate over the epochs, in three panels.

    Args:
        rows: values by the name of their column, for example from `csv.DictReader`. The column
            `epoch` is required. Other columns go to the panel whose word is in their name: `loss`,
            `lr`, and `miou` for segmentation or `top1` for classification. Missing values, empty
            strings, NaN and infinity are left out.
        title: of the whole plot.
        task: "segmentation" or "classification".
        monitor: the score whose best epoch is marked, also one of a single class; None for that of
            the panel of scores.
        final_from: number of epochs before the final ones, which are marked because they may have
            another loss; None for no mark.
    """
    score = FIGURES[task][0]
    monitor = monitor or score
    monitored = f"val_{monitor.key}"
    marked = "loss" if monitor.is_loss else score.key
    panels = {"loss": "loss", score.key: score.name, "lr": "learning rate"}
    texts = {figure.key: figure.name for figure in (*FIGURES[task], monitor)}
    figure = Figure(figsize=(15, 4.2), dpi=100, layout="constrained")
    if title:
        figure.suptitle(title, **_TITLE)
    for axes, (word, panel) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        # The name of a class, which may be any, follows after a slash.
        names = sorted({n for row in rows for n in row if word in n.partition("/")[0].lower()})
        if word == marked and monitored not in names:
            names.append(monitored)
        lines = {name: points for name in names if (points := list_points(rows, name))}
        axes.set_title(panel)
        axes.set_prop_cycle(color=COLORS)
        axes.set_xlabel("epoch")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        for name, points in lines.items():
            # A single epoch has no line, only a point.
            epochs, values = zip(*points, strict=True)
            marker = "o" if len(points) <= 30 else ""
            axes.plot(epochs, values, label=_name_line(name, texts), marker=marker, ms=4)
        if not lines:
            axes.text(0.5, 0.5, "no values", ha="center", transform=axes.transAxes, color="gray")
            axes.set(xticks=[], yticks=[])
            continue
        if word == marked:
            validated = [name for name in lines if "val" in name.lower()] or list(lines)
            if monitored in lines:
                validated = [monitored]
            choose = min if monitor.is_loss else max
            best = choose((p for name in validated for p in lines[name]), key=lambda p: p[1])
            shown = monitor.name if monitored in lines else panel
            best_text = f"{shown} (best {best[1]:.4g} at epoch {best[0]:.0f})"
            axes.set_title(best_text, parse_math=False)
            axes.plot(*best, marker="*", ms=12, color="black", zorder=3)
        lowest, highest = (f(v for p in lines.values() for _, v in p) for f in (min, max))
        if word == "lr" and highest > 20 * lowest > 0:
            axes.set_yscale("log")
        if final_from and final_from < max(e for p in lines.values() for e, _ in p):
            axes.axvline(final_from + 0.5, color="gray", linestyle=":", label="final epochs")
        for text in axes.legend(frameon=False).get_texts():
            text.set_parse_math(False)
    return render(figure)


def _name_line(column: str, texts: Mapping[str, str]) -> str:
    """A column as people call it: `val_loss` is "validation loss"."""
    step, _, value = column.partition("_")
    if step in _STEPS and value:
        return f"{_STEPS[step]} {texts.get(value, value)}"
    return {"lr": "learning rate"}.get(column, column)


def plot_confusion(
    matrix: npt.NDArray[np.int64], class_names: Sequence[str], *, title: str = ""
) -> Picture:
    """Plot a confusion matrix; each row shows, in percent, as what a class was predicted.

    Args:
        matrix: counts (C, C); rows are ground truth, columns predictions.
        class_names: C names.
        title: of the plot.

    Raises:
        ValueError: the number of names does not fit the matrix.
    """
    num_classes = len(class_names)
    if matrix.shape != (num_classes, num_classes):
        raise ValueError(
            f"the confusion matrix is {matrix.shape} and there are {num_classes} class names; "
            f"expected a matrix ({num_classes}, {num_classes})"
        )
    totals = matrix.sum(axis=1, keepdims=True)
    percent = 100 * matrix / np.maximum(totals, 1)
    # Cells have a fixed size so that their values can be read; above MOST_VALUES classes there are
    # no values and the cells shrink.
    has_values = num_classes <= MOST_VALUES
    side = max(0.46 * num_classes, 2.0) if has_values else 0.46 * MOST_VALUES
    figure = Figure(figsize=(side, side), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(percent, cmap="Blues", vmin=0, vmax=100)
    for row, column in np.ndindex(*matrix.shape) if has_values else ():
        value = percent[row, column]
        # A class without pixels has no percentages, "-"; other cells without pixels stay blank.
        text = f"{value:.0f}" if matrix[row, column] else "" if totals[row, 0] else "-"
        color = "white" if value > 55 else "black" if totals[row, 0] else "gray"
        axes.text(column, row, text, ha="center", va="center", fontsize=9, color=color)
    named = range(0, num_classes, -(-num_classes // MOST_NAMES))
    axes.set_xticks(named, [class_names[c] for c in named], rotation=90, parse_math=False)
    axes.set_yticks(named, [class_names[c] for c in named], parse_math=False)
    axes.set(xlabel="prediction (% of each row)", ylabel="ground truth")
    axes.set_title(title, parse_math=False)
    axes.tick_params(length=0)
    return render(figure)


def plot_reliability(reliability: Reliability, *, title: str = "") -> Picture:
    """Plot accuracy over confidence, and below it the fraction of predictions in each bin.

    Args:
        reliability: of the predictions.
        title: of the plot.
    """
    figure = Figure(figsize=(5, 6), dpi=100, layout="constrained")
    if title:
        figure.suptitle(title, **_TITLE)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    edges = np.linspace(0, 1, len(reliability.count) + 1)
    shares = reliability.count / max(reliability.count.sum(), 1)
    upper.plot([0, 1], [0, 1], color="gray", linewidth=1, label="perfectly calibrated")
    upper.bar(edges[:-1], np.nan_to_num(reliability.accuracy), **_BARS, label="measured")
    upper.plot(reliability.confidence, reliability.accuracy, "o", ms=4, color="black")
    error = reliability.expected_calibration_error
    upper.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
    upper.set_title(f"expected calibration error {100 * error:.1f} %")
    upper.legend(frameon=False, loc="upper left")
    lower.bar(edges[:-1], shares, **_BARS)
    lower.set(xlabel="confidence", ylabel="predictions")
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
    return render(figure)


def list_points(rows: Sequence[Mapping[str, object]], name: str) -> list[tuple[float, float]]:
    """The finite values of a column, with their epochs."""
    pairs = ((_number(row.get("epoch")), _number(row.get(name))) for row in rows)
    return [pair for pair in pairs if all(map(math.isfinite, pair))]


def _number(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan
