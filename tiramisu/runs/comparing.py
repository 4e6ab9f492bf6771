"""Whether one model is better than another on a split, and on which images."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
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
from tiramisu.text import format_table, in_percent

Values = npt.NDArray[np.float64]

RESAMPLES = 2000
FEWEST = 10
"""Images, or groups of them, below which no interval is given: it would be far too narrow."""
CONFIDENCE = 95
"""Percent of the resamples whose differences lie within the interval."""
_MOST_IMAGES = 5
_NAMES = {"segmentation": ("mean IoU", "IoU"), "classification": ("top-1", "recall")}


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluated:
    """One of the models, and how it does."""

    name: str
    counts: npt.NDArray[np.int64]
    """Of each image, (N, 3, C); see `count_images`."""
    gallery: Gallery
    values: Values
    """Score of the split, then of each class, 0..1, (1 + C,); NaN for absent classes."""
    of_images: Values
    """The same for each image, (N, 1 + C)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Difference:
    """A model beside the first one."""

    model: Evaluated
    difference: Values
    """Its values less those of the first, (1 + C,)."""
    low: Values
    high: Values
    """Ends of the interval of the difference, (1 + C,)."""

    @property
    def is_certain(self) -> npt.NDArray[np.bool_]:
        """Whether the interval does not hold zero, bool (1 + C,)."""
        return np.asarray((self.low > 0) | (self.high < 0))

    def show_interval(self, row: int) -> str:
        """The interval of a value, in percentage points; a line where there is none."""
        low, high = self.low[row], self.high[row]
        return "-" if math.isnan(low) else f"{show_change(low)} to {show_change(high)}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """Models on one split, all compared with the first one. str() gives tables."""

    title: str
    spec: DatasetSpec
    image_names: Sequence[str]
    indices: Sequence[int]
    """Of the images in the split."""
    first: Evaluated
    others: tuple[Difference, ...]

    @property
    def row_names(self) -> list[str]:
        """What the values are: of the split, and of each class."""
        return [_NAMES[self.spec.task][0], *self.spec.class_names]

    @property
    def explanation(self) -> str:
        """What the tables show."""
        whole, of_class = _NAMES[self.spec.task]
        return (
            f"{whole} and {of_class} of each class. {CONFIDENCE} % of {RESAMPLES} resamples of the "
            "images lie in the interval; a difference is more than chance where zero lies outside "
            f"of it. By chance this is so for 1 in {round(100 / (100 - CONFIDENCE))} classes of "
            f"equal models. What is in fewer than {FEWEST} images has no interval."
        )

    def changes(self, other: Difference) -> Values:
        """By how much each image, and each class in it, is better, (N, 1 + C)."""
        return np.asarray(other.model.of_images - self.first.of_images)

    def rank_images(self, other: Difference) -> list[int]:
        """The places of the images that changed, the one that got worse by most first."""
        change = self.changes(other)[:, 0]
        order = np.argsort(change, kind="stable")
        return [int(place) for place in order if abs(change[place]) > 0]  # not NaN

    def __str__(self) -> str:
        blocks = [f"{self.title} (in %)"]
        for other in self.others:
            blocks += [format_table(self._list_rows(other)), self._list_images(other)]
        blocks.append(self.explanation)
        return "\n\n".join(blocks)

    def _list_rows(self, other: Difference) -> list[list[str]]:
        rows = [["", self.first.name, other.model.name, "difference", "interval", ""]]
        for i, name in enumerate(self.row_names):
            rows.append(
                [
                    name,
                    in_percent(self.first.values[i]),
                    in_percent(other.model.values[i]),
                    show_change(other.difference[i]),
                    other.show_interval(i),
                    "more than chance" if other.is_certain[i] else "",
                ]
            )
        return rows

    def _list_images(self, other: Difference) -> str:
        order, change = self.rank_images(other), self.changes(other)[:, 0]
        better, worse = (int(np.count_nonzero(part)) for part in (change > 0, change < 0))
        lines = [f"Of {len(change)} images {better} are better, {worse} worse."]
        for word, sign, places in (("Better", 1, order[::-1]), ("Worse", -1, order)):
            shown = [place for place in places[:_MOST_IMAGES] if sign * change[place] > 0]
            names = (f"{self.image_names[place]} ({show_change(change[place])})" for place in shown)
            if shown:
                lines.append(f"{word}: {', '.join(names)}")
        return "\n".join(lines)


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


def show_change(share: float) -> str:
    """A difference in percentage points, with its sign."""
    return "-" if math.isnan(share) else f"{round(100 * share, 1) + 0.0:+.1f}"  # never -0.0
