"""The scores of a whole split, which all follow from one confusion matrix.

Segmentation is evaluated as in the paper (section 4): intersections and unions are summed over all
images, and IoU is the mean over the classes. Void pixels are ignored. Classes that are absent from
labels and predictions are left out of the mean.
"""

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from torch import Tensor

from tiramisu.evaluation.calibration import Reliability
from tiramisu.evaluation.error_analysis import (
    Counts,
    ErrorAnalysis,
    Shares,
    divide,
    mean_without_nan,
)
from tiramisu.text import in_percent


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


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
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

    def __repr__(self) -> str:
        return (
            f"<SegmentationScores of {len(self.images)} images and {len(self.iou)} classes: "
            f"mean IoU {in_percent(self.mean_iou)} %, "
            f"pixel accuracy {in_percent(self.pixel_accuracy)} %>"
        )

    @property
    def absent(self) -> list[int]:
        """Classes that are absent from labels and predictions, and so left out of the mean."""
        return [int(index) for index in np.flatnonzero(np.isnan(self.iou))]


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class ClassificationScores(Scores):
    """Scores of a classification of whole images."""

    top1: float
    """Share of images whose most likely class is right."""
    top5: float
    """Share of images with the right class among the five most likely; NaN for five classes or
    fewer, where it would always be 1."""
    images: tuple[ClassifiedImage, ...] = ()
    """Each image, in the order of the split; empty if only the matrix is known."""

    def __repr__(self) -> str:
        return (
            f"<ClassificationScores of {len(self.images)} images and {len(self.recall)} classes: "
            f"top-1 {in_percent(self.top1)} %>"
        )


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


def _count(matrix: Tensor | npt.NDArray[np.integer]) -> tuple[Counts, Counts, Counts, Counts]:
    """The matrix (C, C) as int64, and each class's correct, labelled and predicted number, (C,)."""
    counts = np.asarray(matrix.cpu() if isinstance(matrix, Tensor) else matrix, dtype=np.int64)
    return counts, np.diagonal(counts), counts.sum(axis=1), counts.sum(axis=0)
