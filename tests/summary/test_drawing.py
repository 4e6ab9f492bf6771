import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from matplotlib.transforms import Bbox
from PIL import Image
from torch import nn

from tiramisu import commands
from tiramisu.models import FCDenseNet, build_model
from tiramisu.summary.drawing import draw_graph, draw_network
from tiramisu.summary.tables import Summary, graph_network


def make_graph() -> Summary:
    return graph_network(make_network(), height=32, width=48)


def make_network() -> FCDenseNet:
    with torch.device("meta"):
        return FCDenseNet(
            growth_rate=5,
            down_blocks=(2, 2),
            bottleneck_layers=3,
            up_blocks=(2, 2),
            stem_width=7,
            num_classes=3,
        )


class Bypass(nn.Module):
    """A chain whose input is read again at its end."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 3, 1)
        self.second = nn.Conv2d(3, 3, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images + self.second(self.first(images))


class Chain(nn.Module):
    """Each layer reads the outputs of all layers before it."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(3, 3, 1) for _ in range(5))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = [images]
        for layer in self.layers:
            features.append(layer(torch.stack(features).sum(dim=0)))
        return features[-1]


NETWORKS = {
    "small": make_network,
    "fc103": lambda: build_model("fc103", num_classes=11),
    "densenet121": lambda: build_model("densenet121", num_classes=10),
    "bypass": Bypass,
    "chain": Chain,
    "unet": lambda: build_model("smp:unet/resnet34", num_classes=4),
    "deeplab": lambda: build_model("smp:deeplabv3plus/resnet34", num_classes=4),
    "fpn": lambda: build_model("smp:fpn/mobilenet_v2", num_classes=4),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_boxes_texts_and_arrows_do_not_meet(name: str) -> None:
    with torch.device("meta"):
        graph = graph_network(NETWORKS[name](), height=64, width=96)
    figure = draw_graph(graph, title="a network of which the name is rather long indeed")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    (axes,) = figure.axes
    page = Bbox.from_bounds(0, 0, *(figure.get_size_inches() * figure.dpi))
    texts = [text.get_window_extent(renderer) for text in axes.texts if text.get_text()]
    boxes = [
        patch.get_window_extent(renderer)
        for patch in axes.patches
        if isinstance(patch, FancyBboxPatch)
    ]
    assert len(boxes) == sum(part.kind != "other" for part in graph.parts)
    for group in (texts, boxes):
        for i, one in enumerate(group):
            assert is_inside(one, page)
            assert not any(one.overlaps(other) for other in group[i + 1 :])
    # Each text lies in a box, in the heading, or between the boxes.
    for text in texts:
        assert sum(is_inside(text, box) for box in boxes) == sum(text.overlaps(b) for b in boxes)

    arrows = [patch for patch in axes.patches if isinstance(patch, FancyArrowPatch)]
    assert len(arrows) == len(graph.edges)
    for arrow in arrows:
        path = arrow._path_original  # type: ignore[attr-defined]
        corners = axes.transData.transform(path.vertices)
        assert all(page.contains(*corner) for corner in corners)
        touched = [box for box in boxes if is_on_edge(corners[0], box)]
        reached = [box for box in boxes if is_on_edge(corners[-1], box)]
        assert len(touched) == len(reached) == 1
        for box in boxes:
            shrunk = Bbox.from_extents(box.x0 + 3, box.y0 + 3, box.x1 - 3, box.y1 - 3)
            crosses = axes.transData.transform_path(path).intersects_bbox(shrunk, filled=False)
            assert not crosses


def is_inside(inner: Bbox, outer: Bbox) -> bool:
    return bool(
        inner.x0 >= outer.x0
        and inner.x1 <= outer.x1
        and inner.y0 >= outer.y0
        and inner.y1 <= outer.y1
    )


def is_on_edge(point: tuple[float, float], box: Bbox) -> bool:
    """Whether a point lies on a box's outline, to two pixels."""
    grown = Bbox.from_extents(box.x0 - 2, box.y0 - 2, box.x1 + 2, box.y1 + 2)
    shrunk = Bbox.from_extents(box.x0 + 2, box.y0 + 2, box.x1 - 2, box.y1 - 2)
    return grown.contains(*point) and not shrunk.contains(*point)


def test_bars_show_the_output_channels() -> None:
    graph = make_graph()
    (axes,) = draw_graph(graph).axes
    bars = [patch.get_width() for patch in axes.patches if isinstance(patch, Rectangle)]
    channels = [part.channels for part in graph.parts if part.kind != "other"]
    assert len(bars) == len(channels)
    widest = channels.index(max(channels))
    for bar, width in zip(bars, channels, strict=True):
        assert bar / bars[widest] == pytest.approx(width / max(channels))


def test_svg_says_what_the_network_is(tmp_path: Path) -> None:
    path = draw_network(make_network(), tmp_path / "out.svg", height=32, width=48, title="mine")
    root = ET.parse(path).getroot()
    texts = ["".join(e.itertext()).strip() for e in root.iter("{http://www.w3.org/2000/svg}text")]
    graph = make_graph()
    parts = [part for part in graph.parts if part.kind != "other"]
    for part in parts:
        assert f"{part.channels} channels" in texts
    for words in ("mine", "dense block", "2 layers, growth rate 5", "8x12, stride 4", "3x3 conv"):
        assert words in texts
    assert any(f"{graph.parameters:,} parameters" in text for text in texts)
    channels = {part.name: part.channels for part in parts}
    skips = [str(channels[edge.source]) in texts for edge in graph.edges if edge.skip]
    assert skips == [True, True]
    assert any("blue arrows: skip connections" in text for text in texts)


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


@pytest.mark.parametrize("name", ["out.jpg", "out", "nowhere/out.svg", "folder.svg"])
def test_refuses_other_files_at_once(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.svg").mkdir()
    with pytest.raises(ValueError, match=rf"{name}; expected a file .*\.svg, \.png, \.pdf"):
        draw_network(make_network(), tmp_path / name, height=32, width=32)


def test_a_file_that_cannot_be_written_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "out.svg"
    path.write_text("old")
    monkeypatch.setattr("tiramisu.atomic.Path.replace", refuse)
    with pytest.raises(OSError, match="Permission denied"):
        draw_network(make_network(), path, height=32, width=32)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_command_draws_and_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "out.svg"
    commands.summary(["--arch", "densenet40_12", "--graph", str(path), "--table"])
    printed = capsys.readouterr().out
    assert "features.denseblock3.denselayer12.conv1" in printed
    assert "1,019,722" in printed  # 10 classes
    assert str(path) in printed
    assert "32x32, stride 1" in path.read_text()


def test_the_command_refuses_before_it_works(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"suffixes \.svg"):
        commands.summary(["--graph", str(tmp_path / "out.gif")])
    with pytest.raises(ValueError, match=r"--size is \(0, 32\)"):
        commands.summary(["--size", "[0,32]"])


def test_the_command_replaces_a_file_only_with_overwrite(tmp_path: Path) -> None:
    path = tmp_path / "mine.pdf"
    path.write_text("mine")
    with pytest.raises(ValueError, match=r"mine\.pdf exists already; give --overwrite"):
        commands.summary(["--arch", "fc56", "--graph", str(path)])
    assert path.read_text() == "mine"
    commands.summary(["--arch", "fc56", "--graph", str(path), "--overwrite"])
    assert path.read_bytes().startswith(b"%PDF")
