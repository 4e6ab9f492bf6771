"""The scores of the folds of a cross-validation, beside each other and together."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from tiramisu.data.entry import NotNegative
from tiramisu.data.json_file import read_json, validate
from tiramisu.data.spec import DatasetSpec
from tiramisu.evaluation.calibration import BINS, Reliability
from tiramisu.evaluation.scores import (
    ClassificationScores,
    Scores,
    SegmentationScores,
    score,
    score_classes,
)
from tiramisu.text import format_table

_Share = Annotated[float, Field(ge=0, le=1)] | None
_MEANS = {
    "mean_iou": "mean IoU",
    "pixel_accuracy": "pixel accuracy",
    "top1": "top-1",
    "top5": "top-5",
    "mean_accuracy": "class accuracy",
}


class _ReliabilityFile(TypedDict):
    count: Annotated[list[NotNegative], Field(min_length=BINS, max_length=BINS)]
    confidence: Annotated[list[_Share], Field(min_length=BINS, max_length=BINS)]
    accuracy: Annotated[list[_Share], Field(min_length=BINS, max_length=BINS)]


@with_config(ConfigDict(extra="ignore"))
class _ScoresFile(TypedDict, total=False):
    confusion_matrix: list[list[NotNegative]]
    top5: _Share
    reliability: _ReliabilityFile | None


def read_scores(path: Path, spec: DatasetSpec) -> Scores:
    """The scores in a scores.json of a data set.

    Raises:
        OSError: it cannot be read.
        ValueError: it is damaged, or of another data set.
    """
    try:
        content = cast(dict[str, Any], validate(_ScoresFile, read_json(path)))
        matrix = np.array(content["confusion_matrix"], np.int64)
        if matrix.shape != (spec.num_classes, spec.num_classes):
            raise ValueError(f"its matrix is for {len(matrix)} classes, not {spec.num_classes}")
    except (ValueError, KeyError) as error:
        raise ValueError(
            f"{path} is damaged ({error}); evaluate again with `tiramisu eval --checkpoint "
            f"{path.parent.parent} --out {path.parent} --overwrite`"
        ) from None
    if spec.task == "segmentation":
        scores: Scores = score(matrix)
    else:
        top5 = content.get("top5")
        scores = score_classes(matrix, top5=math.nan if top5 is None else top5)
    bins = content.get("reliability")
    if bins is None:
        return scores
    return dataclasses.replace(
        scores,
        reliability=Reliability(
            count=np.array(bins["count"], np.int64),
            confidence=np.array(bins["confidence"], np.float64),  # None becomes NaN
            accuracy=np.array(bins["accuracy"], np.float64),
        ),
    )


def join_scores(each: Sequence[Scores]) -> Scores:
    """The scores of all samples together: the sum of the confusion matrices."""
    matrix = np.sum([scores.matrix for scores in each], axis=0)
    if isinstance(each[0], SegmentationScores):
        joined: Scores = score(matrix)
    else:
        images = [scores.matrix.sum() for scores in each]
        top5 = [scores.top5 for scores in each if isinstance(scores, ClassificationScores)]
        joined = score_classes(matrix, top5=float(np.average(top5, weights=images)))
    parts = [scores.reliability for scores in each if scores.reliability is not None]
    if len(parts) < len(each):
        return joined
    count = np.sum([part.count for part in parts], axis=0)

    def mean(values: list[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
        total = sum(np.nan_to_num(v) * p.count for v, p in zip(values, parts, strict=True))
        with np.errstate(invalid="ignore"):
            return np.asarray(total / count)

    confidence, accuracy = mean([p.confidence for p in parts]), mean([p.accuracy for p in parts])
    together = Reliability(count=count, confidence=confidence, accuracy=accuracy)
    return dataclasses.replace(joined, reliability=together)


def describe_spread(each: Sequence[Scores], spec: DatasetSpec) -> dict[str, Any]:
    """For each score its values in the folds, their mean and standard deviation, 0..1, for JSON."""

    def as_json(values: npt.NDArray[np.float64]) -> dict[str, Any]:
        mean, spread = _spread(values)
        shown = [None if math.isnan(v) else round(float(v), 6) for v in (*values, mean, spread)]
        return {"folds": shown[:-2], "mean": shown[-2], "std": shown[-1]}

    means, classes = _collect(each)
    return {name: as_json(values) for name, values in means.items()} | {
        name: {c: as_json(row) for c, row in zip(spec.class_names, rows, strict=True)}
        for name, rows in classes.items()
    }


def format_folds(each: Sequence[Scores], spec: DatasetSpec) -> str:
    """A table: a column for each fold, the mean, the standard deviation, and all samples."""
    together = join_scores(each)
    heads = [f"fold {number}" for number in range(1, len(each) + 1)]
    rows = [["", *heads, "mean", "std", "all"]]
    means, classes = _collect(each)
    all_means, all_classes = _collect([together])

    def add(title: str, values: npt.NDArray[np.float64], whole: float) -> None:
        rows.append([title, *map(_percent, (*values, *_spread(values), whole))])

    for name, values in means.items():
        add(_MEANS[name], values, float(all_means[name][0]))
    for name, by_class in classes.items():
        rows.append([{"iou": "IoU of", "recall": "recall of"}[name], *[""] * (len(each) + 3)])
        for c, class_name in enumerate(spec.class_names):
            add(f"  {class_name}", by_class[c], float(all_classes[name][c, 0]))
    return format_table(rows)


def _collect(
    each: Sequence[Scores],
) -> tuple[dict[str, npt.NDArray[np.float64]], dict[str, npt.NDArray[np.float64]]]:
    """The scores of each fold: means (folds,), and those of classes (C, folds), by their names."""
    names = [name for name in _MEANS if hasattr(each[0], name)]
    means = {name: np.array([getattr(scores, name) for scores in each]) for name in names}
    means = {name: values for name, values in means.items() if not np.isnan(values).all()}
    by_class = "iou" if isinstance(each[0], SegmentationScores) else "recall"
    rows = np.array([getattr(scores, by_class) for scores in each]).T
    return means, {by_class: rows}


def _spread(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Mean and standard deviation (of a sample) without NaN; NaN where there is too little."""
    known = values[~np.isnan(values)]
    mean = float(known.mean()) if len(known) else math.nan
    return mean, float(known.std(ddof=1)) if len(known) > 1 else math.nan


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.1f}"
