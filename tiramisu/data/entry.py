"""What the mappings and values of a data set's YAML file share, as pydantic models and types."""

import os
import re
from pathlib import Path, PureWindowsPath
from types import NoneType
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    model_validator,
)

from tiramisu.settings import MIN_CLASSES
from tiramisu.text import did_you_mean, show

T = TypeVar("T")
Place = tuple[str | int, ...]
"""Where a value is in the file: ("classes", 3, "color")."""


class EntryError(ValueError):
    """A mistake in the file, at a place below the value that is validated.

    Args:
        problem: what came, and what was expected.
        place: the place of the mistake.
        other: a place that the mistake has to do with; the message ends with its line.
    """

    def __init__(self, problem: str, *place: str | int, other: Place | None = None) -> None:
        super().__init__(problem)
        self.place = place
        self.other = other


class Entry(BaseModel):
    """A mapping in the file: all required keys are there, and no unknown one.

    A field of type None is a key that this kind of mapping does not have.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _check_keys(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, cls):
            return value
        if not isinstance(value, dict):
            raise EntryError(f"expected `key: value` lines, not {show(value)}")
        fields = {
            field.alias or name: field
            for name, field in cls.model_fields.items()
            if field.annotation is not NoneType
        }
        for key in value:
            if key not in fields:
                hint = did_you_mean(str(key), fields) or f"; known are {', '.join(fields)}"
                raise EntryError(f"unknown key {show(key)}{hint}", str(key))
        missing = [key for key, field in fields.items() if field.is_required() and key not in value]
        if missing:
            raise EntryError(f"missing: {', '.join(missing)}")
        for key, content in value.items() if info.context else ():
            if content is None and key not in ("ignore", "drawn"):
                raise EntryError("expected a value, not None; write one or remove the key", key)
        return value


def check_color(value: Any, *place: str | int) -> tuple[int, int, int]:
    """A color [r, g, b] as a tuple; EntryError if it is none."""
    ok = isinstance(value, list | tuple) and len(value) == 3
    if not ok or not all(type(v) is int and 0 <= v <= 255 for v in value):
        raise EntryError(
            f"expected a color [r, g, b] of numbers 0 to 255, not {show(value)}", *place
        )
    return value[0], value[1], value[2]


def check_inside(path: str) -> str:
    """A path below a folder; EntryError if it may lead out of it."""
    if not is_inside(path):
        raise EntryError(f"{path}: a path is relative to its folder, without ..")
    return path


def is_inside(path: str) -> bool:
    """Whether a path stays below the folder that it starts from."""
    # Windows' rules know both separators, and drives.
    there = PureWindowsPath(path)
    return not there.anchor and ".." not in there.parts


def expect_list(length: int, expected: str) -> BeforeValidator:
    """The validator of a list of so many numbers."""

    def check(value: Any) -> Any:
        if isinstance(value, list | tuple) and len(value) == length:
            return tuple(value)
        raise EntryError(f"expected {expected}, not {show(value)}")

    return BeforeValidator(check)


def _join(value: Any, info: ValidationInfo) -> Any:
    is_text = isinstance(value, str) and value.strip()
    return info.context / os.path.expanduser(value) if is_text and info.context else value


def check_name(name: str) -> str:
    """A name that may be part of the name of a folder; EntryError if it may not."""
    if re.search(r"[/\\\x00-\x1f]", name) or name.startswith(".") or len(name) > 100:
        raise EntryError(
            f"expected a name of at most 100 letters, without / and \\, not {show(name)}"
        )
    return name


def name_of_folder(folder: Path) -> str:
    """The name of a data set that is a folder: like the folder's, as far as it is a `FileName`."""
    name = re.sub(r"[\\\x00-\x1f\ud800-\udfff]", "_", folder.resolve().name)
    return name.lstrip(".")[:100] or "data"


def check_classes(classes: tuple[T, ...], *, origin: str = "") -> tuple[T, ...]:
    """The classes of a data set or of a model; EntryError if there are fewer than two."""
    if len(classes) < MIN_CLASSES:
        raise EntryError(
            f"{origin}expected {MIN_CLASSES} classes or more, not {len(classes)}: what belongs "
            "to no other class is a class too, such as background"
        )
    return classes


Text = Annotated[str, Field(pattern=r"\S")]
FileName = Annotated[Text, AfterValidator(check_name)]
"""Text that is part of the name of a folder, such as runs/NAME_fc56."""
Positive = Annotated[int, Field(ge=1)]
NotNegative = Annotated[int, Field(ge=0)]
Percent = Annotated[float, Field(ge=0, le=100)]
Color = Annotated[tuple[int, int, int], BeforeValidator(check_color)]
ListOf = Annotated[tuple[T, ...], Field(strict=False)]
"""A list in the YAML, a tuple in Python."""
Classes = Annotated[ListOf[T], AfterValidator(check_classes)]
PathBesideYaml = Annotated[Path, BeforeValidator(_join)]
"""A path relative to the folder of the YAML, which is the context of the validation."""
