"""Prediction of one image, whole where memory allows it and in blended tiles where not."""

import dataclasses
import functools
import sys
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from tiramisu.data.reader import read_image
from tiramisu.deploy.memory import bytes_per_pixel, free_bytes
from tiramisu.deploy.tiles import place_tiles
from tiramisu.engine.checkpoint import SegmentationModel
from tiramisu.engine.devices import is_out_of_memory
from tiramisu.engine.evaluate import MIN_SIDE, TTA_SCALES, augmented_logits
from tiramisu.engine.pictures import Picture, overlay

Tile = int | Literal["auto"] | None

WHOLE = sys.maxsize
"""A tile that no image is larger than."""
TILES = (1024, 768, 512, 384, 256, 128)
"""Tiles that `tile="auto"` chooses from; beyond 1024 pixels more context does not pay."""
SAFETY = 1.5
"""Peak memory of a forward pass over the bytes of its tensors. Measured on the CPU, 1.3 to 1.4:
convolutions hold copies of their input and output in a layout of their own."""
FIXED_BYTES = 512 * 2**20
"""What a forward pass takes beside that, whatever the size of the image."""
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
    model: SegmentationModel,
    image: npt.NDArray[np.uint8] | str | Path,
    *,
    tile: Tile = "auto",
    overlap: float = 0.25,
    tta: bool = False,
) -> Prediction:
    """Predict the class of every pixel of an image.

    Takes what `predict_probabilities` takes, and raises what it raises.
    """
    probabilities = predict_probabilities(model, image, tile=tile, overlap=overlap, tta=tta)
    confidence, mask = probabilities.max(dim=0)  # (C, H, W) -> (H, W)
    return Prediction(
        mask=mask.to(torch.uint8).numpy(),
        confidence=confidence.numpy(),
        class_names=model.info.class_names,
        colors=model.info.colors,
    )


@torch.inference_mode()
def predict_probabilities(
    model: SegmentationModel,
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
        model: a model in evaluation mode, on any device.
        image: uint8 array, RGB (H, W, 3), gray (H, W) or RGBA (H, W, 4), of any size; or the path
            of an image file.
        tile: side of overlapping tiles, in pixels of the shrunk image. None predicts the image
            whole. "auto" does so if memory allows it, and else takes tiles that fit: a forward
            pass may take up to 80 % of the free memory, by `bytes_per_pixel` and a margin. If
            memory runs out all the same, it goes on with smaller tiles.
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
    check_options(model, tile=tile, overlap=overlap)
    rgb = read_image(image) if isinstance(image, str | Path) else to_rgb(image)
    height, width = rgb.shape[:2]
    images = _prepare(rgb, scale=model.info.image_scale)  # (1, 3, h, w)

    if tile == "auto":
        # Test-time augmentation keeps all its views until they are averaged. Beside them: a
        # resized copy of the logits, and the mask with its confidence.
        num_views, growth = (2 * len(TTA_SCALES), max(TTA_SCALES)) if tta else (1, 1.0)
        kept = height * width * (4 * len(model.info.class_names) * (num_views + 1) + 12)
        seen_height, seen_width = (growth * side for side in images.shape[-2:])
        affordable = _affordable_pixels(model, kept=kept)
        sides = _tiles_to_try(seen_height, seen_width, affordable=affordable)
    else:
        sides = [tile or WHOLE]
    for side in sides:
        run = functools.partial(_run_tiles, model, tile=side, overlap=overlap)
        try:
            logits = (augmented_logits(run, images) if tta else run(images))[0]
            break
        except RuntimeError as error:
            if side == sides[-1] or not is_out_of_memory(error):
                raise
        torch.cuda.empty_cache()

    small_height, small_width = _scaled_size(height, width, scale=model.info.image_scale)
    logits = logits[:, :small_height, :small_width]
    if (small_height, small_width) != (height, width):
        logits = F.interpolate(logits[None], size=(height, width), mode="bilinear")[0]
    # The softmax in place: for a large image, the logits alone are half a gigabyte.
    logits.sub_(logits.amax(dim=0)).exp_()
    return logits.div_(logits.sum(dim=0))


def check_options(model: SegmentationModel, *, tile: Tile, overlap: float) -> None:
    """Raise ValueError for a model or options that `predict_probabilities` cannot work with."""
    if model.training:
        raise ValueError(
            "the model is in training mode, where dropout is random; call model.eval()"
        )
    if tile not in ("auto", None) and (not isinstance(tile, int) or tile < MIN_SIDE):
        raise ValueError(f"tile is {tile!r}; expected {MIN_SIDE} pixels or more, 'auto' or None")
    if not 0 <= overlap <= 0.5:
        raise ValueError(f"overlap is {overlap}; expected a part of the tile from 0 to 0.5")


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


def _affordable_pixels(model: SegmentationModel, *, kept: int) -> float:
    """Pixels that a forward pass may have in the free memory, beside `kept` bytes of results."""
    device = next(model.parameters()).device
    budget = SPARE * free_bytes(device) - FIXED_BYTES - (kept if device.type == "cpu" else 0)
    return budget / (SAFETY * bytes_per_pixel(model))


def _tiles_to_try(height: float, width: float, *, affordable: float) -> list[int]:
    """Sides of tiles that fit into memory, the most wanted first: whole, then ever smaller."""
    smaller = [side for side in TILES if side < max(height, width)]
    sides = [WHOLE, *smaller]
    fitting = [side for side in sides if min(side, height) * min(side, width) <= affordable]
    return fitting or sides[-1:]


def _run_tiles(model: SegmentationModel, images: Tensor, *, tile: int, overlap: float) -> Tensor:
    """Logits (1, C, H, W), float32 on the CPU, of an image (1, 3, H, W), gathered by tiles."""
    device = next(model.parameters()).device
    height, width = images.shape[-2:]
    if tile >= max(height, width):
        return model(images.to(device)).float().cpu()
    rows = place_tiles(height, tile=tile, overlap=overlap)
    columns = place_tiles(width, tile=tile, overlap=overlap)
    logits = torch.zeros(1, len(model.info.class_names), height, width)
    for top, row_weights in rows:
        for left, column_weights in columns:
            part = images[..., top : top + len(row_weights), left : left + len(column_weights)]
            weights = row_weights[:, None] * column_weights
            seen = model(part.to(device)).float().cpu()  # (1, C, tile, tile)
            logits[..., top : top + tile, left : left + tile] += seen * weights
    return logits
