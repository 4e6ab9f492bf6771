"""What a check measures of one image and its labels, beyond counting."""

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tiramisu.data.checking.mask_regions import find_busiest, measure_regions
from tiramisu.data.checking.mask_shift import FloatArray, measure_agreement
from tiramisu.data.near_duplicates import fingerprint

_GRID = 256  # rows and columns of an image that are measured
_WINDOW = 1024  # side of the part of a large mask that is examined at full size
_LARGE = 2_000_000  # pixels from which a mask is large


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelFacts:
    """What is measured of the labels of an image."""

    digest: str
    """SHA-256 of the labels."""
    areas: dict[int, npt.NDArray[np.int64]]
    """As in `Regions`; those of a large mask are estimated at a lower resolution."""
    isolated: npt.NDArray[np.int64]
    """int64 (C,): pixels of each class in regions of 1 to 4 pixels."""
    examined: npt.NDArray[np.int64]
    """int64 (C,): the pixels of each class among which these were searched."""
    agreement: FloatArray | None
    """How well the mask fits its image at small shifts; see `measure_agreement`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SampleFacts:
    """What is measured of an image and its labels. Values are those in the file."""

    brightness: float
    """Mean over all bands; NaN if all pixels are missing."""
    contrast: float
    """Standard deviation over the pixels."""
    low: float
    """A hundredth of the pixels is darker."""
    high: float
    """A hundredth of the pixels is brighter."""
    fingerprint: npt.NDArray[np.float32] | None = None
    """To find near-duplicates; None if they are not searched."""
    labels: LabelFacts | None = None
    """None for classification."""


def measure_sample(
    image: npt.NDArray[Any],
    label: npt.NDArray[np.uint8] | None,
    *,
    num_classes: int,
    with_fingerprint: bool,
) -> SampleFacts:
    """Measure an image and its labels.

    Args:
        image: (H, W, C) of any type.
        label: class ids and void (H, W); None for classification.
        num_classes: number of classes.
        with_fingerprint: whether near-duplicates are searched.
    """
    rows, columns = (-(-side // _GRID) for side in image.shape[:2])
    values = _to_grey(image[::rows, ::columns]).ravel()
    values = values[np.isfinite(values)]
    empty = not len(values)
    low, high = (np.nan, np.nan) if empty else np.percentile(values, [1, 99])
    return SampleFacts(
        brightness=float("nan") if empty else float(values.mean(dtype=np.float64)),
        contrast=0.0 if empty else float(values.std(dtype=np.float64)),
        low=float(low),
        high=float(high),
        fingerprint=fingerprint(image) if with_fingerprint else None,
        labels=None if label is None else _measure_labels(image, label, num_classes=num_classes),
    )


def _measure_labels(
    image: npt.NDArray[Any], label: npt.NDArray[np.uint8], *, num_classes: int
) -> LabelFacts:
    window = (slice(None), slice(None))
    if label.size <= _LARGE:
        regions = measure_regions(label, num_classes=num_classes)
        areas, isolated = regions.areas, regions.isolated
    else:
        # Connected regions of a scene of a hundred megapixels would take minutes.
        step = math.ceil(math.sqrt(label.size / _LARGE))
        coarse = measure_regions(label[::step, ::step], num_classes=num_classes)
        areas = {index: found * step**2 for index, found in coarse.areas.items()}
        window = find_busiest(label, side=_WINDOW)
        isolated = measure_regions(label[window], num_classes=num_classes).isolated
    part = label[window]
    grey = np.nan_to_num(_to_grey(image[window]), posinf=0, neginf=0)
    return LabelFacts(
        digest=hashlib.sha256(label.tobytes()).hexdigest(),
        areas=areas,
        isolated=isolated,
        examined=np.bincount(part.ravel(), minlength=num_classes)[:num_classes],
        agreement=measure_agreement(grey, part),
    )


def _to_grey(image: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """The mean of the bands, (H, W, C) -> (H, W)."""
    grey = image[..., 0].astype(np.float32)
    for band in range(1, image.shape[2]):  # many times as fast as `mean` over an axis of three
        grey += image[..., band]
    return np.asarray(grey / image.shape[2], np.float32)
