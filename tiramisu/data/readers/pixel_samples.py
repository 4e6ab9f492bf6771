"""The samples of a split for segmentation that has image files."""

from pathlib import Path

from tiramisu.data.annotations.annotated_files import find_annotated
from tiramisu.data.readers.file_split import SplitFiles, explain_empty, find_files
from tiramisu.data.spec_parts import AnnotatedSplit, FileSplit
from tiramisu.data.task_specs import SegmentationSpec


def find_samples(spec: SegmentationSpec, name: str, root: Path) -> SplitFiles:
    """The images of a split, each with its mask or with what draws it.

    Raises:
        ValueError, OSError: they cannot be told; the message says why.
    """
    split = spec.split(name)
    if isinstance(split, AnnotatedSplit):
        return find_annotated(split, root, spec)
    assert isinstance(split, FileSplit)
    return find_files(split, root)


def explain_no_sample(split: FileSplit | AnnotatedSplit, root: Path) -> str:
    """Why a split without problems has no sample."""
    if isinstance(split, AnnotatedSplit):
        return f"{split.annotations} has no image of it"
    return explain_empty(split, root)
