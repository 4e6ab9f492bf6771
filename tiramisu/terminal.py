"""Standard output that survives closed pipes, full disks and narrow character sets."""

import contextlib
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any, TextIO


def protect_output() -> None:
    """Let standard output and standard error go on when their reader has gone.

    Text that the terminal's character set does not have is written as escapes.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # it was closed before Python started
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
            setattr(sys, name, _Protected(stream))


def quieten_libraries() -> None:
    """Switch off the tips and warnings of Lightning."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Within it, Lightning shows no tips and warnings."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    with warnings.catch_warnings():
        quieten_libraries()
        try:
            yield
        finally:
            logger.setLevel(level)


def quieten_decoders() -> None:
    """Let the libraries that decode images and videos print nothing.

    What they cannot read is an error that names the file. OpenCV reads these variables when it is
    imported, so this is called before.
    """
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    warnings.filterwarnings("ignore", module="PIL")


class _Protected:
    """A stream that writes to nowhere from its first failure on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            self._give_up()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self._give_up()

    def _give_up(self) -> None:
        # The file descriptor is replaced too: Python flushes what is left when it ends.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
