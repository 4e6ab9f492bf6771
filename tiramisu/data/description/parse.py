"""A data set's YAML file -> DatasetSpec. Every error names the file, the line and the fix."""

from pathlib import Path
from typing import get_args

from tiramisu.data.description.parse_images import ClassificationFile
from tiramisu.data.description.parse_masks import SegmentationFile
from tiramisu.data.description.yaml_file import YamlFile
from tiramisu.data.spec import DatasetSpec, Task


def parse_spec(path: Path) -> DatasetSpec:
    """Reads and checks a data set's YAML file. Raises ValueError with file, line and fix."""
    file = YamlFile(path)
    content = file.mapping((), file.content)
    task = file.choice(("task",), content.get("task", "segmentation"), get_args(Task))
    return (SegmentationFile if task == "segmentation" else ClassificationFile)(path).spec()
