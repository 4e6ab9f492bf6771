"""Prediction of many images and videos, with masks, overlays and JSON written into a folder."""

import json
import math
import time
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from tiramisu.checkpoints.run_folder import make_folder
from tiramisu.data.readers.reader import read_image
from tiramisu.devices import is_out_of_memory
from tiramisu.inference.averaging import random_dropout
from tiramisu.inference.inputs import Input, find_inputs
from tiramisu.inference.predict import Prediction, check_options, predict
from tiramisu.inference.predictor import Predictor
from tiramisu.inference.tiles import Tile
from tiramisu.inference.uncertainty import UncertainPrediction, predict_uncertainty
from tiramisu.inference.video import predict_video
from tiramisu.text import list_some
from tiramisu.visual.heat import find_scale, heat_map_with_scale
from tiramisu.visual.pictures import Picture, add_legend, save_png


def predict_files(
    model: Predictor,
    sources: Sequence[str | Path],
    *,
    out: str | Path,
    tile: Tile = "auto",
    overlap: float = 0.25,
    tta: bool = False,
    mc_dropout: int = 0,
    opacity: float = 0.5,
    overwrite: bool = False,
    progress: bool = True,
) -> list[Path]:
    """Predict images and videos, and write the results into a folder.

    For an image: `NAME_mask.png` (class ids, with the colours of the classes as palette),
    `NAME_overlay.png` (the image under the colours of the classes, with a legend of their shares)
    and `NAME.json`. For a video: `NAME_overlay.mp4` (without sound, at the frame rate of the video,
    with a legend of all classes) and `NAME.json` with the mean shares. NAME is the name of the file
    without its ending, made longer where two would be the same. A mask has the size and the
    orientation of its image as it is displayed: a rotation in EXIF is applied first. With
    `mc_dropout` two heat maps are written too: `NAME_entropy.png` and
    `NAME_mutual_information.png`.

    Args:
        model: a model in evaluation mode, on any device, or an exported one.
        sources: files, folders and patterns; see `find_inputs`.
        out: folder for the results; it is made if it does not exist.
        tile, overlap, tta: see `predict_probabilities`.
        mc_dropout: number of passes with random dropout, see `predict_uncertainty`; 0 for one pass
            without.
        opacity: opacity of the colours in overlays, 0 to 1.
        overwrite: replace results that exist.
        progress: show a progress bar.

    Returns:
        The files written, in order.

    Raises:
        FileNotFoundError: a source does not exist.
        ValueError: before any work, if an option is wrong, there is nothing to predict, or results
            exist already or would replace an input; at the end, if a file could not be read; all
            others are done by then.
    """
    check_options(model, tile=tile, overlap=overlap)
    inputs = find_inputs(sources)
    if mc_dropout:
        _check_uncertainty(model, inputs, passes=mc_dropout, tta=tta)
    out = _prepare_folder(Path(out), sources, inputs, uncertain=mc_dropout > 0, overwrite=overwrite)
    written: list[Path] = []
    failures: list[str] = []
    for item in tqdm(inputs, unit=" files", disable=None if progress else True):
        targets = _targets(item, out, uncertain=mc_dropout > 0)
        started = time.perf_counter()
        try:
            if item.is_video:
                summary = predict_video(
                    model,
                    item.path,
                    out=targets[0],
                    tile=tile,
                    overlap=overlap,
                    tta=tta,
                    opacity=opacity,
                    progress=progress,
                )
            else:
                image = read_image(item.path)
                prediction: Prediction
                if mc_dropout:
                    prediction = predict_uncertainty(
                        model, image, passes=mc_dropout, tile=tile, overlap=overlap
                    )
                else:
                    prediction = predict(model, image, tile=tile, overlap=overlap, tta=tta)
                summary = _write_image(image, prediction, out=targets, opacity=opacity)
        except (ValueError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and not is_out_of_memory(error):
                raise
            oom = f"{item.path}: out of memory; give a smaller --tile"
            failures.append(oom if isinstance(error, RuntimeError) else str(error))
            continue
        seconds = round(time.perf_counter() - started, 3)
        described = {"input": str(item.path), **summary, "seconds": seconds}
        targets[-1].write_text(json.dumps(described, indent=2) + "\n")
        written += targets
    if failures:
        raise ValueError(
            f"{len(failures)} of {len(inputs)} files failed, the others are done: "
            + "; ".join(failures)
        )
    return written


def _check_uncertainty(
    model: Predictor, inputs: Sequence[Input], *, passes: int, tta: bool
) -> None:
    """Raise ValueError, before any work, where uncertainty cannot be predicted."""
    if tta:
        raise ValueError("tta and mc_dropout are two ways to average; give one of them")
    if passes < 2:
        raise ValueError(f"mc_dropout is {passes}; expected at least 2 passes, or 0 for none")
    videos = [str(item.path) for item in inputs if item.is_video]
    if videos:
        raise ValueError(
            f"{videos[0]} is a video, and --uncertainty is for images only: leave one of them out"
        )
    with random_dropout(model):
        pass


def save_mask(path: str | Path, prediction: Prediction) -> None:
    """Write class ids as PNG, with the colours of the classes as palette."""
    image = Image.fromarray(prediction.mask)
    image.putpalette([value for color in prediction.colors for value in color])
    image.save(path)


def _targets(item: Input, out: Path, *, uncertain: bool) -> list[Path]:
    endings = ["_overlay.mp4"] if item.is_video else ["_mask.png", "_overlay.png"]
    if uncertain:
        endings += ["_entropy.png", "_mutual_information.png"]
    return [out / f"{item.name}{ending}" for ending in (*endings, ".json")]


def _prepare_folder(
    out: Path,
    sources: Sequence[str | Path],
    inputs: Sequence[Input],
    *,
    uncertain: bool,
    overwrite: bool,
) -> Path:
    """Make the folder for the results. Raises ValueError if they would replace files there."""
    if any(Path(source).resolve() == out.resolve() for source in sources):
        raise ValueError(
            f"{out} is both input and output: next time its masks would be inputs; give another "
            "folder for the results"
        )
    targets = [target for item in inputs for target in _targets(item, out, uncertain=uncertain)]
    own = {item.path.resolve() for item in inputs}
    if lost := [target for target in targets if target.resolve() in own]:
        raise ValueError(f"the results would replace the input {lost[0]}; give another folder")
    existing = [target.name for target in targets if target.exists()]
    if existing and not overwrite:
        raise ValueError(
            f"{out} already holds results: {list_some(existing, most=5)}; give another folder, or "
            "replace them with --overwrite"
        )
    return make_folder(out)


def _write_image(
    image: Picture, prediction: Prediction, *, out: Sequence[Path], opacity: float
) -> dict[str, object]:
    mask_path, overlay_path, *maps, _ = out
    shares = prediction.shares
    colored = prediction.overlay(image, opacity=opacity)
    legend = add_legend(colored, prediction.class_names, prediction.colors, shares=shares)
    save_png(overlay_path, legend)
    save_mask(mask_path, prediction)
    means = {}
    if isinstance(prediction, UncertainPrediction):
        highest_entropy = math.log(len(prediction.class_names))
        highest_information = find_scale(prediction.mutual_information)
        for path, values, title, highest in (
            (maps[0], prediction.entropy, "entropy", highest_entropy),
            (maps[1], prediction.mutual_information, "mutual information", highest_information),
        ):
            save_png(path, heat_map_with_scale(values, title=title, highest=highest))
        means = {
            "mean_entropy": float(prediction.entropy.mean()),
            "mean_mutual_information": float(prediction.mutual_information.mean()),
        }
    return {
        "width": image.shape[1],
        "height": image.shape[0],
        "shares": shares,
        "mean_confidence": float(prediction.confidence.mean()),
        **means,
    }
