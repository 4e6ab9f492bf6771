"""The parts of a DatasetSpec: classes, splits, the source, and published results."""

import re
import warnings
from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from typing_extensions import Self

from tiramisu.data.entry import (
    Color,
    Entry,
    EntryError,
    ListOf,
    NotNegative,
    PathBesideYaml,
    Percent,
    Text,
    check_inside,
    expect_list,
    is_inside,
)

SPLIT_WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""The split that a word in the name of a folder or a file stands for, in small letters."""
WILDCARD = re.compile(r"\*|\?|\[[^\]]+\]")
MAX_CHOICES = 1000
"""Most globs that the braces of one pattern may stand for."""
_BRACES = re.compile(r"\{([^{}]*)\}")


class ClassEntry(Entry):
    """A class; its name alone is the short form."""

    name: Text
    color: Color | None = None
    """RGB, for pictures; None for one that differs from all others."""

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        if isinstance(value, int | float | None):  # such as no, which is false in YAML
            raise EntryError(f"expected a name, or {{name: ...}}, not {value!r}; put it in quotes")
        return {"name": value} if isinstance(value, str) else value


class PixelClass(ClassEntry):
    """A class of pixels."""

    raw: ListOf[Any] | None = None
    """The values in the masks that mean this class: ids, or with `encoding: rgb` colors. None for
    its place in the list of classes, or its color."""


class ImageClass(ClassEntry):
    """A class of images."""

    folder: Annotated[Text, AfterValidator(check_inside)] | None = None
    """Its sub-folder; None if that has the name of the class."""


_DrawnSide = Annotated[int, Field(ge=1, le=4096)]


class SceneSize(Entry):
    """The size of drawn scenes in pixels."""

    height: _DrawnSide
    width: _DrawnSide


class ObjectSize(Entry):
    """The side of drawn, square images of objects in pixels."""

    size: _DrawnSide


class Source(Entry):
    """Where a data set comes from."""

    homepage: Text
    licence: Text
    """What the data may be used for, and what to cite."""
    url: Text | None = None
    """Base URL of the files in `checksums`; None if users must download them themselves."""
    checksums: Annotated[PathBesideYaml, BeforeValidator(check_inside)] | None = None
    """List in the format of `sha256sum`: paths relative to `url` and to the root."""

    @model_validator(mode="after")
    def _check_download(self) -> Self:
        if (self.url is None) != (self.checksums is None):
            raise EntryError("url and checksums belong together: downloaded files are verified")
        if self.checksums is not None and not self.checksums.is_file():
            raise EntryError(f"{self.checksums}: no such file beside the YAML", "checksums")
        return self


class PublishedResult(Entry):
    """Published figures on this data set, in percent."""

    arch: Text
    """The model's name in `build_model`."""
    title: Text
    split: Text
    accuracy: Percent
    """Share of correct pixels; for classification top-1 accuracy."""


class PublishedIou(PublishedResult):
    """Published figures for segmentation, in percent."""

    mean_iou: Percent
    class_iou: ListOf[Percent]
    """In class order."""


def expand_braces(pattern: str) -> Iterator[str]:
    """`*.{jpg,png}` -> `*.jpg`, `*.png`."""
    match = _BRACES.search(pattern)
    if match is None:
        yield pattern
        return
    for choice in match[1].split(","):
        yield from expand_braces(pattern[: match.start()] + choice + pattern[match.end() :])


def capture_wildcards(glob: str) -> re.Pattern[str]:
    """The regular expression of a glob, with a group for each wildcard."""
    regex, end = "", 0
    for match in WILDCARD.finditer(glob):
        regex += re.escape(glob[end : match.start()])
        wildcard = match[0].replace("[!", "[^")
        regex += {"*": "([^/]*)", "?": "([^/])"}.get(wildcard, f"({wildcard})")
        end = match.end()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # about [[, which is a set of one bracket
        return re.compile(regex + re.escape(glob[end:]))


def _check_pattern(pattern: str) -> str:
    globs = list(islice(expand_braces(pattern), MAX_CHOICES + 1))
    if len(globs) > MAX_CHOICES:
        raise EntryError(f"{pattern}: expected at most {MAX_CHOICES} choices in braces")
    for glob in globs:
        if not is_inside(glob) or "**" in glob:
            raise EntryError(f"{pattern}: a pattern is relative to the root, without .. or **")
        try:
            capture_wildcards(glob)
        except re.error as error:
            raise EntryError(f"{pattern}: this is no pattern ({error})") from None
    if not WILDCARD.search(pattern):
        raise EntryError(f"{pattern}: a pattern needs a *, as in images/train/*.png")
    return pattern


