"""Prediction of many images, maps and videos, with all results written into a folder."""

import json
import os
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

from torch import Tensor

from tiramisu.atomic import make_folder, write_file
from tiramisu.data.background import find_unpainted
from tiramisu.data.readers.image_file import read_image
from tiramisu.inference.averaging import random_dropout
from tiramisu.inference.config import PredictConfig
from tiramisu.inference.image_results import (
    PROBABILITIES,
    TABLE_NAME,
    check_class_masks,
    check_table,
    describe_source,
    is_complete,
    name_class_mask,
    write_image,
    write_table,
)
from tiramisu.inference.inputs import Input, describe_failure, find_inputs, raise_failures
from tiramisu.inference.map_file import read_mask_rows, read_place
from tiramisu.inference.maps import find_maps, predict_map
from tiramisu.inference.polygon_files import IN_PIXELS, write_coco, write_geojson
from tiramisu.inference.predict import Prediction, predict_pixels, predict_probabilities
from tiramisu.inference.predictor import Predictor, check_model
from tiramisu.inference.regions import Mask
from tiramisu.inference.tester import as_tile
from tiramisu.inference.uncertainty import predict_pixels_uncertainty
from tiramisu.inference.video import predict_video
from tiramisu.progress import track
from tiramisu.text import list_some, path_text, show_path
from tiramisu.visual.pictures import show_bands

ANNOTATIONS = "annotations.json"
"""The polygons of all images, in the format of COCO."""


def predict_files(
    model: Predictor, sources: Sequence[str | Path], *, config: PredictConfig
) -> list[Path]:
    """Predict images, maps and videos, and write the results into a folder.

    For an image: `NAME_mask.png` (class ids, with the colours of the classes as palette),
    `NAME_overlay.png` (the image under the colours of the classes, with a legend of their shares)
    and `NAME.json`. For a map, which is a georeferenced TIFF, and for a TIFF that is larger than
    images may be, the mask is `NAME_mask.tif` in the coordinates of the map; see `predict_map`. For
    a video: `NAME_overlay.mp4` (without sound, at the frame rate of the video, with a legend of all
    classes) and `NAME.json` with the mean shares. NAME is the name of the file without its ending,
    made longer where two would be the same. A mask has the size and the orientation of its image as
    it is displayed: a rotation in EXIF is applied first. With `uncertainty` two heat maps are
    written too: `NAME_entropy.png` and `NAME_mutual_information.png`; with `polygons` the regions
    of the masks, as `NAME.geojson`, or those of all images as `annotations.json`; with
    `probabilities` those of all classes, as `NAME_probabilities.npz`; with `class_masks` a black
    and white mask of each of these classes. `shares.csv` has the shares of all
    results in the folder.

    The sources are files, folders and patterns; see `find_inputs`. Returns the files written.

    Raises:
        FileNotFoundError: a source does not exist.
        ValueError: before any work, if the model is in training mode or for another task, there is
            nothing to predict, results exist already or would replace an input, polygons are asked
            of videos, or `uncertainty` of videos, maps or a model without dropout; at the end, if a
            file could not be read: all others are done by then.
    """
    check_model(model, "segmentation")
    channels = model.info.channels
    if config.show_bands is not None and max(config.show_bands) > channels:
        raise ValueError(
            f"--show-bands is {config.show_bands}; the model sees {channels} bands, so expected "
            f"numbers from 1 to {channels}"
        )
    find_unpainted(model.info.class_names, config.unpainted)  # only to raise its error
    check_class_masks(config.class_masks, model.info.class_names)
    out = Path(config.out)
    inputs = find_inputs(sources, recursive=config.recursive, without=out)
    maps = find_maps([item.path for item in inputs])
    _check_kinds(inputs, maps, config)
    if config.uncertainty:
        with random_dropout(model):
            pass  # only to raise the error of a model without dropout
    targets = {item: _targets(item, out, config, is_map=item.path in maps) for item in inputs}
    shared = [out / ANNOTATIONS] if config.polygons == "coco" else []
    complete: set[Input] = set()
    if config.resume:
        complete = {i for i, files in targets.items() if is_complete(i, files, config)}
    # Without a complete input nothing tells that files are those of a prediction that was stopped.
    replace = config.overwrite or bool(complete)
    _check_targets(out, sources, targets, shared=shared, overwrite=replace)
    check_table(out / TABLE_NAME, overwrite=config.overwrite)
    make_folder(out)
    written: list[Path] = []
    failures: list[str] = []
    done = len(complete)
    try:
        with ExitStack() as opened:
            coco = None
            if shared:
                coco = opened.enter_context(write_coco(*shared, class_names=model.info.class_names))
            folder = _common_folder([item.path for item in inputs])
            todo = [item for item in targets if item not in complete]
            progress = track(
                todo, doing="predicting", unit="files", total=len(inputs), done=len(complete)
            )
            for item in progress:
                files = targets[item]
                started = time.perf_counter()
                try:
                    if files[".json"].parent != out:
                        make_folder(files[".json"].parent)
                    is_map = item.path in maps
                    summary, mask = _predict_one(model, item, files, config, is_map=is_map)
                    if ".geojson" in files:
                        place = read_place(files["_mask.tif"]) if is_map else IN_PIXELS
                        names = model.info.class_names
                        write_geojson(files[".geojson"], mask, class_names=names, place=place)
                    if coco is not None:
                        name = Path(os.path.relpath(item.path, folder)).as_posix()
                        size = {side: int(str(summary[side])) for side in ("height", "width")}
                        coco.add(path_text(name), mask, **size)
                except (ValueError, FileNotFoundError, RuntimeError, MemoryError) as error:
                    failures.append(describe_failure(item, error, smaller="--tile"))
                else:
                    seconds = round(time.perf_counter() - started, 3)
                    described = describe_source(item, config) | summary | {"seconds": seconds}
                    # Last: it tells that the input is complete.
                    write_file(files[".json"], json.dumps(described, indent=2) + "\n")
                    written += files.values()
                    done += 1
    except KeyboardInterrupt as interrupt:
        # What is done so far is not in the annotations of all images.
        rest = "start again with --overwrite" if shared else "go on with --resume"
        raise type(interrupt)(
            f"stopped: {done} of {len(inputs)} inputs are done, their results are in {out}; {rest}"
        ) from None
    if done:
        results = [files[".json"] for files in targets.values()]
        write_table(out / TABLE_NAME, results, class_names=model.info.class_names)
        written.append(out / TABLE_NAME)
    raise_failures(failures, total=len(inputs))
    return written + shared


