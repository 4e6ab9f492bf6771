"""What prediction and evaluation need of a model, in PyTorch or exported."""

from typing import Protocol

import torch
from torch import Tensor

from tiramisu.checkpoints.info import ModelInfo
from tiramisu.own_parts import describe_part

MIN_SIDE = 32
"""Smallest side of an image, in pixels: FC-DenseNets halve their input five times."""


class Predictor(Protocol):
    """A trained network, executed by any runtime. `SegmentationModel` is one."""

    info: ModelInfo
    """What its logits mean."""

    @property
    def training(self) -> bool:
        """Whether it is in training mode, where dropout is random."""

    @property
    def device(self) -> torch.device:
        """Device on which it takes images."""

    def __call__(self, images: Tensor, *, size: tuple[int, int] | None = None) -> Tensor:
        """(B, C, H, W) with the values of image files -> logits (B, num_classes, H, W).

        `size` asks for logits of another height and width. A classifier takes no `size` and returns
        logits (B, num_classes).
        """
        ...


def check_model(model: Predictor, task: str) -> None:
    """Raise ValueError if a model is not for `task`, is in training mode, or is no model."""
    if not hasattr(model, "info"):
        raise ValueError(
            f"expected a model, as load_model or load_exported give it, not {describe_part(model)}"
        )
    if model.info.task != task:
        does, tool, function = {
            "classification": ("classifies whole images", "predict_cls", "classify"),
            "segmentation": ("predicts every pixel", "predict_seg", "predict"),
        }[model.info.task]
        raise ValueError(
            f"the model ({model.info.arch}) {does}; predict with tools/{tool}.py (in Python: "
            f"tiramisu.{function})"
        )
    if model.training:
        raise ValueError(
            "the model is in training mode, where dropout is random: call model.eval()"
        )


def check_finite(model: Predictor, is_finite: Tensor) -> None:
    """Raise ValueError if outputs of a model are not finite; the bool may still be on a device."""
    if not is_finite:
        raise ValueError(
            f"the model ({model.info.arch}) gives NaN or infinity: its weights are "
            "damaged or too large; use another checkpoint"
        )
