from itertools import pairwise

import pytest
import torch

from tiramisu.models import DenseNet, FCDenseNet
from tiramisu.summary.figure_layout import LEFT, MIDDLE, RIGHT, Place, find_lanes, place_parts
from tiramisu.summary.network_parts import Part
from tiramisu.summary.tables import Edge, Summary, graph_network


def make_graph(num_blocks: int) -> Summary:
    with torch.device("meta"):
        network = FCDenseNet(
            growth_rate=5,
            down_blocks=(2,) * num_blocks,
            bottleneck_layers=3,
            up_blocks=(2,) * num_blocks,
            stem_width=7,
            num_classes=3,
        )
    return graph_network(network, height=32, width=48)


def describe(strides: dict[str, int], skips: set[tuple[str, str]]) -> Summary:
    """A chain of parts with these strides, and skip connections."""
    edges = [*pairwise(strides), *sorted(skips)]
    return Summary(
        network="Net",
        input=(3, 8, 8),
        parts=tuple(
            Part(name=name, kind="module", words=name, size=(8, 8), stride=stride)
            for name, stride in strides.items()
        ),
        edges=tuple(Edge(source, target, (source, target) in skips) for source, target in edges),
        layers=0,
        parameters=0,
        multiply_adds=0,
    )


@pytest.mark.parametrize("num_blocks", [1, 2, 3])
def test_a_u_has_its_skips_level(num_blocks: int) -> None:
    graph = make_graph(num_blocks)
    places = place_parts(graph)
    skips = [edge for edge in graph.edges if edge.skip]
    assert len(skips) == num_blocks
    for edge in skips:
        source, target = places[edge.source], places[edge.target]
        assert (source.column, target.column) == (LEFT, RIGHT)
        assert source.row == target.row
    bottom = places["bottleneck"]
    assert bottom.column == MIDDLE
    assert bottom.row == max(place.row for place in places.values())
    assert places[".input"].row == places[".output"].row == 0
    assert len(set(places.values())) == len(places)
    assert not find_lanes(graph, places)


def test_a_classifier_is_one_column() -> None:
    with torch.device("meta"):
        network = DenseNet(growth_rate=4, block_config=(2, 2), num_classes=5)
    places = place_parts(graph_network(network, height=64, width=64))
    assert list(places.values()) == [Place(LEFT, row) for row in range(len(places))]


def test_the_shorter_side_of_a_u_leaves_rows_free() -> None:
    strides = {"in": 1, "a": 2, "b": 2, "c": 4, "bottom": 8, "up": 4, "up2": 2, "out": 1}
    graph = describe(strides, {("c", "up"), ("a", "up2")})
    assert place_parts(graph) == {
        "in": Place(LEFT, 0),
        "a": Place(LEFT, 1),
        "b": Place(LEFT, 2),
        "c": Place(LEFT, 3),
        "bottom": Place(MIDDLE, 4),
        "up": Place(RIGHT, 3),
        "up2": Place(RIGHT, 1),
        "out": Place(RIGHT, 0),
    }
    # A decoder that takes over nothing stands right above the bottom.
    places = place_parts(describe(strides, set()))
    assert [places[name].row for name in ("in", "c", "bottom", "up", "out")] == [0, 3, 4, 3, 1]


def test_the_left_side_may_be_the_shorter_one() -> None:
    strides = {"a": 1, "b": 4, "bottom": 8, "up": 4, "up2": 4, "up3": 4, "out": 1}
    places = place_parts(describe(strides, {("b", "up3"), ("a", "out")}))
    assert [places[name].row for name in ("a", "b", "up3", "up2", "up")] == [0, 1, 1, 2, 3]


def test_skips_that_would_cross_are_not_both_level() -> None:
    strides = {"a": 1, "b": 2, "bottom": 4, "up": 2, "out": 1}
    places = place_parts(describe(strides, {("a", "up"), ("b", "out")}))
    assert places["a"].row == places["up"].row
    assert len(set(places.values())) == 5


def test_edges_past_other_boxes_have_lanes_of_their_own() -> None:
    chain = dict.fromkeys(["in", "a", "b", "c", "out"], 1)
    skips = {("in", "b"), ("a", "c"), ("in", "out")}
    graph = describe(chain, skips)
    lanes = find_lanes(graph, place_parts(graph))
    assert {edge[:2] for edge in lanes} == skips
    assert sorted(lanes.values()) == [-3, -2, -1]
    # The longest way round is the outermost.
    assert lanes[Edge("in", "out", True)] == -3


def test_lanes_of_the_right_column_are_on_its_right() -> None:
    strides = {"in": 1, "bottom": 4, "a": 2, "b": 2, "out": 1}
    graph = describe(strides, {("bottom", "out"), ("a", "out")})
    lanes = find_lanes(graph, place_parts(graph))
    assert lanes[Edge("a", "out", True)] == 1
    assert lanes[Edge("bottom", "out", True)] == 2
