"""Whether a mask is shifted against its image, by the edges of both.

Where two classes meet, images have edges more often than elsewhere. So the edges of the image are
read along the borders of the mask, at every small shift of the mask: the agreement is highest where
the mask fits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

FARTHEST = 8
"""The largest shift that is found, up, down, left and right, in pixels."""
NEAREST = 3
"""The smallest shift that is reported: masks drawn by hand are inexact by a pixel or two."""
_REACH = FARTHEST + 2  # a peak at the end of the range may be the slope of one beyond it
_SIDE = 2 * _REACH + 1
_MOST_POINTS = 500  # places on the mask's borders, for each of the two directions
_FEWEST_POINTS = 100
_STRONG = 95  # percentile from which edges of the image count alike
# Measured on CamVid, photos of cracks, electron microscope images and drawn streets. As they are,
# none of their 798 masks is reported. Moved by 4 to 8 pixels, every split is; of single masks that
# are moved, three of four of the cracks and 95 % of the others.
_CLEAR_PEAK = 2.4
_CLEAR_MARGIN = 0.5
_MANY_AGREE = 0.6
_ENOUGH_MASKS = 5


@dataclass(frozen=True, kw_only=True)
class Shift:
    """Masks lie beside what they should cover."""

    down: int
    """How many pixels too low they are; negative for too high."""
    right: int
    """How many pixels too far right they are; negative for too far left."""
    masks: tuple[int, ...]
    """The indices of the masks."""
    is_common: bool
    """Whether most of the masks are shifted alike."""


def measure_agreement(
    image: npt.NDArray[np.float32], label: npt.NDArray[np.uint8]
) -> FloatArray | None:
    """How well a mask fits its image at each small shift.

    Args:
        image: grey (H, W).
        label: class ids and void (H, W).

    Returns:
        float32 (21, 21), for the mask moved by -10 to 10 pixels down and right, of mean 0 and
        standard deviation 1. None if the mask has too few borders, or the image no edges.
    """
    if min(image.shape) <= 4 * _REACH:
        return None
    grey = cv2.GaussianBlur(image, (0, 0), 1)
    total = np.zeros((_SIDE, _SIDE), np.float64)
    count = 0
    for edges, borders in (
        (np.abs(grey[:, 1:] - grey[:, :-1]), label[:, 1:] != label[:, :-1]),
        (np.abs(grey[1:] - grey[:-1]), label[1:] != label[:-1]),
    ):
        strongest = float(np.percentile(edges[::3, ::3], _STRONG))
        if strongest <= 0:
            return None
        edges = np.minimum(edges, strongest) / strongest
        places = np.argwhere(borders[_REACH:-_REACH, _REACH:-_REACH])
        if len(places) > _MOST_POINTS:
            places = places[np.linspace(0, len(places) - 1, _MOST_POINTS).astype(np.int64)]
        around = np.lib.stride_tricks.sliding_window_view(edges, (_SIDE, _SIDE))
        total += around[places[:, 0], places[:, 1]].sum(axis=0)
        count += len(places)
    if count < _FEWEST_POINTS or total.std() <= 1e-6 * count:
        return None
    return np.asarray((total - total.mean()) / total.std(), np.float32)


def find_shifts(agreements: Sequence[FloatArray | None]) -> list[Shift]:
    """Shifts on which most of the masks agree, or with which single masks stand out strongly.

    Args:
        agreements: of each mask of a split, as of `measure_agreement`.

    Returns:
        One for most of the masks, or one for each of some masks, the clearest first; empty if the
        masks fit.
    """
    measured = [i for i, agreement in enumerate(agreements) if agreement is not None]
    if len(measured) < _ENOUGH_MASKS:
        return []
    maps = np.stack([agreement for agreement in agreements if agreement is not None])
    peaks = np.array([_find_peak(agreement) for agreement in maps])  # (N, 2)
    common = _find_peak(maps.mean(axis=0))
    agree = np.abs(peaks - common).max(axis=1) <= 1
    if _is_reported(common) and agree.mean() >= _MANY_AGREE:
        masks = tuple(measured[i] for i in np.flatnonzero(agree))
        return [Shift(down=-common[0], right=-common[1], masks=masks, is_common=True)]
    if np.abs(common).max() >= NEAREST or agree.mean() < _MANY_AGREE:
        return []  # the edges of these images say little about the borders of their classes
    here = maps[:, _REACH - 1 : _REACH + 2, _REACH - 1 : _REACH + 2].max(axis=(1, 2))
    highest = maps.max(axis=(1, 2))
    clear = (highest >= _CLEAR_PEAK) & (highest - here >= _CLEAR_MARGIN)
    order = np.argsort(here - highest, kind="stable")
    return [
        Shift(down=-peaks[i][0], right=-peaks[i][1], masks=(measured[i],), is_common=False)
        for i in order
        if clear[i] and _is_reported(peaks[i])
    ]


def _find_peak(agreement: FloatArray) -> tuple[int, int]:
    """By how many pixels down and right the mask fits best."""
    row, column = np.unravel_index(int(agreement.argmax()), agreement.shape)
    return int(row) - _REACH, int(column) - _REACH


def _is_reported(shift: Sequence[int]) -> bool:
    return NEAREST <= max(map(abs, shift)) <= FARTHEST
