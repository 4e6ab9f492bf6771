"""Networks of others for images of any size, also where they need multiples of some number."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tiramisu.models.network import Network


class Padded(Network):
    """A network for images of any size, around one that needs multiples of its stride.

    The last row and column are repeated until height and width are multiples, and the logits are
    cropped.

    Shapes: images (B, in_channels, H, W), float -> logits (B, num_classes, H, W).

    Args:
        network: the network.
        in_channels: number of channels of an image.
        num_classes: number of channels of the logits.
        stride: height and width are padded to multiples of it; 1 pads nothing.
        min_size: smallest height and width that the network takes, in pixels.

    Raises:
        ValueError: in `forward`, images have the wrong number of channels or are too small.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        in_channels: int,
        num_classes: int,
        stride: int,
        min_size: int = 1,
    ) -> None:
        super().__init__()
        self.network = network
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.stride = stride
        self.min_size = min_size

    def forward(self, images: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> logits (B, num_classes, H, W)."""
        if self.stride == 1:
            whole: Tensor = self.network(images)
            return whole
        height, width = images.shape[2:]
        # Of positive numbers only: ONNX rounds a negative quotient up.
        rows = (height + self.stride - 1) // self.stride * self.stride
        columns = (width + self.stride - 1) // self.stride * self.stride
        # Padded by indexing and cropped by negative padding, because torch.export then traces one
        # graph for all sizes.
        row = torch.arange(rows, device=images.device).clamp(max=height - 1)
        column = torch.arange(columns, device=images.device).clamp(max=width - 1)
        logits: Tensor = self.network(images[:, :, row][:, :, :, column])
        return F.pad(logits, (0, width - columns, 0, height - rows))
