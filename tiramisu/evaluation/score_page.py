"""The report of an evaluation as one page: scores, errors, and the images, the worst first."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.ticker import MaxNLocator

from tiramisu.data.spec import DatasetSpec
from tiramisu.data.spec_parts import PublishedIou, PublishedResult
from tiramisu.evaluation.calibration import Reliability
from tiramisu.evaluation.error_analysis import DISTANCES, SIDES, Counts, ErrorAnalysis
from tiramisu.evaluation.gallery import ShownImage
from tiramisu.evaluation.plots import list_points
from tiramisu.evaluation.scores import FIGURES, ClassificationScores, Scores, SegmentationScores
from tiramisu.text import in_percent
from tiramisu.visual.page import (
    INK,
    LINE,
    SERIES,
    add_legend,
    figure_svg,
    hex_color,
    new_axes,
    write_page,
)

REPORT_NAME = "report.html"
_MOST_CELLS = 40
"""Classes up to which a page has the whole confusion matrix."""
_PAIRS = 8


@dataclass(frozen=True, kw_only=True)
class ShownScore:
    """A score of the whole split, and published ones beside it, in percent."""

    name: str
    value: str
    published: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ShownClass:
    """A class with its scores in percent."""

    name: str
    color: str
    share: float
    """Of its first score, 0..1: the length of its bar."""
    values: tuple[str, ...]
    """The first score, published ones of the same kind, and others."""


@dataclass(frozen=True, kw_only=True)
class ShownPair:
    """A class that was taken for another."""

    truth: str
    prediction: str
    share: float
    """Of all errors, 0..1, relative to that of the most frequent pair."""
    text: str


def write_score_page(
    path: Path,
    *,
    title: str,
    how: Sequence[str],
    scores: Scores,
    spec: DatasetSpec,
    arch: str,
    images: Sequence[ShownImage],
    num_images: int,
    has_void: bool = False,
    history: Sequence[Mapping[str, object]],
    settings: Mapping[str, object],
    training: Mapping[str, object],
    origin: Mapping[str, object],
) -> None:
    """Write the report of an evaluation as a page.

    Args:
        path: the file.
        title: of the page.
        how: how the scores were measured, in words.
        scores: the scores.
        spec: the data set.
        arch: the network, whose published scores stand beside these.
        images: those that are shown, the worst first.
        num_images: how many images were evaluated.
        has_void: whether their ground truth has void pixels.
        history: the rows of the training's metrics.csv; empty if they are not known.
        settings: of the evaluation.
        training: settings of the training; empty if they are not known.
        origin: command, machine and versions.

    Raises:
        OSError: the page cannot be written.
    """
    published = [row for row in spec.published if row.arch == arch]
    absent = scores.absent if isinstance(scores, SegmentationScores) else []
    errors = scores.errors if isinstance(scores, SegmentationScores) else None
    figures = []
    if errors is not None:
        figures += [_plot_distances(errors), _plot_sizes(errors)]
    if scores.reliability is not None:
        figures.append(_plot_reliability(scores.reliability))
    values = {
        "title": title,
        "overview": "; ".join(how),
        "scores": list(_list_scores(scores, published)),
        "published": [f"{row.title}, {row.split} split" for row in published],
        "headings": _name_columns(scores, published),
        "classes": list(_list_classes(scores, spec, published)),
        "class_names": spec.class_names,
        "absent": [spec.class_names[index] for index in absent],
        "cells": list(_list_cells(scores.matrix)) if spec.num_classes <= _MOST_CELLS else [],
        "pairs": list(_list_pairs(scores.matrix, spec)),
        "figures": figures,
        "curves": list(draw_curves(history, task=spec.task)),
        "images": images,
        "num_images": num_images,
        "has_void": has_void,
        "has_pixels": spec.task == "segmentation",
        "settings": settings,
        "training": training,
        "origin": origin,
    }
    write_page(path, "scores.html", values)


def _list_scores(scores: Scores, published: Sequence[PublishedResult]) -> Iterator[ShownScore]:
    ious = tuple(_published(r.mean_iou) if isinstance(r, PublishedIou) else "" for r in published)
    accuracies = tuple(_published(row.accuracy) for row in published)
    none = ("",) * len(published)
    rows: list[tuple[str, float, tuple[str, ...]]] = []
    if isinstance(scores, SegmentationScores):
        rows += [("mean IoU", scores.mean_iou, ious)]
        rows += [("pixel accuracy", scores.pixel_accuracy, accuracies)]
        if scores.errors is not None:
            rows += [("mean boundary IoU", scores.errors.mean_boundary_iou, none)]
        rows += [("mean Dice", scores.mean_dice, none)]
        rows += [("mean precision", scores.mean_precision, none)]
    elif isinstance(scores, ClassificationScores):
        rows += [("top-1", scores.top1, accuracies), ("top-5", scores.top5, none)]
    rows += [("class accuracy (mean recall)", scores.mean_accuracy, none)]
    if scores.reliability is not None:
        error = scores.reliability.expected_calibration_error
        rows += [("calibration error (less is better)", error, none)]
    for name, value, others in rows:
        if not math.isnan(value):
            yield ShownScore(name=name, value=in_percent(value), published=others)
    for name, value in scores.own.items():
        yield ShownScore(name=name, value=f"{value:.4g}", published=none)


def _name_columns(scores: Scores, published: Sequence[PublishedResult]) -> list[str]:
    if not isinstance(scores, SegmentationScores):
        return ["recall", "precision", "images"]
    others = [f"[{number}]" for number in range(1, len(published) + 1)]
    boundary = ["boundary IoU"] if scores.errors is not None else []
    return ["IoU", *others, *boundary, "Dice", "precision", "recall", "pixels"]


def _list_classes(
    scores: Scores, spec: DatasetSpec, published: Sequence[PublishedResult]
) -> Iterator[ShownClass]:
    counts = scores.matrix.sum(axis=1)
    for i, (name, color) in enumerate(zip(spec.class_names, spec.colors, strict=True)):
        if isinstance(scores, SegmentationScores):
            first = scores.iou[i]
            values = [in_percent(first)]
            values += [_published(r.class_iou[i]) for r in published if isinstance(r, PublishedIou)]
            if scores.errors is not None:
                values.append(in_percent(scores.errors.boundary_iou[i]))
            values += map(in_percent, (scores.dice[i], scores.precision[i], scores.recall[i]))
            values.append(in_percent(counts[i] / max(1, counts.sum())))
        else:
            first = scores.recall[i]
            values = [in_percent(first), in_percent(scores.precision[i]), str(counts[i])]
        yield ShownClass(
            name=name,
            color=hex_color(color),
            share=0 if math.isnan(first) else float(first),
            values=tuple(values),
        )


def _list_cells(matrix: Counts) -> Iterator[list[tuple[float, str]]]:
    """Rows of cells: the share of a class's pixels that were predicted as each, and as text."""
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    for row, counts in zip(shares, matrix, strict=True):
        yield [
            (float(share), f"{100 * share:.0f}" if count else "")
            for share, count in zip(row, counts, strict=True)
        ]


