"""Plots of a run, as RGB arrays, uint8 (H, W, 3); `pictures.save_png` writes them.

Figures are drawn on their own Agg canvas: nothing touches pyplot's global state or needs a screen.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tiramisu.evaluation.calibration import BINS, Reliability
from tiramisu.evaluation.metrics import FIGURES
from tiramisu.visual.figure import render
from tiramisu.visual.pictures import Picture

MOST_VALUES, MOST_NAMES = 40, 110
"""Classes of a confusion matrix up to which each cell, or each class, is written out."""
_BARS: Any = {"width": 1 / BINS, "align": "edge", "color": "#4c78a8", "edgecolor": "white"}


def plot_curves(
    rows: Sequence[Mapping[str, object]],
    *,
    task: str = "segmentation",
    final_from: int | None = None,
) -> Picture:
    """Plot loss, the task's score and learning rate by epoch, beside each other.

    Args:
        rows: values by column name, as a CSV's reader or a list of dicts gives them. `epoch` is
            needed; a column goes to the panel whose word its name holds (`loss`, `lr`, and `miou`
            for segmentation, `top1` for classification), such as `train_loss` or `val_miou`.
            Missing values, empty strings, NaN and infinity are left out.
        task: "segmentation" or "classification".
        final_from: epochs before the final ones, which may have another loss; None for no mark.
    """
    score = FIGURES[task][0]
    panels = {"loss": "loss", score.key: score.name, "lr": "learning rate"}
    figure = Figure(figsize=(15, 4.2), dpi=100, layout="constrained")
    for axes, (word, title) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        names = sorted({name for row in rows for name in row if word in name.lower()})
        lines = {name: points for name in names if (points := _points(rows, name))}
        axes.set_title(title)
        axes.set_xlabel("epoch")
        _clean(axes)
        for name, points in lines.items():
            # A single epoch has no line to see, only its point.
            epochs, values = zip(*points, strict=True)
            axes.plot(epochs, values, label=name, marker="o" if len(points) <= 30 else "", ms=4)
        if not lines:
            axes.text(0.5, 0.5, "no values", ha="center", transform=axes.transAxes, color="gray")
            axes.set(xticks=[], yticks=[])
            continue
        if word == score.key:
            judged = [name for name in lines if "val" in name.lower()] or list(lines)
            _mark_best(axes, max((p for name in judged for p in lines[name]), key=_value))
        lowest, highest = (f(v for p in lines.values() for _, v in p) for f in (min, max))
        if word == "lr" and highest > 20 * lowest > 0:
            axes.set_yscale("log")
        if final_from and final_from < max(e for p in lines.values() for e, _ in p):
            axes.axvline(final_from + 0.5, color="gray", linestyle=":", label="final epochs")
        axes.legend(frameon=False)
    return render(figure)


def plot_confusion(matrix: npt.NDArray[np.int64], class_names: Sequence[str]) -> Picture:
    """Plot a confusion matrix: each row shows, in percent, what a class was taken for.

    Args:
        matrix: counts (C, C), truth down, prediction across.
        class_names: C names.
    """
    num_classes = len(class_names)
    if matrix.shape != (num_classes, num_classes):
        raise ValueError(
            f"the confusion matrix is {matrix.shape} and there are {num_classes} class names; "
            f"expected a matrix ({num_classes}, {num_classes})"
        )
    totals = matrix.sum(axis=1, keepdims=True)
    percent = 100 * matrix / np.maximum(totals, 1)
    # Cells keep their size whatever their number, so that the values stay legible; of very many
    # classes the colours must do.
    has_values = num_classes <= MOST_VALUES
    side = max(0.46 * num_classes, 2.0) if has_values else 0.46 * MOST_VALUES
    figure = Figure(figsize=(side, side), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(percent, cmap="Blues", vmin=0, vmax=100)
    for row, column in np.ndindex(*matrix.shape) if has_values else ():
        value = percent[row, column]
        # A class without pixels has no percentages; a cell without pixels stays blank.
        text = f"{value:.0f}" if matrix[row, column] else "" if totals[row, 0] else "-"
        color = "white" if value > 55 else "black" if totals[row, 0] else "gray"
        axes.text(column, row, text, ha="center", va="center", fontsize=9, color=color)
    named = range(0, num_classes, -(-num_classes // MOST_NAMES))
    axes.set_xticks(named, [class_names[c] for c in named], rotation=90)
    axes.set_yticks(named, [class_names[c] for c in named])
    axes.set(xlabel="prediction (% of truth)", ylabel="truth")
    axes.tick_params(length=0)
    return render(figure)


def plot_reliability(reliability: Reliability) -> Picture:
    """Plot accuracy against confidence, and below it how much is said with which confidence."""
    figure = Figure(figsize=(5, 6), dpi=100, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    edges = np.linspace(0, 1, len(reliability.count) + 1)
    shares = reliability.count / max(reliability.count.sum(), 1)
    upper.plot([0, 1], [0, 1], color="gray", linewidth=1, label="as right as confident")
    upper.bar(edges[:-1], np.nan_to_num(reliability.accuracy), **_BARS, label="measured")
    upper.plot(reliability.confidence, reliability.accuracy, "o", ms=4, color="black")
    error = reliability.expected_calibration_error
    upper.set(ylabel="share that is right", xlim=(0, 1), ylim=(0, 1))
    upper.set_title(f"expected calibration error {100 * error:.1f} %")
    upper.legend(frameon=False, loc="upper left")
    lower.bar(edges[:-1], shares, **_BARS)
    lower.set(xlabel="confidence", ylabel="share of all")
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
    return render(figure)


def _points(rows: Sequence[Mapping[str, object]], name: str) -> list[tuple[float, float]]:
    """The finite values of a column, with their epochs."""
    pairs = ((_number(row.get("epoch")), _number(row.get(name))) for row in rows)
    return [pair for pair in pairs if all(map(math.isfinite, pair))]


def _number(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan


def _value(point: tuple[float, float]) -> float:
    return point[1]


def _mark_best(axes: Axes, best: tuple[float, float]) -> None:
    axes.set_title(f"{axes.get_title()} (best {best[1]:.4g} at epoch {best[0]:.0f})")
    axes.plot(*best, marker="*", ms=12, color="black", zorder=3)


def _clean(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
