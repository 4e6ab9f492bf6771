"""The blocks that DenseNet (arXiv 1608.06993) and FC-DenseNet (arXiv 1611.09326) share."""

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
    """What all layers of one network have in common; here the two families differ.

    Raises:
        ValueError: a field is out of its range.
    """

    bias: bool
    """Whether convolutions have a bias: in FC-DenseNet they have, in DenseNet not."""

    eps: float
    """Epsilon of batch norm: 1e-4 in FC-DenseNet, 1e-5 in DenseNet."""

    dropout: float
    """Probability of element-wise dropout after a convolution, 0 <= dropout < 1."""

    activation: Activation = "relu"
    """The non-linearity after batch norm: ReLU, as in the papers, PReLU or SiLU."""

    dims: Dims = 2
    """2 for images, 3 for volumes. Shapes in this file are for images; volumes have D before H."""

    memory_efficient: bool = False
    """Save memory in training: keep only the outputs of convolutions and the masks of dropout for
    the backward pass, and compute concatenation, BN and ReLU again. On a CPU in fp32 this is always
    done."""

    def __post_init__(self) -> None:
        if not 0 <= self.dropout < 1:
            raise ValueError(
                f"dropout is {self.dropout}; expected at least 0 and below 1, such as 0.2"
            )
        check_choice("activation", self.activation, ACTIVATIONS)
        check_choice("dims", self.dims, OPERATORS)

    @property
    def operators(self) -> Operators:
        """PyTorch's classes for this number of dimensions."""
        return OPERATORS[self.dims]

    def new_activation(self) -> nn.Module:
        """A new activation. It does not work in place, so that hooks see unchanged tensors."""
        return ACTIVATIONS[self.activation]()


class DenseLayer(nn.Sequential):
    """BN, ReLU, 3x3 convolution, dropout: makes the k new features of one layer.

    With a bottleneck, BN, ReLU, 1x1 convolution and dropout come first and reduce the stack to
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
        # The names are torchvision's, so that its weights can be loaded; relu1 is so called for
        # every activation.
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
        """Take the stack (B, in_channels, H, W), whole or in parts that are concatenated here."""
        if not self.memory_efficient:
            made: Tensor = super().forward(torch.cat(features, dim=1))  # type: ignore[no-untyped-call]
            return made
        for stage in split_stages(list(self.children())):
            convolved = recompute(stage.norm, stage.relu, stage.conv, *features)
            features = (stage.dropout(convolved),)
        return features[0]

    def run_plainly(self, stack: Tensor) -> Tensor:
        """The same as `forward`, for TorchScript, which does not support `*features`."""
        for part in self:
            stack = part(stack)
        return stack


class DenseBlock(nn.Module):
    """Dense layers; each reads the stack of all features before it (1608.06993 equation 2).

    `forward` returns the whole stack: the input, then the new features of layer 1, layer 2, ...
    The last `new_channels` channels are the new features.

    Shapes: (B, in_channels, H, W) -> (B, out_channels, H, W), out_channels = in_channels + L * k.
    The input may come in several parts that are concatenated here, which saves a copy.
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
            width = in_channels + i * growth_rate
            layer = DenseLayer(width, growth_rate=growth_rate, bottleneck=bottleneck, style=style)
            self.add_module(f"denselayer{i + 1}", layer)

    @torch.jit.unused
    def forward(self, *features: Tensor) -> Tensor:
        """Input (B, in_channels, H, W), whole or in parts -> stack (B, out_channels, H, W)."""
        if fused.suits(features[0]):
            fused_stack: Tensor | None = self._run_fused(features)
            if fused_stack is not None:
                return fused_stack
        stack = list(features)
        for layer in self.children():
            stack.append(layer(*stack))  # (B, C + i * k, H, W) -> (B, k, H, W)
        return torch.cat(stack, dim=1)

    def run_plainly(self, features: Tensor) -> Tensor:
        """The same as `forward` without the fast path, for TorchScript and the compiler."""
        stack = [features]
        for layer in self.children():
            stack.append(layer.run_plainly(torch.cat(stack, dim=1)))  # type: ignore[operator]
        return torch.cat(stack, dim=1)

    # On the CPU, compiled dense blocks are slower than this.
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _run_fused(self, features: tuple[Tensor, ...]) -> Tensor | None:
        """The stack by the fast path of the CPU; None if a part was replaced or has a hook."""
        layers = []
        for layer in self.children():
            parts = list(layer.children())
            plain = type(layer) is DenseLayer and not fused.is_hooked(layer)
            if not (plain and fused.are_plain(parts)):
                return None
            layers.append(split_stages(parts))
        return fused.dense_block(features, layers)


