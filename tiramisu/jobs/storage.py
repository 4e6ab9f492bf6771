"""Files in folders and in object storage, by one interface: paths, and URLs of fsspec.

A result appears under its name only when it is complete. A folder on a disk gets it by a rename;
object storage such as S3 shows an object only when all of it has arrived.
"""

import posixpath
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import fsspec
from fsspec.core import url_to_fs
from fsspec.registry import known_implementations

from tiramisu.atomic import make_folder, write_file
from tiramisu.inference.inputs import SUFFIXES, cut_name
from tiramisu.text import did_you_mean, in_one_line

SEPARATOR = "://"
_WILD = "*?["


def is_url(place: str | Path) -> bool:
    """Whether a file or a folder lies in storage that is no disk of this machine."""
    return SEPARATOR in str(place)


@dataclass(frozen=True, kw_only=True)
class Store:
    """A folder for results: on a disk, or in object storage."""

    place: str
    """A path or a URL."""

    @property
    def folder(self) -> Path | None:
        """The folder, if it is on a disk."""
        return None if is_url(self.place) else Path(self.place)

    def prepare(self) -> None:
        """Make the folder; find out whether the storage can be reached.

        Raises:
            ValueError: it cannot be made, or there is no package for such URLs.
            OSError: the storage cannot be reached.
        """
        if self.folder is not None:
            make_folder(self.folder)
        else:
            self.list_names("")

    def read(self, name: str) -> bytes | None:
        """The content of a file; None if there is none."""
        if self.folder is not None:
            file = self.folder / name
            return file.read_bytes() if file.is_file() else None
        with explained(self.place):
            try:
                return bytes(open_storage(self.place).cat_file(self._full(name)))
            except FileNotFoundError:
                return None

    def write(self, name: str, content: str | bytes) -> None:
        """Write a whole file."""
        data = content.encode() if isinstance(content, str) else content
        if self.folder is not None:
            file = self.folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            write_file(file, data)
            return
        with explained(self.place):
            open_storage(self.place).pipe_file(self._full(name), data)

    def put(self, file: Path, name: str) -> None:
        """Copy a file from this machine into object storage."""
        with explained(self.place):
            open_storage(self.place).put_file(str(file), self._full(name))

    def list_names(self, folder: str) -> list[str]:
        """The names of the files in one of its folders, sorted; none if there is no such folder."""
        if self.folder is not None:
            inside = self.folder / folder
            return sorted(p.name for p in inside.iterdir()) if inside.is_dir() else []
        with explained(self.place):
            try:
                found = open_storage(self.place).ls(self._full(folder), detail=False, refresh=True)
            except FileNotFoundError:
                return []
        return sorted(posixpath.basename(name) for name in found)

    def walk(self) -> list[str]:
        """The names of all files in it, and in its folders."""
        if self.folder is not None:
            files = (path for path in self.folder.rglob("*") if path.is_file())
            return [path.relative_to(self.folder).as_posix() for path in files]
        with explained(self.place):
            storage = open_storage(self.place)
            storage.invalidate_cache()
            found = storage.find(self.place)
            root = url_to_fs(self.place)[1].rstrip("/")
        return [name.removeprefix(root).lstrip("/") for name in found]

    def delete(self, name: str) -> None:
        """Remove a file, if it is there."""
        if self.folder is not None:
            (self.folder / name).unlink(missing_ok=True)
        elif self.read(name) is not None:
            with explained(self.place):
                open_storage(self.place).rm_file(self._full(name))

    def remove(self, folder: str) -> None:
        """Remove one of its folders with all that is in it."""
        if self.folder is not None:
            if (self.folder / folder).is_dir():
                shutil.rmtree(self.folder / folder)
            return
        with explained(self.place):
            storage = open_storage(self.place)
            if names := self.list_names(folder):
                storage.rm([self._full(f"{folder}/{name}") for name in names])

    def _full(self, name: str) -> str:
        return f"{self.place.rstrip('/')}/{name}"


def open_storage(url: str) -> Any:
    """The file system of a URL; it is opened once in a process.

    Raises:
        ValueError: there is no such kind of storage, or its package is missing.
    """
    return _open(url.partition(SEPARATOR)[0], url if url.startswith("http") else "")


@lru_cache(maxsize=8)
def _open(protocol: str, url: str) -> Any:
    if protocol not in known_implementations:
        raise ValueError(
            f"there is no storage {protocol}{SEPARATOR}; expected such as s3://, gs://, az:// or "
            f"https://{did_you_mean(protocol, known_implementations)}"
        )
    try:
        return fsspec.filesystem(protocol)
    except ImportError as error:
        raise ValueError(f"{protocol}{SEPARATOR} needs a package: {in_one_line(error)}") from None


def fetch(url: str, folder: Path) -> Path:
    """Copy a file from a URL into a folder of this machine.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: the storage cannot be reached, or refuses it.
    """
    path = url.partition("?")[0] if url.startswith("http") else url
    file = folder / cut_name(posixpath.basename(path))
    with explained(url):
        open_storage(url).get_file(url, str(file))
    return file


def find_urls(url: str) -> list[str]:
    """The URLs of the images and videos of a source, sorted.

    Args:
        url: of a file, of a folder with all that is in it, or a pattern such as s3://BUCKET/*.png.

    Raises:
        FileNotFoundError: there is nothing.
        OSError: the storage cannot be reached.
    """
    storage = open_storage(url)
    if url.startswith("http"):
        return [url]
    with explained(url):
        storage.invalidate_cache()
        # A name may hold the letters of a pattern.
        is_pattern = any(letter in url for letter in _WILD) and not storage.exists(url)
        names = storage.glob(url) if is_pattern else storage.find(url)
    protocol = url.partition(SEPARATOR)[0]
    found = [name for name in names if posixpath.splitext(name)[1].lower() in SUFFIXES]
    if not found:
        raise FileNotFoundError(f"there are no images or videos at {url}")
    return sorted(f"{protocol}{SEPARATOR}{name}" for name in found)


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Turn the errors of the libraries of object storage into an OSError of one line."""
    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no {url}") from None
    except (OSError, ValueError) as error:
        raise OSError(f"cannot use {url} ({in_one_line(error)})") from None
    except Exception as error:  # botocore, aiohttp and Google's libraries have their own
        raise OSError(f"cannot use {url} ({in_one_line(error)})") from None
