"""Prediction of one image, whole where memory allows it and in blended tiles where not."""

import dataclasses
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from tiramisu.deploy.memory import bytes_per_pixel, free_bytes, is_out_of_memory
from tiramisu.deploy.tiles import place_tiles
from tiramisu.engine.checkpoint import SegmentationModel
from tiramisu.engine.pictures import Picture, overlay

Tile = int | Literal["auto"] | None

MIN_SIDE = 32
"""Smaller images are padded: FC-DenseNets halve their input five times."""
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
    They are blended where tiles overlap, and averaged over mirrored images, before the softmax.

    Args:
        model: a model in evaluation mode, on any device.
        image: uint8 array, RGB (H, W, 3), gray (H, W) or RGBA (H, W, 4), of any size; or the path
            of an image file.
        tile: side of overlapping tiles, in pixels of the shrunk image. None predicts the image
            whole. "auto" does so if memory allows it, and else takes tiles that fit: a forward
            pass may take up to 80 % of the free memory, by `bytes_per_pixel` and a margin. If
            memory runs out all the same, it goes on with smaller tiles.
        overlap: part of a tile that it shares with the next, 0 to 0.5.
        tta: average with the prediction for the mirrored image (twice the time).

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
        sides = _tiles_to_try(model, images, num_pixels=height * width)
    else:
        sides = [tile or max(images.shape)]
    for side in sides:
        try:
            logits = _run_tiles(model, images, tile=side, overlap=overlap)
            if tta:
                mirrored = _run_tiles(model, images.flip(-1), tile=side, overlap=overlap)
                logits.add_(mirrored.flip(-1)).div_(2)
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


def read_image(path: str | Path) -> Picture:
    """Read an image file as RGB (H, W, 3), turned the way its EXIF orientation says.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or is no image.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no image {path}")
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"{path} is damaged or is no image; expected a file such as PNG or JPEG")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8)


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


def _tiles_to_try(model: SegmentationModel, images: Tensor, *, num_pixels: int) -> list[int]:
    """Sides of tiles that fit into memory, the most wanted first: whole, then ever smaller.

    Args:
        model: the model to run.
        images: what it will see, (1, 3, h, w).
        num_pixels: size of the image that comes out, H * W.
    """
    height, width = images.shape[-2:]
    whole = max(height, width)
    sides = [whole, *(side for side in TILES if side < whole)]

    device = next(model.parameters()).device
    budget = SPARE * free_bytes(device) - FIXED_BYTES
    if device.type == "cpu":
        # The logits as they come, a resized or mirrored copy, and the mask with its confidence.
        budget -= num_pixels * (8 * len(model.info.class_names) + 12)
    affordable = budget / (SAFETY * bytes_per_pixel(model))
    fitting = [side for side in sides if min(side, height) * min(side, width) <= affordable]
    return fitting or sides[-1:]


def _run_tiles(model: SegmentationModel, images: Tensor, *, tile: int, overlap: float) -> Tensor:
    """Logits (C, H, W), float32 on the CPU, of an image (1, 3, H, W), gathered tile by tile."""
    device = next(model.parameters()).device
    height, width = images.shape[-2:]
    if tile >= max(height, width):
        return model(images.to(device))[0].float().cpu()
    rows = place_tiles(height, tile=tile, overlap=overlap)
    columns = place_tiles(width, tile=tile, overlap=overlap)
    logits = torch.zeros(len(model.info.class_names), height, width)
    for top, row_weights in rows:
        for left, column_weights in columns:
            part = images[..., top : top + len(row_weights), left : left + len(column_weights)]
            weights = row_weights[:, None] * column_weights
            seen = model(part.to(device))[0].float().cpu()  # (C, tile, tile)
            logits[:, top : top + tile, left : left + tile] += seen * weights
    return logits
