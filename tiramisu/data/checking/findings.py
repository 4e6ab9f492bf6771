"""The report of a check: counts of samples and labels, and what is conspicuous."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from tiramisu.data.spec import Task
from tiramisu.text import format_table, list_some

_SHOWN = 3  # examples of a finding that the text names
_MOST_ALERTS = 5


@dataclass(frozen=True, kw_only=True)
class Example:
    """A sample that shows what was found."""

    split: str
    index: int
    """Its place in the split, from 0."""
    name: str
    note: str = ""
    """What is special about it, in a few words."""
    other: "Example | None" = None
    """The sample that it is like."""

    def __str__(self) -> str:
        note = self.note if self.other is None else f"like {self.other.name}"
        return f"{self.name} ({note})" if note else self.name


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something conspicuous about the data that does not keep them from being used."""

    title: str
    """What it is about, such as "near-duplicates"."""
    text: str
    """What was found, with its split and numbers."""
    suggestion: str
    """What to do about it."""
    examples: tuple[Example, ...] = ()
    """The worst samples, the worst first."""
    is_warning: bool = False
    """Whether it is likely to spoil a training or its scores."""
    about: Literal["images", "labels"] = "images"
    """What pictures of two samples that are alike must show."""
    is_close_up: bool = False
    """Whether it is a matter of a few pixels, which a whole image does not show."""

    @property
    def line(self) -> str:
        """What was found, with a few names."""
        return f"{self.text}{self._names}"

    @property
    def _names(self) -> str:
        return f": {list_some(self.examples[:_SHOWN], most=_SHOWN)}" if self.examples else ""


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
    image_sizes: npt.NDArray[np.int64]
    """int64 (N, 2): height and width of each image."""
    brightness: npt.NDArray[np.float64]
    """float64 (N,): mean of each image. 0 and 1 are black and white of 8 bits; of other types, the
    darkest and the brightest values of the data set, without outliers. NaN for an image without
    pixels."""
    contrast: npt.NDArray[np.float64]
    """float64 (N,): standard deviation of each image, in the same unit."""
    class_images: npt.NDArray[np.int64]
    """int64 (C,): images in which each class occurs."""
    void_images: int
    """Images with void pixels; 0 for classification."""
    region_areas: npt.NDArray[np.float64]
    """float64 (C, 3): area of the connected regions of each class in pixels, which a tenth, half
    and nine tenths of them do not exceed. Regions of 1 to 4 pixels count only if a class has no
    others. NaN for classes that do not occur, and for classification."""
    object_areas: npt.NDArray[np.float64]
    """float64 (C,): the same for half of the pixels of each class: they lie in regions that are not
    larger. Small pieces of a large region, such as a road behind cars, hardly count here."""
    isolated_shares: npt.NDArray[np.float64]
    """float64 (C,): share of each class's pixels in connected regions of 1 to 4 pixels, 0 to 1."""

    @property
    def void_share(self) -> float:
        """Share of void pixels, 0 to 1."""
        return self.void_count / max(1, self.void_count + int(self.class_counts.sum()))

    @property
    def class_shares(self) -> npt.NDArray[np.float64]:
        """float64 (C,): share of each class in all pixels, void included, or images; 0 to 1."""
        return self.class_counts / max(1, self.void_count + int(self.class_counts.sum()))

    @property
    def object_sides(self) -> npt.NDArray[np.float64]:
        """float64 (C,): side of a square as large as a usual object of each class, in pixels."""
        return np.asarray(np.sqrt(self.object_areas), np.float64)

    @property
    def size_range(self) -> tuple[tuple[int, int], ...]:
        """The smallest, the median and the largest image by area, (height, width)."""
        order = np.argsort(self.image_sizes.prod(axis=1), kind="stable")
        picked = (order[0], order[len(order) // 2], order[-1])
        return tuple((int(h), int(w)) for h, w in self.image_sizes[list(picked)])


@dataclass(frozen=True, kw_only=True)
class DatasetReport:
    """The counts of a data set without problems. str() gives a table and the findings."""

    title: str
    task: Task
    class_names: tuple[str, ...]
    splits: tuple[SplitReport, ...]
    bands: str
    """The bands of the images that a network sees, in words."""
    scaling: str
    """How their values are scaled, in words."""
    warnings: tuple[str, ...]
    """What keeps the data from being used in some way, such as a class that never occurs."""
    notes: tuple[str, ...] = ()
    """How the files are understood."""
    findings: tuple[Finding, ...] = ()
    """What is conspicuous; warnings come first."""

    @property
    def alerts(self) -> tuple[str, ...]:
        """What must be known before a training, each in one line; at most five, and a summary."""
        serious = [f"{f.line}; {f.suggestion}" for f in self.findings if f.is_warning]
        if len(serious) > _MOST_ALERTS:
            more = f"and {len(serious) - _MOST_ALERTS + 1} more; `tiramisu check` lists them all"
            serious = [*serious[: _MOST_ALERTS - 1], more]
        return (*self.warnings, *serious)

    def __str__(self) -> str:
        lines = [self.title, format_table(self._split_rows())]
        if self.task == "segmentation":
            lines += ["", *self._class_lines()]
        lines.append(f"Values are scaled: {self.scaling} (--scaling changes this).")
        lines += [f"Note: {note}" for note in self.notes]
        lines += [f"Warning: {warning}" for warning in self.warnings]
        return "\n".join([*lines, *self._finding_lines()])

    def _finding_lines(self) -> Iterator[str]:
        for finding in self.findings:
            yield f"{'Warning' if finding.is_warning else 'Finding'}: {finding.line}"
            yield f"  {finding.suggestion}"

    def _split_rows(self) -> list[list[str]]:
        splits = self.splits
        rows = [
            ["", *(split.name for split in splits)],
            ["samples", *(str(split.num_samples) for split in splits)],
            *self._size_rows(),
            ["bands", *(self.bands for _ in splits)],
            ["values", *(_show_values(split) for split in splits)],
            ["brightness", *(show_spread(split.brightness) for split in splits)],
            ["contrast", *(show_spread(split.contrast) for split in splits)],
        ]
        if self.task == "segmentation":
            return rows
        rows.append(["images of", *[""] * len(splits)])
        for i, name in enumerate(self.class_names):
            rows.append([f"  {name}", *(str(split.class_counts[i]) for split in splits)])
        return rows

    def _size_rows(self) -> Iterator[list[str]]:
        if all(len(split.sizes) == 1 for split in self.splits):
            yield ["height x width", *(show_size(split.sizes[0]) for split in self.splits)]
            return
        for place, word in enumerate(("smallest", "median", "largest")):
            sizes = (show_size(split.size_range[place]) for split in self.splits)
            yield [f"height x width, {word}", *sizes]

    def _class_lines(self) -> list[str]:
        """Shares, images and objects of each class: a block of columns for each of the three."""
        columns: dict[str, list[list[str]]] = {
            "% of pixels": [],
            "images with": [],
            "object side, px": [],
        }
        shares, images, sides = columns.values()
        for split in self.splits:
            percents = [show_percent(share) for share in (*split.class_shares, split.void_share)]
            shares.append([split.name, *percents])
            images.append([split.name, *map(str, split.class_images), str(split.void_images)])
            sides.append([split.name, *map(_show_side, split.object_sides), ""])
        names = ["", "", *(f"  {name}" for name in (*self.class_names, "void"))]
        blocks = [[name.ljust(max(map(len, names))) for name in names]]
        for heading, block in columns.items():
            lines = [heading, *format_table(list(zip(*block, strict=True)), left=0).split("\n")]
            blocks.append([line.rjust(max(map(len, lines))) for line in lines])
        return ["   ".join(parts).rstrip() for parts in zip(*blocks, strict=True)]


def show_size(size: tuple[int, int]) -> str:
    """Height and width, for tables."""
    return "{} x {}".format(*size)


def show_spread(values: npt.NDArray[np.float64]) -> str:
    """Mean and standard deviation, for tables."""
    finite = values[np.isfinite(values)]
    return f"{finite.mean():.2f} +- {finite.std():.2f}" if len(finite) else "-"


def _show_side(side: float) -> str:
    """The side of an object in pixels; a hyphen for none."""
    return "-" if np.isnan(side) else f"{side:.0f}"


def _show_values(split: SplitReport) -> str:
    return f"{', '.join(split.types)}: {split.values[0]:g} to {split.values[1]:g}"


def show_percent(share: float) -> str:
    """A share in percent; what is not 0 does not look like it."""
    return "<0.01" if 0 < share < 0.00005 else f"{100 * share:.2f}"
