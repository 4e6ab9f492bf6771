"""Data augmentation for training. Only this file imports albumentations."""

import os
import random
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

# On import, albumentations looks for a newer version on the internet, unless this is set.
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"

import albumentations as A
import cv2

from tiramisu.data.labels import IGNORE_INDEX

# ImageNet's mean color, which is close to 0 after normalization, like the zero padding inside the
# network. Padded pixels are void, so that the loss ignores them.
_PADDING_COLOR = (124, 116, 104)


@dataclass(frozen=True, kw_only=True)
class TrainTransform:
    """Padding, then random scale, crop, flip and color, in this order.

    The label of a whole image is not changed.

    Raises:
        ValueError: a value is outside its range.
    """

    crop: tuple[int, int] | None
    """(height, width) in pixels of a crop at a random place. Smaller images are padded, with void
    labels. None keeps the size."""
    scale: tuple[float, float] = (1.0, 1.0)
    """The image is resized by a random factor, uniform in this range; (1, 1) for none."""
    flip: bool
    """Whether half of the images are mirrored left to right."""
    color: float = 0.0
    """Strength, 0 to 1, of random brightness, contrast, gamma, hue and saturation."""
    pad: int = 0
    """Pixels of padding on all four sides, with void labels, before the crop. The DenseNet paper
    uses 4, with a crop of the image's size, for CIFAR."""
    whole_from: int | None = None
    """From this epoch on, counted from 0, images stay whole: only flip and color change them, so
    that training ends at the size of inference. None for never."""

    def __post_init__(self) -> None:
        low, high = self.scale
        if not 0 < low <= high:
            raise ValueError(
                f"scale is {self.scale}; expected two factors above 0, the smaller one first"
            )
        if not 0 <= self.color <= 1:
            raise ValueError(f"color is {self.color}; expected a strength from 0 to 1")
        if self.crop is not None and min(self.crop) < 1:
            raise ValueError(f"crop is {self.crop}; expected height and width in pixels, 1 or more")
        if self.pad < 0 or (self.pad and self.crop is None):
            raise ValueError(
                f"pad is {self.pad}, crop {self.crop}; expected 0 pixels or more, and only with a "
                "crop"
            )

    def __call__(
        self, image: npt.NDArray[Any], label: npt.NDArray[Any], *, seed: int, epoch: int = 0
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        rng = np.random.default_rng(seed)
        if self.whole_from is None or epoch < self.whole_from:
            image, label = self._scale_and_crop(image, label, rng=rng)
        if self.flip and rng.random() < 0.5:
            image, label = cv2.flip(image, 1), cv2.flip(label, 1) if label.ndim else label
        if self.color:
            # set_random_seed would give every step the same random numbers.
            self._color_steps.set_random_state(rng, random.Random(seed))
            image = self._color_steps(image=image)["image"]
        return image, label

    @cached_property
    def _color_steps(self) -> A.Compose:
        steps = [
            A.RandomBrightnessContrast(
                brightness_limit=0.4 * self.color, contrast_limit=0.4 * self.color, p=0.8
            ),
            A.RandomGamma(gamma_limit=(100 - 40 * self.color, 100 + 40 * self.color), p=0.5),
            A.HueSaturationValue(
                hue_shift_limit=10 * self.color,
                sat_shift_limit=50 * self.color,
                val_shift_limit=0,
                p=0.5,
            ),
        ]
        return A.Compose(steps)

    def _scale_and_crop(
        self, image: npt.NDArray[Any], label: npt.NDArray[Any], *, rng: np.random.Generator
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Pad, scale and crop."""
        factor = rng.uniform(*self.scale)
        if self.pad:
            image, label = _pad(image, label, self.pad)
        if self.crop is not None:
            return _cut(image, label, self.crop, factor=factor, rng=rng)
        if factor == 1:
            return image, label
        height, width = (max(1, round(side * factor)) for side in image.shape[:2])
        return _resize(image, label, height=height, width=width)


def _pad(
    image: npt.NDArray[Any], label: npt.NDArray[Any], pad: int
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    sides = (pad, pad, pad, pad, cv2.BORDER_CONSTANT)
    image = cv2.copyMakeBorder(image, *sides, value=_PADDING_COLOR)
    return image, cv2.copyMakeBorder(label, *sides, value=IGNORE_INDEX) if label.ndim else label


def _cut(
    image: npt.NDArray[Any],
    label: npt.NDArray[Any],
    crop: tuple[int, int],
    *,
    factor: float,
    rng: np.random.Generator,
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """A crop at a random place of the resized image.

    The crop is cut out of the original first, so that only its own pixels are resized.
    """
    sources, targets = [], []
    for side, wanted in zip(image.shape[:2], crop, strict=True):
        length = max(1, round(wanted / factor))  # in pixels of the original
        # A smaller image is shown whole, with padding around it.
        size = wanted if length <= side else min(wanted, max(1, round(side * factor)))
        length = min(length, side)
        start = int(rng.integers(side - length, endpoint=True))
        place = int(rng.integers(wanted - size, endpoint=True))
        sources.append(slice(start, start + length))
        targets.append(slice(place, place + size))
    source, target = tuple(sources), tuple(targets)
    height, width = (part.stop - part.start for part in target)
    label = label[source] if label.ndim else label
    image, label = _resize(image[source], label, height=height, width=width)
    if (height, width) == crop:
        return image, label
    padded = np.empty((*crop, 3), np.uint8)
    padded[:] = _PADDING_COLOR
    padded[target] = image
    if not label.ndim:
        return padded, label
    padded_label = np.full(crop, IGNORE_INDEX, np.uint8)
    padded_label[target] = label
    return padded, padded_label


def _resize(
    image: npt.NDArray[Any], label: npt.NDArray[Any], *, height: int, width: int
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    if image.shape[:2] == (height, width):
        return image, label
    smaller = height * width < image.shape[0] * image.shape[1]
    interpolation = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    image = cv2.resize(image, (width, height), interpolation=interpolation)
    if label.ndim:
        label = cv2.resize(label, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    return image, label
