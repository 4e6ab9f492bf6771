"""Classification of whole images, from arrays or files, with results as CSV and JSON."""

import csv
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from tiramisu.atomic import make_folder, write_file, write_then_rename
from tiramisu.data.dataset import as_tensor
from tiramisu.data.readers.class_reader import resize_and_crop
from tiramisu.data.readers.image_file import read_image
from tiramisu.inference.config import ClassifyConfig
from tiramisu.inference.inputs import Input, describe_failure, find_inputs, raise_failures
from tiramisu.inference.predict import Pixels, read_pixels
from tiramisu.inference.predictor import Predictor, check_finite, check_model
from tiramisu.text import path_text, show_path

TABLE_NAME, JSON_NAME = "classes.csv", "classes.json"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Classification:
    """The predicted class of one image."""

    probabilities: npt.NDArray[np.float32]
    """Probability of each class, (C,), 0..1; they sum to 1."""
    class_names: tuple[str, ...]
    """Name of each class."""

    @property
    def class_name(self) -> str:
        """The most probable class."""
        return self.class_names[int(self.probabilities.argmax())]

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """The most probable classes with their probabilities, the most probable first."""
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(self.class_names[c], float(self.probabilities[c])) for c in order]


def classify(model: Predictor, image: Pixels | str | Path) -> Classification:
    """Classify one image.

    Args:
        model: a classification model in evaluation mode, on any device, or an exported one.
        image: an array or a file, as for `predict_probabilities`.

    Raises:
        FileNotFoundError, ValueError: the image cannot be read, or the model does not classify.
    """
    return classify_batch(model, [image])[0]


def classify_batch(model: Predictor, images: Sequence[Pixels | str | Path]) -> list[Classification]:
    """Classify several images in one batch; see `classify`.

    Images are resized and cropped to the size that the model was trained with. A model without
    such a size needs images of one size.
    """
    format = model.info.image_format
    return _classify_pixels(model, [read_pixels(image, format) for image in images])


def _classify_pixels(model: Predictor, arrays: Sequence[Pixels]) -> list[Classification]:
    """As `classify_batch`, for what `read_pixels` gives."""
    check_model(model, "classification")
    size = model.info.image_size
    if size is not None:
        arrays = [resize_and_crop(array, size) for array in arrays]
    batch = torch.stack([as_tensor(array) for array in arrays])  # (B, C, H, W)
    with torch.inference_mode():
        probabilities = model(batch.to(model.device)).float().softmax(dim=1).cpu()
    check_finite(model, probabilities.isfinite().all())
    return [
        Classification(probabilities=p, class_names=model.info.class_names)
        for p in probabilities.numpy()
    ]


def classify_files(
    model: Predictor, sources: Sequence[str | Path], *, config: ClassifyConfig
) -> list[Classification]:
    """Classify image files, print a line for each, and write classes.csv and classes.json.

    The sources are files, folders and patterns; see `find_inputs`.

    Raises:
        FileNotFoundError: a source does not exist.
        ValueError: before any work, if there is nothing to classify or results exist already; at
            the end, if a file could not be read; all others are done by then.
    """
    check_model(model, "classification")
    inputs = find_inputs(sources)
    videos = [show_path(item.path) for item in inputs if item.is_video]
    if videos:
        raise ValueError(f"{videos[0]} is a video; expected images: extract its frames first")
    out = Path(config.out)
    existing = [name for name in (TABLE_NAME, JSON_NAME) if (out / name).exists()]
    if existing and not config.overwrite:
        raise ValueError(
            f"{out} already holds results: {', '.join(existing)}; give another --out, or replace "
            "them with --overwrite"
        )
    make_folder(out)

    results: dict[Path, Classification] = {}
    failures: list[str] = []
    batch_size = config.batch_size if model.info.image_size else 1
    stopped: KeyboardInterrupt | None = None
    try:
        with tqdm(total=len(inputs), unit=" files", disable=None, leave=False) as bar:
            for start in range(0, len(inputs), batch_size):
                batch: dict[Input, Pixels] = {}
                for item in inputs[start : start + batch_size]:
                    try:
                        batch[item] = read_image(item.path, model.info.image_format)
                    except (ValueError, FileNotFoundError) as error:
                        failures.append(describe_failure(item.path, error, smaller="--batch-size"))
                try:
                    found = _classify_pixels(model, list(batch.values())) if batch else []
                except (ValueError, RuntimeError, MemoryError) as error:  # such as too small images
                    failures += [
                        describe_failure(i.path, error, smaller="--batch-size") for i in batch
                    ]
                else:
                    results.update(zip((item.path for item in batch), found, strict=True))
                bar.update(batch_size)
    except KeyboardInterrupt as interrupt:
        stopped = interrupt
    if results:
        _write(out, results, top=config.top)

    width = max((len(show_path(path)) for path in results), default=0)
    for path, result in results.items():
        classes = "   ".join(f"{name} {100 * p:.1f} %" for name, p in result.top(config.top))
        print(f"{show_path(path):{width}}   {classes}")
    if results:
        print(f"{TABLE_NAME} and {JSON_NAME} are in {out}")
    if stopped is not None:
        raise type(stopped)(
            f"stopped: {len(results)} of {len(inputs)} files are done; give the others and another "
            "--out, or all and --overwrite"
        )
    raise_failures(failures, total=len(inputs))
    return list(results.values())


def _write(out: Path, results: dict[Path, Classification], *, top: int) -> None:
    """Write a table with a line for each file, and JSON with the probabilities of all classes."""
    with (
        write_then_rename(out / TABLE_NAME) as partial,
        partial.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        rows = {path: result.top(top) for path, result in results.items()}
        ranks = range(1, max(map(len, rows.values()), default=0) + 1)
        writer.writerow(["file", *(f"{n}_{r}" for r in ranks for n in ("class", "probability"))])
        for path, row in rows.items():
            cells = (cell for name, p in row for cell in (name, f"{p:.6f}"))
            writer.writerow([path_text(path), *cells])
    described = {
        path_text(path): {
            "class": result.class_name,
            "probabilities": {
                name: round(float(p), 6)
                for name, p in zip(result.class_names, result.probabilities, strict=True)
            },
        }
        for path, result in results.items()
    }
    write_file(out / JSON_NAME, json.dumps(described, indent=2) + "\n")
