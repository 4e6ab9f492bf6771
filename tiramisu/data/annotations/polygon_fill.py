"""The pixels of a polygon, the same with every version of Pillow.

LabelMe's converter draws by Pillow. From version 11 on Pillow fills some corners with a pixel more
or less than before. Here polygons are filled as versions 9 and 10 do it, with which LabelMe's own
masks were made.
"""

import numpy as np
import numpy.typing as npt

_MOST_CROSSINGS = 4_000_000  # of rows with edges that are computed at a time

_Floats = npt.NDArray[np.float32]


def fill_polygon(
    corners: npt.NDArray[np.float64], *, height: int, width: int
) -> tuple[int, int, npt.NDArray[np.bool_]]:
    """Which pixels of an image belong to a polygon, its border included.

    Args:
        corners: (N, 2), x and y; they are cut to whole pixels.
        height, width: the size of the image.

    Returns:
        The first row, the first column, and the mask of what is below and to the right of them,
        bool (rows, columns); it may be empty.
    """
    points = np.trunc(corners).astype(np.int64)
    edges = _Edges(points)
    (low_x, first), (high_x, last) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    first, last = max(0, first), min(height - 1, last)
    left, right = max(0, low_x - 1), min(width, high_x + 2)  # a moved crossing is one pixel outside
    if last < first or right <= left:
        return 0, 0, np.zeros((0, 0), np.bool_)
    # +1 where a run of pixels begins, -1 behind its end
    steps = np.zeros((last - first + 1, right - left + 1), np.int32)
    flat = edges.horizontal
    flat = flat[(flat[:, 2] >= first) & (flat[:, 2] <= last)]
    _add(steps, flat[:, 2] - first, flat[:, 0] - left, flat[:, 1] - left)
    if len(edges.x0):
        bottom = min(int(points[:, 1].max()), height)
        chunk = max(1, _MOST_CROSSINGS // len(edges.x0))
        for begin in range(first, last + 1, chunk):
            rows = np.arange(begin, min(begin + chunk, last + 1))
            row, start, end = edges.find_runs(rows, bottom=bottom)
            _add(steps, row - first, start - left, end - left)
    return first, left, np.cumsum(steps, axis=1, out=steps)[:, :-1] > 0


class _Edges:
    """The edges of a polygon; those that are not horizontal have a slope."""

    def __init__(self, points: npt.NDArray[np.int64]) -> None:
        (x0, y0), (x1, y1) = points.T, np.roll(points, -1, axis=0).T
        flat = y0 == y1
        self.horizontal = np.stack([np.minimum(x0, x1), np.maximum(x0, x1), y0], axis=1)[flat]
        x0, y0, x1, y1 = x0[~flat], y0[~flat], x1[~flat], y1[~flat]
        self.x0 = x0.astype(np.float32)
        self.y0 = y0
        self.top, self.bottom = np.minimum(y0, y1), np.maximum(y0, y1)
        self.slope = (x1 - x0).astype(np.float32) / (y1 - y0).astype(np.float32)

    def cross(self, rows: npt.NDArray[np.int64]) -> _Floats:
        """Where the edges cross rows: float32 (rows, edges)."""
        crossings: _Floats = (rows[:, None] - self.y0).astype(np.float32) * self.slope + self.x0
        return crossings

    def find_runs(
        self, rows: npt.NDArray[np.int64], *, bottom: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Row, first and last x of the runs of pixels between two crossings each.

        Args:
            rows: the rows.
            bottom: the last row of the polygon, or the height of the image where it ends below.
        """
        y = rows[:, None]
        ends = y == self.bottom
        crossings = self.cross(rows)
        crossings[(y < self.top) | (y > self.bottom)] = np.inf
        # An edge that ends counts twice, together with the one that begins there: three in all.
        twice = np.where(ends & (y < bottom), crossings, np.inf)
        ordered = np.concatenate([crossings, twice], axis=1)
        ordered.sort(axis=1)
        for index in np.flatnonzero(((y == self.top) | ends).any(axis=1)).tolist():
            corner = self._cross_at_corner(int(rows[index]), crossings[index], bottom=bottom)
            ordered[index] = np.inf
            ordered[index, : len(corner)] = corner
        if ordered.shape[1] % 2:
            ordered = ordered[:, :-1]
        left, right = ordered[:, ::2], ordered[:, 1::2]
        row, place = np.nonzero(np.isfinite(right))
        return rows[row], _round_up(left[row, place]), _round_down(right[row, place])

    def _cross_at_corner(self, y: int, crossings: _Floats, *, bottom: int) -> list[np.float32]:
        """The crossings of a row with corners, in order.

        Where two edges begin or end in one corner and lean to the same side, the pixels of the row
        may not touch those of the next row. To connect them, a crossing is moved: not that of the
        corner, but the one at the place in the row that the number of the edge names, if there is
        one. This is what the versions of Pillow do.
        """
        found: list[np.float32] = []
        offset = -1 if y == bottom else 1
        next_row = self.cross(np.array([y + offset]))[0]
        active = np.flatnonzero(np.isfinite(crossings)).tolist()
        for edge in active:
            x, slope = crossings[edge], self.slope[edge]
            found.append(x)
            ends = y == self.bottom[edge]
            if ends and y < bottom:
                found.append(x)
            elif slope != 0 and np.round(x) == x:
                for other in active:
                    if other >= edge:
                        break
                    same_end = y == self.top[edge] == self.top[other] or (
                        ends and y == self.bottom[other]
                    )
                    if slope * self.slope[other] > 0 and same_end and crossings[other] == x:
                        pair = next_row[[edge, other]]
                        if ends:
                            moved = pair.max() + 1 if slope > 0 else pair.min() - 1
                        else:
                            moved = pair.min() if slope > 0 else pair.max() + 1
                        if other < len(found):
                            found[other] = np.float32(moved)
                        break
        return sorted(found)


def _round_up(values: _Floats) -> npt.NDArray[np.int64]:
    """To the nearest whole number, halves away from zero."""
    rounded = np.floor(np.abs(values) + np.float32(0.5))
    signed: npt.NDArray[np.int64] = np.copysign(rounded, values).astype(np.int64)
    return signed


def _round_down(values: _Floats) -> npt.NDArray[np.int64]:
    """To the nearest whole number, halves towards zero."""
    rounded = np.ceil(np.abs(values) - np.float32(0.5))
    signed: npt.NDArray[np.int64] = np.copysign(rounded, values).astype(np.int64)
    return signed


def _add(
    steps: npt.NDArray[np.int32],
    rows: npt.NDArray[np.int64],
    starts: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
) -> None:
    """Add the runs of pixels that reach into the mask."""
    width = steps.shape[1] - 1
    inside = (starts <= ends) & (ends >= 0) & (starts < width)
    np.add.at(steps, (rows[inside], np.maximum(starts[inside], 0)), 1)
    np.add.at(steps, (rows[inside], np.minimum(ends[inside], width - 1) + 1), -1)
