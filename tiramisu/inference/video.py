"""Prediction of videos, frame by frame."""

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np

from tiramisu.atomic import write_then_rename
from tiramisu.data.background import find_unpainted
from tiramisu.inference.predict import predict_pixels, read_pixels
from tiramisu.inference.predictor import Predictor
from tiramisu.inference.tiles import Tile
from tiramisu.inference.video_file import open_video
from tiramisu.progress import track
from tiramisu.text import path_text, show_path
from tiramisu.visual.pictures import Picture, draw_legend, stack

log = logging.getLogger(__name__)


def predict_video(
    model: Predictor,
    path: str | Path,
    *,
    out: str | Path,
    tile: Tile = "auto",
    tta: bool = False,
    opacity: float = 0.5,
    unpainted: Sequence[str] | None = None,
) -> dict[str, object]:
    """Write a video under the colours of its classes, with a legend of all classes below.

    The result is an .mp4 file (codec mp4v, without sound), at the same frame rate. It appears under
    its name when it is complete. For the options, see `predict_probabilities` and
    `Prediction.overlay`.

    Returns:
        Frame size, number of frames, frame rate and mean shares of the classes, for JSON.

    Raises:
        ValueError: the video cannot be read, or this OpenCV cannot write mp4v.
    """
    out = Path(out)
    if path_text(out) != str(out):  # OpenCV ends the process
        raise ValueError(
            f"cannot write {show_path(out)}: OpenCV writes videos only where the path is UTF-8; "
            "give another folder"
        )
    writer = cv2.VideoWriter()
    shares: list[list[float]] = []
    size = (0, 0)
    legend: Picture | None = None
    with (
        open_video(Path(path)) as video,
        write_then_rename(out) as partial,
        ExitStack() as opened,
    ):
        opened.callback(writer.release)
        total = video.announced or None
        for frame in track(video.frames, doing="predicting", unit="frames", total=total):
            pixels = read_pixels(frame, model.info.image_format)
            prediction = predict_pixels(model, pixels, tile=tile, tta=tta)
            shares.append(list(prediction.shares.values()))
            if legend is None:
                # All classes and no shares, so that the legend is the same for all frames.
                size = frame.shape[:2]
                names, colors = prediction.class_names, prediction.colors
                bare = find_unpainted(names, unpainted)
                legend = draw_legend(names, colors, size=size, unpainted=bare)
            painted = prediction.overlay(frame, opacity=opacity, unpainted=unpainted)
            picture = stack([painted, legend])
            height, width = picture.shape[:2]
            # The codec takes only even sizes: a white row or column is added where needed.
            even = ((0, height % 2), (0, width % 2), (0, 0))
            picture = np.pad(picture, even, constant_values=255)
            if not writer.isOpened():
                _open(writer, partial, rate=video.rate, picture=picture, out=out)
            writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        if not shares:
            raise ValueError(
                f"{show_path(path)} is damaged or is no video: not one frame can be read"
            )
        writer.release()
        # OpenCV does not tell when it cannot write, such as on a full disk.
        found = _count_frames(partial)
        if found < len(shares):
            raise ValueError(
                f"cannot write {out}: only {found} of {len(shares)} frames could be read back; is "
                "the disk full?"
            )
    if len(shares) < 0.9 * video.announced:
        log.warning("%s ended after %d of %d frames", show_path(path), len(shares), video.announced)
    means = np.mean(shares, axis=0).tolist()
    return {
        "width": size[1],
        "height": size[0],
        "frames": len(shares),
        "frames_per_second": video.rate,
        "shares": dict(zip(model.info.class_names, means, strict=True)),
    }


def _count_frames(path: Path) -> int:
    capture = cv2.VideoCapture(str(path))
    count = 0
    while capture.grab():
        count += 1
    capture.release()
    return count


def _open(writer: cv2.VideoWriter, path: Path, *, rate: float, picture: Picture, out: Path) -> None:
    size = (picture.shape[1], picture.shape[0])
    if not writer.open(str(path), cv2.VideoWriter.fourcc(*"mp4v"), rate, size):
        raise ValueError(
            f"cannot write {out}: the disk is full, or this OpenCV has no mp4v codec; "
            "opencv-python-headless from PyPI has it"
        )
