"""The folder of a run: its name, its settings, and what is found in it later."""

import dataclasses
import os
import re
from pathlib import Path
from typing import Any

import yaml

from tiramisu.checkpoints.run_folder import CONFIG_NAME, find_run, read_settings
from tiramisu.shipped import list_shipped
from tiramisu.training.config import TrainConfig

# Lightning starts a process per device with the same command: they find the folder here.
FOLDER_VARIABLE = "TIRAMISU_RUN_FOLDER"
# What a resumed run may do differently: none of it changes what an epoch learns.
CHANGEABLE = (
    "epochs",
    "patience",
    "keep",
    "data_root",
    "check_data",
    "out",
    "cache",
    "num_workers",
    "eval_batch_size",
    "accelerator",
    "compile",
    "channels_last",
    "memory_efficient",
)


def is_main_process() -> bool:
    """Whether this process is the one that writes.

    torchrun and SLURM set a rank over all machines; Lightning's own launcher one for each machine,
    and the user the machine's.
    """
    for name in ("RANK", "SLURM_PROCID"):
        if name in os.environ:
            return int(os.environ[name]) == 0
    return all(int(os.environ.get(name, 0)) == 0 for name in ("LOCAL_RANK", "NODE_RANK"))


def use_absolute_paths(config: TrainConfig) -> TrainConfig:
    """The same settings, to be understood from any folder."""
    is_path = config.data not in list_shipped("datasets") and Path(config.data).exists()
    return dataclasses.replace(
        config,
        data=str(Path(config.data).resolve()) if is_path else config.data,
        data_root=str(Path(config.data_root).resolve()) if config.data_root else None,
    )


def check_resumable(config: TrainConfig) -> None:
    """Raise ValueError if a resumed run's settings differ from those it was started with."""
    assert config.resume is not None
    saved = read_settings(find_run(config.resume) / CONFIG_NAME)
    for name, value in settings_of(config).items():
        if name in saved and name not in CHANGEABLE and value != saved[name]:
            raise ValueError(
                f"--{name.replace('_', '-')} is {value}, but the run {config.resume} was started "
                f"with {saved[name]}; a resumed run may change only {', '.join(CHANGEABLE)}. To "
                "learn on under other settings, start a new run with --init-from"
            )


def open_run_folder(config: TrainConfig, *, data_name: str) -> Path:
    """Create the folder of a new run, or return that of the run to resume.

    Raises:
        ValueError: `out` already holds something.
        FileNotFoundError: there is nothing to resume.
    """
    if config.resume is not None:
        folder = find_run(config.resume)
    elif not is_main_process():
        return Path(
            os.environ.get(FOLDER_VARIABLE) or config.out or _default_name(config, data_name)
        )
    elif config.out is not None:
        folder = Path(config.out)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ValueError(
                f"--out {folder} already exists; go on with that run by --resume {folder}, or "
                "choose another folder"
            )
    else:
        folder = _next_free(Path(_default_name(config, data_name)))
    folder.mkdir(parents=True, exist_ok=True)
    os.environ[FOLDER_VARIABLE] = str(folder)
    return folder


def save_config(config: TrainConfig, folder: Path) -> None:
    """Write the resolved settings, in a form that --config reads."""
    text = yaml.safe_dump(settings_of(config), sort_keys=False)
    (folder / CONFIG_NAME).write_text(text)


def settings_of(config: TrainConfig) -> dict[str, Any]:
    """Settings as YAML holds them; `resume` is no setting but an act."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in dataclasses.asdict(config).items()
        if name != "resume"
    }


def _default_name(config: TrainConfig, data_name: str) -> str:
    return f"runs/{data_name}_{re.sub(r'[^A-Za-z0-9._-]+', '-', config.arch)}"


def _next_free(folder: Path) -> Path:
    free, number = folder, 2
    # An empty folder is what a run leaves that this machine could not start.
    while free.exists() and any(free.iterdir()):
        free = folder.with_name(f"{folder.name}-{number}")
        number += 1
    return free
