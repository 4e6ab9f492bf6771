"""Holding a part of a network as it is, while the rest learns."""

from __future__ import annotations

from torch import nn
from typing_extensions import Self


class Freezable(nn.Module):
    """A network of which parts can be frozen, its `features` by default.

    A frozen part gets no gradients and stays in evaluation mode, whatever `train` says: running
    statistics of batch normalisation do not move, and dropout is off.
    """

    def __init__(self) -> None:
        super().__init__()
        self._frozen: list[nn.Module] = []

    def freeze(self, *names: str) -> Self:
        """Freeze parts by their names, such as "features" or "features.denseblock1".

        Raises:
            ValueError: if the network has no part of that name.
        """
        for name in names or ("features",):
            try:
                part = self.get_submodule(name)
            except AttributeError:
                parts = [*dict(self.named_children()), *(f"features.{n}" for n in self._stages())]
                raise ValueError(
                    f"The network has no part {name!r} to freeze, expected a module's name such "
                    f"as {', '.join(parts)}."
                ) from None
            part.requires_grad_(False)
            # A plain list: as a module's attribute the parts would appear twice in state_dict.
            self._frozen = [*self._frozen, part]
        return self.train(self.training)

    def unfreeze(self) -> Self:
        """Let all frozen parts learn again."""
        for part in self._frozen:
            part.requires_grad_(True)
        self._frozen = []
        return self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for part in self._frozen:
            part.eval()
        return self

    def _stages(self) -> list[str]:
        features = getattr(self, "features", None)
        return [] if features is None else list(dict(features.named_children()))
