"""Download a data set file by file and verify every file."""

import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from urllib.parse import quote

from tqdm import tqdm

from tiramisu.atomic import write_then_rename
from tiramisu.data.readers.cifar_archive import download_cifar
from tiramisu.data.spec import DatasetSpec

_THREADS = 8
_TIMEOUT = 30.0  # seconds without a byte
_PAUSES = (1.0, 4.0)  # seconds before the second and the third attempt


def download_dataset(spec: DatasetSpec, root: str | Path, *, source: str | None = None) -> Path:
    """Download the files of a data set into the folder `root`.

    Files are written to ROOT.partial, each checked against its SHA-256. When all are there, the
    folder is renamed to root. After an error, the same call downloads only what is missing. If
    root exists, its files are verified and nothing is changed. CIFAR is downloaded by torchvision,
    as one archive whose MD5 is checked.

    Args:
        spec: the data set.
        root: the folder to make.
        source: base URL in place of the spec's.

    Returns:
        The folder.

    Raises:
        ValueError: the data set has no download, root exists but is not this data set, or the
            download fails.
    """
    root = Path(os.path.expanduser(root))
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
    _fetch_all(spec.name, url, partial, checksums)
    if root.exists():
        root.rmdir()  # it is empty
    partial.rename(root)
    return root


def read_checksums(path: Path) -> dict[str, str]:
    """The SHA-256 of each relative path, from a file in the format of `sha256sum`."""
    checksums = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        digest, _, name = line.strip().partition("  ")
        parts = Path(name).parts
        if len(digest) != 64 or not parts or ".." in parts or Path(name).is_absolute():
            raise ValueError(f"{path}, line {number}: expected `sha256  relative/path`")
        checksums[name] = digest
    return checksums


def _verify(name: str, root: Path, checksums: dict[str, str]) -> None:
    bar = tqdm(checksums.items(), desc=f"verifying {name}", unit="file", disable=None)
    bad = [path for path, digest in bar if not _is_valid(root / path, digest)]
    if bad:
        raise ValueError(
            f"{root} exists, but {len(bad)} of {len(checksums)} files are missing or differ from "
            f"{name} (first {bad[0]}). Nothing was changed. Move it away, or give another folder"
        )


def _fetch_all(name: str, url: str, folder: Path, checksums: dict[str, str]) -> None:
    pool = ThreadPoolExecutor(_THREADS)
    jobs = [
        pool.submit(_fetch, f"{url}/{quote(path)}", folder / path, digest)
        for path, digest in checksums.items()
    ]
    try:
        for job in tqdm(
            as_completed(jobs),
            total=len(jobs),
            desc=f"downloading {name}",
            unit="file",
            disable=None,
        ):
            job.result()
    except OSError as error:
        pool.shutdown(cancel_futures=True)
        there = sum((folder / path).is_file() for path in checksums)
        raise ValueError(
            f"download of {name} stopped: {error}. {there} of {len(checksums)} files are in "
            f"{folder}. Run the same command again to continue"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)  # also after Ctrl-C, without waiting for the whole queue


def _fetch(url: str, path: Path, digest: str) -> None:
    """Download one file unless it is there. Raises OSError after three attempts."""
    if _is_valid(path, digest):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    for pause in (*_PAUSES, None):
        try:
            with urllib.request.urlopen(url, timeout=_TIMEOUT) as response:
                content = response.read()
            if hashlib.sha256(content).hexdigest() != digest:
                raise OSError("its SHA-256 differs from the expected one")
        except (OSError, http.client.HTTPException) as error:
            gone = isinstance(error, urllib.error.HTTPError) and error.code in (401, 403, 404, 410)
            if pause is None or gone:
                raise OSError(f"{url}: {error}") from error
            time.sleep(pause)
        else:
            with write_then_rename(path) as unfinished:
                unfinished.write_bytes(content)
            return


def _is_valid(path: Path, digest: str) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == digest
