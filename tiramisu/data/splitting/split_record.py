"""The split that the tool made, with the names of the samples, as a file: split.yaml.

It is in the folder of a run, so that images that are added to the data later change nothing for
that run, and `--split-file` takes it for another one.
"""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError, model_validator
from typing_extensions import Self

from tiramisu.data.description.yaml_file import YamlFile
from tiramisu.data.entry import Entry, EntryError, ListOf, Text
from tiramisu.data.mistakes import read_mistake
from tiramisu.text import list_some, show_path

_HEAD = (
    "# The samples of both splits, by their names; --split-file takes this file for another run.\n"
)
_SHOWN = 3


class SplitRecord(Entry):
    """Which samples are in train and val, and how they were chosen."""

    data: Text
    """Name of the data set."""
    made_of: ListOf[Text]
    """The splits of the data that were shared out: train, or train and val."""
    seed: int
    groups: Text | None = None
    """The pattern of the groups in names."""
    val_fraction: float | None = None
    """Part of the samples that are val; None for a fold."""
    folds: int | None = None
    fold: int | None = None
    """Which of the folds is val, from 1."""
    train: ListOf[Text]
    val: ListOf[Text]

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        for name in ("train", "val"):
            names = getattr(self, name)
            if not names:
                raise EntryError("no sample; expected one or more", name)
            if len(set(names)) < len(names):
                raise EntryError("a sample is there twice; remove one", name)
        if both := sorted(set(self.train) & set(self.val)):
            shown = list_some([show_path(name) for name in both], most=_SHOWN)
            raise EntryError(f"samples are in train too ({shown}); remove them from one", "val")
        return self

    def to_yaml(self) -> str:
        """The content of the file."""
        content = {name: _plain(value) for name, value in self if value is not None}
        return _HEAD + yaml.safe_dump(content, sort_keys=False, width=100)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def read_record(path: Path) -> SplitRecord:
    """Read a split.yaml.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no split; the message has the file, the line and the fix.
    """
    if not path.exists():
        raise FileNotFoundError(
            f"there is no file {show_path(path)}; expected the split.yaml of a run as --split-file"
        )
    file = YamlFile(path, kind="split of a data set")
    try:
        return SplitRecord.model_validate(file.content, context=path.parent)
    except ValidationError as error:
        mistakes = [read_mistake(found) for found in error.errors(include_url=False)]
        raise file.explain(*min(mistakes, key=lambda mistake: file.line(mistake[0]))) from error
