"""Evaluating a model on a data set."""

import dataclasses
import functools
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tiramisu.data.dataset import ImageDataset
from tiramisu.data.loader import make_loader
from tiramisu.evaluation.error_analysis import ErrorMeter, Shares
from tiramisu.evaluation.gallery import Gallery
from tiramisu.evaluation.meter import Meter, count_pixels, list_classified, score_images
from tiramisu.evaluation.scores import (
    ClassificationScores,
    ClassifiedImage,
    Scores,
    SegmentationScores,
)
from tiramisu.inference.averaging import as_logits, augmented_logits, random_dropout, run_passes
from tiramisu.inference.predictor import Predictor, check_finite
from tiramisu.inference.tester import PixelTester
from tiramisu.inference.tiles import Tile
from tiramisu.progress import track


def evaluate(
    model: Predictor,
    dataset: ImageDataset,
    *,
    batch_size: int = 1,
    tile: Tile = "auto",
    tta: bool = False,
    mc_dropout: int = 0,
    limit: int | None = None,
    metrics: Sequence[Any] = (),
    gallery: Gallery | None = None,
) -> Scores:
    """Evaluate a model on a data set, at the size of its labels.

    Args:
        model: a trained model. Its batch norm is used as it is; see `recalibrate_batch_norm` and
            `use_batch_statistics`.
        dataset: one split of a data set.
        batch_size: images in a batch.
        tile: side of the tiles in which larger images are predicted, as in `predict`; None predicts
            every image whole.
        tta: average over scaled and mirrored copies of each image.
        mc_dropout: number of passes with random dropout to average over; 0 takes one pass without.
        limit: number of images to use, spread evenly over the data set; None for all.
        metrics: of one's own; see `OwnMetrics`.
        gallery: what keeps the predictions of a segmentation for a report.

    Raises:
        ValueError: `mc_dropout` for a model without dropout, or together with `tta`.
    """
    if tta and mc_dropout:
        raise ValueError("tta and mc_dropout are two ways to average; give one of them")
    spec = dataset.spec
    meter = Meter(spec.task, spec.num_classes, ignore_index=spec.ignore_index, own=metrics)
    meter.to(model.device)
    indices = pick_evenly(len(dataset), limit)
    names = [dataset.names[index] for index in indices]
    loader = make_loader(
        dataset, batch_size=batch_size, shuffle=False, num_workers=0, seed=0, indices=indices
    )
    dropout = random_dropout(model) if mc_dropout else nullcontext()
    tester = PixelTester(model, tile=tile, tta=tta, passes=mc_dropout)
    count_of = functools.partial(
        count_pixels, num_classes=spec.num_classes, ignore_index=spec.ignore_index
    )
    errors = ErrorMeter(num_classes=spec.num_classes, ignore_index=spec.ignore_index)
    counts: list[Tensor] = []
    boundary_iou: list[Shares] = []
    classified: list[ClassifiedImage] = []
    finite = torch.ones((), dtype=torch.bool, device=model.device)
    with torch.inference_mode(), dropout:
        for batch in track(loader, doing="evaluating", unit="batches", total=len(loader)):
            images = batch["image"].to(model.device)  # (B, C, H, W)
            labels = batch["label"].to(model.device)  # (B, H, W), or (B,)
            # Collected on the device: to look at it after each batch is to wait for a GPU.
            if spec.task == "segmentation":
                size = (labels.shape[1], labels.shape[2])
                tested = tester.test(images, size=size, labels=labels)
                finite &= tested.is_finite
                meter.update(
                    tested.classes,
                    tested.confidence,
                    labels,
                    log_likelihood=tested.log_likelihood,
                )
                counts.append(count_of(tested.classes, labels))
                for prediction, label in zip(
                    *map(_to_array, (tested.classes, labels)), strict=True
                ):
                    if gallery is not None:
                        gallery.add(indices[len(boundary_iou)], prediction)
                    boundary_iou.append(errors.update(prediction, label))
            else:
                logits = _classify(model, images, tta=tta, mc_dropout=mc_dropout)
                finite &= logits.isfinite().all()
                meter.update_logits(logits, labels)
                first = len(classified)
                classified += list_classified(names[first : first + len(labels)], logits, labels)
    check_finite(model, finite)
    scores = meter.compute()
    if isinstance(scores, ClassificationScores):
        return dataclasses.replace(scores, images=tuple(classified))
    if isinstance(scores, SegmentationScores):
        images = score_images(names, torch.cat(counts), boundary_iou)
        return dataclasses.replace(scores, images=images, errors=errors.compute())
    return scores


def pick_evenly(number: int, limit: int | None) -> list[int]:
    """The indices of `limit` of so many samples at even distances; of all with None."""
    limit = min(limit or number, number)
    return [i * number // limit for i in range(limit)]


def _to_array(classes: Tensor) -> npt.NDArray[np.uint8]:
    return np.asarray(classes.to(torch.uint8).cpu())


def _classify(model: Predictor, images: Tensor, *, tta: bool, mc_dropout: int) -> Tensor:
    """Logits (B, C) of whole images."""
    if tta:
        return augmented_logits(model, images, size=())
    if mc_dropout:
        return as_logits(run_passes(model, images, size=None, passes=mc_dropout).mean)
    return model(images)
