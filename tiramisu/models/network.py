"""What all networks of this package share: a check of their input, and frozen parts."""

from typing import Any

from torch import Tensor, nn
from typing_extensions import Self

from tiramisu.models.arguments import check_images, find_part
from tiramisu.models.fast.choice import arrange


class Network(nn.Module):
    """A network that says what is wrong with its input, and of which parts can be frozen.

    A frozen part gets no gradients and stays in evaluation mode after `train()` too: the running
    statistics of batch norm do not change, and dropout is off.
    """

    in_channels: int
    min_size: int
    dims: int = 2

    # Here and not in `forward`, which tracers can follow only if it does not depend on shapes.
    def __call__(self, images: Tensor) -> Any:
        """Check the input, then run `forward`.

        Raises:
            ValueError: images have the wrong number of channels or are too small.
        """
        check_images(images, in_channels=self.in_channels, min_size=self.min_size, dims=self.dims)
        return super().__call__(arrange(self, images))

    def freeze(self, *names: str) -> Self:
        """Freeze parts by their names, such as "features.denseblock1"; `features` by default.

        Raises:
            ValueError: the network has no part of that name.
        """
        for name in names or ("features",):
            part = find_part(self, name, purpose="to freeze")
            part.requires_grad_(False)
            # Kept in each module, because a module may be a part of several networks.
            for module in part.modules():
                module.is_frozen = True  # type: ignore[assignment]
        return self.train(self.training)

    def unfreeze(self) -> Self:
        """Train all frozen parts again."""
        for module in self.modules():
            if getattr(module, "is_frozen", False):
                module.is_frozen = False  # type: ignore[assignment]
                module.requires_grad_(True)
        return self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set training mode, except for frozen parts."""
        super().train(mode)
        for module in self.modules():
            if getattr(module, "is_frozen", False):
                module.training = False
        return self
