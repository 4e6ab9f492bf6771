"""FC-DenseNet as section 3 of the paper (arXiv 1611.09326) describes it, to be read beside it.

It shares no code with the other modules: the tests compare the package's networks with it, and the
benchmark measures against it. It is written for clarity, not for speed or memory.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def dense_layer(in_channels: int, growth_rate: int, dropout: float) -> nn.Sequential:
    """Table 1: batch norm, ReLU, 3x3 convolution, dropout."""
    return nn.Sequential(
        nn.BatchNorm2d(in_channels, eps=1e-4),
        nn.ReLU(),
        nn.Conv2d(in_channels, growth_rate, 3, padding=1),
        nn.Dropout(dropout),
    )


def transition_down(channels: int, dropout: float) -> nn.Sequential:
    """Table 1: batch norm, ReLU, 1x1 convolution, dropout, 2x2 max pooling."""
    return nn.Sequential(
        nn.BatchNorm2d(channels, eps=1e-4),
        nn.ReLU(),
        nn.Conv2d(channels, channels, 1),
        nn.Dropout(dropout),
        nn.MaxPool2d(2),
    )


class ReferenceFCDenseNet(nn.Module):
    """An FC-DenseNet for RGB images: (B, 3, H, W) -> logits (B, num_classes, H, W).

    Args:
        block_layers: number of layers of each dense block, from the input to the output: down,
            bottleneck, up. The number of blocks is odd.
        growth_rate: feature maps that each layer adds.
        stem_width: feature maps of the first convolution.
    """

    def __init__(
        self,
        *,
        block_layers: Sequence[int],
        growth_rate: int,
        stem_width: int,
        num_classes: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.depth = len(block_layers) // 2
        self.stem = nn.Conv2d(3, stem_width, 3, padding=1)
        # One dictionary keeps the modules in the order in which the forward pass uses them.
        self.parts = nn.ModuleDict()
        width = stem_width
        skip_widths: list[int] = []
        for number, num_layers in enumerate(block_layers):
            if number > self.depth:
                new_features = block_layers[number - 1] * growth_rate
                up = nn.ConvTranspose2d(new_features, new_features, 3, stride=2)
                self.parts[f"up{number}"] = up
                width = new_features + skip_widths.pop()
            block = nn.ModuleList()
            for _ in range(num_layers):
                block.append(dense_layer(width, growth_rate, dropout))
                width += growth_rate
            self.parts[f"block{number}"] = block
            if number < self.depth:
                skip_widths.append(width)
                self.parts[f"down{number}"] = transition_down(width, dropout)
        self.classifier = nn.Conv2d(width, num_classes, 1)

    def run_block(self, number: int, x: Tensor) -> tuple[Tensor, Tensor]:
        """Section 3.1: returns the input with all new features, and the new features alone."""
        new_features: list[Tensor] = []
        for layer in self.parts[f"block{number}"].children():
            new_features.append(layer(torch.cat([x, *new_features], dim=1)))
        return torch.cat([x, *new_features], dim=1), torch.cat(new_features, dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> logits (B, num_classes, H, W)."""
        x = self.stem(x)
        skips: list[Tensor] = []
        for number in range(self.depth):
            x, _ = self.run_block(number, x)
            skips.append(x)
            x = self.parts[f"down{number}"](x)
        x, new_features = self.run_block(self.depth, x)
        for number in range(self.depth + 1, 2 * self.depth + 1):
            skip = skips.pop()
            # Section 3.2: only the new features of the block below are up-sampled.
            upsampled = self.parts[f"up{number}"](new_features)
            upsampled = crop_center(upsampled, height=skip.shape[2], width=skip.shape[3])
            x, new_features = self.run_block(number, torch.cat([upsampled, skip], dim=1))
        logits: Tensor = self.classifier(x)
        return logits

    def copy_weights(self, network: nn.Module) -> None:
        """Copy weights and batch norm statistics of a network whose modules are in this order."""
        states = zip(self.state_dict().values(), network.state_dict().values(), strict=True)
        for mine, theirs in states:
            assert mine.shape == theirs.shape
            mine.copy_(theirs)


def crop_center(x: Tensor, *, height: int, width: int) -> Tensor:
    """(B, C, H, W) -> the central (B, C, height, width)."""
    top, left = (x.shape[2] - height) // 2, (x.shape[3] - width) // 2
    return x[:, :, top : top + height, left : left + width]
