"""Download a data set file by file and verify every file."""

import os
import re
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from tqdm import tqdm

from tiramisu.atomic import make_folder, remove_leftovers
from tiramisu.data.downloading.fetch import RemoteFile, fetch_files, has_digest
from tiramisu.data.entry import is_inside
from tiramisu.data.readers.cifar_archive import download_cifar
from tiramisu.data.spec import DatasetSpec

MAX_LIST_BYTES = 100_000_000
_CHECKSUM = re.compile(r"([0-9a-fA-F]{64}) [ *](.+)")


def download_dataset(
    spec: DatasetSpec, root: str | Path | None = None, *, source: str | None = None
) -> Path:
    """Download the files of a data set into the folder `root`.

    Files are written to ROOT.partial, each checked against its SHA-256. When all are there, the
    folder is renamed to root. After an error, the same call downloads only what is missing. If
    root exists, its files are verified and nothing is changed. CIFAR is unpacked by torchvision,
    as one archive whose MD5 is checked.

    Args:
        spec: the data set.
        root: the folder to make; None for data/NAME.
        source: base URL in place of the spec's.

    Returns:
        The folder.

    Raises:
        ValueError: the data set has no download, root exists but is not this data set, or the
            download fails.
        KeyboardInterrupt: the user stopped it; the message says how to go on.
    """
    root = Path(os.path.expanduser(root or Path("data", spec.name)))
    if spec.torchvision is not None:
        return download_cifar(spec, root, source=source)
    if spec.source is None or spec.source.checksums is None:
        how = "it is synthetic, and needs no files" if spec.drawn else "download it by hand"
        home = f" from {spec.source.homepage}" if spec.source and not spec.drawn else ""
        raise ValueError(f"{spec.name} cannot be downloaded: {how}{home}")
    checksums = read_checksums(spec.source.checksums)
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        _verify(spec.name, root, checksums)
        return root
    partial = root.with_name(root.name + ".partial")
    url = (source or spec.source.url or "").rstrip("/")
    make_folder(partial, flag="--data-root")
    fetch_files(
        spec.name,
        [
            RemoteFile(url=f"{url}/{quote(path)}", path=partial / path, digest=digest)
            for path, digest in checksums.items()
        ],
        folder=partial,
    )
    remove_leftovers(partial)
    if root.exists():
        root.rmdir()  # it is empty
    partial.rename(root)
    return root


def read_checksums(path: Path) -> dict[str, str]:
    """The SHA-256 of each relative path, from a file in the format of `sha256sum`.

    Raises:
        ValueError: it is no such file, or a path is given twice or leads out of the folder.
    """
    if path.stat().st_size > MAX_LIST_BYTES:
        raise ValueError(f"{path} is no list of checksums: it has over {MAX_LIST_BYTES:,} bytes")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no list of checksums: it is not text in UTF-8") from None
    checksums: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        match = _CHECKSUM.fullmatch(line.strip())
        if match is None or not _is_plain(match[2]):
            raise ValueError(f"{path}, line {number}: expected `sha256  relative/path`")
        if match[2] in checksums:
            raise ValueError(f"{path}, line {number}: {match[2]} is listed twice; remove one")
        checksums[match[2]] = match[1].lower()
    if not checksums:
        raise ValueError(f"{path} is empty; expected lines of `sha256  relative/path`")
    for name in checksums:
        for folder in PurePosixPath(name).parents:
            if str(folder) in checksums:
                raise ValueError(f"{path}: {folder} cannot be a file, and the folder of {name}")
    return checksums


def _is_plain(name: str) -> bool:
    """Whether a name is that of one file below a folder on every system, written in one way."""
    return is_inside(name) and "\\" not in name and str(PurePosixPath(name)) == name != "."


def _verify(name: str, root: Path, checksums: dict[str, str]) -> None:
    bar = tqdm(checksums.items(), desc=f"verifying {name}", unit="file", disable=None)
    bad = [path for path, digest in bar if not has_digest(root / path, digest)]
    if bad:
        raise ValueError(
            f"{root} exists, but {len(bad)} of {len(checksums)} files are missing or differ from "
            f"{name} (first {bad[0]}). Nothing was changed. Move it away, or give another folder"
        )
