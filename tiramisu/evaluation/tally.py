"""Predicting images of a data set and counting what their scores follow from.

Counts are whole numbers, so those of several processes add up to exactly those of one.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tiramisu.data.dataset import ImageDataset
from tiramisu.data.loader import make_loader
from tiramisu.data.spec import DatasetSpec
from tiramisu.evaluation.error_analysis import ErrorMeter, Shares
from tiramisu.evaluation.gallery import shrink_prediction
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Testing:
    """How images are predicted, and what is counted; see `evaluate`."""

    batch_size: int = 1
    tile: Tile = "auto"
    tta: bool = False
    mc_dropout: int = 0
    metrics: Sequence[Any] = ()
    show_progress: bool = True
    keep_predictions: bool = False
    """Whether small pictures of the predicted masks are kept for a page."""


class Tally:
    """What was counted over images.

    Args:
        spec: their data set.
        metrics: of one's own; see `OwnMetrics`.
    """

    def __init__(self, spec: DatasetSpec, *, metrics: Sequence[Any] = ()) -> None:
        self.meter = Meter(spec.task, spec.num_classes, ignore_index=spec.ignore_index, own=metrics)
        self.errors = ErrorMeter(num_classes=spec.num_classes, ignore_index=spec.ignore_index)
        self.counts: list[Tensor] = []
        """Of each batch, (B, 3, C), of `count_pixels`."""
        self.boundary_iou: list[Shares] = []
        self.classified: list[ClassifiedImage] = []
        self.predictions: dict[int, npt.NDArray[Any]] = {}
        """Small predicted masks as PNG, by the indices of the images in the data set."""

    def merge(self, other: "Tally") -> None:
        """Add what was counted over further images, behind those of this one."""
        self.meter.merge(other.meter)
        self.errors.merge(other.errors)
        self.counts += other.counts
        self.boundary_iou += other.boundary_iou
        self.classified += other.classified
        self.predictions |= other.predictions

    def compute(self, names: Sequence[str]) -> Scores:
        """The scores, with those of each image.

        Args:
            names: of the images, in the order in which they were counted.
        """
        scores = self.meter.compute()
        if isinstance(scores, ClassificationScores):
            return dataclasses.replace(scores, images=tuple(self.classified))
        assert isinstance(scores, SegmentationScores)
        images = score_images(names, torch.cat(self.counts), self.boundary_iou)
        return dataclasses.replace(scores, images=images, errors=self.errors.compute())


CountImages = Callable[[Predictor, ImageDataset, Sequence[int], Testing], Tally]
"""What counts the images of these indices: `count_images`, or several processes that do."""


def count_images(
    model: Predictor, dataset: ImageDataset, indices: Sequence[int], testing: Testing
) -> Tally:
    """Predict and count images.

    Args:
        model: a trained model.
        dataset: one split of a data set.
        indices: of the images in the data set.
        testing: how.
    """
    spec = dataset.spec
    tally = Tally(spec, metrics=testing.metrics)
    tally.meter.to(model.device)
    loader = make_loader(
        dataset,
        batch_size=testing.batch_size,
        shuffle=False,
        num_workers=0,
        seed=0,
        indices=indices,
    )
    dropout = random_dropout(model) if testing.mc_dropout else nullcontext()
    tester = PixelTester(model, tile=testing.tile, tta=testing.tta, passes=testing.mc_dropout)
    count_of = functools.partial(
        count_pixels, num_classes=spec.num_classes, ignore_index=spec.ignore_index
    )
    finite = torch.ones((), dtype=torch.bool, device=model.device)
    with torch.inference_mode(), dropout:
        batches = (
            track(loader, doing="evaluating", unit="batches", total=len(loader))
            if testing.show_progress
            else loader
        )
        for batch in batches:
            images = batch["image"].to(model.device)  # (B, C, H, W)
            labels = batch["label"].to(model.device)  # (B, H, W), or (B,)
            # Collected on the device: to look at it after each batch is to wait for a GPU.
            if spec.task == "segmentation":
                size = (labels.shape[1], labels.shape[2])
                tested = tester.test(images, size=size, labels=labels)
                finite &= tested.is_finite
                tally.meter.update(
                    tested.classes,
                    tested.confidence,
                    labels,
                    log_likelihood=tested.log_likelihood,
                )
                tally.counts.append(count_of(tested.classes, labels))
                for prediction, label in zip(
                    *map(_to_array, (tested.classes, labels)), strict=True
                ):
                    if testing.keep_predictions:
                        index = indices[len(tally.boundary_iou)]
                        tally.predictions[index] = shrink_prediction(prediction)
                    tally.boundary_iou.append(tally.errors.update(prediction, label))
            else:
                logits = _classify(model, images, testing)
                finite &= logits.isfinite().all()
                tally.meter.update_logits(logits, labels)
                first = len(tally.classified)
                names = [dataset.names[i] for i in indices[first : first + len(labels)]]
                tally.classified += list_classified(names, logits, labels)
    check_finite(model, finite)
    tally.meter.cpu()
    tally.counts = [counts.cpu() for counts in tally.counts]
    return tally


def _to_array(classes: Tensor) -> npt.NDArray[np.uint8]:
    return np.asarray(classes.to(torch.uint8).cpu())


def _classify(model: Predictor, images: Tensor, testing: Testing) -> Tensor:
    """Logits (B, C) of whole images."""
    if testing.tta:
        return augmented_logits(model, images, size=())
    if testing.mc_dropout:
        return as_logits(run_passes(model, images, size=None, passes=testing.mc_dropout).mean)
    return model(images)
