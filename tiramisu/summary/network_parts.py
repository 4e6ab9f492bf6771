"""Which modules of a network a reader sees as one part, and what they are called."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass
from typing import Any

from torch import nn

from tiramisu.models.blocks import DenseBlock, TransitionDown, TransitionUp
from tiramisu.models.operators import GlobalAveragePool
from tiramisu.summary.meta_run import CONVOLUTIONS, LAYERS, TRANSPOSED, MetaRun

BLOCKS: dict[type[nn.Module], str] = {
    DenseBlock: "dense block",
    TransitionDown: "transition down",
    TransitionUp: "transition up",
}

MAX_FOREIGN_PARTS = 16
"""Most parts into which another library's network is divided: a figure has room for them."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Some layers of a network that a reader sees as one, or its input or output."""

    name: str
    """The module's name in the network; INPUT or OUTPUT; "" of several modules together."""

    kind: str
    """"dense block", "transition down", "transition up", "convolution", "linear", "pooling",
    "upsampling", "module" (another library's, of several layers), "input", "output", or "other"
    (norms and all else that neither makes features nor resizes them)."""

    words: str
    """"DB (4 layers) + TD", "3x3 conv /2" for one of stride 2; a module's name."""

    detail: str = ""
    """What the words do not say: "4 layers, growth rate 12"; channels of a layer, "3 -> 48"."""

    layers: int = 0
    """Number of convolutions and linear layers."""

    channels: int = 0
    """Of the output; the paper's m, for a dense block that of the whole stack."""

    size: tuple[int, ...] = ()
    """(H, W) or (D, H, W) of the output; () for vectors, tokens, and what did not run."""

    stride: int | None = None
    """How many times smaller than the network's input the output is; None where the output's size
    does not follow that of the input."""

    parameters: int = 0

    multiply_adds: int = 0
    """Of convolutions and matrix products, for one image."""


def find_parts(run: MetaRun) -> list[Part]:
    """List the parts of a network in the order in which they run.

    They are the papers' blocks, and the single layers outside them. What holds no such block, as
    another library's encoder, is opened up level by level while the parts stay few.
    """
    parts: list[Part] = []
    for depth in itertools.count():
        names = _open(run, "", depth)
        deeper = [describe_part(run, name) for name in run.shapes if name in names]
        foreign = [part for part in deeper if part.kind not in ("other", *BLOCKS.values())]
        if parts and (deeper == parts or len(foreign) > MAX_FOREIGN_PARTS):
            break
        parts = deeper
    return parts


def _open(run: MetaRun, name: str, depth: int) -> list[str]:
    """The parts inside a module, or the module itself if it stays whole."""
    module, prefix = run.network.get_submodule(name), f"{name}." if name else ""
    leaf = type(module) in BLOCKS or not any(path.startswith(prefix) for path in run.shapes if path)
    # Lists of modules never run themselves.
    opens = not name or name not in run.shapes or any(type(m) in BLOCKS for m in module.modules())
    if name in run.shapes and (leaf or (depth == 0 and not opens)):
        return [name]
    further = depth if opens else depth - 1
    children = [prefix + child for child, _ in module.named_children()]
    return [part for child in children for part in _open(run, child, further)]


def describe_part(run: MetaRun, name: str) -> Part:
    """Describe one module of a network, whether it ran or not."""
    module = run.network.get_submodule(name)
    layers = sum(isinstance(layer, LAYERS) for layer in module.modules())
    kind, words, detail = BLOCKS.get(type(module), "other"), describe(module), ""
    if isinstance(module, DenseBlock):
        num_layers = len(list(module.children()))
        words = f"DB ({num_layers} layers)"
        detail = f"{num_layers} layers, growth rate {module.new_channels // num_layers}"
    elif isinstance(module, TransitionDown):
        words, detail = "TD", f"{describe(module.conv)}, {describe(module.pool)}"
    elif isinstance(module, TransitionUp):
        words, detail = "TU", describe(module.conv)
    elif isinstance(module, nn.Linear):
        kind, detail = "linear", f"{module.in_features} -> {module.out_features}"
    elif isinstance(module, CONVOLUTIONS):
        kind, detail = "convolution", f"{module.in_channels} -> {module.out_channels}"
    elif any(parameter.dim() > 1 for parameter in module.parameters()):
        kind, words = "module", name
        detail = f"{type(module).__name__}, {layers} {'layer' if layers == 1 else 'layers'}"
    elif name in run.shapes:
        kind = _find_resizing(run, name) or kind
    channels, size, stride = run.read_output(name)
    return Part(
        name=name,
        kind=kind,
        words=words,
        detail=detail,
        layers=layers,
        channels=channels,
        size=size,
        stride=stride,
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        multiply_adds=run.multiply_adds[name],
    )


def _find_resizing(run: MetaRun, name: str) -> str:
    """Whether a module without weights is a "pooling" or an "upsampling"; "" if neither."""
    before, after = run.shapes[name]
    # The same numbers in another order: the axes are permuted.
    if len(before) != 1 + len(run.input) or sorted(before) == sorted(after):
        return ""
    if len(after) != len(before):  # a global pooling keeps the channels, a flattening does not
        return "pooling" if math.prod(before[2:]) > 1 and before[:2] == after else ""
    if before[2:] == after[2:]:
        return ""
    return "upsampling" if math.prod(after[2:]) > math.prod(before[2:]) else "pooling"


def describe(module: nn.Module) -> str:
    """A layer in the papers' words, "3x3 conv /2" for stride 2; the class of another module."""
    name = type(module).__name__
    if isinstance(module, nn.Linear):
        return "linear"
    if isinstance(module, CONVOLUTIONS):
        depthwise = module.groups == module.in_channels > 1
        transposed = isinstance(module, TRANSPOSED)
        kind = "transposed conv" if transposed else "depthwise conv" if depthwise else "conv"
        words = f"{by(module.kernel_size)} {kind}"
        if max(module.stride) > 1:
            words += f" /{_by_one(module.stride)}"
        if max(module.dilation) > 1:
            words += f", dilation {_by_one(module.dilation)}"
        if module.groups > 1 and not depthwise:
            words += f", {module.groups} groups"
        return words
    if pool := re.fullmatch(r"(Max|Avg)Pool(\d)d", name):
        kernel: Any = module.kernel_size
        sides = kernel if isinstance(kernel, tuple) else (kernel,) * int(pool[2])
        return f"{by(sides)} {'max' if pool[1] == 'Max' else 'average'} pool"
    if isinstance(module, GlobalAveragePool):
        return "global average pool"
    return name


def by(sides: tuple[int, ...]) -> str:
    """(3, 3) -> "3x3"."""
    return "x".join(map(str, sides))


def _by_one(sides: tuple[int, ...]) -> str:
    """(2, 2) -> "2", (1, 2) -> "1x2"."""
    return str(sides[0]) if len(set(sides)) == 1 else by(sides)
