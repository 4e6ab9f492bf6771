"""The results of one image as files, and the shares of all images as a table."""

import csv
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from tiramisu.atomic import write_file, write_then_rename
from tiramisu.data.background import find_unpainted
from tiramisu.data.json_file import read_json
from tiramisu.inference.config import PredictConfig
from tiramisu.inference.inputs import Input
from tiramisu.inference.predict import Prediction
from tiramisu.inference.uncertainty import UncertainPrediction
from tiramisu.text import did_you_mean, list_some, path_text
from tiramisu.visual.heat import find_scale, heat_map_with_scale
from tiramisu.visual.pictures import Picture, draw_legend, save_png, stack

PROBABILITIES = "_probabilities.npz"
"""float16 (C, H, W) `probabilities`, and `class_names`."""
TABLE_NAME = "shares.csv"
_COLUMNS = ("input", "width", "height", "mean_confidence")


def check_class_masks(names: Sequence[str] | None, class_names: Sequence[str]) -> None:
    """Raise ValueError if there is no class of a name, or two would have the same file."""
    files: dict[str, str] = {}
    for name in names or ():
        if name not in class_names:
            raise ValueError(
                f"--class-masks: there is no class {name}; the classes are "
                f"{list_some(class_names, most=10)}{did_you_mean(name, class_names)}"
            )
        other = files.setdefault(name_class_mask(name).casefold(), name)
        if other != name:
            raise ValueError(
                f"--class-masks: {other} and {name} would have the same file; give one of them"
            )


def name_class_mask(name: str) -> str:
    """The ending of the file with the mask of a class."""
    plain = re.sub(r"[^\w.-]+", "-", name)
    return f"_only_{plain}.png"


def is_complete(item: Input, files: Mapping[str, Path], config: PredictConfig) -> bool:
    """Whether an input has all its results, from this model and these settings."""
    described = _read_result(files[".json"])
    asked = describe_source(item.path, config)
    return all(described.get(name) == value for name, value in asked.items()) and all(
        file.exists() for file in files.values()
    )


def describe_source(place: str | Path, config: PredictConfig) -> dict[str, object]:
    """From what a result comes: the first entries of its JSON.

    Args:
        place: path or URL of the input.
        config: the settings.
    """
    return {
        "input": path_text(place),
        "checkpoint": path_text(config.checkpoint),
        "tta": config.tta,
        "passes": config.passes,
    }


def check_table(path: Path, *, overwrite: bool) -> None:
    """Raise ValueError if a table of the shares would replace something of another kind."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give another folder for the results")
    if path.exists() and not overwrite:
        with path.open(encoding="utf-8", errors="replace") as file:
            if not file.readline().startswith(",".join(_COLUMNS)):
                raise ValueError(
                    f"{path} is no table of an earlier prediction; give another folder, or replace "
                    "it with --overwrite"
                )


def write_table(path: Path, results: Iterable[Path], *, class_names: Sequence[str]) -> None:
    """Write a line for each result: size, confidence and the shares of the classes.

    Lines of earlier predictions of the same classes stay.

    Args:
        path: the file.
        results: the JSON of each input; those that are not there have failed.
        class_names: names of all classes.
    """
    text = path.read_bytes().decode(errors="replace") if path.is_file() else ""
    rows = read_rows(text, class_names=class_names)
    for file in results:
        if content := _read_result(file):
            row = list_cells(content, class_names=class_names)
            rows[row[0]] = row
    write_file(path, format_rows(rows.values(), class_names=class_names))


def read_rows(text: str, *, class_names: Sequence[str]) -> dict[str, list[str]]:
    """The lines of a table of shares, by their inputs; none of a table of other classes."""
    heading = [*_COLUMNS, *class_names]
    lines = [
        line for line in csv.reader(io.StringIO(text, newline="")) if len(line) == len(heading)
    ]
    return {line[0]: line for line in lines[1:]} if lines[:1] == [heading] else {}


def list_cells(content: Mapping[str, Any], *, class_names: Sequence[str]) -> list[str]:
    """The line of a table of shares, from the JSON of a result."""
    shares = [content["shares"].get(name, "") for name in class_names]
    cells = [*(content.get(key, "") for key in _COLUMNS), *shares]
    return [f"{cell:.6g}" if isinstance(cell, float) else str(cell) for cell in cells]


def format_rows(rows: Iterable[list[str]], *, class_names: Sequence[str]) -> str:
    """A table of shares as CSV, sorted by the inputs."""
    text = io.StringIO()
    heading = [*_COLUMNS, *class_names]
    csv.writer(text, lineterminator="\n").writerows([heading, *sorted(rows)])
    return text.getvalue()


def _read_result(path: Path) -> dict[str, Any]:
    """The JSON of a result; empty if it is none."""
    try:
        content = read_json(path)
    except (OSError, ValueError):
        return {}
    is_result = isinstance(content, dict) and isinstance(content.get("shares"), dict)
    return content if is_result else {}


def write_image(
    image: Picture,
    prediction: Prediction,
    files: Mapping[str, Path],
    config: PredictConfig,
    *,
    probabilities: Tensor | None,
) -> dict[str, object]:
    """Write mask, overlay and what else was asked for.

    Args:
        image: RGB (H, W, 3).
        prediction: of this image.
        files: where to, by the endings of their names.
        config: the settings.
        probabilities: (C, H, W), for --probabilities.

    Returns:
        What the JSON of the image holds.
    """
    shares = prediction.shares
    legend = draw_legend(
        prediction.class_names,
        prediction.colors,
        size=image.shape[:2],
        shares=shares,
        unpainted=find_unpainted(prediction.class_names, config.unpainted),
    )
    painted = prediction.overlay(image, opacity=config.opacity, unpainted=config.unpainted)
    save_png(files["_overlay.png"], stack([painted, legend]))
    mask = Image.fromarray(prediction.mask)
    mask.putpalette([value for color in prediction.colors for value in color])
    with write_then_rename(files["_mask.png"]) as partial:
        mask.save(partial)
    for name in config.class_masks or ():
        is_class = prediction.mask == prediction.class_names.index(name)
        with write_then_rename(files[name_class_mask(name)]) as partial:
            Image.fromarray(is_class).save(partial)  # one bit a pixel
    if probabilities is not None:
        with write_then_rename(files[PROBABILITIES]) as partial, partial.open("wb") as file:
            np.savez_compressed(
                file,
                probabilities=probabilities.half().numpy(),
                class_names=np.array(prediction.class_names),
            )
    means = {}
    if isinstance(prediction, UncertainPrediction):
        entropy, information = prediction.entropy, prediction.mutual_information
        for ending, values, title, highest in (
            ("_entropy.png", entropy, "entropy", math.log(len(prediction.class_names))),
            (
                "_mutual_information.png",
                information,
                "mutual information",
                find_scale(information),
            ),
        ):
            save_png(files[ending], heat_map_with_scale(values, title=title, highest=highest))
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
