"""DenseNet for classification and as a backbone (arXiv 1608.06993)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from typing_extensions import Unpack

from tiramisu.models.arguments import NetworkOptions, check_blocks, check_counts, check_images
from tiramisu.models.blocks import DenseBlock, LayerStyle, TransitionDown
from tiramisu.models.network import Device, Network, built_in_place
from tiramisu.models.operators import CONVOLUTIONS, Activation, Dims
from tiramisu.models.public_weights import PublicWeights, start_from_public
from tiramisu.models.stem_and_head import STEM_STRIDES, Head, Stem, new_head, new_pool, new_stem


class DenseNetOptions(NetworkOptions, total=False):
    """Keywords of `DenseNet` that the published networks take too."""

    num_classes: int
    stem: Stem
    head: Head | None


class DenseNet(Network):
    """A DenseNet (1608.06993): stem, dense blocks with transitions between them, head.

    `features` computes feature maps, `pool` averages them, and `classifier` is the head, which may
    be replaced by any module that takes (B, num_features). The keys of the state dict are
    torchvision's.

    Shapes: images (B, in_channels, H, W), float -> logits (B, num_classes), for any height and
    width that leave at least one pixel after the last pooling: 29 for the ImageNet networks.
    With dims=3, volumes (B, in_channels, D, H, W).

    Args:
        growth_rate: k, the number of new features of each dense layer.
        block_config: number of layers of each dense block.
        bottleneck: channels of the 1x1 convolution before each 3x3 convolution, in multiples of the
            growth rate: 4 in the paper's DenseNet-B; None for no such convolution.
        compression: part of the channels that a transition keeps, 0 < compression <= 1: 0.5 in the
            paper's DenseNet-C.
        dropout: probability of element-wise dropout after every convolution but the first, as in
            the paper (section 4.2), 0 <= dropout < 1.
        activation: "relu" (the paper's), "prelu" or "silu".
        stem: layers before the dense blocks. "imagenet": 7x7 convolution of stride 2, then
            pooling; "cifar": 3x3 convolution only; "face": 3x3 convolution, then pooling.
        stem_width: number of filters of the first convolution; None for 2 * growth_rate, as in all
            DenseNet-BC.
        head: "linear": one linear layer; "mlp": a hidden layer of half the width before it;
            "embedding": the head of InsightFace, with `num_classes` normalised outputs; None: no
            head, the output is the pooled features (B, num_features).
        num_classes: number of logits, or of dimensions of the embedding.
        in_channels: number of channels of an image.
        dims: 2 for images, 3 for volumes.
        memory_efficient: save memory in training; see `LayerStyle`.
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
        block_config: Sequence[int],
        bottleneck: int | None = 4,
        compression: float = 0.5,
        dropout: float = 0.0,
        activation: Activation = "relu",
        stem: Stem = "imagenet",
        stem_width: int | None = None,
        head: Head | None = "linear",
        num_classes: int = 1000,
        in_channels: int = 3,
        dims: Dims = 2,
        memory_efficient: bool = False,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        stem_width = 2 * growth_rate if stem_width is None else stem_width
        check_counts(growth_rate=growth_rate, stem_width=stem_width)
        check_counts(num_classes=num_classes, in_channels=in_channels)
        check_blocks("block_config", block_config)
        if bottleneck is not None:
            check_counts(bottleneck=bottleneck)
        if not 0 < compression <= 1:
            raise ValueError(
                f"compression is {compression}; expected above 0 and at most 1, such as 0.5"
            )
        self.in_channels = in_channels
        self.dims = dims
        style = LayerStyle(
            bias=False,
            eps=1e-5,
            dropout=dropout,
            activation=activation,
            dims=dims,
            memory_efficient=memory_efficient,
        )
        self.features = new_stem(stem, in_channels=in_channels, width=stem_width, style=style)
        # Convolution and pooling of a stem round up; each transition halves and rounds down.
        self.min_size = STEM_STRIDES[stem] * (2 ** (len(block_config) - 1) - 1) + 1
        width = stem_width
        for i, num_layers in enumerate(block_config, start=1):
            block = DenseBlock(
                width,
                num_layers=num_layers,
                growth_rate=growth_rate,
                bottleneck=bottleneck,
                style=style,
            )
            width = block.out_channels
            self.features.add_module(f"denseblock{i}", block)
            if i < len(block_config):
                down = TransitionDown(
                    width, compression=compression, pooling="average", style=style
                )
                width = down.out_channels
                self.features.add_module(f"transition{i}", down)
        # torchvision's name: the norm after the four blocks of the ImageNet networks.
        self.features.add_module("norm5", style.operators.norm(width, eps=style.eps))
        self.num_features = width

        self.pool = new_pool(head, width=width, style=style)
        self._head = head
        self._style = style
        self.classifier = self._new_classifier(0 if head is None else num_classes)
        self._init_weights(self)

    def _new_classifier(self, num_classes: int) -> nn.Module:
        head = (self._head or "linear") if num_classes else None
        check_counts(num_classes=num_classes or self.num_features)
        self.num_classes = num_classes or self.num_features
        width = self.num_features
        return new_head(head, width=width, num_classes=num_classes, style=self._style)

    def _init_weights(self, part: nn.Module) -> None:
        """HeNormal for convolutions, 0 for biases; batch norm starts as the identity."""
        for module in part.modules():
            if isinstance(module, CONVOLUTIONS):
                nn.init.kaiming_normal_(module.weight)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> logits (B, num_classes)."""
        stack = self.features(images)  # (B, C, H, W) -> (B, m, about H / 32, W / 32)
        pooled = self.pool(stack)  # (B, m, h, w) -> (B, m)
        logits: Tensor = self.classifier(pooled)  # (B, m) -> (B, num_classes)
        return logits

    def forward_features(self, images: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> the last feature map (B, num_features, about H / 32, W / 32).

        It is that of a `Backbone`, after the activation.
        """
        check_images(images, in_channels=self.in_channels, min_size=self.min_size, dims=self.dims)
        stack: Tensor = self.pool[0](self.features(images))
        return stack

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        """The last feature map -> logits (B, num_classes); pre_logits: (B, num_features)."""
        for layer in list(self.pool)[1:]:
            features = layer(features)
        logits: Tensor = features if pre_logits else self.classifier(features)
        return logits


# The argument `weights` of the builders names weights of torchvision, such as "IMAGENET1K_V1"; see
# `load_public`. Layers that do not fit, such as a head for other classes, keep their fresh weights.


def densenet121(*, weights: PublicWeights = None, **options: Unpack[DenseNetOptions]) -> DenseNet:
    """DenseNet-121 (table 1): 8.0 M parameters."""
    network = DenseNet(growth_rate=32, block_config=(6, 12, 24, 16), **options)
    return start_from_public(network, "densenet121", weights)


def densenet161(*, weights: PublicWeights = None, **options: Unpack[DenseNetOptions]) -> DenseNet:
    """DenseNet-161, k = 48: 28.7 M parameters."""
    network = DenseNet(growth_rate=48, block_config=(6, 12, 36, 24), **options)
    return start_from_public(network, "densenet161", weights)


def densenet169(*, weights: PublicWeights = None, **options: Unpack[DenseNetOptions]) -> DenseNet:
    """DenseNet-169 (table 1): 14.1 M parameters."""
    network = DenseNet(growth_rate=32, block_config=(6, 12, 32, 32), **options)
    return start_from_public(network, "densenet169", weights)


def densenet201(*, weights: PublicWeights = None, **options: Unpack[DenseNetOptions]) -> DenseNet:
    """DenseNet-201 (table 1): 20.0 M parameters."""
    network = DenseNet(growth_rate=32, block_config=(6, 12, 48, 32), **options)
    return start_from_public(network, "densenet201", weights)


def densenet264(*, weights: PublicWeights = None, **options: Unpack[DenseNetOptions]) -> DenseNet:
    """DenseNet-264 (table 1): 33.3 M parameters."""
    network = DenseNet(growth_rate=32, block_config=(6, 12, 64, 48), **options)
    return start_from_public(network, "densenet264", weights)
