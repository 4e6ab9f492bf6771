"""Annotations without a YAML file -> SegmentationSpec."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tiramisu.data.annotations.annotated_files import read_annotations
from tiramisu.data.annotations.find_annotations import SPLIT_FOLDERS, SPLITS, Source, split_of
from tiramisu.data.annotations.mask_drawing import is_background, is_void
from tiramisu.data.annotations.region import Annotations
from tiramisu.data.config import SourceOptions
from tiramisu.data.entry import check_classes, name_of_folder
from tiramisu.data.labels import MAX_CLASSES
from tiramisu.data.plain_file import read_class_names
from tiramisu.data.readers.image_file import is_image_name
from tiramisu.data.spec import DatasetSpec
from tiramisu.data.spec_parts import AnnotatedSplit, PixelClass
from tiramisu.data.task_specs import SegmentationSpec
from tiramisu.text import list_some, show_path

_LISTS = ("labels.txt", "classes.txt")


@dataclass(frozen=True, kw_only=True)
class _Part:
    """The images of one split in one source."""

    split: str
    source: Source
    images: Path
    annotations: Annotations
    subset: str | None


def spec_from_annotations(
    path: Path, sources: Sequence[Source], options: SourceOptions
) -> SegmentationSpec:
    """The spec of annotations.

    The classes are those of labels.txt or classes.txt, or else all labels in the order of the
    format: COCO's categories by their ids, CVAT's labels as in <meta>, others by name. Background
    is class 0 unless it is listed elsewhere.

    Args:
        path: the folder or the file that the user gave.
        sources: what `find_annotations` found there.
        options: how images without annotations are understood.

    Raises:
        OSError: a file cannot be read.
        ValueError: something does not fit; the message says what to do.
    """
    root = path if path.is_dir() else _root_of(sources[0].path)
    parts = [part for source in sources for part in _read_parts(root, source, sources)]
    splits: dict[str, AnnotatedSplit] = {}
    for part in parts:
        if part.split in splits:
            files = ", ".join(dict.fromkeys(show_path(part.source.path) for part in parts))
            raise ValueError(
                f"{files}: expected one file of annotations for each split, with train, val or "
                "test in its name, such as instances_train.json"
            )
        splits[part.split] = AnnotatedSplit(
            annotations=_inside(part.source.path, root),
            images=_inside(part.images, root),
            subset=part.subset,
            unlabelled=options.unlabelled,
        )
    every = [part.annotations for part in parts]
    classes = _choose_classes(root, every, options)
    order = sorted(splits, key=lambda name: (*SPLITS, name).index(name))
    return SegmentationSpec(
        name=name_of_folder(root),
        title=f"{show_path(path)}, annotated in {every[0].title}'s format",
        classes=classes,
        splits={name: splits[name] for name in order},
        root=root,
        notes=tuple(_describe(parts, classes, options)),
    )


def set_unlabelled(spec: DatasetSpec, unlabelled: Literal["background", "void"]) -> DatasetSpec:
    """The data set where images without annotations, and pixels outside of shapes, are that.

    Raises:
        ValueError: no split has annotations.
    """
    splits = {
        name: split.model_copy(update={"unlabelled": unlabelled})
        if isinstance(split, AnnotatedSplit)
        else split
        for name, split in spec.splits.items()
    }
    if not any(isinstance(split, AnnotatedSplit) for split in splits.values()):
        raise ValueError(
            f"--unlabelled is {unlabelled}, but {spec.name} has no annotations of a labelling "
            "tool, whose shapes leave pixels out; leave the flag out"
        )
    return spec.model_copy(update={"splits": splits})


def _root_of(source: Path) -> Path:
    """The folder of a data set whose file or folder of annotations is given."""
    folder = source if source.is_dir() else source.parent
    beside = folder.name.lower() in ("annotations", "labels", "json") and (
        (folder.parent / "images").is_dir() or not _has_files(folder)
    )
    return folder.parent if beside else folder


def _has_files(folder: Path) -> bool:
    return any(is_image_name(path.name) for path in folder.iterdir())


def _read_parts(root: Path, source: Source, sources: Sequence[Source]) -> list[_Part]:
    alone = len(sources) == 1
    relative = _inside(source.path, root)
    split = split_of(relative)
    if split is None and not alone:
        raise ValueError(
            f"{show_path(source.path)}: one of several files of annotations; expected train, val "
            "or test in its name, such as instances_train.json, or a single file"
        )
    folders = _list_folders(root, source.path, split)
    if source.format == "LabelMe":
        images = _folder_of_labelme(source.path, folders)
        found = read_annotations(source.path, images)
        return [_part(split or "train", source, images, found)]
    found = read_annotations(source.path, folders[0])
    subsets = dict.fromkeys(image.subset or "default" for image in found.images)
    if len(subsets) <= 1:
        images = _folder_of(found, None, folders, source)
        if source.format == "Label Studio":  # its names depend on what is there
            found = read_annotations(source.path, images)
        only = next(iter(subsets), "default")
        return [_part(split or split_of(only) or only, source, images, found)]
    parts = []
    for subset in subsets:
        inside = [folder / subset for folder in folders if (folder / subset).is_dir()]
        images = _folder_of(found, subset, [*folders, *inside], source)
        parts.append(_part(split_of(subset) or subset, source, images, found, subset))
    return parts


def _part(
    split: str, source: Source, images: Path, found: Annotations, subset: str | None = None
) -> _Part:
    return _Part(split=split, source=source, images=images, annotations=found, subset=subset)


def _list_folders(root: Path, path: Path, split: str | None) -> list[Path]:
    """Where the images of a file of annotations may be, most likely first."""
    beside = path if path.is_dir() else path.parent
    words = [word for word in path.stem.split("_") if split and split_of(word) == split]
    words += [word for word in SPLIT_FOLDERS if split_of(word) == split]
    folders = [root / "images" / word for word in words]
    folders += [root / word / "images" for word in words]
    folders += [root / word for word in words]
    folders += [beside / "images", root / "images", beside, root]
    return [folder for folder in dict.fromkeys(folders) if folder.is_dir()]


def _folder_of_labelme(path: Path, folders: Sequence[Path]) -> Path:
    """The images lie beside the LabelMe files, or else in the folder of the split."""
    return next((folder for folder in (path, *folders) if _has_files(folder)), path)


def _folder_of(
    annotations: Annotations, subset: str | None, folders: Sequence[Path], source: Source
) -> Path:
    """The first folder in which an image is."""
    images = [image for image in annotations.images if subset in (None, image.subset or "default")]
    if not images:
        raise ValueError(f"{show_path(source.path)}: no image; expected one or more")
    for folder in folders:
        if source.format == "Label Studio":
            images = list(read_annotations(source.path, folder).images)
        if any((folder / image.name).is_file() for image in images):
            return folder
    looked = list_some([show_path(folder) for folder in folders], most=6)
    raise ValueError(
        f"{show_path(source.path)}: none of its images is found, such as "
        f"{show_path(images[0].name)}; looked into {looked}. Put them into one of these, or write "
        "a YAML with `splits: {train: {annotations: FILE, images: FOLDER}}`"
    )


def _choose_classes(
    root: Path, every: Sequence[Annotations], options: SourceOptions
) -> tuple[PixelClass, ...]:
    listed = next((root / name for name in _LISTS if (root / name).is_file()), None)
    if listed is not None:
        names = read_class_names(listed)
    else:
        names = list(dict.fromkeys(label for found in every for label in found.labels))
        names.sort(key=lambda name: not is_background(name))  # keeps the order of the others
    names = [name for name in names if not is_void(name)]
    if options.unlabelled != "void" and not any(map(is_background, names)):
        names.insert(0, every[0].background)
    origin = show_path(listed or root)
    check_classes(tuple(names), origin=f"{origin}: ")
    if len(names) > MAX_CLASSES:
        raise ValueError(f"{origin}: {len(names)} classes; expected {MAX_CLASSES} or fewer")
    colors = {name: color for found in every for name, color in found.colors.items()}
    used = [colors[name] for name in names if name in colors]
    distinct = len(set(used)) == len(used)
    return tuple(
        PixelClass(name=name, color=colors.get(name) if distinct else None) for name in names
    )


def _describe(
    parts: Sequence[_Part], classes: Sequence[PixelClass], options: SourceOptions
) -> Iterator[str]:
    """How the annotations were understood."""
    for part in parts:
        names = {image.name for image in part.annotations.images}
        folder = show_path(part.images)
        yield (
            f"{part.split} is annotated in {show_path(part.source.path)} "
            f"({part.annotations.title}); its images are in {folder}"
        )
        here = {path.name for path in part.images.iterdir() if is_image_name(path.name)}
        here -= {Path(name).name for name in names}
        if here:
            yield (
                f"images in {folder} that are not in {show_path(part.source.path)} are left out "
                f"({len(here)}, the first is {show_path(min(here))})"
            )
    labels = {label for part in parts for label in part.annotations.labels}
    if void := sorted(label for label in labels if is_void(label)):
        yield f"the label {' and '.join(void)} is void, which the loss and the scores ignore"
    background = next((entry.name for entry in classes if is_background(entry.name)), None)
    if options.unlabelled == "void" or background is None:
        yield "pixels outside of all shapes are void"
    else:
        yield f"pixels outside of all shapes are {background}; --unlabelled void ignores them"


def _inside(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()
