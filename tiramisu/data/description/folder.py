"""A folder without a YAML file -> DatasetSpec."""

import contextlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from tiramisu.data.config import SourceOptions
from tiramisu.data.entry import check_classes, name_of_folder
from tiramisu.data.labels import IGNORE_INDEX, MAX_CLASSES, LabelTable
from tiramisu.data.plain_file import read_text
from tiramisu.data.readers.class_folder import spec_from_class_folder
from tiramisu.data.readers.file_split import find_files
from tiramisu.data.readers.image_file import read_raster
from tiramisu.data.readers.mask_file import read_mask
from tiramisu.data.spec import DatasetSpec, SegmentationSpec
from tiramisu.data.spec_parts import FileSplit, PixelClass
from tiramisu.shipped import find_shipped
from tiramisu.text import list_some, show_path

_SPLITS = ("train", "val", "test")
_IMAGES = "*.{jpg,jpeg,png,bmp,tif,tiff,webp,JPG,JPEG,PNG}"
_MASKS = "*.{png,bmp,tif,tiff,PNG}"
_SHOWN = 12  # colors of a color mask, values of masks
_FIRST_MASKS = 8  # number of masks to read if classes.txt names the classes


def spec_from_folder(folder: Path, options: SourceOptions) -> DatasetSpec:
    """The spec of a folder for segmentation (with `images`) or classification (with `train`).

    Raises:
        ValueError: the folder is neither, or a file does not fit; the message says what to do.
    """
    splits = {
        name: FileSplit(images=(f"images/{name}/{_IMAGES}",), masks=(f"masks/{name}/{_MASKS}",))
        for name in _SPLITS
        if (folder / "images" / name).is_dir()
    }
    if splits:
        return _spec_from_masks(folder, splits)
    if (folder / "train").is_dir():
        return spec_from_class_folder(folder)
    raise ValueError(
        f"{folder}: expected in this folder images/train, images/val, masks/train and masks/val "
        "(segmentation: an image and its mask have the same file name), or train/CLASS and "
        "val/CLASS (classification: one folder of images per class). For any other layout write a "
        f"YAML; {_template()} is an example"
    )


def _spec_from_masks(folder: Path, splits: dict[str, FileSplit]) -> SegmentationSpec:
    """The spec of images/{train,val[,test]} and masks/{train,val[,test]} under `folder`.

    The classes are the lines of classes.txt if there is one (line 1 is value 0), or else the values
    in the masks; 255 is void. The colors are those of the masks' palette, if they have one.
    """
    masks = [p.mask for split in splits.values() for p in find_files(split, folder).pairs]
    if not masks:
        raise ValueError(
            f"{folder}: no image in images/train has a mask (.png) of the same name in "
            "masks/train. Masks must be PNG, because JPEG changes the values of pixels"
        )
    listed = folder / "classes.txt"
    named = os.path.lexists(listed)
    if named:
        lines = read_text(listed, kind="list of classes").splitlines()
        names = [line.strip() for line in lines]
        names = [name for name in names if name]
        if _find_values(masks[:_FIRST_MASKS]) == {0, 255}:
            _check_values(folder, _find_values(masks))
    else:
        found = _find_values(masks)
        _check_values(folder, found)
        names = [f"class_{value}" for value in sorted(found - {IGNORE_INDEX})]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{listed}: expected each name once; twice or more: {', '.join(twice)}")
    origin = listed if named else folder / "masks"
    check_classes(tuple(names), origin=f"{origin}: ")
    if len(names) > MAX_CLASSES:
        raise ValueError(
            f"{origin}: {len(names)} classes; expected {MAX_CLASSES} or fewer"
            + ("" if named else "; so many values come from JPEG or resized masks")
        )
    return SegmentationSpec(
        name=name_of_folder(folder),
        title=f"the folder {show_path(folder)}",
        classes=tuple(
            PixelClass(name=name, color=color)
            for name, color in zip(names, _read_palette(masks, len(names)), strict=True)
        ),
        splits=splits,
        root=folder,
    )


def _find_values(masks: list[Path]) -> set[int]:
    """The values of all masks. Single masks that cannot be read are left to the check of all files.

    Raises:
        ValueError: none of the masks can be read.
    """
    with ThreadPoolExecutor() as pool:
        values = list(pool.map(_values, masks))
    if not any(values):
        _refuse_colors(masks[0])
        read_mask(masks[0], "index")
    return set[int]().union(*values)


def _values(mask: Path) -> set[int]:
    try:
        return {int(value) for value in np.unique(read_mask(mask, "index"))}
    except (ValueError, OSError):
        return set()


def _refuse_colors(mask: Path) -> None:
    try:
        codes = np.unique(read_mask(mask, "rgb"))
    except (ValueError, OSError):
        return  # not a color mask; the caller reports what is wrong
    show = LabelTable(encoding="rgb", raw=(), ignore=()).show
    shown = list_some([show(int(code)) for code in codes], most=_SHOWN)
    raise ValueError(
        f"{mask}: a color mask, with the colors {shown}. A folder without a "
        "YAML file needs masks of class indices (0, 1, 2, ...; 255 void). Write a YAML that gives "
        f"the color of each class; {_template()} is an example"
    )


def _check_values(folder: Path, values: set[int]) -> None:
    if values == {IGNORE_INDEX}:
        raise ValueError(
            f"{folder}: the masks hold only 255, which is void; expected classes 0, 1, 2, ..."
        )
    if values == {0, 255}:
        raise ValueError(
            f"{folder}: the masks hold only 0 and 255, and 255 is void in a folder without a YAML "
            f"file. If 255 is a class here, copy {_template()}, set root, and write:\n"
            "classes:\n  - {name: background, raw: [0]}\n  - {name: foreground, raw: [255]}"
        )

    labelled = sorted(values - {IGNORE_INDEX})
    if labelled != list(range(len(labelled))):
        raise ValueError(
            f"{folder}: the masks hold the values {list_some(labelled, most=_SHOWN)}; expected 0, "
            "1, 2, ... without a gap (and 255, void). If the masks are right, write the names of "
            "all classes into classes.txt, one per line; if not, `tiramisu check` then lists the "
            "wrong values"
        )


def _read_palette(masks: list[Path], num_classes: int) -> Sequence[tuple[int, int, int] | None]:
    """The colors in the palette of the first mask that can be opened; None if two are alike."""
    colors: list[tuple[int, int, int]] = []
    for mask in masks:
        with contextlib.suppress(OSError, ValueError):
            palette = read_raster(mask).palette
            if palette is not None:
                colors = [(int(r), int(g), int(b)) for r, g, b in palette[:num_classes]]
            break
    return colors if len(set(colors)) == num_classes else [None] * num_classes


def _template() -> Path:
    return find_shipped("datasets", "template")
