"""The keywords that networks share, and checks of their arguments and input."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypedDict

import torch
from torch import Tensor, nn
from torch.fx import Proxy

from tiramisu.models.operators import Activation, Dims

MOST = 65_536
"""Largest number of channels or classes: more can only be a mistake, and would fill the memory."""


class NetworkOptions(TypedDict, total=False):
    """Keywords that all published networks of this package take."""

    in_channels: int
    dropout: float
    activation: Activation
    dims: Dims
    memory_efficient: bool
    device: torch.device | str | int | None
    dtype: torch.dtype | None


def check_counts(**values: int) -> None:
    """Raise ValueError unless all values are whole numbers from 1 to MOST."""
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST:
            raise ValueError(f"{name} is {value}; expected a whole number, 1 to {MOST}")


def check_choice(name: str, value: object, choices: Iterable[object]) -> None:
    """Raise ValueError unless `value` is one of `choices`."""
    if value not in choices:
        known = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"{name} is {value!r}; expected one of {known}")


def check_blocks(name: str, layers: Sequence[int]) -> None:
    """Raise ValueError unless `layers` lists at least one block, each of at least one layer."""
    if not layers or min(layers) < 1:
        raise ValueError(
            f"{name} is {tuple(layers)}; expected the number of layers of each dense block: at "
            "least one block, each with at least 1 layer"
        )


def find_part(network: nn.Module, name: str, *, purpose: str) -> nn.Module:
    """A part of a network by its name; without one, ValueError says what it was wanted for."""
    try:
        return network.get_submodule(name)
    except AttributeError:
        parts = ", ".join(name for name, _ in network.named_children())
        raise ValueError(
            f"the network has no part {name!r} {purpose}; expected the name of a module, such as "
            f"{parts}"
        ) from None


def check_images(images: Tensor, *, in_channels: int, min_size: int, dims: int = 2) -> None:
    """Raise ValueError unless images are (B, in_channels, H, W) with sides of at least `min_size`.

    If `dims` is 3, (B, in_channels, D, H, W) is expected. While torch.fx traces, nothing is known
    of the images, and nothing is checked.
    """
    if isinstance(images, Proxy):
        return
    shape = tuple(images.shape)
    sides = shape[2:]
    if len(sides) != dims:
        noun, axes = ("image", "H, W") if dims == 2 else ("volume", "D, H, W")
        raise ValueError(
            f"the input has the shape {shape}; expected (B, {in_channels}, {axes}): give a batch "
            f"of {noun}s (for a single {noun}, {noun}.unsqueeze(0))"
        )
    if images.shape[1] != in_channels:
        raise ValueError(
            f"the input has {shape[1]} channels (shape {shape}); expected {in_channels}: build the "
            f"model with in_channels={shape[1]}, or convert the images"
        )
    if min(sides) < min_size:
        noun, unit = ("images", "pixels") if dims == 2 else ("volumes", "voxels")
        came, expected = "x".join(map(str, sides)), "x".join([str(min_size)] * dims)
        raise ValueError(
            f"the input is {came} {unit}; expected at least {expected}, because each pooling "
            f"halves it: pad or enlarge the {noun}"
        )
