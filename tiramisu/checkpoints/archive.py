"""What can be known of torch's archives, `.ckpt` and `.pt2`, before their content is read."""

import pickletools
import zipfile
from contextlib import ExitStack
from pathlib import Path
from typing import IO

MOST_PICKLES = 10
"""Most pickles in one file: the older format of torch has five."""


def check_unpacked(path: Path) -> None:
    """Raise ValueError if an archive is compressed: a small one could then fill the memory."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > path.stat().st_size:
        raise ValueError(f"its content of {size:,} bytes is compressed")


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
