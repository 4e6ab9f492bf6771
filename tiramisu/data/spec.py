"""What one data set's YAML file says, as dataclasses."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from tiramisu.data.labels import IGNORE_INDEX, LabelTable

Task = Literal["segmentation", "classification"]


@dataclass(frozen=True, kw_only=True)
class FileSplit:
    """The images and masks of one split, as glob patterns relative to the data set's root.

    What the wildcards of an image's pattern matched, joined by "/", is the image's key; its mask
    is the mask pattern with the same text in place of its wildcards.
    """

    images: tuple[str, ...]
    masks: tuple[str, ...]
    """One mask pattern for each image pattern."""
    keys: tuple[str, ...] = ()
    """Globs: only images whose key matches one of them; empty for all."""
    list_file: str | None = None
    """Text file, relative to the root: only the keys named there, one a line."""


@dataclass(frozen=True, kw_only=True)
class DrawnSplit:
    """The images of one split of a drawn data set: seeds first_seed .. first_seed + count - 1.

    A scene each for segmentation, a single object each for classification.
    """

    first_seed: int
    count: int
    height: int
    width: int


@dataclass(frozen=True, kw_only=True)
class FolderSplit:
    """The images of one split for classification: a folder with a sub-folder for each class."""

    folder: str
    """Relative to the data set's root."""
    folders: tuple[str, ...]
    """The names of the sub-folders, in class order."""


@dataclass(frozen=True, kw_only=True)
class CifarSplit:
    """Images start .. stop - 1 of the training or the test images of CIFAR-10 or CIFAR-100."""

    dataset: Literal["CIFAR10", "CIFAR100"]
    """The name of torchvision's class."""
    train: bool
    start: int = 0
    stop: int | None = None
    """None for up to the last."""


Split = FileSplit | DrawnSplit | FolderSplit | CifarSplit


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a data set comes from."""

    homepage: str
    licence: str
    """What may be done with it, and what to cite."""
    url: str | None = None
    """Base URL of the files named in `checksums`; None if people must fetch it themselves."""
    checksums: Path | None = None
    """List in the format of `sha256sum`: paths relative to `url` and to the root."""


@dataclass(frozen=True, kw_only=True)
class PublishedResult:
    """Someone's published figures on this data set, all in percent."""

    arch: str
    """The model's name in `build_model`."""
    title: str
    split: str
    accuracy: float
    """Of pixels; for classification top-1."""
    mean_iou: float = math.nan
    """nan for classification."""
    class_iou: tuple[float, ...] = ()
    """In class order; empty for classification."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DatasetSpec:
    """One data set: its classes, and how to find and decode its files."""

    name: str
    title: str
    task: Task = "segmentation"
    """Whether each pixel or each image has a class."""
    class_names: tuple[str, ...]
    colors: np.ndarray
    """RGB uint8 (C, 3), for people to look at."""
    labels: LabelTable | None
    """What the values of masks mean; None for classification."""
    splits: Mapping[str, Split]
    size: tuple[int, int] | None = None
    """Classification: (height, width) that every image is brought to when it is read, by filling
    it (the sides keep their ratio) and cutting what is too much on both sides; None to keep all
    images as they are."""
    source: Source | None = None
    published: tuple[PublishedResult, ...] = ()
    root: Path | None = None
    """Where the files are, unless the user names another folder."""

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def ignore_index(self) -> int:
        """The label that is void: in no loss, in no score."""
        # 255 is a class of ImageNet.
        return IGNORE_INDEX if self.task == "segmentation" else -1

    @property
    def drawn(self) -> bool:
        """True if the samples are drawn from seeds: there are no files and no root."""
        return any(isinstance(split, DrawnSplit) for split in self.splits.values())

    @property
    def can_download(self) -> bool:
        """Whether `download_dataset` can fetch the files."""
        cifar = any(isinstance(split, CifarSplit) for split in self.splits.values())
        return cifar or (self.source is not None and self.source.url is not None)

    def split(self, name: str) -> Split:
        """The split of that name. Raises ValueError, listing the splits, if there is none."""
        if name not in self.splits:
            raise ValueError(
                f"{self.name} has no split {name!r}; its splits are {', '.join(self.splits)}."
            )
        return self.splits[name]

    def find_root(self, root: str | Path | None) -> Path:
        """The folder that holds the files: `root`, else the spec's own, else data/<name>.

        Raises ValueError with the remedy if it does not exist.
        """
        assert not self.drawn, "a drawn data set has no files"
        found = Path(root or self.root or Path("data", self.name)).expanduser()
        if found.is_dir():
            return found
        fetch = ""
        if self.source is not None:
            fetch = f" (it is at {self.source.homepage})"
            fetch = f", or fetch it: tiramisu download {self.name}" if self.can_download else fetch
        raise ValueError(
            f"{found}: no such folder. Say where {self.name} is with --data-root DIR{fetch}."
        )


def distinct_colors(count: int, *, taken: set[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """`count` RGB colours that differ from each other and from those in `taken`.

    The bits of a running number are spread over the channels, highest first, as PASCAL VOC's
    palette does: neighbours in the order differ strongly. Black is left to void.
    """
    colors: list[tuple[int, int, int]] = []
    number = 0
    while len(colors) < count:
        number += 1
        channels = [0, 0, 0]
        for bit in range(24):
            channels[bit % 3] |= (number >> bit & 1) << (7 - bit // 3)
        color = (channels[0], channels[1], channels[2])
        if color not in taken:
            colors.append(color)
    return colors
