"""Where a network is unsure of a few samples, as one picture: RGB, uint8 (H, W, 3)."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from tiramisu.data.dataset import SegmentationDataset
from tiramisu.evaluation.samples import (
    NUM_SAMPLES,
    arrange_grid,
    describe_score,
    mark_errors,
    pick_samples,
    resize_label,
)
from tiramisu.inference.averaging import draw, random_dropout
from tiramisu.inference.predictor import Predictor
from tiramisu.visual.heat import Heat, draw_scale, find_scale, heat_map
from tiramisu.visual.pictures import Label, Picture, resize, save_png, stack, text_height_for


def save_uncertainty(
    model: Predictor, dataset: SegmentationDataset, path: Path, *, passes: int
) -> None:
    """A picture of how sure a model is of a few images, evenly picked over a split."""
    picked = pick_samples(dataset, number=NUM_SAMPLES["segmentation"])
    masks, entropies, disagreements = [], [], []
    with torch.inference_mode(), random_dropout(model):
        for index in picked:
            sample = dataset[index]
            images, labels = sample["image"][None], sample["label"][None]
            draws = draw(model, images.to(model.device), labels, passes=passes)
            masks.append(draws.mean[0].argmax(dim=0).cpu().numpy().astype(np.uint8))
            entropies.append(draws.entropy[0].cpu().numpy())
            disagreements.append(draws.mutual_information[0].cpu().numpy())
    grid = uncertainty_grid(
        [dataset.read(index)[0] for index in picked],
        [dataset.read(index)[1] for index in picked],
        masks,
        entropies,
        disagreements,
        names=[dataset.names[index] for index in picked],
        num_classes=dataset.spec.num_classes,
    )
    save_png(path, grid)


def uncertainty_grid(
    images: Sequence[Picture],
    truths: Sequence[Label],
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
        truths: class ids (H, W) each, with void.
        predictions: class ids, each of its truth's size.
        entropies, disagreements: entropy and mutual information in nats, each of its truth's size.
        names: a caption for each sample; its accuracy (without void) is added.
        num_classes: sets the highest entropy there can be.
        cell_width: width of each picture in the grid, in pixels.
    """
    highest = math.log(num_classes), max(find_scale(values) for values in disagreements)
    rows: list[tuple[list[Picture], list[str]]] = []
    for image, truth, prediction, *maps, name in zip(
        images, truths, predictions, entropies, disagreements, names, strict=True
    ):
        size = (cell_width, max(1, round(image.shape[0] * cell_width / image.shape[1])))
        small = resize(image, size)
        wrong = mark_errors(small, resize_label(truth, size), resize_label(prediction, size))
        heat = [resize(heat_map(m, highest=h), size) for m, h in zip(maps, highest, strict=True)]
        rows.append(([small, wrong, *heat], [name, describe_score(truth, prediction)]))
    headings = ["image", "errors (red)", "entropy", "mutual information"]
    grid = arrange_grid(headings, rows, cell_width=cell_width)
    text_height = text_height_for(grid.shape[1])
    scales = [
        draw_scale(title, highest=h, width=grid.shape[1] // 2, text_height=text_height)
        for title, h in zip(headings[2:], highest, strict=True)
    ]
    return stack([grid, np.hstack(scales)])
