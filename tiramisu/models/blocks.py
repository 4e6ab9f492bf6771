"""The parts that DenseNet (arXiv 1608.06993) and FC-DenseNet (arXiv 1611.09326) share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tiramisu.models.arguments import check_choice
from tiramisu.models.fast import fused
from tiramisu.models.fast.recompute import recompute
from tiramisu.models.fast.stages import split_stages
from tiramisu.models.operators import ACTIVATIONS, OPERATORS, Activation, Dims, Operators

Pooling = Literal["max", "average"]


@dataclass(frozen=True, kw_only=True)
class LayerStyle:
    """What all layers of one network have in common, and where the two families differ.

    Raises:
        ValueError: if the dropout probability lies outside 0 <= dropout < 1.
    """

    bias: bool
    """Whether convolutions carry a bias: FC-DenseNet yes, DenseNet no."""

    eps: float
    """Batch normalisation's epsilon: FC-DenseNet 1e-4, DenseNet 1e-5."""

    dropout: float
    """Probability that one element is dropped after a convolution; 0 switches dropout off."""

    activation: Activation = "relu"
    """The non-linearity after batch normalisation: the papers' ReLU, PReLU or SiLU."""

    dims: Dims = 2
    """2 for images, 3 for volumes. Shapes below are those of images; volumes have D before H."""

    memory_efficient: bool = False
    """Keep only what convolutions make, and dropout's masks, from forward to backward pass;
    concatenation, BN and ReLU are computed again. The CPU does so in any case in fp32."""

    def __post_init__(self) -> None:
        if not 0 <= self.dropout < 1:
            raise ValueError(
                f"dropout is {self.dropout}, expected 0 <= dropout < 1: "
                f"0.2 is the papers' choice, 0 switches it off."
            )
        check_choice("activation", self.activation, ACTIVATIONS)
        check_choice("dims", self.dims, OPERATORS)

    @property
    def operators(self) -> Operators:
        """PyTorch's classes for this number of dimensions."""
        return OPERATORS[self.dims]

    def new_activation(self) -> nn.Module:
        """The activation, not in place: nothing that a hook was shown is overwritten. What it
        reads is not kept for the backward pass. (Each PReLU has a weight of its own.)"""
        return ACTIVATIONS[self.activation]()


class DenseLayer(nn.Sequential):
    """BN, ReLU, 3x3 convolution, dropout: the k new features of one layer.

    With a bottleneck, BN, ReLU, 1x1 convolution, dropout come first and narrow the stack to
    `bottleneck * growth_rate` channels (DenseNet-B, 1608.06993 section 3). FC-DenseNet has none
    (1611.09326 table 1). Dropout is element-wise, as in both authors' code.

    Shapes: (B, in_channels, H, W) -> (B, growth_rate, H, W).
    """

    def __init__(
        self,
        in_channels: int,
        *,
        growth_rate: int,
        bottleneck: int | None = None,
        style: LayerStyle,
    ) -> None:
        super().__init__()
        self.memory_efficient = style.memory_efficient
        conv, norm = style.operators.conv, style.operators.norm
        # The attributes are torchvision's names, so its weights load as they are. relu1 is called
        # that whatever the activation.
        self.norm1 = norm(in_channels, eps=style.eps)
        self.relu1 = style.new_activation()
        if bottleneck is None:
            self.conv1 = conv(in_channels, growth_rate, 3, padding=1, bias=style.bias)
            self.dropout1 = nn.Dropout(style.dropout)
        else:
            width = bottleneck * growth_rate
            self.conv1 = conv(in_channels, width, 1, bias=style.bias)
            self.dropout1 = nn.Dropout(style.dropout)
            self.norm2 = norm(width, eps=style.eps)
            self.relu2 = style.new_activation()
            self.conv2 = conv(width, growth_rate, 3, padding=1, bias=style.bias)
            self.dropout2 = nn.Dropout(style.dropout)

    @torch.jit.unused
    def forward(self, *features: Tensor) -> Tensor:
        """Take the stack, whole or in the parts that make it up when concatenated."""
        if not self.memory_efficient:
            return super().forward(torch.cat(features, dim=1))
        for stage in split_stages(list(self.children())):
            made = recompute(stage.norm, stage.relu, stage.conv, *features)
            features = (stage.dropout(made),)
        return features[0]

    def run_plainly(self, stack: Tensor) -> Tensor:
        """What `forward` does, for TorchScript: it knows no `*features`."""
        for part in self:
            stack = part(stack)
        return stack


