"""The scores of a model, read from the files of its run."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from tiramisu.checkpoints.info import ModelInfo
from tiramisu.data.entry import NotNegative
from tiramisu.data.json_file import read_json, validate

# Keys of scores.json and of ModelInfo.metrics: the name in the card, and the Hub's type of metric.
SCORES = {
    "mean_iou": ("mean IoU", "mean_iou"),
    "mean_dice": ("mean Dice", "f1"),
    "pixel_accuracy": ("pixel accuracy", "accuracy"),
    "top1": ("top-1 accuracy", "accuracy"),
    "top5": ("top-5 accuracy", "accuracy"),
    "mean_accuracy": ("class accuracy", "accuracy"),
}
CLASS_SCORES = {"iou": "IoU", "dice": "Dice", "precision": "precision", "recall": "recall"}
# By the values of --bn, but for running, the usual one.
BATCH_NORM = {"recalibrated": "recalibrated statistics", "batch": "statistics of each batch"}


_Score = Annotated[float, Field(ge=0, le=1)] | None
"""None where it could not be measured."""
_ClassScores = dict[str, _Score] | None


@with_config(ConfigDict(extra="allow", strict=True))
class _ScoresFile(TypedDict, total=False):
    """The parts of a scores.json that are read here."""

    checkpoint: str
    arch: str
    data: str
    split: str
    images: NotNegative
    bn: str
    tta: bool
    mc_dropout: NotNegative
    mean_iou: _Score
    mean_dice: _Score
    pixel_accuracy: _Score
    top1: _Score
    top5: _Score
    mean_accuracy: _Score
    iou: _ClassScores
    dice: _ClassScores
    precision: _ClassScores
    recall: _ClassScores


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One evaluation of a model; all scores are between 0 and 1."""

    split: str
    """Name of the split."""
    how: str
    """What differs from a plain evaluation, such as "test-time augmentation"; empty if nothing."""
    num_images: int | None
    """Images in the split, if known."""
    scores: Mapping[str, float]
    """By the keys of SCORES."""
    class_scores: Mapping[str, Mapping[str, float | None]]
    """By the keys of CLASS_SCORES, then by the name of the class; None where it has no value."""

    def is_same_as(self, other: "Evaluation") -> bool:
        """Whether it repeats another one; scores may differ by rounding."""
        return (
            (self.split, self.how, self.num_images) == (other.split, other.how, other.num_images)
            and self.scores.keys() == other.scores.keys()
            and all(
                math.isclose(score, other.scores[name], abs_tol=5e-4)
                for name, score in self.scores.items()
            )
        )


def read_evaluations(
    info: ModelInfo, *, source: Path | None, settings: Mapping[str, Any]
) -> list[Evaluation]:
    """The evaluations of a published model in the folder of its run; the run's own comes first.

    If there are none, the scores in `info.metrics` are the only evaluation.

    Args:
        info: the model's.
        source: the file its weights were read from, if any.
        settings: of its run; empty if not known.

    Raises:
        ValueError: a scores.json is damaged.
    """
    data_names = (settings.get("data"), info.dataset)
    found: list[Evaluation] = []
    # An evaluation beside a checkpoint (.ckpt) may be that of another epoch.
    if source is not None and source.suffix == ".safetensors":
        folder = source.parent
        later = [
            path
            for path in sorted(folder.glob("eval/*/scores.json"))
            if path.stat().st_mtime >= source.stat().st_mtime  # older ones are of other weights
        ]
        for path in (folder / "scores" / "scores.json", *later):
            evaluation = _read_evaluation(info, path, data_names=data_names)
            if evaluation and not any(evaluation.is_same_as(other) for other in found):
                found.append(evaluation)
    if not found and info.metrics:
        scores = {name: value / 100 for name, value in info.metrics.items() if name in SCORES}
        found = [Evaluation(split="val", how="", num_images=None, scores=scores, class_scores={})]
    return found


def _read_evaluation(
    info: ModelInfo, path: Path, *, data_names: tuple[str | None, ...]
) -> Evaluation | None:
    """One scores.json; None if there is none, or if it is about another model."""
    if not path.is_file():
        return None
    try:
        scores = cast(dict[str, Any], validate(_ScoresFile, read_json(path)))
    except ValueError as error:
        raise ValueError(
            f"{path} is damaged ({error}); evaluate again with --overwrite or remove it"
        ) from None
    class_scores = {name: scores[name] for name in CLASS_SCORES if scores.get(name)}
    same_classes = all(tuple(values) == info.class_names for values in class_scores.values())
    exported = Path(scores.get("checkpoint", "")).suffix in (".onnx", ".xml", ".pt2")
    if scores.get("arch") != info.arch or not same_classes or exported:
        return None
    statistics = scores.get("bn", "running")
    how = [f"batch norm: {BATCH_NORM[statistics]}"] if statistics in BATCH_NORM else []
    if scores.get("tta"):
        how.append("test-time augmentation")
    if scores.get("mc_dropout"):
        how.append(f"mean of {scores['mc_dropout']} passes with dropout")
    if "data" in scores and scores["data"] not in data_names:
        how.append(f"data set {Path(scores['data']).stem}")
    return Evaluation(
        split=scores.get("split", ""),
        how=", ".join(how),
        num_images=scores.get("images"),
        scores={name: scores[name] for name in SCORES if scores.get(name) is not None},
        class_scores=class_scores,
    )
