"""The samples of a split: what a split of the tool's own is made by."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tiramisu.data.annotations.annotated_files import find_annotated
from tiramisu.data.near_duplicates import SIDE, fingerprint
from tiramisu.data.readers.class_folder import find_class_images
from tiramisu.data.readers.file_split import Pair, find_files
from tiramisu.data.readers.image_file import read_raster
from tiramisu.data.readers.reader import label_of, reading_pool
from tiramisu.data.spec import DatasetSpec
from tiramisu.data.spec_parts import AnnotatedSplit, FileSplit, FolderSplit
from tiramisu.data.task_specs import ClassificationSpec, SegmentationSpec
from tiramisu.progress import track

Print = npt.NDArray[np.float32]


def _no_details() -> Print:
    return np.zeros(SIDE * SIDE, np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class SplitSample:
    """What is known of a sample. A file that cannot be read is named by the check of the data."""

    name: str
    counts: Mapping[int, int] = field(default_factory=dict)
    """Its labelled pixels of each class, or 1 for the class of the image."""
    digest: str = ""
    """SHA-256 of the image's file; empty if it cannot be read."""
    fingerprint: Print = field(default_factory=_no_details)
    """See `near_duplicates`."""


FileKind = FileSplit | AnnotatedSplit | FolderSplit
"""Splits whose samples are files."""


def list_samples(
    spec: DatasetSpec, split: FileKind, root: Path
) -> dict[str, Callable[[], SplitSample]]:
    """The names of the samples of a split, sorted, each with what reads it.

    Files without a partner are samples too, with nothing to read, so that the check of the data
    finds them.

    Raises:
        ValueError, OSError: the samples cannot be told.
    """
    if isinstance(split, FolderSplit):
        assert isinstance(spec, ClassificationSpec)
        home = root / split.folder
        images = find_class_images(split, spec.folders, root)
        readers = {}
        for image in images:
            name = image.path.relative_to(home).as_posix()
            readers[name] = partial(_read, name, image.path, counts={image.label: 1})
        return dict(sorted(readers.items()))
    assert isinstance(spec, SegmentationSpec)
    if isinstance(split, AnnotatedSplit):
        found = find_annotated(split, root, spec, embedded=True)
    else:
        found = find_files(split, root)
    jobs = {pair.key: partial(_read_pair, pair, spec) for pair in found.pairs}
    alone = {key: partial(SplitSample, name=key) for key in found.unpaired_keys}
    return dict(sorted((alone | jobs).items()))


def read_facts(readers: Sequence[Callable[[], SplitSample]]) -> list[SplitSample]:
    """Read all samples."""
    with reading_pool(drawn=False) as pool:
        read = pool.map(_call, readers)
        return list(track(read, doing="reading", unit="labels", total=len(readers)))


def _call(reader: Callable[[], SplitSample]) -> SplitSample:
    return reader()


def _read_pair(pair: Pair, spec: SegmentationSpec) -> SplitSample:
    try:
        label = label_of(pair, spec.labels)
    except (ValueError, OSError):
        return _read(pair.key, pair.image, counts={})
    counts = np.bincount(label.ravel(), minlength=spec.num_classes)[: spec.num_classes]
    there = {int(c): int(counts[c]) for c in np.flatnonzero(counts)}
    return _read(pair.key, pair.image, counts=there)


def _read(name: str, image: Path, *, counts: Mapping[int, int]) -> SplitSample:
    try:
        raster = read_raster(image)
        digest = hashlib.sha256(image.read_bytes()).hexdigest()
    except (ValueError, OSError):
        return SplitSample(name=name, counts=counts)
    values = raster.values[..., : raster.header.bands]
    if raster.palette is not None:
        values = raster.palette[values[..., 0]]
    seen = fingerprint(values)
    return SplitSample(name=name, counts=counts, digest=digest, fingerprint=seen)
