"""What comes with the package: the YAML files of `datasets/` and `configs/`, and trained models."""

import os
from pathlib import Path
from typing import Literal

from tiramisu.text import did_you_mean

Kind = Literal["datasets", "configs"]

_PACKAGE = Path(__file__).resolve().parent
WEIGHTS = _PACKAGE / "weights"
"""Holds a folder for each trained model, in Hugging Face's layout."""


def list_shipped(kind: Kind) -> list[str]:
    """Names (file names without .yaml) of the shipped files of one kind, sorted."""
    # The template is meant to be copied.
    return sorted(p.stem for p in _folder(kind).glob("*.yaml") if p.stem != "template")


def find_shipped(kind: Kind, name: str) -> Path:
    """The path of a YAML file.

    Args:
        kind: which of the shipped folders to look in.
        name: path of a file, or the name of a shipped one. A file is preferred.

    Raises:
        ValueError: there is neither; the message lists the shipped names.
    """
    given = Path(os.path.expanduser(name))
    if given.is_file():
        return given
    shipped = _folder(kind) / f"{name.removesuffix('.yaml')}.yaml"
    if shipped.is_file():
        return shipped
    names = list_shipped(kind)
    raise ValueError(
        f"there is no file {name}, and no such name in {kind}/ ({', '.join(names)})"
        + did_you_mean(name, names)
    )


def list_weights() -> list[str]:
    """Names of the trained models that come with the package, sorted."""
    return sorted(path.parent.name for path in WEIGHTS.glob("*/config.json"))


def _folder(kind: Kind) -> Path:
    # A wheel holds the folder inside the package; in a clone it is beside the package.
    inside, beside = _PACKAGE / kind, _PACKAGE.parent / kind
    return inside if inside.is_dir() else beside
