"""Whether a network's probabilities can be believed: of what it gives 70 %, are 70 % right?"""

import dataclasses
import math

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

BINS = 15
"""Of equal width between 0 and 1, as in arXiv 1706.04599."""
_UNIT = 1e-6
"""Confidence is summed in integers, exactly: on every device, in any order, over any number."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Reliability:
    """Confidence, the probability of the class that was chosen, against accuracy."""

    count: np.ndarray
    """Pixels, or images, in each of BINS bins of confidence, int64 (BINS,)."""
    confidence: np.ndarray
    """Mean confidence of each bin, 0..1, (BINS,); NaN where a bin is empty."""
    accuracy: np.ndarray
    """Share of each bin that is right, 0..1, (BINS,); NaN where a bin is empty."""

    @property
    def expected_calibration_error(self) -> float:
        """Mean distance of confidence from accuracy, weighted by count, 0..1 (1706.04599, eq. 5).

        NaN where nothing was judged.
        """
        total = self.count.sum()
        if not total:
            return math.nan
        return float(np.nansum(self.count * np.abs(self.confidence - self.accuracy)) / total)


class ReliabilityMeter(Metric):
    """Counts over a split how often a confidence is right."""

    confidence: Tensor
    hits: Tensor
    count: Tensor

    def __init__(self, *, ignore_index: int, shared: bool = False) -> None:
        super().__init__(sync_on_compute=shared)
        self.ignore_index = ignore_index
        for name in ("confidence", "hits", "count"):
            self.add_state(name, torch.zeros(BINS, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Add logits (B, C, H, W) or (B, C), and their labels (B, H, W) or (B,)."""
        known = labels != self.ignore_index
        # The softmax at its highest, without the others: exp(highest - log of the sum of all exp).
        highest, classes = logits.float().max(dim=1)
        confidence = (highest - logits.float().logsumexp(dim=1)).exp()[known]
        confidence = confidence.nan_to_num(0.0)  # a network that has broken down is sure of nothing
        hits = (classes == labels)[known].long()
        bins = (confidence * BINS).long().clamp(max=BINS - 1)
        for total, values in (
            (self.confidence, (confidence / _UNIT).round().long()),
            (self.hits, hits),
            (self.count, torch.ones_like(hits)),
        ):
            total.index_add_(0, bins, values)

    def compute(self) -> Tensor:
        """Count, hits and summed confidence of each bin, int64 (3, BINS), for `reliability`."""
        return torch.stack([self.count, self.hits, self.confidence])


def reliability(counts: Tensor) -> Reliability:
    """What the counts of a `ReliabilityMeter` come to."""
    count, hits, confidence = counts.cpu().numpy()
    with np.errstate(invalid="ignore"):
        return Reliability(
            count=count, confidence=confidence * _UNIT / count, accuracy=hits / count
        )
