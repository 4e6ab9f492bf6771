"""The files in the folder of a training run, and how to find them."""

from pathlib import Path
from typing import Any

import yaml

CONFIG_NAME = "config.yaml"
CHECKPOINTS = "checkpoints"
BEST, LAST = f"{CHECKPOINTS}/best.ckpt", f"{CHECKPOINTS}/last.ckpt"


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
    """The settings of the run that a file belongs to; empty if it is not in the folder of a run."""
    folder = checkpoint.parent
    if folder.name == CHECKPOINTS:
        folder = folder.parent
    path = folder / CONFIG_NAME
    if not path.is_file():
        return {}
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    return settings if isinstance(settings, dict) else {}
