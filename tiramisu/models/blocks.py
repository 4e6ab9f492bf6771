"""The blocks that DenseNet (arXiv 1608.06993) and FC-DenseNet (arXiv 1611.09326) share."""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tiramisu.models.arguments import check_choice
from tiramisu.models.fast import fused
from tiramisu.models.fast.choice import Accelerated
from tiramisu.models.fast.recompute import recompute
from tiramisu.models.fast.stages import split_stages
from tiramisu.models.fast.transposed import transposed_conv
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
    the backward pass, and compute concatenation, BN and ReLU again. The faster code for the CPU
    (images, ReLU, fp32, fp64 or autocast to bf16) always does so."""

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

    def new_dropout(self) -> nn.Dropout:
        """A new dropout."""
        return nn.Dropout(float(self.dropout))  # TorchScript refuses a whole number


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
        conv, norm = style.operators.conv, style.operators.norm
        # The names are torchvision's, so that its weights can be loaded; relu1 is so called for
        # every activation.
        self.norm1 = norm(in_channels, eps=style.eps)
        self.relu1 = style.new_activation()
        if bottleneck is None:
            self.conv1 = conv(in_channels, growth_rate, 3, padding=1, bias=style.bias)
            self.dropout1 = style.new_dropout()
        else:
            width = bottleneck * growth_rate
            self.conv1 = conv(in_channels, width, 1, bias=style.bias)
            self.dropout1 = style.new_dropout()
            self.norm2 = norm(width, eps=style.eps)
            self.relu2 = style.new_activation()
            self.conv2 = conv(width, growth_rate, 3, padding=1, bias=style.bias)
            self.dropout2 = style.new_dropout()


class DenseBlock(Accelerated, nn.Sequential):
    """Dense layers; each reads the stack of all features before it (1608.06993 equation 2).

    The output is the whole stack: the input, then the new features of layer 1, layer 2, ... The
    last `new_channels` channels are the new features.

    Shapes: (B, in_channels, H, W) -> (B, out_channels, H, W), out_channels = in_channels + L * k.
    """

    compiles_fused = True

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
        self.memory_efficient = style.memory_efficient
        self.in_channels = in_channels
        self.new_channels = num_layers * growth_rate
        self.out_channels = in_channels + self.new_channels
        for i in range(num_layers):
            width = in_channels + i * growth_rate
            layer = DenseLayer(width, growth_rate=growth_rate, bottleneck=bottleneck, style=style)
            self.add_module(f"denselayer{i + 1}", layer)

    def forward(self, stack: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> the stack (B, out_channels, H, W)."""
        for layer in self:
            stack = torch.cat([stack, layer(stack)], dim=1)  # (B, m, H, W) -> (B, m + k, H, W)
        return stack

    def parts(self) -> list[nn.Module] | None:
        """See `Accelerated`."""
        is_sequence = DenseLayer.forward is nn.Sequential.forward
        if not is_sequence or any(type(layer) is not DenseLayer for layer in self):
            return None
        return [part for layer in self.children() for part in layer.children()]

    def run_fused(self, *features: Tensor) -> Tensor:
        """See `Accelerated`; the input may come in parts."""
        return fused.dense_block(features, [split_stages(layer.children()) for layer in self])

    def run_recomputing(self, *features: Tensor) -> Tensor:
        """See `Accelerated`; the input may come in parts."""
        for layer in self:
            made = features
            for stage in split_stages(layer.children()):
                made = (recompute(stage, *made),)
            features += made
        return torch.cat(features, dim=1)


class TransitionDown(Accelerated, nn.Sequential):
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
        self.dropout = style.new_dropout()
        self.pool = operators.max_pool(2) if pooling == "max" else operators.average_pool(2)

    def parts(self) -> list[nn.Module] | None:
        """See `Accelerated`."""
        *parts, _pool = self.children()
        return parts if len(parts) == 4 else None

    def run_fused(self, stack: Tensor) -> Tensor:
        """See `Accelerated`."""
        *parts, pool = self.children()
        evaluating = not (self.training or self.dropout.training)
        pointwise = self.conv.kernel_size == (1, 1) and self.conv.bias is None
        if type(pool) is nn.AvgPool2d and pointwise and evaluating:
            # Pooling and 1x1 convolution commute, and pooling first leaves a quarter of the work.
            features: Tensor = self.conv(pool(self.relu(self.norm(stack))))
        else:
            (stage,) = split_stages(parts)
            features = pool(fused.norm_relu_conv(stack, stage))
        return features

    def run_recomputing(self, stack: Tensor) -> Tensor:
        """See `Accelerated`."""
        *parts, pool = self.children()
        (stage,) = split_stages(parts)
        features: Tensor = pool(recompute(stage, stack))
        return features


class TransitionUp(Accelerated):
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
        self.last_axis = dims + 1
        self.conv = OPERATORS[dims].transposed_conv(in_channels, in_channels, 3, stride=2)

    def forward(self, stack: Tensor, skip: Tensor) -> Tensor:
        """Up-sample the last `in_channels` channels of a stack to the size of a skip connection."""
        new_features = stack[:, -self.in_channels :]
        upsampled = self.conv(new_features)  # (B, C, H, W) -> (B, C, 2H + 1, 2W + 1)
        return self._crop(upsampled, skip)

    def parts(self) -> list[nn.Module] | None:
        """See `Accelerated`."""
        return [self.conv]

    def run_fused(self, stack: Tensor, skip: Tensor) -> Tensor:
        """See `Accelerated`."""
        new_features = stack[:, -self.in_channels :]
        assert isinstance(self.conv, nn.ConvTranspose2d)
        return self._crop(transposed_conv(new_features, self.conv), skip)

    def _crop(self, upsampled: Tensor, skip: Tensor) -> Tensor:
        # The skip has 2H or 2H + 1 rows, so at most one row is cut off; a centred crop, rounded
        # down, cuts off the last. Negative padding crops like a slice, but torch.export traces it
        # for even and odd sizes at once.
        crop: list[int] = []
        for axis in range(self.last_axis, 1, -1):  # F.pad starts with the last axis
            crop += [0, skip.shape[axis] - upsampled.shape[axis]]
        return F.pad(upsampled, crop)
