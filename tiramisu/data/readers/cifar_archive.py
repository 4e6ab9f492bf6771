"""CIFAR-10 and CIFAR-100 through torchvision: found and fetched."""

import tarfile
from http.client import HTTPException
from pathlib import Path
from typing import Any

from tiramisu.data.spec import CifarSplit


def load_cifar(split: CifarSplit, root: Path) -> Any:
    """torchvision's CIFAR10 or CIFAR100 under a root, its files checked against their MD5.

    Raises ValueError with the remedy if they are not all there.
    """
    kind = _torchvision_class(split)
    try:
        return kind(str(root), train=split.train)
    except RuntimeError as error:
        raise ValueError(
            f"{root}: files of {split.dataset} are missing or damaged in {kind.base_folder}. Move "
            f"the folder away and fetch it again: tiramisu download {split.dataset.lower()}"
        ) from error


def download_cifar(name: str, split: CifarSplit, root: Path, *, source: str | None = None) -> Path:
    """Fetches the archive into ROOT.partial, unpacks and checks it, and names the folder root.

    If root exists, its files are checked and nothing is changed.
    source: base URL of the archive, instead of torchvision's.

    Raises ValueError if root exists but is not this data set, or if it cannot be fetched.
    """
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        try:
            load_cifar(split, root)
        except ValueError as error:
            raise ValueError(
                f"{root} exists, but it does not hold all files of {name}. Nothing was changed. "
                "Move it away, or name another folder."
            ) from error
        return root
    kind = _torchvision_class(split)
    url = kind.url if source is None else f"{source.rstrip('/')}/{kind.filename}"
    partial = root.with_name(root.name + ".partial")
    partial.mkdir(parents=True, exist_ok=True)
    try:
        # A class of its own: another url must not stay in torchvision's.
        type(split.dataset, (kind,), {"url": url})(str(partial), download=True)
    except (OSError, ValueError, RuntimeError, HTTPException, tarfile.TarError) as error:
        # torchvision raises RuntimeError where an MD5 differs, in words that name no file.
        damaged = isinstance(error, RuntimeError) and not isinstance(error, RecursionError)
        reason = "the archive is damaged (its MD5 differs)" if damaged else str(error)
        raise ValueError(
            f"download of {name} stopped: {url}: {reason}. Run the same command again."
        ) from error
    (partial / kind.filename).unlink(missing_ok=True)  # as large as what was in it
    if root.exists():
        root.rmdir()  # it is empty
    partial.rename(root)
    return root


def _torchvision_class(split: CifarSplit) -> Any:
    from torchvision import datasets  # reading a spec loads no torch

    return getattr(datasets, split.dataset)
