"""Scores for people: the table, the JSON and the pictures of an evaluation."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np

from tiramisu.data.spec import DatasetSpec
from tiramisu.evaluation.metrics import ClassificationScores, Scores, SegmentationScores
from tiramisu.evaluation.plots import plot_confusion, plot_reliability
from tiramisu.visual.pictures import save_png

TABLE_NAME, JSON_NAME = "scores.txt", "scores.json"
MATRIX_NAME, RELIABILITY_NAME = "confusion.png", "reliability.png"
CALIBRATION = "calibration error"


def format_scores(scores: Scores, spec: DatasetSpec, *, arch: str) -> str:
    """The table of an evaluation, in percent; published rows of the same network beside ours."""
    if isinstance(scores, SegmentationScores):
        return _format_segmentation(scores, spec, arch=arch)
    assert isinstance(scores, ClassificationScores)
    return _format_classification(scores, spec, arch=arch)


def _format_segmentation(scores: SegmentationScores, spec: DatasetSpec, *, arch: str) -> str:
    published = [row for row in spec.published if row.arch == arch]
    width = max(len(CALIBRATION), *(len(name) for name in spec.class_names))
    head = ["IoU", "recall", "pixels"] + [f"IoU [{i + 1}]" for i in range(len(published))]
    lines = [f"{'':{width}}" + "".join(f"{name:>9}" for name in head)]
    share = scores.matrix.sum(axis=1) / max(scores.matrix.sum(), 1)
    for c, name in enumerate(spec.class_names):
        row = [scores.iou[c], scores.recall[c], share[c]]
        lines.append(
            f"{name:{width}}" + _cells(row) + _cells([p.class_iou[c] / 100 for p in published])
        )
    lines.append("")
    for name, value, theirs in (
        ("mean IoU", scores.mean_iou, [p.mean_iou / 100 for p in published]),
        ("pixel accuracy", scores.pixel_accuracy, [p.accuracy / 100 for p in published]),
        ("class accuracy", scores.mean_accuracy, []),
    ):
        lines.append((f"{name:{width}}" + _cells([value]) + " " * 18 + _cells(theirs)).rstrip())
    lines += [*_calibration(scores, width=width), ""]
    if scores.absent:
        names = ", ".join(spec.class_names[c] for c in scores.absent)
        lines.append(f"In neither labels nor predictions, so in no mean: {names}.")
    lines += [f"[{i + 1}] {row.title}, {row.split} split" for i, row in enumerate(published)]
    return "\n".join(lines).rstrip()


def _format_classification(scores: ClassificationScores, spec: DatasetSpec, *, arch: str) -> str:
    width = max(len(CALIBRATION), *(len(name) for name in spec.class_names))
    lines = [f"{'':{width}}{'recall':>9}{'precision':>11}{'images':>9}"]
    for name, recall, precision, images in zip(
        spec.class_names, scores.recall, scores.precision, scores.matrix.sum(axis=1), strict=True
    ):
        lines.append(f"{name:{width}}{_cells([recall])}  {_cells([precision])}{images:>9}")
    lines.append("")
    lines += [
        f"{name:{width}}{_cells([value])}"
        for name, value in (
            ("top-1", scores.top1),
            ("top-5", scores.top5),
            ("class accuracy", scores.mean_accuracy),
        )
    ]
    lines += _calibration(scores, width=width)
    rows = [row for row in spec.published if row.arch == arch]
    lines += ["", *(f"{row.title}, {row.split} split: top-1 {row.accuracy}" for row in rows)]
    return "\n".join(lines).rstrip()


def save_scores(
    scores: Scores, spec: DatasetSpec, folder: Path, *, table: str, settings: dict[str, object]
) -> None:
    """Write table, JSON, confusion matrix and reliability into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / TABLE_NAME).write_text(table + "\n")
    (folder / JSON_NAME).write_text(scores_to_json(scores, spec, settings=settings) + "\n")
    save_png(folder / MATRIX_NAME, plot_confusion(scores.matrix, spec.class_names))
    if scores.reliability is not None:
        save_png(folder / RELIABILITY_NAME, plot_reliability(scores.reliability))


def _calibration(scores: Scores, *, width: int) -> list[str]:
    if scores.reliability is None:
        return []
    error = scores.reliability.expected_calibration_error
    return [f"{CALIBRATION:{width}}" + _cells([error])]


def _cells(values: list[float] | np.ndarray) -> str:
    return "".join(f"{'-':>9}" if math.isnan(v) else f"{100 * v:9.1f}" for v in values)


def scores_to_json(scores: Scores, spec: DatasetSpec, *, settings: dict[str, object]) -> str:
    """Scores with the settings they were measured under; shares in 0..1, absent classes null."""

    def number(value: float) -> float | None:
        return None if math.isnan(value) else round(float(value), 6)

    # The single figures first, then those of each class, the matrix last.
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
    figures = {name: number(value) for name, value in values.items() if isinstance(value, float)}
    classes = {
        name: {n: number(v) for n, v in zip(spec.class_names, value, strict=True)}
        for name, value in values.items()
        if isinstance(value, np.ndarray)
    }
    absent = {}
    if isinstance(scores, SegmentationScores):
        absent["absent_classes"] = [spec.class_names[c] for c in scores.absent]
    return json.dumps(
        {
            **settings,
            **figures,
            **classes,
            **absent,
            **calibration,
            "confusion_matrix": matrix.tolist(),
        },
        indent=2,
    )
