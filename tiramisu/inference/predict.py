"""The class of every pixel of one image.

Read the image, prepare it for the network, predict it in tiles, resize the logits, apply the
softmax; then keep what the caller wants: the best class, or the probabilities of all.
"""

import dataclasses
import html
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tiramisu.checkpoints.info import ModelInfo
from tiramisu.data.background import find_unpainted
from tiramisu.data.dataset import as_tensor
from tiramisu.data.image_format import ImageFormat, as_format
from tiramisu.data.readers.image_file import read_image
from tiramisu.data.readers.raster import Header, Raster
from tiramisu.data.resizing import by_bands, find_seen_size, resize_image
from tiramisu.inference.predictor import MIN_SIDE, Predictor, check_finite, check_model
from tiramisu.inference.tester import keep_best, probability_rows
from tiramisu.inference.tiles import Rows, Tile, with_smaller_tiles
from tiramisu.inference.windows import Windows
from tiramisu.visual.page import data_uri, shrink
from tiramisu.visual.pictures import Picture, draw_legend, overlay, show_bands, stack

Pixels = npt.NDArray[Any]
"""An image (H, W, C) with the values of a file."""


_PREVIEW = 640


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Prediction:
    """The predicted class of every pixel of one image."""

    mask: npt.NDArray[np.uint8]
    """Most probable class of each pixel, (H, W) of the image."""
    confidence: npt.NDArray[np.float32]
    """Probability of that class, (H, W), 0..1."""
    class_names: tuple[str, ...]
    """Name of each class in `mask`."""
    colors: tuple[tuple[int, int, int], ...]
    """RGB colour of each class."""
    preview: Picture | None = None
    """The image, RGB (h, w, 3), shrunk to sides of at most 640 pixels, for notebooks."""

    @classmethod
    def of_probabilities(cls, probabilities: Tensor, info: ModelInfo) -> "Prediction":
        """The most probable classes of probabilities (C, H, W)."""
        confidence, mask = probabilities.max(dim=0)
        return cls(
            mask=mask.to(torch.uint8).numpy(),
            confidence=confidence.numpy(),
            class_names=info.class_names,
            colors=info.colors,
        )

    @property
    def shares(self) -> dict[str, float]:
        """Part of the image that each class covers, 0..1, in the order of the classes."""
        counts = np.bincount(self.mask.ravel(), minlength=len(self.class_names))
        return dict(zip(self.class_names, (counts / self.mask.size).tolist(), strict=True))

    def overlay(
        self, image: Picture, *, opacity: float = 0.5, unpainted: Sequence[str] | None = None
    ) -> Picture:
        """The image, RGB uint8 (H, W, 3), under the colours of the predicted classes.

        Args:
            image: RGB (H, W, 3) of the mask's size.
            opacity: 0 shows only the image, 1 only the colours.
            unpainted: names of classes that show the image only; None for the background, if a
                class is called so.

        Raises:
            ValueError: there is no class of such a name.
        """
        bare = find_unpainted(self.class_names, unpainted)
        return overlay(image, self.mask, self.colors, opacity=opacity, unpainted=bare)

    def __repr__(self) -> str:
        height, width = self.mask.shape
        shares = sorted(self.shares.items(), key=lambda share: -share[1])
        shown = ", ".join(f"{name} {100 * share:.1f} %" for name, share in shares if share)
        return f"<Prediction {height}x{width}: {shown}>"

    def _repr_html_(self) -> str:
        """The overlay with a legend, as a notebook shows it."""
        image = self.preview
        if image is None:
            image = np.full((*self.mask.shape, 3), 255, np.uint8)
            image = shrink(image, longest=_PREVIEW)
        size = image.shape[1::-1]
        small = cv2.resize(self.mask, size, interpolation=cv2.INTER_NEAREST).astype(np.uint8)
        opacity = 1.0 if self.preview is None else 0.5
        bare = find_unpainted(self.class_names, None)
        painted = overlay(image, small, self.colors, opacity=opacity, unpainted=bare)
        legend = draw_legend(
            self.class_names, self.colors, size=size[::-1], shares=self.shares, unpainted=bare
        )
        address = data_uri(stack([painted, legend]), longest=2 * _PREVIEW, quality=90)
        return f'<img src="{address}" alt="{html.escape(repr(self))}">'


