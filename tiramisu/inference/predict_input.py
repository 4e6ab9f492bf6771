"""The prediction of one file, with all its results: what `predict` does for each of its inputs."""

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy.typing as npt
from torch import Tensor

from tiramisu.atomic import make_folder, write_file
from tiramisu.data.readers.image_file import read_image
from tiramisu.inference.config import PredictConfig
from tiramisu.inference.image_results import PROBABILITIES, name_class_mask, write_image
from tiramisu.inference.inputs import Input
from tiramisu.inference.map_file import read_mask_rows, read_place
from tiramisu.inference.maps import predict_map
from tiramisu.inference.polygon_files import IN_PIXELS, write_geojson
from tiramisu.inference.predict import Prediction, predict_pixels, predict_probabilities
from tiramisu.inference.predictor import Predictor
from tiramisu.inference.regions import Mask
from tiramisu.inference.tester import as_tile
from tiramisu.inference.uncertainty import predict_pixels_uncertainty
from tiramisu.inference.video import predict_video
from tiramisu.text import show_path
from tiramisu.visual.pictures import show_bands

_MAIN_ENDINGS = {
    "image": ("_mask.png", "_overlay.png"),
    "map": ("_mask.tif", "_overlay.png"),
    "video": ("_overlay.mp4",),
}


def result_files(item: Input, out: Path, config: PredictConfig, *, is_map: bool) -> dict[str, Path]:
    """The files to write for an input, by what follows its name; its JSON is the last."""
    kind = "video" if item.is_video else "map" if is_map else "image"
    endings = (*_MAIN_ENDINGS[kind], *_further_endings(config), ".json")
    return {ending: out / f"{item.name}{ending}" for ending in endings}


def all_endings(config: PredictConfig) -> set[str]:
    """What may follow the name of an input of any kind in the names of its results."""
    main = {ending for endings in _MAIN_ENDINGS.values() for ending in endings}
    return {*main, *_further_endings(config), ".json"}


def _further_endings(config: PredictConfig) -> list[str]:
    endings = []
    if config.uncertainty:
        endings += ["_entropy.png", "_mutual_information.png"]
    if config.probabilities:
        endings.append(PROBABILITIES)
    endings += [name_class_mask(name) for name in config.class_masks or ()]
    if config.polygons == "geojson":
        endings.append(".geojson")
    return endings


def check_kind(item: Input, config: PredictConfig, *, is_map: bool) -> None:
    """Raise ValueError if results are asked for that a video or a map does not have."""
    if not (item.is_video or is_map):
        return
    kind = "a video" if item.is_video else "a map, which is read by windows"
    for flag, is_given in (
        ("--uncertainty", config.uncertainty),
        ("--polygons", config.polygons and item.is_video),
        ("--probabilities", config.probabilities),
        ("--class-masks", config.class_masks),
    ):
        if is_given:
            raise ValueError(
                f"{show_path(item.path)} is {kind}, and {flag} is for images only: leave one of "
                "them out"
            )


class InputPrediction:
    """One input on its way: `read`, `predict` and `write` are called once each, in this order.

    They may be called in different threads, so that reading and writing go on while the network
    computes. A map or a video, which is read piece by piece, does all in `predict`.

    Args:
        model: predicts.
        item: the input.
        files: where the results go; see `result_files`.
        config: the settings.
        is_map: whether it is a map; see `find_maps`.
        source: the first entries of its JSON: from what its results come.
    """

    def __init__(
        self,
        model: Predictor,
        item: Input,
        files: dict[str, Path],
        config: PredictConfig,
        *,
        is_map: bool,
        source: dict[str, object],
    ) -> None:
        self.model = model
        self.item = item
        self.files = files
        self.config = config
        self.is_map = is_map
        self.source = source
        self.mask: Iterable[Mask] = ()
        """The mask, some rows at a time, once it is written; that of a video is empty."""
        self.summary: dict[str, object] = {}
        """What the JSON holds besides the source, once the input is written."""
        self._image: npt.NDArray[Any]
        self._prediction: Prediction
        self._probabilities: Tensor | None = None
        self._seconds = 0.0

    @property
    def _is_image(self) -> bool:
        return not (self.is_map or self.item.is_video)

    def read(self) -> None:
        """Read the image.

        Raises:
            ValueError, FileNotFoundError: as `read_image`.
        """
        with self._timed():
            if self._is_image:
                self._image = read_image(self.item.path, self.model.info.image_format)

    def predict(self) -> None:
        """Run the network; a map or a video is read and written meanwhile.

        Raises:
            ValueError, RuntimeError, MemoryError: the file is damaged, or memory ran out.
        """
        with self._timed():
            make_folder(self.files[".json"].parent)
            if self.item.is_video:
                self.summary = self._predict_video()
            elif self.is_map:
                self.summary = self._predict_map()
            else:
                self._predict_image()

    def write(self) -> None:
        """Write what is not written yet; the JSON last: it tells that the input is complete."""
        with self._timed():
            if self._is_image:
                bands = self.config.show_bands
                value_range = self.model.info.value_range
                self.summary = write_image(
                    show_bands(self._image, value_range=value_range, bands=bands),
                    self._prediction,
                    self.files,
                    self.config,
                    probabilities=self._probabilities,
                )
                self.mask = [self._prediction.mask]
            if ".geojson" in self.files:
                write_geojson(
                    self.files[".geojson"],
                    self.mask,
                    class_names=self.model.info.class_names,
                    place=read_place(self.files["_mask.tif"]) if self.is_map else IN_PIXELS,
                )
        described = self.source | self.summary | {"seconds": round(self._seconds, 3)}
        write_file(self.files[".json"], json.dumps(described, indent=2) + "\n")

    def _predict_image(self) -> None:
        tile = as_tile(self.config.tile)
        if self.config.probabilities:
            self._probabilities = predict_probabilities(
                self.model, self._image, tile=tile, tta=self.config.tta
            )
            self._prediction = Prediction.of_probabilities(self._probabilities, self.model.info)
        elif self.config.uncertainty:
            self._prediction = predict_pixels_uncertainty(
                self.model, self._image, passes=self.config.passes, tile=tile
            )
        else:
            self._prediction = predict_pixels(
                self.model, self._image, tile=tile, tta=self.config.tta
            )

    def _predict_video(self) -> dict[str, object]:
        return predict_video(
            self.model,
            self.item.path,
            out=self.files["_overlay.mp4"],
            tile=as_tile(self.config.tile),
            tta=self.config.tta,
            opacity=self.config.opacity,
            unpainted=self.config.unpainted,
        )

    def _predict_map(self) -> dict[str, object]:
        path = self.files["_mask.tif"]
        summary = predict_map(
            self.model,
            self.item.path,
            mask=path,
            preview=self.files["_overlay.png"],
            show=self.config.show_bands,
            tile=as_tile(self.config.tile),
            tta=self.config.tta,
            opacity=self.config.opacity,
            unpainted=self.config.unpainted,
        )
        self.mask = read_mask_rows(path)
        return summary

    @contextmanager
    def _timed(self) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self._seconds += time.perf_counter() - start
