"""Counting, over a whole split, what its scores follow from."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassConfusionMatrix

from tiramisu.evaluation.calibration import CrossEntropyMeter, ReliabilityMeter, reliability
from tiramisu.evaluation.error_analysis import Shares, divide
from tiramisu.evaluation.own_metrics import OwnMetrics
from tiramisu.evaluation.scores import ClassifiedImage, ImageScores, Scores, score, score_classes
from tiramisu.inference.tester import best_class, log_likelihood

TOP = 5
"""Number of most likely classes among which top-5 accuracy looks for the right one."""
COUNTED_AT_ONCE = 2**22
"""Pixels that are counted together: counting takes about 60 bytes for each."""


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

    def merge(self, other: "Meter") -> None:
        """Add what another meter of the same kind has collected."""
        for name in ("confusion", "reliability", "cross_entropy", "top5"):
            getattr(self, name).merge_state(getattr(other, name))
        self.own.merge(other.own)

    def reset(self) -> None:
        """Forget all that was added."""
        self.confusion.reset()
        self.reliability.reset()
        self.cross_entropy.reset()
        self.top5.reset()
        self.own.reset()


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
