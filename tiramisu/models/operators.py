"""PyTorch's layers for images and for volumes, by the number of dimensions."""

from typing import Literal, NamedTuple

from torch import Tensor, nn

Dims = Literal[2, 3]
"""2 for images (B, C, H, W), 3 for volumes (B, C, D, H, W)."""

Activation = Literal["relu", "prelu", "silu"]

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "prelu": nn.PReLU, "silu": nn.SiLU}


class Operators(NamedTuple):
    """PyTorch's classes for one number of dimensions."""

    conv: type[nn.Conv2d] | type[nn.Conv3d]
    transposed_conv: type[nn.ConvTranspose2d] | type[nn.ConvTranspose3d]
    norm: type[nn.BatchNorm2d] | type[nn.BatchNorm3d]
    max_pool: type[nn.MaxPool2d] | type[nn.MaxPool3d]
    average_pool: type[nn.AvgPool2d] | type[nn.AvgPool3d]


OPERATORS: dict[int, Operators] = {
    2: Operators(nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, nn.MaxPool2d, nn.AvgPool2d),
    3: Operators(nn.Conv3d, nn.ConvTranspose3d, nn.BatchNorm3d, nn.MaxPool3d, nn.AvgPool3d),
}

CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)


class GlobalAveragePool(nn.Module):
    """The mean over all pixels or voxels: (B, C, H, W) or (B, C, D, H, W) -> (B, C)."""

    def __init__(self, *, dims: Dims = 2) -> None:
        super().__init__()
        self.axes = list(range(2, 2 + dims))

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C)."""
        return features.mean(dim=self.axes)
