"""Which folders of a data set hold the images and the masks of each split, by their names."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal

from tiramisu.data.description.name_patterns import match_folders, match_one_folder
from tiramisu.data.readers.file_split import count_endings
from tiramisu.data.readers.image_file import is_image_name
from tiramisu.data.spec_parts import SPLIT_WORDS, FileSplit
from tiramisu.shipped import find_shipped
from tiramisu.text import list_some, show_path

_Role = Literal["images", "masks"]
_IMAGE_WORDS = (
    *("image", "images", "img", "imgs", "input", "inputs", "jpegimages"),
    *("photo", "photos", "picture", "pictures", "frame", "frames"),
)
_MASK_WORDS = (
    *("mask", "masks", "label", "labels", "gt", "gts", "groundtruth", "groundtruths"),
    *("annotation", "annotations", "annot", "annots", "ann", "target", "targets"),
    *("seg", "segs", "segmentation", "segmentations", "segmentationclass", "manual", "1stmanual"),
)
_ROLE_WORDS: dict[str, _Role] = {
    **dict.fromkeys(_IMAGE_WORDS, "images"),
    **dict.fromkeys(_MASK_WORDS, "masks"),
}
_CLASS_LIKE = ("photo", "photos", "picture", "pictures", "frame", "frames", "target", "targets")
"""Names that a class may have as well, where no folder beside it holds masks."""
_LIST_FOLDERS = ("", "ImageSets/Segmentation/", "splits/", "lists/")
"""Where train.txt, val.txt and test.txt may lie, with the names of samples."""
_UNREAD = {".heic", ".heif", ".avif", ".psd", ".svg", ".dng", ".cr2", ".nef", ".dcm", ".nii", ".gz"}
_SHOWN = 3  # names of files in messages
_SHOWN_FOLDERS = 12


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The splits that were found in a folder, and how they were understood."""

    splits: dict[str, FileSplit]
    notes: tuple[str, ...] = ()


@dataclass(kw_only=True)
class _Folders:
    """The folders of one split that hold image files, relative to the root, by their role."""

    images: list[str] = field(default_factory=list)
    masks: list[str] = field(default_factory=list)
    plain: list[str] = field(default_factory=list)
    """Folders whose names say nothing but the split."""


def find_layout(root: Path) -> Layout | None:
    """The splits of a folder with images and masks; None if it does not look like segmentation.

    The folders of a split are named `images/train` and `masks/train`, or `train/images` and
    `train/masks`, or `train_images` and `train_masks`, or with other usual words; without splits
    `images` and `masks`. Images and masks may also lie side by side in one folder.

    Raises:
        ValueError: there are folders for images and masks, but what they hold does not fit; the
            message says what was found.
    """
    found = _sort_folders(root)
    splits: dict[str, FileSplit] = {}
    notes: list[str] = []
    left_out: list[str] = []
    for name in ("train", "val", "test"):
        here = found.get(name, _Folders())
        split = _find_split(root, here)
        if split is not None:
            splits[name] = split
            notes += _describe(name, split)
        else:
            left_out += _without_masks(here)
    notes += [f"{folder} has no masks, and is left out" for folder in left_out]
    if not splits:
        flat = found.get("", _Folders())
        layout = _find_flat_layout(root, flat)
        if layout is not None:
            return Layout(splits=layout.splits, notes=(*layout.notes, *notes))
        wanting = [f for f in (*left_out, *_without_masks(flat)) if next(_roles_in(f), None)]
        if wanting:
            raise ValueError(_no_masks(root, wanting[0]))
        return None
    if "train" not in splits and (wanting := _without_masks(found.get("train", _Folders()))):
        raise ValueError(_no_masks(root, wanting[0]))
    return Layout(splits=splits, notes=tuple(notes))


