"""A model small enough to be known by heart: each test gives it the network it needs."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from tiramisu.engine.model import ModelInfo, SegmentationModel

COLORS = ((128, 128, 128), (128, 0, 0), (0, 0, 192))


def tiny_network() -> nn.Module:
    """Three classes, and a receptive field of 4 pixels to each side."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 5, padding=2), nn.ReLU(), nn.Conv2d(4, 3, 5, padding=2))


def channel_network() -> nn.Module:
    """The class of a pixel is its brightest channel."""
    network = nn.Conv2d(3, 3, 1, bias=False)
    network.weight.data = 20 * torch.eye(3)[..., None, None]
    return network


@pytest.fixture
def make_model() -> Callable[..., SegmentationModel]:
    def make(network: nn.Module | None = None, *, image_scale: float = 1.0) -> SegmentationModel:
        info = ModelInfo(
            arch="tiny", class_names=("sky", "wall", "road"), colors=COLORS, image_scale=image_scale
        )
        return SegmentationModel(network or tiny_network(), info).eval()

    return make


@pytest.fixture
def channel_model(make_model: Callable[..., SegmentationModel]) -> SegmentationModel:
    return make_model(channel_network())
