"""Find a data set by what a user writes after --data."""

import os
from pathlib import Path

from tiramisu.data.annotations.annotated_spec import set_unlabelled, spec_from_annotations
from tiramisu.data.annotations.find_annotations import find_annotations
from tiramisu.data.config import ImageOptions, SourceOptions
from tiramisu.data.description.folder import spec_from_folder
from tiramisu.data.description.parse import parse_spec
from tiramisu.data.spec import DatasetSpec
from tiramisu.shipped import find_shipped, list_shipped


def list_datasets() -> list[str]:
    """Names of the data sets that come with the package."""
    return list_shipped("datasets")


def load_spec(
    data: str,
    options: SourceOptions | None = None,
    *,
    root: str | Path | None = None,
    val_split: str | None = None,
    split_file: Path | None = None,
) -> DatasetSpec:
    """Read and check the description of a data set. Its files are not checked.

    Where data are split into train and val, labels and images are read once, and `record` of the
    result has the names of the samples.

    Args:
        data: a name that comes with the package ("camvid"), the path of a YAML file
            (datasets/template.yaml is an example), a folder, or a file of annotations. A folder for
            segmentation has annotations as COCO, LabelMe, CVAT or Label Studio write them, or
            images/train, images/val, masks/train and masks/val, or train/images, train/masks, ...,
            or images and masks, or other usual names for these; its masks are read to find the
            classes. A folder for classification has train/CLASS and val/CLASS, or CLASS alone; if
            its images differ in size, all are resized to 224 x 224. The notes of the spec say how
            a folder was understood.
        options: how data without a description are understood, and how data without a split val,
            also those with a description, are split.
        root: folder of the files that are split; None for the spec's own, or data/<name>.
        val_split: the split that the caller validates on: for val, data without one are split.
            Otherwise they are split only if the options ask for it.
        split_file: a split.yaml, in place of what the options say about the split.

    Raises:
        ValueError: the description has a mistake; the message has the file, the line and the fix.
            Or the data cannot be split as the options ask.
    """
    if not data:
        raise ValueError("the name of the data set is empty; expected such as --data camvid")
    path = Path(os.path.expanduser(data))
    shipped = data in list_shipped("datasets")
    if not shipped and (sources := find_annotations(path)):
        spec: DatasetSpec = spec_from_annotations(path, sources, options or SourceOptions())
    elif not shipped and path.is_dir():
        spec = spec_from_folder(path)
    else:
        spec = parse_spec(find_shipped("datasets", data))
    if options is None:
        return spec
    if options.unlabelled is not None:
        spec = set_unlabelled(spec, options.unlabelled)
    # Imported late: it needs OpenCV, which a network from torch.hub does without.
    from tiramisu.data.splitting.split_data import can_split, split_data

    is_asked = split_file is not None or bool(options.named_flags)
    if is_asked or (val_split == "val" and can_split(spec)):
        spec = split_data(spec, options, root=root, split_file=split_file)
    if isinstance(options, ImageOptions):
        spec = spec.with_images(bands=options.bands, scaling=options.scaling)
    return spec