def _find_flat_layout(root: Path, here: _Folders) -> Layout | None:
    """The layout of folders that name no split: the splits are in lists, or all is train."""
    split = _find_split(root, here)
    if split is None:
        return None
    notes = list(_describe("", split))
    for home in _LIST_FOLDERS:
        lists = {name: f"{home}{name}.txt" for name in ("train", "val", "test")}
        lists = {name: path for name, path in lists.items() if (root / path).is_file()}
        if "train" in lists:
            splits = {n: split.model_copy(update={"list_file": p}) for n, p in lists.items()}
            notes.append(f"the splits are the lists {', '.join(lists.values())}")
            return Layout(splits=splits, notes=tuple(notes))
    notes.append("there are no splits: all samples are the split train")
    return Layout(splits={"train": split}, notes=tuple(notes))


def _without_masks(here: _Folders) -> list[str]:
    """The folders of a split that seem to hold images, where no masks were found."""
    names = [folder for folder in here.images if Path(folder).name.lower() not in _CLASS_LIKE]
    return names + here.plain


def find_class_layout(root: Path) -> dict[str, str] | None:
    """The sub-folder of each split with the images of classes; None if there are none.

    They are `train/CLASS` and `val/CLASS`. Without them the folder itself is train (".") if it has
    no images, and two sub-folders or more with images.
    """
    folders = _list_folders(root)
    homes: dict[str, list[str]] = {}
    for folder in folders:
        if (split := SPLIT_WORDS.get(folder.name.lower())) is not None:
            homes.setdefault(split, []).append(folder.name)
    if homes:
        return {n: _only(root, homes[n]) for n in homes} if "train" in homes else None
    if _list_images(root) or sum(bool(_list_images(folder)) for folder in folders) < 2:
        return None
    if any(_read_name(inner.name) for folder in folders for inner in _list_folders(folder)):
        return None  # these are data sets, and not classes
    return {"train": "."}


def describe_folder(root: Path) -> str:
    """What lies in a folder, for messages: the endings of its files and its sub-folders."""
    lines: list[str] = []
    unread: set[str] = set()
    for folder in islice(_walk(root, known=False), 10 * _SHOWN_FOLDERS):
        names = _list_files(root / folder)
        if names:
            lines.append(f"{'itself' if folder == '.' else folder} ({count_endings(names)})")
            unread |= {e for name in names if (e := Path(name).suffix.lower()) in _UNREAD}
    if not lines:
        return "no files"
    shown = list_some(lines, most=_SHOWN_FOLDERS)
    return f"{shown}; images in {', '.join(sorted(unread))} are not read" if unread else shown


def show_template() -> str:
    """Where an example of a data set's YAML is, for messages."""
    return show_path(find_shipped("datasets", "template"))


def _find_split(root: Path, here: _Folders) -> FileSplit | None:
    images = here.images
    if not images and here.masks and _holds_no_classes(root, here):
        images = here.plain  # such as train and trainannot
    if images and here.masks:
        image_folder, mask_folder = _only(root, images), _only(root, here.masks)
        names, mask_names = (_list_images(root / f) for f in (image_folder, mask_folder))
        split = match_folders(image_folder, names, mask_folder, mask_names)
        if split is None:
            raise ValueError(_no_pair(root, image_folder, mask_folder))
        return split
    for folder in (*here.images, *here.plain):
        if split := match_one_folder(folder, _list_images(root / folder)):
            return split
    return None


def _holds_no_classes(root: Path, here: _Folders) -> bool:
    """Whether no sub-folder of the plain folders may hold the images of a class."""
    return not any(
        _read_name(path.name) is None and _list_images(path)
        for folder in here.plain
        if folder != "."
        for path in _list_folders(root / folder)
    )


def _only(root: Path, folders: list[str]) -> str:
    if len(folders) > 1:
        raise ValueError(
            f"{root}: {list_some(folders, most=_SHOWN)} could each be the folder that is meant; "
            "rename or move away all but one, or write a YAML with the patterns of the files; "
            f"{show_template()} is an example"
        )
    return folders[0]


