"""What prediction and evaluation need of a model, in PyTorch or exported."""

from typing import Protocol

import torch
from torch import Tensor

from tiramisu.checkpoints.info import ModelInfo

MIN_SIDE = 32
"""Smallest side of an image, in pixels: FC-DenseNets halve their input five times."""


class Predictor(Protocol):
    """A trained network, executed by any runtime. `SegmentationModel` is one."""

    info: ModelInfo
    """What its logits mean."""
    training: bool
    """Whether it is in training mode, where dropout is random."""

    @property
    def device(self) -> torch.device:
        """Device on which it takes images."""

    def __call__(self, images: Tensor, *, size: tuple[int, int] | None = None) -> Tensor:
        """(B, 3, H, W) RGB in 0..255 -> logits (B, num_classes, H, W), or of `size`.

        A classifier takes no `size` and returns logits (B, num_classes).
        """
        ...


def logits_for(model: Predictor, images: Tensor, labels: Tensor) -> Tensor:
    """Logits to compare with labels: (B, C, H, W) for labels (B, H, W), (B, C) for (B,)."""
    if labels.ndim == 1:
        return model(images)
    return model(images, size=(labels.shape[1], labels.shape[2]))


def require_task(model: Predictor, task: str) -> None:
    """Raise ValueError if a model is not for `task`."""
    if model.info.task == task:
        return
    if task == "segmentation":
        raise ValueError(
            f"the model ({model.info.arch}) classifies whole images; predict with "
            "tools/predict_cls.py (in Python: tiramisu.classify)"
        )
    raise ValueError(
        f"the model ({model.info.arch}) predicts every pixel; predict with tools/predict_seg.py "
        "(in Python: tiramisu.predict)"
    )
