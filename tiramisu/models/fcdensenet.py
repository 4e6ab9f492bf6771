"""FC-DenseNet, the One Hundred Layers Tiramisu (arXiv 1611.09326)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from typing_extensions import Unpack

from tiramisu.models.arguments import NetworkOptions, check_blocks, check_counts, check_images
from tiramisu.models.blocks import DenseBlock, LayerStyle, TransitionDown, TransitionUp
from tiramisu.models.fast.choice import Accelerated
from tiramisu.models.network import Device, Network, built_in_place
from tiramisu.models.operators import CONVOLUTIONS, OPERATORS, Activation, Dims


class DownsamplingPath(nn.ModuleDict):
    """A convolution, then dense blocks and transitions down in turn (1611.09326 section 3.3)."""

    def forward(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Images (B, in_channels, H, W) -> features, and the skip connection of each block."""
        skips: list[Tensor] = []
        stack = images
        for name, layer in self.items():
            stack = layer(stack)
            if name.startswith("denseblock"):
                skips.append(stack)
        return stack, skips


class UpsamplingPath(Accelerated, nn.ModuleDict):
    """Transitions up and dense blocks in turn (1611.09326 section 3.3)."""

    compiles_fused = True

    def __init__(self, *, memory_efficient: bool) -> None:
        super().__init__()
        self.memory_efficient = memory_efficient

    def forward(self, stack: Tensor, skips: list[Tensor]) -> Tensor:
        """Features of the bottleneck and all skip connections -> the stack of the last block."""
        i = len(skips)
        for layer in self.values():
            # TorchScript tells a transition from a block by its attributes, not by its class.
            if hasattr(layer, "new_channels"):
                stack = layer(stack)
            else:
                i -= 1
                # (B, m, H, W) -> (B, C, 2H, 2W) -> (B, C + m', 2H, 2W)
                stack = torch.cat([layer(stack, skips[i]), skips[i]], dim=1)
        return stack

    def parts(self) -> list[nn.Module] | None:
        """See `Accelerated`."""
        layers = list(self.values())
        pairs = len(layers) // 2
        if [type(layer) for layer in layers] != [TransitionUp, DenseBlock] * pairs:
            return None
        of_blocks = [b.find_parts() for b in layers[1::2] if isinstance(b, DenseBlock)]
        if any(parts is None for parts in of_blocks):
            return None
        return [part for parts in of_blocks for part in parts or ()]

    def run_fused(self, stack: Tensor, skips: list[Tensor]) -> Tensor:
        """See `Accelerated`."""
        return self._run(DenseBlock.run_fused, stack, skips)

    def run_recomputing(self, stack: Tensor, skips: list[Tensor]) -> Tensor:
        """See `Accelerated`."""
        return self._run(DenseBlock.run_recomputing, stack, skips)

    def _run(self, run_block: Callable[..., Tensor], stack: Tensor, skips: list[Tensor]) -> Tensor:
        """The same as `forward`, but the blocks concatenate their inputs, which saves a copy."""
        layers = iter(self.values())
        for transition, block, skip in zip(layers, layers, reversed(skips), strict=True):
            stack = run_block(block, transition(stack, skip), skip)
        return stack


