"""Which settings a training starts from: those of a recipe, or of the run that it resumes."""

from collections.abc import Sequence
from itertools import pairwise

from tiramisu.checkpoints.run_folder import CONFIG_NAME, find_run
from tiramisu.shipped import find_shipped, list_shipped
from tiramisu.training.config import TrainConfig


def with_recipe(argv: Sequence[str], *, defaults: TrainConfig) -> list[str]:
    """Add the settings to start from as --config: those of the run to resume, or a recipe."""
    # --name=value is the same as --name value.
    argv = [part for word in argv for part in _split_flag(word)]
    given = dict(pairwise([*argv, ""]))
    if "--resume" in given:
        return ["--config", str(find_run(given["--resume"]) / CONFIG_NAME), *argv]
    if "--config" in given:
        return [
            str(find_shipped("configs", word)) if before == "--config" else word
            for before, word in zip(["", *argv], argv, strict=False)
        ]
    data, arch = given.get("--data", defaults.data), given.get("--arch", defaults.arch)
    for name in (f"{data}_{arch}", data):
        if name in list_shipped("configs"):
            return ["--config", str(find_shipped("configs", name)), *argv]
    return argv


def _split_flag(word: str) -> list[str]:
    return word.split("=", 1) if word.startswith("--") and "=" in word else [word]
