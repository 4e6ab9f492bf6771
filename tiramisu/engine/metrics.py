"""Scores of a segmentation, all computed from one confusion matrix of the whole split.

As in the paper (section 4): intersections and unions are summed over all images first, void pixels
are counted nowhere, and the mean is taken over the classes.
"""

import dataclasses

import numpy as np
from torch import Tensor
from torchmetrics.classification import MulticlassConfusionMatrix

from tiramisu.data.labels import IGNORE_INDEX


def new_confusion_matrix(num_classes: int, *, shared: bool = False) -> MulticlassConfusionMatrix:
    """An empty int64 matrix (truth, prediction) that skips void pixels.

    Update it with predictions (B, H, W) and labels (B, H, W). Where the processes of a run share a
    split, their counts are summed up when it is computed.
    """
    return MulticlassConfusionMatrix(
        num_classes, ignore_index=IGNORE_INDEX, validate_args=False, sync_on_compute=shared
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scores:
    """Scores as shares from 0 to 1; NaN for what no pixel says anything about."""

    matrix: np.ndarray
    """Pixels, int64 (C, C): rows are the truth, columns the prediction."""
    iou: np.ndarray
    """Intersection over union of each class, (C,); NaN where a class is in neither."""
    recall: np.ndarray
    """Share of each class's pixels that were found, (C,); NaN where it is not in the truth."""
    mean_iou: float
    """Mean IoU over the classes present in the truth or the prediction."""
    pixel_accuracy: float
    """Share of all labelled pixels that are right, pooled over the split."""
    mean_accuracy: float
    """Mean of the recall over the classes present in the truth."""

    @property
    def absent(self) -> list[int]:
        """Classes that occur in neither truth nor prediction and so in no mean."""
        return np.flatnonzero(np.isnan(self.iou)).tolist()


def score(matrix: Tensor | np.ndarray) -> Scores:
    """Scores of a confusion matrix (C, C) whose rows are the truth."""
    matrix = np.asarray(matrix.cpu() if isinstance(matrix, Tensor) else matrix, dtype=np.int64)
    hits = np.diagonal(matrix).astype(np.float64)
    truth = matrix.sum(axis=1)
    predicted = matrix.sum(axis=0)
    # A share of nothing is NaN: not a score of zero, and left out of the means.
    with np.errstate(invalid="ignore"):
        iou = hits / (truth + predicted - hits)
        recall = hits / truth
        pixel_accuracy = float(hits.sum() / matrix.sum())
    return Scores(
        matrix=matrix,
        iou=iou,
        recall=recall,
        mean_iou=_mean_of_known(iou),
        pixel_accuracy=pixel_accuracy,
        mean_accuracy=_mean_of_known(recall),
    )


def _mean_of_known(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
