"""Read the files of one sample for the check of a data set."""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tiramisu.data.checking.sample_facts import SampleFacts, measure_sample
from tiramisu.data.image_format import ImageFormat, as_format, no_data_pixels
from tiramisu.data.labels import IGNORE_INDEX, UNKNOWN, LabelTable
from tiramisu.data.readers.class_folder import ClassImage, find_class_images
from tiramisu.data.readers.file_split import Pair
from tiramisu.data.readers.image_file import read_header, read_raster
from tiramisu.data.readers.mask_file import read_mask
from tiramisu.data.readers.open_reader import open_reader
from tiramisu.data.readers.pixel_samples import explain_no_sample, find_samples
from tiramisu.data.readers.raster import Raster
from tiramisu.data.readers.reader import Reader, explain_turned
from tiramisu.data.spec import DatasetSpec
from tiramisu.data.spec_parts import AnnotatedSplit, CifarSplit, DrawnSplit, FileSplit, FolderSplit
from tiramisu.data.task_specs import ClassificationSpec, SegmentationSpec
from tiramisu.text import list_some, show_path

SHOWN = 5  # number of items that messages show of a long list
ROLES = ("train", "val", "test")
"""Names of splits that must not share images; also with a prefix, as night_train and night_val."""


@dataclass(frozen=True, kw_only=True)
class Scan:
    """What the files of one sample contain."""

    name: str
    problem: str = ""
    size: tuple[int, int] = (0, 0)
    digest: str = ""
    """SHA-256 of the image, to find it in other splits; empty to leave it out."""
    counts: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))
    """Pixels of each decoded label, int64 (256,); for classification images, int64 (C,)."""
    unknown: Counter[int] = field(default_factory=Counter)
    """Number of pixels of each code that is not in the label table."""
    mask: str = ""
    type: str = "uint8"
    """Type of the values of the image in its file."""
    is_turned: bool = False
    """Whether EXIF turns the image and not its mask."""
    values: tuple[float, float] = (0, 255)
    """The smallest and the largest of them."""
    facts: SampleFacts | None = None
    """What else was measured; None if there is a problem."""


Job = Callable[[ImageFormat | None, bool], Scan]
"""Scans one sample, whose image should have this format, and if true takes its fingerprint; drawn
samples in another process."""


@dataclass(kw_only=True)
class SplitScans:
    """What is to be read of a split."""

    jobs: Sequence[Job] = ()
    """One for each sample."""
    problems: list[str] = field(default_factory=list)
    """What was found before any file is read."""
    images: Sequence[Path] = ()
    """The image files; none if they are drawn or in an archive."""


def plan_scans(spec: DatasetSpec, name: str, folder: Path | None) -> SplitScans:
    """Find the samples of a split.

    Args:
        spec: the data set.
        name: the split.
        folder: the root; None for drawn data sets.
    """
    split = spec.split(name)
    try:
        if isinstance(split, DrawnSplit | CifarSplit):
            reader = open_reader(spec, name, folder)
            # Some test images of CIFAR are also training images. This is known and accepted.
            scan = partial(_scan_sample, reader, spec, compare=isinstance(split, DrawnSplit))
            return SplitScans(jobs=[partial(scan, i) for i in range(len(reader.names))])
        assert folder is not None
        if isinstance(split, FolderSplit):
            assert isinstance(spec, ClassificationSpec)
            images = find_class_images(split, spec.folders, folder)
            empty = f"empty; no image in the folders of {folder / split.folder}"
            jobs = [partial(_scan_image, image, folder, spec.num_classes) for image in images]
            paths = [image.path for image in images]
            return SplitScans(jobs=jobs, problems=[] if images else [empty], images=paths)
        assert isinstance(spec, SegmentationSpec)
        assert isinstance(split, FileSplit | AnnotatedSplit)
        found = find_samples(spec, name, folder)
    except (ValueError, OSError) as error:
        return SplitScans(problems=[str(error)])
    problems = []
    for title, items in found.unpaired.items():
        if items:
            shown = [str(i.relative_to(folder) if isinstance(i, Path) else i) for i in items]
            problems.append(f"{title} ({len(items)}): {list_some(shown, most=SHOWN)}")
    if not found.pairs and not problems:
        problems.append(f"empty; {explain_no_sample(split, folder)}")
    jobs = [
        partial(_scan_files, pair, folder, spec.labels, spec.num_classes) for pair in found.pairs
    ]
    return SplitScans(jobs=jobs, problems=problems, images=[pair.image for pair in found.pairs])


