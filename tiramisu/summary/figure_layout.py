"""Where a network's parts stand in its picture, in columns and rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tiramisu.summary.tables import Edge, Summary

LEFT, MIDDLE, RIGHT = 0, 1, 2
"""Columns of a U: on the way down, at the bottom, on the way up. Other networks are all LEFT."""


class Place(NamedTuple):
    """Where a part stands. Row 0 is at the top."""

    column: int
    row: int


def place_parts(graph: Summary) -> dict[str, Place]:
    """Give every part its place, by name.

    A network that makes its features smaller and then larger again is a U. Parts up to the coarsest
    features stand on the left, from the top down; the last of them is the bottom. Later parts stand
    on the right, from the bottom up; one that reads a skip connection is in the row of its source.
    """
    parts = [part for part in graph.parts if part.kind != "other"]
    names = [part.name for part in parts]
    strides = [part.stride or 0 for part in parts]
    coarsest = max(strides)
    if not 0 < strides[-1] < coarsest:
        return {name: Place(LEFT, row) for row, name in enumerate(names)}
    bottom = max(i for i, stride in enumerate(strides) if stride == coarsest)
    heights = {names[bottom]: 0}  # in rows above the bottom
    waiting = names[:bottom]
    left = right = 0
    for name in names[bottom + 1 :]:
        right += 1
        reads = {edge.source for edge in graph.edges if edge.skip and edge.target == name}
        while reads.intersection(waiting):  # up to the deepest part that this one reads
            left += 1
            part = waiting.pop()
            if part in reads:
                left = right = max(left, right)
                reads = set()
            heights[part] = left
        heights[name] = right
    for part in reversed(waiting):
        left += 1
        heights[part] = left
    columns = [LEFT] * bottom + [MIDDLE] + [RIGHT] * (len(names) - bottom - 1)
    rows = [max(left, right) - heights[name] for name in names]
    return {name: Place(*place) for name, *place in zip(names, columns, rows, strict=True)}


def find_lanes(graph: Summary, places: Mapping[str, Place]) -> dict[Edge, int]:
    """Give a lane of its own to every edge that would run through the boxes of a column.

    Returns:
        The lane's number by edge: 1, 2, ... to the right of all boxes, -1, -2, ... to the left.
    """
    lanes: dict[Edge, int] = {}
    used = {LEFT: 0, RIGHT: 0}
    for edge in sorted(graph.edges, key=lambda e: abs(places[e.source].row - places[e.target].row)):
        start, end = sorted((places[edge.source], places[edge.target]), key=lambda p: p.row)
        side = RIGHT if RIGHT in (start.column, end.column) else LEFT
        passes = any(p.column == side and start.row < p.row < end.row for p in places.values())
        if passes and {start.column, end.column} != {LEFT, RIGHT}:
            used[side] += 1
            lanes[edge] = used[side] if side == RIGHT else -used[side]
    return lanes
