"""A camera, the light, and a painter of polygons.

Coordinates are metres as seen by the driver: x to the right, y up from the ground, z ahead.
"""

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Points = npt.NDArray[Any]  # of any floating type
Color = tuple[float, float, float]
Point = tuple[float, float]

SKY, BUILDING, POLE, ROAD, SIDEWALK, TREE, SIGN, FENCE, CAR, PEDESTRIAN, BICYCLIST = range(11)
VOID = 255

FOCAL_X, FOCAL_Y = 0.96, 1.28  # in image widths and heights: 55 degrees across a 4:3 frame
NEAR = 1.0  # metres; the part of walls and roads that is nearer than this is cut off
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


def shaded(color: Color, gain: float) -> Color:
    """The colour made darker (gain < 1) or lighter."""
    return (color[0] * gain, color[1] * gain, color[2] * gain)


def mixed(color: Color, other: Color, share: float) -> Color:
    """A mixture of two colours, with `share` (0..1) of `other`."""
    keep = 1 - share
    return (
        keep * color[0] + share * other[0],
        keep * color[1] + share * other[1],
        keep * color[2] + share * other[2],
    )


class Painter:
    """Paints each polygon into the image and, with the same corners, into the label.

    Near objects hide far ones because they are painted later.

    Attributes:
        image: uint8 (H, W, 3) RGB.
        label: uint8 (H, W); sky at first.
    """

    def __init__(self, camera: Camera, light: Light, *, height: int, width: int) -> None:
        self.camera = camera
        self.light = light
        self.image = np.zeros((height, width, 3), np.uint8)
        self.label = np.full((height, width), SKY, np.uint8)
        self._scale = np.array([width, height]) * 2.0**SUBPIXEL_BITS
        self._offset = 2.0 ** (SUBPIXEL_BITS - 1)  # pixel centres are whole numbers to OpenCV

    def fill(self, points: Points, color: Color | None, label: int | None = None) -> None:
        """Fill one polygon (K, 3), or many (N, K, 3) that do not overlap, in metres.

        Without a colour only the label is painted, without a label only the image.
        """
        if color is not None:
            color = self._faded(color, points.item(2))
        self.stamp(self.camera.project(points), color, label)

    def fill_each(self, points: Points, colors: list[Color], label: int) -> None:
        """Fill polygons (N, K, 3) one after the other, each in its colour. They may overlap."""
        for corners, color in zip(self._corners(self.camera.project(points)), colors, strict=True):
            faded = self._faded(color, points.item(2))
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


def upright(x: float, z: float, flat: Points) -> Points:
    """Stand a drawing (..., 2) of metres (right, up) at a place, facing the camera."""
    points = np.empty((*flat.shape[:-1], 3))
    points[..., :2] = flat
    points[..., 0] += x
    points[..., 2] = z
    return points


def along(x: float, z: float, flat: Points) -> Points:
    """Stand a drawing (..., 2) of metres (ahead, up) at a place, running along the street."""
    points = np.empty((*flat.shape[:-1], 3))
    points[..., 0] = x
    points[..., 1] = flat[..., 1]
    points[..., 2] = np.maximum(flat[..., 0] + z, NEAR)
    return points


def lying(flat: Points) -> Points:
    """Lay a drawing (..., 2) of metres (right, ahead) on the ground."""
    points = np.zeros((*flat.shape[:-1], 3))
    points[..., 0] = flat[..., 0]
    points[..., 2] = np.maximum(flat[..., 1], NEAR)
    return points


def box(left: float, bottom: float, right: float, top: float) -> Points:
    """A rectangle (4, 2)."""
    return np.array([[left, bottom], [left, top], [right, top], [right, bottom]])


def grid(xs: Points, ys: Points, width: float, height: float) -> Points:
    """Rectangles (N, 4, 2) of one size, their lower left corners at every (x, y)."""
    places: Points = np.stack(np.meshgrid(xs, ys), -1).reshape(-1, 1, 2)
    return places + box(0, 0, width, height)


def disc(x: float, y: float, radius_x: float, radius_y: float, corners: int = 12) -> Points:
    """An ellipse (K, 2)."""
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    return np.stack([x + radius_x * np.cos(angle), y + radius_y * np.sin(angle)], -1)


def limb(start: Point, end: Point, width: float, end_width: float | None = None) -> Points:
    """A straight stroke (4, 2) from start to end; its width may change along the way."""
    (x0, y0), (x1, y1) = start, end
    scale = 0.5 / (math.hypot(x1 - x0, y1 - y0) or 1.0)
    nx, ny = (y0 - y1) * scale, (x1 - x0) * scale
    w0, w1 = width, width if end_width is None else end_width
    return np.array([
        (x0 - w0 * nx, y0 - w0 * ny), (x0 + w0 * nx, y0 + w0 * ny),
        (x1 + w1 * nx, y1 + w1 * ny), (x1 - w1 * nx, y1 - w1 * ny),
    ])  # fmt: skip


def ribbon(x0: float, x1: float, z0: float, z1: float) -> Points:
    """A strip of ground (2 K, 3) along the street, with enough corners to follow its bend."""
    z = np.geomspace(max(z0, NEAR), max(z1, NEAR + 0.1), 12 if z1 - z0 > 8 else 3)
    strip = np.zeros((2, len(z), 3))
    strip[0, :, 0], strip[1, :, 0] = x0, x1
    strip[..., 2] = z
    return np.concatenate([strip[0], strip[1, ::-1]])


def smooth_noise(
    rng: np.random.Generator, rows: int, cols: int, *, height: int, width: int
) -> npt.NDArray[np.float32]:
    """Smooth random noise (H, W) in 0..1. Its shape does not depend on the size of the image."""
    coarse = rng.random((rows, cols), dtype=np.float32)
    return np.clip(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)