class TransitionDown(nn.Sequential):
    """BN, ReLU, 1x1 convolution, dropout, 2x2 pooling: halves height and width, rounding down.

    FC-DenseNet keeps the number of channels and uses max pooling (1611.09326 table 1); DenseNet-C
    halves the number of channels and uses average pooling (1608.06993 section 3).

    Shapes: (B, in_channels, H, W) -> (B, out_channels, H // 2, W // 2),
    out_channels = in_channels * compression, rounded down.

    Raises:
        ValueError: no channel is left.
    """

    def __init__(
        self, in_channels: int, *, compression: float = 1.0, pooling: Pooling, style: LayerStyle
    ) -> None:
        super().__init__()
        self.memory_efficient = style.memory_efficient
        self.in_channels = in_channels
        self.out_channels = int(in_channels * compression)
        if self.out_channels < 1:
            raise ValueError(
                f"compression is {compression}, which leaves none of {in_channels} channels; "
                f"expected above 1 / {in_channels}, or give a larger growth_rate"
            )
        operators = style.operators
        self.norm = operators.norm(in_channels, eps=style.eps)
        self.relu = style.new_activation()
        self.conv = operators.conv(in_channels, self.out_channels, 1, bias=style.bias)
        self.dropout = nn.Dropout(style.dropout)
        self.pool = operators.max_pool(2) if pooling == "max" else operators.average_pool(2)

    @torch.jit.unused
    def forward(self, stack: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H // 2, W // 2)."""
        if fused.suits(stack):
            fused_features: Tensor | None = self._run_fused(stack)
            if fused_features is not None:
                return fused_features
        features: Tensor
        if self.memory_efficient:
            convolved = recompute(self.norm, self.relu, self.conv, stack)
            features = self.pool(self.dropout(convolved))
        else:
            features = super().forward(stack)  # type: ignore[no-untyped-call]
        return features

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _run_fused(self, stack: Tensor) -> Tensor | None:
        """The features by the fast path of the CPU; None if a part was replaced or has a hook."""
        *parts, pool = self.children()
        if not fused.are_plain(parts):
            return None
        evaluating = not (self.training or self.dropout.training)
        if isinstance(pool, nn.AvgPool2d) and evaluating and not fused.is_hooked(pool):
            # Pooling and 1x1 convolution commute, and pooling first leaves a quarter of the work.
            features: Tensor = self.conv(pool(self.relu(self.norm(stack))))
        else:
            (stage,) = split_stages(parts)
            features = pool(fused.norm_relu_conv(stack, stage))
        return features


class TransitionUp(nn.Module):
    """Up-samples the new features of the block below to the size of the skip connection.

    3x3 transposed convolution of stride 2, with bias (1611.09326 table 1). It is applied only to
    the new features, because the whole stack would have too many channels at full resolution
    (section 3.2).

    Shapes: stack (B, in_channels or more, H, W) and skip (B, any, 2H or 2H + 1, 2W or 2W + 1)
    -> (B, in_channels, the skip's height and width).
    """

    def __init__(self, in_channels: int, *, dims: Dims = 2) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.conv = OPERATORS[dims].transposed_conv(in_channels, in_channels, 3, stride=2)

    def forward(self, stack: Tensor, skip: Tensor) -> Tensor:
        """Up-sample the last `in_channels` channels of a stack to the size of a skip connection."""
        new_features = stack[:, -self.in_channels :]
        upsampled = self.conv(new_features)  # (B, C, H, W) -> (B, C, 2H + 1, 2W + 1)
        # The skip has 2H or 2H + 1 rows, so at most one row is cut off; a centred crop, rounded
        # down, cuts off the last. Negative padding crops like a slice, but torch.export traces it
        # for even and odd sizes at once.
        crop = []
        for axis in range(skip.ndim - 1, 1, -1):  # F.pad starts with the last axis
            crop += [0, skip.shape[axis] - upsampled.shape[axis]]
        return F.pad(upsampled, crop)
