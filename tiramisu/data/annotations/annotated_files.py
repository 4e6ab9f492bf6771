"""The images of a split that has annotations, each with what draws its mask."""

from collections import Counter
from functools import lru_cache
from pathlib import Path, PurePosixPath

from tiramisu.data.annotations.coco import read_coco
from tiramisu.data.annotations.cvat import read_cvat
from tiramisu.data.annotations.find_annotations import Format, sniff
from tiramisu.data.annotations.label_studio import read_label_studio
from tiramisu.data.annotations.labelme import read_labelme
from tiramisu.data.annotations.mask_drawing import MaskDrawing, is_background, number_labels
from tiramisu.data.annotations.region import AnnotatedImage, Annotations
from tiramisu.data.annotations.wording import naming
from tiramisu.data.labels import IGNORE_INDEX
from tiramisu.data.readers.file_split import Pair, SplitFiles
from tiramisu.data.readers.parts import choose_part, choose_samples
from tiramisu.data.spec_parts import AnnotatedSplit
from tiramisu.data.task_specs import SegmentationSpec
from tiramisu.text import list_some, show_path

_SHOWN = 3


def read_annotations(path: Path, images: Path) -> Annotations:
    """The annotations of a file, or of a folder of LabelMe files.

    Args:
        path: the file or the folder.
        images: the folder of the images.

    Raises:
        OSError: a file cannot be read.
        ValueError: they are damaged, or have something that is no region; the message names it.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no file of annotations {show_path(path)}")
    if not images.is_dir():
        raise FileNotFoundError(f"there is no folder of images {show_path(images)}")
    return _read(path, images, _sign(path, images))


def find_annotated(
    split: AnnotatedSplit, root: Path, spec: SegmentationSpec, *, embedded: bool = False
) -> SplitFiles:
    """The images of a split, each with what draws its mask.

    Args:
        split: the split.
        root: the folder of the data set.
        spec: the data set.
        embedded: whether images may be only inside the files of annotations.

    Raises:
        OSError: a file cannot be read.
        ValueError: the annotations are damaged, have a label without a class, or there are images
            without a region and nobody said what these are; the message says what to do.
    """
    path, folder = root / split.annotations, root / split.images
    images, keys = _select_images(root, split)
    with naming(path):
        used = {region.label: None for image in images for region in image.regions}
        codes = number_labels(list(used), spec.class_names, others_void=spec.ignore == "others")
        outside = _code_outside(split, spec.class_names)
        _check_unlabelled(images, split)
        if not embedded:
            _check_embedded(images)
    there = [image for image in images if image.embedded or (folder / image.name).is_file()]
    pairs = [
        Pair(
            key=keys[image.name],
            image=folder / image.name,
            mask=image.origin,
            drawing=MaskDrawing(
                image=folder / image.name, annotated=image, codes=codes, outside=outside
            ),
        )
        for image in there
    ]
    missing = {image.name for image in images} - {image.name for image in there}
    return SplitFiles(
        pairs=tuple(sorted(pairs, key=lambda pair: pair.key)),
        images_without_mask=(),
        masks_without_image=(),
        keys_without_image=tuple(sorted(missing)),
        unpaired_keys=tuple(sorted(keys[name] for name in missing)),
        annotated_in=split.annotations,
        example_key="",
    )


def _select_images(
    root: Path, split: AnnotatedSplit
) -> tuple[list[AnnotatedImage], dict[str, str]]:
    """The images that belong to a split, by its subset, part and samples, and their keys by name.

    Raises:
        ValueError, OSError: as `read_annotations`.
    """
    annotations = read_annotations(root / split.annotations, root / split.images)
    images = [
        image for image in annotations.images if split.subset in (None, image.subset or "default")
    ]
    if split.part is not None:
        names = choose_part([image.name for image in images], split.part)
        images = [image for image in images if image.name in names]
    keys = _make_keys(images)
    if split.samples is not None:
        chosen = choose_samples(keys.values(), split.samples)
        images = [image for image in images if keys[image.name] in chosen]
    return images, keys


@lru_cache(maxsize=8)
def _read(path: Path, images: Path, signature: object) -> Annotations:
    if path.is_dir():
        return read_labelme(path, images)
    found: Format | None = sniff(path)
    if found == "COCO":
        return read_coco(path)
    if found == "CVAT":
        return read_cvat(path)
    if found == "Label Studio":
        return read_label_studio(path, images)
    hint = "; for LabelMe give the folder of its files" if found == "LabelMe" else ""
    raise ValueError(
        f"{show_path(path)}: no annotations of COCO, CVAT for images or Label Studio{hint}"
    )


def _sign(path: Path, images: Path) -> object:
    """What changes when the files of annotations, or the names of the images, do."""
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    status = [(file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files]
    return tuple(status), images.stat().st_mtime_ns


def _code_outside(split: AnnotatedSplit, classes: tuple[str, ...]) -> int:
    """The class index of pixels outside of all regions."""
    if split.unlabelled == "void":
        return IGNORE_INDEX
    background = [number for number, name in enumerate(classes) if is_background(name)]
    if not background:
        raise ValueError(
            "pixels outside of all shapes need a class, and no class has the name background; add "
            "it to the classes, or write `unlabelled: void` at the split"
        )
    return background[0]


def _check_unlabelled(images: list[AnnotatedImage], split: AnnotatedSplit) -> None:
    empty = [show_path(image.name) for image in images if not image.regions]
    if empty and split.unlabelled is None:
        count = "1 image has" if len(empty) == 1 else f"{len(empty)} images have"
        raise ValueError(
            f"{count} no annotation ({list_some(empty, most=_SHOWN)}); give "
            "--unlabelled background if they show none of the classes, or --unlabelled void if "
            "nobody annotated them (the loss and the scores then ignore all pixels without one)"
        )


def _check_embedded(images: list[AnnotatedImage]) -> None:
    embedded = [show_path(image.origin.name) for image in images if image.embedded]
    if embedded:
        raise ValueError(
            f"{len(embedded)} images are only inside their JSON files "
            f"({list_some(embedded, most=_SHOWN)}); write them out by `tiramisu convert SRC DST`, "
            "and use DST"
        )


def _make_keys(images: list[AnnotatedImage]) -> dict[str, str]:
    """A key for each name: without its ending, unless two names differ by that alone."""
    stems = {image.name: str(PurePosixPath(image.name).with_suffix("")) for image in images}
    counts = Counter(stems.values())
    return {name: stem if counts[stem] == 1 else name for name, stem in stems.items()}
