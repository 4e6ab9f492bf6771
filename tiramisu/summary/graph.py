"""A network as a graph of its blocks: what they are, what size they work at, what feeds what."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from torch import nn

from tiramisu.models.blocks import DenseBlock, TransitionDown, TransitionUp
from tiramisu.models.operators import GlobalAveragePool
from tiramisu.summary.block_table import sides
from tiramisu.summary.connections import INPUT, OUTPUT, find_sources
from tiramisu.summary.meta_run import CONVOLUTIONS, Output, Trace, find_outputs, trace_network
from tiramisu.summary.network_parts import by, count_layers, describe, find_parts, is_visible


@dataclass(frozen=True, kw_only=True)
class Node:
    """One block, one layer, or the network's input or output."""

    name: str
    """The module's name in the network; "input", "output"."""

    kind: str
    """One of `KINDS`."""

    title: str
    """What it is, for a reader: "Dense block", "3x3 convolution", a foreign module's name."""

    detail: str
    """What else there is to know of it: "4 layers, growth rate 12"; or ""."""

    layers: int
    """Number of convolutions and linear layers."""

    growth_rate: int | None
    """k, of a dense block."""

    channels: int
    """Channels of the output."""

    size: tuple[int, ...]
    """(H, W) or (D, H, W) of the output; () for vectors."""

    stride: int | None
    """How many times smaller than the input the output is, None for vectors and poolings of
    everything."""


KINDS = (
    "input",
    "convolution",
    "dense block",
    "transition down",
    "transition up",
    "pooling",
    "upsampling",
    "linear",
    "module",
    "output",
)


@dataclass(frozen=True, kw_only=True)
class Edge:
    """One node's output on its way into another."""

    source: str
    target: str

    channels: int
    """Channels of the source's output."""

    skip: bool
    """Whether a longer way leads from the source to the target as well."""


@dataclass(frozen=True, kw_only=True)
class NetworkGraph:
    """A network at one input size."""

    network: str
    """The network's class, without wrappers around it."""

    nodes: tuple[Node, ...]
    """From input to output, in the order in which they run."""

    edges: tuple[Edge, ...]

    parameters: int
    """Number of parameters."""

    multiply_adds: int
    """Multiply-adds of all convolutions and matrix products, for one image."""

    @property
    def skips(self) -> tuple[Edge, ...]:
        """The skip connections."""
        return tuple(edge for edge in self.edges if edge.skip)


def graph_network(
    model: nn.Module, *, height: int, width: int, depth: int | None = None
) -> NetworkGraph:
    """Read a network's graph off a run on the meta device. The model itself is not changed.

    Args:
        model: a network of this package, or another that takes images or volumes and has a
            convolution; another one's larger parts are a node each.
        height: height of the input in pixels.
        width: width of the input in pixels.
        depth: depth of the input in voxels, for networks that take volumes.

    Raises:
        ValueError: if the network cannot take an input of this size.
    """
    trace = trace_network(model, sides(model, height, width, depth))
    parts = [name for name in find_parts(trace) if is_visible(trace, name)]
    sources = find_sources(trace, parts)
    outputs = find_outputs(trace)
    order = {name: i for i, name in enumerate([INPUT, *parts, OUTPUT])}

    images = Output(channels=trace.input[1], size=trace.input[2:], stride=1)
    nodes = {INPUT: _end(INPUT, images)}
    edges: list[Edge] = []
    above: dict[str, set[str]] = {INPUT: set()}
    for name in [*parts, OUTPUT]:
        nodes[name] = (
            _end(OUTPUT, outputs[""]) if name == OUTPUT else _node(trace, name, outputs[name])
        )
        # A part that runs twice may read what only came after its first run: such loops stay out.
        known = [source for source in sources.get(name, ()) if order[source] < order[name]]
        above[name] = set(known).union(*(above[source] for source in known))
        for source in known:
            skip = any(source in above[other] for other in known)
            edges.append(
                Edge(source=source, target=name, channels=nodes[source].channels, skip=skip)
            )
    return NetworkGraph(
        network=trace.name,
        nodes=tuple(nodes.values()),
        edges=tuple(edges),
        parameters=trace.parameters,
        multiply_adds=trace.multiply_adds,
    )


def _end(name: str, output: Output) -> Node:
    return Node(
        name=name,
        kind=name,
        title=name.capitalize(),
        detail="",
        layers=0,
        growth_rate=None,
        channels=output.channels,
        size=output.size,
        stride=output.stride,
    )


def _node(trace: Trace, name: str, output: Output) -> Node:
    module = trace.modules[name]
    layers = count_layers(module)
    kind, title, detail = "module", name, f"{describe(trace, name)}, {_plural(layers, 'layer')}"
    growth_rate = None
    if isinstance(module, DenseBlock):
        num_layers = len(list(module.children()))
        growth_rate = module.new_channels // num_layers
        kind, title = "dense block", "Dense block"
        detail = f"{_plural(num_layers, 'layer')}, growth rate {growth_rate}"
    elif isinstance(module, TransitionDown):
        kind, title = "transition down", "Transition down"
        detail = f"{_short(module.conv)}, {_short(module.pool)}"
    elif isinstance(module, TransitionUp):
        kind, title, detail = "transition up", "Transition up", _short(module.conv)
    elif isinstance(module, CONVOLUTIONS):
        kind, title, detail = "convolution", describe(trace, name).capitalize(), ""
    elif isinstance(module, nn.Linear):
        kind, title, detail = "linear", "Linear", ""
    elif not layers:
        call = trace.calls[name]
        grows = math.prod(call.given[2:]) > math.prod(call.taken[2:])
        kind, title, detail = "upsampling" if grows else "pooling", _pooling(module), ""
    return Node(
        name=name,
        kind=kind,
        title=title,
        detail=detail,
        layers=layers,
        growth_rate=growth_rate,
        channels=output.channels,
        size=output.size,
        stride=output.stride,
    )


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _short(module: nn.Module) -> str:
    """A convolution or pooling in two or three words."""
    if isinstance(module, CONVOLUTIONS):
        words = f"{by(module.kernel_size)} {'transposed ' if module.transposed else ''}conv"
        strided = max(module.stride) > 1 and not module.transposed
        return f"{words}, stride {module.stride[0]}" if strided else words
    return _pooling(module).lower()


def _pooling(module: nn.Module) -> str:
    """MaxPool2d(3) -> "3x3 max pool"; another module that resizes features: its class."""
    kind = type(module).__name__
    word = "max" if "Max" in kind else "average"
    if isinstance(module, GlobalAveragePool):
        return "Global average pool"
    if isinstance(module, nn.AdaptiveAvgPool2d | nn.AdaptiveAvgPool3d):
        return "Global average pool" if set(_tuple(module.output_size)) == {1} else "Average pool"
    if "Pool" not in kind or not hasattr(module, "kernel_size"):
        return kind
    kernel = _tuple(module.kernel_size) or ()
    dims = 3 if kind.endswith("3d") else 2
    return f"{by(kernel if len(kernel) > 1 else kernel * dims)} {word} pool"


def _tuple(value: Any) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,)
