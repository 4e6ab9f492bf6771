"""Prediction of one image with what the model is unsure of, by dropout at prediction time."""

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from tiramisu.inference.averaging import Draws, random_dropout
from tiramisu.inference.predict import (
    Prediction,
    Tile,
    check_options,
    choose_tile,
    predict_probabilities,
    read_rgb,
)
from tiramisu.inference.predictor import Predictor


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class UncertainPrediction(Prediction):
    """The mean of several passes with random dropout, and how sure they are."""

    entropy: npt.NDArray[np.float32]
    """Of the mean prediction, (H, W), in nats, 0 to log(number of classes): all doubt."""
    mutual_information: npt.NDArray[np.float32]
    """Of prediction and weights, (H, W), in nats: the part of it on which the passes disagree,
    which more training data might settle."""


def predict_uncertainty(
    model: Predictor,
    image: npt.NDArray[np.uint8] | str | Path,
    *,
    passes: int = 20,
    tile: Tile = "auto",
    overlap: float = 0.25,
    seed: int = 0,
) -> UncertainPrediction:
    """Predict every pixel as the mean of passes with random dropout (arXiv 1506.02142).

    Takes `passes` times as long as `predict`, and three times the memory for results.

    Args:
        model: a model in evaluation mode that was trained with dropout.
        image, tile, overlap: see `predict_probabilities`.
        passes: how many, 2 or more.
        seed: of the draws: the same seed, the same prediction.

    Raises:
        FileNotFoundError, ValueError: as `predict_probabilities`; and for a model without dropout,
            or fewer than 2 passes.
    """
    check_options(model, tile=tile, overlap=overlap)
    if passes < 2:
        raise ValueError(f"passes is {passes}; expected 2 or more, for they are compared")
    rgb = read_rgb(image)
    if tile == "auto":
        # Once for all passes: what differs between them shall be dropout alone.
        tile = choose_tile(model, rgb, kept=4 * (3 * len(model.info.class_names) + 2))
    draws = Draws(dim=0)
    with random_dropout(model, seed=seed):
        for _ in range(passes):
            draws.add(predict_probabilities(model, rgb, tile=tile, overlap=overlap))
    confidence, mask = draws.mean.max(dim=0)  # (C, H, W) -> (H, W)
    return UncertainPrediction(
        mask=mask.to(torch.uint8).numpy(),
        confidence=confidence.numpy(),
        entropy=draws.entropy.numpy(),
        mutual_information=draws.mutual_information.numpy(),
        class_names=model.info.class_names,
        colors=model.info.colors,
    )
