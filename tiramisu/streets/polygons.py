"""Shapes: flat ones, with corners (K, 2), or (N, K, 2) for many, in metres; and smooth noise."""

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from tiramisu.streets.palette import Rng

Points = npt.NDArray[Any]  # of any number type
Point = tuple[float, float]

NEAR = 1.0  # metres; the part of walls and roads that is nearer than this is cut off


def box(left: float, bottom: float, right: float, top: float) -> Points:
    """A rectangle (4, 2)."""
    return np.array([[left, bottom], [left, top], [right, top], [right, bottom]])


def grid(xs: npt.ArrayLike, ys: npt.ArrayLike, width: float, height: float) -> Points:
    """Rectangles (N, 4, 2) of one size, their lower left corners at every (x, y)."""
    places = np.stack(np.meshgrid(xs, ys), -1).reshape(-1, 1, 2)
    return np.asarray(places + box(0, 0, width, height))


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


def smooth_noise(rng: Rng, rows: int, cols: int, shape: tuple[int, ...]) -> Points:
    """Smooth random noise (H, W), float32 in 0..1. At every size it looks the same."""
    coarse = rng.random((rows, cols), dtype=np.float32)
    return np.clip(cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC), 0, 1)
