"""Masks inside the pipelines of others, such as those of Dask, Ray and multiprocessing."""

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy.typing as npt

from tiramisu.data.readers.image_file import decode_image
from tiramisu.inference.load import load_predictor
from tiramisu.inference.predict import predict_pixels
from tiramisu.inference.predictor import Predictor, check_model
from tiramisu.inference.regions import Mask
from tiramisu.inference.tiles import Tile
from tiramisu.jobs.packed_model import COMPUTING
from tiramisu.settings import Accelerator


class MaskPredictor:
    """A function from images to masks that can be pickled; each process loads the model once.

    `dask.bag.from_sequence(images).map_partitions(MaskPredictor("runs/x"))` predicts in Dask's
    workers, and `executor.map(MaskPredictor("runs/x"), batches)` in those of an executor.

    Args:
        checkpoint: what --checkpoint takes. Every worker finds it under this name: a folder on a
            disk that all have, or hf://USER/NAME.
        tile: side of the tiles in which larger images are predicted, as in `predict`.
        tta: average over scaled and mirrored copies of each image.
        accelerator: the device to compute on.
    """

    def __init__(
        self,
        checkpoint: str | Path,
        *,
        tile: Tile = "auto",
        tta: bool = False,
        accelerator: Accelerator = "auto",
    ) -> None:
        self.checkpoint = str(checkpoint)
        self.tile = tile
        self.tta = tta
        self.accelerator = accelerator

    def __call__(self, images: Iterable[bytes | npt.NDArray[Any]]) -> list[Mask]:
        """The class ids of every pixel of each image, uint8 (H, W).

        Args:
            images: arrays (H, W, C) as `predict` takes them, or the contents of image files.

        Raises:
            FileNotFoundError, ValueError: the model cannot be loaded, or an image is damaged or
                does not fit it.
        """
        model = _load(self.checkpoint, self.accelerator)
        masks = []
        for number, image in enumerate(images, start=1):
            if isinstance(image, bytes):
                image = decode_image(image, model.info.image_format, what=f"image {number}")
            with COMPUTING:
                masks.append(predict_pixels(model, image, tile=self.tile, tta=self.tta).mask)
        return masks


@lru_cache(maxsize=1)
def _load(checkpoint: str, accelerator: Accelerator) -> Predictor:
    model = load_predictor(checkpoint, accelerator=accelerator)
    check_model(model, "segmentation")
    return model
