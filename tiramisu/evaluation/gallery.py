"""The predicted images of a split for a page: the worst ones of all and of each class, and others.

Of every image only a small prediction is kept, compressed; image and ground truth are read again
for those that are shown.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from tiramisu.data.background import find_unpainted
from tiramisu.data.dataset import ImageDataset
from tiramisu.data.labels import IGNORE_INDEX
from tiramisu.evaluation.error_analysis import Shares
from tiramisu.evaluation.samples import mark_errors, resize_label
from tiramisu.evaluation.scores import (
    ClassificationScores,
    ClassifiedImage,
    ImageScores,
    Scores,
    SegmentationScores,
)
from tiramisu.visual import pictures
from tiramisu.visual.page import ShownPicture, data_uri
from tiramisu.visual.pictures import Label, Picture

MOST_IMAGES = 240
"""Images on a page, which keeps it below 10 MB."""
_WORST_OF_CLASS = 5
_LONGEST, _SIDE = 280, 160
"""Longer side of the pictures of segmentations and of classifications, in pixels."""


@dataclass(frozen=True, kw_only=True)
class ShownImage:
    """An image of the page, with its scores."""

    name: str
    score: str
    """The score by which images are sorted, in words."""
    note: str
    """What else is to be said."""
    values: str
    """A JSON list, in percent, by which images are sorted: the score, then its value for each
    class; null where the image has nothing of the class."""
    pictures: tuple[ShownPicture, ...]
    """The image and, of a segmentation, its ground truth, the prediction, and the errors."""


def shrink_prediction(prediction: Label) -> npt.NDArray[Any]:
    """A predicted mask (H, W) at the size of the pictures, as the bytes of a PNG."""
    small = resize_label(prediction, _fit(prediction.shape))
    return cv2.imencode(".png", small)[1]


class Gallery:
    """Shows images of a split with their predictions.

    Args:
        dataset: the split.
        value_range: the values of each band that are shown as black and as full color.
    """

    def __init__(
        self, dataset: ImageDataset, *, value_range: Sequence[tuple[float, float]]
    ) -> None:
        self.dataset = dataset
        self.value_range = value_range
        self.predictions: dict[int, npt.NDArray[Any]] = {}
        """Of `shrink_prediction`, by the indices of the images."""
        self.has_void = False
        """Whether a ground truth that was read has void pixels."""
        self.unpainted = find_unpainted(dataset.spec.class_names, None)

    def show(self, scores: Scores, indices: Sequence[int]) -> list[ShownImage]:
        """The images that matter most, the worst first.

        Args:
            scores: of the split, with those of each image.
            indices: of these images in the data set.
        """
        if isinstance(scores, SegmentationScores):
            order = pick_images(
                [image.mean_iou for image in scores.images], [image.iou for image in scores.images]
            )
            return [self._show_mask(indices[place], scores.images[place]) for place in order]
        assert isinstance(scores, ClassificationScores)
        num_classes = len(scores.matrix)
        values = [_likelihoods(image, num_classes) for image in scores.images]
        order = pick_images([image.likelihood for image in scores.images], values)
        return [
            self._show_class(indices[place], scores.images[place], values[place]) for place in order
        ]

    def _show_class(self, index: int, image: ClassifiedImage, values: Shares) -> ShownImage:
        picture = pictures.show_bands(self.dataset.read(index)[0], value_range=self.value_range)
        names = self.dataset.spec.class_names
        truth, confidence = names[image.truth], pictures.percent(image.confidence)
        note = f"taken for {names[image.prediction]} ({confidence})"
        return ShownImage(
            name=image.name,
            score=f"{truth} {pictures.percent(image.likelihood)}",
            note="right" if image.truth == image.prediction else note,
            values=json.dumps([_percent(image.likelihood), *map(_percent, values)]),
            pictures=(ShownPicture(address=data_uri(picture, longest=_SIDE), alt=truth),),
        )

    def read(self, index: int) -> tuple[Picture, Label]:
        """An image and its ground truth, at the size of the pictures; a class stays as it is."""
        image, label = self.dataset.read(index)
        size = _fit(label.shape or image.shape[:2])
        picture = pictures.show_bands(image, value_range=self.value_range)
        truth = resize_label(label, size) if label.shape else label
        self.has_void |= bool((truth == IGNORE_INDEX).any())
        return pictures.resize(picture, size), truth

    def prediction(self, index: int) -> Label:
        """The prediction of an image, at the size of the pictures."""
        return np.asarray(cv2.imdecode(self.predictions[index], cv2.IMREAD_UNCHANGED), np.uint8)

    def paint(self, label: Label, alt: str) -> ShownPicture:
        """Labels or a prediction in the colors of the classes."""
        painted = pictures.color_labels(label, self.dataset.spec.colors)
        return ShownPicture(address=data_uri(painted, longest=_LONGEST, quality=None), alt=alt)

    def _show_mask(self, index: int, scores: ImageScores) -> ShownImage:
        picture, truth = self.read(index)
        predicted = self.prediction(index)
        errors = mark_errors(picture, truth, predicted)
        name = scores.name
        shown = (
            show_photo(picture, name),
            self.paint(truth, "ground truth"),
            self.paint(predicted, "prediction"),
            ShownPicture(address=data_uri(errors, longest=_LONGEST, quality=55), alt="errors"),
        )
        values = [_percent(value) for value in (scores.mean_iou, *scores.iou)]
        return ShownImage(
            name=name,
            score=f"IoU {100 * scores.mean_iou:.1f}",
            note=f"{100 * scores.accuracy:.1f} % right",
            values=json.dumps(values),
            pictures=shown,
        )


def show_photo(picture: Picture, alt: str) -> ShownPicture:
    """A photo for a page."""
    return ShownPicture(address=data_uri(picture, longest=_LONGEST, quality=75), alt=alt)


def pick_images(
    scores: Sequence[float], of_classes: Sequence[Shares], *, most: int = MOST_IMAGES
) -> list[int]:
    """The places of the images to show, the worst first; images without labels are left out.

    Of more than `most` images these are: the worst of each class, the worst of all for half of the
    rest, and others at even distances.

    Args:
        scores: of each image; NaN without labels.
        of_classes: for each image the scores of the classes, (C,); NaN for absent ones.
        most: number of images.
    """
    places = [place for place, score in enumerate(scores) if not math.isnan(score)]
    places.sort(key=lambda place: scores[place])
    if len(places) <= most:
        return places
    worst: dict[int, None] = {}
    num_classes = len(of_classes[0])
    for index in range(num_classes):
        there = [place for place in places if not math.isnan(of_classes[place][index])]
        there.sort(key=lambda place: of_classes[place][index])
        worst |= dict.fromkeys(there[: max(1, min(_WORST_OF_CLASS, most // (2 * num_classes)))])
    picked = set(list(worst)[:most])  # of many classes, not all have room
    picked.update(places[: (most - len(picked)) // 2])
    rest = [place for place in places if place not in picked]
    even = np.linspace(0, len(rest) - 1, max(0, most - len(picked))).round()
    picked.update(rest[int(place)] for place in even)
    return [place for place in places if place in picked]


def _fit(shape: tuple[int, ...]) -> tuple[int, int]:
    """Width and height of a picture of an image (H, W)."""
    factor = min(1.0, _LONGEST / max(shape))
    return max(1, round(shape[1] * factor)), max(1, round(shape[0] * factor))


def _likelihoods(image: ClassifiedImage, num_classes: int) -> Shares:
    """The probability of the right class, at this class and the predicted one; NaN elsewhere."""
    values = np.full(num_classes, np.nan)
    values[[image.truth, image.prediction]] = image.likelihood
    return values


def _percent(value: float) -> float | None:
    return None if math.isnan(value) else round(100 * float(value), 1)
