"""Random changes for training. Nothing else imports albumentations."""

import os
import random
from collections.abc import Sequence

import numpy as np

# albumentations asks the network for its newest version on import, unless told not to.
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"

import albumentations as A
import cv2

from tiramisu.data.labels import IGNORE_INDEX
from tiramisu.data.sample import Transform

# ImageNet's mean colour: near 0 after normalisation, whatever the data set, as is the zero padding
# inside the network. Its label is void, so nothing is learnt about it.
_PADDING_COLOR = (124, 116, 104)


def train_transform(
    *,
    crop: tuple[int, int] | None,
    scale: tuple[float, float] = (1.0, 1.0),
    flip: bool,
    color: float = 0.0,
    pad: int = 0,
    whole_from: int | None = None,
) -> Transform:
    """A margin, then random scale, crop, flip and colour, in this order.

    The label of a whole image stays what it is.

    crop: (height, width) in pixels, cut at a random place; smaller images are padded, with void
        labels. None keeps the size.
    scale: the image is resized by a factor drawn evenly from this range; (1, 1) for none.
    flip: left and right are swapped half of the time.
    color: strength 0..1 of random brightness, contrast, gamma, hue and saturation.
    pad: pixels of margin on all four sides, with void labels, so that the crop can lie partly
        beside the image (4, and a crop of the image's size: DenseNet's recipe for CIFAR).
    whole_from: epoch, counted from 0, from which on images stay whole: only flip and colour change
        them, so that a run ends at the size of use. None for never.

    Raises ValueError for values outside these ranges.
    """
    low, high = scale
    if not 0 < low <= high:
        raise ValueError(f"scale is {scale}; expected two factors above 0, the smaller one first.")
    if not 0 <= color <= 1:
        raise ValueError(f"color is {color}; expected a strength from 0 to 1.")
    if crop is not None and min(crop) < 1:
        raise ValueError(f"crop is {crop}; expected height and width in pixels, 1 or more.")
    if pad < 0 or (pad and crop is None):
        raise ValueError(f"pad is {pad}, crop {crop}; expected 0 pixels or more, and with a crop.")
    colors = _color_steps(color) if color > 0 else ()
    return _TrainTransform(
        crop=crop, scale=scale, flip=flip, colors=colors, pad=pad, whole_from=whole_from
    )


def _color_steps(strength: float) -> list[A.BasicTransform]:
    return [
        A.RandomBrightnessContrast(
            brightness_limit=0.4 * strength, contrast_limit=0.4 * strength, p=0.8
        ),
        A.RandomGamma(gamma_limit=(100 - 40 * strength, 100 + 40 * strength), p=0.5),
        A.HueSaturationValue(
            hue_shift_limit=10 * strength,
            sat_shift_limit=50 * strength,
            val_shift_limit=0,
            p=0.5,
        ),
    ]


class _TrainTransform:
    def __init__(
        self,
        *,
        crop: tuple[int, int] | None,
        scale: tuple[float, float],
        flip: bool,
        colors: Sequence[A.BasicTransform],
        pad: int,
        whole_from: int | None,
    ) -> None:
        self.crop = crop
        self.scale = scale
        self.flip = flip
        self.pad = pad
        self.whole_from = whole_from
        self.colors = A.Compose(colors) if colors else None

    def __call__(
        self, image: np.ndarray, label: np.ndarray, *, seed: int, epoch: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        if self.whole_from is None or epoch < self.whole_from:
            image, label = self._move(image, label, rng=rng)
        if self.flip and rng.random() < 0.5:
            image, label = cv2.flip(image, 1), cv2.flip(label, 1) if label.ndim else label
        if self.colors is not None:
            # Not set_random_seed: that gives every step the same stream of numbers.
            self.colors.set_random_state(rng, random.Random(seed))
            image = self.colors(image=image)["image"]
        return image, label

    def _move(
        self, image: np.ndarray, label: np.ndarray, *, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Margin, scale and crop."""
        factor = rng.uniform(*self.scale)
        if self.pad:
            image, label = _add_margin(image, label, self.pad)
        if self.crop is not None:
            return _cut(image, label, self.crop, factor=factor, rng=rng)
        if factor == 1:
            return image, label
        height, width = (max(1, round(side * factor)) for side in image.shape[:2])
        return _resize(image, label, height=height, width=width)


def _add_margin(image: np.ndarray, label: np.ndarray, pad: int) -> tuple[np.ndarray, np.ndarray]:
    sides = (pad, pad, pad, pad, cv2.BORDER_CONSTANT)
    image = cv2.copyMakeBorder(image, *sides, value=_PADDING_COLOR)
    return image, cv2.copyMakeBorder(label, *sides, value=IGNORE_INDEX) if label.ndim else label


def _cut(
    image: np.ndarray,
    label: np.ndarray,
    crop: tuple[int, int],
    *,
    factor: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """A crop at a random place of the image resized by a factor: only what it shows is resized."""
    seen, filled = [], []
    for side, wanted in zip(image.shape[:2], crop, strict=True):
        length = max(1, round(wanted / factor))  # of the image as it is
        # An image that is smaller is shown whole, with a margin around it.
        size = wanted if length <= side else min(wanted, max(1, round(side * factor)))
        length = min(length, side)
        start = int(rng.integers(side - length, endpoint=True))
        place = int(rng.integers(wanted - size, endpoint=True))
        seen.append(slice(start, start + length))
        filled.append(slice(place, place + size))
    shown, inside = tuple(seen), tuple(filled)
    height, width = (part.stop - part.start for part in inside)
    label = label[shown] if label.ndim else label
    image, label = _resize(image[shown], label, height=height, width=width)
    if (height, width) == crop:
        return image, label
    padded = np.empty((*crop, 3), np.uint8)
    padded[:] = _PADDING_COLOR
    padded[inside] = image
    if not label.ndim:
        return padded, label
    padded_label = np.full(crop, IGNORE_INDEX, np.uint8)
    padded_label[inside] = label
    return padded, padded_label


def _resize(
    image: np.ndarray, label: np.ndarray, *, height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    if image.shape[:2] == (height, width):
        return image, label
    smaller = height * width < image.shape[0] * image.shape[1]
    interpolation = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    image = cv2.resize(image, (width, height), interpolation=interpolation)
    if label.ndim:
        label = cv2.resize(label, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    return image, label
