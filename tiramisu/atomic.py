"""Files that appear under their name only when they are complete."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def write_then_rename(path: Path) -> Iterator[Path]:
    """A path to write to; when the block ends well the file takes the name `path`.

    The file under that name, if any, stays as it was until then. If the block raises, what was
    written is removed. The temporary name has the suffix of `path`, because some libraries choose
    the format of a file by it.

    Args:
        path: the file to write, in a folder that exists.
    """
    partial = path.with_name(f"{path.stem}.partial{path.suffix}")
    try:
        partial.touch()
        mode = partial.stat().st_mode
        yield partial
        partial.chmod(mode)  # some libraries write files that only their owner can read
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
