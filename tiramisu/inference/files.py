"""Prediction of many images and videos, with masks, overlays and JSON written into a folder."""

import json
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from tiramisu.atomic import make_folder, write_file, write_then_rename
from tiramisu.data.readers.image_file import read_image
from tiramisu.inference.averaging import random_dropout
from tiramisu.inference.config import PredictConfig
from tiramisu.inference.inputs import Input, describe_failure, find_inputs, raise_failures
from tiramisu.inference.predict import Prediction, predict
from tiramisu.inference.predictor import Predictor, check_model
from tiramisu.inference.tester import as_tile
from tiramisu.inference.uncertainty import UncertainPrediction, predict_uncertainty
from tiramisu.inference.video import predict_video
from tiramisu.text import list_some, path_text, show_path
from tiramisu.visual.heat import find_scale, heat_map_with_scale
from tiramisu.visual.pictures import Picture, draw_legend, save_png, stack


def predict_files(
    model: Predictor, sources: Sequence[str | Path], *, config: PredictConfig
) -> list[Path]:
    """Predict images and videos, and write the results into a folder.

    For an image: `NAME_mask.png` (class ids, with the colours of the classes as palette),
    `NAME_overlay.png` (the image under the colours of the classes, with a legend of their shares)
    and `NAME.json`. For a video: `NAME_overlay.mp4` (without sound, at the frame rate of the video,
    with a legend of all classes) and `NAME.json` with the mean shares. NAME is the name of the file
    without its ending, made longer where two would be the same. A mask has the size and the
    orientation of its image as it is displayed: a rotation in EXIF is applied first. With
    `uncertainty` two heat maps are written too: `NAME_entropy.png` and
    `NAME_mutual_information.png`.

    The sources are files, folders and patterns; see `find_inputs`. Returns the files written.

    Raises:
        FileNotFoundError: a source does not exist.
        ValueError: before any work, if the model is in training mode or for another task, there is
            nothing to predict, results exist already or would replace an input, or `uncertainty` is
            asked of videos or of a model without dropout; at the end, if a file could not be read:
            all others are done by then.
    """
    check_model(model, "segmentation")
    inputs = find_inputs(sources)
    if config.uncertainty:
        if videos := [show_path(item.path) for item in inputs if item.is_video]:
            raise ValueError(
                f"{videos[0]} is a video, and --uncertainty is for images only: leave one of them "
                "out"
            )
        with random_dropout(model):
            pass  # only to raise the error of a model without dropout
    out = Path(config.out)
    targets = {item: _targets(item, out, uncertain=config.uncertainty) for item in inputs}
    _check_targets(out, sources, targets, overwrite=config.overwrite)
    make_folder(out)
    tile = as_tile(config.tile)
    written: list[Path] = []
    failures: list[str] = []
    for item, files in tqdm(targets.items(), unit=" files", disable=None):
        started = time.perf_counter()
        try:
            if item.is_video:
                summary = predict_video(model, item.path, out=files[0], tile=tile, tta=config.tta)
            else:
                image = read_image(item.path)
                prediction = (
                    predict_uncertainty(model, image, passes=config.passes, tile=tile)
                    if config.uncertainty
                    else predict(model, image, tile=tile, tta=config.tta)
                )
                summary = _write_image(image, prediction, out=files)
        except KeyboardInterrupt as interrupt:
            done = sum(of_input[-1] in written for of_input in targets.values())
            raise type(interrupt)(
                f"stopped: {done} of {len(inputs)} inputs are done, their results are in {out}; "
                "give the others, or all and --overwrite"
            ) from None
        except (ValueError, FileNotFoundError, RuntimeError, MemoryError) as error:
            failures.append(describe_failure(item, error, smaller="--tile"))
        else:
            seconds = round(time.perf_counter() - started, 3)
            described = {"input": path_text(item.path), **summary, "seconds": seconds}
            write_file(files[-1], json.dumps(described, indent=2) + "\n")
            written += files
    raise_failures(failures, total=len(inputs))
    return written


def _targets(item: Input, out: Path, *, uncertain: bool) -> list[Path]:
    endings = ["_overlay.mp4"] if item.is_video else ["_mask.png", "_overlay.png"]
    if uncertain:
        endings += ["_entropy.png", "_mutual_information.png"]
    return [out / f"{item.name}{ending}" for ending in (*endings, ".json")]


def _check_targets(
    out: Path, sources: Sequence[str | Path], targets: dict[Input, list[Path]], *, overwrite: bool
) -> None:
    """Raise ValueError if the results would replace files."""
    if any(os.path.realpath(source) == os.path.realpath(out) for source in sources):
        raise ValueError(
            f"{out} is both input and output: next time its masks would be inputs; give another "
            "folder for the results"
        )
    files = [file for of_input in targets.values() for file in of_input]
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


def _write_image(
    image: Picture, prediction: Prediction, *, out: Sequence[Path]
) -> dict[str, object]:
    mask_path, overlay_path, *maps, _ = out
    shares = prediction.shares
    legend = draw_legend(
        prediction.class_names, prediction.colors, size=image.shape[:2], shares=shares
    )
    save_png(overlay_path, stack([prediction.overlay(image), legend]))
    mask = Image.fromarray(prediction.mask)
    mask.putpalette([value for color in prediction.colors for value in color])
    with write_then_rename(mask_path) as partial:
        mask.save(partial)
    means = {}
    if isinstance(prediction, UncertainPrediction):
        entropy, information = prediction.entropy, prediction.mutual_information
        for path, values, title, highest in (
            (maps[0], entropy, "entropy", math.log(len(prediction.class_names))),
            (maps[1], information, "mutual information", find_scale(information)),
        ):
            save_png(path, heat_map_with_scale(values, title=title, highest=highest))
        means = {
            "mean_entropy": float(entropy.mean()),
            "mean_mutual_information": float(information.mean()),
        }
    return {
        "width": image.shape[1],
        "height": image.shape[0],
        "shares": shares,
        "mean_confidence": float(prediction.confidence.mean()),
        **means,
    }
