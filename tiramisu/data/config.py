"""The settings of `tiramisu check`, `convert` and `download`. No torch in this file."""

import dataclasses
import re
from typing import Annotated, Literal

from tiramisu.settings import Processes, Range, Seed, check_ranges, check_workers, explain


@dataclasses.dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """How data are understood that come without a description; flags of several commands."""

    val_fraction: Annotated[float, Range(at_least=0.01, at_most=0.9)] | None = None
    """Part of the samples of train that become val where the data have no val split; by default
    0.2. Every class is in both, as far as possible."""
    split_seed: Seed | None = None
    """Seed of the choice which samples are val, or in which fold; by default 1. It is not the
    --seed of a training."""
    groups: str | None = None
    """Pattern (a regular expression) of what names of samples of one group have in common, such as
    "^(patient[0-9]+)" or "^[^_]+": a group is in train or in val as a whole. If the pattern has
    parentheses, what is inside of the first ones counts."""
    folds: Annotated[int, Range(at_least=2, at_most=100)] | None = None
    """Number of folds of a cross-validation: the samples of train (and of val, if there is one) are
    shared out to so many parts."""
    fold: Annotated[int, Range(at_least=1, at_most=100)] | None = None
    """The fold that is val, from 1; the others are train."""
    split_file: str | None = None
    """File with the names of the samples in train and in val: the split.yaml in the folder of
    another run."""
    unlabelled: Literal["background", "void"] | None = None
    """What images without annotations are, and pixels outside of all shapes: background, a class
    of its own, or void, which the loss and the scores ignore."""

    def __post_init__(self) -> None:
        check_ranges(self)
        check_split(self)

    @property
    def named_flags(self) -> list[str]:
        """The flags that ask for a split of the tool's own and are given."""
        names = [name for name in SPLIT_OPTIONS if getattr(self, name) is not None]
        return [f"--{name.replace('_', '-')}" for name in names]


SPLIT_OPTIONS = ("val_fraction", "split_seed", "groups", "folds", "fold", "split_file")
"""Fields of `SourceOptions` that say which samples are train and val."""


def check_pattern(name: str, pattern: str | None) -> None:
    """Raise ValueError unless a setting is a regular expression, or None."""
    if pattern is None:
        return
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        expected = f'a regular expression such as "^(patient[0-9]+)" ({error})'
        raise ValueError(explain(name, pattern, expected)) from None


def check_split(options: SourceOptions) -> None:
    """Raise ValueError if a field about the split has a wrong value, or contradicts another."""
    check_pattern("groups", options.groups)
    if options.split_file is not None and len(options.named_flags) > 1:
        other = next(flag for flag in options.named_flags if flag != "--split-file")
        raise ValueError(f"--split-file names the samples of both splits: leave out {other}")
    if options.fold is not None and options.folds is None:
        raise ValueError("--fold needs --folds, their number, such as --folds 5")
    if options.folds is not None:
        if options.fold is not None and options.fold > options.folds:
            expected = f"1 to {options.folds}, the number of --folds"
            raise ValueError(explain("fold", options.fold, expected))
        if options.val_fraction is not None:
            raise ValueError("--folds and --val-fraction are two ways to split: give one of them")


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
    workers: Processes | None = None
    """Processes of this machine that share the work; by default threads do."""
    scheduler: str | None = None
    """Address of a Dask scheduler whose workers do the work, such as tcp://HOST:8786. They find the
    files by the same paths."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_workers(self.workers, self.scheduler)
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
    workers: Processes | None = None
    """Processes of this machine that share the work; by default threads do."""
    scheduler: str | None = None
    """Address of a Dask scheduler whose workers do the work, such as tcp://HOST:8786. They find the
    files by the same paths."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_workers(self.workers, self.scheduler)


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