def _list_pairs(matrix: Counts, spec: DatasetSpec) -> Iterator[ShownPair]:
    """The pairs of classes with the most errors."""
    errors = matrix - np.diag(np.diagonal(matrix))
    order = np.argsort(errors, axis=None, kind="stable")[::-1][:_PAIRS]
    most = max(1, int(errors.max()))
    for truth, prediction in zip(*np.unravel_index(order, errors.shape), strict=True):
        count = int(errors[truth, prediction])
        if count:
            yield ShownPair(
                truth=spec.class_names[int(truth)],
                prediction=spec.class_names[int(prediction)],
                share=count / most,
                text=f"{100 * count / errors.sum():.1f} %",
            )


def _plot_distances(errors: ErrorAnalysis) -> str:
    known, wrong = errors.near_border
    return _plot_bars(
        _name_bins(DISTANCES),
        _percentages(wrong, known),
        label="distance to the nearest border, pixels",
        side="wrong pixels, %",
        title="Errors by their distance to borders",
    )


def _plot_sizes(errors: ErrorAnalysis) -> str:
    _, pixels, wrong = errors.by_size
    return _plot_bars(
        _name_bins(SIDES),
        _percentages(wrong, pixels),
        label="size of the object (root of its area), pixels",
        side="wrong pixels, %",
        title="Errors by the size of objects",
    )


def _percentages(part: Counts, whole: Counts) -> list[float]:
    """NaN where there is nothing, which has no bar."""
    with np.errstate(invalid="ignore"):
        return list(100 * part / whole)


def _name_bins(starts: Sequence[int]) -> list[str]:
    ends = [f"{a}-{b - 1}" for a, b in itertools.pairwise(starts)]
    return [*ends, f"{starts[-1]}+"]


def _plot_bars(
    names: Sequence[str], values: Sequence[float], *, label: str, side: str, title: str
) -> str:
    figure, axes = new_axes()
    known = [place for place, value in enumerate(values) if not math.isnan(value)]
    bars = axes.bar(known, [values[place] for place in known], width=0.7, color=SERIES[0])
    axes.bar_label(bars, fmt="%.0f", fontsize=8, color=INK, padding=1)
    axes.set_xticks(range(len(names)), names)
    axes.set(xlabel=label, ylabel=side)
    axes.margins(y=0.15)
    return figure_svg(figure, title=title)


def _plot_reliability(reliability: Reliability) -> str:
    figure, axes = new_axes()
    axes.plot([0, 100], [0, 100], color=LINE, lw=1, label="perfectly calibrated")
    known = reliability.count > 0
    points = (100 * reliability.confidence[known], 100 * reliability.accuracy[known])
    axes.plot(*points, "o-", ms=3, lw=1.2, color=SERIES[0], label="measured")
    axes.set(xlabel="confidence, %", ylabel="accuracy, %", xlim=(0, 100), ylim=(0, 100))
    add_legend(axes)
    return figure_svg(figure, title="Reliability: accuracy by confidence")


def draw_curves(rows: Sequence[Mapping[str, object]], *, task: str) -> Iterator[str]:
    """Loss and score over the epochs, as SVG elements.

    Args:
        rows: of metrics.csv, with a column `epoch`.
        task: "segmentation" or "classification".
    """
    score = FIGURES[task][0]
    panels = {
        "loss": {"train_loss": "training", "val_loss": "validation"},
        f"{score.name}, %": {f"val_{score.key}": "validation"},
    }
    for label, columns in panels.items():
        lines = {
            text: points for name, text in columns.items() if (points := list_points(rows, name))
        }
        if not lines:
            continue
        figure, axes = new_axes()
        for (text, points), color in zip(lines.items(), SERIES, strict=False):
            epochs, values = zip(*points, strict=True)
            marker = "o" if len(points) <= 30 else ""
            axes.plot(epochs, values, marker=marker, ms=3, lw=1.2, color=color, label=text)
        axes.set(xlabel="epoch", ylabel=label)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
        add_legend(axes)
        yield figure_svg(figure, title=f"{label} over the epochs of the training")


def _published(percent: float) -> str:
    """A published score, which is in percent already."""
    return in_percent(percent / 100)
