"""Whether one model is better than another on a split, and on which images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tiramisu.checkpoints.model_files import find_model_file, list_members
from tiramisu.checkpoints.trained_on import find_data, warn_of_other_splits
from tiramisu.data.dataset import open_split
from tiramisu.data.spec import DatasetSpec
from tiramisu.data.splitting.groups import name_groups
from tiramisu.evaluation.evaluate import evaluate, pick_evenly
from tiramisu.evaluation.gallery import Gallery
from tiramisu.evaluation.scores import ClassificationScores, Scores, SegmentationScores
from tiramisu.inference.load import load_predictor
from tiramisu.inference.predictor import Predictor
from tiramisu.inference.tester import as_tile
from tiramisu.runs.config import CompareConfig
from tiramisu.runs.model_comparison import (
    CONFIDENCE,
    FEWEST,
    RESAMPLES,
    Comparison,
    Difference,
    Evaluated,
    Values,
)


def compare_models(config: CompareConfig) -> Comparison:
    """Evaluate models on one split, and compare all others with the first.

    Raises:
        ValueError: models have other classes or another task than the first, or do not fit the
            data.
        FileNotFoundError: there is no such model, or no such data.
    """
    models = [load_predictor(path, accelerator=config.accelerator) for path in config.models]
    name, root = config.data, config.data_root
    specs: list[DatasetSpec] = []
    for model in models:  # those after the first must fit its data
        name, spec, root = find_data(
            model.info,
            checkpoint=config.models[0],
            data=name,
            data_root=root,
            options=config,
        )
        specs.append(spec)
    if config.data is None:
        members = [member for path in config.models for member in list_members(path)]
        warn_of_other_splits([find_model_file(member) for member in members])
    spec = specs[0]
    first, *others = (
        _evaluate(model, path, spec, root, config)
        for model, path in zip(models, _shorten(config.models), strict=True)
    )
    dataset = first.gallery.dataset
    indices = pick_evenly(len(dataset), config.limit)
    names = [dataset.names[index] for index in indices]
    groups = _number_groups(names, config.together)
    weights = _resample(int(groups.max()) + 1, seed=config.seed)
    resampled = _score(weights, first, groups, task=spec.task)
    return Comparison(
        title=f"{spec.name} {config.split}, {len(names)} images",
        spec=spec,
        image_names=names,
        indices=indices,
        first=first,
        others=tuple(
            _differ(
                other, first, _score(weights, other, groups, task=spec.task) - resampled, groups
            )
            for other in others
        ),
    )


def _shorten(models: Sequence[str]) -> list[str]:
    """Names of models for tables: without the folders that all have in common."""
    parts = [Path(model) for model in models]
    alone = all("," not in model and path.name for model, path in zip(models, parts, strict=True))
    if alone and len({path.parent for path in parts}) == 1:
        return [path.name for path in parts]
    return list(models)


def _evaluate(
    model: Predictor, name: str, spec: DatasetSpec, root: str | None, config: CompareConfig
) -> Evaluated:
    info = model.info
    dataset = open_split(
        spec,
        config.split,
        root=root,
        image_scale=info.image_scale,
        image_size=info.seen_size,
        format=info.image_format,
    )
    gallery = Gallery(dataset, value_range=info.value_range)
    scores = evaluate(
        model, dataset, tile=as_tile(config.tile), limit=config.limit, gallery=gallery
    )
    counts = count_images(scores)
    return Evaluated(
        name=name,
        counts=counts,
        gallery=gallery,
        values=measure(counts.sum(axis=0), task=spec.task),
        of_images=measure(counts, task=spec.task),
    )


def count_images(scores: Scores) -> npt.NDArray[np.int64]:
    """Right, labelled and predicted pixels, or images, of each class and image, (N, 3, C)."""
    if isinstance(scores, SegmentationScores):
        return np.stack([image.counts for image in scores.images])
    assert isinstance(scores, ClassificationScores)
    counts = np.zeros((len(scores.images), 3, len(scores.matrix)), np.int64)
    for row, image in zip(counts, scores.images, strict=True):
        row[1, image.truth] = row[2, image.prediction] = 1
        row[0, image.truth] = image.truth == image.prediction
    return counts


def measure(counts: npt.NDArray[Any], *, task: str) -> Values:
    """Score of a split, then of each class, from counts (..., 3, C): (..., 1 + C).

    Mean IoU and IoU of a segmentation; top-1 and recall of a classification. NaN where there is
    nothing to measure.
    """
    right, labelled, predicted = np.moveaxis(counts, -2, 0)
    with np.errstate(invalid="ignore"):
        if task == "segmentation":
            classes = right / (labelled + predicted - right)
            known = ~np.isnan(classes)
            whole = np.nansum(classes, axis=-1) / known.sum(axis=-1)
        else:
            classes = right / labelled
            whole = right.sum(axis=-1) / labelled.sum(axis=-1)
    return np.concatenate([whole[..., None], classes], axis=-1)


def _number_groups(names: Sequence[str], pattern: str | None) -> npt.NDArray[np.int64]:
    """The number of the group of each image, (N,); each is alone without a pattern."""
    groups = name_groups(names, pattern, flag="--together")
    return np.asarray(np.unique(groups, return_inverse=True)[1], np.int64)


def _resample(number: int, *, seed: int) -> Values:
    """How often each of so many groups is in each resample, (RESAMPLES, number).

    They are drawn with replacement, as many as there are.
    """
    rng = np.random.default_rng(seed)
    shares = np.full(number, 1 / number)
    return rng.multinomial(number, shares, size=RESAMPLES).astype(np.float64)


def _sum_groups(model: Evaluated, members: npt.NDArray[np.int64]) -> Values:
    """The counts of each group, (groups, 3, C); sums below 2**53 are exact."""
    sums = np.zeros((int(members.max()) + 1, *model.counts.shape[1:]))
    np.add.at(sums, members, model.counts)
    return sums


def _score(
    weights: Values, model: Evaluated, members: npt.NDArray[np.int64], *, task: str
) -> Values:
    """The values of each resample, (RESAMPLES, 1 + C)."""
    groups = _sum_groups(model, members)
    sums = weights @ groups.reshape(len(groups), -1)  # (R, G) @ (G, 3 C) -> (R, 3 C)
    return measure(sums.reshape(len(weights), *groups.shape[1:]), task=task)


def _differ(
    other: Evaluated, first: Evaluated, resampled: Values, members: npt.NDArray[np.int64]
) -> Difference:
    """A model beside the first; `resampled` (R, 1 + C) are the differences of the resamples.

    There is no interval for what is in fewer than `FEWEST` groups of images.
    """
    groups = [_sum_groups(model, members) for model in (first, other)]
    is_there = np.any([counts[:, 1:].sum(axis=1) > 0 for counts in groups], axis=0)  # (G, C)
    enough = np.concatenate([[len(is_there)], is_there.sum(axis=0)]) >= FEWEST
    rest = (100 - CONFIDENCE) / 2
    low, high = np.full((2, resampled.shape[1]), np.nan)
    for i in np.flatnonzero(enough):
        low[i], high[i] = np.nanpercentile(resampled[:, i], [rest, 100 - rest])
    return Difference(model=other, difference=other.values - first.values, low=low, high=high)
