"""Where the annotations of a folder or a file are, and in which format: decided here alone."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tiramisu.data.annotations.labelme import list_files
from tiramisu.data.readers.image_file import is_image_name
from tiramisu.data.spec_parts import SPLIT_WORDS
from tiramisu.text import show_path

Format = Literal["COCO", "LabelMe", "CVAT", "Label Studio"]
SPLITS = ("train", "val", "test")
_WORDS = {**SPLIT_WORDS, "default": "train"}  # CVAT's name of the one subset
_PLACES = ("", "annotations", "Annotations", "labels", "masks", "json", "jsons", "labelme")
SPLIT_FOLDERS = ("train", "val", "valid", "validation", "test")
_MASK_FOLDERS = (
    *("masks", "mask", "labels", "label", "gt", "gts", "annotations", "annots"),
    *("SegmentationClass", "SegmentationClassRaw"),
)
_MOST_FILES = 50  # files of whole data sets in one folder
_HEAD = 1 << 16  # bytes, at both ends of a file, that tell its format


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file of annotations for many images, or a folder of LabelMe files."""

    format: Format
    path: Path


def find_annotations(path: Path) -> list[Source]:
    """The annotations that a folder or a file holds; none if it is no such thing.

    A folder that has masks as images is none, even if it has annotations as well.

    Raises:
        OSError: a folder cannot be read.
        ValueError: it is a file for annotations in a format that is not read.
    """
    if path.is_file():
        if path.suffix.lower() not in (".json", ".xml"):
            return []
        found = sniff(path)
        if found is None:
            raise ValueError(
                f"{show_path(path)}: no annotations that are read; expected COCO's JSON of "
                "instances, CVAT for images 1.1, Label Studio's JSON, or a folder of LabelMe files"
            )
        return [Source(format=found, path=path.parent if found == "LabelMe" else path)]
    if not path.is_dir() or _has_masks(path):
        return []
    sources = [source for folder in _list_places(path) for source in _look_into(folder)]
    formats = dict.fromkeys(source.format for source in sources)
    sources = [source for source in sources if source.format == next(iter(formats))]
    # COCO has the key points and the captions of the same images in further files.
    instances = [source for source in sources if source.path.stem.startswith("instances")]
    return instances or sources


def sniff(path: Path) -> Format | None:
    """The format of a file by the words at its start and its end."""
    size = path.stat().st_size
    with path.open("rb") as file:
        text = file.read(_HEAD)
        if size > _HEAD:
            file.seek(max(_HEAD, size - _HEAD))
            text += file.read()
    if path.suffix.lower() == ".xml":
        return "CVAT" if re.search(rb"<annotations[\s>]", text) else None

    def has(*words: str) -> bool:
        return any(f'"{word}"'.encode() in text for word in words)

    if text.lstrip().startswith(b"["):
        is_task = has("original_width") or (has("data") and has("annotations"))
        return "Label Studio" if is_task else None
    if has("shapes") and not has("categories"):
        return "LabelMe"
    parts = has("images", "annotations", "image_id", "file_name", "segmentation")
    return "COCO" if parts and has("categories", "category_id") else None


def split_of(name: str) -> str | None:
    """The split that a name stands for, such as train for instances_train2017; None if none."""
    words = re.split(r"[^a-z]+", name.lower())
    found = {_WORDS[word] for word in words if word in _WORDS}
    return found.pop() if len(found) == 1 else None


def _has_masks(folder: Path) -> bool:
    """Whether a folder has masks as image files, in one of the usual places."""
    for name in _MASK_FOLDERS:
        places = [folder / name, *(folder / name / split for split in SPLIT_FOLDERS)]
        places += [folder / split / name for split in SPLIT_FOLDERS]
        if any(_has_images(place) for place in places):
            return True
    return False


def _has_images(folder: Path) -> bool:
    return folder.is_dir() and any(is_image_name(path.name) for path in folder.iterdir())


def _list_places(root: Path) -> Iterator[Path]:
    """The folders in which annotations are looked for."""
    seen = set()
    for place in _PLACES:
        for folder in (root / place, *(root / place / split for split in SPLIT_FOLDERS)):
            if folder.is_dir() and (key := folder.resolve()) not in seen:
                seen.add(key)  # Annotations is annotations on some file systems
                yield folder
    for split in SPLIT_FOLDERS:
        for place in ("images", *_PLACES[1:]):
            for folder in (root / split / place, root / place / split):
                if folder.is_dir() and (key := folder.resolve()) not in seen:
                    seen.add(key)
                    yield folder
    if (root / "images").is_dir():
        yield root / "images"


def _look_into(folder: Path) -> Iterator[Source]:
    files = list_files(folder)
    if files and sniff(files[0]) == "LabelMe":
        yield Source(format="LabelMe", path=folder)
        return
    files += sorted(path for path in folder.glob("*.xml") if not path.name.startswith("."))
    for file in files if len(files) <= _MOST_FILES else ():
        found = sniff(file)
        if found is not None and found != "LabelMe":
            yield Source(format=found, path=file)
