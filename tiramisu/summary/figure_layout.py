"""Where a network's blocks stand in its picture, in columns and rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tiramisu.summary.graph import Edge, NetworkGraph, Node

LEFT, MIDDLE, RIGHT = 0, 1, 2


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a node stands."""

    column: int
    """Of a U: 0 on the way down, 1 at the bottom, 2 on the way up. Without a way up: 0."""

    row: int
    """0 at the top."""


def place_nodes(graph: NetworkGraph) -> dict[str, Place]:
    """Give every node its place, by name.

    A network that makes its features smaller and then larger again is a U: what runs up to its
    coarsest features goes down on the left, the last block there is the bottom, the rest goes up
    on the right, each block as high as the one whose output it takes over. Others are one column.
    """
    nodes = list(graph.nodes)
    bottom = _find_bottom(nodes)
    if bottom is None:
        return {node.name: Place(column=LEFT, row=row) for row, node in enumerate(nodes)}
    left = [node.name for node in nodes[:bottom]]
    right = [node.name for node in nodes[:bottom:-1]]  # from the top, as it is read
    rows = _align(left, right, _match(graph, left, right))
    places = {name: Place(column=LEFT, row=rows[name]) for name in left}
    places |= {name: Place(column=RIGHT, row=rows[name]) for name in right}
    lowest = max(rows.values())
    places[nodes[bottom].name] = Place(column=MIDDLE, row=lowest + 1)
    return places


def _find_bottom(nodes: Sequence[Node]) -> int | None:
    """Index of the last node at the coarsest features, if finer ones come after it."""
    known = [node.stride for node in nodes if node.stride is not None]
    coarsest = max(known)
    last = nodes[-1].stride
    if last is None or last >= coarsest:
        return None
    return max(i for i, node in enumerate(nodes) if node.stride == coarsest)


def _match(graph: NetworkGraph, left: Sequence[str], right: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of nodes that one skip joins, from the top, such that no two of them cross."""
    sources: dict[str, list[str]] = {}
    for edge in graph.skips:
        sources.setdefault(edge.target, []).append(edge.source)
    pairs: list[tuple[str, str]] = []
    limit = len(left)
    for target in reversed(right):  # from the bottom: the deepest skip is the innermost
        above = [s for s in sources.get(target, ()) if s in left[:limit]]
        if above:
            source = max(above, key=left.index)
            limit = left.index(source)
            pairs.append((source, target))
    return pairs[::-1]


def _align(
    left: Sequence[str], right: Sequence[str], pairs: Sequence[tuple[str, str]]
) -> Mapping[str, int]:
    """Rows from the top, the same for both of a pair; the shorter side leaves rows free."""
    rows: dict[str, int] = {}
    row = start = end = 0
    for source, target in [*pairs, (None, None)]:
        beyond = len(left) if source is None else left.index(source)
        up_to = len(right) if target is None else right.index(target)
        height = max(beyond - start, up_to - end)
        # Features are made at the end of a level: nodes gather towards the next pair.
        for i, name in enumerate(left[start:beyond]):
            rows[name] = row + height - (beyond - start) + i
        for i, name in enumerate(right[end:up_to]):
            rows[name] = row + height - (up_to - end) + i
        row += height
        if source is not None and target is not None:
            rows[source] = rows[target] = row
            row += 1
            start, end = beyond + 1, up_to + 1
    return rows


@dataclass(frozen=True, kw_only=True)
class Lane:
    """The way past boxes, on the outer side of a column."""

    column: int
    number: int
    """0 is the nearest to the boxes."""


def find_lanes(graph: NetworkGraph, places: Mapping[str, Place]) -> dict[Edge, Lane]:
    """Give a lane to every edge that would run through the boxes of a column."""
    taken = {(place.column, place.row) for place in places.values()}
    spans: list[tuple[int, int, int, int, Edge]] = []
    for edge in graph.edges:
        source, target = places[edge.source], places[edge.target]
        columns = {source.column, target.column}
        column = RIGHT if RIGHT in columns else LEFT
        first, last = sorted((source.row, target.row))
        passes = any((column, row) in taken for row in range(first + 1, last))
        if columns != {LEFT, RIGHT} and passes:
            spans.append((last - first, first, last, column, edge))
    lanes: dict[Edge, Lane] = {}
    held: dict[Lane, list[tuple[int, int]]] = {}
    for _, first, last, column, edge in sorted(spans, key=lambda span: span[:4]):
        number = 0
        while any(
            first < b and a < last for a, b in held.get(Lane(column=column, number=number), ())
        ):
            number += 1
        lanes[edge] = Lane(column=column, number=number)
        held.setdefault(lanes[edge], []).append((first, last))
    return lanes
