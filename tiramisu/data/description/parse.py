"""A data set's YAML file -> DatasetSpec. Every error names the file, the line and the fix."""

from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from tiramisu.data.description.yaml_file import YamlFile
from tiramisu.data.entry import EntryError, Place
from tiramisu.data.spec import ClassificationSpec, DatasetSpec, SegmentationSpec, Task

_MESSAGES = {  # by pydantic's error type
    "tuple_type": "expected a list, not {input!r}",
    "dict_type": "expected `key: value` lines, not {input!r}",
    "string_type": "expected text, not {input!r}; put it in quotes",
    "string_pattern_mismatch": "expected text, not {input!r}; put it in quotes",
    "is_instance_of": "expected text, not {input!r}; put it in quotes",  # of a path
    "int_type": "expected a whole number, not {input!r}",
    "float_type": "expected a number, not {input!r}",
    "greater_than_equal": "expected a number of at least {ge}, not {input!r}",
    "less_than_equal": "expected a number of at most {le}, not {input!r}",
    "too_short": "expected {min_length} or more, not {actual_length}",
    "too_long": "expected {max_length} or fewer, not {actual_length}",
    "literal_error": "expected {expected}, not {input!r}",
}


def parse_spec(path: Path) -> DatasetSpec:
    """Read and check a data set's YAML file.

    Raises:
        ValueError: something is wrong in it; the message has the file, the line and the fix.
    """
    file = YamlFile(path)
    task = file.content.get("task", "segmentation") if isinstance(file.content, dict) else None
    if task is not None and task not in get_args(Task):
        raise file.explain(("task",), f"expected {' or '.join(get_args(Task))}, not {task!r}")
    model = ClassificationSpec if task == "classification" else SegmentationSpec
    try:
        return model.model_validate(file.content, context=path.parent)
    except ValidationError as error:
        mistakes = [_read_mistake(found) for found in error.errors(include_url=False)]
        first = min(mistakes, key=lambda mistake: file.line(mistake[0]))
        raise file.explain(*first) from error


def _read_mistake(found: Any) -> tuple[Place, str, Place | None]:
    """The place of a mistake, what is wrong, and another place that it has to do with."""
    place, context = found["loc"], found.get("ctx", {})
    own = context.get("error")  # raised by a validator of ours
    if isinstance(own, EntryError):
        return (*place, *own.place), str(own), own.other
    values = {key: str(value).replace("'", "") for key, value in context.items()}
    template = _MESSAGES.get(found["type"], "{message}")
    return place, template.format(message=found["msg"], input=found["input"], **values), None
