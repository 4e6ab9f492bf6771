"""A camera, the light, and a painter of polygons.

Coordinates are metres as seen by the driver: x to the right, y up from the ground, z ahead.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from tiramisu.streets.classes import SKY
from tiramisu.streets.palette import Color, Rng, mixed
from tiramisu.streets.polygons import NEAR, Points

Image = npt.NDArray[np.uint8]

FOCAL_X, FOCAL_Y = 0.96, 1.28  # in image widths and heights: 55 degrees across a 4:3 frame
SUBPIXEL_BITS = 4  # OpenCV takes corners in 1/16 pixel


@dataclass(frozen=True, kw_only=True)
class Camera:
    """The pinhole camera of a car. Positions in the image are relative: 0..1 right and down."""

    height: float  # metres above the road
    center: float  # column of the vanishing point: the yaw
    horizon: float  # row of the horizon: the pitch
    bend: float  # at distance z the street has moved sideways by bend * z^2 metres

    def project(self, points: Points) -> Points:
        """Metres (..., 3) -> relative image positions (..., 2)."""
        flat = np.empty((*points.shape[:-1], 2))
        z = np.maximum(points[..., 2], NEAR)
        flat[..., 0] = self.center + FOCAL_X * (points[..., 0] / z + self.bend * z)
        flat[..., 1] = self.horizon + FOCAL_Y * (self.height - points[..., 1]) / z
        return flat


@dataclass(frozen=True, kw_only=True)
class Light:
    """The weather and the time of day; colours are RGB in 0..255."""

    zenith: Color
    haze: Color  # the sky at the horizon; the colour of far objects fades into it
    cloud: Color
    cloudiness: float  # 0..1: how much of the sky is cloud
    sun: float  # 0..1: how hard the shadows are
    sun_side: int  # -1: the sun stands on the left, +1: on the right
    tint: Color  # gain of each channel
    exposure: float
    visibility: float  # metres at which a colour is about two thirds haze

    def on_side(self, side: int) -> float:
        """Brightness of a front on the given side of the street; it faces the other side."""
        return 1.0 - 0.25 * self.sun if side == self.sun_side else 0.92 + 0.16 * self.sun


class Painter:
    """Paints each polygon into the image and, with the same corners, into the label.

    Near objects hide far ones because they are painted later.

    Attributes:
        image: uint8 (H, W, 3) RGB.
        label: uint8 (H, W); sky at first.
    """

    def __init__(self, rng: Rng, camera: Camera, light: Light, *, height: int, width: int) -> None:
        self.rng, self.camera, self.light = rng, camera, light
        self.image = np.zeros((height, width, 3), np.uint8)
        self.label = np.full((height, width), SKY, np.uint8)
        self._scale = np.array([width, height]) * 2.0**SUBPIXEL_BITS
        self._offset = 2.0 ** (SUBPIXEL_BITS - 1)  # pixel centres are whole numbers to OpenCV
        self._waiting: list[tuple[float, Callable[[], None]]] = []

    def queue(self, far: float, draw: Callable[..., None], /, *args: Any, **kwargs: Any) -> None:
        """Let `draw` wait for `paint_queue`; its object's far end is at distance `far`."""
        self._waiting.append((far, partial(draw, *args, **kwargs)))

    def paint_queue(self, beyond: float = 0.0) -> None:
        """Draw what waits, from far to near; objects that are not `beyond` are left out."""
        for far, draw in sorted(self._waiting, key=lambda item: -item[0]):
            if far > beyond:
                draw()
        self._waiting.clear()

    def stand(
        self, x: float, z: float, flat: Points, color: Color | None, label: int | None = None
    ) -> None:
        """Fill shapes (..., 2) of metres (right, up) at a place, facing the camera."""
        self.fill(_points(flat[..., 0] + x, flat[..., 1], z), color, label)

    def stand_along(
        self, x: float, z: float, flat: Points, color: Color | None, label: int | None = None
    ) -> None:
        """Fill shapes (..., 2) of metres (ahead, up) at a place, running along the street."""
        self.fill(_points(x, flat[..., 1], flat[..., 0] + z), color, label)

    def lay(self, flat: Points, color: Color, label: int | None = None) -> None:
        """Fill shapes (..., 2) of metres (right, ahead) that lie on the ground."""
        self.fill(_points(flat[..., 0], 0.0, flat[..., 1]), color, label)

    def fill(self, points: Points, color: Color | None, label: int | None = None) -> None:
        """Fill one polygon (K, 3), or many (N, K, 3) that do not overlap, in metres.

        Without a colour only the label is painted, without a label only the image.
        """
        if color is not None:
            color = self._faded(color, points.item(2))
        self.stamp(self.camera.project(points), color, label)

    def stand_each(self, x: float, z: float, flat: Points, colors: list[Color], label: int) -> None:
        """Like `stand`, but the shapes (N, K, 2) may overlap; each has its own colour."""
        points = _points(flat[..., 0] + x, flat[..., 1], z)
        for corners, color in zip(self._corners(self.camera.project(points)), colors, strict=True):
            faded = self._faded(color, z)
            cv2.fillPoly(self.image, [corners], faded, cv2.LINE_AA, SUBPIXEL_BITS)
            cv2.fillPoly(self.label, [corners], label, cv2.LINE_8, SUBPIXEL_BITS)

    def stamp(self, flat: Points, color: Color | None, label: int | None = None) -> None:
        """Fill one polygon (K, 2), or many (N, K, 2), at relative image positions."""
        columns = flat[..., 0]
        if columns.max() < 0 or columns.min() > 1:
            return  # outside the image
        corners = self._corners(flat)
        polygons = [corners] if corners.ndim == 2 else list(corners)
        if color is not None:
            cv2.fillPoly(self.image, polygons, color, cv2.LINE_AA, SUBPIXEL_BITS)
        if label is not None:
            cv2.fillPoly(self.label, polygons, label, cv2.LINE_8, SUBPIXEL_BITS)

    def turns_clockwise(self, points: Points) -> bool:
        """Whether the corners of a polygon (K, 3) run clockwise in the image: its front is seen."""
        x, y = self.camera.project(points).T
        area = x[:-1] @ y[1:] - y[:-1] @ x[1:] + x[-1] * y[0] - y[-1] * x[0]
        return bool(area > 0)

    def shade(self, shadows: list[Points], *, gain: float, blur: float) -> None:
        """Multiply the image by `gain` under the union of polygons (K, 3); label untouched.

        `blur` softens the shadow's edge and is in image heights.
        """
        height, width = self.label.shape
        mask = np.full((height, width), 255, np.uint8)
        for points in shadows:
            corners = self._corners(self.camera.project(points))
            cv2.fillPoly(mask, [corners], 255 * gain, cv2.LINE_AA, SUBPIXEL_BITS)
        soft = cv2.GaussianBlur(mask, (0, 0), max(blur * height, 0.3))
        cv2.multiply(self.image, cv2.merge([soft] * 3), self.image, 1 / 255)

    def _faded(self, color: Color, z: float) -> Color:
        return mixed(color, self.light.haze, 1.0 - math.exp(-max(z, NEAR) / self.light.visibility))

    def _corners(self, flat: Points) -> npt.NDArray[np.int32]:
        """Relative positions (..., 2) -> OpenCV's fixed-point pixels, cut well off the image."""
        pixels = np.clip(flat, -5.0, 6.0) * self._scale - self._offset
        return np.asarray(pixels, np.int32)


def _points(x: Points | float, y: Points | float, z: Points | float) -> Points:
    """Positions (..., 3); one of x and z has the shape of the result."""
    points = np.empty((*(np.shape(x) or np.shape(z)), 3))
    points[..., 0], points[..., 1], points[..., 2] = x, y, np.maximum(z, NEAR)
    return points
