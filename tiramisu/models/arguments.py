"""Checks of the arguments and the input of a network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor


def check_count(name: str, value: int) -> None:
    """Raise ValueError unless `value` is at least 1."""
    if value < 1 or isinstance(value, bool):
        raise ValueError(f"{name} is {value}; expected at least 1")


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


def check_images(images: Tensor, *, in_channels: int, min_size: int, dims: int = 2) -> None:
    """Raise ValueError unless images have the right shape.

    Args:
        images: expected as (B, in_channels, H, W), or (B, in_channels, D, H, W) if `dims` is 3.
        in_channels: expected number of channels.
        min_size: smallest height and width (and depth).
        dims: 2 for images, 3 for volumes.
    """
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
