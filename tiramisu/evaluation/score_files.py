"""The scores of an evaluation as a table, as JSON and as pictures."""

import csv
import dataclasses
import io
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from tiramisu.atomic import write_file
from tiramisu.data.spec import DatasetSpec
from tiramisu.data.spec_parts import PublishedIou
from tiramisu.evaluation.error_analysis import DISTANCES, SIDES, mean_without_nan
from tiramisu.evaluation.plots import plot_confusion, plot_reliability
from tiramisu.evaluation.scores import ClassificationScores, ImageScores, Scores, SegmentationScores
from tiramisu.text import path_text
from tiramisu.visual.pictures import save_png

TABLE_NAME, JSON_NAME = "scores.txt", "scores.json"
MATRIX_NAME, RELIABILITY_NAME = "confusion.png", "reliability.png"
IMAGES_NAME, CLASSES_NAME = "images.csv", "classes.csv"
CALIBRATION_ERROR = "calibration error"


def format_scores(scores: Scores, spec: DatasetSpec, *, arch: str) -> str:
    """The table of an evaluation, in percent, with published results of the same network."""
    width = max(map(len, (CALIBRATION_ERROR, *spec.class_names, *scores.own)))
    if isinstance(scores, SegmentationScores):
        lines, notes = _format_segmentation(scores, spec, arch=arch, width=width)
    else:
        assert isinstance(scores, ClassificationScores)
        lines, notes = _format_classification(scores, spec, arch=arch, width=width)
    if scores.reliability is not None:
        error = scores.reliability.expected_calibration_error
        lines.append(f"{CALIBRATION_ERROR:{width}}" + _cells([error]))
    lines += [f"{name:{width}}{value:9.4g}" for name, value in scores.own.items()]
    return "\n".join(line.rstrip() for line in [*lines, "", *notes]).rstrip()


def save_scores(
    scores: Scores,
    spec: DatasetSpec,
    folder: Path,
    *,
    title: str,
    table: str,
    settings: dict[str, object],
) -> None:
    """Write table, JSON, confusion matrix and reliability into a folder that exists.

    Args:
        title: of the pictures: which model on which split.
        table: made by `format_scores`.
        settings: how the scores were measured; they go into the JSON.
    """
    write_file(folder / TABLE_NAME, table + "\n")
    if isinstance(scores, SegmentationScores) and scores.images:
        write_file(folder / IMAGES_NAME, _images_to_csv(scores.images, spec.class_names))
        write_file(folder / CLASSES_NAME, _classes_to_csv(scores, spec.class_names))
    save_png(folder / MATRIX_NAME, plot_confusion(scores.matrix, spec.class_names, title=title))
    if scores.reliability is not None:
        save_png(folder / RELIABILITY_NAME, plot_reliability(scores.reliability, title=title))
    # Last: where there is this file for the first time, the evaluation is complete.
    write_file(folder / JSON_NAME, scores_to_json(scores, spec, settings=settings) + "\n")


def scores_to_json(scores: Scores, spec: DatasetSpec, *, settings: dict[str, object]) -> str:
    """Scores from 0 to 1 as JSON, after the settings; null for what could not be measured."""

    def number(value: float) -> float | None:
        return None if math.isnan(value) else round(float(value), 6)

    # First the scores of the whole split, then those of each class, and the matrix last.
    values = {field.name: getattr(scores, field.name) for field in dataclasses.fields(scores)}
    matrix, reliability = values.pop("matrix"), values.pop("reliability")
    values.pop("images", None)  # they have a file of their own
    errors = values.pop("errors", None)
    if errors is not None:
        values |= {"mean_boundary_iou": errors.mean_boundary_iou}
        values |= {"boundary_iou": errors.boundary_iou}
    if reliability is not None:
        values["expected_calibration_error"] = reliability.expected_calibration_error
    content = settings | {
        n: number(value) for n, value in values.items() if isinstance(value, float)
    }
    for name, value in values.items():
        if isinstance(value, np.ndarray):
            content[name] = dict(zip(spec.class_names, map(number, value), strict=True))
    if isinstance(scores, SegmentationScores):
        content["absent_classes"] = [spec.class_names[c] for c in scores.absent]
    if errors is not None:
        content["errors"] = {
            "distance_to_border": dict(
                zip(
                    ("from", "pixels", "wrong"),
                    (DISTANCES, *errors.near_border.tolist()),
                    strict=True,
                )
            ),
            "size_of_objects": dict(
                zip(
                    ("from", "objects", "pixels", "wrong"),
                    (SIDES, *errors.by_size.tolist()),
                    strict=True,
                )
            ),
        }
    if scores.own:
        content["own_metrics"] = {name: number(value) for name, value in scores.own.items()}
    if reliability is not None:
        content["reliability"] = {
            "count": reliability.count.tolist(),
            "confidence": [number(value) for value in reliability.confidence],
            "accuracy": [number(value) for value in reliability.accuracy],
        }
    return json.dumps(content | {"confusion_matrix": matrix.tolist()}, indent=2)


