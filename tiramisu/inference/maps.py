"""Prediction of maps and of other large TIFF files, by windows in bounded memory."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from tiramisu.checkpoints.info import ModelInfo
from tiramisu.data.background import find_unpainted
from tiramisu.data.labels import IGNORE_INDEX
from tiramisu.inference.averaging import augmented_logits
from tiramisu.inference.map_file import (
    EXTRA,
    Scene,
    as_input,
    check_upright,
    needs_windows,
    open_scene,
    read_mask,
    write_mask,
)
from tiramisu.inference.packages import require_package
from tiramisu.inference.predict import check_options, seen_size
from tiramisu.inference.predictor import Predictor, check_finite
from tiramisu.inference.tester import softmax_rows
from tiramisu.inference.tiles import Tile, logits_by_rows, resize_rows, with_smaller_tiles
from tiramisu.inference.windows import SeenTiles, Values
from tiramisu.text import list_some, show_path
from tiramisu.visual.pictures import draw_legend, overlay, save_png, show_bands, stack

LONGEST_PREVIEW = 4096
"""Longest side of an overlay, in pixels; that of a larger scene is shrunk."""

log = logging.getLogger(__name__)


def find_maps(paths: Sequence[Path]) -> set[Path]:
    """The files that `predict_map` predicts: georeferenced TIFF files, and very large ones.

    Without rasterio there are none, with a warning that says how to install it.
    """
    kinds = {path: needs_windows(path) for path in paths}
    found = {path for path, kind in kinds.items() if any(kind)}
    on_map = [show_path(path) for path, (lies_on_map, _) in kinds.items() if lies_on_map]
    if found:
        names = list_some(on_map, most=3)
        try:
            require_package("rasterio", purpose=f"keeping the coordinates of {names}", extra=EXTRA)
        except ValueError as error:
            if on_map:
                log.warning("%s. Until then it is an image without coordinates", error)
            return set()
    return found


def predict_map(
    model: Predictor,
    path: Path,
    *,
    mask: Path,
    preview: Path,
    show: Sequence[int] | None = None,
    tile: Tile = "auto",
    overlap: float = 0.25,
    tta: bool = False,
    opacity: float = 0.5,
    unpainted: Sequence[str] | None = None,
) -> dict[str, object]:
    """Predict a georeferenced TIFF, or a very large one, into a mask with the same coordinates.

    The scene is read, predicted and written some rows at a time, so that the memory it takes
    depends on its width and not on its height. `tta` is applied to each tile.

    Args:
        model: a model in evaluation mode, or an exported one.
        path: the TIFF.
        mask: the GeoTIFF to write: class ids uint8, and 255, its no-data value, where the scene
            has no data.
        preview: the PNG to write: the scene under the colors of its classes, with a legend, at most
            4096 pixels on its longer side.
        show: the bands that the preview shows; see `show_bands`.
        tile, overlap, tta: see `predict_probabilities`.
        opacity, unpainted: of the preview; see `Prediction.overlay`.

    Returns:
        Size, coordinate reference system, shares of the classes and mean confidence of the pixels
        with data, and the scale of the preview, for JSON.

    Raises:
        ValueError: the file is damaged, or its bands are not those that the network takes; or as
            `predict_probabilities`.
    """
    check_options(model, tile=tile, overlap=overlap)
    with open_scene(path) as scene:
        check_upright(path)
        _check_shrinks(model, scene, path)
        tally = _Tally(len(model.info.class_names))

        def run(side: int | None) -> None:
            tally.clear()
            _write_rows(model, scene, mask, tally, tile=side, overlap=overlap, tta=tta)

        with_smaller_tiles(run, tile=tile, longest_side=max(seen_size(model, scene)))
        shares = tally.shares(model.info)
        bare = find_unpainted(model.info.class_names, unpainted)
        scale = _write_preview(
            model,
            scene,
            preview,
            mask=mask,
            shares=shares,
            show=show,
            opacity=opacity,
            unpainted=bare,
        )
        height, width, _ = scene.shape
        return {
            "width": width,
            "height": height,
            "crs": scene.crs_name,
            "shares": shares,
            "no_data": 1 - tally.pixels / (height * width),
            "mean_confidence": tally.mean_confidence,
            "overlay_scale": scale,
        }


def _check_shrinks(model: Predictor, scene: Scene, path: Path) -> None:
    """Raise ValueError if the network's images are larger than the scene."""
    (height, width), (rows, columns, _) = seen_size(model, scene), scene.shape
    if height > rows or width > columns:
        raise ValueError(
            f"{show_path(path)} has {rows}x{columns} pixels, fewer than the {height}x{width} to "
            "which this model's images are resized, and a map can only be shrunk: give it as an "
            "image without coordinates, such as PNG"
        )


