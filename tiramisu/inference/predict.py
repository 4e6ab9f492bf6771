"""The class of every pixel of one image.

Read the image, prepare it for the network, predict it in tiles, resize the logits, apply the
softmax; then keep what the caller wants: the best class, or the probabilities of all.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tiramisu.data.readers.image_file import read_image
from tiramisu.inference.averaging import augmented_logits
from tiramisu.inference.predictor import MIN_SIDE, Predictor, check_finite, check_model
from tiramisu.inference.tiles import (
    Rows,
    Tile,
    join_rows,
    logits_by_rows,
    resize_rows,
    with_smaller_tiles,
)
from tiramisu.inference.windows import Windows
from tiramisu.visual.pictures import Picture, overlay


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
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

    @property
    def shares(self) -> dict[str, float]:
        """Part of the image that each class covers, 0..1, in the order of the classes."""
        counts = np.bincount(self.mask.ravel(), minlength=len(self.class_names))
        return dict(zip(self.class_names, (counts / self.mask.size).tolist(), strict=True))

    def overlay(self, image: Picture, *, opacity: float = 0.5) -> Picture:
        """The image, RGB uint8 (H, W, 3), under the colours of the predicted classes."""
        return overlay(image, self.mask, self.colors, opacity=opacity)


def predict(
    model: Predictor,
    image: npt.NDArray[np.uint8] | str | Path,
    *,
    tile: Tile = "auto",
    overlap: float = 0.25,
    tta: bool = False,
) -> Prediction:
    """Predict the class of every pixel of an image.

    Arguments and errors are those of `predict_probabilities`. The memory for results is five bytes
    a pixel, for any number of classes (without `tta`).
    """
    check_options(model, tile=tile, overlap=overlap)
    rgb = read_rgb(image)
    mask = np.empty(rgb.shape[:2], np.uint8)
    confidence = np.empty(rgb.shape[:2], np.float32)

    def run(side: int | None) -> None:
        for top, probabilities in probabilities_by_rows(
            model, rgb, tile=side, overlap=overlap, tta=tta
        ):
            highest, classes = probabilities.max(dim=0)  # (C, rows, W) -> (rows, W)
            rows = slice(top, top + len(classes))
            mask[rows], confidence[rows] = classes.to(torch.uint8).numpy(), highest.numpy()

    with_smaller_tiles(run, tile=tile, longest_side=max(seen_size(model, rgb)))
    return Prediction(
        mask=mask,
        confidence=confidence,
        class_names=model.info.class_names,
        colors=model.info.colors,
    )


def predict_probabilities(
    model: Predictor,
    image: npt.NDArray[np.uint8] | str | Path,
    *,
    tile: Tile = "auto",
    overlap: float = 0.25,
    tta: bool = False,
) -> Tensor:
    """Predict the probability of every class at every pixel of an image.

    The network sees the image shrunk by `model.info.image_scale`; its logits are resized back.
    Where tiles overlap, logits are blended before the softmax.

    Args:
        model: a model in evaluation mode, on any device, or an exported one.
        image: uint8 array, RGB (H, W, 3), grey (H, W) or RGBA (H, W, 4), of any size; or the path
            of an image file.
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
    rgb = read_rgb(image)
    result = torch.empty(len(model.info.class_names), *rgb.shape[:2])

    def run(side: int | None) -> None:
        for top, probabilities in probabilities_by_rows(
            model, rgb, tile=side, overlap=overlap, tta=tta
        ):
            result[:, top : top + probabilities.shape[1]] = probabilities

    with_smaller_tiles(run, tile=tile, longest_side=max(seen_size(model, rgb)))
    return result


@torch.inference_mode()
def probabilities_by_rows(
    model: Predictor, rgb: Picture, *, tile: int | None, overlap: float, tta: bool = False
) -> Iterator[Rows]:
    """Probabilities of an image (H, W, 3), some rows at a time, from the top down."""
    seen = seen_size(model, rgb)
    images = _prepare(rgb, seen)  # (1, 3, h, w)

    def logits_of(views: Tensor) -> Iterator[Rows]:
        return logits_by_rows(model, views, tile=tile, overlap=overlap)

    parts = logits_of(images)
    if tta:
        averaged = augmented_logits(
            lambda views: join_rows(logits_of(views), height=views.shape[-2])[None], images
        )
        parts = iter([(0, averaged[0])])
    yield from softmax_rows(model, resize_rows(parts, seen=seen, size=rgb.shape[:2]))


def softmax_rows(model: Predictor, parts: Iterator[Rows]) -> Iterator[Rows]:
    """Logits -> probabilities, in place. Raises ValueError if they are not finite."""
    for top, logits in parts:
        # The softmax in place: the logits of a large image alone take half a gigabyte.
        logits.sub_(logits.amax(dim=0)).exp_()
        total = logits.sum(dim=0)
        check_finite(model, total.isfinite().all())
        yield top, logits.div_(total)


def check_options(model: Predictor, *, tile: Tile, overlap: float) -> None:
    """Raise ValueError for a model or options that `predict_probabilities` cannot work with."""
    check_model(model, "segmentation")
    if tile not in ("auto", None) and (not isinstance(tile, int) or tile < MIN_SIDE):
        raise ValueError(f"tile is {tile!r}; expected at least {MIN_SIDE} pixels, 'auto' or None")
    if not 0 <= overlap <= 0.5:
        raise ValueError(f"overlap is {overlap}; expected a part of the tile from 0 to 0.5")


def read_rgb(image: npt.NDArray[np.uint8] | str | Path) -> Picture:
    """RGB (H, W, 3) of a file, or of a grey, RGB or RGBA array (transparency is dropped).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no image, or the array has another type or shape.
    """
    if isinstance(image, str | Path):
        return read_image(image)
    if not isinstance(image, np.ndarray):
        raise ValueError(
            f"the image is a {type(image).__name__}; expected a NumPy array or the path of a file"
        )
    if image.dtype != np.uint8:
        raise ValueError(
            f"the image is {image.dtype}; expected uint8, 0 to 255: scale its values to 0..255 "
            "and call astype(np.uint8)"
        )
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4) or image.size == 0:
        raise ValueError(
            f"the image has shape {image.shape}; expected (H, W), (H, W, 3) or (H, W, 4): "
            "channels last"
        )
    if image.shape[2] == 1:
        return np.repeat(image, 3, axis=2)
    return np.ascontiguousarray(image[..., :3])


def seen_size(model: Predictor, image: Picture | Windows) -> tuple[int, int]:
    """Height and width of an image as the network sees it, in pixels."""
    height, width = (max(1, round(side * model.info.image_scale)) for side in image.shape[:2])
    return height, width


def _prepare(rgb: Picture, seen: tuple[int, int]) -> Tensor:
    """Shrink an image, and pad a small one at its bottom and right: (H, W, 3) -> (1, 3, h, w)."""
    height, width = seen
    if seen != rgb.shape[:2]:
        rgb = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)
    below, right = max(0, MIN_SIDE - height), max(0, MIN_SIDE - width)
    if below or right:
        # Padded by its mirror image, several times where needed.
        padded = cv2.copyMakeBorder(rgb, 0, below, 0, right, cv2.BORDER_REFLECT_101)
        rgb = padded.astype(np.uint8)
    return torch.from_numpy(rgb).permute(2, 0, 1)[None].contiguous()
