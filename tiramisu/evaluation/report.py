"""The scores of an evaluation as a table, as JSON and as pictures."""

import dataclasses
import json
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from tiramisu.atomic import write_then_rename
from tiramisu.data.spec import DatasetSpec
from tiramisu.data.spec_parts import PublishedIou
from tiramisu.evaluation.metrics import ClassificationScores, Scores, SegmentationScores
from tiramisu.evaluation.plots import plot_confusion, plot_reliability
from tiramisu.visual.pictures import save_png

TABLE_NAME, JSON_NAME = "scores.txt", "scores.json"
MATRIX_NAME, RELIABILITY_NAME = "confusion.png", "reliability.png"
CALIBRATION_ERROR = "calibration error"


def format_scores(scores: Scores, spec: DatasetSpec, *, arch: str) -> str:
    """The table of an evaluation, in percent.

    Args:
        scores: of a split.
        spec: the data set.
        arch: name of the network; published results of the same network are shown too.
    """
    if isinstance(scores, SegmentationScores):
        lines = _format_segmentation(scores, spec, arch=arch)
    else:
        assert isinstance(scores, ClassificationScores)
        lines = _format_classification(scores, spec, arch=arch)
    return "\n".join(line.rstrip() for line in lines).rstrip()


def save_scores(
    scores: Scores, spec: DatasetSpec, folder: Path, *, table: str, settings: dict[str, object]
) -> None:
    """Write table, JSON, confusion matrix and reliability into a folder.

    Args:
        scores: of a split.
        spec: the data set.
        folder: created if it does not exist.
        table: made by `format_scores`.
        settings: how the scores were measured; they go into the JSON.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / TABLE_NAME).write_text(table + "\n")
    with write_then_rename(folder / JSON_NAME) as partial:
        partial.write_text(scores_to_json(scores, spec, settings=settings) + "\n")
    save_png(folder / MATRIX_NAME, plot_confusion(scores.matrix, spec.class_names))
    if scores.reliability is not None:
        save_png(folder / RELIABILITY_NAME, plot_reliability(scores.reliability))


def scores_to_json(scores: Scores, spec: DatasetSpec, *, settings: dict[str, object]) -> str:
    """Scores from 0 to 1 as JSON, after the settings; null for what could not be measured."""

    def number(value: float) -> float | None:
        return None if math.isnan(value) else round(float(value), 6)

    # First the scores of the whole split, then those of each class, and the matrix last.
    values = {field.name: getattr(scores, field.name) for field in dataclasses.fields(scores)}
    matrix, reliability = values.pop("matrix"), values.pop("reliability")
    calibration = {}
    if reliability is not None:
        values["expected_calibration_error"] = reliability.expected_calibration_error
        calibration["reliability"] = {
            "count": reliability.count.tolist(),
            "confidence": [number(value) for value in reliability.confidence],
            "accuracy": [number(value) for value in reliability.accuracy],
        }
    absent = {}
    if isinstance(scores, SegmentationScores):
        absent["absent_classes"] = [spec.class_names[c] for c in scores.absent]
    content = {
        **settings,
        **{name: number(value) for name, value in values.items() if isinstance(value, float)},
        **{
            name: {n: number(v) for n, v in zip(spec.class_names, value, strict=True)}
            for name, value in values.items()
            if isinstance(value, np.ndarray)
        },
        **absent,
        **calibration,
        "confusion_matrix": matrix.tolist(),
    }
    return json.dumps(content, indent=2)


def _format_segmentation(scores: SegmentationScores, spec: DatasetSpec, *, arch: str) -> list[str]:
    published = [row for row in spec.published if isinstance(row, PublishedIou)]
    published = [row for row in published if row.arch == arch]
    width = _width_of_names(spec)
    headings = ["IoU", "recall", "pixels"] + [f"IoU [{i + 1}]" for i in range(len(published))]
    lines = [" " * width + "".join(f"{heading:>9}" for heading in headings)]
    pixels = scores.matrix.sum(axis=1) / max(scores.matrix.sum(), 1)
    for c, name in enumerate(spec.class_names):
        cells = [scores.iou[c], scores.recall[c], pixels[c]]
        lines.append(f"{name:{width}}" + _cells(cells, [row.class_iou[c] for row in published]))
    lines.append("")
    for name, value, others in (
        ("mean IoU", scores.mean_iou, [row.mean_iou for row in published]),
        ("pixel accuracy", scores.pixel_accuracy, [row.accuracy for row in published]),
        ("class accuracy", scores.mean_accuracy, []),
    ):
        lines.append(f"{name:{width}}" + _cells([value]) + " " * 18 + _cells([], others))
    lines += [*_calibration_line(scores, width=width), ""]
    if scores.absent:
        names = ", ".join(spec.class_names[c] for c in scores.absent)
        lines.append(f"Absent from labels and predictions, left out of the mean: {names}.")
    lines += [f"[{i + 1}] {row.title}, {row.split} split" for i, row in enumerate(published)]
    return lines


def _format_classification(
    scores: ClassificationScores, spec: DatasetSpec, *, arch: str
) -> list[str]:
    width = _width_of_names(spec)
    lines = [f"{'':{width}}{'recall':>9}{'precision':>11}{'images':>9}"]
    for name, recall, precision, images in zip(
        spec.class_names, scores.recall, scores.precision, scores.matrix.sum(axis=1), strict=True
    ):
        lines.append(f"{name:{width}}{_cells([recall])}  {_cells([precision])}{images:>9}")
    lines.append("")
    for name, value in (
        ("top-1", scores.top1),
        ("top-5", scores.top5),
        ("class accuracy", scores.mean_accuracy),
    ):
        lines.append(f"{name:{width}}{_cells([value])}")
    lines += [*_calibration_line(scores, width=width), ""]
    for row in spec.published:
        if row.arch == arch:
            lines.append(f"{row.title}, {row.split} split: top-1 {row.accuracy}")
    return lines


def _width_of_names(spec: DatasetSpec) -> int:
    """Width of the first column, in characters."""
    return max(map(len, (CALIBRATION_ERROR, *spec.class_names)))


def _calibration_line(scores: Scores, *, width: int) -> list[str]:
    if scores.reliability is None:
        return []
    error = scores.reliability.expected_calibration_error
    return [f"{CALIBRATION_ERROR:{width}}" + _cells([error])]


def _cells(shares: Iterable[float], percentages: Iterable[float] = ()) -> str:
    """Cells in percent, 9 characters wide: shares from 0 to 1, then values already in percent."""
    values = [*(100 * share for share in shares), *percentages]
    return "".join(f"{'-':>9}" if math.isnan(value) else f"{value:9.1f}" for value in values)