_Patterns = Annotated[
    ListOf[Annotated[Text, AfterValidator(_check_pattern)]],
    BeforeValidator(lambda value: value if isinstance(value, list | tuple) else [value]),
]
_Range = Annotated[
    tuple[NotNegative, NotNegative], expect_list(2, "[first, end] (end is not included)")
]


def _check_part(part: tuple[float, float]) -> tuple[float, float]:
    if not 0 <= part[0] < part[1] <= 1:
        raise EntryError(
            f"{list(part)} is no part; expected two numbers from 0 to 1, the smaller one first, as "
            "in [0.2, 1]"
        )
    return part


_Part = Annotated[
    tuple[float, float],
    expect_list(2, "[first, end] as shares from 0 to 1, as in [0.2, 1]"),
    AfterValidator(_check_part),
]


class FileSplit(Entry):
    """The images and masks of one split, as glob patterns relative to the data set's root.

    The key of an image is the text that the wildcards of its pattern match, joined by "/". Its
    mask is the file whose pattern matches the same text. A file that is a mask is no image, so that
    `*.png` and `*_mask.png` may lie in one folder.
    """

    images: _Patterns
    masks: _Patterns
    """One mask pattern for each image pattern."""
    keys: ListOf[Text] = ()
    """Globs; only images whose key matches one of them are used. Empty for all."""
    list_file: Annotated[Text, AfterValidator(check_inside)] | None = Field(
        default=None, alias="list"
    )
    """Text file, relative to the root, with one key per line, or the path of an image; only these
    images are used."""
    part: _Part | None = None
    """(first, end): the part of these samples that is used, in an order that depends on their keys
    alone; see `choose_part`. None for all."""
    samples: ListOf[Text] | None = None
    """The keys of the samples that are used; None for all."""

    @model_validator(mode="after")
    def _check_pairs(self) -> Self:
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


class AnnotatedSplit(Entry):
    """The images of one split, and the annotations that a labelling tool wrote for them."""

    annotations: Annotated[Text, AfterValidator(check_inside)]
    """File of COCO, CVAT or Label Studio, or a folder of LabelMe files, relative to the root."""
    images: Annotated[Text, AfterValidator(check_inside)]
    """Folder of the images, relative to the root."""
    subset: Text | None = None
    """CVAT: only images of this subset."""
    part: _Part | None = None
    """Only this part of the images, as `choose_part` has it; None for all."""
    samples: ListOf[Text] | None = None
    """The keys of the samples that are used; None for all."""
    unlabelled: Literal["background", "void"] | None = None
    """What images without a region are. With void, pixels outside of all regions are void too."""


class DrawnSplit(Entry):
    """The images of one split of a drawn data set: seeds first_seed .. first_seed + count - 1.

    Each image is a scene for segmentation, or a single object for classification.
    """

    first_seed: Annotated[int, Field(ge=0, le=2**32 - 1)]
    count: Annotated[int, Field(ge=1, le=1_000_000)]


class FolderSplit(Entry):
    """The images of one split for classification: a folder with a sub-folder for each class."""

    folder: Annotated[Text, AfterValidator(check_inside)]
    """Relative to the data set's root."""
    part: _Part | None = None
    """(first, end): the part of the images of each class that is used, in an order that depends on
    their names alone; see `choose_part`. None for all."""
    samples: ListOf[Text] | None = None
    """The images that are used, as CLASS/NAME; None for all."""


class CifarSplit(Entry):
    """A part of the training or the test images of CIFAR-10 or CIFAR-100."""

    part: Literal["train", "test"]
    range: _Range | None = None
    """(first, end) of the images, end not included; None for all."""

    @model_validator(mode="after")
    def _check_range(self) -> Self:
        if self.range and self.range[0] >= self.range[1]:
            first_end = list(self.range)
            raise EntryError(
                f"{first_end} holds no image; expected two numbers, the smaller one first", "range"
            )
        return self


Split = FileSplit | AnnotatedSplit | DrawnSplit | FolderSplit | CifarSplit
