"""Load and download CIFAR-10 and CIFAR-100 with torchvision."""

import tarfile
from pathlib import Path
from typing import Any

from tiramisu.atomic import make_folder
from tiramisu.data.downloading.fetch import RemoteFile, fetch_files
from tiramisu.data.spec import DatasetSpec


def load_cifar(spec: DatasetSpec, root: Path, *, train: bool) -> Any:
    """CIFAR10 or CIFAR100 of torchvision under a root, checked against the MD5 of its files.

    Args:
        spec: a data set of torchvision's images.
        root: the folder of its files.
        train: whether to load the training images, or else the test images.

    Raises:
        ValueError: files are missing or damaged; the message says what to do.
    """
    kind = _torchvision_class(spec)
    try:
        return kind(str(root), train=train)
    except RuntimeError as error:
        raise ValueError(
            f"{root}: files of {spec.torchvision} are missing or damaged in {kind.base_folder}. "
            f"Move the folder away and fetch it again: tiramisu download {kind.__name__.lower()}"
        ) from error


def download_cifar(spec: DatasetSpec, root: Path, *, source: str | None = None) -> Path:
    """Download the archive into ROOT.partial, unpack and check it, and rename the folder to root.

    If root exists, its files are checked and nothing is changed.

    Args:
        spec: a data set of torchvision's images.
        root: the folder to make.
        source: base URL of the archive in place of torchvision's.

    Raises:
        ValueError: root exists but is not this data set, or the download fails.
    """
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        try:
            load_cifar(spec, root, train=True)
        except ValueError as error:
            raise ValueError(
                f"{root} exists, but it does not hold all files of {spec.name}. Nothing was "
                "changed. Move it away, or give another folder"
            ) from error
        return root
    kind = _torchvision_class(spec)
    url = kind.url if source is None else f"{source.rstrip('/')}/{kind.filename}"
    partial = root.with_name(root.name + ".partial")
    make_folder(partial, flag="--data-root")
    archive = RemoteFile(url=url, path=partial / kind.filename, digest=kind.tgz_md5)
    fetch_files(spec.name, [archive], folder=partial)
    try:
        kind(str(partial), download=True)  # it finds the archive, and only unpacks it
    except (OSError, RuntimeError, tarfile.TarError) as error:
        raise ValueError(
            f"the archive of {spec.name} cannot be unpacked in {partial}: {error}. Remove that "
            "folder, and run the same command again"
        ) from error
    (partial / kind.filename).unlink(missing_ok=True)  # no longer needed
    if root.exists():
        root.rmdir()  # it is empty
    partial.rename(root)
    return root


def _torchvision_class(spec: DatasetSpec) -> Any:
    from torchvision import datasets  # not imported until needed: it loads torch

    return getattr(datasets, spec.torchvision or "")
