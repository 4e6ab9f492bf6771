"""Freezing: parts of a network keep their weights while the rest is trained."""

from __future__ import annotations

from torch import nn
from typing_extensions import Self

from tiramisu.models.arguments import find_part


class Freezable(nn.Module):
    """A network of which parts can be frozen, its `features` by default.

    A frozen part gets no gradients and stays in evaluation mode after `train()` too: the running
    statistics of batch norm do not change, and dropout is off.
    """

    def freeze(self, *names: str) -> Self:
        """Freeze parts by their names, such as "features" or "features.denseblock1".

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
