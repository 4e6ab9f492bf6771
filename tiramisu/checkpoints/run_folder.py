"""The files in the folder of a training run, and how to find them."""

from pathlib import Path
from typing import Any, cast

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

from tiramisu.data.description.yaml_file import YamlFile
from tiramisu.data.entry import Text
from tiramisu.data.json_file import validate

CONFIG_NAME = "config.yaml"
SPLIT_NAME = "split.yaml"
ORIGIN_NAME = "origin.json"
"""With what a run was made: a list with an entry for each start."""
FIRST_FOLD = "fold1.yaml"
"""The split of the first fold, in the folder of a cross-validation."""
CHECKPOINTS = "checkpoints"
FOLDER_VARIABLE = "TIRAMISU_RUN_FOLDER"
"""Environment variable that tells the other processes of a run its folder: Lightning starts them
with the same command."""
BEST, LAST = f"{CHECKPOINTS}/best.ckpt", f"{CHECKPOINTS}/last.ckpt"


@with_config(ConfigDict(extra="allow", strict=True))
class _Settings(TypedDict, total=False):
    """The settings of a run that are read without its training; others are kept as they are."""

    data: Text
    data_root: Text | None
    val_split: Text
    init_from: Text | None
    keep: Text


def find_run(path: str | Path) -> Path:
    """The folder of a run that can be resumed.

    Raises:
        FileNotFoundError: there is no run.
    """
    folder = Path(path)
    if not (folder / CONFIG_NAME).is_file():
        raise FileNotFoundError(f"there is no run to resume in {folder}: {CONFIG_NAME} is missing")
    return folder


def read_settings(checkpoint: Path) -> dict[str, Any]:
    """The settings of the run that a file belongs to; empty if it is not in the folder of a run.

    Raises:
        ValueError: the run's config.yaml is damaged, or a setting is of another type.
    """
    path = _folder_of(checkpoint) / CONFIG_NAME
    if not path.is_file():
        return {}
    content = YamlFile(path, kind="settings of a run").content
    try:
        return cast(dict[str, Any], validate(_Settings, content))
    except ValueError as error:
        raise ValueError(
            f"{path} does not hold the settings of a run ({error}); copy it again from the run"
        ) from None


def find_split_file(checkpoint: Path) -> Path | None:
    """The split.yaml of the run that a file belongs to; None if the data came with its split."""
    path = _folder_of(checkpoint) / SPLIT_NAME
    return path if path.is_file() else None


def _folder_of(checkpoint: Path) -> Path:
    folder = checkpoint.parent
    return folder.parent if folder.name == CHECKPOINTS else folder
