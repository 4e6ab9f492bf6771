import base64
import io
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from tiramisu.visual.page import (
    INK,
    NOTEBOOK_COLORS,
    SERIES,
    data_uri,
    figure_image,
    figure_svg,
    new_axes,
    plot_histograms,
    render_page,
    shrink,
)
from tiramisu.visual.page_path import check_page_path


def test_a_picture_is_held_by_its_address(tmp_path: Path):
    picture = np.full((400, 800, 3), (200, 30, 30), np.uint8)
    address = data_uri(picture, longest=100)
    assert address.startswith("data:image/webp;base64,")
    image = Image.open(io.BytesIO(base64.b64decode(address.split(",")[1])))
    assert image.size == (100, 50)
    assert np.abs(np.asarray(image).astype(int) - (200, 30, 30)).max() < 12


def test_a_picture_of_classes_loses_nothing():
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)
    content = base64.b64decode(data_uri(picture, quality=None).split(",")[1])
    assert (np.asarray(Image.open(io.BytesIO(content))) == picture).all()


def test_a_small_picture_keeps_its_size():
    picture = np.zeros((20, 10, 3), np.uint8)
    assert shrink(picture, longest=20) is picture
    assert shrink(np.zeros((3, 900, 3), np.uint8), longest=100).shape == (1, 100, 3)


def test_a_figure_takes_the_colors_of_the_page():
    figure, axes = new_axes()
    axes.plot([0, 1], [0, 1], color=SERIES[1])
    axes.set_xlabel("time & <b>")
    svg = figure_svg(figure, title='a "b" <c>')
    assert svg.startswith('<svg class="figure" role="img" aria-label="a &#34;b&#34; &lt;c&gt;"')
    assert "var(--series-2)" in svg
    assert "var(--ink)" in svg
    assert INK not in svg
    assert "time &amp; &lt;b&gt;" in svg
    assert not re.search(r"http|<\?xml|<!DOCTYPE|<metadata|<rdf", svg)
    assert svg.rstrip().endswith("</svg>")


def test_a_figure_is_a_whole_image_in_a_notebook():
    figure, axes = new_axes()
    for color in SERIES:
        axes.plot([0, 1], [0, 1], color=color)
    shown = figure_image(figure_svg(figure, title='a "b"'))
    assert 'alt="a &#34;b&#34;"' in shown
    content = re.search(r'src="data:image/svg\+xml;base64,([^"]*)"', shown)
    svg = base64.b64decode(content[1]).decode()
    root = ElementTree.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "var(" not in svg
    assert len({color for color in NOTEBOOK_COLORS.values() if color in svg}) == len(
        set(NOTEBOOK_COLORS.values())
    )


def test_names_in_legends_may_have_any_letters():
    svg = plot_histograms({"x$y\\foo$z": [0.1, 0.2], "_first": [0.5, 0.6]}, label="x", title="t")
    assert "x$y\\foo$z" in svg
    assert " _first" in svg


def test_figures_are_the_same_each_time_and_share_no_ids():
    def draw(title: str) -> str:
        return plot_histograms({"a": [0.1, 0.2], "b": [0.5]}, label="x", title=title)

    assert draw("one") == draw("one")
    clips = [set(re.findall(r'clipPath id="(\w+)"', draw(title))) for title in ("one", "two")]
    assert clips[0]
    assert not clips[0] & clips[1]


def test_histograms_leave_out_what_is_no_number():
    svg = plot_histograms({"a": [float("nan"), 1, 2], "b": [float("nan")]}, label="x", title="t")
    assert ">a</text>" in svg
    assert ">b</text>" not in svg
    assert "<svg" in plot_histograms({"a": []}, label="x", title="t")
    assert "<svg" in plot_histograms({"a": [1.0]}, label="x", title="t")


def test_templates_escape_and_miss_nothing():
    from jinja2 import UndefinedError

    with pytest.raises(UndefinedError):
        render_page("check.html", {})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("page.txt", "is no page; expected a file that ends in .html"),
        ("folder.html", "is a folder; expected a file"),
        ("nowhere/page.html", "there is no folder .*nowhere for page.html; make it, or give"),
        ("old.html", "exists already; give --overwrite, or another file"),
    ],
)
def test_wrong_paths(tmp_path: Path, name: str, message: str):
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "old.html").touch()
    with pytest.raises(ValueError, match=message) as error:
        check_page_path(str(tmp_path / name), overwrite=False)
    assert "\n" not in str(error.value)


def test_right_paths(tmp_path: Path):
    (tmp_path / "old.html").touch()
    check_page_path(str(tmp_path / "old.html"), overwrite=True)
    check_page_path(tmp_path / "NEW.HTML", overwrite=False)
    assert [path.name for path in tmp_path.iterdir()] == ["old.html"]


def test_a_folder_that_takes_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(self: Path, *args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(ValueError, match=r"cannot write into the folder .* \(Permission denied\)"):
        check_page_path(tmp_path / "page.html", overwrite=False)
