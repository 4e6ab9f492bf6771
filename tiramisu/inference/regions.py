"""The regions of a mask as polygons along the edges of its pixels.

A region is all pixels of one class that touch by their sides. Its outline is exact: a polygon that
is drawn again covers just its pixels. The mask is read some rows at a time, and only the corners of
the outlines are kept, about 100 bytes for each.

Each corner belongs to the outline of one region, which is walked so that the region lies on the
right: clockwise around the region, counterclockwise around a hole. A straight piece of an outline
starts and ends at corners of one line of the grid; along a line, such pieces in one direction do
not overlap, so the first start belongs to the first end, the second to the second.
"""

import dataclasses
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from tiramisu.data.labels import IGNORE_INDEX

Mask = npt.NDArray[np.uint8]
"""Class ids (H, W), `IGNORE_INDEX` where there is nothing."""
Ring = npt.NDArray[np.int64]
"""Corners (N, 2) of an outline, x to the right and y down, in pixels from the corner of the mask.
The last one is joined to the first."""
Numbers = npt.NDArray[np.int64]

_RIGHT, _DOWN, _LEFT, _UP = range(4)
# Where the four pixels around a point of the grid make a corner, by which direction the outline
# comes there and by which it goes on. First those of a pixel whose two neighbors are of another
# class: the one below right of the point, below left, above left, above right. Then those of three
# pixels of one class, in the same order of the fourth.
_COMES = np.array([_UP, _RIGHT, _DOWN, _LEFT, _LEFT, _UP, _RIGHT, _DOWN], np.uint8)
_GOES = np.array([_RIGHT, _DOWN, _LEFT, _UP, _DOWN, _LEFT, _UP, _RIGHT], np.uint8)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Region:
    """Pixels of one class that touch by their sides."""

    class_id: int
    area: int
    """In pixels."""
    outline: Ring
    """Clockwise as the mask is displayed."""
    holes: list[Ring]
    """Counterclockwise."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Corners:
    """The corners of all outlines, from the top down and in each row from the left, N of each."""

    x: npt.NDArray[np.int32]
    y: npt.NDArray[np.int32]
    kind: npt.NDArray[np.uint8]
    class_id: npt.NDArray[np.uint8]

    @property
    def points(self) -> Ring:
        return np.stack([self.x, self.y], axis=1).astype(np.int64)


def find_regions(parts: Iterable[Mask]) -> Iterator[Region]:
    """Find the regions of a mask, in the order of their first pixels.

    Args:
        parts: the mask from the top down, some rows (rows, W) at a time.
    """
    corners = _find_corners(parts)
    if not len(corners.x):
        return
    order, starts = _walk(_link(corners))
    x, y = corners.x[order].astype(np.int64), corners.y[order].astype(np.int64)
    areas = np.add.reduceat(x * _next_in_ring(y, starts) - y * _next_in_ring(x, starts), starts)
    ring_of = np.empty(len(order), np.int64)  # by corner
    ring_of[order] = np.repeat(np.arange(len(starts)), np.diff([*starts, len(order)]))
    parents = _find_parents(corners, order, ring_of, is_hole=areas < 0)
    mates = _find_mates(corners)
    holes_of: dict[int, list[int]] = {}
    for hole, parent in parents.items():
        holes_of.setdefault(parent, []).append(hole)
    stops = np.append(starts[1:], len(order))
    for ring in np.flatnonzero(areas > 0).tolist():
        members = [ring, *holes_of.get(ring, [])]
        rings = [
            np.stack([corners.x[loop], corners.y[loop]], axis=1).astype(np.int64)
            for member in members
            for loop in _split(order[starts[member] : stops[member]], mates)
        ]
        yield Region(
            class_id=int(corners.class_id[order[starts[ring]]]),
            area=int(areas[members].sum()) // 2,
            outline=next(loop for loop in rings if _signed_area(loop) > 0),
            holes=[loop for loop in rings if _signed_area(loop) < 0],
        )


def _find_corners(parts: Iterable[Mask]) -> _Corners:
    found: list[tuple[npt.NDArray[np.generic], ...]] = []
    above: Mask | None = None
    top = 0
    for part in parts:
        if not len(part):
            continue
        if above is None:
            above = np.full((1, part.shape[1]), IGNORE_INDEX, np.uint8)
        found.append(_corners_between(np.concatenate([above, part]), top))
        above, top = part[-1:], top + len(part)
    if above is not None:
        last = np.full_like(above, IGNORE_INDEX)
        found.append(_corners_between(np.concatenate([above, last]), top))
    joined = [np.concatenate(arrays) for arrays in zip(*found, strict=True)] or [np.empty(0)] * 4
    x, y, kind, class_id = joined
    return _Corners(
        x=x.astype(np.int32),
        y=y.astype(np.int32),
        kind=kind.astype(np.uint8),
        class_id=class_id.astype(np.uint8),
    )


def _corners_between(rows: Mask, top: int) -> tuple[npt.NDArray[np.generic], ...]:
    """x, y, kind and class of the corners between rows of a mask; `top` is y of the first."""
    rows = np.pad(rows, ((0, 0), (1, 1)), constant_values=IGNORE_INDEX)
    upper, lower = rows[:-1], rows[1:]
    differ = (upper[:, :-1] != upper[:, 1:]) | (lower[:, :-1] != lower[:, 1:])
    differ |= upper[:, :-1] != lower[:, :-1]
    y, x = np.nonzero(differ)
    above_left, above_right = upper[y, x], upper[y, x + 1]
    below_left, below_right = lower[y, x], lower[y, x + 1]
    above, below = above_left == above_right, below_left == below_right
    left, right = above_left == below_left, above_right == below_right
    kinds = (
        (~right & ~below, below_right),
        (~left & ~below, below_left),
        (~left & ~above, above_left),
        (~right & ~above, above_right),
        (above & left & ~below, above_left),
        (above & right & ~left, above_left),
        (below & right & ~above, below_right),
        (below & left & ~above, below_left),
    )
    chosen = [np.flatnonzero(is_corner & (pixel != IGNORE_INDEX)) for is_corner, pixel in kinds]
    points = np.concatenate(chosen)
    class_id = np.concatenate([pixel[at] for at, (_, pixel) in zip(chosen, kinds, strict=True)])
    kind = np.repeat(np.arange(len(kinds), dtype=np.uint8), [len(at) for at in chosen])
    # The points are in order already; two corners of one class at a point come together.
    order = np.argsort(points * 256 + class_id, kind="stable")
    points = points[order]
    return (
        x[points].astype(np.int32),
        (y[points] + top).astype(np.int32),
        kind[order],
        class_id[order],
    )


def _link(corners: _Corners) -> Numbers:
    """The corner that follows each corner."""
    following = np.empty(len(corners.x), np.int64)
    comes, goes = _COMES[corners.kind], _GOES[corners.kind]
    for direction in range(4):
        starts, ends = np.flatnonzero(goes == direction), np.flatnonzero(comes == direction)
        if direction in (_DOWN, _UP):
            starts = starts[np.argsort(corners.x[starts], kind="stable")]
            ends = ends[np.argsort(corners.x[ends], kind="stable")]
        following[starts] = ends
    return following


def _walk(following: Numbers) -> tuple[Numbers, Numbers]:
    """The corners ring by ring, and where in this order each ring starts."""
    order = np.empty_like(following)
    placed, link = order.data, following.data
    is_done = bytearray(len(following))
    starts = []
    position = 0
    for first in range(len(following)):
        if is_done[first]:
            continue
        starts.append(position)
        corner = first
        while not is_done[corner]:
            is_done[corner] = 1
            placed[position] = corner
            position += 1
            corner = link[corner]
    return order, np.array(starts, np.int64)


def _next_in_ring(values: Numbers, starts: Numbers) -> Numbers:
    """The value of the next corner, for each corner in the order of the rings."""
    following = np.roll(values, -1)
    following[np.append(starts[1:], len(values)) - 1] = values[starts]
    return following


def _find_parents(
    corners: _Corners, order: Numbers, ring_of: Numbers, *, is_hole: npt.NDArray[np.bool_]
) -> dict[int, int]:
    """The outer ring of the region in which each hole lies.

    Left of a hole lies its region. The nearest edge to the left at which a region starts belongs to
    it too: to its outer ring, or to another hole, which reaches further to the left.
    """
    if not is_hole.any():
        return {}
    goes = _GOES[corners.kind]
    following = np.empty_like(order)
    following[order] = _next_in_ring(order, np.flatnonzero(np.diff(ring_of[order], prepend=-1)))
    # The highest of the leftmost edges of each hole: the first by x, then by y.
    down = np.flatnonzero((goes == _DOWN) & is_hole[ring_of])
    down = down[np.lexsort((corners.y[down], corners.x[down]))]
    holes, first = np.unique(ring_of[down], return_index=True)
    asked = down[first]
    up = np.flatnonzero(goes == _UP)
    # Edges end before others start in the same row, and then holes ask.
    moments = np.concatenate([corners.y[up], corners.y[following[up]], corners.y[asked]])
    kinds = np.repeat([0, 1, 2], [len(up), len(up), len(asked)])
    events = np.lexsort((kinds, moments))
    xs = np.concatenate([corners.x[up], corners.x[up], corners.x[asked]])[events]
    rings = np.concatenate([ring_of[up], ring_of[up], holes])[events]
    active: list[int] = []
    ring_at: dict[int, int] = {}
    left_of: dict[int, tuple[int, int]] = {}  # hole -> its x, and the ring left of it
    # Lists of all these numbers would take five times the memory.
    for kind, x, ring in zip(kinds[events].data, xs.data, rings.data, strict=True):
        if kind == 0:
            del active[bisect_left(active, x)]
        elif kind == 1:
            insort(active, x)
            ring_at[x] = ring
        else:
            left_of[ring] = (x, ring_at[active[bisect_left(active, x) - 1]])
    parents: dict[int, int] = {}
    for hole, (_, ring) in sorted(left_of.items(), key=lambda item: item[1][0]):
        parents[hole] = parents.get(ring, ring)
    return parents


def _find_mates(corners: _Corners) -> npt.NDArray[np.int8]:
    """Where two pixels of one class touch by a corner only: how far the other corner is, else 0."""
    same = (np.diff(corners.x) == 0) & (np.diff(corners.y) == 0) & (np.diff(corners.class_id) == 0)
    mates = np.zeros(len(corners.x), np.int8)
    mates[:-1][same] = 1
    mates[1:][same] = -1
    return mates


def _split(ring: Numbers, mates: npt.NDArray[np.int8]) -> list[Numbers]:
    """Split a ring that touches itself at points: expected of the rings of a polygon."""
    if not mates[ring].any():
        return [ring]
    loops: list[list[int]] = []
    path: list[int] = []
    place: dict[int, int] = {}
    for corner, mate in zip(ring.tolist(), mates[ring].tolist(), strict=True):
        if mate:
            start = place.get(corner + mate)
            if start is not None:
                loops.append(path[start:])
                for passed in path[start + 1 :]:
                    place.pop(passed, None)
                del path[start + 1 :]
                continue  # the same point: one corner stands for both
            place[corner] = len(path)
        path.append(corner)
    return [np.array(loop, np.int64) for loop in (*loops, path)]


def _signed_area(ring: Ring) -> int:
    """Twice the area; negative for the ring of a hole."""
    x, y = ring.T
    return int((x * np.roll(y, -1) - y * np.roll(x, -1)).sum())
