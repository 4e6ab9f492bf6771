"""A comparison of models as a page: tables, and the images that changed most."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tiramisu.evaluation.gallery import show_photo
from tiramisu.runs.model_comparison import Comparison, Difference, show_change
from tiramisu.text import in_percent
from tiramisu.visual.page import ShownPicture, hex_color, write_page

_MOST = 60
"""Images that got worse, and that got better, at most."""


@dataclass(frozen=True, kw_only=True)
class ShownRow:
    """A score of two models, in percent, and their difference."""

    name: str
    color: str
    values: tuple[str, str]
    difference: float
    """In percentage points; NaN where one has no value."""
    text: str
    interval: str
    is_certain: bool


@dataclass(frozen=True, kw_only=True)
class ShownChange:
    """An image that two models predict differently."""

    name: str
    note: str
    values: str
    """A JSON list: by how much its score, and that of each class, is better, in points."""
    pictures: tuple[ShownPicture, ...]
    """The image and, of a segmentation, its ground truth and both predictions."""


def write_compare_page(path: Path, comparison: Comparison) -> None:
    """Write a comparison as a page. Raises OSError if it cannot be written."""
    spec = comparison.spec
    parts = [
        {
            "name": other.model.name,
            "rows": list(_list_rows(comparison, other)),
            "images": list(_list_changes(comparison, other)),
        }
        for other in comparison.others
    ]
    first, others = comparison.first.name, [other.model.name for other in comparison.others]
    names = f"{others[0]} beside {first}" if len(others) == 1 else f"{len(others) + 1} models"
    values = {
        "title": f"{names} on {comparison.title}",
        "first": first,
        "parts": parts,
        "explanation": comparison.explanation,
        "has_pixels": spec.task == "segmentation",
        "class_names": spec.class_names,
        "classes": [
            {"name": name, "color": hex_color(color)}
            for name, color in zip(spec.class_names, spec.colors, strict=True)
        ],
        "has_void": comparison.first.gallery.has_void,
    }
    write_page(path, "compare.html", values)


def _list_rows(comparison: Comparison, other: Difference) -> Iterator[ShownRow]:
    colors = ["", *(hex_color(color) for color in comparison.spec.colors)]
    for i, (name, color) in enumerate(zip(comparison.row_names, colors, strict=True)):
        yield ShownRow(
            name=name,
            color=color,
            values=(in_percent(comparison.first.values[i]), in_percent(other.model.values[i])),
            difference=100 * float(other.difference[i]),
            text=show_change(other.difference[i]),
            interval=other.show_interval(i),
            is_certain=bool(other.is_certain[i]),
        )


def _list_changes(comparison: Comparison, other: Difference) -> Iterator[ShownChange]:
    order = comparison.rank_images(other)
    if len(order) > 2 * _MOST:
        order = [*order[:_MOST], *order[-_MOST:]]
    change = comparison.changes(other)
    for place in order:
        before, after = (m.of_images[place, 0] for m in (comparison.first, other.model))
        row = [
            None if math.isnan(value) else round(100 * float(value), 1) for value in change[place]
        ]
        yield ShownChange(
            name=comparison.image_names[place],
            note=f"{in_percent(before)} to {in_percent(after)}",
            values=json.dumps(row),
            pictures=tuple(_show_pictures(comparison, other, place)),
        )


def _show_pictures(comparison: Comparison, other: Difference, place: int) -> Iterator[ShownPicture]:
    index, first = comparison.indices[place], comparison.first
    photo, truth = first.gallery.read(index)
    yield show_photo(photo, comparison.image_names[place])
    if comparison.spec.task == "segmentation":
        yield first.gallery.paint(truth, "ground truth")
        for model in (first, other.model):
            yield model.gallery.paint(model.gallery.prediction(index), model.name)