class DenseBlock(nn.Module):
    """Dense layers that each read the stack of all features before them (1608.06993 equation 2).

    `forward` returns the whole stack: the input, then the new features of layer 1, layer 2, ...
    A caller that wants only the new features takes the last `new_channels` channels.

    Shapes: (B, in_channels, H, W) -> (B, out_channels, H, W), out_channels = in_channels + L * k.
    The input may come in several parts, which are concatenated: that saves a copy.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        num_layers: int,
        growth_rate: int,
        bottleneck: int | None = None,
        style: LayerStyle,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.new_channels = num_layers * growth_rate
        self.out_channels = in_channels + self.new_channels
        for i in range(num_layers):
            layer = DenseLayer(
                in_channels + i * growth_rate,
                growth_rate=growth_rate,
                bottleneck=bottleneck,
                style=style,
            )
            self.add_module(f"denselayer{i + 1}", layer)

    @torch.jit.unused
    def forward(self, *features: Tensor) -> Tensor:
        if fused.suits(features[0]):
            fused_stack = self._run_fused(features)
            if fused_stack is not None:
                return fused_stack
        stack = list(features)
        for layer in self.children():
            stack.append(layer(*stack))  # (B, C + i * k, H, W) -> (B, k, H, W)
        return torch.cat(stack, dim=1)

    def run_plainly(self, features: Tensor) -> Tensor:
        """What `forward` does, layer by layer: one graph for TorchScript and the compiler."""
        stack = [features]
        for layer in self.children():
            stack.append(layer.run_plainly(torch.cat(stack, dim=1)))  # type: ignore[operator]
        return torch.cat(stack, dim=1)

    # What the compiler makes of a dense block on the CPU is slower.
    @torch.compiler.disable
    def _run_fused(self, features: tuple[Tensor, ...]) -> Tensor | None:
        """The stack by the CPU's fast path, or None where someone changed or hooked a part."""
        layers = [(layer, list(layer.children())) for layer in self.children()]
        for layer, parts in layers:
            if (
                type(layer) is not DenseLayer
                or fused.is_hooked(layer)
                or not fused.are_plain(parts)
            ):
                return None
        return fused.dense_block(features, [split_stages(parts) for _, parts in layers])


class TransitionDown(nn.Sequential):
    """BN, ReLU, 1x1 convolution, dropout, 2x2 pooling: halves height and width, rounding down.

    FC-DenseNet keeps the width and takes the maximum (1611.09326 table 1); DenseNet-C compresses
    the width by 0.5 and averages (1608.06993 section 3).

    Shapes: (B, in_channels, H, W) -> (B, out_channels, H // 2, W // 2),
    out_channels = in_channels * compression, rounded down.
    """

    def __init__(
        self, in_channels: int, *, compression: float = 1.0, pooling: Pooling, style: LayerStyle
    ) -> None:
        super().__init__()
        self.memory_efficient = style.memory_efficient
        self.in_channels = in_channels
        self.out_channels = int(in_channels * compression)
        operators = style.operators
        self.norm = operators.norm(in_channels, eps=style.eps)
        self.relu = style.new_activation()
        self.conv = operators.conv(in_channels, self.out_channels, 1, bias=style.bias)
        self.dropout = nn.Dropout(style.dropout)
        self.pool = operators.max_pool(2) if pooling == "max" else operators.average_pool(2)

    @torch.jit.unused
    def forward(self, stack: Tensor) -> Tensor:
        if fused.suits(stack):
            features = self._run_fused(stack)
            if features is not None:
                return features
        if self.memory_efficient:
            return self.pool(self.dropout(recompute(self.norm, self.relu, self.conv, stack)))
        return super().forward(stack)

    @torch.compiler.disable
    def _run_fused(self, stack: Tensor) -> Tensor | None:
        """As that of `DenseBlock`."""
        *parts, pool = self.children()
        if not fused.are_plain(parts):
            return None
        in_use = not (self.training or self.dropout.training or fused.is_hooked(pool))
        if isinstance(pool, nn.AvgPool2d) and in_use:
            # They commute, and a 1x1 convolution of what is pooled has a quarter of the work.
            return self.conv(pool(self.relu(self.norm(stack))))
        (stage,) = split_stages(parts)
        return pool(fused.norm_relu_conv(stack, stage))


class TransitionUp(nn.Module):
    """Doubles the new features of the block below, to be joined to the skip connection.

    3x3 transposed convolution of stride 2, with bias (1611.09326 table 1). Of the stack it takes
    the new features alone: all of it would be too wide at full resolution (section 3.2).

    Shapes: stack (B, in_channels or more, H, W) and skip (B, any, 2H or 2H + 1, 2W or 2W + 1)
    -> (B, in_channels, the skip's height and width).
    """

    def __init__(self, in_channels: int, *, dims: Dims = 2) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.conv = OPERATORS[dims].transposed_conv(in_channels, in_channels, 3, stride=2)

    def forward(self, stack: Tensor, skip: Tensor) -> Tensor:
        new_features = stack[:, -self.in_channels :]
        upsampled = self.conv(new_features)  # (B, C, H, W) -> (B, C, 2H + 1, 2W + 1)
        # The skip is 2H or 2H + 1 high: there is at most one row too many, and centring rounds to
        # dropping the last one. Negative padding crops like a slice, but torch.export understands
        # it for even and odd sizes at once.
        crop = []
        for axis in range(skip.ndim - 1, 1, -1):  # F.pad begins with the last one
            crop += [0, skip.shape[axis] - upsampled.shape[axis]]
        return F.pad(upsampled, crop)
