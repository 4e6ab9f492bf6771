"""How far predicted probabilities can be trusted: of pixels predicted with 70 %, are 70 % right?"""

import dataclasses
import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchmetrics import Metric

BINS = 15
"""Bins of equal width between 0 and 1, as in arXiv 1706.04599."""
_UNIT = 1e-6
"""Confidence is summed in integers of this unit, so the sum is exact on every device and does not
depend on the order."""
_HIGHEST_LOSS = 1000.0
"""Highest cross-entropy of a pixel that is counted, so that sums stay within their integers."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Reliability:
    """Confidence, which is the probability of the predicted class, compared with accuracy."""

    count: npt.NDArray[np.int64]
    """Number of pixels, or images, in each bin of confidence, (BINS,)."""
    confidence: npt.NDArray[np.float64]
    """Mean confidence in each bin, 0..1, (BINS,); NaN for an empty bin."""
    accuracy: npt.NDArray[np.float64]
    """Share of correct predictions in each bin, 0..1, (BINS,); NaN for an empty bin."""

    @property
    def expected_calibration_error(self) -> float:
        """Mean of |confidence - accuracy| weighted by count, 0..1 (arXiv 1706.04599, eq. 5).

        NaN if nothing was counted.
        """
        total = self.count.sum()
        if not total:
            return math.nan
        return float(np.nansum(self.count * np.abs(self.confidence - self.accuracy)) / total)


class ReliabilityMeter(Metric):
    """Counts, over a split, how often predictions of each confidence are correct.

    Args:
        ignore_index: label of what is ignored.
        shared: whether several processes share the split; their counts are then added up.
    """

    full_state_update = False  # else torchmetrics does not add up two meters
    counts: Tensor  # count, correct predictions and summed confidence of each bin, (3, BINS)

    def __init__(self, *, ignore_index: int, shared: bool = False) -> None:
        super().__init__(sync_on_compute=shared)
        self.ignore_index = ignore_index
        self.add_state("counts", torch.zeros(3, BINS, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, classes: Tensor, confidence: Tensor, labels: Tensor) -> None:
        """Add predicted classes, their probabilities and the labels, (B, H, W) or (B,) each."""
        known = labels != self.ignore_index
        confidence = confidence[known]
        confidence = confidence.nan_to_num(0.0)  # logits that are NaN or infinite: no confidence
        correct = (classes == labels)[known].long()
        bins = (confidence * BINS).long().clamp(max=BINS - 1)
        added = (torch.ones_like(correct), correct, (confidence / _UNIT).round().long())
        for total, values in zip(self.counts, added, strict=True):
            total.index_add_(0, bins, values)

    def compute(self) -> Tensor:
        """Count, correct predictions and summed confidence of each bin, int64 (3, BINS)."""
        return self.counts


class CrossEntropyMeter(Metric):
    """Mean cross-entropy of predicted probabilities over the labelled pixels, or images.

    It is the negative logarithm of the probability of the label, without class weights.

    Args:
        ignore_index: label of what is ignored.
        shared: whether several processes share the split; their sums are then added up.
    """

    full_state_update = False
    sums: Tensor  # number of pixels, and their summed cross-entropy in units of _UNIT, (2,)

    def __init__(self, *, ignore_index: int, shared: bool = False) -> None:
        super().__init__(sync_on_compute=shared)
        self.ignore_index = ignore_index
        self.add_state("sums", torch.zeros(2, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, log_likelihood: Tensor, labels: Tensor) -> None:
        """Add the logarithms of the probability of the labels, and the labels, of one shape."""
        known = labels != self.ignore_index
        losses = -log_likelihood[known].nan_to_num(nan=0.0, neginf=-_HIGHEST_LOSS)
        units = (losses.clamp(max=_HIGHEST_LOSS) / _UNIT).round().long()
        self.sums += torch.stack([known.sum(), units.sum()])

    def compute(self) -> Tensor:
        """The mean, float64 (); NaN if nothing was labelled."""
        count, units = self.sums.cpu().double()
        mean: Tensor = units * _UNIT / count
        return mean


def reliability(counts: Tensor) -> Reliability:
    """Turn the counts (3, BINS) of a `ReliabilityMeter` into means."""
    count, correct, confidence = counts.cpu().numpy()
    with np.errstate(invalid="ignore"):
        return Reliability(
            count=count, confidence=confidence * _UNIT / count, accuracy=correct / count
        )
