"""Models on one split beside each other, as tables."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tiramisu.data.spec import DatasetSpec
from tiramisu.evaluation.gallery import Gallery
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


def show_change(share: float) -> str:
    """A difference in percentage points, with its sign."""
    return "-" if math.isnan(share) else f"{round(100 * share, 1) + 0.0:+.1f}"  # never -0.0
