"""Which settings a training starts from: those of a recipe, or of the run that it resumes."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tiramisu.checkpoints.run_folder import CONFIG_NAME, FOLDER_VARIABLE, find_run
from tiramisu.data.description.yaml_file import YamlFile
from tiramisu.environment import read_rank
from tiramisu.flags import Parser
from tiramisu.settings import show
from tiramisu.shipped import find_shipped, list_shipped

MAX_BYTES = 1_000_000


def find_recipe(given: Mapping[str, Any]) -> Path | None:
    """The file with the settings to start from: of the run to resume, or a recipe; None if none.

    Args:
        given: the flags, by name.

    Raises:
        ValueError: there is no such recipe, or it is of no use beside --resume.
        FileNotFoundError: there is no such run.
    """
    if given["resume"] is not None:
        if given["config"] is not None:
            raise ValueError(
                "--resume continues a run with its own settings; leave out --config, or leave out "
                "--resume and start a new run with --init-from"
            )
        return find_run(given["resume"]) / CONFIG_NAME
    if started_by_run():
        return Path(os.environ[FOLDER_VARIABLE]) / CONFIG_NAME
    if given["config"] is not None:
        return find_shipped("configs", given["config"])
    for name in (f"{given['data']}_{given['arch']}", given["data"]):
        if name in list_shipped("configs"):
            return find_shipped("configs", name)
    return None


def started_by_run() -> bool:
    """Whether this is another process of a run, whose settings count."""
    return FOLDER_VARIABLE in os.environ and bool(read_rank("LOCAL_RANK"))


def read_recipe(path: Path, parser: Parser) -> dict[str, Any]:
    """The settings in a YAML file.

    Args:
        path: the file.
        parser: knows the settings.

    Raises:
        ValueError: something is wrong in it; the message has the file, the line and the setting.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"{path} is no recipe: it has more than {MAX_BYTES:,} bytes")
        file = YamlFile(path, kind="recipe")
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    if not isinstance(file.content, dict) or not file.content:
        came = "nothing" if file.content is None else show(file.content)
        raise file.explain((), f"expected a line such as `epochs: 100` for a setting, not {came}")
    settings = {}
    for name, value in file.content.items():
        try:
            settings[name] = parser.parse_setting(str(name), value)
        except ValueError as error:
            raise file.explain((str(name),), str(error)) from None
    return settings
