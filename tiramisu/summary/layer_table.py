"""A network as a table of its single layers, whatever the network."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from tiramisu.summary.block_table import format_ruled_table, sides
from tiramisu.summary.meta_run import CONVOLUTIONS, LAYERS, spatial, trace_network
from tiramisu.summary.network_parts import by

MAX_COLUMNS = 110
"""Width of the printed table: names that are too long for it lose their beginning."""


@dataclass(frozen=True, kw_only=True)
class LayerRow:
    """One convolution, transposed convolution or linear layer."""

    name: str
    """As in the network's state dict, without ".weight"."""

    kind: str
    """"conv 3x3 /2" for one of stride 2, "transposed 3x3 /2", "depthwise 3x3", "linear"."""

    in_channels: int
    out_channels: int

    size: tuple[int, ...]
    """Output (H, W) or (D, H, W); () for vectors and tokens, and for a layer that did not run."""

    parameters: int

    multiply_adds: int
    """For one image, of all its calls."""


@dataclass(frozen=True, kw_only=True)
class LayerTable:
    """Every layer of a network at one input size, and what is left of it."""

    network: str
    """The network's class, without wrappers around it."""

    in_channels: int
    """Channels of the input."""

    size: tuple[int, ...]
    """(H, W) or (D, H, W) of the input."""

    rows: tuple[LayerRow, ...]
    """In the order in which they run; those that do not run come last."""

    other_parameters: int
    """Of norms, activations and whatever else is no such layer."""

    other_multiply_adds: int
    """Of matrix products outside such layers, as in attention."""

    @property
    def parameters(self) -> int:
        """Number of parameters of the whole network."""
        return self.other_parameters + sum(row.parameters for row in self.rows)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of all convolutions and matrix products, for one image."""
        return self.other_multiply_adds + sum(row.multiply_adds for row in self.rows)


def list_layers(
    model: nn.Module, *, height: int, width: int, depth: int | None = None
) -> LayerTable:
    """List a network's layers at one input size. The model itself is neither run nor changed.

    Args:
        model: any network that takes images or volumes and has a convolution.
        height: height of the input in pixels.
        width: width of the input in pixels.
        depth: depth of the input in voxels, for networks that take volumes.

    Raises:
        ValueError: if the network cannot take an input of this size.
    """
    trace = trace_network(model, sides(model, height, width, depth))
    order = {name: i for i, name in enumerate(trace.calls)}
    names = [name for name, module in trace.modules.items() if isinstance(module, LAYERS)]
    rows = []
    for name in sorted(names, key=lambda name: order.get(name, len(order))):
        module = trace.modules[name]
        call = trace.calls.get(name)
        wide = isinstance(module, CONVOLUTIONS)
        channels = _channels(module)
        rows.append(
            LayerRow(
                name=name,
                kind=_describe_layer(module),
                in_channels=channels[0],
                out_channels=channels[1],
                size=spatial(call.given, trace) if call and wide else (),
                parameters=sum(p.numel() for p in module.parameters()),
                multiply_adds=call.multiply_adds if call else 0,
            )
        )
    return LayerTable(
        network=trace.name,
        in_channels=trace.input[1],
        size=trace.input[2:],
        rows=tuple(rows),
        other_parameters=trace.parameters - sum(row.parameters for row in rows),
        other_multiply_adds=trace.multiply_adds - sum(row.multiply_adds for row in rows),
    )


def format_layers(table: LayerTable) -> str:
    """Lay the layers out as a text table of at most about 110 columns, to print."""
    header = ("layer", "kind", "channels", "size", "parameters", "multiply-adds")
    widest = max(len(str(row.in_channels)) for row in table.rows)
    cells = [
        (
            row.name,
            row.kind,
            f"{row.in_channels:>{widest}} -> {row.out_channels}",
            by(row.size),
            f"{row.parameters:,}",
            f"{row.multiply_adds / 1e6:,.2f} M",
        )
        for row in table.rows
    ]
    cells.append(
        (
            "norms and other",
            "",
            "",
            "",
            f"{table.other_parameters:,}",
            f"{table.other_multiply_adds / 1e6:,.2f} M",
        )
    )
    total = (
        f"total: {len(table.rows)} layers",
        "",
        "",
        "",
        f"{table.parameters:,}",
        f"{table.multiply_adds / 1e6:,.2f} M",
    )
    title = (
        f"{table.network}, input {table.in_channels} x {' x '.join(map(str, table.size))} "
        f"(/2: stride 2)"
    )
    excess = (
        max(len(line) for line in format_ruled_table([header, *cells, total], left=2)) - MAX_COLUMNS
    )
    if excess > 0:
        room = max(len(row.name) for row in table.rows) - excess
        cells = [(_shorten(cell[0], room), *cell[1:]) for cell in cells]
    return "\n".join([title, *format_ruled_table([header, *cells, total], left=2)])


def _shorten(name: str, room: int) -> str:
    return name if len(name) <= room else "..." + name[3 - room :]


def _channels(layer: nn.Module) -> tuple[int, int]:
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    assert isinstance(layer, CONVOLUTIONS)
    return layer.in_channels, layer.out_channels


def _describe_layer(module: nn.Module) -> str:
    if isinstance(module, nn.Linear):
        return "linear"
    assert isinstance(module, CONVOLUTIONS)
    depthwise = module.groups == module.in_channels > 1
    word = "transposed" if module.transposed else "depthwise" if depthwise else "conv"
    kind = f"{word} {by(module.kernel_size)}"
    if max(module.stride) > 1:
        kind += f" /{_one(module.stride)}"
    if max(module.dilation) > 1:
        kind += f" dilated {_one(module.dilation)}"
    if module.groups > 1 and not depthwise:
        kind += f" {module.groups} groups"
    return kind


def _one(sides: tuple[int, ...]) -> str:
    """(2, 2) -> "2", (1, 2) -> "1x2"."""
    return f"{sides[0]}" if len(set(sides)) == 1 else by(sides)
