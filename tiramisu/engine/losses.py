"""Losses over the labelled pixels of a batch: void pixels weigh nothing."""

import torch
import torch.nn.functional as F
from segmentation_models_pytorch.losses import DiceLoss, FocalLoss, LovaszLoss
from torch import Tensor, nn

from tiramisu.data.labels import IGNORE_INDEX

# Median-frequency weights of CamVid's rarest class pass 20, which drowns the others in its noise.
CAPPED_WEIGHTS = (0.5, 5.0)


class CrossEntropy(nn.Module):
    """Mean cross-entropy over labelled pixels, optionally weighted by class and smoothed.

    Unlike `F.cross_entropy`, a batch without any labelled pixel gives 0 instead of NaN.
    """

    weight: Tensor

    def __init__(
        self, num_classes: int, *, weight: Tensor | None = None, label_smoothing: float = 0.0
    ) -> None:
        super().__init__()
        weight = torch.ones(num_classes) if weight is None else weight
        self.register_buffer("weight", weight, persistent=False)
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logits (B, C, H, W), labels (B, H, W) -> a number."""
        total = F.cross_entropy(
            logits.float(),
            labels,
            weight=self.weight,
            ignore_index=IGNORE_INDEX,
            label_smoothing=self.label_smoothing,
            reduction="sum",
        )
        labelled = labels != IGNORE_INDEX
        weights = self.weight[labels.clamp(max=len(self.weight) - 1)] * labelled
        return total / weights.sum().clamp(min=torch.finfo(weights.dtype).tiny)


class SumOfLosses(nn.Module):
    """Two losses, equally weighted."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first = first
        self.second = second

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        return self.first(logits, labels) + self.second(logits.float(), labels)


def build_loss(
    name: str, *, num_classes: int, weight: Tensor | None = None, label_smoothing: float = 0.0
) -> nn.Module:
    """The loss of a configuration; takes logits (B, C, H, W) and int64 labels (B, H, W)."""
    cross_entropy = CrossEntropy(num_classes, weight=weight, label_smoothing=label_smoothing)
    match name:
        case "cross_entropy":
            return cross_entropy
        case "cross_entropy+dice":
            return SumOfLosses(cross_entropy, DiceLoss("multiclass", ignore_index=IGNORE_INDEX))
        case "cross_entropy+lovasz":
            return SumOfLosses(cross_entropy, LovaszLoss("multiclass", ignore_index=IGNORE_INDEX))
        case "focal":
            return FocalLoss("multiclass", ignore_index=IGNORE_INDEX)
    raise ValueError(f"unknown loss {name!r}")


def balance_classes(pixels: Tensor, *, capped: bool) -> Tensor:
    """Median-frequency weights from the pixels of each class, (C,) -> (C,) float32.

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
