"""Scores for people: the table, the JSON and the pictures of an evaluation."""

import json
import math
from pathlib import Path

import numpy as np

from tiramisu.data.table import DatasetSpec
from tiramisu.engine.metrics import Scores
from tiramisu.engine.pictures import save_png
from tiramisu.engine.plots import plot_confusion

TABLE_NAME, JSON_NAME, MATRIX_NAME = "scores.txt", "scores.json", "confusion.png"


def format_scores(scores: Scores, spec: DatasetSpec, *, arch: str) -> str:
    """The table of an evaluation, in percent; published rows of the same network beside ours."""
    published = [row for row in spec.published if row.arch == arch]
    width = max(len("class accuracy"), *(len(name) for name in spec.class_names))
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
        lines.append(f"{name:{width}}" + _cells([value]) + " " * 18 + _cells(theirs))
    lines.append("")
    if scores.absent:
        names = ", ".join(spec.class_names[c] for c in scores.absent)
        lines.append(f"In neither labels nor predictions, so in no mean: {names}.")
    lines += [f"[{i + 1}] {row.title}, {row.split} split" for i, row in enumerate(published)]
    return "\n".join(lines).rstrip()


def save_scores(
    scores: Scores, spec: DatasetSpec, folder: Path, *, table: str, settings: dict[str, object]
) -> None:
    """Write table, JSON and confusion matrix into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / TABLE_NAME).write_text(table + "\n")
    (folder / JSON_NAME).write_text(scores_to_json(scores, spec, settings=settings) + "\n")
    save_png(folder / MATRIX_NAME, plot_confusion(scores.matrix, spec.class_names))


def _cells(values: list[float] | np.ndarray) -> str:
    return "".join(f"{'-':>9}" if math.isnan(v) else f"{100 * v:9.1f}" for v in values)


def scores_to_json(scores: Scores, spec: DatasetSpec, *, settings: dict[str, object]) -> str:
    """Scores with the settings they were measured under; shares in 0..1, absent classes null."""

    def number(value: float) -> float | None:
        return None if math.isnan(value) else round(float(value), 6)

    return json.dumps(
        {
            **settings,
            "mean_iou": number(scores.mean_iou),
            "pixel_accuracy": number(scores.pixel_accuracy),
            "mean_accuracy": number(scores.mean_accuracy),
            "iou": {n: number(v) for n, v in zip(spec.class_names, scores.iou, strict=True)},
            "recall": {n: number(v) for n, v in zip(spec.class_names, scores.recall, strict=True)},
            "absent_classes": [spec.class_names[c] for c in scores.absent],
            "confusion_matrix": scores.matrix.tolist(),
        },
        indent=2,
    )
