"""Prediction of many images, maps and videos, with all results written into a folder."""

import os
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from tiramisu.atomic import make_folder
from tiramisu.data.background import find_unpainted
from tiramisu.inference.averaging import random_dropout
from tiramisu.inference.config import PredictConfig
from tiramisu.inference.image_results import (
    TABLE_NAME,
    check_class_masks,
    check_table,
    describe_source,
    is_complete,
    write_table,
)
from tiramisu.inference.inputs import Input, describe_failure, find_inputs, raise_failures
from tiramisu.inference.maps import find_maps
from tiramisu.inference.overlapping import overlap
from tiramisu.inference.polygon_files import write_coco
from tiramisu.inference.predict_input import InputPrediction, check_kind, result_files
from tiramisu.inference.predictor import Predictor, check_model
from tiramisu.progress import track
from tiramisu.text import list_some, path_text, show_path

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
    check_settings(model, config)
    out = Path(config.out)
    inputs = find_inputs(sources, recursive=config.recursive, without=out)
    maps = find_maps([item.path for item in inputs])
    for item in inputs:
        check_kind(item, config, is_map=item.path in maps)
    targets = {item: result_files(item, out, config, is_map=item.path in maps) for item in inputs}
    shared = [out / ANNOTATIONS] if config.polygons == "coco" else []
    complete: set[Input] = set()
    if config.resume:
        complete = {i for i, files in targets.items() if is_complete(i, files, config)}
    # Without a complete input nothing tells that files are those of a prediction that was stopped.
    replace = config.overwrite or bool(complete)
    _check_targets(out, sources, targets, shared=shared, overwrite=replace, resume=config.resume)
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
            works = (  # made one by one: each holds its image
                InputPrediction(
                    model,
                    item,
                    targets[item],
                    config,
                    is_map=item.path in maps,
                    source=describe_source(item.path, config),
                )
                for item in todo
            )
            written_works = opened.enter_context(closing(overlap(works)))
            for work, error in track(
                written_works, doing="predicting", unit="files", total=len(inputs), done=done
            ):
                item = work.item
                if error is not None:
                    failures.append(describe_failure(item.path, error, smaller="--tile"))
                    continue
                if coco is not None:
                    name = Path(os.path.relpath(item.path, folder)).as_posix()
                    size = {side: int(str(work.summary[side])) for side in ("height", "width")}
                    coco.add(path_text(name), work.mask, **size)
                written += work.files.values()
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


def check_settings(model: Predictor, config: PredictConfig) -> None:
    """Raise ValueError if a model cannot predict with these settings."""
    check_model(model, "segmentation")
    channels = model.info.channels
    if config.show_bands is not None and max(config.show_bands) > channels:
        raise ValueError(
            f"--show-bands is {config.show_bands}; the model sees {channels} bands, so expected "
            f"numbers from 1 to {channels}"
        )
    find_unpainted(model.info.class_names, config.unpainted)  # only to raise its error
    check_class_masks(config.class_masks, model.info.class_names)
    if config.uncertainty:
        with random_dropout(model):
            pass  # only to raise the error of a model without dropout


def _check_targets(
    out: Path,
    sources: Sequence[str | Path],
    targets: dict[Input, dict[str, Path]],
    *,
    shared: Sequence[Path],
    overwrite: bool,
    resume: bool,
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
            f"{out} already holds results{' of another model or other settings' * resume}: "
            f"{list_some(existing, most=5)}; give another folder, or replace them with --overwrite"
        )


def _common_folder(paths: Sequence[Path]) -> str:
    """The folder to which the names of images in annotations are relative."""
    try:
        return os.path.commonpath([path.absolute().parent for path in paths])
    except ValueError:  # on several drives
        return os.curdir
