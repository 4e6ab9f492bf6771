"""Where a segmentation is wrong: how well it meets borders, and which objects it misses."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from tiramisu.visual.pictures import Label

Counts = npt.NDArray[np.int64]
Shares = npt.NDArray[np.float64]

BORDER_SHARE = 0.02
"""Width of the band at borders for boundary IoU, as a part of the image's diagonal: arXiv
2103.16562, section 4."""
DISTANCES = (0, 2, 4, 8, 16, 32)
"""From which distances to the nearest border on, in pixels, pixels are counted together."""
SIDES = (0, 8, 16, 32, 64, 128)
"""From which size on, the side of a square of the same area in pixels, objects are."""
_LONGEST = 4096
"""Images with longer sides are analysed in parts of this side, which bounds memory."""


def divide(part: npt.ArrayLike, whole: npt.ArrayLike) -> Shares:
    """Quotients; 0 / 0 is NaN, which is left out of means."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.true_divide(part, whole))


def mean_without_nan(values: Shares) -> float:
    """The mean of the values that are no NaN; NaN if there is none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan


@dataclass(frozen=True, kw_only=True, eq=False)
class ErrorAnalysis:
    """What is wrong in a split; void pixels are ignored."""

    boundary_iou: Shares
    """Boundary IoU of each class, (C,), arXiv 2103.16562: the IoU of the pixels of a class that lie
    at its borders; NaN for a class that is absent from labels and predictions."""
    near_border: Counts
    """int64 (2, D): labelled pixels, and wrong ones of them, by their distance to the nearest
    border between classes of the labels, in the bins of `DISTANCES`."""
    by_size: Counts
    """int64 (3, S): objects, their pixels, and wrong ones of these, by the size of the object, in
    the bins of `SIDES`. An object is a connected region of a class."""

    @property
    def mean_boundary_iou(self) -> float:
        """Mean over the classes that occur in labels or predictions."""
        return mean_without_nan(self.boundary_iou)


@dataclass
class ErrorMeter:
    """Adds up the errors of images one by one."""

    num_classes: int
    ignore_index: int
    boundaries: Counts = field(init=False)
    near_border: Counts = field(init=False)
    by_size: Counts = field(init=False)

    def __post_init__(self) -> None:
        self.boundaries = np.zeros((2, self.num_classes), np.int64)
        self.near_border = np.zeros((2, len(DISTANCES)), np.int64)
        self.by_size = np.zeros((3, len(SIDES)), np.int64)

    def update(self, prediction: Label, label: Label) -> Shares:
        """Add an image; returns its own boundary IoU of each class, (C,).

        Args:
            prediction: class ids (H, W).
            label: class ids and void (H, W).
        """
        width = max(1, round(BORDER_SHARE * math.hypot(*label.shape)))
        boundaries = np.zeros_like(self.boundaries)
        for part in _split(label.shape):
            truth = label[part]
            # Where labels are void, a prediction has no border of its own.
            predicted = np.where(truth == self.ignore_index, truth, prediction[part])
            wrong = predicted != truth
            boundaries += self._count_boundaries(predicted, truth, width=width)
            self._add_distances(truth, wrong)
            self._add_objects(truth, wrong)
        self.boundaries += boundaries
        return divide(*boundaries)

    def merge(self, other: "ErrorMeter") -> None:
        """Add what another one has added up."""
        self.boundaries += other.boundaries
        self.near_border += other.near_border
        self.by_size += other.by_size

    def compute(self) -> ErrorAnalysis:
        """The analysis of all images."""
        return ErrorAnalysis(
            boundary_iou=divide(*self.boundaries),
            near_border=self.near_border,
            by_size=self.by_size,
        )

    def _count_boundaries(self, predicted: Label, truth: Label, *, width: int) -> Counts:
        """Intersection and union of the borders of each class, (2, C)."""
        counts = np.zeros((2, self.num_classes), np.int64)
        for index in self._classes_in(predicted, truth):
            both = _find_boundary(predicted == index, width), _find_boundary(truth == index, width)
            counts[:, index] = (
                np.count_nonzero(both[0] & both[1]),
                np.count_nonzero(both[0] | both[1]),
            )
        return counts

    def _add_distances(self, truth: Label, wrong: npt.NDArray[np.bool_]) -> None:
        known = truth != self.ignore_index
        border = np.zeros(truth.shape, bool)
        for here, there in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
            differ = (truth[here] != truth[there]) & known[here] & known[there]
            border[here] |= differ
            border[there] |= differ
        if border.any():
            distance = cv2.distanceTransform((~border).view(np.uint8), cv2.DIST_L2, 5)
            bins = np.searchsorted(DISTANCES, distance, side="right") - 1
        else:
            bins = np.full(truth.shape, len(DISTANCES) - 1)
        for row, mask in enumerate((known, wrong)):
            self.near_border[row] += np.bincount(bins[mask], minlength=len(DISTANCES))

    def _add_objects(self, truth: Label, wrong: npt.NDArray[np.bool_]) -> None:
        for index in self._classes_in(truth):
            mask = (truth == index).view(np.uint8)
            number, regions = cv2.connectedComponents(mask, connectivity=8)
            pixels = np.bincount(regions.ravel(), minlength=number)[1:]
            missed = np.bincount(regions[wrong], minlength=number)[1:]
            bins = np.searchsorted(SIDES, np.sqrt(pixels), side="right") - 1
            for row, weights in enumerate((None, pixels, missed)):
                counted = np.bincount(bins, weights, minlength=len(SIDES))
                self.by_size[row] += counted.astype(np.int64)

    def _classes_in(self, *labels: Label) -> list[int]:
        there = set().union(*(np.unique(label).tolist() for label in labels))
        return sorted(index for index in there if index < self.num_classes)


def _find_boundary(mask: npt.NDArray[np.bool_], width: int) -> npt.NDArray[np.bool_]:
    """The pixels of a mask that so many erosions take away; it ends where the image ends."""
    padded = np.pad(mask, 1).view(np.uint8)
    return mask & (cv2.distanceTransform(padded, cv2.DIST_C, 3)[1:-1, 1:-1] <= width)


def _split(shape: tuple[int, ...]) -> Iterator[tuple[slice, slice]]:
    for top in range(0, shape[0], _LONGEST):
        for left in range(0, shape[1], _LONGEST):
            yield slice(top, top + _LONGEST), slice(left, left + _LONGEST)
