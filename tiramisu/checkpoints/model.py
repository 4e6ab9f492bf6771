"""A network together with what its numbers mean: the model that is trained, saved and used."""

import dataclasses
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import Self

from tiramisu.checkpoints.hub_model import HubMixin
from tiramisu.checkpoints.info import ModelInfo
from tiramisu.models import build_model, list_models, task_of

# Of ImageNet's training images, as the field has used them since AlexNet.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class ImageModel(HubMixin):
    """A network together with what its numbers mean.

    Takes RGB images as they are decoded, uint8 or float in 0..255, and normalises them itself.
    """

    task: ClassVar[Literal["segmentation", "classification"]]
    """What its logits label."""
    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, info: ModelInfo) -> None:
        super().__init__()
        self.network = network
        self.info = dataclasses.replace(info, task=self.task)
        # Not persistent: the numbers live in the JSON, and the weights file holds weights alone.
        self.register_buffer("mean", 255 * torch.tensor(info.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(info.std).view(3, 1, 1), persistent=False)

    @classmethod
    def build(cls, info: ModelInfo, *, memory_efficient: bool = False) -> Self:
        """A model with fresh weights. Raises ValueError if its network does something else."""
        if task_of(info.arch) != cls.task:
            raise ValueError(
                f"{info.arch} {DOES[task_of(info.arch)]}; for {cls.task} choose one of "
                f"{', '.join(list_models(cls.task))}"
            )
        network = build_model(
            info.arch,
            num_classes=len(info.class_names),
            dropout=info.dropout,
            memory_efficient=memory_efficient,
        )
        return cls(network, info)

    @property
    def device(self) -> torch.device:
        """Where the model is, and wants its images."""
        return self.mean.device

    def run_network(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) RGB in 0..255 -> the network's logits."""
        return self.network((images - self.mean) / self.std)


class SegmentationModel(ImageModel):
    """A model that labels every pixel."""

    task = "segmentation"

    def forward(self, images: Tensor, *, size: tuple[int, int] | None = None) -> Tensor:
        """(B, 3, H, W) RGB in 0..255 -> logits (B, num_classes, H, W).

        `size` asks for logits of another height and width, such as the labels' where the network
        saw shrunken images; they are interpolated bilinearly.
        """
        logits = self.run_network(images)
        if size is not None and logits.shape[-2:] != size:
            logits = F.interpolate(logits.float(), size=size, mode="bilinear")
        return logits


class ClassificationModel(ImageModel):
    """A model that labels the whole image."""

    task = "classification"

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) RGB in 0..255 -> logits (B, num_classes)."""
        return self.run_network(images)


DOES = {
    "segmentation": "labels every pixel",
    "classification": "classifies whole images and gives no logits per pixel",
}


def build_image_model(info: ModelInfo, *, memory_efficient: bool = False) -> ImageModel:
    """A model with fresh weights, for its task."""
    kind = SegmentationModel if info.task == "segmentation" else ClassificationModel
    return kind.build(info, memory_efficient=memory_efficient)