def _images_to_csv(images: Iterable[ImageScores], class_names: Sequence[str]) -> str:
    """A line for each image, the worst first, with shares from 0 to 1; empty where there is none.

    Images without labels come last.
    """
    kinds = [f"{kind}_{name}" for kind in ("iou", "boundary_iou") for name in class_names]
    rows = [["name", "accuracy", "mean_iou", "mean_boundary_iou", *kinds]]
    for image in sorted(images, key=lambda image: (math.isnan(image.accuracy), image.mean_iou)):
        boundary = mean_without_nan(image.boundary_iou)
        values = [image.accuracy, image.mean_iou, boundary, *image.iou, *image.boundary_iou]
        rows.append([path_text(image.name), *map(_cell, values)])
    return _to_csv(rows)


def _classes_to_csv(scores: SegmentationScores, class_names: Sequence[str]) -> str:
    """A line for each class, with shares from 0 to 1; empty where there is none."""
    columns = {name: getattr(scores, name) for name in ("iou", "dice", "precision", "recall")}
    if scores.errors is not None:
        columns["boundary_iou"] = scores.errors.boundary_iou
    columns["pixels"] = scores.matrix.sum(axis=1) / max(scores.matrix.sum(), 1)
    rows = zip(class_names, *(map(_cell, values) for values in columns.values()), strict=True)
    return _to_csv([["name", *columns], *map(list, rows)])


def _to_csv(rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _cell(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"


def _format_segmentation(
    scores: SegmentationScores, spec: DatasetSpec, *, arch: str, width: int
) -> tuple[list[str], list[str]]:
    """The lines of the table, and the notes below it; the first column has this width."""
    published = [row for row in spec.published if isinstance(row, PublishedIou)]
    published = [row for row in published if row.arch == arch]
    others = "".join(f"{f'IoU [{i + 1}]':>9}" for i in range(len(published)))
    lines = [
        f"{'':{width}}{'IoU':>9}{'Dice':>9}{'precision':>11}{'recall':>9}{'pixels':>9}{others}"
    ]
    pixels = scores.matrix.sum(axis=1) / max(scores.matrix.sum(), 1)
    for c, name in enumerate(spec.class_names):
        left, right = [scores.iou[c], scores.dice[c]], [scores.precision[c], scores.recall[c]]
        known = _cells([*right, pixels[c]], [row.class_iou[c] for row in published])
        lines.append(f"{name:{width}}{_cells(left)}  {known}")
    lines.append("")
    for name, value, figures in (
        ("mean IoU", scores.mean_iou, [row.mean_iou for row in published]),
        *([("boundary IoU", scores.errors.mean_boundary_iou, [])] if scores.errors else []),
        ("mean Dice", scores.mean_dice, []),
        ("mean precision", scores.mean_precision, []),
        ("class accuracy", scores.mean_accuracy, []),
        ("pixel accuracy", scores.pixel_accuracy, [row.accuracy for row in published]),
    ):
        lines.append(f"{name:{width}}{_cells([value])}{'':38}{_cells([], figures)}")
    notes = []
    if scores.absent:
        names = ", ".join(spec.class_names[c] for c in scores.absent)
        notes.append(f"Absent from labels and predictions, left out of the mean: {names}.")
    notes += [f"[{i + 1}] {row.title}, {row.split} split" for i, row in enumerate(published)]
    return lines, notes


def _format_classification(
    scores: ClassificationScores, spec: DatasetSpec, *, arch: str, width: int
) -> tuple[list[str], list[str]]:
    lines = [f"{'':{width}}{'recall':>9}{'precision':>11}{'images':>9}"]
    for name, recall, precision, images in zip(
        spec.class_names, scores.recall, scores.precision, scores.matrix.sum(axis=1), strict=True
    ):
        lines.append(f"{name:{width}}{_cells([recall])}  {_cells([precision])}{images:>9}")
    lines.append("")
    means = {"top-1": scores.top1, "top-5": scores.top5, "class accuracy": scores.mean_accuracy}
    lines += [f"{name:{width}}{_cells([value])}" for name, value in means.items()]
    rows = [row for row in spec.published if row.arch == arch]
    return lines, [f"{row.title}, {row.split} split: top-1 {row.accuracy}" for row in rows]


def _cells(shares: Iterable[float], percentages: Iterable[float] = ()) -> str:
    """Cells in percent, 9 characters wide: shares from 0 to 1, then values already in percent."""
    values = [*(100 * share for share in shares), *percentages]
    return "".join(f"{'-':>9}" if math.isnan(value) else f"{value:9.1f}" for value in values)