def predict(
    model: Predictor,
    image: Pixels | str | Path,
    *,
    tile: Tile = "auto",
    overlap: float = 0.25,
    tta: bool = False,
) -> Prediction:
    """Predict the class of every pixel of an image.

    Arguments and errors are those of `predict_probabilities`. The memory for results is five bytes
    a pixel, for any number of classes (without `tta`).
    """
    pixels = read_pixels(image, model.info.image_format)
    prediction = predict_pixels(model, pixels, tile=tile, overlap=overlap, tta=tta)
    # Shrunk before values become colors: a large image has no second copy.
    step = max(1, max(pixels.shape[:2]) // (2 * _PREVIEW))
    picture = show_bands(pixels[::step, ::step], value_range=model.info.value_range)
    return dataclasses.replace(prediction, preview=shrink(picture, longest=_PREVIEW))


def predict_pixels(
    model: Predictor,
    pixels: Pixels,
    *,
    tile: Tile = "auto",
    overlap: float = 0.25,
    tta: bool = False,
) -> Prediction:
    """As `predict`, for what `read_pixels` gives."""
    check_options(model, tile=tile, overlap=overlap)

    def run(side: int | None) -> tuple[Tensor, Tensor]:
        parts = probabilities_by_rows(model, pixels, tile=side, overlap=overlap, tta=tta)
        return keep_best(parts, size=pixels.shape[:2])

    longest_side = max(seen_size(model, pixels))
    mask, confidence = with_smaller_tiles(run, tile=tile, longest_side=longest_side)
    return Prediction(
        mask=mask.numpy(),
        confidence=confidence.numpy(),
        class_names=model.info.class_names,
        colors=model.info.colors,
    )


def predict_probabilities(
    model: Predictor,
    image: Pixels | str | Path,
    *,
    tile: Tile = "auto",
    overlap: float = 0.25,
    tta: bool = False,
) -> Tensor:
    """Predict the probability of every class at every pixel of an image.

    The network sees the image shrunk by `model.info.image_scale`, or resized to
    `model.info.image_size`; its logits are resized back.
    Where tiles overlap, logits are blended before the softmax.

    Args:
        model: a model in evaluation mode, on any device, or an exported one.
        image: the path of an image file; or an array of any size, (H, W) or (H, W, bands), of the
            type and with the bands of the images that the model was trained on, such as uint8 RGB
            (H, W, 3). For models of grey and of RGB images, grey, RGB
            and RGBA can stand for each other; transparency is dropped.
        tile: side of overlapping tiles, in pixels of the shrunk image; "auto" is 1024. An image
            that is not larger is predicted whole. If memory runs out, the prediction starts again
            with tiles of half the side. None predicts every image whole.
        overlap: part of a tile that it shares with the next, 0 to 0.5.
        tta: average over scaled and mirrored copies, as `augmented_logits` does, in seven times the
            time.

    Returns:
        Probabilities (C, H, W) of the image's size, float32, on the CPU.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no image, the array has another type or shape, an option is out
            of its range, or the model is in training mode.
    """
    check_options(model, tile=tile, overlap=overlap)
    pixels = read_pixels(image, model.info.image_format)
    result = torch.empty(len(model.info.class_names), *pixels.shape[:2])

    def run(side: int | None) -> None:
        for top, probabilities in probabilities_by_rows(
            model, pixels, tile=side, overlap=overlap, tta=tta
        ):
            result[:, top : top + probabilities.shape[1]] = probabilities

    with_smaller_tiles(run, tile=tile, longest_side=max(seen_size(model, pixels)))
    return result


@torch.inference_mode()
def probabilities_by_rows(
    model: Predictor, pixels: Pixels, *, tile: int | None, overlap: float, tta: bool = False
) -> Iterator[Rows]:
    """Probabilities of an image (H, W, C), some rows at a time, from the top down."""
    seen = seen_size(model, pixels)
    images = _prepare(pixels, seen)  # (1, C, h, w)
    for top, probabilities in probability_rows(
        model, images, seen=seen, size=pixels.shape[:2], tile=tile, overlap=overlap, tta=tta
    ):
        # A logit that is not finite makes the probabilities of all classes NaN.
        check_finite(model, probabilities[0].isfinite().all())
        yield top, probabilities


def check_options(model: Predictor, *, tile: Tile, overlap: float) -> None:
    """Raise ValueError for a model or options that `predict_probabilities` cannot work with."""
    check_model(model, "segmentation")
    if tile not in ("auto", None) and (not isinstance(tile, int) or tile < MIN_SIDE):
        raise ValueError(f"tile is {tile!r}; expected at least {MIN_SIDE} pixels, 'auto' or None")
    if not 0 <= overlap <= 0.5:
        raise ValueError(f"overlap is {overlap}; expected a part of the tile from 0 to 0.5")


def read_pixels(image: Pixels | str | Path, format: ImageFormat) -> Pixels:
    """The pixels of a file or an array in a model's format: (H, W, C).

    Args:
        image: a file; or an array (H, W) or (H, W, bands), with the bands of files, RGB in this
            order. The fourth band of an RGB image is transparency, and is dropped.
        format: the model's.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no image, or the array has another type or shape.
    """
    if isinstance(image, str | Path):
        return read_image(image, format)
    if not isinstance(image, np.ndarray):
        raise ValueError(
            f"the image is a {type(image).__name__}; expected a NumPy array or the path of a file"
        )
    if image.dtype == object or image.dtype.kind not in "buif":
        raise ValueError(f"the image is {image.dtype}; expected {format.pixel_type}")
    first_channels = image.ndim == 3 and image.shape[0] == format.channels < image.shape[2]
    if image.ndim not in (2, 3) or image.size == 0 or (first_channels and image.shape[2] > 4):
        raise ValueError(
            f"the image has shape {image.shape}; expected (H, W) or (H, W, C): channels last"
        )
    values = image.reshape(*image.shape[:2], -1)
    has_alpha = format.bands is None and format.channels in (1, 3) and values.shape[2] == 4
    header = Header(
        height=values.shape[0],
        width=values.shape[1],
        bands=values.shape[2] - has_alpha,
        type=values.dtype.name,
        has_alpha=has_alpha,
    )
    return as_format(Raster(header=header, values=values), format, what="the image")


def seen_size(model: Predictor, image: Pixels | Windows) -> tuple[int, int]:
    """Height and width of an image as the network sees it, in pixels."""
    size = (image.shape[0], image.shape[1])
    info = model.info
    return find_seen_size(size, image_scale=info.image_scale, image_size=info.seen_size)


def _prepare(pixels: Pixels, seen: tuple[int, int]) -> Tensor:
    """Resize an image, and pad a small one at its bottom and right: (H, W, C) -> (1, C, h, w)."""
    height, width = seen
    if seen != pixels.shape[:2]:
        pixels = resize_image(pixels, height=height, width=width)
    below, right = max(0, MIN_SIDE - height), max(0, MIN_SIDE - width)
    if below or right:
        # Padded by its mirror image, several times where needed.
        sides = (0, below, 0, right, cv2.BORDER_REFLECT_101)
        pixels = by_bands(lambda bands: cv2.copyMakeBorder(bands, *sides), pixels)
    return as_tensor(pixels)[None]
