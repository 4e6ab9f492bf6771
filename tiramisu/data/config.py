"""The settings of `tiramisu check`, `convert` and `download`. No torch in this file."""

import dataclasses
from typing import Annotated, Literal

from tiramisu.settings import Range, check_ranges, explain


@dataclasses.dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """How data are understood that come without a description; flags of several commands."""

    val_fraction: Annotated[float, Range(at_least=0.01, at_most=0.9)] | None = None
    """Part of the samples for validation, such as 0.2, where the data have no val split. Which
    ones depends on their names alone."""
    unlabelled: Literal["background", "void"] | None = None
    """What images without annotations are, and pixels outside of all shapes: background, a class
    of its own, or void, which the loss and the scores ignore."""

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageOptions(SourceOptions):
    """How images become numbers for a network; a trained network keeps it."""

    bands: Literal["rgb", "grey"] | list[Annotated[int, Range(at_least=1, at_most=512)]] | None = (
        None
    )
    """Bands of the images to use: rgb (grey images are repeated, and of four bands and more the
    first three are taken), grey, or their numbers in the files, such as [4,2,1]; by default all,
    without transparency."""
    scaling: Literal["type", "statistics"] | tuple[float, float] | None = None
    """How values are scaled: type maps all values of the type to 0..1 (0..255 of 8 bits, 0..65535
    of 16); two numbers, such as [0,4095], map these to 0 and 1; statistics measures the range, mean
    and standard deviation of each band on the training split. By default type for images of 8 bits,
    and statistics for all others."""


AS_THEY_ARE = SourceOptions()
"""Nothing is said about the data."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckConfig(ImageOptions):
    """A check of a data set.

    Raises:
        ValueError: a field has a value it may not have.
    """

    data: str
    """Data set: a name that comes with the package, a YAML file, or a folder."""
    data_root: str | None = None
    """Folder of its files; by default the root in its YAML, or data/NAME."""
    splits: list[str] | None = None
    """Splits to check, such as [train,val]; by default train, val and test."""
    report: str | None = None
    """HTML file to write: the same with distributions, and pictures of what was found."""
    overwrite: bool = False
    """Replace the file of --report if it exists."""

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.report is not None and not self.report.lower().endswith(".html"):
            raise ValueError(explain("report", self.report, "a file that ends in .html"))
        if self.splits is not None and (
            not self.splits or len(set(self.splits)) < len(self.splits)
        ):
            raise ValueError(explain("splits", self.splits, "one name or more, each once"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConvertConfig(SourceOptions):
    """A copy of a data set as a folder of images and masks.

    Raises:
        ValueError: a field has a value it may not have.
    """

    data: str
    """Data set: a folder, a file of annotations, a YAML file, or a name that comes with the
    package."""
    out: str
    """Folder to write, which is not there yet."""
    data_root: str | None = None
    """Folder of the files; by default the root in its YAML, or data/NAME."""
    overwrite: bool = False
    """Replace what an earlier conversion wrote there."""

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DownloadConfig:
    """A download of a data set.

    Raises:
        ValueError: a field has a value it may not have.
    """

    data: str
    """Data set: a name that comes with the package, or a YAML file with a source."""
    data_root: str | None = None
    """Folder to download it to; by default data/NAME."""

    def __post_init__(self) -> None:
        check_ranges(self)
