"""DenseNet-BC for ImageNet (arXiv 1608.06993)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from tiramisu.models.blocks import DenseBlock, LayerStyle, TransitionDown
from tiramisu.models.checks import check_blocks, check_count, check_images
from tiramisu.models.fused import arrange


class DenseNet(nn.Module):
    """A DenseNet-BC classifier (1608.06993 table 1). State-dict keys are torchvision's.

    Shapes: images (B, in_channels, H, W), float -> logits (B, num_classes), for any height and
    width that leave at least one pixel after the last pooling: 29 with four blocks.

    Args:
        growth_rate: k, the number of new features of each dense layer.
        blocks: number of layers of each dense block.
        stem_width: number of filters of the first convolution.
        dropout: probability that one element is dropped after a convolution, 0 <= dropout < 1.
            It follows every convolution but the first, as in the paper (section 4.2).
        memory_efficient: train in less memory: see `LayerStyle`.
        in_channels: number of channels of an image.
        num_classes: number of logits.

    Raises:
        ValueError: for arguments no network can be built from, and, in `forward`, for images of
            the wrong number of channels or too small.
    """

    def __init__(
        self,
        *,
        growth_rate: int,
        blocks: Sequence[int],
        stem_width: int,
        dropout: float = 0.0,
        memory_efficient: bool = False,
        in_channels: int = 3,
        num_classes: int = 1000,
    ) -> None:
        super().__init__()
        check_count("growth_rate", growth_rate)
        check_blocks("blocks", blocks)
        check_count("stem_width", stem_width)
        check_count("in_channels", in_channels)
        check_count("num_classes", num_classes)
        self.in_channels = in_channels
        self.num_classes = num_classes
        # The stem divides by 4 and rounds up; each transition divides by 2 and rounds down.
        self.min_size = 4 * 2 ** (len(blocks) - 1) - 3

        style = LayerStyle(bias=False, eps=1e-5, dropout=dropout, memory_efficient=memory_efficient)
        self.features = nn.Sequential(
            OrderedDict[str, nn.Module](
                conv0=nn.Conv2d(in_channels, stem_width, 7, stride=2, padding=3, bias=False),
                norm0=nn.BatchNorm2d(stem_width, eps=style.eps),
                relu0=nn.ReLU(inplace=True),
                pool0=nn.MaxPool2d(3, stride=2, padding=1),
            )
        )
        width = stem_width
        for i, num_layers in enumerate(blocks, start=1):
            block = DenseBlock(
                width, num_layers=num_layers, growth_rate=growth_rate, bottleneck=4, style=style
            )
            width = block.out_channels
            self.features.add_module(f"denseblock{i}", block)
            if i < len(blocks):
                transition = TransitionDown(width, compression=0.5, pooling="average", style=style)
                width = transition.out_channels
                self.features.add_module(f"transition{i}", transition)
        # The name is torchvision's: the norm after the four blocks of the ImageNet nets.
        self.features.add_module("norm5", nn.BatchNorm2d(width, eps=style.eps))

        self.classifier = nn.Linear(width, num_classes)
        self._init_weights()

    def _init_weights(self) -> None:
        """He's normal distribution for convolutions. Batch normalisation starts as the identity."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, images: Tensor) -> Tensor:
        check_images(images, in_channels=self.in_channels, min_size=self.min_size)
        images = arrange(images)
        stack = F.relu(self.features(images))  # (B, C, H, W) -> (B, m, about H / 32, W / 32)
        pooled = stack.mean(dim=(2, 3))  # (B, m, h, w) -> (B, m)
        return self.classifier(pooled)  # (B, m) -> (B, num_classes)


def densenet121(
    *,
    num_classes: int = 1000,
    in_channels: int = 3,
    dropout: float = 0.0,
    memory_efficient: bool = False,
) -> DenseNet:
    """DenseNet-121 (table 1): 8.0 M parameters."""
    return DenseNet(
        growth_rate=32,
        blocks=(6, 12, 24, 16),
        stem_width=64,
        dropout=dropout,
        memory_efficient=memory_efficient,
        in_channels=in_channels,
        num_classes=num_classes,
    )


def densenet161(
    *,
    num_classes: int = 1000,
    in_channels: int = 3,
    dropout: float = 0.0,
    memory_efficient: bool = False,
) -> DenseNet:
    """DenseNet-161, k = 48: 28.7 M parameters."""
    return DenseNet(
        growth_rate=48,
        blocks=(6, 12, 36, 24),
        stem_width=96,
        dropout=dropout,
        memory_efficient=memory_efficient,
        in_channels=in_channels,
        num_classes=num_classes,
    )


def densenet169(
    *,
    num_classes: int = 1000,
    in_channels: int = 3,
    dropout: float = 0.0,
    memory_efficient: bool = False,
) -> DenseNet:
    """DenseNet-169 (table 1): 14.1 M parameters."""
    return DenseNet(
        growth_rate=32,
        blocks=(6, 12, 32, 32),
        stem_width=64,
        dropout=dropout,
        memory_efficient=memory_efficient,
        in_channels=in_channels,
        num_classes=num_classes,
    )


def densenet201(
    *,
    num_classes: int = 1000,
    in_channels: int = 3,
    dropout: float = 0.0,
    memory_efficient: bool = False,
) -> DenseNet:
    """DenseNet-201 (table 1): 20.0 M parameters."""
    return DenseNet(
        growth_rate=32,
        blocks=(6, 12, 48, 32),
        stem_width=64,
        dropout=dropout,
        memory_efficient=memory_efficient,
        in_channels=in_channels,
        num_classes=num_classes,
    )


def densenet264(
    *,
    num_classes: int = 1000,
    in_channels: int = 3,
    dropout: float = 0.0,
    memory_efficient: bool = False,
) -> DenseNet:
    """DenseNet-264 (table 1): 33.3 M parameters."""
    return DenseNet(
        growth_rate=32,
        blocks=(6, 12, 64, 48),
        stem_width=64,
        dropout=dropout,
        memory_efficient=memory_efficient,
        in_channels=in_channels,
        num_classes=num_classes,
    )
