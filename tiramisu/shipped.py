"""What travels with the package: the YAML of `datasets/` and `configs/`, and trained weights."""

import difflib
from pathlib import Path
from typing import Literal

Kind = Literal["datasets", "configs"]

_PACKAGE = Path(__file__).resolve().parent
WEIGHTS = _PACKAGE / "weights"
"""A folder for each trained model, in Hugging Face's layout."""


def list_shipped(kind: Kind) -> list[str]:
    """Names (file names without .yaml) of the shipped files of one kind, sorted."""
    # The template is there to be copied, not used.
    return sorted(p.stem for p in _folder(kind).glob("*.yaml") if p.stem != "template")


def find_shipped(kind: Kind, name: str) -> Path:
    """Path of a YAML file: an existing path as given, else the shipped file of that name.

    Raises ValueError, listing the shipped names, if there is neither.
    """
    given = Path(name).expanduser()
    if given.is_file():
        return given
    shipped = _folder(kind) / f"{name.removesuffix('.yaml')}.yaml"
    if shipped.is_file():
        return shipped
    names = list_shipped(kind)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    raise ValueError(
        f"{name}: neither a file nor a name shipped in {kind}/ ({', '.join(names)}).{hint}"
    )


def list_weights() -> list[str]:
    """Names of the trained models that travel with the package, sorted."""
    return sorted(path.parent.name for path in WEIGHTS.glob("*/config.json"))


def _folder(kind: Kind) -> Path:
    # A wheel holds the folder inside the package; a clone (editable install) beside the package.
    inside, beside = _PACKAGE / kind, _PACKAGE.parent / kind
    return inside if inside.is_dir() else beside
