"""Regular files: not pipes, devices or folders."""

import os
import stat
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from pathlib import Path

from tiramisu.text import show_path

_MOST_TEXT = 100_000_000  # bytes, enough for the names of a million samples
_OTHER_FILES = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def read_text(path: Path, *, kind: str) -> str:
    """The content of a text file in UTF-8, or in UTF-16 as Windows writes it.

    The byte order mark in front, which Windows writes too, is left out.

    Args:
        path: the file.
        kind: what it should be, for messages.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, or is no such text; the message names it.
    """
    size = check_plain_file(path, kind=kind)
    if size > _MOST_TEXT:
        raise ValueError(
            f"{show_path(path)} is a file of {size / 1e9:,.1f} GB; expected a {kind}, which is text"
        )
    content = path.read_bytes()
    encoding = "utf-16" if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return content.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{show_path(path)}: not text in UTF-8; expected a {kind}, saved as UTF-8"
        ) from error


def read_class_names(path: Path) -> list[str]:
    """The names in a list of classes, one on each line.

    Raises:
        OSError, ValueError: it cannot be read, or a name is there twice.
    """
    lines = read_text(path, kind="list of classes").splitlines()
    names = [name for line in lines if (name := line.strip())]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        shown = ", ".join(twice)
        raise ValueError(f"{show_path(path)}: expected each name once; twice or more: {shown}")
    return names


def check_plain_file(path: Path, *, kind: str) -> int:
    """The size of a file in bytes.

    Args:
        path: the file.
        kind: what it should be, for messages, such as image or video.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a file that ends when it is read, such as a folder or a pipe.
    """
    try:
        status = path.stat()
    except OSError as error:
        shown = show_path(path)
        if path.is_symlink():
            shown += f", which is a link to {show_path(os.readlink(path))}"
        raise FileNotFoundError(f"there is no {kind} {shown} ({error.strerror})") from None
    if not stat.S_ISREG(status.st_mode):
        found = next((what for test, what in _OTHER_FILES if test(status.st_mode)), "no file")
        raise ValueError(f"{show_path(path)} is {found}; expected a file that holds the {kind}")
    if status.st_size == 0:
        raise ValueError(f"{show_path(path)} is empty; expected a file that holds the {kind}")
    return status.st_size
