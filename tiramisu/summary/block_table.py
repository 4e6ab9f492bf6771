"""A network as the table that its paper prints (1611.09326 table 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from tiramisu.models.blocks import DenseBlock, TransitionDown, TransitionUp
from tiramisu.summary.meta_run import LAYERS, Output, Trace, find_outputs, trace_network
from tiramisu.summary.network_parts import by, count_layers, describe, find_parts, is_visible
from tiramisu.text import format_table


@dataclass(frozen=True, kw_only=True)
class SummaryRow:
    """One dense block with its transition, one convolution or linear layer, or a foreign part."""

    kind: str
    """The paper's words: "DB (4 layers) + TD"."""

    layers: int
    """Number of convolutions and linear layers in the row."""

    channels: int
    """m: output channels of the convolution, or of the dense block's whole stack."""

    size: tuple[int, ...]
    """Output (H, W) or (D, H, W) of the convolution or dense block, before any pooling; a vector's
    sides are 1."""

    parameters: int
    """Number of parameters in the row."""

    multiply_adds: int
    """Multiply-adds of the row's convolutions and matrix products, for one image."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A network at one input size, row by row."""

    network: str
    """The network's class, without wrappers around it."""

    in_channels: int
    """Channels of the input."""

    size: tuple[int, ...]
    """(H, W) of the input in pixels, or (D, H, W) in voxels."""

    rows: tuple[SummaryRow, ...]
    """From input to logits."""

    @property
    def layers(self) -> int:
        """Number of convolutions and linear layers: the number in the network's name."""
        return sum(row.layers for row in self.rows)

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        return sum(row.parameters for row in self.rows)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of all convolutions and matrix products, for one image."""
        return sum(row.multiply_adds for row in self.rows)


def summarize(model: nn.Module, *, height: int, width: int, depth: int | None = None) -> Summary:
    """Describe a network at one input size. The model itself is neither run nor changed.

    Args:
        model: a network of this package, or another that takes images or volumes and has a
            convolution; another one's larger parts are a row each.
        height: height of the input in pixels.
        width: width of the input in pixels.
        depth: depth of the input in voxels, for networks that take volumes.

    Raises:
        ValueError: if the network cannot take an input of this size.
    """
    trace = trace_network(model, sides(model, height, width, depth))
    outputs = find_outputs(trace)
    rows = [_describe_row(trace, outputs, names) for names in _group_rows(trace, find_parts(trace))]
    parameters = trace.parameters - sum(row.parameters for row in rows)
    multiply_adds = trace.multiply_adds - sum(row.multiply_adds for row in rows)
    if parameters or multiply_adds:
        # Parameters of the network itself, layers that did not run, products between the parts.
        rows.append(
            SummaryRow(
                kind="other",
                layers=0,
                channels=0,
                size=(),
                parameters=parameters,
                multiply_adds=multiply_adds,
            )
        )
    return Summary(
        network=trace.name,
        in_channels=trace.input[1],
        size=trace.input[2:],
        rows=tuple(rows),
    )


def sides(model: nn.Module, height: int, width: int, depth: int | None) -> tuple[int, ...]:
    """(H, W), or (D, H, W) if there is a depth.

    Raises:
        ValueError: if a network of ours takes volumes and there is none.
    """
    if depth is None and getattr(model, "dims", 2) == 3:
        raise ValueError(
            f"The network takes volumes, and {height}x{width} is the size of an image: give a "
            f"depth too, depth={height}, for example."
        )
    return (height, width) if depth is None else (depth, height, width)


def format_summary(summary: Summary) -> str:
    """Lay a summary out as a text table of about 80 columns, to print."""
    header = ("block", "layers", "m", "size", "parameters", "multiply-adds")
    cells = [
        (
            row.kind,
            f"{row.layers}",
            f"{row.channels or ''}",
            by(row.size),
            f"{row.parameters:,}",
            f"{row.multiply_adds / 1e9:.3f} G",
        )
        for row in summary.rows
    ]
    total = (
        "total",
        f"{summary.layers}",
        "",
        "",
        f"{summary.parameters:,}",
        f"{summary.multiply_adds / 1e9:.3f} G",
    )
    title = (
        f"{summary.network}, input {summary.in_channels} x {' x '.join(map(str, summary.size))} "
        f"(m: channels of the whole stack)"
    )
    return "\n".join([title, *format_ruled_table([header, *cells, total], left=1)])


def format_ruled_table(rows: Sequence[Sequence[str]], *, left: int) -> list[str]:
    """Lines of a table with rules around its heading, the first row, and above its last row.

    Args:
        rows: cells of the heading, of the rows below it, and of the total.
        left: number of columns, from the first, that are aligned to the left.
    """
    heading, *lines, total = format_table(rows, left=left).splitlines()
    rule = "-" * len(heading)
    return [rule, heading, rule, *lines, rule, total]


def _group_rows(trace: Trace, names: list[str]) -> list[list[str]]:
    """Group the parts as the paper's rows: TU + DB, DB + TD; norms and poolings join theirs."""
    rows: list[list[str]] = []
    previous: nn.Module | None = None
    for name in names:
        part = trace.modules[name]
        follows_up = isinstance(part, DenseBlock) and isinstance(previous, TransitionUp)
        own = is_visible(trace, name) and count_layers(part) > 0
        if not rows or (own and not follows_up and not _joins(part, previous)):
            rows.append([])
        rows[-1].append(name)
        previous = part
    return rows


def _joins(part: nn.Module, previous: nn.Module | None) -> bool:
    return isinstance(part, TransitionDown) and isinstance(previous, DenseBlock)


def _describe_row(trace: Trace, outputs: Mapping[str, Output], names: list[str]) -> SummaryRow:
    modules = [trace.modules[name] for name in names]
    # The row's size is where its features are made: not behind a pooling, nor before the block.
    blocks = [name for name in names if isinstance(trace.modules[name], DenseBlock)]
    made = [name for name in names if count_layers(trace.modules[name])]
    main = (blocks or made or names)[0]
    words = [_name_part(trace, name) for name in names]
    return SummaryRow(
        kind=" + ".join(filter(None, words)) or describe(trace, main),
        layers=sum(count_layers(module) for module in modules),
        channels=outputs[main].channels,
        size=outputs[main].size or (1,) * len(trace.input[2:]),
        parameters=sum(p.numel() for module in modules for p in module.parameters()),
        multiply_adds=sum(trace.calls[name].multiply_adds for name in names),
    )


def _name_part(trace: Trace, name: str) -> str:
    """Name a part in the paper's words; norms, activations and poolings go unnamed."""
    part = trace.modules[name]
    if isinstance(part, DenseBlock):
        return f"DB ({len(list(part.children()))} layers)"
    if isinstance(part, TransitionDown):
        return "TD"
    if isinstance(part, TransitionUp):
        return "TU"
    if isinstance(part, LAYERS):
        return describe(trace, name)
    return f"{name} ({describe(trace, name)})" if count_layers(part) else ""
