"""The report of a check as one page: tables, distributions, and pictures of what was found."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tiramisu.data.background import find_unpainted
from tiramisu.data.checking.findings import (
    DatasetReport,
    Example,
    Finding,
    show_percent,
    show_size,
    show_spread,
)
from tiramisu.data.checking.mask_regions import find_busiest
from tiramisu.data.readers.open_reader import open_reader
from tiramisu.data.readers.reader import Reader
from tiramisu.data.spec import DatasetSpec
from tiramisu.visual import pictures
from tiramisu.visual.page import (
    SERIES,
    ShownPicture,
    add_legend,
    data_uri,
    figure_svg,
    hex_color,
    new_axes,
    plot_histograms,
    write_page,
)
from tiramisu.visual.pictures import Label, Picture

_SAMPLES = 6  # of all splits
_CLOSE_UP = 160  # side of the part of an image that shows a few pixels


@dataclass(frozen=True, kw_only=True)
class ShownSample:
    """Pictures of a sample, side by side."""

    pictures: tuple[ShownPicture, ...]
    caption: str


@dataclass(frozen=True, kw_only=True)
class ShownFinding:
    """A finding with its pictures."""

    title: str
    text: str
    suggestion: str
    is_warning: bool
    samples: tuple[ShownSample, ...]


@dataclass(frozen=True, kw_only=True)
class ShownClass:
    """A class with its numbers: for each split, the length of a bar, 0 to 1, and its text."""

    name: str
    color: str
    side: str
    shares: tuple[tuple[float, str], ...]
    images: tuple[tuple[float, str], ...]


def write_check_page(
    report: DatasetReport, spec: DatasetSpec, path: Path, *, root: str | Path | None = None
) -> None:
    """Write the report of a check as a page.

    Args:
        report: the report.
        spec: the data set.
        path: the file.
        root: folder of its files, as for `check_dataset`.

    Raises:
        OSError: the page cannot be written, or an image not read any more.
    """
    album = _Album(spec, root)
    names = [split.name for split in report.splits]
    number = sum(split.num_samples for split in report.splits)
    values = {
        "report": report,
        "overview": f"{number} images in {', '.join(names)}; {spec.num_classes} classes",
        "findings": [album.show_finding(finding) for finding in report.findings],
        "splits": _list_splits(report),
        "split_names": names,
        "has_pixels": report.task == "segmentation",
        "classes": list(_list_classes(report, spec)),
        "figures": list(_draw_distributions(report)),
        "samples": [album.show(example) for example in album.pick_samples(report)],
    }
    write_page(path, "check.html", values)


class _Album:
    """Reads the samples that a page shows."""

    def __init__(self, spec: DatasetSpec, root: str | Path | None) -> None:
        self.spec = spec
        self.root = root
        self.readers: dict[str, Reader] = {}

    def pick_samples(self, report: DatasetReport) -> Iterator[Example]:
        """Samples at even distances over all splits."""
        places = [(split.name, i) for split in report.splits for i in range(split.num_samples)]
        picked = np.linspace(0, len(places) - 1, min(_SAMPLES, len(places))).round()
        for split, index in (places[int(place)] for place in picked):
            name = f"{split}: {self._reader(split).names[index]}"
            yield Example(split=split, index=index, name=name)

    def show_finding(self, finding: Finding) -> ShownFinding:
        return ShownFinding(
            title=finding.title,
            text=finding.text,
            suggestion=finding.suggestion,
            is_warning=finding.is_warning,
            samples=tuple(self.show(example, finding) for example in finding.examples),
        )

    def show(self, example: Example, finding: Finding | None = None) -> ShownSample:
        """The image and the image with its labels; or two samples that are alike."""
        if example.other is not None:
            with_labels = finding is not None and finding.about == "labels"
            shown = tuple(
                self._picture(e, with_labels=with_labels) for e in (example, example.other)
            )
            return ShownSample(pictures=shown, caption=f"{example.name} and {example.other.name}")
        name = example.name
        caption = f"{name}: {example.note}" if example.note else name
        image, label = self._read(example)
        if self.spec.task == "classification":
            caption = f"{caption}: {self.spec.class_names[int(label)]}"
            return ShownSample(pictures=(_show(image, name),), caption=caption)
        if finding is not None and finding.is_close_up:
            part = find_busiest(label, side=_CLOSE_UP)
            image, label = image[part], label[part]
        labelled = self._paint(image, label)
        shown = (_show(image, name), _show(labelled, f"{name} with its labels"))
        return ShownSample(pictures=shown, caption=caption)

    def _picture(self, example: Example, *, with_labels: bool) -> ShownPicture:
        image, label = self._read(example)
        if with_labels:
            image = self._paint(image, label)
        return _show(image, example.name)

    def _paint(self, image: Picture, label: Label) -> Picture:
        """The labels over the image, which is seen where a class is the background."""
        bare = find_unpainted(self.spec.class_names, None)
        return pictures.overlay(image, label, self.spec.colors, unpainted=bare)

    def _read(self, example: Example) -> tuple[Picture, npt.NDArray[Any]]:
        image, label = self._reader(example.split).read(example.index)
        return pictures.show_bands(image, value_range=_find_range(image)), label

    def _reader(self, split: str) -> Reader:
        if split not in self.readers:
            self.readers[split] = open_reader(self.spec, split, self.root)
        return self.readers[split]


def _show(picture: Picture, alt: str) -> ShownPicture:
    return ShownPicture(address=data_uri(picture), alt=alt)


def _find_range(image: npt.NDArray[Any]) -> list[tuple[float, float]]:
    """The values of each band that are shown as black and as full color."""
    if image.dtype == np.uint8:
        return [(0, 255)] * image.shape[2]
    coarse = image[::4, ::4].reshape(-1, image.shape[2]).astype(np.float64)
    ranges = []
    for values in coarse.T:
        finite = values[np.isfinite(values)]
        low, high = np.percentile(finite, [1, 99]) if len(finite) else (0, 1)
        ranges.append((float(low), float(high) if high > low else float(low) + 1))
    return ranges


def _list_splits(report: DatasetReport) -> list[list[str]]:
    """A column for each split, after a column of headings."""
    columns = [["", "samples", "height x width", "brightness", "contrast", "values"]]
    for split in report.splits:
        sizes = show_size(split.sizes[0])
        if len(split.sizes) > 1:
            smallest, median, largest = map(show_size, split.size_range)
            sizes = f"{smallest} to {largest}, median {median}"
        values = f"{', '.join(split.types)}: {split.values[0]:g} to {split.values[1]:g}"
        spreads = [
            show_spread(values).replace("+-", "±") for values in (split.brightness, split.contrast)
        ]
        columns.append([split.name, str(split.num_samples), sizes, *spreads, values])
    return [list(row) for row in zip(*columns, strict=True)]


def _list_classes(report: DatasetReport, spec: DatasetSpec) -> Iterator[ShownClass]:
    splits = report.splits
    has_pixels = report.task == "segmentation"
    largest = max(float(split.class_shares.max()) for split in splits) or 1.0
    for i, (name, color) in enumerate(zip(spec.class_names, spec.colors, strict=True)):
        shares = [float(split.class_shares[i]) for split in splits]
        counts = [(int(split.class_images[i]), split.num_samples) for split in splits]
        yield ShownClass(
            name=name,
            color=hex_color(color),
            side=_show_side(splits[0].object_sides[i]),
            shares=tuple((share / largest, f"{show_percent(share)} %") for share in shares),
            # Of images of one class each, no class has many: the longest bar is the largest share.
            images=tuple(
                (count / max(1, total) / (1 if has_pixels else largest), str(count))
                for count, total in counts
            ),
        )
    if has_pixels:
        void = [split.void_share for split in splits]
        yield ShownClass(
            name="void",
            color="var(--void)",
            side="",
            shares=tuple((min(1, share / largest), f"{100 * share:.2f} %") for share in void),
            images=tuple(
                (split.void_images / max(1, split.num_samples), str(split.void_images))
                for split in splits
            ),
        )


def _show_side(side: float) -> str:
    return "" if np.isnan(side) else f"{side:.0f} px"


def _draw_distributions(report: DatasetReport) -> Iterator[str]:
    splits = report.splits
    brightness = {split.name: split.brightness.tolist() for split in splits}
    contrast = {split.name: split.contrast.tolist() for split in splits}
    yield plot_histograms(brightness, label="brightness", title="Brightness of the images")
    yield plot_histograms(contrast, label="contrast", title="Contrast of the images")
    if any(len(split.sizes) > 1 for split in splits):
        yield _draw_sizes({split.name: split.image_sizes for split in splits})


def _draw_sizes(sizes: Mapping[str, npt.NDArray[np.int64]]) -> str:
    figure, axes = new_axes()
    for (name, pairs), color in zip(sizes.items(), _repeat_colors(), strict=False):
        heights, widths = np.unique(pairs, axis=0).T
        axes.plot(widths, heights, "o", ms=3, alpha=0.7, color=color, label=name)
    axes.set(xlabel="width, pixels", ylabel="height, pixels")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    add_legend(axes)
    return figure_svg(figure, title="Sizes of the images")


def _repeat_colors() -> Iterable[str]:
    while True:
        yield from SERIES
