"""A network together with the meaning of its weights: what is trained, saved and used."""

import dataclasses
from pathlib import Path
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import Self

from tiramisu.checkpoints.hub_model import HubMixin
from tiramisu.checkpoints.info import ModelInfo
from tiramisu.checkpoints.model_files import read_model_file
from tiramisu.checkpoints.run_folder import CHECKPOINTS
from tiramisu.checkpoints.weights_file import load_weights
from tiramisu.models import build_model, list_models, task_of
from tiramisu.models.own_network import NetworkBuilder, OwnNetwork, build_own, find_network
from tiramisu.models.zoo import is_own_network

# Mean and standard deviation of ImageNet's training images, RGB in 0..1.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class ImageModel(HubMixin):
    """A network together with the meaning of its weights.

    Takes images with the values of their files, such as RGB in 0..255, and normalises them itself.

    Args:
        network: (B, C, H, W) normalised images -> logits.
        info: what its weights mean.
    """

    task: ClassVar[Literal["segmentation", "classification"]]
    """Whether the logits label each pixel or the whole image."""
    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, info: ModelInfo) -> None:
        super().__init__()
        self.network = network
        self.info = dataclasses.replace(info, task=self.task)
        # Not persistent: they are stored in the JSON, and the weights file holds only weights.
        low, high = torch.tensor(info.value_range, dtype=torch.float64).T
        mean, std = torch.tensor(info.mean).double(), torch.tensor(info.std).double()
        for name, value in (("mean", low + (high - low) * mean), ("std", (high - low) * std)):
            self.register_buffer(name, value.float().view(-1, 1, 1), persistent=False)

    @classmethod
    def build(
        cls,
        info: ModelInfo,
        *,
        memory_efficient: bool = False,
        network: NetworkBuilder | None = None,
    ) -> Self:
        """A model with fresh weights.

        Args:
            info: what they mean.
            memory_efficient: see `build_model`.
            network: builds a network of one's own that is not found by `info.arch`.

        Raises:
            ValueError: the network cannot be built, or is for another task.
        """
        if is_own_network(info.arch):
            own = build_own(
                info.arch,
                num_classes=len(info.class_names),
                in_channels=info.channels,
                dropout=info.dropout,
                memory_efficient=memory_efficient,
                builder=network,
            )
            _check_own_task(own, info.arch, task=cls.task)
            return cls(own, info)
        task = task_of(info.arch)
        if task != cls.task:
            raise ValueError(
                f"{info.arch} is a network for {task}; for {cls.task} choose one of "
                f"{', '.join(list_models(cls.task))}"
            )
        if network is not None:
            raise ValueError(
                f"network is given, and {info.arch} is no network of one's own: leave network out"
            )
        known = build_model(
            info.arch,
            num_classes=len(info.class_names),
            in_channels=info.channels,
            dropout=info.dropout,
            memory_efficient=memory_efficient,
        )
        return cls(known, info)

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        device: str | torch.device = "cpu",
        network: NetworkBuilder | None = None,
        is_downloaded: bool = False,
    ) -> Self:
        """Load a model from its file, ready to predict (evaluation mode).

        Args:
            path: a `.safetensors` file with its JSON beside it, or a `.ckpt` file.
            device: where the weights go.
            network: of a model whose network is one's own: the class, or a function that builds it.
            is_downloaded: whether the file came from the Hub: then no module that it names is
                imported.

        Raises:
            FileNotFoundError: the JSON is missing.
            ValueError: the file is damaged, does not fit its network, or is for another task.
        """
        info, weights = read_model_file(path)
        if network is None and is_own_network(info.arch):
            network = find_saved_network(info.arch, path, is_downloaded=is_downloaded)
        model = build_image_model(info, network=network)
        if not isinstance(model, cls):
            kind = type(model).__name__
            raise ValueError(
                f"{path} is a {kind} ({info.arch}), not a {cls.__name__}; load it by "
                f"{kind}.from_pretrained, or by load_model"
            )
        load_weights(model.network, weights, origin=f"{path} ({info.arch})")
        model.source = path
        return model.to(device).eval()

    @property
    def device(self) -> torch.device:
        """Where the model is, and where its images must be."""
        return self.mean.device

    def run_network(self, images: Tensor) -> Tensor:
        """(B, C, H, W) with the values of image files -> the network's logits."""
        normalized = (images - self.mean) / self.std
        if self.info.pixel_type == "float32":
            # No data is NaN, which differs from itself; 0 is the mean. `isnan` and `nan_to_num`
            # would put NaN or infinity into exported files.
            normalized = torch.where(normalized == normalized, normalized, 0.0)
        logits: Tensor = self.network(normalized)
        return logits


class SegmentationModel(ImageModel):
    """A model that labels every pixel."""

    task = "segmentation"

    def forward(self, images: Tensor, *, size: tuple[int, int] | None = None) -> Tensor:
        """(B, C, H, W) with the values of image files -> logits (B, num_classes, H, W).

        Args:
            images: of the bands and the type in `info`, such as RGB in 0..255.
            size: height and width of the logits, such as those of the labels where the network sees
                shrunken images; they are interpolated bilinearly. By default the images' own.
        """
        logits = self.run_network(images)
        if size is not None and logits.shape[-2:] != size:
            logits = F.interpolate(logits.float(), size=size, mode="bilinear")
        return logits


class ClassificationModel(ImageModel):
    """A model that labels the whole image."""

    task = "classification"

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) with the values of image files -> logits (B, num_classes)."""
        return self.run_network(images)


def build_image_model(
    info: ModelInfo, *, memory_efficient: bool = False, network: NetworkBuilder | None = None
) -> ImageModel:
    """A model with fresh weights, of the class for its task; the arguments are those of `build`."""
    kind = SegmentationModel if info.task == "segmentation" else ClassificationModel
    return kind.build(info, memory_efficient=memory_efficient, network=network)


def find_saved_network(arch: str, path: Path, *, is_downloaded: bool) -> NetworkBuilder:
    """The network of one's own that a model's file names; its module is imported.

    A model may come from others, and its file may name any module. So nothing is imported for a
    model from the Hub, nor from the model's own folder, and only a network is taken.

    Raises:
        ValueError: the network is not found, or may not be imported; the message says what to give.
    """
    remedy = "in Python, load_model(path, network=...) takes the class or the function itself"
    if is_downloaded:
        raise ValueError(
            f"the model from the Hub needs a network that is not part of Tiramisu, {arch}: its "
            f"module is not imported for a model from the Hub; {remedy}"
        )
    folder = path.parent.parent if path.parent.name == CHECKPOINTS else path.parent
    around = folder.resolve().parent
    # An unpacked archive may have a module beside the model. The current folder is the user's own.
    not_in = folder if Path.cwd().is_relative_to(around) else around
    try:
        return find_network(arch, not_in=not_in)
    except ValueError as error:
        raise ValueError(f"{path} needs the network {arch} ({error}); {remedy}") from None


def _check_own_task(network: OwnNetwork, arch: str, *, task: str) -> None:
    if network.task != task:
        shapes = {"segmentation": "(B, C, H, W), of each pixel", "classification": "(B, C)"}
        raise ValueError(
            f"--arch {arch} returns logits {shapes[network.task]}; expected {shapes[task]}, for "
            f"{task}"
        )
