"""A folder with a sub-folder for each class: which images are of which class."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image

from tiramisu.data.spec import DatasetSpec, FolderSplit, distinct_colors

# Where the images of a bare folder differ in size: what ImageNet's networks are shown by custom.
USUAL_SIZE = (224, 224)
_SPLITS = ("train", "val", "test")
_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class ClassImage:
    """An image file and its class."""

    path: Path
    label: int


def spec_from_class_folder(folder: Path) -> DatasetSpec:
    """The spec of train/CLASS/*.jpg and val/CLASS/*.jpg (and test) under `folder`.

    The classes are the sub-folders of train, sorted. Images of different sizes are all brought to
    224 x 224. Raises ValueError with the remedy where a class has no image to learn from, or where
    the splits differ in classes.
    """
    names = tuple(list_class_folders(folder / "train"))
    if not names:
        raise ValueError(
            f"{folder / 'train'}: no sub-folder. Expected one for each class, with its images: "
            "train/cat/1.jpg, train/dog/2.jpg, ..."
        )
    splits = {
        name: FolderSplit(folder=name, folders=names)
        for name in _SPLITS
        if (folder / name).is_dir()
    }
    images = {name: find_class_images(split, folder) for name, split in splits.items()}
    learnt = {image.label for image in images["train"]}
    empty = [name for i, name in enumerate(names) if i not in learnt]
    if empty:
        raise ValueError(
            f"{folder / 'train'}: no image of {_some(empty)}. Put images there (JPEG, PNG, ...), "
            "or remove the folder from all splits."
        )
    paths = (image.path for image in chain.from_iterable(images.values()))
    return DatasetSpec(
        name=folder.resolve().name,
        title=f"the folder {folder}",
        task="classification",
        class_names=names,
        colors=np.array(distinct_colors(len(names), taken=set()), dtype=np.uint8),
        labels=None,
        splits=splits,
        size=None if _are_of_one_size(paths) else USUAL_SIZE,
        root=folder,
    )


def find_class_images(split: FolderSplit, root: Path) -> list[ClassImage]:
    """The images of a split, sorted by class and name, as torchvision's ImageFolder finds them.

    Hidden files and folders (a leading dot) are left out. A class may have no image.
    Raises ValueError with the remedy if the sub-folders are not those of the classes.
    """
    # Reading a YAML file loads no torch.
    from torchvision.datasets.folder import IMG_EXTENSIONS, ImageFolder

    home = root / split.folder
    if not home.is_dir():
        raise ValueError(
            f"{home}: no such folder. Expected {split.folder}/{split.folders[0]}/IMAGES and so "
            f"on under {root}: a sub-folder for each class."
        )
    found = list_class_folders(home)
    missing = [name for name in split.folders if name not in found]
    strange = [name for name in found if name not in split.folders]
    if missing or strange:
        parts = (("no folder for the class", missing), ("no such class as the folder", strange))
        found_out = " and ".join(f"{title} {_some(names)}" for title, names in parts if names)
        raise ValueError(
            f"{home}: {found_out}. All splits need the same classes; make an empty folder where a "
            "split has no image of one."
        )

    class Classes(ImageFolder):
        """ImageFolder in the order of our classes."""

        def find_classes(self, directory: str | Path) -> tuple[list[str], dict[str, int]]:
            return list(split.folders), {name: i for i, name in enumerate(split.folders)}

    def is_image(path: str) -> bool:
        name = Path(path).name
        return name.lower().endswith(IMG_EXTENSIONS) and not name.startswith(".")

    folder = Classes(str(home), is_valid_file=is_image, allow_empty=True)
    return [ClassImage(path=Path(path), label=label) for path, label in folder.samples]


def list_class_folders(home: Path) -> list[str]:
    """The names of the sub-folders, sorted as torchvision's ImageFolder sorts its classes."""
    return sorted(p.name for p in home.iterdir() if p.is_dir() and not p.name.startswith("."))


def _are_of_one_size(paths: Iterable[Path]) -> bool:
    with ThreadPoolExecutor() as pool:
        return len(set(pool.map(_size, paths))) <= 1


def _size(path: Path) -> tuple[int, int] | None:
    try:
        with Image.open(path) as file:  # reads the head of the file only
            return file.size
    except (OSError, SyntaxError, ValueError):
        return None  # the check says which files are damaged


def _some(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
