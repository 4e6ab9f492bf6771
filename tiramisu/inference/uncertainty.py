"""The class of every pixel with its uncertainty, by random dropout at prediction time."""

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tiramisu.inference.averaging import Passes, average, random_dropout
from tiramisu.inference.predict import (
    Pixels,
    Prediction,
    check_options,
    probabilities_by_rows,
    read_pixels,
    seen_size,
)
from tiramisu.inference.predictor import Predictor
from tiramisu.inference.tiles import Tile, join_rows, with_smaller_tiles


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class UncertainPrediction(Prediction):
    """The mean of several passes with random dropout, and its uncertainty."""

    entropy: npt.NDArray[np.float32]
    """Entropy of the mean prediction, (H, W), in nats, 0 to log(number of classes)."""
    mutual_information: npt.NDArray[np.float32]
    """Mutual information of prediction and weights, (H, W), in nats: the part of the entropy that
    comes from the passes' disagreement. More training data might reduce it."""


def predict_uncertainty(
    model: Predictor,
    image: Pixels | str | Path,
    *,
    passes: int = 20,
    tile: Tile = "auto",
    overlap: float = 0.25,
    seed: int = 0,
) -> UncertainPrediction:
    """Predict every pixel as the mean of passes with random dropout (arXiv 1506.02142).

    Takes `passes` times as long as `predict`, and about three times the memory of
    `predict_probabilities`.

    Args:
        model: a model in evaluation mode that was trained with dropout.
        image: as for `predict_probabilities`.
        tile: likewise.
        overlap: likewise.
        passes: number of passes, at least 2.
        seed: seed of the dropout; the same seed gives the same prediction.

    Raises:
        FileNotFoundError, ValueError: as `predict_probabilities`; and for a model without dropout,
            or fewer than 2 passes.
    """
    pixels = read_pixels(image, model.info.image_format)
    return predict_pixels_uncertainty(
        model, pixels, passes=passes, tile=tile, overlap=overlap, seed=seed
    )


def predict_pixels_uncertainty(
    model: Predictor,
    pixels: Pixels,
    *,
    passes: int = 20,
    tile: Tile = "auto",
    overlap: float = 0.25,
    seed: int = 0,
) -> UncertainPrediction:
    """As `predict_uncertainty`, for what `read_pixels` gives."""
    check_options(model, tile=tile, overlap=overlap)
    if passes < 2:
        raise ValueError(f"passes is {passes}; expected at least 2, because they are compared")

    def run(side: int | None) -> Passes:
        def run_once() -> Tensor:
            parts = probabilities_by_rows(model, pixels, tile=side, overlap=overlap)
            return join_rows(parts, height=pixels.shape[0])[None]

        # All passes have the same tiles, so that only dropout differs between them.
        with random_dropout(model, seed=seed):
            return average(run_once, passes=passes)

    passed = with_smaller_tiles(run, tile=tile, longest_side=max(seen_size(model, pixels)))
    confidence, mask = passed.mean[0].max(dim=0)  # (C, H, W) -> (H, W)
    return UncertainPrediction(
        mask=mask.to(torch.uint8).numpy(),
        confidence=confidence.numpy(),
        entropy=passed.entropy[0].numpy(),
        mutual_information=passed.mutual_information[0].numpy(),
        class_names=model.info.class_names,
        colors=model.info.colors,
    )
