"""Find a data set by what a user writes after --data."""

import os
from pathlib import Path

from tiramisu.data.annotations.annotated_spec import spec_from_annotations
from tiramisu.data.annotations.find_annotations import find_annotations
from tiramisu.data.config import AS_THEY_ARE, SourceOptions
from tiramisu.data.description.folder import spec_from_folder
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
            images/train, images/val, masks/train and masks/val; its masks are read to find the
            classes. A folder for classification has train/CLASS and val/CLASS; if its images differ
            in size, all are resized to 224 x 224.
        options: how data without a description are understood.

    Raises:
        ValueError: the description has a mistake; the message has the file, the line and the fix.
    """
    if not data:
        raise ValueError("the name of the data set is empty; expected such as --data camvid")
    path = Path(os.path.expanduser(data))
    if data not in list_shipped("datasets"):
        if sources := find_annotations(path):
            return spec_from_annotations(path, sources, options)
        if path.is_dir():
            return spec_from_folder(path, options)
    return parse_spec(find_shipped("datasets", data))
