"""The reader of any split."""

from pathlib import Path

from tiramisu.data.readers.class_reader import CifarReader, FolderReader, ObjectReader
from tiramisu.data.readers.reader import FileReader, Format, Reader, SceneReader
from tiramisu.data.spec import DatasetSpec
from tiramisu.data.spec_parts import CifarSplit, DrawnSplit, FolderSplit
from tiramisu.data.task_specs import ClassificationSpec, SegmentationSpec


def open_reader(
    spec: DatasetSpec, name: str, root: str | Path | None, *, format: Format = None
) -> Reader:
    """The reader of one split.

    Args:
        spec: the data set.
        name: the split.
        root: the folder of the files; None for the spec's own, or data/<name>.
        format: the format of the images, such as that of a trained network; None to find it.

    Raises:
        ValueError: files are missing or do not fit.
    """
    split = spec.split(name)
    if isinstance(split, DrawnSplit | CifarSplit) and spec.bands not in (None, "rgb"):
        raise ValueError(f"the images of {spec.name} are RGB; expected no other --bands")
    if isinstance(spec, SegmentationSpec):
        if isinstance(split, DrawnSplit):
            return SceneReader(split, spec)
        return FileReader(spec, spec.find_root(root), name, format=format)
    assert isinstance(spec, ClassificationSpec)
    if isinstance(split, DrawnSplit):
        return ObjectReader(split, spec)
    if isinstance(split, CifarSplit):
        return CifarReader(split, spec.find_root(root), spec)
    assert isinstance(split, FolderSplit)
    return FolderReader(split, spec.find_root(root), spec, format)
