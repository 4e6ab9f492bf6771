"""A data set's YAML file -> DatasetSpec. Every error names the file, the line and the fix."""

from pathlib import Path
from typing import get_args

from pydantic import ValidationError

from tiramisu.data.description.yaml_file import YamlFile
from tiramisu.data.mistakes import read_mistake
from tiramisu.data.spec import DatasetSpec, Task
from tiramisu.data.task_specs import ClassificationSpec, SegmentationSpec


def parse_spec(path: Path) -> DatasetSpec:
    """Read and check a data set's YAML file.

    Raises:
        ValueError: something is wrong in it; the message has the file, the line and the fix.
    """
    file = YamlFile(path, kind="description of a data set")
    task = file.content.get("task", "segmentation") if isinstance(file.content, dict) else None
    if task is not None and task not in get_args(Task):
        raise file.explain(("task",), f"expected {' or '.join(get_args(Task))}, not {task!r}")
    model = ClassificationSpec if task == "classification" else SegmentationSpec
    try:
        return model.model_validate(file.content, context=path.parent)
    except ValidationError as error:
        mistakes = [read_mistake(found) for found in error.errors(include_url=False)]
        first = min(mistakes, key=lambda mistake: file.line(mistake[0]))
        raise file.explain(*first) from error
