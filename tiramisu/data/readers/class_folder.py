"""Find the images of a folder that has a sub-folder for each class."""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from tiramisu.data.entry import check_classes, name_of_folder
from tiramisu.data.readers.image_file import is_image_name, read_header
from tiramisu.data.readers.parts import choose_part, choose_samples
from tiramisu.data.spec_parts import FolderSplit, ImageClass
from tiramisu.data.task_specs import ClassificationSpec
from tiramisu.text import list_some, path_text, show_path

# The usual size for networks of ImageNet, if the images of a folder differ in size.
_USUAL_SIZE = (224, 224)
_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class ClassImage:
    """An image file and its class."""

    path: Path
    label: int


def spec_from_class_folder(folder: Path, homes: Mapping[str, str]) -> ClassificationSpec:
    """The spec of train/CLASS/*.jpg and val/CLASS/*.jpg (and test) under `folder`.

    The classes are the sub-folders of train, sorted. If images differ in size, all are resized to
    224 x 224.

    Args:
        folder: the data set's folder.
        homes: the sub-folder of each split; that of train may be ".", the folder itself.

    Raises:
        ValueError: a class has no image in train, or the splits differ in their classes.
    """
    home = folder / homes["train"]
    names = tuple(list_class_folders(home))
    if odd := [show_path(name) for name in names if path_text(name) != name]:
        raise ValueError(
            f"{home}: the name of a folder is the name of a class, and the bytes of "
            f"{list_some(odd, most=_SHOWN)} are no text on this system, whose character set is "
            f"{sys.getfilesystemencoding()}: rename them"
        )
    if not names:
        raise ValueError(
            f"{home}: no sub-folder. Expected one for each class, with its images: "
            "train/cat/1.jpg, train/dog/2.jpg, ..."
        )
    splits = {name: FolderSplit(folder=inner) for name, inner in homes.items()}
    images = {name: find_class_images(split, names, folder) for name, split in splits.items()}
    in_train = {image.label for image in images["train"]}
    empty = [name for i, name in enumerate(names) if i not in in_train]
    if empty:
        raise ValueError(
            f"{home}: no image of {list_some(empty, most=_SHOWN)}. Put images "
            "there (JPEG, PNG, ...), or remove the folder from all splits"
        )
    check_classes(names, origin=f"{home}: ")
    paths = (image.path for image in chain.from_iterable(images.values()))
    return ClassificationSpec(
        name=name_of_folder(folder),
        title=f"the folder {show_path(folder)}",
        task="classification",
        classes=tuple(ImageClass(name=name) for name in names),
        splits=splits,
        size=None if _are_of_one_size(paths) else _USUAL_SIZE,
        root=folder,
        notes=(_describe_flat(names),) if homes["train"] == "." else (),
    )


def _describe_flat(names: tuple[str, ...]) -> str:
    shown = list_some(names, most=_SHOWN)
    return f"there are no splits: the sub-folders ({shown}) are the classes of the split train"


def find_class_images(split: FolderSplit, folders: tuple[str, ...], root: Path) -> list[ClassImage]:
    """The images of a split, sorted by class and name, as torchvision's ImageFolder sorts them.

    Hidden files and folders (with a leading dot) are left out. A class may have no image. Links to
    folders are followed, but no folder is entered twice.

    Args:
        split: the split.
        folders: the sub-folder of each class.
        root: the data set's root.

    Raises:
        ValueError: the sub-folders are not those of the classes.
    """
    home = root / split.folder
    if not home.is_dir():
        raise ValueError(
            f"{home}: no such folder. Expected {split.folder}/{folders[0]}/IMAGES and so "
            f"on under {root}: a sub-folder for each class"
        )
    found = list_class_folders(home)
    missing = [name for name in folders if name not in found]
    unknown = [name for name in found if name not in folders]
    if missing or unknown:
        parts = (("no folder for the class", missing), ("no such class as the folder", unknown))
        differences = " and ".join(
            f"{title} {list_some(names, most=_SHOWN)}" for title, names in parts if names
        )
        raise ValueError(
            f"{home}: {differences}. All splits need the same classes; make an empty folder if a "
            "split has no image of a class"
        )

    labels = {name: label for label, name in enumerate(folders)}
    images = {}
    for name in sorted(folders):
        paths = {path.relative_to(home).as_posix(): path for path in _find_images(home / name)}
        chosen = paths.keys() if split.part is None else choose_part(paths, split.part)
        images.update(
            {
                key: ClassImage(path=path, label=labels[name])
                for key, path in paths.items()
                if key in chosen
            }
        )
    if split.samples is not None:
        chosen = choose_samples(images, split.samples)
        return [image for key, image in images.items() if key in chosen]
    return list(images.values())


def _find_images(home: Path) -> Iterator[Path]:
    """The image files under a folder, folder by folder."""
    seen: set[str] = set()
    found: list[tuple[str, list[str]]] = []
    for folder, inner, names in os.walk(home, followlinks=True):
        # Two links that lead back into their folder would give 2 ** 40 ways through them.
        real = os.path.realpath(folder)
        if real in seen:
            inner.clear()
            continue
        seen.add(real)
        inner.sort()
        found.append((folder, names))
    for folder, names in sorted(found):
        for name in sorted(names):
            if is_image_name(name):
                yield Path(folder, name)


def list_class_folders(home: Path) -> list[str]:
    """The names of the sub-folders, sorted as torchvision's ImageFolder sorts its classes."""
    return sorted(p.name for p in home.iterdir() if p.is_dir() and not p.name.startswith("."))


def _are_of_one_size(paths: Iterable[Path]) -> bool:
    with ThreadPoolExecutor() as pool:
        return len(set(pool.map(_size, paths))) <= 1


def _size(path: Path) -> tuple[int, int] | None:
    try:
        header = read_header(path)
        return header.height, header.width
    except (OSError, ValueError):
        return None  # `tiramisu check` lists damaged files
