"""Losses over the labelled pixels or images of a batch. Void pixels are ignored.

Cross-entropy and Dice never wait for a GPU; Lovász and focal loss, as segmentation-models-pytorch
computes them, do in every step.
"""

from collections.abc import Sequence

import torch
from segmentation_models_pytorch.losses import DiceLoss, FocalLoss, LovaszLoss
from torch import Tensor, nn
from typing_extensions import assert_never

from tiramisu.training.config import Loss

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


def build_loss(
    name: Loss, *, ignore_index: int, weight: Tensor | None = None, label_smoothing: float = 0.0
) -> SumOfLosses:
    """Build a loss by its name in the settings.

    Args:
        name: cross_entropy, cross_entropy+dice, cross_entropy+lovasz or focal.
        ignore_index: label of void pixels.
        weight: class weights (C,), for cross-entropy only.
        label_smoothing: share of the target spread over all classes, for cross-entropy only.
    """
    cross_entropy = nn.CrossEntropyLoss(
        weight, ignore_index=ignore_index, label_smoothing=label_smoothing
    )
    losses: list[nn.Module]
    match name:
        case "cross_entropy":
            losses = [cross_entropy]
        case "cross_entropy+dice":
            losses = [cross_entropy, DiceLoss("multiclass", ignore_index=ignore_index)]
        case "cross_entropy+lovasz":
            losses = [cross_entropy, LovaszLoss("multiclass", ignore_index=ignore_index)]
        case "focal":
            losses = [FocalLoss("multiclass", ignore_index=ignore_index)]
        case _:
            assert_never(name)
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
