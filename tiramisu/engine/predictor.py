"""What prediction and evaluation ask of a model, be it PyTorch's or an exported one."""

from typing import Protocol

import torch
from torch import Tensor

from tiramisu.engine.checkpoint import ModelInfo


class Predictor(Protocol):
    """A trained network, whatever executes it. `SegmentationModel` is one."""

    info: ModelInfo
    """What its logits mean."""
    training: bool
    """Whether it is in training mode, where dropout is random."""

    @property
    def device(self) -> torch.device:
        """Where it wants its images."""

    def __call__(self, images: Tensor, *, size: tuple[int, int] | None = None) -> Tensor:
        """(B, 3, H, W) RGB in 0..255 -> logits (B, num_classes, H, W), or of `size`."""
        ...
