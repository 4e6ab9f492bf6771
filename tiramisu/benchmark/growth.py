"""How cost grows: with the image, with depth, with the batch, and not with the image in tiles."""

import dataclasses
import json
import sys
import time
from collections.abc import Iterator
from typing import Literal

import torch

from tiramisu.benchmark.cases import Case
from tiramisu.benchmark.compare import Say
from tiramisu.benchmark.footprint import FREED_IS_FREE, ApartError, measure_peak, run_apart
from tiramisu.benchmark.networks import build_ours
from tiramisu.checkpoints.info import ModelInfo
from tiramisu.checkpoints.model import SegmentationModel
from tiramisu.inference.predict import predict
from tiramisu.streets import draw_scene

Growing = Literal["size", "depth", "batch"]

SIDES = (0.5, 1.0, 1.5, 2.0)
"""Heights and widths, as parts of the case's own."""
DEPTHS = ("fc56", "fc67", "fc103")
BATCHES = (1, 2, 4, 8)
TILED_SIZES = ((750, 1000), (1500, 2000), (3000, 4000))
"""Heights and widths of the images that are predicted whole and in tiles."""
TILES = (None, 1024, 512)
"""Sides of tiles; None is the image whole."""
MODULE = "tiramisu.benchmark.growth"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TiledResult:
    """What one prediction of a large image took."""

    tile: int | None
    """Side of the tiles, in pixels; None is the image whole."""
    height: int
    """Of the image, in pixels."""
    width: int
    """As `height`."""
    seconds: float | None
    """For the whole prediction; None if it failed."""
    peak_bytes: int | None
    """Above the loaded program, image and result included; None is not measured."""
    note: str = ""
    """Why something was not measured."""


def grow(case: Case, study: Growing) -> dict[str, Case]:
    """The cases of a study, by what tells them apart."""
    if study == "size":
        sizes = [(round(side * case.height), round(side * case.width)) for side in SIDES]
        return {
            f"{height}x{width}": dataclasses.replace(case, height=height, width=width)
            for height, width in sizes
        }
    if study == "depth":
        return {arch: dataclasses.replace(case, arch=arch) for arch in DEPTHS}
    return {str(batch): dataclasses.replace(case, batch=batch) for batch in BATCHES}


def predict_in_tiles(case: Case, *, say: Say) -> Iterator[TiledResult]:
    """Predict drawn images of growing size, whole and in tiles, each in a process of its own.

    What memory would not hold, by `predict`'s own estimate, is not tried.
    """
    for tile in TILES:
        for height, width in TILED_SIZES:
            say(f"predicting {height}x{width} {'whole' if tile is None else f'in tiles of {tile}'}")
            request = {
                "case": dataclasses.asdict(dataclasses.replace(case, height=height, width=width)),
                "tile": tile,
            }
            try:
                # One for the time, and one for the memory: to give back what is freed takes time.
                measured = run_apart(MODULE, request)
                if measured["seconds"] is not None:
                    apart = run_apart(MODULE, request, environment=FREED_IS_FREE)
                    measured["peak_bytes"] = apart["peak_bytes"]
            except ApartError as error:
                measured = {"seconds": None, "peak_bytes": None, "note": str(error)}
            yield TiledResult(tile=tile, height=height, width=width, **measured)


def main() -> None:
    """Predict the image that the command line describes in JSON."""
    request = json.loads(sys.argv[1])
    case = Case(**request["case"])
    tile = request["tile"]
    torch.set_num_threads(case.threads)
    names = tuple(f"class_{index}" for index in range(case.num_classes))
    info = ModelInfo(arch=case.arch, class_names=names, colors=((0, 0, 0),) * len(names))
    model = SegmentationModel(build_ours(case), info).to(case.device).eval()
    image, _ = draw_scene(1, height=case.height, width=case.width)
    predict(model, image[:256, :256])  # what the first prediction of a process prepares

    started = 0.0

    def step() -> None:
        nonlocal started
        started = time.perf_counter()
        predict(model, image, tile=tile)

    peak_bytes = measure_peak(step, device=case.device)
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "peak_bytes": peak_bytes}))


if __name__ == "__main__":
    main()
