"""Evaluating a model on a data set."""

from collections.abc import Sequence
from typing import Any

from tiramisu.data.dataset import ImageDataset
from tiramisu.evaluation.gallery import Gallery
from tiramisu.evaluation.scores import Scores
from tiramisu.evaluation.tally import CountImages, Testing, count_images
from tiramisu.inference.predictor import Predictor
from tiramisu.inference.tiles import Tile


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
    count: CountImages = count_images,
) -> Scores:
    """Evaluate a model on a data set, at the size of its labels.

    Args:
        model: a trained model. Its batch norm is used as it is; see `recalibrate_batch_norm` and
            `use_batch_statistics`.
        dataset: one split of a data set. Whatever its `image_scale`, the model gets images in the
            size that it was trained on, and labels are read in their own.
        batch_size: images in a batch.
        tile: side of the tiles in which larger images are predicted, as in `predict`; None predicts
            every image whole.
        tta: average over scaled and mirrored copies of each image.
        mc_dropout: number of passes with random dropout to average over; 0 takes one pass without.
        limit: number of images to use, spread evenly over the data set; None for all.
        metrics: of one's own; see `OwnMetrics`.
        gallery: gets the predictions of a segmentation, for a page.
        count: predicts and counts the images; by default this process does.

    Raises:
        ValueError: `mc_dropout` for a model without dropout, or together with `tta`.
    """
    if tta and mc_dropout:
        raise ValueError("tta and mc_dropout are two ways to average; give one of them")
    info = model.info
    dataset = dataset.as_seen(image_scale=info.image_scale, image_size=info.seen_size)
    indices = pick_evenly(len(dataset), limit)
    testing = Testing(
        batch_size=batch_size,
        tile=tile,
        tta=tta,
        mc_dropout=mc_dropout,
        metrics=metrics,
        keep_predictions=gallery is not None,
    )
    tally = count(model, dataset, indices, testing)
    if gallery is not None:
        gallery.predictions |= tally.predictions
    return tally.compute([dataset.names[index] for index in indices])


def pick_evenly(number: int, limit: int | None) -> list[int]:
    """The indices of `limit` of so many samples at even distances; of all with None."""
    limit = min(limit or number, number)
    return [i * number // limit for i in range(limit)]
