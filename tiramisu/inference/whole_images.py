"""Whether whole images fit into memory, before anything is allocated."""

import math
from collections.abc import Callable

import torch
from torch import nn

from tiramisu.free_memory import check_memory
from tiramisu.summary.meta_run import run_on_meta

SURELY_FITS = 2**22
"""Pixels of a batch that need no check: their largest layer takes less than 1 GiB."""


def check_batch(
    network: nn.Module,
    *,
    size: tuple[int, int],
    batch: int,
    precision: str,
    device: torch.device,
    flags: str,
    training: bool = False,
    remedy: Callable[[float], str] | None = None,
) -> None:
    """Raise ValueError if a batch of images cannot fit into memory; nothing is allocated.

    Args:
        network: the network that takes them.
        size: height and width of the images.
        batch: number of images.
        precision: fp32, bf16 or fp16.
        device: where it runs.
        flags: what the user gave, for the message.
        training: whether the outputs of all convolutions are kept for the backward pass.
        remedy: what to do, for the message, from the part of the pixels that would fit; by default
            "give fewer or smaller images".
    """
    height, width = size
    if batch * height * width <= SURELY_FITS:
        return
    run = run_on_meta(network, height=height, width=width)
    values = batch * (run.convolved_values() if training else run.largest_output())
    check_memory(
        values * (4 if precision == "fp32" else 2),
        device=device,
        what=flags,
        outputs="the outputs of all convolutions" if training else "the outputs of a single layer",
        remedy=remedy or (lambda _: "give fewer or smaller images"),
    )


def describe_smaller(share: float, *, size: tuple[int, int], image_scale: float) -> str:
    """Settings with which a training takes less memory than with whole images.

    Args:
        share: part of the pixels that would fit at most, above 0 and below 1.
        size: height and width of the images as the network sees them.
        image_scale: the factor by which they are shrunk already.
    """
    # A third of that, because what is known is the least that a training takes.
    factor = math.sqrt(share / 3)
    side = max(64, min(512, int(math.sqrt(size[0] * size[1]) * factor) // 32 * 32))
    scale = max(0.01, math.floor(100 * image_scale * factor) / 100)
    return f"give --crop [{side},{side}], or shrink the images by --image-scale {scale:g}"
