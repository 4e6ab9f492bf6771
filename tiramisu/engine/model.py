"""A network together with what its numbers mean: the model that is trained, saved and used."""

import dataclasses
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import Self

from tiramisu.engine.hub import HubMixin
from tiramisu.models import build_model, list_models, task_of

# Of ImageNet's training images, as the field has used them since AlexNet.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What a network's weights mean; the content of `model.json`."""

    arch: str
    """Name of the network, as `build_model` knows it."""
    class_names: tuple[str, ...]
    """One name for each logit, in order."""
    colors: tuple[tuple[int, int, int], ...]
    """One RGB colour, 0..255, for each class."""
    task: Literal["segmentation", "classification"] = "segmentation"
    """What logits label: each pixel, or the whole image."""
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Subtracted from each RGB channel after its scaling to 0..1."""
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Divides each channel after `mean` is subtracted."""
    image_scale: float = 1.0
    """Factor by which images are shrunk before the network sees them."""
    image_size: tuple[int, int] | None = None
    """Height and width to which images are brought before they are classified; None for any."""
    dropout: float | None = None
    """Dropout the network was trained with; None is its architecture's own."""
    dataset: str = ""
    """Name of the data set it was trained on."""
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    """What was measured on the validation split, in percent."""

    @classmethod
    def from_dict(cls, values: dict[str, Any], *, origin: str) -> "ModelInfo":
        """Read what JSON or a checkpoint holds; `origin` names it in errors."""
        size = values.get("image_size")
        try:
            return cls(
                **{
                    **values,
                    "class_names": tuple(values["class_names"]),
                    "colors": tuple(tuple(color) for color in values["colors"]),
                    "mean": tuple(values["mean"]),
                    "std": tuple(values["std"]),
                    "image_size": None if size is None else tuple(size),
                }
            )
        except (TypeError, KeyError) as error:
            raise ValueError(
                f"{origin} does not describe a Tiramisu model ({error}); expected the model.json "
                "that training writes beside model.safetensors"
            ) from None


class ImageModel(HubMixin, nn.Module):
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
