"""Images and labels in another size."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

_AT_A_TIME = 4  # the most bands that OpenCV averages at once


def find_seen_size(
    size: tuple[int, int], *, image_scale: float, image_size: tuple[int, int] | None
) -> tuple[int, int]:
    """Height and width of an image as the network sees it, in pixels.

    Args:
        size: height and width of the image.
        image_scale: factor by which it is shrunk.
        image_size: height and width of all images; None for none.
    """
    if image_size is not None:
        return image_size
    return max(1, round(size[0] * image_scale)), max(1, round(size[1] * image_scale))


def resize_image(image: npt.NDArray[Any], *, height: int, width: int) -> npt.NDArray[Any]:
    """An image (H, W, C) of any type in another size: averages where it shrinks."""
    if image.shape[:2] == (height, width):
        return image
    shrinks = height * width < image.shape[0] * image.shape[1]
    # INTER_LINEAR would give jagged edges when it down-samples.
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return by_bands(lambda part: cv2.resize(part, (width, height), interpolation=how), image)


def by_bands(
    change: Callable[[npt.NDArray[Any]], npt.NDArray[Any]], image: npt.NDArray[Any]
) -> npt.NDArray[Any]:
    """Change an image (H, W, C) of any number of bands by a function of OpenCV's.

    OpenCV takes four bands at most for some of its work, and drops the axis of a single one.
    """
    if image.shape[2] <= _AT_A_TIME:
        changed = change(image)
        return changed.reshape(*changed.shape[:2], image.shape[2])
    parts = [
        change(np.ascontiguousarray(bands))
        for bands in np.split(image, range(_AT_A_TIME, image.shape[2], _AT_A_TIME), axis=2)
    ]
    return np.concatenate([part.reshape(*part.shape[:2], -1) for part in parts], axis=2)


def resize_label(label: npt.NDArray[np.uint8], *, height: int, width: int) -> npt.NDArray[np.uint8]:
    """A label (H, W) in another size: the nearest pixels."""
    resized = cv2.resize(label, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(resized, np.uint8)
