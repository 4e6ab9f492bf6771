"""The folder in which a run is saved, and the settings that are saved there."""

import contextlib
import dataclasses
import json
import os
import re
from pathlib import Path

import torch
import yaml

from tiramisu.atomic import WriteError, is_leftover, write_file
from tiramisu.checkpoints.run_folder import (
    CONFIG_NAME,
    FOLDER_VARIABLE,
    ORIGIN_NAME,
    find_run,
)
from tiramisu.data.json_file import read_json
from tiramisu.devices import describe_origin, is_main_process
from tiramisu.shipped import list_shipped
from tiramisu.training.config import TrainConfig, settings_of


def use_absolute_paths(config: TrainConfig) -> TrainConfig:
    """The same settings with absolute paths to the data, valid in any working folder."""
    path = Path(config.data)
    is_path = config.data and config.data not in list_shipped("datasets") and path.exists()
    return dataclasses.replace(
        config,
        data=str(path.resolve()) if is_path else config.data,
        data_root=str(Path(config.data_root).resolve()) if config.data_root else None,
        split_file=str(Path(config.split_file).resolve()) if config.split_file else None,
    )


def choose_folder(config: TrainConfig, *, data_name: str) -> Path:
    """The folder for a new run, or that of the run to resume. Nothing is created.

    Raises:
        ValueError: `out` already holds something, or cannot be created.
        FileNotFoundError: there is nothing to resume.
    """
    if config.resume is not None:
        return find_run(config.resume)
    default = Path(f"runs/{data_name}_{re.sub(r'[^A-Za-z0-9._-]+', '-', config.arch)}")
    if not is_main_process():
        return Path(os.environ.get(FOLDER_VARIABLE) or config.out or default)
    folder = Path(config.out) if config.out else _add_number(default)
    if folder.exists() and (not folder.is_dir() or not all(map(is_leftover, folder.iterdir()))):
        raise ValueError(
            f"--out {folder} already exists; go on with that run by --resume {folder}, or choose "
            "another folder"
        )
    parent = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise ValueError(
            f"cannot make the folder {folder}: {parent} is not a folder that you may write to; "
            "give another --out"
        )
    return folder


class FolderTakenError(ValueError):
    """Another training has started in the folder that was chosen."""


def save_config(config: TrainConfig, folder: Path) -> None:
    """Write the resolved settings, in a form that --config reads.

    For a new run this claims the folder: of two trainings that chose the same, one gets it.

    Raises:
        FolderTakenError: there are settings already.
    """
    text = yaml.safe_dump(settings_of(config), sort_keys=False)
    try:
        write_file(folder / CONFIG_NAME, text, new=config.resume is None)
    except (FileExistsError, WriteError):
        if config.resume is not None or not (folder / CONFIG_NAME).exists():
            raise
        raise FolderTakenError(
            f"another training has just started in {folder}; give another --out"
        ) from None


def save_origin(folder: Path, device: torch.device) -> None:
    """Add the command, the machine and the versions of this start to those of earlier ones."""
    path = folder / ORIGIN_NAME
    starts: list[object] = []
    with contextlib.suppress(OSError, ValueError):  # of a new run there is none
        earlier = read_json(path)
        starts = earlier if isinstance(earlier, list) else []
    write_file(path, json.dumps([*starts, describe_origin(device)], indent=2) + "\n")


def _add_number(folder: Path) -> Path:
    """The folder itself or, where it exists, with the first number from 2 on that is free."""
    free, number = folder, 2
    while free.exists():
        free = folder.with_name(f"{folder.name}-{number}")
        number += 1
    return free
