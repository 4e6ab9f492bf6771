"""What can be known of torch's archives, `.ckpt` and `.pt2`, before their content is read."""

import pickletools
import zipfile
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from tiramisu.text import show

MOST_PICKLES = 10
"""Most pickles in one file: the older format of torch has five."""


def check_zip(path: Path) -> None:
    """Check an archive of torch before it is loaded; a file of another kind is left alone.

    Raises:
        ValueError: it is compressed, so a small one could fill the memory, or bytes are damaged.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
        if size > path.stat().st_size:
            raise ValueError(f"its content of {size:,} bytes is compressed")
        # torch itself does not look at the checksums.
        if (damaged := archive.testzip()) is not None:
            raise ValueError(f"the checksum of its part {show(damaged)} differs")


def is_torchscript(path: Path) -> bool:
    """Whether a file is a program of TorchScript, which `torch.jit.save` has written."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name for name in archive.namelist())


def holds_objects(path: Path) -> bool:
    """Whether a file is a whole pickle, or an archive with one, that names classes or functions."""
    names: set[str] = set()
    try:
        with ExitStack() as stack:
            stream: IO[bytes] = stack.enter_context(path.open("rb"))
            if zipfile.is_zipfile(stream):
                archive = stack.enter_context(zipfile.ZipFile(stream))
                (member,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
                stream = stack.enter_context(archive.open(member))
            else:
                stream.seek(0)
            for _ in range(MOST_PICKLES):
                names |= {operation.name for operation, _, _ in pickletools.genops(stream)}
    except Exception:  # of many kinds, where it is no pickle or ends
        pass
    return bool(names & {"GLOBAL", "STACK_GLOBAL", "INST"})