class _Tally:
    """Counts the predicted classes of pixels with data, and sums their confidence."""

    def __init__(self, num_classes: int) -> None:
        self._counts = np.zeros(num_classes, np.int64)
        self._confidence = 0.0

    def clear(self) -> None:
        self._counts[:] = 0
        self._confidence = 0.0

    def add(self, classes: np.ndarray, confidence: np.ndarray) -> None:
        self._counts += np.bincount(classes, minlength=len(self._counts))
        self._confidence += float(confidence.sum(dtype=np.float64))

    @property
    def pixels(self) -> int:
        return int(self._counts.sum())

    @property
    def mean_confidence(self) -> float | None:
        """None where no pixel has data."""
        return self._confidence / self.pixels if self.pixels else None

    def shares(self, info: ModelInfo) -> dict[str, float]:
        shares = self._counts / max(self.pixels, 1)
        return dict(zip(info.class_names, shares.tolist(), strict=True))


class _Augmented:
    """A model whose every prediction is the mean over scaled and mirrored copies of the tile."""

    def __init__(self, model: Predictor) -> None:
        self._model = model
        self.info, self.training = model.info, model.training

    @property
    def device(self) -> torch.device:
        return self._model.device

    def __call__(self, images: Tensor, *, size: tuple[int, int] | None = None) -> Tensor:
        return augmented_logits(self._model, images, size=size)


@torch.inference_mode()
def _write_rows(
    model: Predictor,
    scene: Scene,
    path: Path,
    tally: _Tally,
    *,
    tile: int | None,
    overlap: float,
    tta: bool,
) -> None:
    """Write the mask of a scene row by row, as it is predicted."""
    seen = seen_size(model, scene)
    tiles = SeenTiles(scene, seen=seen, convert=_converter(model, scene))
    network = _Augmented(model) if tta else model
    parts = logits_by_rows(network, tiles, tile=tile, overlap=overlap)
    rows_of = softmax_rows(resize_rows(parts, seen=seen, size=scene.shape[:2]))
    with (
        write_mask(path, scene, model.info.colors) as out,
        tqdm(total=scene.shape[0], unit=" rows", leave=False, disable=None) as progress,
    ):
        for top, probabilities in rows_of:
            check_finite(model, probabilities[0].isfinite().all())
            confidence, classes = probabilities.max(dim=0)  # (C, rows, W) -> (rows, W)
            rows = slice(top, top + len(classes))
            has_data = scene.has_data(rows)
            mask = np.where(has_data, classes.to(torch.uint8).numpy(), IGNORE_INDEX)
            tally.add(mask[has_data], confidence.numpy()[has_data])
            out.write(
                mask.astype(np.uint8), 1, window=((rows.start, rows.stop), (0, mask.shape[1]))
            )
            progress.update(len(mask))


def _converter(model: Predictor, scene: Scene) -> Callable[[Values], Values]:
    return lambda values: as_input(model, scene, values)


def _write_preview(
    model: Predictor,
    scene: Scene,
    path: Path,
    *,
    mask: Path,
    shares: dict[str, float],
    show: Sequence[int] | None,
    opacity: float,
    unpainted: Sequence[int],
) -> float:
    """Write the overlay; returns its scale."""
    height, width, _ = scene.shape
    scale = min(1.0, LONGEST_PREVIEW / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    image = as_input(model, scene, scene.read_small(size))
    picture = show_bands(image, value_range=model.info.value_range, bands=show)
    names, colors = model.info.class_names, model.info.colors
    legend = draw_legend(names, colors, size=size, shares=shares, unpainted=unpainted)
    classes = read_mask(mask, size=size)
    painted = overlay(picture, classes, colors, opacity=opacity, unpainted=unpainted)
    save_png(path, stack([painted, legend]))
    return scale
