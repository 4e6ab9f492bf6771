"""What a plan has to know about a data set."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from tiramisu.data.checking.findings import DatasetReport
from tiramisu.data.dataset import ImageDataset

MOST_MASKS = 60
"""Masks, at equal distances, on which thickness is measured."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DataFacts:
    """What the settings of a training depend on."""

    class_names: tuple[str, ...]
    num_train: int
    num_val: int
    height: int
    """Of the median training image, in pixels."""
    width: int
    smallest: int
    """Shortest side of all training images."""
    one_size: bool
    """Whether all training images have one size."""
    channels: int
    shares: npt.NDArray[np.float64]
    """float64 (C,): share of each class in the labelled pixels of the training split, 0 to 1."""
    thickness: npt.NDArray[np.float64]
    """float64 (C,): thickness of the objects of each class in pixels: the width of a strip whose
    pixels have the same mean distance to their border. NaN for absent classes."""

    @property
    def pixels(self) -> int:
        """Of the median training image."""
        return self.height * self.width

    @property
    def rarest(self) -> int:
        """The class with the smallest share of those that occur."""
        return int(np.argmin(np.where(self.shares > 0, self.shares, np.inf)))

    @property
    def thinnest(self) -> int:
        """The class with the thinnest objects."""
        return int(np.nanargmin(self.thickness))


def gather_facts(report: DatasetReport, train_set: ImageDataset) -> DataFacts:
    """Gather what a plan has to know.

    Args:
        report: the check of the training split and the validation split, in this order.
        train_set: the training split, without augmentation.
    """
    train, val = report.splits
    height, width = train.size_range[1]
    counts = train.class_counts
    return DataFacts(
        class_names=report.class_names,
        num_train=train.num_samples,
        num_val=val.num_samples,
        height=height,
        width=width,
        smallest=int(train.image_sizes.min()),
        one_size=len(train.sizes) == 1,
        channels=train_set.format.channels,
        shares=counts / max(1, counts.sum()),
        thickness=_measure_thickness(train_set),
    )


def _measure_thickness(dataset: ImageDataset) -> npt.NDArray[np.float64]:
    """The thickness of each class, float64 (C,); NaN for classes without pixels.

    In a strip of width w the pixels are w / 4 from the border on average. The median over some
    masks counts: a single patch would hide that all else is thin.
    """
    num_classes = dataset.spec.num_classes
    found: list[list[float]] = [[] for _ in range(num_classes)]
    number = min(len(dataset), MOST_MASKS)
    for index in np.linspace(0, len(dataset) - 1, number).round().astype(int):
        _, label = dataset.read(int(index))
        # The edge of the image is no border of an object.
        for value in np.unique(label[label < num_classes]):
            mask = (label == value).astype(np.uint8)
            distance = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_5) - 0.5
            distance = np.minimum(distance, max(mask.shape))  # of a mask of one class
            found[value].append(float(4 * distance[mask > 0].mean()))
    medians = [np.median(values) if values else np.nan for values in found]
    return np.maximum(medians, 1.0)
