"""load_spec: from what a user writes after --data to a DatasetSpec."""

from pathlib import Path

from tiramisu.data.description.folder import spec_from_folder
from tiramisu.data.description.parse import parse_spec
from tiramisu.data.spec import DatasetSpec
from tiramisu.shipped import find_shipped, list_shipped


def list_datasets() -> list[str]:
    """Names of the shipped data sets."""
    return list_shipped("datasets")


def load_spec(data: str) -> DatasetSpec:
    """Reads and checks the description of a data set; its files are not looked at.

    data: a shipped name ("camvid"), the path of a YAML file (datasets/template.yaml shows one), or
        a folder: with images/train, images/val, masks/train and masks/val for segmentation (its
        masks are read, to find the classes), with train/CLASS and val/CLASS for classification
        (the sizes of its images are read: if they differ, all are brought to 224 x 224).

    Raises ValueError with file, line and fix if there is a mistake in it.
    """
    path = Path(data).expanduser()
    if data not in list_shipped("datasets") and path.is_dir():
        return spec_from_folder(path)
    return parse_spec(find_shipped("datasets", data))
