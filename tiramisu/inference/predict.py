"""Prediction of one image, whole where memory allows it and in blended tiles where not."""

import dataclasses
import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tiramisu.data.readers.reader import read_image
from tiramisu.devices import is_out_of_memory
from tiramisu.inference.averaging import TTA_SCALES, augmented_logits
from tiramisu.inference.bands import fit_bands, run_tiles, run_whole
from tiramisu.inference.memory import (
    FIXED_BYTES,
    UNKNOWN_BYTES_PER_PIXEL,
    forward_bytes,
    free_bytes,
)
from tiramisu.inference.predictor import MIN_SIDE, Predictor, require_task
from tiramisu.visual.pictures import Picture, overlay

Tile = int | Literal["auto"] | None

WHOLE = sys.maxsize
"""A tile that no image is larger than."""
TILES = (1024, 768, 512, 384, 256, 128)
"""Tiles that `tile="auto"` chooses from; beyond 1024 pixels more context does not pay."""
SPARE = 0.8
"""Part of the free memory that a prediction may plan with; the rest is for other programs."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """What a network sees in one image."""

    mask: npt.NDArray[np.uint8]
    """Most probable class of each pixel, (H, W) of the image."""
    confidence: npt.NDArray[np.float32]
    """Probability of that class, (H, W), 0..1: low where a person had better look."""
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
        """Lay the classes' colours over the predicted image, RGB uint8 (H, W, 3)."""
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

    Takes what `predict_probabilities` takes, and raises what it raises.
    """
    rgb = read_rgb(image)
    mask = np.empty(rgb.shape[:2], np.uint8)
    confidence = np.empty(rgb.shape[:2], np.float32)

    def keep(top: int, probabilities: Tensor) -> None:
        highest, classes = probabilities.max(dim=0)  # (C, rows, W) -> (rows, W)
        rows = slice(top, top + len(classes))
        mask[rows], confidence[rows] = classes.to(torch.uint8).numpy(), highest.numpy()

    _predict_bands(model, rgb, keep, kept=5, tile=tile, overlap=overlap, tta=tta)
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
    They are blended where tiles overlap, before the softmax.

    Args:
        model: a model in evaluation mode, on any device, or an exported one.
        image: uint8 array, RGB (H, W, 3), gray (H, W) or RGBA (H, W, 4), of any size; or the path
            of an image file.
        tile: side of overlapping tiles, in pixels of the shrunk image. None predicts the image
            whole. "auto" does so if memory allows it, and else takes tiles that fit: a prediction
            may take up to 80 % of the free memory, by `forward_bytes`. If memory runs out all the
            same, it goes on with smaller tiles.
        overlap: part of a tile that it shares with the next, 0 to 0.5.
        tta: average over scaled and mirrored copies, as `augmented_logits` does (seven times the
            time).

    Returns:
        Probabilities (C, H, W) of the image's size, float32, on the CPU.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no image, the array has another type or shape, an option is out
            of its range, or the model is in training mode.
    """
    rgb = read_rgb(image)
    num_classes = len(model.info.class_names)
    result = torch.empty(num_classes, *rgb.shape[:2])

    def keep(top: int, probabilities: Tensor) -> None:
        result[:, top : top + probabilities.shape[1]] = probabilities

    _predict_bands(model, rgb, keep, kept=4 * num_classes, tile=tile, overlap=overlap, tta=tta)
    return result


@torch.inference_mode()
def _predict_bands(
    model: Predictor,
    rgb: Picture,
    keep: Callable[[int, Tensor], None],
    *,
    kept: int,
    tile: Tile,
    overlap: float,
    tta: bool,
) -> None:
    """Predict an image and hand on its probabilities, some rows at a time: large ones take much.

    Args:
        keep: is called with the first row of each band and its probabilities (C, rows, W), from
            the top down; once more from the top where memory ran out and smaller tiles are tried.
        kept: bytes that the caller keeps of each pixel.
    """
    check_options(model, tile=tile, overlap=overlap)
    height, width = rgb.shape[:2]
    images = _prepare(rgb, scale=model.info.image_scale)  # (1, 3, h, w)
    if tile == "auto":
        sides = _affordable_tiles(model, images, size=(height, width), kept=kept, tta=tta)
    else:
        sides = [tile or WHOLE]
    for side in sides:
        try:
            bands = run_tiles(model, images, tile=side, overlap=overlap)
            if tta:
                run = functools.partial(run_whole, model, tile=side, overlap=overlap)
                bands = iter([(0, augmented_logits(run, images)[0])])
            small = _scaled_size(height, width, scale=model.info.image_scale)
            for top, logits in fit_bands(bands, small=small, size=(height, width)):
                # The softmax in place: for a large image, the logits alone are half a gigabyte.
                logits.sub_(logits.amax(dim=0)).exp_()
                keep(top, logits.div_(logits.sum(dim=0)))
            return
        except RuntimeError as error:
            if side == sides[-1] or not is_out_of_memory(error):
                raise
        torch.cuda.empty_cache()


