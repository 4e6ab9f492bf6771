"""One run of a network on the meta device: shapes, multiply-adds, and which module reads which.

The meta device computes shapes without numbers, so any input size is quick and needs no memory.
"""

from __future__ import annotations

import contextlib
import copy
import math
from collections import Counter
from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, *TRANSPOSED)
LAYERS = (*CONVOLUTIONS, nn.Linear)
"""What papers count as layers."""

INPUT, OUTPUT = ".input", ".output"
"""Names of both ends in a graph; no module's name starts with a full stop."""


def run_on_meta(model: nn.Module, *, height: int, width: int, depth: int | None = None) -> MetaRun:
    """Run a copy of a network on the meta device. The model itself is neither run nor changed.

    Args:
        model: takes images (B, C, H, W) or volumes (B, C, D, H, W), and has a convolution: the
            first one's input channels are those of the input.
        height: H in pixels; in the same way width and, for volumes, depth.

    Raises:
        ValueError: if the network has no convolution, or cannot take this input.
    """
    convolution = next((m for m in model.modules() if isinstance(m, CONVOLUTIONS)), None)
    if convolution is None:
        raise ValueError(
            f"{type(model).__name__} has no convolution; expected a network for images or volumes: "
            "the input channels of its first convolution are those of its input"
        )
    if depth is None and getattr(model, "dims", 2) == 3:
        raise ValueError(
            f"the network takes volumes, and {height}x{width} is the size of an image; give a "
            f"depth too, for example depth={height}"
        )
    size = (height, width) if depth is None else (depth, height, width)
    network = copy.deepcopy(model).to("meta").eval()
    run = MetaRun(network, (convolution.in_channels, *size))
    # Sizes are rounded at each pooling, so strides are read off a larger run, at a size that all
    # strides divide. The axes that are larger there are height and width, also with channels last.
    large_size = (128 * math.ceil(side / 64) for side in size)
    with contextlib.suppress(ValueError):  # a network for one size only, such as a transformer
        run.large = MetaRun(network, (convolution.in_channels, *large_size))
    return run


class MetaRun(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A run of a network in evaluation mode, for one image.

    Attributes:
        network: the network, on the meta device.
        input: shape of the image, (C, H, W) or (C, D, H, W).
        shapes: shapes of each module's input and output at its first call, with the batch, by the
            module's name ("" for the network itself), in the order in which first calls ended.
        multiply_adds: of convolutions and matrix products, by the module's name, of all its calls.
        large: a run at a larger size, if there can be one.
    """

    def __init__(self, network: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.network = network
        self.input = shape
        self.large = self
        self.shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {}
        self.multiply_adds = Counter[str]()
        self._inside: list[str] = []  # the modules that are running, from the outermost
        # For each operation, the modules it runs in, and the numbers of those that it reads.
        self._operations: list[tuple[tuple[str, ...], list[int]]] = []
        self._made_by: dict[int, tuple[int, Tensor]] = {}

        images = torch.empty((1, *shape), device="meta")
        self._note((INPUT,), (), images)
        hooks = []
        for name, module in network.named_modules():
            enter = partial(lambda name, *_: self._inside.append(name), name)
            leave = partial(self._leave, name)
            hooks.append(module.register_forward_pre_hook(enter))
            hooks.append(module.register_forward_hook(leave, with_kwargs=True))
        try:
            with torch.no_grad(), torch.device("meta"), self:
                output = network(images)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise ValueError(
                f"{type(network).__name__} cannot take an input of "
                f"{' x '.join(map(str, shape))} ({reason}); try another size"
            ) from error
        finally:
            for hook in hooks:
                hook.remove()
        self._note((OUTPUT,), output, ())

    def _leave(self, name: str, _module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        self._inside.pop()
        self.shapes.setdefault(name, (_shape((args, kwargs)), _shape(output)))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        self._note(tuple(self._inside), (args, kwargs), result)
        if count := flop_registry.get(func.overloadpacket):
            work = count(*args, **kwargs, out_val=result) // 2
            self.multiply_adds.update(dict.fromkeys(self._inside, work))
        return result

    def _note(self, modules: tuple[str, ...], operands: Any, result: Any) -> None:
        makers = (self._made_by.get(id(tensor)) for tensor in _tensors(operands))
        self._operations.append((modules, [maker[0] for maker in makers if maker]))
        for tensor in _tensors(result):
            # The tensor is kept as well: while it lives, no other has its id.
            self._made_by[id(tensor)] = len(self._operations) - 1, tensor

    def largest_output(self) -> int:
        """Number of values in the largest output of a module."""
        return max(math.prod(output) for _, output in self.shapes.values())

    def convolved_values(self) -> int:
        """Number of values in the outputs of all convolutions: training keeps these at least."""
        names = [name for name, m in self.network.named_modules() if isinstance(m, CONVOLUTIONS)]
        return sum(math.prod(self.shapes[name][1]) for name in names if name in self.shapes)

    def read_output(self, name: str) -> tuple[int, tuple[int, ...], int | None]:
        """Channels, size and stride of a module's output, also where channels come last.

        Vectors (B, C) and tokens (B, N, C) have the size (). The stride is None for these, and
        where the size does not follow that of the network's input or is larger.
        """
        if name not in self.shapes:
            return 0, (), None
        shape, large_shape = self.shapes[name][1], self.large.shapes[name][1]
        if len(shape) != 1 + len(self.input):
            return shape[-1] if shape else 0, (), None
        grows = [a != b for a, b in zip(shape, large_shape, strict=True)]
        channels, size, large_side = shape[1], shape[2:], large_shape[-1]
        if grows[1] and not grows[-1]:
            channels, size, large_side = shape[-1], shape[1:-1], large_shape[-2]
        follows = any(grows) or self.large is self
        stride = round(self.large.input[-1] / large_side) if follows else 0
        return channels, size, stride or None

    def find_sources(self, parts: Iterable[str]) -> dict[str, set[str]]:
        """Find which parts each part and OUTPUT read, directly or through operations between them.

        The parts are names of modules, none inside another. INPUT is read like a part. Asking for
        a tensor's shape is not reading it.
        """
        known = {*parts, INPUT, OUTPUT}
        sources: dict[str, set[str]] = {}
        origins: list[set[str]] = []  # of each operation's result
        for modules, reads in self._operations:
            read = set[str]().union(*(origins[number] for number in reads))
            part = next((name for name in modules if name in known), None)
            if part is not None:
                sources.setdefault(part, set()).update(read - {part})
                read = {part}
            origins.append(read)
        return sources


def _tensors(value: Any) -> list[Tensor]:
    """All tensors in nested tuples, lists and dicts."""
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]


def _shape(value: Any) -> tuple[int, ...]:
    """Of the first tensor in nested tuples, lists and dicts; () without one."""
    return next((tuple(tensor.shape) for tensor in _tensors(value)), ())
