"""`tiramisu check --report`."""

import base64
import io
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from photos import Photos
from PIL import Image
from tiny_classes import write_classes
from web_page import Page

from tiramisu import commands
from tiramisu.data.config import CheckConfig

LIMIT = 5_000_000


@pytest.fixture
def photos(tmp_path: Path) -> Photos:
    return Photos(tmp_path / "photos").draw()


def write(photos: Photos, *flags: str) -> Page:
    path = photos.root.parent / "page.html"
    commands.check([str(photos.root), "--report", str(path), *flags])
    return Page(path)


def spoil(photos: Photos) -> None:
    photos.change("masks", "train", lambda label: np.roll(label, (5, -3), (0, 1)))
    photos.change("masks", "val", lambda label: np.full_like(label, 255), indices=range(2))
    photos.change("images", "val", lambda image: np.full_like(image, 7), indices=range(3, 5))
    Image.open(photos.path("images", "train", 0)).point(lambda value: value * 9 // 10).save(
        photos.path("images", "val", 7)
    )
    shutil.copy(photos.path("masks", "val", 8), photos.path("masks", "val", 9))


def test_report(photos: Photos, capsys):
    page = write(photos)
    assert f"{photos.root.parent / 'page.html'} written" in capsys.readouterr().out
    assert "Nothing conspicuous." in page.text
    assert "±" in page.text
    assert "22 images in train, val; 3 classes" in page.text
    for words in ("ground", "tree", "car", "void", "96 x 96", "uint8"):
        assert words in page.text
    assert page.count("svg") == 2  # brightness and contrast
    assert page.count("img") == 12  # six samples, each with its labels
    assert len(page.source) < LIMIT


def test_the_background_is_left_unpainted_and_void_is_hatched(photos: Photos):
    corner = np.pad(np.full((91, 91, 1), 1), ((5, 0), (5, 0), (0, 0)))
    for split in ("train", "val"):
        photos.change("images", split, lambda image: np.where(corner == 1, image, 40))
    differs = []
    for ground in ("ground", "background"):
        (photos.root / "classes.txt").write_text(f"{ground}\ntree\ncar\n")
        page = write(photos, "--overwrite")
        labelled = [a["src"] for tag, a in page.elements if tag == "img"][-1]
        content = base64.b64decode(labelled.partition(",")[2])
        shown = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)
        differs.append((np.abs(shown[:4, :4] - 40).max() > 20).item())  # the first corner is ground
        assert '<span class="swatch" style="background: var(--void)">' in page.source
    assert differs == [True, False]


def test_findings_have_pictures_and_names(photos: Photos, capsys):
    spoil(photos)
    page = write(photos)
    printed = capsys.readouterr().out
    for title in (
        "near-duplicates between splits",
        "images of one colour",
        "shifted masks",
        "images without labels",
        "equal masks",
    ):
        assert f"Warning : {title}" in page.text
    for line in printed.splitlines():
        if line.startswith(("Warning:", "Finding:")):
            assert line.split(": ", 1)[1].split(": ")[0] in page.text  # the text of each finding
    assert "images/val/07.png and images/train/00.png" in page.text
    # shifted 6, one colour 2, void 2 and samples 6, each with labels; two pairs; single shifts
    pictures = [attributes for tag, attributes in page.elements if tag == "img"]
    assert len(pictures) >= 2 * (6 + 2 + 2 + 6) + 2 + 2
    assert all(attributes["alt"] for attributes in pictures)
    assert len(page.source) < LIMIT


def test_nothing_is_requested(photos: Photos):
    spoil(photos)
    page = write(photos)
    assert "http" not in page.source
    assert "//" not in re.sub(r"base64,[\w+/=]+", "", page.source)
    assert page.count("script") == page.count("link") == page.count("iframe") == 0
    for _, attributes in page.elements:
        for name in ("src", "href", "xlink:href", "data", "action"):
            assert (attributes.get(name) or "#").startswith(("data:image/webp;base64,", "#"))
    assert "url(" not in re.sub(r"url\(#\w+\)", "", page.source)
    assert "@import" not in page.source


def test_names_are_escaped(photos: Photos):
    root = photos.root.rename(photos.root.parent / "a<script>alert(1)<b>&amp;")
    photos = Photos(root)
    (root / "classes.txt").write_text('ground<img src=x onerror=alert(1)>\ntree"x\ncar&lt;\n')
    for kind in ("images", "masks"):
        path = photos.path(kind, "val", 3)
        path.rename(path.with_name('"><svg onload=alert(1)>.png'))
    photos.change("masks", "train", np.zeros_like, indices=range(1))
    [path] = (root / "images/val").glob("*svg*")
    Image.fromarray(np.zeros((96, 96, 3), np.uint8)).save(path)
    page = write(photos)
    assert "ground<img src=x onerror=alert(1)>" in page.text
    assert 'tree"x' in page.text
    assert "car&lt;" in page.text
    assert '"><svg onload=alert(1)>.png' in page.text
    assert page.count("script") == page.count("b") - page.source.count("<b>") == 0
    assert not [a for _, attributes in page.elements for a in attributes if a.startswith("on")]
    assert {"x"}.isdisjoint(attributes.get("src") for _, attributes in page.elements)


def test_page_fits_phones_and_dark_rooms(photos: Photos):
    page = write(photos)
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in (
        page.elements
    )
    assert "(prefers-color-scheme: dark)" in page.source
    assert "@media print" in page.source


def test_images_of_many_sizes_get_a_figure(photos: Photos):
    for kind in ("images", "masks"):
        photos.change(kind, "train", lambda values: values[:60, :80], indices=range(3))
    page = write(photos)
    assert page.count("svg") == 3
    assert "60 x 80 to 96 x 96, median 96 x 96" in page.text


def test_images_of_16_bits_are_shown(photos: Photos):
    for split in ("train", "val"):
        for path in (photos.root / "images" / split).iterdir():
            grey = np.asarray(Image.open(path).convert("L")).astype(np.uint16)
            Image.fromarray(grey * 4 + 1000).save(path)
    page = write(photos)
    assert "uint16" in page.text
    assert page.count("img") == 12


def test_classification(tmp_path: Path):
    root = write_classes(tmp_path, {"train/cat": 6, "train/dog": 3, "val/cat": 1, "val/dog": 1})
    commands.check([str(root), "--report", str(tmp_path / "page.html")])
    page = Page(tmp_path / "page.html")
    assert page.count("img") == 6
    assert ": cat" in page.text
    assert "share of pixels" not in page.text


def test_overwrite(photos: Photos, capsys):
    path = photos.root.parent / "page.html"
    path.write_text("mine")
    with pytest.raises(ValueError, match=r"page.html exists already; give --overwrite, or another"):
        write(photos)
    assert capsys.readouterr().out == ""  # before anything is read
    assert path.read_text() == "mine"
    assert "Nothing conspicuous." in write(photos, "--overwrite").text


def test_a_report_is_html():
    with pytest.raises(ValueError, match=r"--report is a.pdf; expected a file that ends in .html"):
        CheckConfig(data="streets", report="a.pdf")
