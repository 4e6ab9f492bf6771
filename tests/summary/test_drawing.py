import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from tiramisu import cli
from tiramisu.models import DenseNet, FCDenseNet
from tiramisu.summary.drawing import draw_graph, draw_network
from tiramisu.summary.figure_layout import LEFT, MIDDLE, RIGHT, find_lanes, place_nodes
from tiramisu.summary.graph import Edge, NetworkGraph, Node, graph_network


def make_graph(num_blocks: int = 2) -> NetworkGraph:
    return graph_network(make_network(num_blocks), height=32, width=48)


def make_network(num_blocks: int = 2) -> FCDenseNet:
    with torch.device("meta"):
        return FCDenseNet(
            growth_rate=5,
            down_blocks=(2,) * num_blocks,
            bottleneck_layers=3,
            up_blocks=(2,) * num_blocks,
            stem_width=7,
            num_classes=3,
        )


@pytest.mark.parametrize("num_blocks", [1, 2, 3])
def test_a_u_has_its_skips_level(num_blocks: int) -> None:
    graph = make_graph(num_blocks)
    places = place_nodes(graph)
    assert len(graph.skips) == num_blocks
    for edge in graph.skips:
        source, target = places[edge.source], places[edge.target]
        assert (source.column, target.column) == (LEFT, RIGHT)
        assert source.row == target.row
    bottom = places["bottleneck"]
    assert bottom.column == MIDDLE
    assert bottom.row == max(place.row for place in places.values())
    assert places["input"].row == places["output"].row == 0
    assert len(set(map(str, places.values()))) == len(places)
    assert not find_lanes(graph, places)


def test_a_classifier_is_one_column() -> None:
    with torch.device("meta"):
        network = DenseNet(growth_rate=4, block_config=(2, 2), num_classes=5)
    places = place_nodes(graph_network(network, height=64, width=64))
    assert {place.column for place in places.values()} == {LEFT}
    assert [place.row for place in places.values()] == list(range(len(places)))


def test_edges_past_other_boxes_have_lanes_of_their_own() -> None:
    names = ["input", "a", "b", "c", "output"]
    nodes = tuple(
        Node(
            name=name,
            kind="module",
            title=name,
            detail="",
            layers=1,
            growth_rate=None,
            channels=3,
            size=(8, 8),
            stride=1,
        )
        for name in names
    )
    pairs = [*pairwise(names), ("input", "b"), ("a", "c"), ("b", "output")]
    edges = [Edge(source=s, target=t, channels=3, skip=True) for s, t in pairs]
    graph = NetworkGraph(
        network="Net", nodes=nodes, edges=tuple(edges), parameters=0, multiply_adds=0
    )
    lanes = find_lanes(graph, place_nodes(graph))
    assert set(lanes) == set(edges[4:])
    # The first and the third meet nowhere; the second overlaps both.
    assert lanes[edges[4]] == lanes[edges[6]] != lanes[edges[5]]


def test_texts_stay_on_the_page_and_apart() -> None:
    figure = draw_graph(make_graph(3), title="a network of which the name is rather long indeed")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    width, height = figure.get_size_inches() * figure.dpi
    renderer = canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in figure.axes[0].texts if text.get_text()]
    for i, box in enumerate(boxes):
        assert box.x0 > 0
        assert box.x1 < width
        assert box.y0 > 0
        assert box.y1 < height
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])


def test_svg_says_what_the_network_is(tmp_path: Path) -> None:
    path = draw_network(make_network(), tmp_path / "out.svg", height=32, width=48, title="mine")
    root = ET.parse(path).getroot()
    texts = ["".join(e.itertext()).strip() for e in root.iter("{http://www.w3.org/2000/svg}text")]
    graph = make_graph()
    for node in graph.nodes:
        assert f"{node.channels} channels" in texts
    for words in ("mine", "Dense block", "2 layers, growth rate 5", "8 \u00d7 12, stride 4"):
        assert words in texts
    assert any(f"{graph.parameters:,} parameters" in text for text in texts)
    assert [str(edge.channels) in texts for edge in graph.skips] == [True, True]


def test_the_same_network_gives_the_same_svg(tmp_path: Path) -> None:
    first, second = (
        draw_network(make_network(), tmp_path / name, height=32, width=32).read_text()
        for name in ("a.svg", "b.svg")
    )
    assert first == second


def test_png_and_pdf_replace_what_was_there(tmp_path: Path) -> None:
    for name in ("a.png", "b.PDF"):
        (tmp_path / name).write_text("old")
        draw_network(make_network(), tmp_path / name, height=32, width=32)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width > 600
    assert (tmp_path / "b.PDF").read_bytes().startswith(b"%PDF")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.PDF"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("out.jpg", "its suffix is '.jpg', expected one of: .svg, .png, .pdf"),
        ("out", "it has no suffix"),
        ("nowhere/out.svg", "there is no folder"),
        ("folder.svg", "it is a folder"),
    ],
)
def test_refuses_other_files_at_once(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder.svg").mkdir()
    with pytest.raises(ValueError, match=message):
        draw_network(make_network(), tmp_path / name, height=32, width=32)


def test_a_file_that_cannot_be_written_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "out.svg"
    path.write_text("old")
    monkeypatch.setattr("tiramisu.summary.drawing.os.replace", refuse)
    with pytest.raises(ValueError, match=r"Permission denied.*writable"):
        draw_network(make_network(), path, height=32, width=32)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_command_draws_and_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "out.svg"
    cli.summary(["--arch", "densenet40_12", "--graph", str(path), "--table"])
    printed = capsys.readouterr().out
    assert "features.denseblock3.denselayer12.conv1" in printed
    assert "1,019,722" in printed  # 10 classes
    assert str(path) in printed
    assert "32 \u00d7 32, stride 1" in path.read_text()


def test_the_command_refuses_before_it_works(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected one of: \.svg"):
        cli.summary(["--graph", str(tmp_path / "out.gif")])
    with pytest.raises(ValueError, match=r"--size is \[0,32\]"):
        cli.summary(["--size", "[0,32]"])
