"""DatasetSpec: what a data set is, as dataclasses."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from tiramisu.data.labels import IGNORE_INDEX, LabelTable

Task = Literal["segmentation", "classification"]


@dataclass(frozen=True, kw_only=True)
class FileSplit:
    """The images and masks of one split, as glob patterns relative to the data set's root.

    The key of an image is the text that the wildcards of its pattern match, joined by "/". Its
    mask is the file whose pattern matches the same text.
    """

    images: tuple[str, ...]
    masks: tuple[str, ...]
    """One mask pattern for each image pattern."""
    keys: tuple[str, ...] = ()
    """Globs; only images whose key matches one of them are used. Empty for all."""
    list_file: str | None = None
    """Text file, relative to the root, with one key per line; only these images are used."""


@dataclass(frozen=True, kw_only=True)
class DrawnSplit:
    """The images of one split of a drawn data set: seeds first_seed .. first_seed + count - 1.

    Each image is a scene for segmentation, or a single object for classification.
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
    """None for all from start on."""


Split = FileSplit | DrawnSplit | FolderSplit | CifarSplit


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a data set comes from."""

    homepage: str
    licence: str
    """What the data may be used for, and what to cite."""
    url: str | None = None
    """Base URL of the files in `checksums`; None if users must download them themselves."""
    checksums: Path | None = None
    """List in the format of `sha256sum`: paths relative to `url` and to the root."""


@dataclass(frozen=True, kw_only=True)
class PublishedResult:
    """Published figures on this data set, in percent."""

    arch: str
    """The model's name in `build_model`."""
    title: str
    split: str
    accuracy: float
    """Share of correct pixels; for classification top-1 accuracy."""
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
    colors: npt.NDArray[np.uint8]
    """RGB uint8 (C, 3), for pictures."""
    labels: LabelTable | None
    """The meaning of the values in masks; None for classification."""
    splits: Mapping[str, Split]
    size: tuple[int, int] | None = None
    """Classification: (height, width) to which every image is resized and center-cropped when it
    is read; its aspect ratio is kept. None to keep the images as they are."""
    source: Source | None = None
    published: tuple[PublishedResult, ...] = ()
    root: Path | None = None
    """The folder of the files, unless the user gives another one."""

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def ignore_index(self) -> int:
        """The void label, which the loss and the scores ignore."""
        # 255 is a class of ImageNet.
        return IGNORE_INDEX if self.task == "segmentation" else -1

    @property
    def drawn(self) -> bool:
        """Whether the samples are drawn from seeds, without files and root."""
        return any(isinstance(split, DrawnSplit) for split in self.splits.values())

    @property
    def can_download(self) -> bool:
        """Whether `download_dataset` can fetch the files."""
        cifar = any(isinstance(split, CifarSplit) for split in self.splits.values())
        return cifar or (self.source is not None and self.source.url is not None)

    def split(self, name: str) -> Split:
        """The split of that name.

        Raises:
            ValueError: there is none; the message lists the splits.
        """
        if name not in self.splits:
            raise ValueError(
                f"{self.name} has no split {name!r}; its splits are {', '.join(self.splits)}"
            )
        return self.splits[name]

    def find_root(self, root: str | Path | None) -> Path:
        """The folder of the files: `root`, or the spec's own, or data/<name>.

        Raises:
            ValueError: the folder does not exist; the message says what to do.
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
            f"{found}: no such folder. Say where {self.name} is by --data-root DIR{fetch}"
        )


def distinct_colors(count: int, *, taken: set[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """`count` RGB colors that differ from each other and from those in `taken`.

    As in the palette of PASCAL VOC, the bits of a counter are spread over the channels, so that
    colors next to each other differ strongly. Black is not used: it is the color of void.
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
