"""What a data set's YAML file may say, as pydantic models; datasets/template.yaml explains it."""

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from tiramisu.data.labels import Encoding
from tiramisu.data.readers.file_split import WILDCARD
from tiramisu.text import did_you_mean


class EntryError(ValueError):
    """A mistake in the file, at a place below the value that is validated."""

    def __init__(self, problem: str, *place: str | int) -> None:
        super().__init__(problem)
        self.place = place


def check_color(value: Any) -> tuple[int, int, int]:
    """A color [r, g, b] as a tuple."""
    ok = isinstance(value, list) and len(value) == 3
    if not ok or not all(type(v) is int and 0 <= v <= 255 for v in value):
        raise EntryError(f"expected a color [r, g, b] of numbers 0 to 255, not {value!r}")
    return value[0], value[1], value[2]


def _check_pattern(pattern: str) -> str:
    if pattern.startswith("/") or ".." in pattern.split("/") or "**" in pattern:
        raise EntryError(f"{pattern}: a pattern is relative to the root, without .. or **")
    if not WILDCARD.search(pattern):
        raise EntryError(f"{pattern}: a pattern needs a *, as in images/train/*.png")
    return pattern


def _check_folder(folder: str) -> str:
    if folder.startswith("/") or ".." in folder.split("/"):
        raise EntryError(f"{folder}: a folder is relative to the root, without ..")
    return folder


def _pair(expected: str) -> BeforeValidator:
    def check(value: Any) -> Any:
        if not isinstance(value, list) or len(value) != 2:
            raise EntryError(f"expected {expected}, not {value!r}")
        return value

    return BeforeValidator(check)