def choose_tile(model: Predictor, rgb: Picture, *, kept: int) -> Tile:
    """What `tile="auto"` would choose for an image now: None for all of it, or a side.

    kept: bytes that the caller keeps of each pixel.
    """
    images = _prepare(rgb, scale=model.info.image_scale)
    sides = _affordable_tiles(model, images, size=rgb.shape[:2], kept=kept, tta=False)
    return None if sides[0] == WHOLE else sides[0]


def check_options(model: Predictor, *, tile: Tile, overlap: float) -> None:
    """Raise ValueError for a model or options that `predict_probabilities` cannot work with."""
    require_task(model, "segmentation")
    if model.training:
        raise ValueError(
            "the model is in training mode, where dropout is random; call model.eval()"
        )
    if tile not in ("auto", None) and (not isinstance(tile, int) or tile < MIN_SIDE):
        raise ValueError(f"tile is {tile!r}; expected {MIN_SIDE} pixels or more, 'auto' or None")
    if not 0 <= overlap <= 0.5:
        raise ValueError(f"overlap is {overlap}; expected a part of the tile from 0 to 0.5")


def read_rgb(image: npt.NDArray[np.uint8] | str | Path) -> Picture:
    """An image, or the file of one, as RGB (H, W, 3); raises ValueError, FileNotFoundError."""
    return read_image(image) if isinstance(image, str | Path) else to_rgb(image)


def to_rgb(image: npt.NDArray[np.uint8]) -> Picture:
    """RGB (H, W, 3) of a gray, RGB or RGBA array (transparency is dropped)."""
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


def _scaled_size(height: int, width: int, *, scale: float) -> tuple[int, int]:
    return max(1, round(height * scale)), max(1, round(width * scale))


def _prepare(rgb: Picture, *, scale: float) -> Tensor:
    """Shrink, and pad what is too small at its bottom and right: (H, W, 3) -> (1, 3, h, w)."""
    height, width = _scaled_size(*rgb.shape[:2], scale=scale)
    if scale != 1:
        rgb = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)
    below, right = max(0, MIN_SIDE - height), max(0, MIN_SIDE - width)
    if below or right:
        # Mirrored again and again where needed; a single row or column is replicated.
        padded = cv2.copyMakeBorder(rgb, 0, below, 0, right, cv2.BORDER_REFLECT_101)
        rgb = padded.astype(np.uint8)
    return torch.from_numpy(rgb).permute(2, 0, 1)[None].contiguous()


def _affordable_tiles(
    model: Predictor, images: Tensor, *, size: tuple[int, int], kept: int, tta: bool
) -> list[int]:
    """Sides of tiles that fit into the free memory, the most wanted first: whole, then smaller."""
    seen_height, seen_width = images.shape[-2:]
    num_classes = len(model.info.class_names)
    results = float(kept * size[0] * size[1])
    if tta or model.info.image_scale != 1:
        results += 4 * num_classes * images.shape[-2] * images.shape[-1]  # see bands.fit_bands
    if tta:
        # All views are kept until they are averaged, and beside them a resized copy of the logits.
        seen_height, seen_width = (round(max(TTA_SCALES) * side) for side in images.shape[-2:])
        results += 4 * num_classes * size[0] * size[1] * (2 * len(TTA_SCALES) + 1)

    budget = SPARE * free_bytes(model.device)

    def fits(side: int) -> bool:
        height, width = min(side, seen_height), min(side, seen_width)
        # The logits of a row of tiles, those that are finished, and what the softmax takes.
        bands = 4 * (2 * num_classes + 4) * height * seen_width
        beside = results + bands if model.device.type == "cpu" else 0.0
        left = budget - beside
        # Few images are so large that the network has to be probed.
        if FIXED_BYTES + 1.5 * UNKNOWN_BYTES_PER_PIXEL * height * width <= left:
            return True
        return forward_bytes(model, pixels=height * width) <= left

    sides = [WHOLE, *(side for side in TILES if side < max(seen_height, seen_width))]
    return [side for side in sides if fits(side)] or sides[-1:]
