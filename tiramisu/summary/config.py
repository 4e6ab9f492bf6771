"""The settings of a summary: each field is a flag of `tiramisu summary`. No torch in this file."""

import dataclasses
from typing import Annotated

from tiramisu.settings import MIN_CLASSES, Range, check_ranges

Side = Annotated[int, Range(at_least=1, at_most=1_000_000)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SummaryConfig:
    """A summary of a network.

    Raises:
        ValueError: a field is out of its range.
    """

    arch: str = "fc103"
    """Network, such as fc56 or densenet121."""
    num_classes: Annotated[int, Range(at_least=MIN_CLASSES, at_most=65_536)] | None = None
    """Number of classes; by default as in the network's paper."""
    size: tuple[Side, Side] | None = None
    """Height and width of the images; by default [360,480] for FC-DenseNets, [224,224] for
    DenseNets, [32,32] for the DenseNets of CIFAR."""
    table: bool = False
    """Print one line for each layer."""
    graph: str | None = None
    """Draw the network, and write the drawing into this .svg, .png or .pdf file."""
    overwrite: bool = False
    """Replace an earlier drawing."""

    def __post_init__(self) -> None:
        check_ranges(self)
