"""All networks by name: one dictionary of names and builders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn
from typing_extensions import Unpack

from tiramisu.models import cifar, densenet, fcdensenet
from tiramisu.models.backbone import Backbone
from tiramisu.models.densenet import DenseNet, DenseNetOptions
from tiramisu.models.network import Device, on_device
from tiramisu.models.own_network import build_own
from tiramisu.models.public_weights import PublicWeights, start_from_public
from tiramisu.text import did_you_mean

TASKS = ("segmentation", "classification")


@dataclass(frozen=True, kw_only=True)
class ZooEntry:
    """How a network is built, its task, and the sizes in its paper."""

    build: Callable[..., nn.Module]
    """Takes the keywords num_classes, in_channels, dropout and memory_efficient."""

    task: str | None
    """"segmentation": logits (B, C, H, W), or "classification": logits (B, C); None for a network
    of one's own, which is known when it is built."""

    size: tuple[int, int]
    """Height and width of the images in its paper."""

    num_classes: int
    """Number of classes in its paper."""


_for_camvid = partial(ZooEntry, task="segmentation", size=(360, 480), num_classes=11)
_for_imagenet = partial(ZooEntry, task="classification", size=(224, 224), num_classes=1000)
_for_cifar = partial(ZooEntry, task="classification", size=(32, 32), num_classes=10)
_of_ones_own = partial(ZooEntry, task=None, size=(256, 256), num_classes=10)

ZOO = {
    "fc56": _for_camvid(build=fcdensenet.fc_densenet56),
    "fc67": _for_camvid(build=fcdensenet.fc_densenet67),
    "fc103": _for_camvid(build=fcdensenet.fc_densenet103),
    "densenet121": _for_imagenet(build=densenet.densenet121),
    "densenet161": _for_imagenet(build=densenet.densenet161),
    "densenet169": _for_imagenet(build=densenet.densenet169),
    "densenet201": _for_imagenet(build=densenet.densenet201),
    "densenet264": _for_imagenet(build=densenet.densenet264),
    "densenet40_12": _for_cifar(build=cifar.densenet40_12),
    "densenet100_12": _for_cifar(build=cifar.densenet100_12),
    "densenet100_24": _for_cifar(build=cifar.densenet100_24),
    "densenet_bc40_12": _for_cifar(build=cifar.densenet_bc40_12),
    "densenet_bc100_12": _for_cifar(build=cifar.densenet_bc100_12),
    "densenet_bc250_24": _for_cifar(build=cifar.densenet_bc250_24),
    "densenet_bc190_40": _for_cifar(build=cifar.densenet_bc190_40),
}


def build_model(
    name: str,
    *,
    num_classes: int,
    in_channels: int = 3,
    dropout: float | None = None,
    memory_efficient: bool = False,
    weights: PublicWeights = None,
    device: Device = None,
    dtype: torch.dtype | None = None,
) -> nn.Module:
    """Build a network with fresh weights.

    Args:
        name: one of `list_models()`; or smp:DECODER/ENCODER, such as "smp:unet/resnet34", for a
            network of segmentation-models-pytorch; or DECODER:DENSENET, such as
            "unet:densenet121", for one of its decoders on a DenseNet of this package; or
            MODULE:NAME, such as "mypackage.nets:TinyNet", for a network of one's own, whose module
            is imported.
        num_classes: number of classes; 1 for a single output, such as of a regression.
        in_channels: number of channels of an image.
        dropout: probability of element-wise dropout, 0 <= dropout < 1; None for the default of the
            network: 0.2 for FC-DenseNets, 0 for DenseNets.
        memory_efficient: save memory in training; see `LayerStyle`.
        weights: published weights to start from: "IMAGENET1K_V1" of torchvision for DenseNets,
            "imagenet" for the encoder of `smp:...`.
        device: where the weights are made, such as "meta"; None for PyTorch's default.
        dtype: their floating-point type, such as torch.bfloat16; None for PyTorch's default.

    Raises:
        ValueError: the name is unknown (the message lists the known ones), an argument is out of
            its range, or there are no such weights.
        OSError: the weights cannot be downloaded.
    """
    build = find_entry(name).build
    if dropout is not None:
        build = partial(build, dropout=dropout)
    if ":" in name:  # its encoder may be of another library, which has weights of its own
        build, weights = partial(build, weights=weights), None
    with on_device(device):
        network = build(
            num_classes=num_classes, in_channels=in_channels, memory_efficient=memory_efficient
        )
    if dtype is not None:
        network.to(dtype)
    return start_from_public(network, name, weights)


def task_of(name: str) -> str | None:
    """The task of a network: "segmentation" or "classification"; None for one's own.

    Raises:
        ValueError: the name is unknown.
    """
    return find_entry(name).task


def is_own_network(name: str) -> bool:
    """Whether a name is MODULE:NAME, of a network of one's own."""
    if ":" not in name:
        return False
    # Imported late: a network from torch.hub does without that library.
    from tiramisu.models.smp import is_bridged

    return not is_bridged(name)


def list_models(task: str | None = None) -> list[str]:
    """List the names of all networks, or of those for one task.

    Raises:
        ValueError: the task is neither "segmentation" nor "classification".
    """
    if task is not None and task not in TASKS:
        raise ValueError(f"unknown task {task!r}; expected one of {', '.join(TASKS)}")
    return [name for name, entry in ZOO.items() if task in (None, entry.task)]


def find_entry(name: str) -> ZooEntry:
    """The entry of a network.

    Raises:
        ValueError: the name is unknown; the message lists the known ones.
    """
    if ":" in name:
        from tiramisu.models.smp import build_with_smp, is_bridged, split_name

        if not is_bridged(name):
            return _of_ones_own(build=partial(build_own, name))
        split_name(name)
        return _for_camvid(build=partial(build_with_smp, name))
    if name not in ZOO:
        raise ValueError(
            f"unknown model {name!r}; expected one of {', '.join(ZOO)}, smp:DECODER/ENCODER such "
            f"as smp:unet/resnet34, DECODER:DENSENET such as unet:densenet121, or MODULE:NAME for "
            "a network of your own" + did_you_mean(name, ZOO)
        )
    return ZOO[name]


def densenet_backbone(
    name: str,
    *,
    out_indices: Sequence[int] | None = None,
    weights: PublicWeights = None,
    **options: Unpack[DenseNetOptions],
) -> Backbone:
    """Build a backbone from a DenseNet's name: "densenet121", "densenet_bc100_12", ...

    Args:
        name: one of `list_models("classification")`.
        out_indices: see `Backbone`.
        weights: weights of torchvision, such as "IMAGENET1K_V1", for the networks that have them.
        **options: keywords of `DenseNet`, such as in_channels and stem.

    Raises:
        ValueError: the name is unknown, or an argument is out of its range.
    """
    entry = find_entry(name)
    if entry.task != "classification":
        raise ValueError(
            f"{name} is a network for segmentation; expected the name of a DenseNet, such as "
            "densenet121"
        )
    network = entry.build(head=None, **options)
    assert isinstance(network, DenseNet)
    return Backbone(start_from_public(network, name, weights), out_indices=out_indices)
