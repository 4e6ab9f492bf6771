"""A folder without a YAML file -> DatasetSpec."""

from itertools import chain
from pathlib import Path

from tiramisu.data.description.layouts import (
    describe_folder,
    find_class_layout,
    find_layout,
    show_template,
)
from tiramisu.data.description.mask_classes import find_classes
from tiramisu.data.entry import name_of_folder
from tiramisu.data.readers.class_folder import spec_from_class_folder
from tiramisu.data.readers.file_split import find_files
from tiramisu.data.spec import DatasetSpec
from tiramisu.data.task_specs import SegmentationSpec
from tiramisu.text import show_path


def spec_from_folder(folder: Path) -> DatasetSpec:
    """The spec of a folder for segmentation (images and masks) or classification (one of classes).

    How it is understood is said in the spec's notes.

    Raises:
        ValueError: the folder is neither, or a file does not fit; the message says what to do.
    """
    layout = find_layout(folder)
    if layout is None:
        class_folders = find_class_layout(folder)
        if class_folders is not None:
            return spec_from_class_folder(folder, class_folders)
        raise ValueError(_explain_unknown(folder))
    files = [find_files(split, folder) for split in layout.splits.values()]
    masks = [pair.mask for found in files for pair in found.pairs]
    found = find_classes(folder, layout.splits, masks)
    return SegmentationSpec(
        name=name_of_folder(folder),
        title=f"the folder {show_path(folder)}",
        classes=found.classes,
        ignore=found.ignore,
        splits=layout.splits,
        root=folder,
        notes=tuple(chain(layout.notes, found.notes)),
    )


def _explain_unknown(folder: Path) -> str:
    inner = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    hint = next(
        (f". {show_path(path)} is laid out so: give that" for path in inner if _fits(path)), ""
    )
    return (
        f"{folder}: no images with masks, and no folders of classes; expected in this folder "
        "images/train, images/val, masks/train and masks/val, or train/images, train/masks, "
        "val/images and val/masks, or images and masks (segmentation: an image and its mask have "
        "the same file name, or a.jpg and a_mask.png), or train/CLASS and val/CLASS "
        "(classification: one folder of images per class). For any other layout write a YAML; "
        f"{show_template()} is an example. Found: {describe_folder(folder)}{hint}"
    )


def _fits(folder: Path) -> bool:
    try:
        return find_layout(folder) is not None
    except ValueError:
        return False
