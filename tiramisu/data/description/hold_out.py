"""Set a part of the training samples aside for validation."""

from pathlib import Path

from tiramisu.data.annotations.annotated_files import select_images
from tiramisu.data.readers.class_folder import find_class_images
from tiramisu.data.readers.file_split import find_files
from tiramisu.data.spec import ClassificationSpec, DatasetSpec
from tiramisu.data.spec_parts import AnnotatedSplit, FileSplit, FolderSplit


def hold_out(spec: DatasetSpec, fraction: float) -> DatasetSpec:
    """A data set without a split val -> the same with a part of train as val.

    Which samples these are depends on their names alone. Of images with classes, it is a part of
    each class.

    Args:
        spec: the data set.
        fraction: the part of train that becomes val, 0 to 1.

    Raises:
        ValueError: the data set has a split val, or no files in a split train.
    """
    if "val" in spec.splits:
        raise ValueError(
            f"--val-fraction is {fraction:g}, but {spec.name} has a split val: leave the flag out, "
            "or take the split away"
        )
    train = spec.splits.get("train")
    if not isinstance(train, FileSplit | AnnotatedSplit | FolderSplit):
        raise ValueError(
            f"--val-fraction is {fraction:g}, but {spec.name} has no split train of files to take "
            f"samples from; its splits are {', '.join(spec.splits)}"
        )
    first, end = train.part or (0.0, 1.0)
    middle = first + (end - first) * fraction
    parts = {
        "train": train.model_copy(update={"part": (middle, end)}),
        "val": train.model_copy(update={"part": (first, middle)}),
    }
    note = f"--val-fraction {fraction:g} sets samples of train aside as the split val"
    if spec.root is not None and spec.root.is_dir():
        rest, count = (_count(spec, split, spec.root) for split in parts.values())
        if count == 0:
            raise ValueError(
                f"--val-fraction is {fraction:g}, but {spec.name} has too few samples in train "
                f"({rest}) to set one aside for validation"
            )
        note = f"--val-fraction {fraction:g} sets {count} of the {count + rest} samples of train "
        note += "aside as the split val"
    others = {name: split for name, split in spec.splits.items() if name not in parts}
    changes = {"splits": {**parts, **others}, "notes": (*spec.notes, note)}
    return spec.model_copy(update=changes)


def _count(spec: DatasetSpec, split: FileSplit | AnnotatedSplit | FolderSplit, root: Path) -> int:
    if isinstance(split, FileSplit):
        return len(find_files(split, root).pairs)
    if isinstance(split, AnnotatedSplit):
        return len(select_images(root, split))
    assert isinstance(spec, ClassificationSpec)
    return len(find_class_images(split, spec.folders, root))


def require_val(spec: DatasetSpec, split: str) -> None:
    """Raise ValueError, which names the flag, if a data set lacks the split val."""
    if split == "val" and split not in spec.splits:
        raise ValueError(
            f"{spec.name}: there is no split val: give --val-fraction 0.2 to set a fifth of the "
            "samples aside for validation, or the name of another split by --val-split; its splits "
            f"are {', '.join(spec.splits)}"
        )
