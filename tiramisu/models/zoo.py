"""Every network by its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches

from torch import nn

from tiramisu.models.cifar import (
    densenet40_12,
    densenet100_12,
    densenet100_24,
    densenet_bc100_12,
    densenet_bc190_40,
    densenet_bc250_24,
)
from tiramisu.models.densenet import (
    densenet121,
    densenet161,
    densenet169,
    densenet201,
    densenet264,
)
from tiramisu.models.fcdensenet import fc_densenet56, fc_densenet67, fc_densenet103

TASKS = ("segmentation", "classification")


@dataclass(frozen=True, kw_only=True)
class ZooEntry:
    """How one network is built, and what its logits label."""

    build: Callable[..., nn.Module]
    """Takes num_classes, in_channels, dropout and memory_efficient, by keyword."""

    task: str
    """"segmentation": logits (B, C, H, W), or "classification": logits (B, C)."""


ZOO = {
    "fc56": ZooEntry(build=fc_densenet56, task="segmentation"),
    "fc67": ZooEntry(build=fc_densenet67, task="segmentation"),
    "fc103": ZooEntry(build=fc_densenet103, task="segmentation"),
    "densenet121": ZooEntry(build=densenet121, task="classification"),
    "densenet161": ZooEntry(build=densenet161, task="classification"),
    "densenet169": ZooEntry(build=densenet169, task="classification"),
    "densenet201": ZooEntry(build=densenet201, task="classification"),
    "densenet264": ZooEntry(build=densenet264, task="classification"),
    "densenet40_12": ZooEntry(build=densenet40_12, task="classification"),
    "densenet100_12": ZooEntry(build=densenet100_12, task="classification"),
    "densenet100_24": ZooEntry(build=densenet100_24, task="classification"),
    "densenet_bc100_12": ZooEntry(build=densenet_bc100_12, task="classification"),
    "densenet_bc250_24": ZooEntry(build=densenet_bc250_24, task="classification"),
    "densenet_bc190_40": ZooEntry(build=densenet_bc190_40, task="classification"),
}


def build_model(
    name: str,
    *,
    num_classes: int,
    in_channels: int = 3,
    dropout: float | None = None,
    memory_efficient: bool = False,
) -> nn.Module:
    """Build a network with fresh weights.

    Args:
        name: one of `list_models()`.
        num_classes: number of classes of the logits.
        in_channels: number of channels of an image.
        dropout: probability of element-wise dropout, 0 <= dropout < 1; None takes the network's
            own: 0.2 for FC-DenseNets, 0 for DenseNets.
        memory_efficient: keep only what convolutions make, and dropout's masks, from forward to
            backward pass; the rest is computed again. The CPU does so in any case in fp32.

    Raises:
        ValueError: for an unknown name (the message lists the known ones) or a number that no
            network can be built from.
    """
    own_dropout = {} if dropout is None else {"dropout": dropout}
    return _find_entry(name).build(
        num_classes=num_classes,
        in_channels=in_channels,
        memory_efficient=memory_efficient,
        **own_dropout,
    )


def task_of(name: str) -> str:
    """What a network's logits label: "segmentation", each pixel; "classification", the image.

    Raises:
        ValueError: for an unknown name.
    """
    return _find_entry(name).task


def list_models(task: str | None = None) -> list[str]:
    """List the names that `build_model` knows: all of them, or those of one task.

    Raises:
        ValueError: if the task is neither "segmentation" nor "classification".
    """
    if task is not None and task not in TASKS:
        raise ValueError(f"Unknown task {task!r}, expected one of: {', '.join(TASKS)}.")
    return [name for name, entry in ZOO.items() if task in (None, entry.task)]


def _find_entry(name: str) -> ZooEntry:
    if name not in ZOO:
        close = get_close_matches(name, ZOO, n=1)
        hint = f"Did you mean {close[0]!r}? " if close else ""
        raise ValueError(f"Unknown model {name!r}. {hint}Known models: {', '.join(ZOO)}.")
    return ZOO[name]
