"""Data augmentation for training. Only this file imports albumentations."""

import os
import random
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

# On import, albumentations looks for a newer version on the internet, unless this is set.
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"

import albumentations as A
import cv2

from tiramisu.data.labels import IGNORE_INDEX
from tiramisu.data.resizing import by_bands, resize_image, resize_label

IMAGENET_COLOR = (124.0, 116.0, 104.0)
"""ImageNet's mean color."""
FLIPS: dict[bool | str, tuple[int, ...]] = {
    False: (),
    True: (1,),
    "horizontal": (1,),
    "vertical": (0,),
    "both": (1, 0),
}
"""The directions of each `flip`, as OpenCV numbers them: 1 is left to right, 0 upside down."""


@dataclass(frozen=True, kw_only=True)
class TrainTransform:
    """Random turns, padding, then random scale, crop, flip and color, in this order.

    The label of a whole image is not changed.

    Raises:
        ValueError: a value is outside its range.
    """

    crop: tuple[int, int] | None
    """(height, width) in pixels of a crop at a random place. Smaller images are padded, with void
    labels. None keeps the size."""
    scale: tuple[float, float] = (1.0, 1.0)
    """The image is resized by a random factor, uniform in this range; (1, 1) for none."""
    flip: bool | Literal["horizontal", "vertical", "both"]
    """Whether half of the images are mirrored: horizontal (or True) left to right, vertical upside
    down, both in each of the two directions."""
    rotate: bool = False
    """Whether images are turned by a random multiple of 90 degrees."""
    keep_shape: bool = False
    """Whether whole images that are not square are turned by 0 or 180 degrees only, so that batches
    have images of one size."""
    color: float = 0.0
    """Strength, 0 to 1, of random brightness, contrast, gamma, hue and saturation."""
    pad: int = 0
    """Pixels of padding on all four sides, with void labels, before the crop. The DenseNet paper
    uses 4, with a crop of the image's size, for CIFAR."""
    whole_from: int | None = None
    """From this epoch on, counted from 0, images stay whole: only turns, flip and color change
    them, so that training ends at the size of inference. None for never."""
    padding: tuple[float, ...] = IMAGENET_COLOR
    """The value of each band in padded pixels, which are void, so that the loss ignores them. Close
    to 0 after normalization, it is like the zero padding inside the network."""
    value_range: tuple[tuple[float, float], ...] = ((0.0, 255.0),) * 3
    """The values of each band that are 0 and 1 for `color`."""

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
        self,
        image: npt.NDArray[Any],
        label: npt.NDArray[Any],
        *,
        seed: int,
        epoch: int = 0,
        focus: int | None = None,
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        rng = np.random.default_rng(seed)
        is_final = self.whole_from is not None and epoch >= self.whole_from
        if self.rotate:
            image, label = self._turn(image, label, rng=rng, whole=is_final or self.crop is None)
        if not is_final:
            image, label = self._scale_and_crop(image, label, focus=focus, rng=rng)
        image, label = self._mirror(image, label, rng=rng)
        if self.color:
            # set_random_seed would give every step the same random numbers.
            self._color_steps.set_random_state(rng, random.Random(seed))
            image = self._change_color(image)
        return image, label

    def _mirror(
        self, image: npt.NDArray[Any], label: npt.NDArray[Any], *, rng: np.random.Generator
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Mirror each of the directions of `flip` by a coin tossed for it."""
        for axis in FLIPS[self.flip]:
            if rng.random() < 0.5:
                image = by_bands(lambda bands, axis=axis: cv2.flip(bands, axis), image)  # type: ignore[misc]
                label = cv2.flip(label, axis) if label.ndim else label
        return image, label

    def _turn(
        self,
        image: npt.NDArray[Any],
        label: npt.NDArray[Any],
        *,
        rng: np.random.Generator,
        whole: bool,
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Turn by a random multiple of 90 degrees, before a crop is cut.

        Args:
            whole: whether no crop is cut.
        """
        height, width = image.shape[:2]
        if whole and self.keep_shape and height != width:
            quarters = 2 * int(rng.integers(2))
        else:
            quarters = int(rng.integers(4))
        if not quarters:
            return image, label
        image = np.ascontiguousarray(np.rot90(image, quarters))
        return image, np.ascontiguousarray(np.rot90(label, quarters)) if label.ndim else label

    def _change_color(self, image: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if image.dtype == np.uint8 and image.shape[2] in (1, 3):
            changed = self._color_steps(image=image)["image"]
            return np.asarray(changed).reshape(image.shape)
        low, high = np.array(self.value_range, np.float32).T
        scaled = (image - low) / (high - low)
        shown = scaled.clip(0, 1)
        changed = self._color_steps(image=np.nan_to_num(shown))["image"].reshape(image.shape)
        # What lies outside of the range is moved, and not cut off. No-data pixels stay NaN.
        changed = (changed + (scaled - shown)) * (high - low) + low
        if image.dtype.kind != "f":
            limits = np.iinfo(image.dtype)
            changed = changed.round().clip(limits.min, limits.max)
        return np.asarray(changed, image.dtype)

    @cached_property
    def _color_steps(self) -> A.Compose:
        steps = [
            A.RandomBrightnessContrast(
                brightness_limit=0.4 * self.color, contrast_limit=0.4 * self.color, p=0.8
            ),
            A.RandomGamma(gamma_limit=(100 - 40 * self.color, 100 + 40 * self.color), p=0.5),
        ]
        if len(self.value_range) == 3:
            steps.append(
                A.HueSaturationValue(
                    hue_shift_limit=10 * self.color,
                    sat_shift_limit=50 * self.color,
                    val_shift_limit=0,
                    p=0.5,
                )
            )
        return A.Compose(steps)

    def _scale_and_crop(
        self,
        image: npt.NDArray[Any],
        label: npt.NDArray[Any],
        *,
        focus: int | None,
        rng: np.random.Generator,
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Pad, scale and crop."""
        factor = rng.uniform(*self.scale)
        if self.pad:
            image, label = self._pad(image, label)
        if self.crop is not None:
            pixel = None if focus is None else _pick_pixel(label, focus, rng=rng)
            return self._cut(image, label, self.crop, factor=factor, pixel=pixel, rng=rng)
        if factor == 1:
            return image, label
        height, width = (max(1, round(side * factor)) for side in image.shape[:2])
        return _resize(image, label, height=height, width=width)

    def _pad(
        self, image: npt.NDArray[Any], label: npt.NDArray[Any]
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        height, width = (side + 2 * self.pad for side in image.shape[:2])
        inside = (slice(self.pad, height - self.pad), slice(self.pad, width - self.pad))
        return self._surround(image, label, size=(height, width), place=inside)

    def _surround(
        self,
        image: npt.NDArray[Any],
        label: npt.NDArray[Any],
        *,
        size: tuple[int, int],
        place: tuple[slice, ...],
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """An image at a place within padding of a size, and its label within void."""
        padded = np.empty((*size, image.shape[2]), image.dtype)
        padded[:] = np.array(self.padding)[: image.shape[2]].astype(image.dtype)
        padded[place] = image
        if not label.ndim:
            return padded, label
        padded_label = np.full(size, IGNORE_INDEX, np.uint8)
        padded_label[place] = label
        return padded, padded_label

    def _cut(
        self,
        image: npt.NDArray[Any],
        label: npt.NDArray[Any],
        crop: tuple[int, int],
        *,
        factor: float,
        pixel: tuple[int, int] | None,
        rng: np.random.Generator,
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """A crop at a random place of the resized image, or at one that shows a pixel.

        The crop is cut out of the original first, so that only its own pixels are resized.
        """
        sources, targets = [], []
        for axis, (side, wanted) in enumerate(zip(image.shape[:2], crop, strict=True)):
            length = max(1, round(wanted / factor))  # in pixels of the original
            # A smaller image is shown whole, with padding around it.
            size = wanted if length <= side else min(wanted, max(1, round(side * factor)))
            length = min(length, side)
            first, last = 0, side - length
            if pixel is not None:
                first, last = max(first, pixel[axis] - length + 1), min(last, pixel[axis])
            start = int(rng.integers(first, last, endpoint=True))
            place = int(rng.integers(wanted - size, endpoint=True))
            sources.append(slice(start, start + length))
            targets.append(slice(place, place + size))
        source, target = tuple(sources), tuple(targets)
        height, width = (part.stop - part.start for part in target)
        label = label[source] if label.ndim else label
        image, label = _resize(image[source], label, height=height, width=width)
        if (height, width) == crop:
            return image, label
        return self._surround(image, label, size=crop, place=target)


def _pick_pixel(
    label: npt.NDArray[Any], value: int, *, rng: np.random.Generator
) -> tuple[int, int] | None:
    """Row and column of a random pixel of a class; None where there is none."""
    places = np.flatnonzero(label == value)
    if label.ndim == 0 or not len(places):
        return None
    row, column = divmod(int(rng.choice(places)), label.shape[1])
    return row, column


def _resize(
    image: npt.NDArray[Any], label: npt.NDArray[Any], *, height: int, width: int
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    if image.shape[:2] == (height, width):
        return image, label
    image = resize_image(image, height=height, width=width)
    return image, resize_label(label, height=height, width=width) if label.ndim else label
