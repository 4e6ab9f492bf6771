"""Where predictions of a few samples are uncertain, as one picture: RGB, uint8 (H, W, 3)."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from tiramisu.data.dataset import ImageDataset
from tiramisu.evaluation import samples
from tiramisu.inference.averaging import random_dropout
from tiramisu.inference.predictor import Predictor
from tiramisu.inference.tester import PixelTester
from tiramisu.inference.tiles import Tile
from tiramisu.visual.heat import Heat, draw_scale, find_scale, heat_map
from tiramisu.visual.pictures import (
    Label,
    Picture,
    resize,
    save_png,
    show_bands,
    stack,
    text_height_for,
)


def save_uncertainty(
    model: Predictor, dataset: ImageDataset, path: Path, *, passes: int, tile: Tile = "auto"
) -> None:
    """Write a picture (PNG) of images at even distances in a split, with their uncertainty."""
    tester = PixelTester(model, tile=tile, passes=passes)
    picked = samples.pick_samples(dataset, number=samples.NUM_SAMPLES["segmentation"])
    masks, entropies, disagreements = [], [], []
    with torch.inference_mode(), random_dropout(model):
        for index in picked:
            sample = dataset[index]
            height, width = sample["label"].shape
            passed = tester.average(sample["image"][None], size=(height, width))
            masks.append(passed.mean[0].argmax(dim=0).cpu().numpy().astype(np.uint8))
            entropies.append(passed.entropy[0].cpu().numpy())
            disagreements.append(passed.mutual_information[0].cpu().numpy())
    images_and_labels = [dataset.read(index) for index in picked]
    grid = uncertainty_grid(
        [show_bands(i, value_range=model.info.value_range) for i, _ in images_and_labels],
        [label for _, label in images_and_labels],
        masks,
        entropies,
        disagreements,
        names=[dataset.names[index] for index in picked],
        num_classes=dataset.spec.num_classes,
    )
    title = f"{model.info.arch} on {dataset.spec.name} {dataset.split}"
    save_png(path, samples.add_title(grid, title))


def uncertainty_grid(
    images: Sequence[Picture],
    labels: Sequence[Label],
    predictions: Sequence[Label],
    entropies: Sequence[Heat],
    disagreements: Sequence[Heat],
    *,
    names: Sequence[str],
    num_classes: int,
    cell_width: int = 400,
) -> Picture:
    """Show samples one below the other: image, errors, entropy and mutual information.

    Args:
        images: RGB (H, W, 3) each.
        labels: ground truth, class ids (H, W) each, with void.
        predictions: class ids (H, W), each of the size of its label.
        entropies: entropy in nats, (H, W), each of the size of its label.
        disagreements: mutual information in nats, (H, W), each of the size of its label.
        names: a caption for each sample; its pixel accuracy is added.
        num_classes: the colours of the entropy end at its maximum, log(num_classes).
        cell_width: width of each picture in the grid, in pixels.
    """
    highest = math.log(num_classes), max(find_scale(values) for values in disagreements)
    rows: list[tuple[list[Picture], list[str]]] = []
    for image, label, prediction, *maps, name in zip(
        images, labels, predictions, entropies, disagreements, names, strict=True
    ):
        size = samples.cell_size(image, cell_width)
        small = resize(image, size)
        errors = samples.mark_errors(small, label, prediction)
        heat = [resize(heat_map(m, highest=h), size) for m, h in zip(maps, highest, strict=True)]
        rows.append(([small, errors, *heat], [name, samples.describe_score(label, prediction)]))
    headings = ["image", "errors (red)", "entropy", "mutual information"]
    grid = samples.arrange_grid(headings, rows, cell_width=cell_width)
    text_height = text_height_for(grid.shape[1])
    scales = [
        draw_scale(title, highest=h, width=grid.shape[1] // 2, text_height=text_height)
        for title, h in zip(headings[2:], highest, strict=True)
    ]
    return stack([grid, np.hstack(scales)])
