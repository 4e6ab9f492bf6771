"""Regions of annotated images, the same for all formats: a label and a shape that can be painted.

All formats are drawn as LabelMe's converter does, so that the same annotations give the same masks
in each of them: rectangles, ellipses and lines by Pillow, polygons by `fill_polygon`. Coordinates
are pixels, x to the right and y down.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from pydantic import Field

from tiramisu.data.annotations.polygon_fill import fill_polygon
from tiramisu.data.annotations.run_lengths import RunLengths

MOST = 1_000_000
"""Largest coordinate, also below zero: the longest side of an image that is read."""
Coordinate = Annotated[float, Field(ge=-MOST, le=MOST, allow_inf_nan=False)]
Point = tuple[Coordinate, Coordinate]
"""(x, y)."""
_ARC_STEPS = 360  # corners of a turned ellipse


class Shape(Protocol):
    """Pixels of an image."""

    def paint(self, canvas: Image.Image, code: int) -> None:
        """Set its pixels to a code; what lies outside of the canvas is left out."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Polygons:
    """The union of one polygon or more, each with its border."""

    rings: tuple[npt.NDArray[np.float64], ...]
    """The corners of each, (N, 2), N >= 3."""

    def paint(self, canvas: Image.Image, code: int) -> None:
        for ring in self.rings:
            top, left, mask = fill_polygon(ring, height=canvas.height, width=canvas.width)
            if mask.size:
                canvas.paste(code, (left, top), Image.fromarray(mask))


@dataclass(frozen=True, kw_only=True)
class Rectangle:
    """All pixels from one corner to the other, both included."""

    corners: tuple[Point, Point]

    def paint(self, canvas: Image.Image, code: int) -> None:
        ImageDraw.Draw(canvas).rectangle(_sort(self.corners), fill=code, outline=code)


@dataclass(frozen=True, kw_only=True)
class Ellipse:
    """The ellipse that fills the box between two corners."""

    corners: tuple[Point, Point]

    def paint(self, canvas: Image.Image, code: int) -> None:
        ImageDraw.Draw(canvas).ellipse(_sort(self.corners), fill=code, outline=code)


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line through two points or more."""

    points: tuple[Point, ...]
    width: int = 10
    """In pixels, as LabelMe's converter draws lines."""

    def paint(self, canvas: Image.Image, code: int) -> None:
        ImageDraw.Draw(canvas).line(list(self.points), fill=code, width=self.width)


@dataclass(frozen=True, kw_only=True, eq=False)
class Bitmap:
    """A mask of single pixels, which may have holes, at a place in the image."""

    left: int
    top: int
    runs: RunLengths

    def paint(self, canvas: Image.Image, code: int) -> None:
        mask = Image.fromarray(self.runs.decode() * np.uint8(255))
        canvas.paste(code, (self.left, self.top), mask)


@dataclass(frozen=True, kw_only=True)
class Region:
    """A shape and its label."""

    label: str
    shape: Shape
    is_crowd: bool = False
    """Whether it holds an unknown number of objects, which nobody outlined one by one."""


@dataclass(frozen=True, kw_only=True)
class AnnotatedImage:
    """One image and its regions."""

    name: str
    """Path relative to the folder of the images, with /."""
    size: tuple[int, int] | None
    """(height, width); None if the annotations do not say it."""
    regions: tuple[Region, ...]
    """In drawing order: later ones cover earlier ones."""
    origin: Path
    """The file of the annotations."""
    subset: str | None = None
    """The part of the data set that it belongs to, if the format says so."""
    embedded: bool = False
    """Whether the image is in the file of the annotations alone."""


@dataclass(frozen=True, kw_only=True)
class Annotations:
    """What the files of one labelling tool hold."""

    title: str
    """Name of the format."""
    labels: tuple[str, ...]
    """In the order of the classes."""
    images: tuple[AnnotatedImage, ...]
    colors: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    """RGB of the labels that have one."""
    background: str = "background"
    """The name of the class of all pixels outside of the shapes, unless a label has it."""


def polygon(points: Sequence[Sequence[float]]) -> npt.NDArray[np.float64]:
    """The corners of a polygon; ValueError if there are fewer than three."""
    if len(points) < 3:
        raise ValueError(f"a polygon of {len(points)} points; expected 3 or more")
    return np.array(points, np.float64)


def turned_rectangle(
    corners: tuple[Point, Point], *, degrees: float, around: Point | None = None
) -> Polygons | Rectangle:
    """A rectangle turned clockwise around a point, by default its center."""
    (x0, y0), (x1, y1) = corners
    if degrees % 360 == 0:
        return Rectangle(corners=corners)
    ring = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    return Polygons(rings=(_turn(ring, degrees, around or ((x0 + x1) / 2, (y0 + y1) / 2)),))


def turned_ellipse(
    *, center: Point, radii: tuple[float, float], degrees: float = 0
) -> Polygons | Ellipse:
    """An ellipse turned clockwise around its center."""
    (x, y), (across, down) = center, radii
    if degrees % 360 == 0 or across == down:
        return Ellipse(corners=((x - across, y - down), (x + across, y + down)))
    angles = np.linspace(0, 2 * math.pi, _ARC_STEPS, endpoint=False)
    ring = np.stack([x + across * np.cos(angles), y + down * np.sin(angles)], axis=1)
    return Polygons(rings=(_turn(ring, degrees, center),))


def _turn(
    points: npt.NDArray[np.float64], degrees: float, around: Point
) -> npt.NDArray[np.float64]:
    angle = math.radians(degrees)
    matrix = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    turned: npt.NDArray[Any] = (points - around) @ matrix + around
    return np.round(turned, 6)  # polygons are cut to whole pixels, and 17 might be 16.9999999


def _sort(corners: tuple[Point, Point]) -> list[float]:
    """Corners in the order that Pillow expects: left, top, right, bottom."""
    (x0, y0), (x1, y1) = corners
    return [min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)]
