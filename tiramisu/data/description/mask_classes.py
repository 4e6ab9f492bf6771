"""The classes of a folder without a YAML file, from its classes.txt and the values in its masks."""

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tiramisu.data.description.mask_values import (
    SHOWN,
    MaskValues,
    explain_colors,
    explain_gap,
    explain_jpeg,
    find_values,
)
from tiramisu.data.entry import check_classes
from tiramisu.data.labels import IGNORE_INDEX, MAX_CLASSES, NAN_CODE
from tiramisu.data.plain_file import read_class_names
from tiramisu.data.readers.image_file import read_raster
from tiramisu.data.spec_parts import FileSplit, PixelClass
from tiramisu.text import list_some

CLASS_LIST = "classes.txt"
_FIRST_MASKS = 8  # number of masks to read if classes.txt names the classes
_JPEG = (".jpg", ".jpeg", ".jpe")


@dataclass(frozen=True, kw_only=True)
class MaskClasses:
    """The classes of masks, and how their values were understood."""

    classes: tuple[PixelClass, ...]
    ignore: tuple[int, ...] | Literal["others"] | None = None
    """Raw values that are void, as in a YAML."""
    notes: tuple[str, ...] = ()


def find_classes(
    folder: Path, splits: Mapping[str, FileSplit], masks: Sequence[Path]
) -> MaskClasses:
    """The classes of a folder's masks.

    They are the lines of classes.txt if there is one (line 1 is value 0), or else the values in the
    masks; 255 is void. Masks that hold 0 and one other value have the classes background and
    foreground, also where the other one is 255.

    Args:
        folder: the folder.
        splits: the patterns of its files, for the YAML that a message offers.
        masks: all masks.

    Raises:
        ValueError: the values are not those of classes; the message says what to do.
    """
    listed = folder / CLASS_LIST
    names = read_class_names(listed) if os.path.lexists(listed) else None
    values = find_values(masks[:_FIRST_MASKS] if names is not None else masks)
    if names is not None and not _fits(values.labels, names):
        values = find_values(masks)
    if values.color_masks:
        raise ValueError(explain_colors(folder, splits, values.color_masks, num_masks=len(masks)))
    if not values.counts and values.error is not None:
        raise values.error
    found = _name_values(folder, values, masks, names)
    origin = f"{listed if names is not None else _home(folder, masks)}: "
    check_classes(found.classes, origin=origin)
    if len(found.classes) > MAX_CLASSES:
        raise ValueError(
            f"{origin}{len(found.classes)} classes; expected {MAX_CLASSES} or fewer"
            + ("" if names is not None else "; so many values come from JPEG or resized masks")
        )
    colors = _read_palette(masks)
    raw = [entry.raw[0] if entry.raw else i for i, entry in enumerate(found.classes)]
    chosen = [colors[code] for code in raw if code < len(colors)]
    if len(set(chosen)) < len(raw) or all(len(set(color)) == 1 for color in chosen):
        return found  # the palette has no colors that tell the classes from each other
    classes = (
        PixelClass(name=entry.name, color=color, raw=entry.raw)
        for entry, color in zip(found.classes, chosen, strict=True)
    )
    return MaskClasses(classes=tuple(classes), ignore=found.ignore, notes=found.notes)


def _fits(labels: list[int], names: list[str]) -> bool:
    """Whether some values can only be the lines of a list, from 0 on."""
    return len(labels) > 1 and labels[-1] < len(names)


def _name_values(
    folder: Path, values: MaskValues, masks: Sequence[Path], names: list[str] | None
) -> MaskClasses:
    labels, has_255 = values.labels, IGNORE_INDEX in values.counts
    if names is None and not labels:
        raise ValueError(
            f"{folder}: the masks hold only 255, which is void; expected classes 0, 1, 2, ..."
        )
    pair = sorted(values.counts)
    if len(pair) == 2 and pair[0] == 0 and pair[1] > 1 and len(names or "ab") == 2:
        return _two_classes(pair, names)
    void = ("255 in the masks is void",) if has_255 else ()
    if names is not None:
        if labels == list(range(1, len(names) + 1)):
            return _count_from_one(names, named=True, notes=void)
        if has_255 and labels in ([], [0]):
            void = (f"255 in the masks is void: {CLASS_LIST} names {len(names)} classes",)
        return MaskClasses(classes=_classes(names), notes=void)
    if any(path.suffix.lower() in _JPEG for path in masks) and len(values.counts) > 2:
        raise ValueError(explain_jpeg(folder, values))
    count = len(labels)
    if labels == list(range(1, count + 1)) and count > 1 and not values.missing:
        names = [f"class_{value}" for value in labels]
        return _count_from_one(names, named=False, notes=void)
    if labels != list(range(count)) or count > MAX_CLASSES:
        raise ValueError(explain_gap(folder, values, masks))
    names = [f"class_{value}" for value in labels]
    if not values.missing:
        return MaskClasses(classes=_classes(names), notes=void)
    shown = ["NaN" if code == NAN_CODE else str(code) for code in values.missing]
    shown += ["255"] * has_255
    return MaskClasses(
        classes=_classes(names),
        ignore="others",
        notes=(f"values in the masks that are void: {list_some(shown, most=SHOWN)}",),
    )


def _classes(names: Iterable[str]) -> tuple[PixelClass, ...]:
    return tuple(PixelClass(name=name) for name in names)


def _two_classes(pair: list[int], names: list[str] | None) -> MaskClasses:
    """Background and foreground, of the values 0 and another one."""
    first, second = names or ("background", "foreground")
    other = pair[1]
    if other == IGNORE_INDEX:
        fix = (
            f"if 255 is void, give three names or more in {CLASS_LIST}, or write a YAML with "
            "`ignore: [255]`"
        )
    else:
        fix = f"if there are more classes, give the names of all, from value 0 on, in {CLASS_LIST}"
    return MaskClasses(
        classes=(PixelClass(name=first, raw=(0,)), PixelClass(name=second, raw=(other,))),
        notes=(
            f"the masks hold 0 and {other} alone, read as the classes {first} (0) and {second} "
            f"({other}); {fix}",
        ),
    )


def _count_from_one(names: list[str], *, named: bool, notes: tuple[str, ...]) -> MaskClasses:
    count = len(names)
    where = f"the {count} lines of {CLASS_LIST}" if named else f"{count} classes"
    note = (
        f"the masks hold the values 1 to {count} and no 0, read as {where}; if 0 is a class that "
        f"does not occur, give it a name in the first line of {CLASS_LIST}"
    )
    return MaskClasses(
        classes=tuple(PixelClass(name=name, raw=(i,)) for i, name in enumerate(names, 1)),
        notes=(note, *notes),
    )


def _home(folder: Path, masks: Sequence[Path]) -> Path:
    """The folder of all masks, for messages."""
    inside = Path(os.path.commonpath([mask.parent for mask in masks]))
    return inside if len({mask.parent for mask in masks}) > 1 else inside.parent


def _read_palette(masks: Iterable[Path]) -> list[tuple[int, int, int]]:
    """The colors in the palette of the first mask that can be opened; empty if it has none."""
    for mask in masks:
        with contextlib.suppress(OSError, ValueError):
            palette = read_raster(mask).palette
            return [] if palette is None else [(int(r), int(g), int(b)) for r, g, b in palette]
    return []
