"""Files that the patterns of a split find."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from tiny_data import random_label, write_pair

from tiramisu.data.catalog import load_spec
from tiramisu.data.checking.check import check_dataset
from tiramisu.data.dataset import ImageDataset
from tiramisu.data.readers.file_split import find_files
from tiramisu.data.spec_parts import FileSplit


def test_endings_in_capital_letters_are_found(tmp_path: Path) -> None:
    for path in ("a/1.TIF", "a/2.tif", "a/X.Tif", "m/1.PNG", "m/2.png", "m/X.png"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    found = find_files(FileSplit(images=("a/*.tif",), masks=("m/*.{png,gif}",)), tmp_path)
    assert [pair.key for pair in found.pairs] == ["1", "2", "X"]
    names = find_files(FileSplit(images=("a/x*.tif",), masks=("m/x*.png",)), tmp_path)
    assert names.pairs == ()  # only endings, not names


def test_a_mask_is_no_image(tmp_path: Path) -> None:
    for path in ("1.png", "1_mask.png", "2.png", "2_mask.png"):
        (tmp_path / path).touch()
    found = find_files(FileSplit(images=("*.png",), masks=("*_mask.png",)), tmp_path)
    assert [pair.key for pair in found.pairs] == ["1", "2"]
    assert not any(found.unpaired.values())


def test_what_lies_in_the_folder_is_said(tiny: Path, edit: Callable[[str, str], Path]) -> None:
    edit('"train/*.png"', '"train/*.jpg"')
    edit('"val/*.png"', '"nowhere/*.png"')
    for folder in ("trainannot", "valannot"):
        for path in (tiny.parent / "files" / folder).iterdir():
            path.unlink()
    spec = load_spec(str(tiny))
    with pytest.raises(ValueError, match="2 problems") as caught:
        check_dataset(spec)
    assert "train: empty; no file matches train/*.jpg (train holds .png 5)" in str(caught.value)
    assert "no file matches nowhere/*.png (there is no folder nowhere)" in str(caught.value)
    with pytest.raises(ValueError, match=r"train is empty: .*\(train holds \.png 5\)\. Is th"):
        ImageDataset(spec, "train", root=None)


@pytest.mark.parametrize(("orientation", "turned"), [(6, True), (8, True), (1, False), (3, False)])
def test_a_photo_that_is_turned_without_its_mask(
    tmp_path: Path, orientation: int, turned: bool
) -> None:
    label = random_label(0)
    write_pair(tmp_path / "photo.png", tmp_path / "masks/a.png", label, seed=0)
    exif = Image.Exif()
    exif[274] = orientation
    (tmp_path / "images").mkdir()
    Image.open(tmp_path / "photo.png").save(tmp_path / "images/a.jpg", exif=exif)
    (tmp_path / "photo.png").unlink()
    spec = load_spec(str(tmp_path))
    if not turned:
        assert check_dataset(spec).splits[0].num_samples == 1
        return
    message = rf"the photo is turned by its EXIF orientation \({orientation}\) and its mask is not"
    with pytest.raises(ValueError, match=message):
        check_dataset(spec)
    with pytest.raises(ValueError, match=message):
        ImageDataset(spec, "train", root=None).read(0)


def test_a_mask_that_is_turned_alone(tmp_path: Path) -> None:
    write_pair(tmp_path / "images/a.png", tmp_path / "masks/a.png", random_label(0), seed=0)
    path = tmp_path / "masks/a.png"
    Image.open(path).transpose(Image.Transpose.ROTATE_90).save(path)
    with pytest.raises(ValueError, match="one of the two is turned by 90 degrees"):
        check_dataset(load_spec(str(tmp_path)))
