"""Data sets for segmentation and for classification: what `DatasetSpec` does not share."""

from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator
from typing_extensions import Self

from tiramisu.data.entry import (
    Classes,
    EntryError,
    ListOf,
    Place,
    Positive,
    check_color,
    expect_list,
    is_inside,
)
from tiramisu.data.labels import IGNORE_INDEX, MAX_CLASSES, Encoding, LabelTable
from tiramisu.data.spec import MAX_IMAGE_CLASSES, MAX_SIDE, DatasetSpec, require_distinct
from tiramisu.data.spec_parts import (
    AnnotatedSplit,
    ImageClass,
    ObjectSize,
    PixelClass,
    PublishedIou,
    PublishedResult,
    SceneSize,
)

_Side = Annotated[Positive, Field(le=MAX_SIDE)]
_Size = Annotated[tuple[_Side, _Side], expect_list(2, "[height, width] in pixels")]


def _check_ignore(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(value)
    if value in (None, "others"):
        return value
    raise EntryError(f"expected a list of raw values or the word others, not {value!r}")


class SegmentationSpec(DatasetSpec):
    """A data set whose pixels have classes."""

    task: Literal["segmentation"] = "segmentation"
    classes: Annotated[Classes[PixelClass], Field(max_length=MAX_CLASSES)]
    drawn: SceneSize | None = None
    torchvision: None = None
    size: None = None
    published: ListOf[PublishedIou] = ()
    encoding: Encoding = "index"
    """What the values in the masks are; see `read_mask`."""
    ignore: Annotated[ListOf[Any] | Literal["others"] | None, BeforeValidator(_check_ignore)] = None
    """Raw values that are void, or "others" for all that belong to no class. None for 255, unless
    it is a class."""

    @model_validator(mode="after")
    def _check_labels(self) -> Self:
        labels = self.labels
        require_distinct("raw value", (map(labels.show, codes) for codes in labels.raw))
        class_of = {code: i for i, codes in enumerate(labels.raw) for code in codes}
        for j, code in enumerate(labels.ignore if labels.ignore != "others" else ()):
            if code in class_of:
                problem = f"{labels.show(code)} cannot be void and a class; remove it here or"
                raise EntryError(problem, "ignore", j, other=("classes", class_of[code]))
        for i, row in enumerate(self.published):
            if len(row.class_iou) != self.num_classes:
                problem = f"{len(row.class_iou)} figures for {self.num_classes} classes"
                raise EntryError(problem, "published", i, "class_iou")
        return self

    @model_validator(mode="after")
    def _check_annotated(self) -> Self:
        if any(isinstance(split, AnnotatedSplit) for split in self.splits.values()):
            named = "annotations have the names of classes, and no values"
            for i, entry in enumerate(self.classes):
                if entry.raw is not None:
                    raise EntryError(f"{named}; remove raw", "classes", i, "raw")
            if self.encoding != "index":
                raise EntryError(f"{named}; remove encoding", "encoding")
            if self.ignore not in (None, "others"):
                raise EntryError(f"{named}; expected the word others, or no ignore", "ignore")
        return self

    @cached_property
    def labels(self) -> LabelTable:
        """The meaning of the values in masks."""
        is_index, raw = self.encoding == "index", []
        for i, entry in enumerate(self.classes):
            if entry.raw is None and not is_index and entry.color is None:
                problem = "with `encoding: rgb` a class needs a color: [r, g, b]"
                raise EntryError(problem, "classes", i)
            values = ((i if is_index else entry.color),) if entry.raw is None else entry.raw
            raw.append(self._codes(values, ("classes", i, "raw")))
        ignore = self.ignore
        if ignore is None:
            is_class = not is_index or any(IGNORE_INDEX in codes for codes in raw)
            ignore = () if is_class else (IGNORE_INDEX,)
        elif ignore != "others":
            ignore = self._codes(ignore, ("ignore",))
        return LabelTable(encoding=self.encoding, raw=tuple(raw), ignore=ignore)

    def _codes(self, values: tuple[Any, ...], place: Place) -> tuple[int, ...]:
        """Raw values as codes: ids, or packed colors."""
        codes = []
        for j, value in enumerate(values):
            if self.encoding == "rgb":
                red, green, blue = check_color(value, *place, j)
                codes.append(red << 16 | green << 8 | blue)
            elif type(value) is not int or not 0 <= value <= 65535:
                raise EntryError(f"expected an id from 0 to 65535, not {value!r}", *place, j)
            else:
                codes.append(value)
        return tuple(codes)


class ClassificationSpec(DatasetSpec):
    """A data set whose images have one class each."""

    task: Literal["classification"]
    classes: Annotated[Classes[ImageClass], Field(max_length=MAX_IMAGE_CLASSES)]
    drawn: ObjectSize | None = None
    size: _Size | None = None
    published: ListOf[PublishedResult] = ()

    @field_validator("torchvision", "size")
    @classmethod
    def _check_drawn(cls, value: Any, info: ValidationInfo) -> Any:
        if value is not None and info.data.get("drawn"):
            raise EntryError("`drawn` gives the images and their size; remove one of the two")
        return value

    @model_validator(mode="after")
    def _check_folders(self) -> Self:
        for i, folder in enumerate(self.folders):
            if not is_inside(folder):
                raise EntryError(f"{folder}: expected a sub-folder, without ..", "classes", i)
        require_distinct("folder", ([repr(folder)] for folder in self.folders))
        return self

    @property
    def folders(self) -> tuple[str, ...]:
        """The sub-folder of each class in the folders of the splits."""
        return tuple(entry.folder or entry.name for entry in self.classes)
