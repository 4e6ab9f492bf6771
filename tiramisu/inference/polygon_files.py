"""Regions of masks as GeoJSON, one file for each image, and as COCO, one file for all."""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from tiramisu.atomic import write_then_rename
from tiramisu.inference.regions import Mask, Region, Ring, find_regions


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """Where the pixels of an image lie."""

    transform: tuple[float, float, float, float, float, float] = (1, 0, 0, 0, 1, 0)
    """a, b, c, d, e, f of x = a * column + b * row + c and y = d * column + e * row + f."""
    crs: str | None = None
    """URN of the coordinate reference system, such as urn:ogc:def:crs:EPSG::32618."""

    @property
    def pixel_area(self) -> float:
        """Area of a pixel; negative where y goes up as the rows go down."""
        a, b, _, d, e, _ = self.transform
        return a * e - b * d


IN_PIXELS = Place()
"""An ordinary image: x to the right, y down, from the upper left corner of the first pixel."""


def write_geojson(
    path: Path, mask: Iterable[Mask], *, class_names: Sequence[str], place: Place = IN_PIXELS
) -> None:
    """Write the regions of a mask as GeoJSON, each a feature with its class and its area.

    On a map, coordinates and areas are in the units of its coordinate reference system, which the
    member `crs` names, as GDAL writes and reads it; RFC 7946 knows only degrees.

    Args:
        path: the file to write.
        mask: some rows at a time, from the top down.
        class_names: of the class ids in the mask.
        place: where the pixels lie.
    """
    start: dict[str, Any] = {"type": "FeatureCollection"}
    if place.crs is not None:
        start["crs"] = {"type": "name", "properties": {"name": place.crs}}
    with write_then_rename(path) as partial, partial.open("w", encoding="utf-8") as file:
        file.write(json.dumps(start)[:-1] + ', "features": [')
        for number, region in enumerate(find_regions(mask)):
            file.write(
                (",\n" if number else "\n") + json.dumps(_feature(region, class_names, place))
            )
        file.write("\n]}\n")


def _feature(region: Region, class_names: Sequence[str], place: Place) -> dict[str, Any]:
    return {
        "type": "Feature",
        "properties": {
            "class": class_names[region.class_id],
            "class_id": region.class_id,
            "area": region.area * abs(place.pixel_area),
        },
        "geometry": {
            "type": "Polygon",
            "coordinates": [_place_ring(ring, place) for ring in (region.outline, *region.holes)],
        },
    }


def _place_ring(ring: Ring, place: Place) -> list[list[float]]:
    """A closed ring; outlines are counterclockwise where y goes up, as RFC 7946 wants them."""
    closed = np.concatenate([ring, ring[:1]])
    if place is IN_PIXELS:
        whole: list[list[float]] = closed.tolist()
        return whole
    a, b, c, d, e, f = place.transform
    x, y = closed.T
    points = np.stack([a * x + b * y + c, d * x + e * y + f], axis=1)
    placed: list[list[float]] = (points if place.pixel_area > 0 else points[::-1]).tolist()
    return placed


class CocoFile:
    """A file of annotations in the format of COCO that is being written; see `write_coco`."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._num_annotations = 0
        self.images: list[dict[str, object]] = []

    def add(self, name: str, mask: Iterable[Mask], *, height: int, width: int) -> None:
        """Add the regions of the mask of an image, which is given some rows at a time."""
        image = len(self.images) + 1
        for region in find_regions(mask):
            self._num_annotations += 1
            annotation = {
                "id": self._num_annotations,
                "image_id": image,
                "category_id": region.class_id + 1,
                **_describe(region, height=height, width=width),
            }
            comma = "," if self._num_annotations > 1 else ""
            self._file.write(f"{comma}\n{json.dumps(annotation)}")
        self.images.append({"id": image, "file_name": name, "height": height, "width": width})


@contextmanager
def write_coco(path: Path, *, class_names: Sequence[str]) -> Iterator[CocoFile]:
    """A file of annotations to which the block adds images; it is complete when the block ends.

    Categories have the numbers from 1 on, as in COCO itself. A region without holes is a polygon,
    one with holes a run-length encoding.
    """
    categories = [{"id": number, "name": name} for number, name in enumerate(class_names, start=1)]
    with write_then_rename(path) as partial, partial.open("w", encoding="utf-8") as file:
        file.write('{"annotations": [')
        coco = CocoFile(file)
        yield coco
        rest = {"images": coco.images, "categories": categories}
        file.write("\n], " + json.dumps(rest)[1:] + "\n")


def _describe(region: Region, *, height: int, width: int) -> dict[str, object]:
    left, top = region.outline.min(axis=0).tolist()
    right, bottom = region.outline.max(axis=0).tolist()
    return {
        "segmentation": (
            {"size": [height, width], "counts": count_runs(region, height=height, width=width)}
            if region.holes
            else [region.outline.ravel().tolist()]
        ),
        "bbox": [left, top, right - left, bottom - top],
        "area": region.area,
        "iscrowd": 0,
    }


def count_runs(region: Region, *, height: int, width: int) -> list[int]:
    """COCO's run-length encoding: lengths of the runs outside and inside, in turn, by columns."""
    crossings = []
    for ring in (region.outline, *region.holes):
        following = np.roll(ring, -1, axis=0)
        is_level = ring[:, 1] == following[:, 1]
        x, y = ring[is_level].T
        left = np.minimum(x, following[is_level, 0])
        lengths = np.abs(following[is_level, 0] - x)
        # Each column that an edge crosses: left, left + 1, ...
        steps = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        crossings.append((np.repeat(left, lengths) + steps) * height + np.repeat(y, lengths))
    points, counts = np.unique(np.concatenate(crossings), return_counts=True)
    # The lower border of one column and the upper border of the next are the same point.
    changes = points[counts % 2 == 1]
    runs: list[int] = np.diff(changes, prepend=0, append=height * width).tolist()
    return runs if runs[-1] else runs[:-1]