def _sort_folders(root: Path) -> dict[str, _Folders]:
    """The folders with images whose names are understood, by split ("" for none)."""
    found: dict[str, _Folders] = {}
    for folder in _walk(root, known=True):
        meanings = [_read_name(part) for part in Path(folder).parts]
        if None in meanings or not _list_images(root / folder):
            continue
        splits = [m[0] for m in meanings if m and m[0]]
        roles = [m[1] for m in meanings if m and m[1]]
        if len(splits) > 1 or len(roles) > 1:
            continue
        here = found.setdefault(splits[0] if splits else "", _Folders())
        role = roles[0] if roles else None
        list_of_role = {"images": here.images, "masks": here.masks, None: here.plain}[role]
        list_of_role.append(folder)
    return found


def _walk(root: Path, *, known: bool) -> Iterator[str]:
    """The folder itself, its sub-folders, and those inside them, as paths relative to it.

    With `known`, only those inside folders whose names are understood.
    """
    yield "."
    for folder in _list_folders(root):
        yield folder.name
        if known and _read_name(folder.name) is None:
            continue
        yield from (f"{folder.name}/{path.name}" for path in _list_folders(folder))


def _read_name(name: str) -> tuple[str | None, _Role | None] | None:
    """The split and the role that the name of a folder says; None if it says neither."""
    word = re.sub(r"[ _.-]", "", name.lower())
    if word in SPLIT_WORDS:
        return SPLIT_WORDS[word], None
    if word in _ROLE_WORDS:
        return None, _ROLE_WORDS[word]
    for split_word, split in SPLIT_WORDS.items():
        for rest in (word.removeprefix(split_word), word.removesuffix(split_word)):
            if rest != word and rest in _ROLE_WORDS:
                return split, _ROLE_WORDS[rest]
    return None


def _roles_in(folder: str) -> Iterator[str]:
    for part in Path(folder).parts:
        meaning = _read_name(part)
        if meaning and meaning[1]:
            yield meaning[1]


def _list_files(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if not e.name.startswith(".") and not _is_folder(e))


def _list_folders(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        names = sorted(e.name for e in entries if not e.name.startswith(".") and _is_folder(e))
    return [folder / name for name in names]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # such as a link to itself


def _list_images(folder: Path) -> list[str]:
    """The names of the files with the ending of an image, also links that lead nowhere."""
    return [name for name in _list_files(folder) if is_image_name(name)]


def _describe(name: str, split: FileSplit) -> Iterator[str]:
    """A note on a split that is not images/SPLIT and masks/SPLIT with equal names."""
    (images,), (masks,) = split.images, split.masks
    usual = images.startswith(f"images/{name}/*.") and masks.startswith(f"masks/{name}/*.")
    if not usual:
        yield f"{name or 'train'}: the images are {images}, their masks {masks}"


def _no_masks(root: Path, folder: str) -> str:
    if folder.lower().startswith("images"):
        expected = f"masks{folder[len('images') :]}"
    else:
        expected = f"{Path(folder).parent.as_posix()}/masks".removeprefix("./")
    return (
        f"{root}: no folder with the masks of {folder}, which holds "
        f"{_show_files(root / folder)}; expected them in {expected}. Found: {describe_folder(root)}"
    )


def _no_pair(root: Path, images: str, masks: str) -> str:
    return (
        f"{root}: no image in {images} has a mask in {masks} by its name. {images} holds "
        f"{_show_files(root / images)}; {masks} holds {_show_files(root / masks)}. Expected equal "
        "names, or masks with a word before or behind the name of the image, such as a.jpg and "
        f"a_mask.png; for other names write a YAML ({show_template()} is an example)"
    )


def _show_files(folder: Path) -> str:
    names = _list_files(folder)
    shown = ", ".join(show_path(name) for name in names[:_SHOWN])
    count = "1 file" if len(names) == 1 else f"{len(names)} files"
    return f"{count} ({count_endings(names)}), such as {shown}"
