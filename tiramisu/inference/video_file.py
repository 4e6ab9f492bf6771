"""Reading a video file, from any source."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from tiramisu.data.plain_file import check_plain_file
from tiramisu.data.readers.size_limit import check_size
from tiramisu.text import show_path
from tiramisu.visual.pictures import Picture

# FFmpeg plays text files that list others, wherever these are, and files that only name others. It
# may open the formats that start like this, at this place: MP4 and MOV, AVI, Matroska and WebM,
# MPEG, MPEG-TS.
_STARTS = (
    *((4, kind) for kind in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")),
    (8, b"AVI "),
    (0, b"\x1a\x45\xdf\xa3"),
    (0, b"\0\0\1"),
    (188, b"G"),
)
_USUAL_RATE = 25.0


@dataclass(frozen=True, kw_only=True)
class Video:
    """A video that is open."""

    rate: float
    """Frames per second."""
    announced: int
    """Number of frames by its header, which may be wrong; 0 if it does not say."""
    frames: Iterator[Picture]


@contextmanager
def open_video(path: Path) -> Iterator[Video]:
    """Open a video file; its frames are read within the block.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, its frames are too large, or it is no video; the message
            names it.
    """
    check_plain_file(path, kind="video")
    try:
        file = path.open("rb")
        head = file.read(256)
    except OSError as error:
        raise ValueError(f"cannot read {show_path(path)} ({error.strerror})") from error
    with file:
        if not any(head.startswith(magic, place) for place, magic in _STARTS):
            raise ValueError(
                f"{show_path(path)} is damaged or is no video: it does not start like one"
            )
        file.seek(0)
        capture = cv2.VideoCapture(_opencv_name(path, file.fileno()), cv2.CAP_FFMPEG)
        try:
            height, width = (
                int(max(0, capture.get(side)))
                for side in (cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH)
            )
            check_size(path, height=height, width=width)
            rate = capture.get(cv2.CAP_PROP_FPS)
            yield Video(
                rate=rate if math.isfinite(rate) and rate > 0 else _USUAL_RATE,
                announced=max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT))),
                frames=_frames(capture),
            )
        finally:
            capture.release()


def _opencv_name(path: Path, descriptor: int) -> str:
    """A name under which OpenCV, which takes only UTF-8, opens a file that is open already."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return f"/dev/fd/{descriptor}"
    return str(path)


def _frames(capture: cv2.VideoCapture) -> Iterator[Picture]:
    while True:
        ok, frame = capture.read()
        if not ok:
            return
        yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB).astype(np.uint8)
