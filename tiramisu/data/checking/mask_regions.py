"""The connected regions of each class in a mask: the sizes of objects, and isolated pixels."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

LARGEST_SPECK = 4
"""Most pixels of a region that counts as isolated pixels and not as an object."""
_MOST_AREAS = 1000  # areas that are kept of a class in a mask, at even distances in their order


@dataclass(frozen=True, kw_only=True, eq=False)
class Regions:
    """The connected regions of one mask. Pixels that touch at a corner are connected."""

    areas: dict[int, npt.NDArray[np.int64]]
    """The areas of the objects of each class that is there, in pixels, ascending."""
    isolated: npt.NDArray[np.int64]
    """int64 (C,): pixels of each class in regions of 1 to 4 pixels."""


def measure_regions(label: npt.NDArray[np.uint8], *, num_classes: int) -> Regions:
    """Measure the connected regions of the classes in a mask.

    Regions of 1 to 4 pixels are no objects, unless a class has no others.

    Args:
        label: class ids (H, W); ids from `num_classes` on, such as void, are left out.
        num_classes: number of classes.
    """
    areas: dict[int, npt.NDArray[np.int64]] = {}
    isolated = np.zeros(num_classes, np.int64)
    counts = np.bincount(label.ravel(), minlength=num_classes)[:num_classes]
    for index in np.flatnonzero(counts):
        mask = (label == index).view(np.uint8)
        left, top, width, height = cv2.boundingRect(mask)
        mask = mask[top : top + height, left : left + width]
        stats = cv2.connectedComponentsWithStats(mask, connectivity=8)[2]
        found = np.sort(stats[1:, cv2.CC_STAT_AREA].astype(np.int64))
        objects = found[found > LARGEST_SPECK]
        isolated[index] = found.sum() - objects.sum()
        areas[int(index)] = _pick(objects if len(objects) else found)
    return Regions(areas=areas, isolated=isolated)


def find_busiest(label: npt.NDArray[np.uint8], *, side: int) -> tuple[slice, slice]:
    """The part of a mask with the most borders between classes, as slices of rows and columns.

    Args:
        label: class ids and void (H, W).
        side: height and width of the part; less where the mask is smaller.
    """
    most, part = -1, (slice(0, side), slice(0, side))
    step = max(1, side // 256)  # of large parts, some pixels tell
    for top in _starts(label.shape[0], side):
        for left in _starts(label.shape[1], side):
            coarse = label[top : top + side : step, left : left + side : step]
            borders = int(np.count_nonzero(coarse[:, 1:] != coarse[:, :-1]))
            borders += int(np.count_nonzero(coarse[1:] != coarse[:-1]))
            if borders > most:
                most, part = borders, (slice(top, top + side), slice(left, left + side))
    return part


def _starts(length: int, side: int) -> list[int]:
    """Where parts begin that cover a length, each half a side after the last."""
    last = max(0, length - side)
    return [*range(0, last, max(1, side // 2)), last]


def _pick(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    if len(values) <= _MOST_AREAS:
        return values
    return values[np.linspace(0, len(values) - 1, _MOST_AREAS).astype(np.int64)]
