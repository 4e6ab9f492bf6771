"""A network as the table that its paper prints (1611.09326 table 2)."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tiramisu.models.blocks import DenseBlock, TransitionDown, TransitionUp


@dataclass(frozen=True, kw_only=True)
class SummaryRow:
    """One dense block with its transition, or one convolution or linear layer."""

    kind: str
    """The paper's words: "DB (4 layers) + TD"."""

    layers: int
    """Number of convolutions and linear layers in the row."""

    channels: int
    """m: output channels of the convolution, or of the dense block's whole stack."""

    height: int
    """Output height in pixels of the convolution or dense block, before any pooling."""

    width: int
    """Output width in pixels, as `height`."""

    parameters: int
    """Number of parameters in the row."""

    multiply_adds: int
    """Multiply-adds of the row's convolutions and linear layers, for one image."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A network at one input size, row by row."""

    network: str
    """The network's class."""

    in_channels: int
    """Channels of the input."""

    height: int
    """Height of the input in pixels."""

    width: int
    """Width of the input in pixels."""

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
        """Multiply-adds of all convolutions and linear layers, for one image."""
        return sum(row.multiply_adds for row in self.rows)


def summarize(model: nn.Module, *, height: int, width: int) -> Summary:
    """Describe a network at one input size. The model itself is neither run nor changed.

    Args:
        model: a network of this package, or another that takes images and has a convolution.
        height: height of the input in pixels.
        width: width of the input in pixels.

    Raises:
        ValueError: if the network cannot take an input this small.
    """
    # On the meta device shapes are computed and numbers are not: any input size is quick.
    network = copy.deepcopy(model).to("meta").eval()
    convs = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    images = torch.empty(1, convs[0].in_channels, height, width, device="meta")

    parts = _find_parts(network)
    shapes: dict[nn.Module, tuple[int, ...]] = {}

    def note_shape(module: nn.Module, _inputs: Any, output: Tensor) -> None:
        shapes[module] = tuple(output.shape)

    for part in parts.values():
        part.register_forward_hook(note_shape)
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        network(images)
    flops = counter.get_flop_counts()

    root = type(network).__name__
    rows = []
    for names in _group_rows(parts):
        modules = [parts[name] for name in names]
        # The row's size is where its features are made: not behind a pooling, nor before the block.
        main = next((m for m in modules if isinstance(m, DenseBlock)), modules[0])
        _, channels, *size = shapes[main]
        operations = sum(sum(flops.get(f"{root}.{name}", {}).values()) for name in names)
        rows.append(
            SummaryRow(
                kind=" + ".join(filter(None, (_describe(m) for m in modules))),
                layers=sum(_is_weighted(leaf) for m in modules for leaf in m.modules()),
                channels=channels,
                height=size[0] if size else 1,
                width=size[1] if size else 1,
                parameters=sum(p.numel() for m in modules for p in m.parameters()),
                multiply_adds=operations // 2,
            )
        )
    return Summary(
        network=root,
        in_channels=convs[0].in_channels,
        height=height,
        width=width,
        rows=tuple(rows),
    )


def format_summary(summary: Summary) -> str:
    """Lay a summary out as a text table of about 80 columns, to print."""
    header = ("block", "layers", "m", "size", "parameters", "multiply-adds")
    cells = [
        (
            row.kind,
            f"{row.layers}",
            f"{row.channels}",
            f"{row.height}x{row.width}",
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
    widths = [max(map(len, column)) for column in zip(header, *cells, total, strict=True)]

    def line(row: tuple[str, ...]) -> str:
        numbers = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        return "  ".join([row[0].ljust(widths[0]), *numbers])

    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    title = (
        f"{summary.network}, input {summary.in_channels} x {summary.height} x {summary.width} "
        f"(m: channels of the whole stack)"
    )
    return "\n".join([title, rule, line(header), rule, *map(line, cells), rule, line(total)])


def _find_parts(network: nn.Module) -> dict[str, nn.Module]:
    """Return the paper's blocks and the single layers outside them, by name, in order."""
    blocks = (DenseBlock, TransitionDown, TransitionUp)
    parts: dict[str, nn.Module] = {}

    def visit(name: str, module: nn.Module) -> None:
        if isinstance(module, blocks) or not any(True for _ in module.children()):
            parts[name] = module
            return
        for child_name, child in module.named_children():
            visit(f"{name}.{child_name}" if name else child_name, child)

    visit("", network)
    return parts


def _group_rows(parts: dict[str, nn.Module]) -> list[list[str]]:
    """Group the parts as the paper's rows: TU + DB, DB + TD; norms and poolings join theirs."""
    rows: list[list[str]] = []
    previous: nn.Module | None = None
    for name, part in parts.items():
        follows_up = isinstance(part, DenseBlock) and isinstance(previous, TransitionUp)
        if _is_weighted(part) or (isinstance(part, DenseBlock | TransitionUp) and not follows_up):
            rows.append([])
        rows[-1].append(name)
        previous = part
    return rows


def _is_weighted(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)


def _describe(part: nn.Module) -> str:
    """Name a part in the paper's words; norms, activations and poolings go unnamed."""
    if isinstance(part, DenseBlock):
        return f"DB ({len(list(part.children()))} layers)"
    if isinstance(part, TransitionDown):
        return "TD"
    if isinstance(part, TransitionUp):
        return "TU"
    if isinstance(part, nn.Conv2d):
        return f"{part.kernel_size[0]}x{part.kernel_size[1]} convolution"
    if isinstance(part, nn.Linear):
        return "linear"
    return ""