Text = Annotated[str, Field(pattern=r"\S")]
Color = Annotated[tuple[int, int, int], BeforeValidator(check_color)]
Percent = Annotated[float, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
NotNegative = Annotated[int, Field(ge=0)]
Patterns = Annotated[
    list[Annotated[Text, AfterValidator(_check_pattern)]],
    BeforeValidator(lambda value: value if isinstance(value, list) else [value]),
]


class YamlModel(BaseModel):
    """A mapping in the file: all required keys are there, and no unknown one."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _check_keys(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            raise EntryError(f"expected `key: value` lines, not {value!r}")
        fields = {field.alias or name: field for name, field in cls.model_fields.items()}
        for key in value:
            if key not in fields:
                hint = did_you_mean(str(key), fields) or f"; known are {', '.join(fields)}"
                raise EntryError(f"unknown key {key!r}{hint}", str(key))
        missing = [key for key, field in fields.items() if field.is_required() and key not in value]
        if missing:
            raise EntryError(f"missing: {', '.join(missing)}")
        for key, content in value.items():
            if content is None and key not in ("ignore", "drawn"):
                raise EntryError("expected a value, not None; write one or remove the key", key)
        return value


class ClassEntry(YamlModel):
    """A class; its name alone is the short form."""

    name: Text
    color: Color | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


class MaskClassEntry(ClassEntry):
    """A class of pixels."""

    raw: list[Any] | None = None
    """Values in the masks; what they may be depends on the encoding."""


class FolderClassEntry(ClassEntry):
    """A class of images."""

    folder: Text | None = None


class FileSplitEntry(YamlModel):
    """A split of image and mask files."""

    images: Patterns
    masks: Patterns
    keys: list[Text] = []
    list_file: Text | None = Field(None, alias="list")

    @model_validator(mode="after")
    def _check_pairs(self) -> "FileSplitEntry":
        if len(self.images) != len(self.masks):
            raise EntryError(
                f"{len(self.images)} patterns for images and {len(self.masks)} for masks; "
                "each images pattern needs its own masks pattern"
            )
        for image, mask in zip(self.images, self.masks, strict=True):
            if len(WILDCARD.findall(image)) != len(WILDCARD.findall(mask)):
                raise EntryError(
                    f"{image} and {mask} have different numbers of wildcards; what a * in images "
                    "matches must also be at the same * in masks"
                )
        return self


class FolderSplitEntry(YamlModel):
    """A split whose folder has a sub-folder for each class."""

    folder: Annotated[Text, AfterValidator(_check_folder)]


class CifarSplitEntry(YamlModel):
    """A part of the images of CIFAR."""

    part: Literal["train", "test"]
    range: Annotated[list[NotNegative], _pair("[first, end] (end is not included)")] | None = None

    @model_validator(mode="after")
    def _check_range(self) -> "CifarSplitEntry":
        if self.range and self.range[0] >= self.range[1]:
            raise EntryError(
                f"{self.range} holds no image; expected two numbers, the smaller one first", "range"
            )
        return self


class DrawnSplitEntry(YamlModel):
    """A split of drawn images."""

    first_seed: NotNegative
    count: Positive


class DrawnScenes(YamlModel):
    """The size of drawn scenes in pixels."""

    height: Positive
    width: Positive


class DrawnObjects(YamlModel):
    """The side of drawn, square images of objects in pixels."""

    size: Positive


class SourceEntry(YamlModel):
    """Where the data set comes from."""

    homepage: Text
    licence: Text
    url: Text | None = None
    checksums: Text | None = None

    @model_validator(mode="after")
    def _check_download(self) -> "SourceEntry":
        if (self.url is None) != (self.checksums is None):
            raise EntryError("url and checksums belong together: downloaded files are verified")
        return self


class PublishedAccuracy(YamlModel):
    """A published figure for classification."""

    arch: Text
    title: Text
    split: Text
    accuracy: Percent


class PublishedIou(PublishedAccuracy):
    """Published figures for segmentation."""

    mean_iou: Percent
    class_iou: list[Percent]


Class = TypeVar("Class", bound=ClassEntry)
SplitEntry = TypeVar("SplitEntry", bound=YamlModel)
Figures = TypeVar("Figures", bound=PublishedAccuracy)


class _Description(YamlModel, Generic[Class, SplitEntry, Figures]):
    """What the files of both tasks share."""

    name: Text
    title: Text
    classes: list[Class]
    splits: Annotated[
        dict[str, SplitEntry],
        Field(min_length=1),
        BeforeValidator(
            lambda value: (
                {str(key): entry for key, entry in value.items()}
                if isinstance(value, dict)
                else value
            )
        ),
    ]
    source: SourceEntry | None = None
    published: list[Figures] = []
    root: Text | None = None


class MaskDescription(_Description[MaskClassEntry, SplitEntry, PublishedIou], Generic[SplitEntry]):
    """A data set for segmentation."""

    task: Literal["segmentation"] = "segmentation"
    encoding: Encoding = "index"
    ignore: list[Any] | Literal["others"] | None = None
    drawn: DrawnScenes | None = None

    @model_validator(mode="before")
    @classmethod
    def _check_ignore(cls, value: Any) -> Any:
        ignore = value.get("ignore") if isinstance(value, dict) else None
        if not (ignore is None or ignore == "others" or isinstance(ignore, list)):
            raise EntryError(
                f"expected a list of raw values or the word others, not {ignore!r}", "ignore"
            )
        return value


class ImageDescription(
    _Description[FolderClassEntry, SplitEntry, PublishedAccuracy], Generic[SplitEntry]
):
    """A data set for classification."""

    task: Literal["classification"]
    size: Annotated[list[Positive], _pair("[height, width] in pixels")] | None = None
    drawn: DrawnObjects | None = None
    torchvision: Literal["CIFAR10", "CIFAR100"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _check_drawn(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("drawn") is not None:
            if "torchvision" in value:
                raise EntryError("images are either drawn or torchvision's; remove one", "drawn")
            if "size" in value:
                raise EntryError("drawn images have the size that drawn gives; remove this", "size")
        return value