def _scan_sample(
    reader: Reader,
    spec: DatasetSpec,
    index: int,
    format: ImageFormat | None,
    with_fingerprint: bool,
    *,
    compare: bool,
) -> Scan:
    """Scan a sample that is drawn, or in the archive of CIFAR."""
    image, label = reader.read(index)
    is_mask = spec.task == "segmentation"
    return Scan(
        name=reader.names[index],
        size=image.shape[:2],
        digest=hashlib.sha256(image.tobytes()).hexdigest() if compare else "",
        counts=np.bincount(label.ravel(), minlength=256 if is_mask else spec.num_classes),
        facts=measure_sample(
            image,
            label if is_mask else None,
            num_classes=spec.num_classes,
            with_fingerprint=False,  # every seed draws another image
        ),
    )


def _scan_image(
    image: ClassImage,
    root: Path,
    num_classes: int,
    format: ImageFormat | None,
    with_fingerprint: bool,
) -> Scan:
    name = _name(image.path, root)
    try:
        raster, pixels, digest = _read_whole(image.path, format)
    except (ValueError, OSError) as error:
        return Scan(name=name, problem=f"unreadable image: {name} ({error})")
    counts = np.bincount([image.label], minlength=num_classes)
    return Scan(
        name=name,
        size=raster.values.shape[:2],
        digest=digest,
        counts=counts,
        type=raster.header.type,
        values=_find_values(raster),
        facts=_measure(pixels, None, num_classes, with_fingerprint),
    )


def _scan_files(
    pair: Pair,
    root: Path,
    labels: LabelTable,
    num_classes: int,
    format: ImageFormat | None,
    with_fingerprint: bool,
) -> Scan:
    image, mask = _name(pair.image, root), _name(pair.mask, root)
    problems = []
    try:
        raster, pixels, digest = _read_whole(pair.image, format)
    except (ValueError, OSError) as error:
        problems.append(f"unreadable image: {image} ({error})")
    try:
        codes = pair.drawing.draw() if pair.drawing else read_mask(pair.mask, labels.encoding)
    except (ValueError, OSError) as error:
        problems.append(f"unreadable mask: {mask} ({error})")
    if problems:
        return Scan(name=image, problem="; ".join(problems))
    size = raster.values.shape[:2]
    if codes.shape != size:
        sizes = f"{size[0]} x {size[1]} and {codes.shape[0]} x {codes.shape[1]}"
        turned = explain_turned(pair.image, size, codes.shape)
        problem = f"image and mask differ in size: {image} ({sizes}{turned})"
        return Scan(name=image, problem=problem)
    label = labels.decode(codes)
    missing = no_data_pixels(raster)
    if missing is not None:
        label[missing] = IGNORE_INDEX
    values, counts = np.unique(codes[label == UNKNOWN], return_counts=True)
    return Scan(
        name=image,
        mask=mask,
        size=size,
        digest=digest,
        type=raster.header.type,
        is_turned=raster.header.orientation != 1 and not _turns(pair),
        values=_find_values(raster),
        counts=np.bincount(label.ravel(), minlength=256),
        unknown=Counter(dict(zip(values.tolist(), counts.tolist(), strict=True))),
        facts=None if len(values) else _measure(pixels, label, num_classes, with_fingerprint),
    )


def _turns(pair: Pair) -> bool:
    """Whether the labels of an image are turned as it is displayed, or by an EXIF of their own."""
    return pair.drawing is not None or read_header(pair.mask).orientation != 1


def _name(path: Path, root: Path) -> str:
    return show_path(path.relative_to(root).as_posix())


def _read_whole(
    path: Path, format: ImageFormat | None
) -> tuple[Raster, npt.NDArray[Any] | None, str]:
    """An image as it is and in the format, and the SHA-256 of its file.

    Raises:
        ValueError: it is damaged or of another format.
    """
    raster = read_raster(path)
    pixels = None if format is None else as_format(raster, format, what=show_path(path))
    return raster, pixels, hashlib.sha256(path.read_bytes()).hexdigest()


def _measure(
    pixels: npt.NDArray[Any] | None,
    label: npt.NDArray[np.uint8] | None,
    num_classes: int,
    with_fingerprint: bool,
) -> SampleFacts | None:
    if pixels is None:
        return None  # the format of the images is the problem
    return measure_sample(pixels, label, num_classes=num_classes, with_fingerprint=with_fingerprint)


def _find_values(raster: Raster) -> tuple[float, float]:
    """The smallest and the largest value of an image, without its no-data pixels."""
    values = raster.values[..., : raster.header.bands]
    missing = no_data_pixels(raster)
    if missing is not None:
        values = values[~missing]
    if raster.palette is not None or not values.size or values.dtype == np.bool_:
        return 0, 255
    return float(np.nanmin(values)), float(np.nanmax(values))
