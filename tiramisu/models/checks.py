"""What a network asks of its arguments and its input, each said in one sentence."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def check_count(name: str, value: int) -> None:
    """Raise ValueError unless `value` is at least 1."""
    if value < 1:
        raise ValueError(f"{name} is {value}, expected at least 1: give {name}=1 or more.")


def check_blocks(name: str, layers: Sequence[int]) -> None:
    """Raise ValueError unless `layers` lists at least one block, each of at least one layer."""
    if not layers or min(layers) < 1:
        raise ValueError(
            f"{name} is {tuple(layers)}, expected the number of layers of each dense block: "
            f"give at least one block, each of at least 1 layer."
        )


def check_images(images: Tensor, *, in_channels: int, min_size: int) -> None:
    """Raise ValueError unless `images` is (B, in_channels, H, W), H and W at least `min_size`."""
    shape = tuple(images.shape)
    if images.ndim != 4:
        raise ValueError(
            f"The input has the shape {shape}, expected (B, {in_channels}, H, W): "
            f"give a batch of images (a single image needs images.unsqueeze(0))."
        )
    if images.shape[1] != in_channels:
        raise ValueError(
            f"The input has {shape[1]} channels (shape {shape}), expected {in_channels}: "
            f"build the model with in_channels={shape[1]}, or convert the images."
        )
    if images.shape[2] < min_size or images.shape[3] < min_size:
        raise ValueError(
            f"The input is {shape[2]}x{shape[3]} pixels, expected at least {min_size}x{min_size} "
            f"(each pooling halves it): pad or enlarge the images."
        )
