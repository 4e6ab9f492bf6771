"""What all networks of this package share: checks of input, frozen parts, and timm's habits."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from typing import Any, ParamSpec, TypeAlias

import torch
from torch import Tensor, nn
from typing_extensions import Self

from tiramisu.models.arguments import check_images, find_part
from tiramisu.models.fast.choice import Accelerated, arrange

P = ParamSpec("P")
Device: TypeAlias = "torch.device | str | int | None"

WITH_THE_LAST = (99_999,)
"""In timm's matchers: these parameters belong to the group of the layer before them."""


def on_device(device: Device) -> AbstractContextManager[Any]:
    """New tensors in this context are made on a device; None for PyTorch's default."""
    return nullcontext() if device is None else torch.device(device)


def built_in_place(init: Callable[P, None]) -> Callable[P, None]:
    """For the `__init__` of a network: its weights are made on `device`, and have its `dtype`."""

    @wraps(init)
    def init_in_place(*args: P.args, **options: P.kwargs) -> None:
        device: Any = options.get("device")
        dtype: Any = options.get("dtype")
        network: Any = args[0]
        with on_device(device):
            init(*args, **options)
        if dtype is not None:
            network.to(dtype)

    return init_in_place


class Network(nn.Module):
    """A network that says what is wrong with its input, and of which parts can be frozen.

    A frozen part gets no gradients and stays in evaluation mode after `train()` too: the running
    statistics of batch norm do not change, and dropout is off.
    """

    in_channels: int
    min_size: int
    dims: int = 2

    # Of networks with a classifier; see `reset_classifier`.
    _new_classifier: Callable[[int], nn.Module]
    _init_weights: Callable[[nn.Module], None]

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

    def get_classifier(self) -> nn.Module:
        """The last layer or layers, which compute the logits.

        Raises:
            ValueError: the network has none.
        """
        return find_part(self, "classifier", purpose="that computes logits")

    def reset_classifier(self, num_classes: int) -> None:
        """Replace the classifier by a new one of the same kind, with random weights.

        It has the device, dtype and mode (training or evaluation) of the network, and is trainable.

        Args:
            num_classes: number of classes; for a DenseNet, 0 leaves the classifier out.

        Raises:
            ValueError: the network has no classifier, or the number is out of its range.
        """
        self.get_classifier()
        like = next(self.parameters())
        with on_device(like.device):
            classifier = self._new_classifier(num_classes)
            self._init_weights(classifier)
        self.classifier = classifier.to(like.dtype).train(self.training)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Save memory in training, or stop to: the argument `memory_efficient`, set later.

        Raises:
            ValueError: the network has no part that can do so.
        """
        parts = [module for module in self.modules() if isinstance(module, Accelerated)]
        if not parts:
            raise ValueError("the network has no dense blocks, which alone can save memory")
        for part in parts:
            part.memory_efficient = enable

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Patterns that sort parameters into groups by depth, for learning rates by layer.

        They are in the form of `timm.optim.param_groups_layer_decay`: all that no pattern matches,
        such as the last batch norm and the classifier, is the deepest group.

        Args:
            coarse: make a group of each block, not of each dense layer.
        """
        groups: dict[str, Any] = {"stem": r"^features\.(?:conv|norm|relu)0\."}
        if coarse:
            return groups | {
                "blocks": r"^features\.(?:denseblock|transition)(\d+)\.",
                "bottleneck": r"^bottleneck\.",
                "decoder": r"^decoder\.(?:transition|denseblock)(\d+)\.",
            }
        return groups | {
            "blocks": [
                (r"^features\.denseblock(\d+)\.denselayer(\d+)\.", None),
                (r"^features\.transition(\d+)\.", WITH_THE_LAST),
            ],
            "bottleneck": r"^bottleneck\.denselayer(\d+)\.",
            "decoder": [
                (r"^decoder\.transition(\d+)\.", None),
                (r"^decoder\.denseblock(\d+)\.denselayer(\d+)\.", None),
            ],
        }
