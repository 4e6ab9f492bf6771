"""A network run on the meta device: shapes and work, read off the run itself.

There shapes are computed and numbers are not, so that any input size is quick and needs no memory.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

CONVOLUTIONS = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)
LAYERS = (*CONVOLUTIONS, nn.Linear)
"""What papers count as layers."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """What one module took, gave and cost. Shapes are those of its first call, (B, C, ...)."""

    taken: tuple[int, ...]
    given: tuple[int, ...]
    multiply_adds: int
    """Of all its calls, for one image."""


@dataclass(frozen=True, kw_only=True)
class Trace:
    """A run of a network, for one image."""

    network: nn.Module
    """A copy on the meta device, in evaluation mode."""

    input: tuple[int, ...]
    """(1, C, H, W), or (1, C, D, H, W) for a volume."""

    calls: Mapping[str, Call]
    """By module name, "" for the network itself, in the order in which first calls ended."""

    modules: Mapping[str, nn.Module]
    """Every module by name, whether it was called or not."""

    @property
    def name(self) -> str:
        """The network's class, or that of the network inside where it is only wrapped."""
        network = self.network
        while len(inside := list(network.children())) == 1 and not isinstance(
            inside[0], nn.Sequential | nn.ModuleList | nn.ModuleDict
        ):
            if not any(True for _ in inside[0].children()):
                break
            network = inside[0]
        return type(network).__name__

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of all convolutions and matrix products."""
        return self.calls[""].multiply_adds

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        return sum(parameter.numel() for parameter in self.network.parameters())


def trace_network(model: nn.Module, size: tuple[int, ...]) -> Trace:
    """Run a copy of a network on the meta device. The model itself is neither run nor changed.

    Args:
        model: takes images (B, C, H, W) or volumes (B, C, D, H, W), and has a convolution, whose
            input channels tell C.
        size: (H, W) or (D, H, W) of the input.

    Raises:
        ValueError: if the network has no convolution, or cannot take this input.
    """
    convolution = next((m for m in model.modules() if isinstance(m, CONVOLUTIONS)), None)
    if convolution is None:
        raise ValueError(
            f"{type(model).__name__} has no convolution, expected a network for images or volumes: "
            f"the channels of its input are read off the first one."
        )
    network = copy.deepcopy(model).to("meta").eval()
    return _run(network, (1, convolution.in_channels, *size))


def repeat_trace(trace: Trace, size: tuple[int, ...]) -> Trace:
    """The same run at another size."""
    return _run(trace.network, (*trace.input[:2], *size))


def find_tensors(value: Any) -> Iterator[Tensor]:
    """All tensors in nested tuples, lists and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from find_tensors(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from find_tensors(item)


@dataclass(frozen=True, kw_only=True)
class Output:
    """What a module gives, read in the right order of axes."""

    channels: int

    size: tuple[int, ...]
    """(H, W) or (D, H, W), () of vectors and tokens."""

    stride: int | None
    """How many times smaller than the input it is; None without a size, or where the size does not
    follow the input's, as behind a global pooling."""


def find_outputs(trace: Trace) -> dict[str, Output]:
    """Read each called module's output: its channels, its size, its stride.

    Sizes are rounded at each pooling, and a global pooling has no stride at all; some libraries
    keep channels last. So the network is run once more, larger, at a size that all strides divide:
    what grows then is height and width.
    """
    sides = trace.input[2:]
    outputs = (spatial(call.given, trace) for call in trace.calls.values())
    ratios = [a / b for size in outputs if size for a, b in zip(sides, size, strict=True)]
    multiple = 2 ** math.ceil(math.log2(max(ratios, default=1)))
    try:
        large = repeat_trace(trace, tuple(2 * math.ceil(s / multiple) * multiple for s in sides))
    except ValueError:  # a network for one size only, such as a transformer
        large = trace
    return {
        name: _read_output(trace, call.given, large, large.calls[name].given)
        for name, call in trace.calls.items()
    }


def _read_output(
    trace: Trace, shape: tuple[int, ...], large: Trace, large_shape: tuple[int, ...]
) -> Output:
    if len(shape) != len(trace.input):
        # Vectors (B, C), tokens (B, N, C); nothing at all where no tensor is given.
        return Output(channels=shape[-1] if shape else 0, size=(), stride=None)
    grows = [a != b for a, b in zip(shape, large_shape, strict=True)]
    if grows[1] and not grows[-1]:
        shape = (shape[0], shape[-1], *shape[1:-1])
        large_shape = (large_shape[0], large_shape[-1], *large_shape[1:-1])
    fixed = large is not trace and shape[2:] == large_shape[2:]
    stride = None if fixed else round(large.input[-1] / large_shape[-1])
    return Output(channels=shape[1], size=shape[2:], stride=stride)


def spatial(shape: tuple[int, ...], trace: Trace) -> tuple[int, ...]:
    """(H, W) or (D, H, W) of features, () of vectors and tokens."""
    return shape[2:] if len(shape) == len(trace.input) else ()


def _run(network: nn.Module, shape: tuple[int, ...]) -> Trace:
    modules = dict(network.named_modules())
    counter = FlopCounterMode(display=False)
    calls: dict[str, Call] = {}
    starts: list[tuple[int, tuple[int, ...]]] = []

    def enter(_module: nn.Module, args: Any, kwargs: Any) -> None:
        taken = next(find_tensors((args, kwargs)), None)
        starts.append((counter.get_total_flops(), () if taken is None else tuple(taken.shape)))

    def leave(name: str, output: Any) -> None:
        before, taken = starts.pop()
        work = (counter.get_total_flops() - before) // 2
        given = next(find_tensors(output), None)
        first = calls.get(name)
        calls[name] = Call(
            taken=first.taken if first else taken,
            given=first.given if first else () if given is None else tuple(given.shape),
            multiply_adds=work + (first.multiply_adds if first else 0),
        )

    hooks = []
    for name, module in modules.items():
        hooks.append(module.register_forward_pre_hook(enter, with_kwargs=True))
        hooks.append(
            module.register_forward_hook(lambda _m, _args, output, name=name: leave(name, output))
        )
    try:
        with torch.no_grad(), torch.device("meta"), counter:
            network(blank(shape))
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"{type(network).__name__} cannot take an input of "
            f"{' x '.join(map(str, shape[1:]))} ({reason}); try another size."
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    return Trace(network=network, input=shape, calls=calls, modules=modules)


def blank(shape: tuple[int, ...]) -> Tensor:
    """An input without numbers."""
    return torch.empty(shape, device="meta")
