"""Find a data set by what a user writes after --data."""

import os
from pathlib import Path

from tiramisu.data.annotations.annotated_spec import set_unlabelled, spec_from_annotations
from tiramisu.data.annotations.find_annotations import find_annotations
from tiramisu.data.config import AS_THEY_ARE, ImageOptions, SourceOptions
from tiramisu.data.description.folder import spec_from_folder
from tiramisu.data.description.hold_out import hold_out
from tiramisu.data.description.parse import parse_spec
from tiramisu.data.spec import DatasetSpec
from tiramisu.shipped import find_shipped, list_shipped


def list_datasets() -> list[str]:
    """Names of the data sets that come with the package."""
    return list_shipped("datasets")


def load_spec(data: str, options: SourceOptions = AS_THEY_ARE) -> DatasetSpec:
    """Read and check the description of a data set. Its files are not checked.

    Args:
        data: a name that comes with the package ("camvid"), the path of a YAML file
            (datasets/template.yaml is an example), a folder, or a file of annotations. A folder for
            segmentation has annotations as COCO, LabelMe, CVAT or Label Studio write them, or
            images/train, images/val, masks/train and masks/val, or train/images, train/masks, ...,
            or images and masks, or other usual names for these; its masks are read to find the
            classes. A folder for classification has train/CLASS and val/CLASS, or CLASS alone; if
            its images differ in size, all are resized to 224 x 224. The notes of the spec say how
            a folder was understood.
        options: how data without a description are understood. `val_fraction` sets a part of
            train aside as val, also of a data set with a description.

    Raises:
        ValueError: the description has a mistake; the message has the file, the line and the fix.
            Or `val_fraction` is given for data with a split val.
    """
    if not data:
        raise ValueError("the name of the data set is empty; expected such as --data camvid")
    path = Path(os.path.expanduser(data))
    shipped = data in list_shipped("datasets")
    if not shipped and (sources := find_annotations(path)):
        spec: DatasetSpec = spec_from_annotations(path, sources, options)
    elif not shipped and path.is_dir():
        spec = spec_from_folder(path)
    else:
        spec = parse_spec(find_shipped("datasets", data))
    if options.unlabelled is not None:
        spec = set_unlabelled(spec, options.unlabelled)
    if options.val_fraction is not None:
        spec = hold_out(spec, options.val_fraction)
    if isinstance(options, ImageOptions):
        spec = spec.with_images(bands=options.bands, scaling=options.scaling)
    return spec
