"""Images and labels in another size."""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

_AT_A_TIME = 4  # the most bands that OpenCV averages at once


def resize_image(image: npt.NDArray[Any], *, height: int, width: int) -> npt.NDArray[Any]:
    """An image (H, W, C) of any type in another size: averages where it shrinks."""
    if image.shape[:2] == (height, width):
        return image
    shrinks = height * width < image.shape[0] * image.shape[1]
    # INTER_LINEAR would give jagged edges when it down-samples.
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    if image.shape[2] <= _AT_A_TIME:
        resized = cv2.resize(image, (width, height), interpolation=how)
        return resized.reshape(height, width, image.shape[2])
    parts = [
        cv2.resize(np.ascontiguousarray(bands), (width, height), interpolation=how)
        for bands in np.split(image, range(_AT_A_TIME, image.shape[2], _AT_A_TIME), axis=2)
    ]
    return np.concatenate([part.reshape(height, width, -1) for part in parts], axis=2)


def resize_label(label: npt.NDArray[np.uint8], *, height: int, width: int) -> npt.NDArray[np.uint8]:
    """A label (H, W) in another size: the nearest pixels."""
    resized = cv2.resize(label, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(resized, np.uint8)
