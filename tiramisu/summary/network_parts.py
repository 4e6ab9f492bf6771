"""Which parts of a network a reader wants to see as one."""

from __future__ import annotations

import math

from torch import nn

from tiramisu.models.blocks import DenseBlock, TransitionDown, TransitionUp
from tiramisu.summary.meta_run import CONVOLUTIONS, LAYERS, Trace, spatial

BLOCKS = (DenseBlock, TransitionDown, TransitionUp)

MAX_FOREIGN = 16
"""Parts that a network of others is opened up into, at most: what one figure has room for."""


def find_parts(trace: Trace) -> list[str]:
    """Name the parts of a network in the order in which they run.

    They are the papers' blocks, and the single layers outside them. What holds no such block, as
    another library's encoder, is opened up level by level while the parts stay few. Modules that
    are never called, such as lists, are always opened.
    """
    names = _open(trace, "")
    while True:
        deeper = [part for name in names for part in (_open(trace, name) or [name])]
        foreign = [
            name
            for name in deeper
            if is_visible(trace, name) and not isinstance(trace.modules[name], BLOCKS)
        ]
        if deeper == names or len(foreign) > MAX_FOREIGN:
            break
        names = deeper
    order = {name: i for i, name in enumerate(trace.calls)}
    return sorted((name for name in names if name in order), key=order.__getitem__)


def is_visible(trace: Trace, name: str) -> bool:
    """Whether a part makes features or resizes them.

    Norms, activations, dropout and the like belong to their neighbours.
    """
    module = trace.modules[name]
    weights = [p for p in module.parameters() if p.dim() > 1]
    return name in trace.calls and (bool(weights) or resizes(trace, name))


def resizes(trace: Trace, name: str) -> bool:
    """Whether a part's output has another height and width than its input, or none any more."""
    call = trace.calls[name]
    before, after = spatial(call.taken, trace), spatial(call.given, trace)
    if not after:  # a global pooling keeps the channels, a flattening does not
        return math.prod(before) > 1 and call.taken[:2] == call.given
    permutes = sorted(call.taken) == sorted(call.given)
    return bool(before) and before != after and not permutes


def _open(trace: Trace, name: str) -> list[str]:
    """The parts directly below a module; empty if it is to stay whole."""
    module = trace.modules[name]
    below = {path for path in trace.calls if path.startswith(f"{name}." if name else "") and path}
    if name in trace.calls and (isinstance(module, BLOCKS) or not below):
        return []
    opened: list[str] = []
    for child_name, child in module.named_children():
        path = f"{name}.{child_name}" if name else child_name
        must = path not in trace.calls or any(isinstance(m, BLOCKS) for m in child.modules())
        opened += (_open(trace, path) if must else []) or [path]
    return opened


def count_layers(module: nn.Module) -> int:
    """Number of convolutions and linear layers: what the papers' names count."""
    return sum(isinstance(layer, LAYERS) for layer in module.modules())


def describe(trace: Trace, name: str) -> str:
    """Say in the papers' words what a single layer is, else its class."""
    module = trace.modules[name]
    if isinstance(module, CONVOLUTIONS):
        noun = "transposed convolution" if module.transposed else "convolution"
        return f"{by(module.kernel_size)} {noun}"
    if isinstance(module, nn.Linear):
        return "linear"
    return type(module).__name__


def by(sides: tuple[int, ...]) -> str:
    """(3, 3) -> "3x3"."""
    return "x".join(map(str, sides))
