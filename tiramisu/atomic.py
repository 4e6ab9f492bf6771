"""Files that appear under their name only when they are complete: all files are written here."""

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PARTIAL = ".partial"
"""Part of the name of a file that is being written; such names begin with a dot."""

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""A disk is full, a quota used up, a file too large, or the disk is damaged."""


class WriteError(OSError):
    """A file cannot be written: the disk is full, a quota is used up, or the folder is read-only.

    Args:
        path: the file that was to be written.
        reason: why not.
    """

    def __init__(self, path: Path, reason: object) -> None:
        super().__init__(f"cannot write {path}: {reason}")
        self.reason = reason


@contextmanager
def write_then_rename(path: Path, *, new: bool = False) -> Iterator[Path]:
    """A path to write to; when the block ends well the file takes the name `path`.

    The file under that name, if any, stays as it was until then. If the block raises, what was
    written is removed. The temporary name has the suffix of `path`, because some libraries choose
    the format of a file by it.

    Args:
        path: the file to write, in a folder that exists. A link stays a link: its target is
            replaced.
        new: whether there must be no such file yet. Of several processes that write it at the same
            time, one succeeds.

    Raises:
        FileExistsError: the file is not new.
        WriteError: it cannot be written.
    """
    target = Path(os.path.realpath(path))
    partial = target.with_name(f".{secrets.token_hex(6)}{PARTIAL}{target.suffix}")
    try:
        partial.touch(exist_ok=False)
        mode = (target if target.exists() else partial).stat().st_mode
        yield partial
        with contextlib.suppress(PermissionError):  # some file systems have no modes
            partial.chmod(mode)  # some libraries write files that only their owner can read
        move_into_place(partial, target, new=new)
    except (FileExistsError, WriteError):
        raise
    except OSError as error:
        is_own = error.filename in (str(partial), str(target)) or error.errno in DISK_ERRORS
        if not is_own:
            raise  # what the block reads from failed, such as another file or a connection
        raise WriteError(path, error.strerror or error) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def write_file(path: Path, content: str | bytes | memoryview, *, new: bool = False) -> None:
    """Write a whole file, text as UTF-8, by `write_then_rename`."""
    data = content.encode() if isinstance(content, str) else content
    with write_then_rename(path, new=new) as partial:
        partial.write_bytes(data)


def move_into_place(partial: Path, path: Path, *, new: bool = False) -> None:
    """Give a complete file its name, in the same file system, once its content is on the disk.

    Raises:
        FileExistsError: the file is not new.
        WriteError: the content does not reach the disk, or the file cannot get its name.
    """
    try:
        with partial.open("r+b") as file:
            # Some file systems notice a full disk only now. Without it, a computer that loses
            # power might keep the new name, but not the content.
            os.fsync(file.fileno())
        if not new:
            partial.replace(path)
            return
        try:
            os.link(partial, path)  # unlike a rename, this fails if the name is taken
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            if path.exists():
                raise FileExistsError(f"{path} exists already") from None
            partial.replace(path)
    except FileExistsError:
        raise
    except OSError as error:
        raise WriteError(path, error.strerror) from error


def make_folder(folder: Path, *, flag: str = "--out") -> Path:
    """Make a folder, and its parents.

    Args:
        folder: the folder.
        flag: the flag by which the user gives another one.

    Raises:
        ValueError: it cannot be made, or files cannot be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{secrets.token_hex(6)}{PARTIAL}"
        probe.touch()
        probe.unlink(missing_ok=True)
    except OSError as error:
        raise ValueError(
            f"cannot write into the folder {folder} ({error.strerror or error}); "
            f"give another {flag}"
        ) from None
    return folder


def is_leftover(path: Path) -> bool:
    """Whether a file was being written when its process was killed."""
    return path.name.startswith(".") and PARTIAL in path.suffixes


def remove_leftovers(folder: Path) -> None:
    """Remove what was left of files that were being written, also from folders inside."""
    for path in filter(is_leftover, folder.rglob(f".*{PARTIAL}*")):
        path.unlink(missing_ok=True)
