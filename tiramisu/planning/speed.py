"""What a training step and a prediction cost on this machine, measured by a few of them."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from tiramisu.benchmark.peak_memory import measure_peak
from tiramisu.models import build_model

STEPS = 3
"""Steps that are timed, after one that is not. The fastest counts: others run beside something."""


@dataclass(frozen=True, kw_only=True)
class Speed:
    """The cost of a network on this machine, for each pixel that it sees."""

    train: float
    """Seconds of a training step for each pixel of its batch."""
    predict: float
    """Seconds of a prediction."""
    train_bytes: float
    """Peak memory of a training step; 0 where the system does not tell."""


def measure_speed(
    arch: str,
    *,
    channels: int,
    num_classes: int,
    side: int,
    batch: int,
    device: torch.device,
    bf16: bool = False,
) -> Speed:
    """Time some training steps and predictions of a network, on random images.

    Args:
        arch: name of the network.
        channels: bands of the images.
        num_classes: number of classes.
        side: height and width of the images in pixels.
        batch: images in a training batch; one is predicted at a time.
        device: where to compute.
        bf16: whether to compute in mixed precision.
    """
    network = build_model(arch, num_classes=num_classes, in_channels=channels).to(device)
    network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-6)
    images = torch.rand(batch, channels, side, side, device=device)
    labels = torch.randint(num_classes, (batch, side, side), device=device)
    precision = torch.autocast(device.type, torch.bfloat16, enabled=bf16)

    def train() -> None:
        with precision:
            logits = network(images)
        optimizer.zero_grad()
        torch.autograd.backward(F.cross_entropy(logits.float(), labels))
        optimizer.step()

    def predict() -> None:
        with torch.inference_mode(), precision:
            network(images[:1])

    network.train()
    train_seconds = _seconds(train, device)
    train_bytes = measure_peak(train, device=device.type) or 0
    network.eval()
    predict_seconds = _seconds(predict, device)
    return Speed(
        train=train_seconds / (batch * side**2),
        predict=predict_seconds / side**2,
        train_bytes=train_bytes / (batch * side**2),
    )


def _seconds(step: Callable[[], None], device: torch.device) -> float:
    seconds = []
    for _ in range(STEPS + 1):
        start = time.perf_counter()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])
