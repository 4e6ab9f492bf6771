"""Random changes for training, by albumentations. Nothing else imports it."""

import os
import random

import numpy as np

# albumentations asks the network for its newest version on import, unless told not to.
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"

import albumentations as A
import cv2

from tiramisu.data.dataset import Transform
from tiramisu.data.labels import IGNORE_INDEX

# ImageNet's mean colour: near 0 after normalisation, whatever the data set, as is the zero padding
# inside the network. Its label is void, so nothing is learnt about it.
_PADDING_COLOR = (124, 116, 104)


def train_transform(
    *,
    crop: tuple[int, int] | None,
    scale: tuple[float, float] = (1.0, 1.0),
    flip: bool,
    color: float = 0.0,
) -> Transform:
    """Random scale, crop, flip and colour, in this order.

    crop: (height, width) in pixels, cut at a random place; smaller images are padded, with void
        labels. None keeps the size.
    scale: the image is resized by a factor drawn evenly from this range; (1, 1) for none.
    flip: left and right are swapped half of the time.
    color: strength 0..1 of random brightness, contrast, gamma, hue and saturation.

    Raises ValueError for values outside these ranges.
    """
    low, high = scale
    if not 0 < low <= high:
        raise ValueError(f"scale is {scale}; expected two factors above 0, the smaller one first.")
    if not 0 <= color <= 1:
        raise ValueError(f"color is {color}; expected a strength from 0 to 1.")
    if crop is not None and min(crop) < 1:
        raise ValueError(f"crop is {crop}; expected height and width in pixels, 1 or more.")

    steps: list[A.BasicTransform] = []
    if scale != (1, 1):
        steps.append(
            A.RandomScale(
                scale_limit=(low - 1, high - 1),
                interpolation=cv2.INTER_LINEAR,
                mask_interpolation=cv2.INTER_NEAREST_EXACT,
                area_for_downscale="image",
                p=1,
            )
        )
    if crop is not None:
        steps.append(
            A.RandomCrop(
                *crop,
                pad_if_needed=True,
                pad_position="random",
                fill=_PADDING_COLOR,
                fill_mask=IGNORE_INDEX,
                p=1,
            )
        )
    if flip:
        steps.append(A.HorizontalFlip(p=0.5))
    if color > 0:
        steps += [
            A.RandomBrightnessContrast(
                brightness_limit=0.4 * color, contrast_limit=0.4 * color, p=0.8
            ),
            A.RandomGamma(gamma_limit=(100 - 40 * color, 100 + 40 * color), p=0.5),
            A.HueSaturationValue(
                hue_shift_limit=10 * color,
                sat_shift_limit=50 * color,
                val_shift_limit=0,
                p=0.5,
            ),
        ]
    return _Albumentations(A.Compose(steps))


class _Albumentations:
    def __init__(self, compose: A.Compose) -> None:
        self.compose = compose

    def __call__(
        self, image: np.ndarray, label: np.ndarray, *, seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        # Not set_random_seed: that gives every step the same stream of numbers, and would tie,
        # say, the place of the crop to the scale.
        self.compose.set_random_state(np.random.default_rng(seed), random.Random(seed))
        changed = self.compose(image=image, mask=label)
        return changed["image"], changed["mask"]
