"""Find the images of a folder that has a sub-folder for each class."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from PIL import Image

from tiramisu.data.entry import name_of_folder
from tiramisu.data.spec import ClassificationSpec
from tiramisu.data.spec_parts import FolderSplit, ImageClass
from tiramisu.text import list_some

# The usual size for networks of ImageNet, if the images of a folder differ in size.
_USUAL_SIZE = (224, 224)
_SPLITS = ("train", "val", "test")
_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class ClassImage:
    """An image file and its class."""

    path: Path
    label: int


def spec_from_class_folder(folder: Path) -> ClassificationSpec:
    """The spec of train/CLASS/*.jpg and val/CLASS/*.jpg (and test) under `folder`.

    The classes are the sub-folders of train, sorted. If images differ in size, all are resized to
    224 x 224.

    Raises:
        ValueError: a class has no image in train, or the splits differ in their classes.
    """
    names = tuple(list_class_folders(folder / "train"))
    if not names:
        raise ValueError(
            f"{folder / 'train'}: no sub-folder. Expected one for each class, with its images: "
            "train/cat/1.jpg, train/dog/2.jpg, ..."
        )
    splits = {name: FolderSplit(folder=name) for name in _SPLITS if (folder / name).is_dir()}
    images = {name: find_class_images(split, names, folder) for name, split in splits.items()}
    in_train = {image.label for image in images["train"]}
    empty = [name for i, name in enumerate(names) if i not in in_train]
    if empty:
        raise ValueError(
            f"{folder / 'train'}: no image of {list_some(empty, most=_SHOWN)}. Put images "
            "there (JPEG, PNG, ...), or remove the folder from all splits"
        )
    paths = (image.path for image in chain.from_iterable(images.values()))
    return ClassificationSpec(
        name=name_of_folder(folder),
        title=f"the folder {folder}",
        task="classification",
        classes=tuple(ImageClass(name=name) for name in names),
        splits=splits,
        size=None if _are_of_one_size(paths) else _USUAL_SIZE,
        root=folder,
    )


def find_class_images(split: FolderSplit, folders: tuple[str, ...], root: Path) -> list[ClassImage]:
    """The images of a split, sorted by class and name, as torchvision's ImageFolder finds them.

    Hidden files and folders (with a leading dot) are left out. A class may have no image.

    Args:
        split: the split.
        folders: the sub-folder of each class.
        root: the data set's root.

    Raises:
        ValueError: the sub-folders are not those of the classes.
    """
    # Not imported until needed, because it loads torch.
    from torchvision.datasets.folder import IMG_EXTENSIONS, make_dataset

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

    def is_image(path: str) -> bool:
        name = Path(path).name
        return name.lower().endswith(IMG_EXTENSIONS) and not name.startswith(".")

    labels = {name: label for label, name in enumerate(folders)}
    images = make_dataset(str(home), labels, is_valid_file=is_image, allow_empty=True)
    return [ClassImage(path=Path(path), label=label) for path, label in images]


def list_class_folders(home: Path) -> list[str]:
    """The names of the sub-folders, sorted as torchvision's ImageFolder sorts its classes."""
    return sorted(p.name for p in home.iterdir() if p.is_dir() and not p.name.startswith("."))


def _are_of_one_size(paths: Iterable[Path]) -> bool:
    with ThreadPoolExecutor() as pool:
        return len(set(pool.map(_size, paths))) <= 1


def _size(path: Path) -> tuple[int, int] | None:
    try:
        with Image.open(path) as file:  # reads only the header
            return file.width, file.height
    except (OSError, SyntaxError, ValueError):
        return None  # `tiramisu check` lists damaged files