def _check_kinds(inputs: Sequence[Input], maps: set[Path], config: PredictConfig) -> None:
    """Raise ValueError if results are asked for that some inputs do not have."""
    videos = [item.path for item in inputs if item.is_video]
    large = [item.path for item in inputs if item.path in maps]
    for flag, found, kind in (
        ("--uncertainty" if config.uncertainty else "", videos, "a video"),
        ("--uncertainty" if config.uncertainty else "", large, "a map, which is read by windows"),
        ("--polygons" if config.polygons else "", videos, "a video"),
        ("--probabilities" if config.probabilities else "", videos, "a video"),
        ("--probabilities" if config.probabilities else "", large, "a map, read by windows"),
        ("--class-masks" if config.class_masks else "", videos, "a video"),
        ("--class-masks" if config.class_masks else "", large, "a map, read by windows"),
    ):
        if flag and found:
            raise ValueError(
                f"{show_path(found[0])} is {kind}, and {flag} is for images only: leave one of "
                "them out"
            )


def _targets(item: Input, out: Path, config: PredictConfig, *, is_map: bool) -> dict[str, Path]:
    """The files to write for an input, by what follows its name."""
    if item.is_video:
        endings = ["_overlay.mp4"]
    else:
        endings = ["_mask.tif" if is_map else "_mask.png", "_overlay.png"]
    if config.uncertainty:
        endings += ["_entropy.png", "_mutual_information.png"]
    if config.probabilities:
        endings.append(PROBABILITIES)
    endings += [name_class_mask(name) for name in config.class_masks or ()]
    if config.polygons == "geojson":
        endings.append(".geojson")
    return {ending: out / f"{item.name}{ending}" for ending in (*endings, ".json")}


def _check_targets(
    out: Path,
    sources: Sequence[str | Path],
    targets: dict[Input, dict[str, Path]],
    *,
    shared: Sequence[Path],
    overwrite: bool,
) -> None:
    """Raise ValueError if the results would replace files."""
    if any(os.path.realpath(source) == os.path.realpath(out) for source in sources):
        raise ValueError(
            f"{out} is both input and output: next time its masks would be inputs; give another "
            "folder for the results"
        )
    files = [file for of_input in targets.values() for file in of_input.values()]
    if twice := [file for file in shared if file in files]:
        raise ValueError(
            f"{twice[0]} is two results: that of an image of this name, and the polygons of all; "
            "rename the image"
        )
    files += shared
    own = {os.path.realpath(item.path) for item in targets}
    if lost := [file for file in files if os.path.realpath(file) in own]:
        raise ValueError(
            f"the results would replace the input {show_path(lost[0])}; give another folder"
        )
    existing = [file.name for file in files if file.exists()]
    if existing and not overwrite:
        raise ValueError(
            f"{out} already holds results: {list_some(existing, most=5)}; give another folder, or "
            "replace them with --overwrite"
        )


def _predict_one(
    model: Predictor, item: Input, files: dict[str, Path], config: PredictConfig, *, is_map: bool
) -> tuple[dict[str, object], Iterable[Mask]]:
    """Predict an input, and write masks, overlays and heat maps.

    Returns:
        The content of its JSON, and the mask, some rows at a time; that of a video is empty.
    """
    tile = as_tile(config.tile)
    if item.is_video:
        out = files["_overlay.mp4"]
        summary = predict_video(
            model,
            item.path,
            out=out,
            tile=tile,
            tta=config.tta,
            opacity=config.opacity,
            unpainted=config.unpainted,
        )
        return summary, ()
    if is_map:
        path, preview = files["_mask.tif"], files["_overlay.png"]
        summary = predict_map(
            model,
            item.path,
            mask=path,
            preview=preview,
            show=config.show_bands,
            tile=tile,
            tta=config.tta,
            opacity=config.opacity,
            unpainted=config.unpainted,
        )
        return summary, read_mask_rows(path)
    image = read_image(item.path, model.info.image_format)
    probabilities: Tensor | None = None
    if config.probabilities:
        probabilities = predict_probabilities(model, image, tile=tile, tta=config.tta)
        prediction = Prediction.of_probabilities(probabilities, model.info)
    elif config.uncertainty:
        prediction = predict_pixels_uncertainty(model, image, passes=config.passes, tile=tile)
    else:
        prediction = predict_pixels(model, image, tile=tile, tta=config.tta)
    picture = show_bands(image, value_range=model.info.value_range, bands=config.show_bands)
    summary = write_image(picture, prediction, files, config, probabilities=probabilities)
    return summary, [prediction.mask]


def _common_folder(paths: Sequence[Path]) -> str:
    """The folder to which the names of images in annotations are relative."""
    try:
        return os.path.commonpath([path.absolute().parent for path in paths])
    except ValueError:  # on several drives
        return os.curdir
