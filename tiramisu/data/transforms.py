"""Data augmentation for training. Only this file imports albumentations."""

import os
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

# On import, albumentations looks for a newer version on the internet, unless this is set.
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"

import albumentations as A
import cv2

from tiramisu.data.labels import IGNORE_INDEX
from tiramisu.data.sample import Transform

# ImageNet's mean color, which is close to 0 after normalization, like the zero padding inside the
# network. Padded pixels are void, so that the loss ignores them.
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
    """Padding, then random scale, crop, flip and color, in this order.

    The label of a whole image is not changed.

    Args:
        crop: (height, width) in pixels of a crop at a random place. Smaller images are padded,
            with void labels. None keeps the size.
        scale: the image is resized by a random factor, uniform in this range; (1, 1) for none.
        flip: whether half of the images are mirrored left to right.
        color: strength, 0 to 1, of random brightness, contrast, gamma, hue and saturation.
        pad: pixels of padding on all four sides, with void labels, before the crop. The DenseNet
            paper uses 4, with a crop of the image's size, for CIFAR.
        whole_from: from this epoch on, counted from 0, images stay whole: only flip and color
            change them, so that training ends at the size of inference. None for never.

    Raises:
        ValueError: a value is outside its range.
    """
    low, high = scale
    if not 0 < low <= high:
        raise ValueError(f"scale is {scale}; expected two factors above 0, the smaller one first")
    if not 0 <= color <= 1:
        raise ValueError(f"color is {color}; expected a strength from 0 to 1")
    if crop is not None and min(crop) < 1:
        raise ValueError(f"crop is {crop}; expected height and width in pixels, 1 or more")
    if pad < 0 or (pad and crop is None):
        raise ValueError(
            f"pad is {pad}, crop {crop}; expected 0 pixels or more, and only with a crop"
        )
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
        self, image: npt.NDArray[Any], label: npt.NDArray[Any], *, seed: int, epoch: int = 0
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        rng = np.random.default_rng(seed)
        if self.whole_from is None or epoch < self.whole_from:
            image, label = self._scale_and_crop(image, label, rng=rng)
        if self.flip and rng.random() < 0.5:
            image, label = cv2.flip(image, 1), cv2.flip(label, 1) if label.ndim else label
        if self.colors is not None:
            # set_random_seed would give every step the same random numbers.
            self.colors.set_random_state(rng, random.Random(seed))
            image = self.colors(image=image)["image"]
        return image, label

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