class FCDenseNet(Network):
    """A fully convolutional DenseNet for semantic segmentation (1611.09326 figure 1).

    Shapes: images (B, in_channels, H, W), float -> logits (B, num_classes, H, W), for any height
    and width of at least 2 ** len(down_blocks) pixels, odd or even.

    Args:
        growth_rate: k, the number of new features of each dense layer.
        down_blocks: number of layers of each dense block on the way down.
        bottleneck_layers: number of layers of the dense block at the bottom.
        up_blocks: number of layers of each dense block on the way up, from the bottom.
        stem_width: number of filters of the first convolution.
        dropout: probability of element-wise dropout after a convolution, 0 <= dropout < 1.
        activation: "relu" (the paper's), "prelu" or "silu".
        dims: 2 for images, 3 for volumes (B, in_channels, D, H, W).
        memory_efficient: save memory in training; see `LayerStyle`.
        in_channels: number of channels of an image.
        num_classes: number of channels of the logits.
        device: where the weights are made, such as "meta"; None for PyTorch's default.
        dtype: their floating-point type, such as torch.bfloat16; None for PyTorch's default.

    Raises:
        ValueError: an argument is out of its range; in `forward`, images have the wrong number of
            channels or are too small.
    """

    @built_in_place
    def __init__(
        self,
        *,
        growth_rate: int,
        down_blocks: Sequence[int],
        bottleneck_layers: int,
        up_blocks: Sequence[int],
        stem_width: int = 48,
        dropout: float = 0.2,
        activation: Activation = "relu",
        dims: Dims = 2,
        memory_efficient: bool = False,
        in_channels: int = 3,
        num_classes: int,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_counts(growth_rate=growth_rate, bottleneck_layers=bottleneck_layers)
        check_counts(stem_width=stem_width, in_channels=in_channels, num_classes=num_classes)
        check_blocks("down_blocks", down_blocks)
        check_blocks("up_blocks", up_blocks)
        if len(down_blocks) != len(up_blocks):
            raise ValueError(
                f"there are {len(down_blocks)} down_blocks and {len(up_blocks)} up_blocks; "
                "expected as many of each, because every block on the way up takes the skip "
                "connection of one on the way down"
            )
        self.dims = dims
        self.in_channels = in_channels
        self.min_size = 2 ** len(down_blocks)

        style = LayerStyle(
            bias=True,
            eps=1e-4,
            dropout=dropout,
            activation=activation,
            dims=dims,
            memory_efficient=memory_efficient,
        )
        self.features = DownsamplingPath()
        self.features["conv0"] = style.operators.conv(in_channels, stem_width, 3, padding=1)
        width = stem_width
        skip_widths = []
        for i, num_layers in enumerate(down_blocks, start=1):
            block = DenseBlock(width, num_layers=num_layers, growth_rate=growth_rate, style=style)
            width = block.out_channels
            skip_widths.append(width)
            self.features[f"denseblock{i}"] = block
            self.features[f"transition{i}"] = TransitionDown(width, pooling="max", style=style)

        num_layers = bottleneck_layers
        block = DenseBlock(width, num_layers=num_layers, growth_rate=growth_rate, style=style)
        self.bottleneck = block

        self.decoder = UpsamplingPath(memory_efficient=memory_efficient)
        for i, num_layers in enumerate(up_blocks, start=1):
            self.decoder[f"transition{i}"] = TransitionUp(block.new_channels, dims=dims)
            width = block.new_channels + skip_widths.pop()
            block = DenseBlock(width, num_layers=num_layers, growth_rate=growth_rate, style=style)
            self.decoder[f"denseblock{i}"] = block

        self.num_features = block.out_channels
        self.classifier = self._new_classifier(num_classes)
        self._init_weights(self)

    def _new_classifier(self, num_classes: int) -> nn.Module:
        check_counts(num_classes=num_classes)
        self.num_classes = num_classes
        return OPERATORS[self.dims].conv(self.num_features, num_classes, 1)

    def _init_weights(self, part: nn.Module) -> None:
        """HeUniform, biases 0 (section 4.1); batch norm starts as the identity."""
        for module in part.modules():
            if isinstance(module, CONVOLUTIONS):
                nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> logits (B, num_classes, H, W)."""
        stack, skips = self.features(images)
        stack = self.bottleneck(stack)  # (B, C, H / 32, W / 32) for five blocks
        stack = self.decoder(stack, skips)  # (B, m, H, W)
        logits: Tensor = self.classifier(stack)  # (B, m, H, W) -> (B, num_classes, H, W)
        return logits

    def forward_features(self, images: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> the stack of the last dense block (B, num_features, H, W)."""
        check_images(images, in_channels=self.in_channels, min_size=self.min_size, dims=self.dims)
        stack, skips = self.features(images)
        features: Tensor = self.decoder(self.bottleneck(stack), skips)
        return features

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        """(B, num_features, H, W) -> logits (B, num_classes, H, W); pre_logits: as it came."""
        logits: Tensor = features if pre_logits else self.classifier(features)
        return logits


def fc_densenet56(*, num_classes: int, **options: Unpack[NetworkOptions]) -> FCDenseNet:
    """FC-DenseNet56 (table 3): 1.4 M parameters for 11 classes."""
    return FCDenseNet(
        growth_rate=12,
        down_blocks=(4, 4, 4, 4, 4),
        bottleneck_layers=4,
        up_blocks=(4, 4, 4, 4, 4),
        num_classes=num_classes,
        **options,
    )


def fc_densenet67(*, num_classes: int, **options: Unpack[NetworkOptions]) -> FCDenseNet:
    """FC-DenseNet67 (table 3): 3.5 M parameters for 11 classes."""
    return FCDenseNet(
        growth_rate=16,
        down_blocks=(5, 5, 5, 5, 5),
        bottleneck_layers=5,
        up_blocks=(5, 5, 5, 5, 5),
        num_classes=num_classes,
        **options,
    )


def fc_densenet103(*, num_classes: int, **options: Unpack[NetworkOptions]) -> FCDenseNet:
    """FC-DenseNet103 (tables 2 and 3): 9.3 M parameters for 11 classes."""
    return FCDenseNet(
        growth_rate=16,
        down_blocks=(4, 5, 7, 10, 12),
        bottleneck_layers=15,
        up_blocks=(12, 10, 7, 5, 4),
        num_classes=num_classes,
        **options,
    )
