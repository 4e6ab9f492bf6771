"""The report of a check: counts of samples and labels."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tiramisu.data.spec import Task
from tiramisu.text import format_table


@dataclass(frozen=True, kw_only=True, eq=False)
class SplitReport:
    """The counts of one split."""

    name: str
    num_samples: int
    sizes: tuple[tuple[int, int], ...]
    """The different image sizes, (height, width), sorted."""
    turned: tuple[str, ...]
    """Images that EXIF turns, but not their masks."""
    types: tuple[str, ...]
    """The different types of the images' values in their files, such as uint8."""
    values: tuple[float, float]
    """The smallest and the largest of these values."""
    class_counts: npt.NDArray[np.int64]
    """int64 (C,): labelled pixels of each class, or images for classification."""
    void_count: int
    """Void pixels; 0 for classification."""

    @property
    def void_share(self) -> float:
        """Share of void pixels, 0 to 1."""
        return self.void_count / max(1, self.void_count + int(self.class_counts.sum()))

    @property
    def class_shares(self) -> npt.NDArray[np.float64]:
        """float64 (C,): share of each class in all pixels, void included, or images; 0 to 1."""
        return self.class_counts / max(1, self.void_count + int(self.class_counts.sum()))


@dataclass(frozen=True, kw_only=True)
class DatasetReport:
    """The counts of a data set without problems. str() gives a table."""

    title: str
    task: Task
    class_names: tuple[str, ...]
    splits: tuple[SplitReport, ...]
    bands: str
    """The bands of the images that a network sees, in words."""
    scaling: str
    """How their values are scaled, in words."""
    warnings: tuple[str, ...]
    notes: tuple[str, ...] = ()
    """How the files are understood."""

    def __str__(self) -> str:
        rows = [
            ["", *(split.name for split in self.splits)],
            ["samples", *(str(split.num_samples) for split in self.splits)],
            ["height x width", *(_show_sizes(split.sizes) for split in self.splits)],
            ["bands", *(self.bands for _ in self.splits)],
            ["values", *(_show_values(split) for split in self.splits)],
            *self._class_rows(),
        ]
        scaling = f"Values are scaled: {self.scaling} (--scaling changes this)."
        notes = [f"Note: {note}" for note in self.notes]
        notes += [f"Warning: {warning}" for warning in self.warnings]
        return "\n".join([self.title, format_table(rows), scaling, *notes])

    def _class_rows(self) -> list[list[str]]:
        pixels = self.task == "segmentation"
        rows = [["% of pixels" if pixels else "images of", *[""] * len(self.splits)]]
        for i, name in enumerate(self.class_names):
            percent = (_percent(split.class_shares[i]) for split in self.splits)
            counts = (str(split.class_counts[i]) for split in self.splits)
            rows.append([f"  {name}", *(percent if pixels else counts)])
        void = ["  void", *(_percent(split.void_share) for split in self.splits)]
        return [*rows, void] if pixels else rows


def _show_sizes(sizes: tuple[tuple[int, int], ...]) -> str:
    if len(sizes) == 1:
        return "{} x {}".format(*sizes[0])
    return f"{len(sizes)} sizes"


def _show_values(split: SplitReport) -> str:
    return f"{', '.join(split.types)}: {split.values[0]:g} to {split.values[1]:g}"


def _percent(share: float) -> str:
    return f"{100 * share:.2f}"
