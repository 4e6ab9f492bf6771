"""Losses over the labelled pixels or images of a batch: void weighs nothing."""

from collections.abc import Sequence

import torch
from segmentation_models_pytorch.losses import DiceLoss, FocalLoss, LovaszLoss
from torch import Tensor, nn

# Median-frequency weights of CamVid's rarest class pass 20, which drowns the others in its noise.
CAPPED_WEIGHTS = (0.5, 5.0)


class SumOfLosses(nn.Module):
    """Adds up losses; a batch without any label, of which most make NaN, costs 0."""

    def __init__(self, losses: Sequence[nn.Module], *, ignore_index: int) -> None:
        super().__init__()
        self.losses = nn.ModuleList(losses)
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logits (B, C, H, W) and int64 labels (B, H, W), or (B, C) and (B,) -> a number."""
        logits = logits.float()
        if not (labels != self.ignore_index).any():
            return 0 * logits.sum()
        return torch.stack([loss(logits, labels) for loss in self.losses]).sum()


def build_loss(
    name: str,
    *,
    ignore_index: int,
    weight: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> SumOfLosses:
    """The loss of a configuration; class weights (C,) and smoothing are for cross-entropy."""
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
            raise ValueError(f"unknown loss {name!r}")
    return SumOfLosses(losses, ignore_index=ignore_index)


def balance_classes(pixels: Tensor, *, capped: bool) -> Tensor:
    """Median-frequency weights from the pixels (or images) of each class, (C,) -> (C,) float32.

    A class weighs the median share of all classes divided by its own share (Eigen and Fergus,
    arXiv 1411.4734); a class without a pixel weighs 1. `capped` keeps weights within 0.5..5.
    """
    present = pixels > 0
    share = pixels.double() / pixels.sum()
    weight = torch.ones(len(pixels), dtype=torch.float64)
    weight[present] = share[present].median() / share[present]
    if capped:
        weight = weight.clamp(*CAPPED_WEIGHTS)
    return weight.float()
