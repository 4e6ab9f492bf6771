"""Several trained models as one: the mean of their probabilities."""

import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tiramisu.checkpoints.info import ModelInfo
from tiramisu.inference.averaging import as_logits
from tiramisu.inference.predictor import Predictor
from tiramisu.text import list_some

_SHOWN = 5


class Ensemble:
    """Predicts like a `SegmentationModel` (or a classifier), in the time of all its members.

    Args:
        members: two models or more, in PyTorch or exported, in evaluation mode.
        names: what each is called in errors.

    Raises:
        ValueError: the members differ in what they predict, or in the images that they take.
    """

    def __init__(self, members: Sequence[Predictor], *, names: Sequence[str]) -> None:
        assert len(members) == len(names) >= 2, "an ensemble has members"
        first = members[0].info
        for member, name in zip(members, names, strict=True):
            _check_like(first, member.info, names=(names[0], name))
        self.members = tuple(members)
        archs = dict.fromkeys(member.info.arch for member in members)
        self.info = dataclasses.replace(first, arch="+".join(archs), metrics={})

    @property
    def training(self) -> bool:
        """Whether a member is in training mode."""
        return any(member.training for member in self.members)

    @property
    def device(self) -> torch.device:
        """The device of the first member; the others are given images on their own."""
        return self.members[0].device

    def __call__(self, images: Tensor, *, size: tuple[int, int] | None = None) -> Tensor:
        """(B, C, H, W) with the values of image files -> logits, as a single model gives them.

        Their softmax is the mean of the probabilities of all members.
        """
        total: Tensor | None = None
        for member in self.members:
            views = images.to(member.device)
            logits = member(views) if size is None else member(views, size=size)
            probabilities = logits.float().softmax(dim=1).to(images.device)
            total = probabilities if total is None else total.add_(probabilities)
        assert total is not None, "an ensemble has members"
        return as_logits(total / len(self.members))


def _check_like(first: ModelInfo, other: ModelInfo, *, names: tuple[str, str]) -> None:
    show: dict[str, Callable[[ModelInfo], object]] = {
        "task": lambda info: info.task,
        "classes": lambda info: list_some(info.class_names, most=_SHOWN),
        "bands": lambda info: f"{info.channels} bands" if info.bands is None else list(info.bands),
        "type of values": lambda info: info.pixel_type,
        "image scale": lambda info: info.image_scale,
        "image size": lambda info: list(info.image_size) if info.image_size else "none of its own",
    }
    same = {
        "task": first.task == other.task,
        "classes": first.class_names == other.class_names,
        "bands": first.image_format.bands == other.image_format.bands
        and first.channels == other.channels,
        "type of values": first.pixel_type == other.pixel_type,
        "image scale": first.image_scale == other.image_scale,
        "image size": first.image_size == other.image_size,
    }
    for what, is_same in same.items():
        if not is_same:
            raise ValueError(
                f"an ensemble needs models of one {what}: {names[0]} has {show[what](first)}, "
                f"{names[1]} has {show[what](other)}"
            )
