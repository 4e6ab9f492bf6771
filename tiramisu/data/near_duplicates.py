"""Find images that show nearly the same scene, such as neighbouring frames of a video.

If one of them is in train and the other in val, the scores on val are too good: the network has
learnt that image.
"""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from tiramisu.data.resizing import resize_image

SIDE = 32
"""Height and width of the small image that is compared, in pixels."""
THRESHOLD = 0.85
"""Similarity from which two images are near-duplicates, -1 to 1.

Measured on 367 frames of CamVid, 118 photos of asphalt and 12 images of an electron microscope.
Different photos of asphalt reach 0.52, neighbouring slices of the microscope 0.74, and frames of
different videos 0.47. The same image saved as JPEG of quality 40, brighter, noisy, enlarged, or
shrunk by half reaches 0.97, cropped by 3 % 0.92, shifted by 4 of 480 pixels 0.95, by 8 pixels 0.85.
Frames of a video one second apart are above it where the car stands (23 of 364), and below it
where it drives."""
_FINE = 0.75  # blur, in pixels of the small image: images may be shifted against each other
_COARSE = 3.0  # what is coarser, such as a shadow or dark corners, says little about the scene
_CONTRAST = 0.1  # strong edges count no more than about three times as much as weak ones
_MANY = 16  # images, from which their mean shows what they share, and not what is in one of them
_BLOCK = 1024


def fingerprint(image: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """What is compared of an image, float32 (D,): its details in 32 x 32 pixels, of length 1.

    Brightness and contrast do not matter. It is zero for an image without details, such as a black
    one.

    Args:
        image: (H, W, C) of any number of bands and any real type. NaN and infinite values count as
            the mean of their band.
    """
    if image.dtype not in (np.uint8, np.uint16, np.int16, np.float32):
        image = image.astype(np.float32)
    if image.dtype == np.float32 and not np.isfinite(image).all():
        image = _fill(image)
    small = resize_image(image, height=SIDE, width=SIDE)  # (32, 32, C)
    grey = small.astype(np.float32).mean(axis=2)
    grey -= grey.mean()  # the blur of large numbers would be rounded
    details = _blur(grey, _FINE)
    details -= _blur(details, _COARSE)
    power = _blur(details**2, _COARSE)
    if power.mean() <= 1e-10 * max(1e-10, float(np.square(small, dtype=np.float32).mean())):
        return np.zeros(SIDE * SIDE, np.float32)  # only errors of rounding are left
    details /= np.sqrt(power + _CONTRAST * power.mean())
    return np.asarray(_normalize((details - details.mean()).reshape(1, -1))[0], np.float32)


def find_near_duplicates(
    fingerprints: npt.NDArray[np.float32], *, threshold: float = THRESHOLD
) -> list[tuple[int, int]]:
    """The pairs of images that show nearly the same scene.

    What most of the images share, such as the round border of photos of the eye, or the view of a
    camera that stands still, is no sign of it: of 16 images and more, their mean is taken away too.

    Args:
        fingerprints: of all images, float32 (N, D).
        threshold: similarity from which images are near-duplicates, -1 to 1.

    Returns:
        (i, j) with i < j, sorted.
    """
    kinds = [fingerprints]
    if len(fingerprints) >= _MANY:
        kinds.append(_normalize(fingerprints - fingerprints.mean(axis=0)))
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(fingerprints), _BLOCK):
        # (rows, N - start), the smaller similarity of the two kinds
        alike = np.minimum.reduce([kind[start : start + _BLOCK] @ kind[start:].T for kind in kinds])
        rows, columns = np.nonzero(np.triu(alike >= threshold, k=1))
        pairs += zip((rows + start).tolist(), (columns + start).tolist(), strict=True)
    return sorted(pairs)


def _blur(image: npt.NDArray[np.float32], sigma: float) -> npt.NDArray[np.float32]:
    blurred = cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
    return np.asarray(blurred, np.float32)


def _fill(image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The image with the mean of each band in place of values that are not finite."""
    finite = np.isfinite(image)
    total = np.where(finite, image, 0).sum(axis=(0, 1), dtype=np.float64)
    mean = total / np.maximum(1, finite.sum(axis=(0, 1)))
    return np.where(finite, image, mean.astype(np.float32))


def _normalize(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-6), np.float32)
