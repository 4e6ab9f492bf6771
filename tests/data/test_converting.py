import base64
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_annotations import coco, labelme, polygons, write_image, write_json

from tiramisu import commands
from tiramisu.data.catalog import load_spec
from tiramisu.data.config import SourceOptions
from tiramisu.data.converting import convert_dataset
from tiramisu.data.readers.open_reader import open_reader

SIZE = (24, 32)
SQUARE = [(2.0, 3.0), (9.0, 3.0), (9.0, 8.0), (2.0, 8.0)]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """COCO with two images for train, one in a sub-folder, and one for val; a class is unused."""
    images = {"train": ("a.png", "x/a.bmp"), "val": ("c.png",)}
    for split, names in images.items():
        for number, name in enumerate(names):
            write_image(tmp_path / "src" / "images" / split / name, seed=number + len(names))
        shapes = [("cat", SQUARE), ("dog", SQUARE[:3])]
        content = coco(dict.fromkeys(names, (SIZE, shapes)), ("cat", "cow", "dog"))
        content["categories"][0]["color"] = [9, 8, 7]
        content["annotations"][0]["iscrowd"] = 1
        write_json(tmp_path / "src" / "annotations" / f"instances_{split}.json", content)
    return tmp_path / "src"


def read(path: Path, split: str) -> list[tuple[np.ndarray, np.ndarray]]:
    reader = open_reader(load_spec(str(path)), split, None)
    return [reader.read(i) for i in range(len(reader.names))]


@pytest.mark.parametrize("part", ["", "dst.yaml"])
def test_what_is_written_has_the_same_pixels(part, source, tmp_path) -> None:
    spec, out = load_spec(str(source)), tmp_path / "dst"
    assert convert_dataset(spec, out) == 3
    again = load_spec(str(out / part))
    assert again.class_names == spec.class_names == ("background", "cat", "cow", "dog")
    np.testing.assert_array_equal(again.colors, spec.colors)
    for split, count in (("train", 2), ("val", 1)):
        pairs = list(zip(read(source, split), read(out / part, split), strict=True))
        assert len(pairs) == count
        for (image, label), (new_image, new_label) in pairs:
            np.testing.assert_array_equal(new_image, image)
            np.testing.assert_array_equal(new_label, label)
            assert label.max() == (255 if 255 in label else 3)


def test_images_are_copied_as_they_are(source, tmp_path) -> None:
    convert_dataset(load_spec(str(source)), tmp_path / "dst")
    written = sorted((tmp_path / "dst" / "images" / "train").iterdir())
    assert [path.name for path in written] == ["a.png", "x_a.bmp"]
    first = source / "images" / "train" / "a.png"
    assert written[0].read_bytes() == first.read_bytes()


def test_masks_have_the_colors_of_the_classes(source, tmp_path) -> None:
    spec = load_spec(str(source))
    convert_dataset(spec, tmp_path / "dst")
    with Image.open(tmp_path / "dst" / "masks" / "val" / "c.png") as mask:
        assert mask.mode == "P"
        palette = np.array(mask.getpalette("RGB")).reshape(-1, 3)
    np.testing.assert_array_equal(palette[:4], spec.colors)


def test_masks_of_colors_become_indices(tmp_path) -> None:
    source = tmp_path / "src"
    write_image(source / "images" / "a.png")
    colors = np.zeros((*SIZE, 3), np.uint8)
    colors[4:9] = (0, 200, 0)
    (source / "masks").mkdir()
    Image.fromarray(colors).save(source / "masks" / "a.png")
    (source / "set.yaml").write_text(
        "name: set\ntitle: Set\nroot: .\nencoding: rgb\n"
        "classes: [{name: b, color: [0, 0, 0]}, {name: f, color: [0, 200, 0]}]\n"
        "splits: {train: {images: images/*.png, masks: masks/*.png}}\n"
    )
    convert_dataset(load_spec(str(source / "set.yaml")), tmp_path / "dst")
    label = read(tmp_path / "dst" / "dst.yaml", "train")[0][1]
    np.testing.assert_array_equal(label, (colors[..., 1] > 0).astype(np.uint8))


def test_embedded_images_are_written_out(tmp_path) -> None:
    write_image(tmp_path / "other" / "a.png")
    data = (tmp_path / "other" / "a.png").read_bytes()
    content = labelme("a.png", polygons([("cat", SQUARE)]), SIZE)
    content["imageData"] = base64.b64encode(data).decode()
    write_json(tmp_path / "src" / "a.json", content)
    convert_dataset(load_spec(str(tmp_path / "src")), tmp_path / "dst")
    assert (tmp_path / "dst" / "images" / "train" / "a.png").read_bytes() == data


def test_a_folder_is_not_overwritten_without_the_flag(source, tmp_path) -> None:
    spec, out = load_spec(str(source)), tmp_path / "dst"
    convert_dataset(spec, out)
    (out / "images" / "train" / "old.png").touch()
    with pytest.raises(ValueError, match="dst exists already; give --overwrite, or another"):
        convert_dataset(spec, out)
    convert_dataset(spec, out, overwrite=True)
    assert not (out / "images" / "train" / "old.png").exists()
    (out / "mine.txt").touch()
    with pytest.raises(ValueError, match=r"files that no conversion wrote \(mine.txt\)"):
        convert_dataset(spec, out, overwrite=True)
    assert (out / "mine.txt").exists()


@pytest.mark.parametrize("place", [".", "src"])
def test_the_source_is_not_replaced(place, source, tmp_path) -> None:
    with pytest.raises(ValueError, match="is the folder of the data set itself, or around it"):
        convert_dataset(load_spec(str(source)), tmp_path / place, overwrite=True)


def test_nothing_is_left_of_a_conversion_that_fails(source, tmp_path, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise ValueError("broken")

    monkeypatch.setattr("tiramisu.data.converting.label_of", fail)
    with pytest.raises(ValueError, match="broken"):
        convert_dataset(load_spec(str(source)), tmp_path / "dst")
    assert [path.name for path in tmp_path.iterdir()] == ["src"]


def test_a_missing_image_is_named(source, tmp_path) -> None:
    (source / "images" / "train" / "a.png").unlink()
    with pytest.raises(ValueError, match=r"\(1, the first is a.png\)"):
        convert_dataset(load_spec(str(source)), tmp_path / "dst")


def test_drawn_data_sets_have_no_files(tmp_path) -> None:
    with pytest.raises(ValueError, match="expected a data set for segmentation with image files"):
        convert_dataset(load_spec("streets"), tmp_path / "dst")


def test_the_command(source, tmp_path, capsys) -> None:
    commands.convert([str(source), str(tmp_path / "dst")])
    assert f"3 images and masks written to {tmp_path / 'dst'}" in capsys.readouterr().out


def test_the_command_splits(tmp_path) -> None:
    for number in range(4):
        write_image(tmp_path / "src" / f"{number}.png", seed=number)
    images = {f"{number}.png": (SIZE, [("cat", SQUARE)]) for number in range(4)}
    write_json(tmp_path / "src" / "instances.json", coco(images, ("cat",)))
    spec = load_spec(str(tmp_path / "src"), SourceOptions(val_fraction=0.25))
    convert_dataset(spec, tmp_path / "dst")
    assert len(list((tmp_path / "dst" / "images" / "val").iterdir())) == 1
