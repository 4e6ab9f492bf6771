"""Scaling: what values of images become 0 and 1 for a network."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tiramisu.data.image_format import ImageFormat, PixelType

ScalingChoice = Literal["type", "statistics"] | tuple[float, float] | None

TYPE_RANGES: dict[PixelType, tuple[float, float]] = {
    "uint8": (0.0, 255.0),
    "uint16": (0.0, 65535.0),
    "int16": (-32768.0, 32767.0),
    "float32": (0.0, 1.0),
}
"""The values that `type` maps to 0 and 1."""
MAX_VALUE = 1e38
"""Largest value, positive or negative, that is scaled: float32 holds little more."""
_MOST_PIXELS = 4_000_000
"""Pixels that are measured in all, at even distances."""
_MOST_OF_IMAGE = 20_000
"""Pixels of an image that are measured."""
_LEAST_STD = 1e-4
"""Smallest standard deviation of values within their range."""
_OUTLIERS = 0.1
"""Percent of the values, on either side, that may lie outside of a measured range."""


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """How the values of each band are scaled."""

    value_range: tuple[tuple[float, float], ...]
    """The two values of each band that become 0 and 1. Others are not cut off."""
    mean: tuple[float, ...] | None = None
    """The mean of each band after that, if it was measured."""
    std: tuple[float, ...] | None = None
    """The standard deviation of each band after that."""

    @property
    def is_measured(self) -> bool:
        return self.mean is not None


RGB_SCALING = Scaling(value_range=(TYPE_RANGES["uint8"],) * 3)
"""That of RGB images of 8 bits, by their type."""


def usual_scaling(
    choice: ScalingChoice, format: ImageFormat
) -> Literal["type", "statistics"] | tuple[float, float]:
    """The way of scaling: as it was chosen, or the usual one for images of a type."""
    if choice is not None:
        return choice
    return "type" if format.pixel_type == "uint8" else "statistics"


def choose_scaling(
    choice: ScalingChoice,
    format: ImageFormat,
    images: Iterable[npt.NDArray[Any]],
    *,
    count: int = 1,
) -> Scaling:
    """The scaling of a data set's images.

    Args:
        choice: as in `DatasetSpec.scaling`.
        format: the bands and the type of the images.
        images: (H, W, C) each, of the training split; read only to measure statistics.
        count: how many they are.

    Raises:
        ValueError: a band has the same value everywhere.
    """
    how = usual_scaling(choice, format)
    if how == "statistics":
        return measure_scaling(images, channels=format.channels, count=count)
    value_range = TYPE_RANGES[format.pixel_type] if how == "type" else how
    return Scaling(value_range=(value_range,) * format.channels)


def measure_scaling(
    images: Iterable[npt.NDArray[Any]], *, channels: int, count: int = 1
) -> Scaling:
    """Measure range, mean and standard deviation of each band.

    The range leaves out 0.1 % of the values on either side. Of an image, at most 20,000 pixels at
    even distances count, and of all `count` images about four million; no-data pixels (NaN) do not.

    Raises:
        ValueError: there is no value, or a band has the same value everywhere.
    """
    most = max(1, min(_MOST_OF_IMAGE, _MOST_PIXELS // count))
    picked = [np.zeros((0, channels), np.float32)]
    for image in images:
        pixels = image.reshape(-1, image.shape[2])  # (H, W, C) -> (H * W, C)
        step = -(-len(pixels) // most)
        picked.append(pixels[::step].astype(np.float32))
    values = np.concatenate(picked)
    ranges, means, stds = [], [], []
    for band in range(channels):
        numbers = values[:, band].astype(np.float64)
        numbers = numbers[~np.isnan(numbers)]
        if not len(numbers) or numbers.min() == numbers.max():
            found = f"is {numbers[0]:g} everywhere" if len(numbers) else "holds no number"
            raise ValueError(
                f"band {band + 1} of the training images {found}; leave it out by --bands (`bands` "
                "in the YAML), or give a --scaling, such as type"
            )
        low, high = np.percentile(numbers, [_OUTLIERS, 100 - _OUTLIERS])
        if low == high:
            low, high = numbers.min(), numbers.max()
        scaled = (numbers - low) / (high - low)
        if max(abs(low), abs(high)) > MAX_VALUE or scaled.std() < _LEAST_STD or scaled.std() > 1e5:
            raise ValueError(
                f"band {band + 1} of the training images has values from {numbers.min():g} to "
                f"{numbers.max():g}, which no scaling spreads well; if one of them means no data, "
                "declare it in the files (GDAL's no-data value, or NaN), or give a --scaling"
            )
        ranges.append((float(low), float(high)))
        means.append(float(scaled.mean()))
        stds.append(float(scaled.std()))
    return Scaling(value_range=tuple(ranges), mean=tuple(means), std=tuple(stds))


def describe_scaling(scaling: Scaling) -> str:
    """A scaling in words, for messages."""
    if len(set(scaling.value_range)) == 1:
        low, high = scaling.value_range[0]
        text = f"{low:g} to {high:g} become 0 to 1"
    else:
        text = ", ".join(f"{low:g} to {high:g}" for low, high in scaling.value_range)
        text = f"{text} (one range for each band) become 0 to 1"
    return f"{text}, by statistics of the training images" if scaling.is_measured else text
