"""DatasetSpec: what a data set is. Its fields are the keys of the YAML file."""

import os
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import (
    BeforeValidator,
    PlainValidator,
    PrivateAttr,
    TypeAdapter,
    ValidationInfo,
    field_validator,
    model_validator,
)
from typing_extensions import Self

from tiramisu.data.class_colors import choose_colors
from tiramisu.data.entry import (
    Entry,
    EntryError,
    FileName,
    ListOf,
    PathBesideYaml,
    Text,
)
from tiramisu.data.image_format import Bands
from tiramisu.data.labels import IGNORE_INDEX, LabelTable
from tiramisu.data.readers.raster import MAX_BANDS
from tiramisu.data.scaling import MAX_VALUE, ScalingChoice
from tiramisu.data.spec_parts import (
    AnnotatedSplit,
    CifarSplit,
    ClassEntry,
    DrawnSplit,
    FileSplit,
    FolderSplit,
    ObjectSize,
    PublishedResult,
    SceneSize,
    Source,
    Split,
)
from tiramisu.data.splitting.split_record import SplitRecord
from tiramisu.text import show

Task = Literal["segmentation", "classification"]
MAX_SIDE = 10_000
"""Pixels of a side to which images are resized."""
MAX_IMAGE_CLASSES = 100_000


def _check_bands(value: Any) -> Any:
    if value in (None, "rgb", "grey"):
        return value
    numbers = value if isinstance(value, list | tuple) else ()
    if numbers and all(type(n) is int and 1 <= n <= MAX_BANDS for n in numbers):
        return tuple(numbers)
    raise EntryError(f"expected rgb, grey or a list of numbers from 1, not {show(value)}")


def _check_scaling(value: Any) -> Any:
    if value in (None, "type", "statistics"):
        return value
    if isinstance(value, list | tuple) and len(value) == 2:
        low, high = value
        if all(type(n) in (int, float) and abs(n) <= MAX_VALUE for n in value) and low < high:
            return float(low), float(high)
    raise EntryError(
        f"expected type, statistics or [low, high] with low below high, not {show(value)}"
    )


def _choose_split(value: Any, info: ValidationInfo) -> Split:
    annotated = isinstance(value, dict) and "annotations" in value
    model = AnnotatedSplit if annotated or isinstance(value, AnnotatedSplit) else FileSplit
    return model.model_validate(value, context=info.context)


_PixelSplit = Annotated[Any, PlainValidator(_choose_split)]
"""A split of files for segmentation: masks, or annotations."""


