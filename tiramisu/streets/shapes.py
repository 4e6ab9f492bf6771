"""Flat shapes: corners (K, 2), or (N, K, 2) for many shapes, in metres."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[Any]  # of any number type
Point = tuple[float, float]


def box(left: float, bottom: float, right: float, top: float) -> Points:
    """A rectangle (4, 2)."""
    return np.array([[left, bottom], [left, top], [right, top], [right, bottom]])


def grid(xs: npt.ArrayLike, ys: npt.ArrayLike, width: float, height: float) -> Points:
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
