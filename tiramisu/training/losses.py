"""Losses over the labelled pixels or images of a batch. Void pixels are ignored.

Cross-entropies, Dice and Tversky never wait for a GPU; Lovász and focal loss, as
segmentation-models-pytorch computes them, do in every step.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from segmentation_models_pytorch.losses import DiceLoss, FocalLoss, LovaszLoss, TverskyLoss
from torch import Tensor, nn

from tiramisu.training.config import Loss

FALSE_WEIGHT, MISSED_WEIGHT = 0.3, 0.7
"""Weights of false and of missed pixels in the Tversky loss (arXiv 1706.05721, table 1)."""
CAPPED_WEIGHTS = (0.5, 5.0)
"""Lowest and highest capped weight. Uncapped, the rarest class of CamVid gets more than 20, and its
noise outweighs all other classes."""


class SumOfLosses(nn.Module):
    """The sum of several losses; 0 for a batch without labels, where most of them are NaN.

    Args:
        losses: each takes logits and labels.
        ignore_index: label of void pixels.
    """

    def __init__(self, losses: Sequence[nn.Module], *, ignore_index: int) -> None:
        super().__init__()
        self.losses = nn.ModuleList(losses)
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss, a float32 scalar, of logits and int64 labels.

        Args:
            logits: (B, C, H, W), or (B, C) for classification.
            labels: (B, H, W), or (B,).
        """
        logits = logits.float()
        # Lovász has no elements where no pixel is labelled.
        total = torch.stack([loss(logits, labels).sum() for loss in self.losses]).sum()
        # Chosen on the device: an `if` would wait for it.
        return torch.where((labels != self.ignore_index).any(), total, 0.0)


class CrossEntropy(nn.Module):
    """torch's cross-entropy, whose class weights may be 0; 0 for a batch without labels.

    Args:
        ignore_index: label of void pixels.
        weight: class weights (C,); pixels of a class of weight 0 are ignored as void is.
        label_smoothing: share of the target spread over all classes.
    """

    weight: Tensor | None

    def __init__(self, *, ignore_index: int, weight: Tensor | None, label_smoothing: float) -> None:
        super().__init__()
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing
        self.register_buffer("weight", weight)
        self.has_zeros = weight is not None and bool((weight == 0).any())

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        if self.has_zeros and self.weight is not None:
            known = labels != self.ignore_index
            counts = self.weight[labels.where(known, 0)] > 0
            labels = labels.where(known & counts, self.ignore_index)
        loss = F.cross_entropy(
            logits,
            labels,
            self.weight,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
        )
        return torch.where((labels != self.ignore_index).any(), loss, 0.0)


class BinaryCrossEntropy(nn.Module):
    """Sigmoid cross-entropy of each class against all others, the mean over pixels and classes.

    Args:
        ignore_index: label of void pixels.
        weight: class weights (C,); that of a pixel is the weight of its class.
    """

    weight: Tensor | None

    def __init__(self, *, ignore_index: int, weight: Tensor | None) -> None:
        super().__init__()
        self.ignore_index = ignore_index
        self.register_buffer("weight", weight)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        known = labels != self.ignore_index
        index = labels.where(known, 0)
        target = torch.zeros_like(logits).scatter_(1, index[:, None], 1.0)  # one-hot (B, C, ...)
        losses = F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean(dim=1)
        weights = known.to(losses.dtype)
        if self.weight is not None:
            weights = weights * self.weight[index]
        total = weights.sum()
        return (losses * weights).sum() / total.where(total > 0, 1.0)


def build_loss(
    name: Loss, *, ignore_index: int, weight: Tensor | None = None, label_smoothing: float = 0.0
) -> SumOfLosses:
    """Build a loss by its name in the settings.

    Args:
        name: one loss, or two with a + between them.
        ignore_index: label of void pixels.
        weight: class weights (C,), for cross-entropy and binary cross-entropy only.
        label_smoothing: share of the target spread over all classes, for cross-entropy only.
    """
    builders: dict[str, Callable[[], nn.Module]] = {
        "cross_entropy": lambda: CrossEntropy(
            ignore_index=ignore_index, weight=weight, label_smoothing=label_smoothing
        ),
        "bce": lambda: BinaryCrossEntropy(ignore_index=ignore_index, weight=weight),
        "focal": lambda: FocalLoss("multiclass", ignore_index=ignore_index),
        "dice": lambda: DiceLoss("multiclass", ignore_index=ignore_index),
        "tversky": lambda: TverskyLoss(
            "multiclass", ignore_index=ignore_index, alpha=FALSE_WEIGHT, beta=MISSED_WEIGHT
        ),
        "lovasz": lambda: LovaszLoss("multiclass", ignore_index=ignore_index),
    }
    losses = [builders[part]() for part in name.split("+")]
    return SumOfLosses(losses, ignore_index=ignore_index)


def balance_classes(pixels: Tensor, *, capped: bool) -> Tensor:
    """Median-frequency class weights, float32 (C,) (Eigen and Fergus, arXiv 1411.4734).

    The weight of a class is the median share of all classes divided by its own share. A class
    without pixels gets the weight 1.

    Args:
        pixels: number of pixels, or of images, of each class, (C,).
        capped: limit the weights to 0.5..5.
    """
    present = pixels > 0
    share = pixels.double() / pixels.sum()
    weight = torch.ones(len(pixels), dtype=torch.float64)
    weight[present] = share[present].median() / share[present]
    if capped:
        weight = weight.clamp(*CAPPED_WEIGHTS)
    return weight.float()
