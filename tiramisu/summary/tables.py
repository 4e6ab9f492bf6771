"""A network described block by block (1611.09326 table 2), layer by layer, or as a graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from torch import nn

from tiramisu.summary.meta_run import INPUT, LAYERS, OUTPUT, MetaRun, run_on_meta
from tiramisu.summary.network_parts import Part, by, describe_part, find_parts
from tiramisu.text import format_table

MAX_NAME = 42
"""Characters of a layer's name in a table: longer ones lose their beginning."""


class Edge(NamedTuple):
    """One part's output on its way into another."""

    source: str
    target: str

    skip: bool
    """Whether there is also a longer path, through other parts."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A network at one input size, part by part."""

    network: str
    """The network's class; of a network of another library, its class there."""

    input: tuple[int, ...]
    """(C, H, W) of the image, or (C, D, H, W) of the volume."""

    parts: tuple[Part, ...]
    """In the order in which they run; the last may be "other": all that is in no other part."""

    edges: tuple[Edge, ...] = ()
    """Which part reads which; only of `graph_network`."""

    layers: int
    """Number of convolutions and linear layers: the number in the network's name."""

    parameters: int

    multiply_adds: int
    """Of convolutions and matrix products, for one image."""


def summarize(model: nn.Module, *, height: int, width: int, depth: int | None = None) -> Summary:
    """Describe a network block by block. The model itself is neither run nor changed.

    Args:
        model: a network of this package, or another that takes images or volumes and has a
            convolution; another one's larger modules are a row each.
        height: height of the input in pixels.
        width: width of the input in pixels.
        depth: depth of the input in voxels, for networks that take volumes.

    Raises:
        ValueError: if the network cannot take an input of this size.
    """
    run = run_on_meta(model, height=height, width=width, depth=depth)
    rows: list[list[Part]] = []
    for part in find_parts(run):
        # The paper's rows are TU + DB and DB + TD; norms and poolings join the row before them.
        pair = (rows[-1][-1].kind if rows else "", part.kind)
        joins = pair in {("transition up", "dense block"), ("dense block", "transition down")}
        if not rows or (part.layers and not joins):
            rows.append([])
        rows[-1].append(part)
    return _complete(run, [_join(parts) for parts in rows])


def _join(parts: Sequence[Part]) -> Part:
    """One row. Its size is that of its features: not after a pooling, nor before the block."""
    blocks = [part for part in parts if part.kind == "dense block"]
    main = [*blocks, *(part for part in parts if part.layers), *parts][0]
    return replace(
        main,
        name=main.name if len(parts) == 1 else "",
        words=" + ".join(part.words for part in parts if part.layers) or main.words,
        layers=sum(part.layers for part in parts),
        parameters=sum(part.parameters for part in parts),
        multiply_adds=sum(part.multiply_adds for part in parts),
    )


def list_layers(model: nn.Module, *, height: int, width: int, depth: int | None = None) -> Summary:
    """Like `summarize`, but layer by layer; layers that do not run come last."""
    run = run_on_meta(model, height=height, width=width, depth=depth)
    layers = [name for name, m in run.network.named_modules() if isinstance(m, LAYERS)]
    names = dict.fromkeys([*(name for name in run.shapes if name in layers), *layers])
    return _complete(run, [describe_part(run, name) for name in names])


def graph_network(
    model: nn.Module, *, height: int, width: int, depth: int | None = None
) -> Summary:
    """Like `summarize`, but with the connections between the parts.

    The first part is INPUT; OUTPUT comes after the last one that makes features or resizes them.
    """
    run = run_on_meta(model, height=height, width=width, depth=depth)
    ends = {INPUT: (run.input[0], run.input[1:], 1), OUTPUT: run.read_output("")}
    first, last = (
        Part(name=name, kind=name[1:], words=name[1:], channels=channels, size=size, stride=stride)
        for name, (channels, size, stride) in ends.items()
    )
    parts = [first, *(part for part in find_parts(run) if part.kind != "other"), last]
    sources = run.find_sources(part.name for part in parts)
    edges: list[Edge] = []
    above: dict[str, set[str]] = {}
    for part in parts:
        # A part that runs twice may read what came only after its first run: such loops stay out.
        known = [name for name in above if name in sources.get(part.name, ())]
        further = set[str]().union(*(above[name] for name in known))
        above[part.name] = further.union(known)
        edges += [Edge(name, part.name, name in further) for name in known]
    return _complete(run, parts, edges)


def _complete(run: MetaRun, parts: list[Part], edges: Sequence[Edge] = ()) -> Summary:
    """A summary of these parts, and of what belongs to none of them, such as norms."""
    parameters = sum(parameter.numel() for parameter in run.network.parameters())
    other = Part(
        name="",
        kind="other",
        words="norms and other",
        parameters=parameters - sum(part.parameters for part in parts),
        multiply_adds=run.multiply_adds[""] - sum(part.multiply_adds for part in parts),
    )
    rest = [other] if other.parameters or other.multiply_adds else []
    return Summary(
        network=type(getattr(run.network, "network", run.network)).__name__,
        input=run.input,
        parts=(*parts, *rest),
        edges=tuple(edges),
        layers=sum(part.layers for part in parts),
        parameters=parameters,
        multiply_adds=run.multiply_adds[""],
    )


def format_summary(summary: Summary) -> str:
    """Lay out the summary of blocks as a text table of about 80 columns, to print."""
    header = ("block", "layers", "m", "size")
    cells = [
        (row.words, f"{row.layers or ''}", f"{row.channels or ''}", by(row.size))
        for row in summary.parts
    ]
    total = ("total", f"{summary.layers}", "", "")
    note = "m: channels of the whole stack; /2: stride 2"
    return _format(summary, [header, *cells, total], note=note, left=1, giga=True)


def format_layers(summary: Summary) -> str:
    """Lay out the summary of layers as a text table of at most about 120 columns, to print."""
    header = ("layer", "kind", "channels", "size")
    cells = [
        (
            (row.name or row.words)[-MAX_NAME:],
            row.words if row.name else "",
            row.detail,
            by(row.size),
        )
        for row in summary.parts
    ]
    total = (f"total: {summary.layers} layers", "", "", "")
    return _format(summary, [header, *cells, total], note="/2: stride 2", left=3, giga=False)


def _format(
    summary: Summary, cells: Sequence[Sequence[str]], *, note: str, left: int, giga: bool
) -> str:
    """A table of these cells, parameters and multiply-adds, with a title, and rules between."""
    numbers = [("parameters", "multiply-adds")]
    rows: list[Part | Summary] = [*summary.parts, summary]
    for row in rows:
        work = f"{row.multiply_adds / 1e9:,.3f} G" if giga else f"{row.multiply_adds / 1e6:,.2f} M"
        numbers.append((f"{row.parameters:,}", work))
    table = format_table([(*a, *b) for a, b in zip(cells, numbers, strict=True)], left=left)
    heading, *lines, total = table.splitlines()
    rule = "-" * len(heading)
    title = f"{summary.network}, input {' x '.join(map(str, summary.input))} ({note})"
    return "\n".join([title, rule, heading, rule, *lines, rule, total])
