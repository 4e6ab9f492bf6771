"""Scores of a whole split, computed from one confusion matrix.

Segmentation is evaluated as in the paper (section 4): intersections and unions are summed over all
images, and IoU is the mean over the classes. Void pixels are ignored. Classes that are absent from
labels and predictions are left out of the mean.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassConfusionMatrix

from tiramisu.evaluation.calibration import (
    CrossEntropyMeter,
    Reliability,
    ReliabilityMeter,
    reliability,
)
from tiramisu.evaluation.error_analysis import (
    Counts,
    ErrorAnalysis,
    Shares,
    divide,
    mean_without_nan,
)
from tiramisu.evaluation.own_metrics import OwnMetrics
from tiramisu.inference.tester import best_class, log_likelihood

TOP = 5
"""Number of most likely classes among which top-5 accuracy looks for the right one."""
COUNTED_AT_ONCE = 2**22
"""Pixels that are counted together: counting takes about 60 bytes for each."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure:
    """A score that is measured after each epoch of a run."""

    key: str
    """Its name in logs (val/miou) and in metrics.csv (val_miou)."""
    name: str
    """Its name in output for people."""
    attribute: str
    """Its name in `Scores` and in JSON."""
    class_index: int | None = None
    """The class whose score it is; None for the whole split."""
    is_loss: bool = False
    """Whether less is better; a loss is no percentage."""

    def read(self, scores: "Scores") -> float:
        """Its value, in percent where it is no loss."""
        value = getattr(scores, self.attribute)
        value = float(value if self.class_index is None else value[self.class_index])
        return value if self.is_loss else 100 * value


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
"""The scores of each task; the first one decides which epoch is the best, unless another is asked
for."""
LOSS = Figure(key="loss", name="loss", attribute="cross_entropy", is_loss=True)
"""The loss on the validation split: cross-entropy, whatever the loss of the training."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scores:
    """Scores from 0 to 1; NaN where there is nothing to measure."""

    matrix: Counts
    """Confusion matrix: pixels or images, (C, C); rows are ground truth, columns predictions."""
    recall: Shares
    """Share of each class's pixels or images that were predicted as this class, (C,); NaN for a
    class that is absent from the labels."""
    mean_accuracy: float
    """Mean of recall over the classes in the labels; called class accuracy in tables."""
    precision: Shares
    """Share of the pixels or images predicted as a class that belong to it, (C,); NaN for a class
    that is never predicted."""
    cross_entropy: float = math.nan
    """Mean cross-entropy of the probabilities over labelled pixels or images, without class
    weights; NaN if only the matrix is known. It is no share: it may be above 1."""
    reliability: Reliability | None = None
    """How far the probabilities can be trusted; None if only the matrix is known."""
    own: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """The values of metrics of one's own, by their names."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ImageScores:
    """How well one image was predicted, from 0 to 1; NaN where it has no labels."""

    name: str
    """Name of the image in its data set."""
    counts: Counts
    """int64 (3, C): right, labelled and predicted pixels of each class."""
    accuracy: float
    """Share of its labelled pixels whose predicted class is right."""
    iou: Shares
    """IoU of each class, (C,); NaN for a class that is neither in its labels nor predicted."""
    boundary_iou: Shares
    """Boundary IoU of each class, (C,), as in `ErrorAnalysis`."""

    @property
    def mean_iou(self) -> float:
        """Mean IoU over the classes that occur in its labels or predictions."""
        return mean_without_nan(self.iou)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassifiedImage:
    """How one image was classified."""

    name: str
    """Name of the image in its data set."""
    truth: int
    """Its class."""
    prediction: int
    """Its most probable class."""
    confidence: float
    """Probability of that class, from 0 to 1."""
    likelihood: float
    """Probability of its own class."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegmentationScores(Scores):
    """Scores of a semantic segmentation."""

    iou: Shares
    """Intersection over union of each class, (C,); NaN for a class that is absent from labels and
    predictions."""
    dice: Shares
    """Dice coefficient of each class, (C,), which is its F1 score: twice the intersection over the
    sum of labelled and predicted pixels; NaN like IoU."""
    mean_iou: float
    """Mean IoU over the classes that occur in labels or predictions."""
    mean_dice: float
    """Mean Dice coefficient over the same classes."""
    mean_precision: float
    """Mean of precision over the classes that are predicted."""
    pixel_accuracy: float
    """Share of all labelled pixels whose predicted class is right."""
    images: tuple[ImageScores, ...] = ()
    """Scores of each image, in the order of the split; empty if only the matrix is known."""
    errors: ErrorAnalysis | None = None
    """Boundary IoU, and where the errors lie; None if only the matrix is known."""

    @property
    def absent(self) -> list[int]:
        """Classes that are absent from labels and predictions, and so left out of the mean."""
        return [int(index) for index in np.flatnonzero(np.isnan(self.iou))]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassificationScores(Scores):
    """Scores of a classification of whole images."""

    top1: float
    """Share of images whose most likely class is right."""
    top5: float
    """Share of images with the right class among the five most likely; NaN for five classes or
    fewer, where it would always be 1."""
    images: tuple[ClassifiedImage, ...] = ()
    """Each image, in the order of the split; empty if only the matrix is known."""


class Meter(nn.Module):
    """Collects predictions over a split and computes their scores; runs on any device.

    Args:
        task: "segmentation" or "classification".
        num_classes: number of logits.
        ignore_index: label of what is ignored: void pixels and padding.
        shared: whether several processes share the split; their counts are then added up.
        own: metrics of one's own; see `OwnMetrics`.
    """

    def __init__(
        self,
        task: str,
        num_classes: int,
        *,
        ignore_index: int,
        shared: bool = False,
        own: Sequence[Any] = (),
    ) -> None:
        super().__init__()
        self.task = task
        self.ignore_index = ignore_index
        self.confusion = MulticlassConfusionMatrix(
            num_classes, ignore_index=ignore_index, validate_args=False, sync_on_compute=shared
        )
        self.reliability = ReliabilityMeter(ignore_index=ignore_index, shared=shared)
        self.cross_entropy = CrossEntropyMeter(ignore_index=ignore_index, shared=shared)
        self.top5 = MeanMetric(sync_on_compute=shared)
        self.own = OwnMetrics(
            own, num_classes=num_classes, ignore_index=ignore_index, shared=shared
        )
        self._counts_top5 = task == "classification" and num_classes > TOP

    def update(
        self,
        classes: Tensor,
        confidence: Tensor,
        labels: Tensor,
        *,
        log_likelihood: Tensor | None = None,
    ) -> None:
        """Add predictions.

        Args:
            classes: predicted classes, integers (B, H, W) or (B,).
            confidence: probability of each predicted class, float32 of the same shape.
            labels: integers of the same shape.
            log_likelihood: logarithm of the probability of the labels, float32 of the same shape;
                None leaves the cross-entropy unknown.
        """
        self.own.update(classes, labels)
        classes, confidence, labels = classes.flatten(), confidence.flatten(), labels.flatten()
        likelihood = None if log_likelihood is None else log_likelihood.flatten()
        for start in range(0, len(labels), COUNTED_AT_ONCE):
            part = slice(start, start + COUNTED_AT_ONCE)
            predicted, truth = classes[part].long(), labels[part].long()
            self.confusion.update(predicted, truth)
            self.reliability.update(predicted, confidence[part], truth)
            if likelihood is not None:
                self.cross_entropy.update(likelihood[part], truth)

    def update_logits(self, logits: Tensor, labels: Tensor) -> None:
        """Add logits (B, C) of a classifier, and their labels (B,)."""
        self.update(*best_class(logits), labels, log_likelihood=log_likelihood(logits, labels))
        if self._counts_top5:
            known = labels != self.ignore_index
            most_likely = logits[known].topk(TOP, dim=1).indices  # (B, C) -> (B, 5)
            self.top5.update((most_likely == labels[known, None]).any(dim=1).float())

    def compute(self) -> Scores:
        """The scores of all that was added."""
        matrix = self.confusion.compute()
        if self.task == "segmentation":
            scores: Scores = score(matrix)
        else:
            top5 = float(self.top5.compute()) if self._counts_top5 else math.nan
            scores = score_classes(matrix, top5=top5)
        return dataclasses.replace(
            scores,
            cross_entropy=float(self.cross_entropy.compute()),
            reliability=reliability(self.reliability.compute()),
            own=self.own.compute(scores.matrix),
        )

    def reset(self) -> None:
        """Forget all that was added."""
        self.confusion.reset()
        self.reliability.reset()
        self.cross_entropy.reset()
        self.top5.reset()
        self.own.reset()


def score(matrix: Tensor | npt.NDArray[np.integer]) -> SegmentationScores:
    """Scores from a confusion matrix (C, C); rows are ground truth, columns predictions."""
    matrix, correct, labelled, predicted = _count(matrix)
    iou, recall = divide(correct, labelled + predicted - correct), divide(correct, labelled)
    dice, precision = divide(2 * correct, labelled + predicted), divide(correct, predicted)
    return SegmentationScores(
        matrix=matrix,
        iou=iou,
        dice=dice,
        recall=recall,
        precision=precision,
        mean_iou=mean_without_nan(iou),
        mean_dice=mean_without_nan(dice),
        mean_precision=mean_without_nan(precision),
        pixel_accuracy=float(divide(correct.sum(), matrix.sum())),
        mean_accuracy=mean_without_nan(recall),
    )


def score_classes(matrix: Tensor | npt.NDArray[np.integer], *, top5: float) -> ClassificationScores:
    """Scores of a classification, like `score`; `top5` is its top-5 accuracy, 0..1."""
    matrix, correct, labelled, predicted = _count(matrix)
    recall = divide(correct, labelled)
    return ClassificationScores(
        matrix=matrix,
        recall=recall,
        precision=divide(correct, predicted),
        top1=float(divide(correct.sum(), matrix.sum())),
        top5=top5,
        mean_accuracy=mean_without_nan(recall),
    )


def count_pixels(classes: Tensor, labels: Tensor, *, num_classes: int, ignore_index: int) -> Tensor:
    """Correct, labelled and predicted pixels of each class in each image, int64 (B, 3, C).

    Void pixels are ignored.

    Args:
        classes: predicted classes, integers (B, H, W).
        labels: integers (B, H, W).
        num_classes: C.
        ignore_index: the label of void.
    """
    counts = torch.zeros(len(labels), 3, num_classes, dtype=torch.int64, device=labels.device)
    for image, label, prediction in zip(counts, labels.flatten(1), classes.flatten(1), strict=True):
        for start in range(0, len(label), COUNTED_AT_ONCE):
            part = slice(start, start + COUNTED_AT_ONCE)
            known = label[part] != ignore_index
            truth, predicted = label[part][known].long(), prediction[part][known].long()
            kinds = (truth[truth == predicted], truth, predicted)
            for row, values in zip(image, kinds, strict=True):
                row += torch.bincount(values, minlength=num_classes)
    return counts


def score_images(
    names: Sequence[str], counts: Tensor, boundary_iou: Sequence[Shares]
) -> tuple[ImageScores, ...]:
    """Scores of images.

    Args:
        names: N names.
        counts: (N, 3, C), of `count_pixels`.
        boundary_iou: of each image, (C,), of `ErrorMeter`.
    """
    return tuple(
        ImageScores(
            name=name,
            counts=rows,
            accuracy=float(divide(rows[0].sum(), rows[1].sum())),
            iou=divide(rows[0], rows[1] + rows[2] - rows[0]),
            boundary_iou=boundaries,
        )
        for name, rows, boundaries in zip(names, counts.cpu().numpy(), boundary_iou, strict=True)
    )


def list_classified(
    names: Sequence[str], logits: Tensor, labels: Tensor
) -> tuple[ClassifiedImage, ...]:
    """How each image was classified, from N names, logits (N, C) and labels (N,)."""
    probabilities = logits.double().softmax(dim=1).cpu()
    truths, predictions = labels.tolist(), probabilities.argmax(dim=1).tolist()
    return tuple(
        ClassifiedImage(
            name=name,
            truth=truth,
            prediction=prediction,
            confidence=float(row[prediction]),
            likelihood=float(row[truth]),
        )
        for name, truth, prediction, row in zip(
            names, truths, predictions, probabilities, strict=True
        )
    )


def _count(matrix: Tensor | npt.NDArray[np.integer]) -> tuple[Counts, Counts, Counts, Counts]:
    """The matrix (C, C) as int64, and each class's correct, labelled and predicted number, (C,)."""
    counts = np.asarray(matrix.cpu() if isinstance(matrix, Tensor) else matrix, dtype=np.int64)
    return counts, np.diagonal(counts), counts.sum(axis=1), counts.sum(axis=0)