class DatasetSpec(Entry):
    """One data set: its classes, and how to find and decode its files.

    This is what data sets for both tasks share.
    """

    name: FileName
    title: Text
    task: Task
    """Whether each pixel or each image has a class."""
    classes: tuple[ClassEntry, ...]
    drawn: SceneSize | ObjectSize | None = None
    """The size of images that are drawn from seeds, without files and root."""
    torchvision: Literal["CIFAR10", "CIFAR100"] | None = None
    """Classification: the name of torchvision's class that has the images."""
    size: tuple[int, int] | None = None
    """Classification: (height, width) to which every image is resized and center-cropped when it
    is read; its aspect ratio is kept. None to keep the images as they are."""
    splits: Mapping[str, Split]
    source: Source | None = None
    published: tuple[PublishedResult, ...] = ()
    bands: Annotated[Bands, BeforeValidator(_check_bands)] = None
    """The bands of the images to use: rgb, grey, or a list of their numbers from 1. None for all,
    without transparency."""
    scaling: Annotated[ScalingChoice, BeforeValidator(_check_scaling)] = None
    """How values are scaled: type, statistics, or [low, high]; see `choose_scaling`. None for type
    where images have 8 bits, and else statistics."""
    root: PathBesideYaml | None = None
    """The folder of the files, unless the user gives another one."""
    notes: ListOf[Text] = ()
    """How the files are understood, in sentences that `tiramisu check` and `train` print."""
    _record: SplitRecord | None = PrivateAttr(default=None)

    @field_validator("splits", mode="plain")
    @classmethod
    def _check_splits(cls, splits: Any, info: ValidationInfo) -> dict[str, Split]:
        if not {"task", "drawn", "torchvision"} <= info.data.keys():
            return {}  # these choose the kind of splits, and have a mistake
        files: Any = FolderSplit if info.data["task"] == "classification" else _PixelSplit
        cifar = CifarSplit if info.data["torchvision"] else files
        kind: Any = DrawnSplit if info.data["drawn"] else cifar
        if isinstance(splits, dict):
            splits = {str(name): split for name, split in splits.items()}
        if splits == {}:
            raise EntryError("no split; a data set needs at least train and val")
        adapter: TypeAdapter[dict[str, Split]] = TypeAdapter(dict[str, kind])
        return adapter.validate_python(splits, context=info.context)

    @model_validator(mode="after")
    def _check_classes(self) -> Self:
        require_distinct("name", ([repr(entry.name)] for entry in self.classes))
        colors = ([str(list(entry.color))] if entry.color else [] for entry in self.classes)
        require_distinct("color", colors)
        return self

    @property
    def record(self) -> SplitRecord | None:
        """How the tool split the samples into train and val; None if the data came with both."""
        return self._record

    def with_record(self, record: SplitRecord) -> Self:
        """The same data set, with what the tool did to split it."""
        copied = self.model_copy()
        copied._record = record
        return copied

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the network's outputs."""
        return tuple(entry.name for entry in self.classes)

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def colors(self) -> npt.NDArray[np.uint8]:
        """RGB uint8 (C, 3), for pictures: as given, or one that differs from all others.

        A background is grey, so that the brightest colors are left for what is to be seen.
        """
        return choose_colors([entry.color for entry in self.classes], names=self.class_names)

    @property
    def labels(self) -> LabelTable | None:
        """The meaning of the values in masks; None for classification."""
        return None

    @property
    def ignore_index(self) -> int:
        """The void label, which the loss and the scores ignore."""
        # 255 is a class of ImageNet.
        return IGNORE_INDEX if self.task == "segmentation" else -1

    @property
    def can_download(self) -> bool:
        """Whether `download_dataset` can fetch the files."""
        has_url = self.source is not None and self.source.url is not None
        return has_url or self.torchvision is not None

    def with_images(self, *, bands: Any, scaling: Any) -> Self:
        """The same data set with other bands or another scaling of its images; None keeps it.

        Raises:
            ValueError: a value is outside its range.
        """
        changed = {}
        for name, value, check in (
            ("bands", bands, _check_bands),
            ("scaling", scaling, _check_scaling),
        ):
            try:
                changed[name] = check(value)
            except EntryError as error:
                raise ValueError(f"--{name}: {error}") from None
        return self.model_copy(update={k: v for k, v in changed.items() if v is not None})

    def split(self, name: str) -> Split:
        """The split of that name.

        Raises:
            ValueError: there is none; the message lists the splits.
        """
        if name not in self.splits:
            message = f"{self.name} has no split {name!r}; its splits are {', '.join(self.splits)}"
            if name == "val":
                message += (
                    "; give --split with one of them for all its samples, or --split-file "
                    "RUN/split.yaml for the split of a training"
                )
            raise ValueError(message)
        return self.splits[name]

    def find_root(self, root: str | Path | None) -> Path:
        """The folder of the files: `root`, or the spec's own, or data/<name>.

        Raises:
            ValueError: the folder does not exist; the message says what to do.
        """
        assert not self.drawn, "a drawn data set has no files"
        found = Path(os.path.expanduser(root or self.root or Path("data", self.name)))
        if found.is_dir():
            return found
        fetch = ""
        if self.source is not None:
            fetch = f" (it is at {self.source.homepage})"
            fetch = f", or fetch it: tiramisu download {self.name}" if self.can_download else fetch
        raise ValueError(
            f"{found}: no such folder. Say where {self.name} is by --data-root DIR{fetch}"
        )


def require_distinct(what: str, values: Iterable[Iterable[str]]) -> None:
    """Raise EntryError if a value, given for each class as it is shown, is there twice."""
    seen: dict[str, int] = {}
    for i, shown in enumerate(values):
        for value in shown:
            if value in seen:
                problem, first = f"the {what} {value} is used already", ("classes", seen[value])
                raise EntryError(problem, "classes", i, other=first)
            seen[value] = i
