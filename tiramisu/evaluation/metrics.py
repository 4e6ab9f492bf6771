"""Scores of a whole split, computed from one confusion matrix.

Segmentation is judged as in the paper (section 4): intersections and unions are summed over all
images first, void pixels are counted nowhere, and the mean is taken over the classes.
"""

import dataclasses

import numpy as np
from torch import Tensor, nn
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassConfusionMatrix

from tiramisu.evaluation.calibration import Reliability, ReliabilityMeter, reliability

TOP = 5
"""Guesses that classification has, beside its first."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure:
    """A score that a run follows from epoch to epoch."""

    key: str
    """In logs (val/miou) and in metrics.csv (val_miou)."""
    name: str
    """For people."""
    attribute: str
    """Of the scores; also its name in JSON."""


FIGURES = {
    "segmentation": (
        Figure(key="miou", name="mIoU", attribute="mean_iou"),
        Figure(key="accuracy", name="accuracy", attribute="pixel_accuracy"),
    ),
    "classification": (
        Figure(key="top1", name="top-1", attribute="top1"),
        Figure(key="top5", name="top-5", attribute="top5"),
    ),
}
"""What a run of each task follows; the first one decides which epoch is the best."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scores:
    """Scores as shares from 0 to 1; NaN for what nothing says anything about."""

    matrix: np.ndarray
    """Pixels, or images, int64 (C, C): rows are the truth, columns the prediction."""
    recall: np.ndarray
    """Share of each class's pixels or images that were found, (C,); NaN where there are none."""
    mean_accuracy: float
    """Mean of the recall over the classes present in the truth."""
    reliability: Reliability | None = None
    """How far the probabilities can be believed; None where only the matrix is known."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegmentationScores(Scores):
    """How well every pixel was labelled."""

    iou: np.ndarray
    """Intersection over union of each class, (C,); NaN where a class is in neither."""
    mean_iou: float
    """Mean IoU over the classes present in the truth or the prediction."""
    pixel_accuracy: float
    """Share of all labelled pixels that are right, pooled over the split."""

    @property
    def absent(self) -> list[int]:
        """Classes that occur in neither truth nor prediction and so in no mean."""
        return np.flatnonzero(np.isnan(self.iou)).tolist()


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassificationScores(Scores):
    """How well whole images were classified."""

    precision: np.ndarray
    """Share of the images taken for a class that are of it, (C,); NaN where there are none."""
    top1: float
    """Share of images whose likeliest class is right."""
    top5: float
    """Share of images with the right one among the five likeliest; NaN for five classes or less,
    where it would say nothing."""


class Meter(nn.Module):
    """Counts over a split what logits get right; its state may live on any device.

    Args:
        task: "segmentation" or "classification".
        num_classes: number of logits.
        ignore_index: label of what is counted nowhere: void pixels, padding.
        shared: whether the processes of a run share the split; their counts are then summed up.
    """

    def __init__(
        self, task: str, num_classes: int, *, ignore_index: int, shared: bool = False
    ) -> None:
        super().__init__()
        self.task = task
        self.ignore_index = ignore_index
        self.confusion = MulticlassConfusionMatrix(
            num_classes, ignore_index=ignore_index, validate_args=False, sync_on_compute=shared
        )
        self.reliability = ReliabilityMeter(ignore_index=ignore_index, shared=shared)
        self.top5 = MeanMetric(sync_on_compute=shared)
        self._counts_top5 = task == "classification" and num_classes > TOP

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Add logits (B, C, H, W) or (B, C), and their labels (B, H, W) or (B,)."""
        self.confusion.update(logits.argmax(dim=1), labels)
        self.reliability.update(logits, labels)
        if self._counts_top5:
            known = labels != self.ignore_index
            guesses = logits[known].topk(TOP, dim=1).indices  # (B, C) -> (B, 5)
            self.top5.update((guesses == labels[known, None]).any(dim=1).float())

    def compute(self) -> Scores:
        matrix, measured = self.confusion.compute(), reliability(self.reliability.compute())
        if self.task == "segmentation":
            return dataclasses.replace(score(matrix), reliability=measured)
        top5 = float(self.top5.compute()) if self._counts_top5 else float("nan")
        return dataclasses.replace(score_classes(matrix, top5=top5), reliability=measured)

    def reset(self) -> None:
        self.confusion.reset()
        self.reliability.reset()
        self.top5.reset()


def score(matrix: Tensor | np.ndarray) -> SegmentationScores:
    """Scores of a segmentation from its confusion matrix (C, C) whose rows are the truth."""
    matrix = _as_array(matrix)
    hits, truth, predicted = _count(matrix)
    iou = _share(hits, truth + predicted - hits)
    recall = _share(hits, truth)
    return SegmentationScores(
        matrix=matrix,
        iou=iou,
        recall=recall,
        mean_iou=_mean_of_known(iou),
        pixel_accuracy=float(_share(hits.sum(), matrix.sum())),
        mean_accuracy=_mean_of_known(recall),
    )


def score_classes(matrix: Tensor | np.ndarray, *, top5: float) -> ClassificationScores:
    """Scores of a classification from its confusion matrix (C, C) whose rows are the truth."""
    matrix = _as_array(matrix)
    hits, truth, predicted = _count(matrix)
    recall = _share(hits, truth)
    return ClassificationScores(
        matrix=matrix,
        recall=recall,
        precision=_share(hits, predicted),
        top1=float(_share(hits.sum(), matrix.sum())),
        top5=top5,
        mean_accuracy=_mean_of_known(recall),
    )


def _as_array(matrix: Tensor | np.ndarray) -> np.ndarray:
    return np.asarray(matrix.cpu() if isinstance(matrix, Tensor) else matrix, dtype=np.int64)


def _count(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hits, truths and predictions of each class."""
    return np.diagonal(matrix).astype(np.float64), matrix.sum(axis=1), matrix.sum(axis=0)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """A share of nothing is NaN: not a score of zero, and left out of the means."""
    with np.errstate(invalid="ignore"):
        return np.asarray(part / whole)


def _mean_of_known(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
