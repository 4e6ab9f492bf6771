"""The classes of a folder without a YAML file."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from tiramisu.data.catalog import load_spec
from tiramisu.data.checking.check import check_dataset
from tiramisu.data.dataset import ImageDataset
from tiramisu.data.task_specs import SegmentationSpec

SIZE = (24, 24)


def write(root: Path, *masks: np.ndarray, suffix: str = "png", **options: object) -> Path:
    """A folder with these masks, all in train."""
    for part in ("images", "masks"):
        (root / part / "train").mkdir(parents=True, exist_ok=True)
    for i, mask in enumerate(masks):
        noise = np.random.default_rng(i).integers(0, 256, (*mask.shape[:2], 3), np.uint8)
        Image.fromarray(noise).save(root / f"images/train/{i}.png")
        path = root / f"masks/train/{i}.{suffix}"
        if mask.dtype.kind == "f":
            tifffile.imwrite(path, mask)
        else:
            Image.fromarray(mask).save(path, **options)
    return root


def blocks(*values: int, dtype: type = np.uint8) -> np.ndarray:
    """A mask with a block of each value."""
    mask = np.full(SIZE, values[0], dtype)
    for i, value in enumerate(values):
        mask[:, i * SIZE[1] // len(values) :] = value
    return mask


def load(root: Path) -> SegmentationSpec:
    spec = load_spec(str(root))
    assert isinstance(spec, SegmentationSpec)
    return spec


def test_masks_of_0_and_255_are_two_classes(tmp_path: Path) -> None:
    spec = load(write(tmp_path, blocks(0), blocks(0, 255)))
    assert spec.class_names == ("background", "foreground")
    assert spec.labels.raw == ((0,), (255,))
    (note,) = spec.notes
    assert note.startswith(
        "the masks hold 0 and 255 alone, read as the classes background (0) and foreground (255); "
        "if 255 is void, give three names or more in classes.txt, or write a YAML with"
    )
    report = check_dataset(spec)
    assert f"Note: {note}" in str(report).splitlines()
    assert report.splits[0].void_count == 0
    label = ImageDataset(spec, "train", root=None).read(1)[1]
    assert np.unique(label).tolist() == [0, 1]


def test_two_names_are_those_of_0_and_255(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("road\r\ncrack\r\n")
    spec = load(write(tmp_path, *[blocks(0)] * 9, blocks(0, 255)))
    assert spec.class_names == ("road", "crack")
    assert spec.labels.raw == ((0,), (255,))
    assert "road (0) and crack (255)" in spec.notes[0]


def test_three_names_keep_255_void(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("road\ncrack\npatch\n")
    spec = load(write(tmp_path, blocks(0, 255)))
    assert spec.labels.ignore == (255,)
    assert spec.notes == ("255 in the masks is void: classes.txt names 3 classes",)


@pytest.mark.parametrize(
    ("values", "names", "raw"),
    [
        ((0, 128), ("background", "foreground"), ((0,), (128,))),
        ((0, 2), ("background", "foreground"), ((0,), (2,))),
        ((0, 65535), ("background", "foreground"), ((0,), (65535,))),
        ((0, 1), ("class_0", "class_1"), ((0,), (1,))),
        ((1, 2), ("class_1", "class_2"), ((1,), (2,))),
        ((1, 2, 3, 255), ("class_1", "class_2", "class_3"), ((1,), (2,), (3,))),
        ((0, 1, 255), ("class_0", "class_1"), ((0,), (1,))),
    ],
)
def test_values_are_read_as_users_expect(
    tmp_path: Path,
    values: tuple[int, ...],
    names: tuple[str, ...],
    raw: tuple[tuple[int, ...], ...],
) -> None:
    dtype = np.uint16 if max(values) > 255 else np.uint8
    spec = load(write(tmp_path, blocks(*values, dtype=dtype)))
    assert spec.class_names == names
    assert spec.labels.raw == raw
    label = ImageDataset(spec, "train", root=None).read(0)[1]
    expected = [*range(len(names)), *([255] if 255 in values else [])]
    assert np.unique(label).tolist() == expected
    usual = values in ((0, 1), (0, 1, 255))
    assert any("read as" in note for note in spec.notes) is not usual
    assert ("255 in the masks is void" in spec.notes) is (255 in values)


def test_names_of_values_from_1_on(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("pet\nground\nedge\n")
    spec = load(write(tmp_path, blocks(1, 2, 3)))
    assert spec.class_names == ("pet", "ground", "edge")
    assert spec.labels.raw == ((1,), (2,), (3,))
    assert "read as the 3 lines of classes.txt" in spec.notes[0]


@pytest.mark.parametrize(
    "content", [b"\xef\xbb\xbfroad\r\ncrack\r\n", "road\ncrack".encode("utf-16")]
)
def test_the_list_of_classes_may_have_a_mark_in_front(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "classes.txt").write_bytes(content)
    assert load(write(tmp_path, blocks(0, 1))).class_names == ("road", "crack")


def test_nan_and_negative_numbers_are_void(tmp_path: Path) -> None:
    mask = blocks(0, 1, 2).astype(np.float64)
    mask[0, 0], mask[0, 1] = np.nan, -9999
    spec = load(write(tmp_path, mask, suffix="tif"))
    assert spec.num_classes == 3
    assert spec.notes == ("values in the masks that are void: NaN, -9999",)
    assert check_dataset(spec).splits[0].void_count == 2


def test_smoothed_masks_are_recognised(tmp_path: Path) -> None:
    large = Image.fromarray(blocks(0, 255, 0, 255)).resize((100, 100), Image.Resampling.BILINEAR)
    folder = write(tmp_path, np.asarray(large.rotate(30, Image.Resampling.BILINEAR)))
    with pytest.raises(
        ValueError, match="the masks look smoothed, as by resizing or JPEG"
    ) as error:
        load(folder)
    assert "without interpolation" in str(error.value)
    assert "below 128 to 0" in str(error.value)


def test_many_classes_with_a_gap_are_not_called_smoothed(tmp_path: Path) -> None:
    folder = write(tmp_path, blocks(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 20))
    with pytest.raises(ValueError, match=r"expected 0, 1, 2, \.\.\. without a gap"):
        load(folder)


def test_jpeg_masks_are_refused_unless_they_are_clean(tmp_path: Path) -> None:
    mask = np.where(np.add.outer(np.arange(24), np.arange(24)) % 24 < 12, 0, 255)
    folder = write(tmp_path / "a", mask.astype(np.uint8), suffix="jpg")
    with pytest.raises(ValueError, match="the masks are JPEG, which changes the values of pixels"):
        load(folder)
    clean = write(tmp_path / "b", blocks(0), blocks(255), suffix="jpg", quality=100)
    assert load(clean).class_names == ("background", "foreground")


def test_grey_saved_as_rgb_is_no_color_mask(tmp_path: Path) -> None:
    spec = load(write(tmp_path, np.stack([blocks(0, 1, 2)] * 3, -1)))
    assert spec.class_names == ("class_0", "class_1", "class_2")
    assert spec.encoding == "index"


def test_a_few_colors_come_as_a_yaml_to_paste(tmp_path: Path) -> None:
    black = np.zeros((*SIZE, 3), np.uint8)  # equal channels, but no mask of numbers here
    colored = black.copy()
    colored[:9], colored[9:12] = (255, 0, 0), (0, 0, 255)
    folder = write(tmp_path / "data", black, colored)
    with pytest.raises(ValueError, match=r"1\.png: a color mask \(1 of 2 masks") as caught:
        load(folder)
    (tmp_path / "own.yaml").write_text(str(caught.value).split("\n", 1)[1])
    spec = load(tmp_path / "own.yaml")
    assert spec.encoding == "rgb"
    assert spec.class_names == ("class_0", "class_1", "class_2")
    assert spec.colors.tolist() == [[0, 0, 0], [0, 0, 255], [255, 0, 0]]
    assert check_dataset(spec).splits[0].class_counts.min() > 0


def test_many_colors_come_without_a_yaml(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    with pytest.raises(
        ValueError, match="So many colors come from JPEG or smoothed masks"
    ) as error:
        load(write(tmp_path, noise))
    assert "\n" not in str(error.value)


def test_photos_in_place_of_masks_are_recognised(tmp_path: Path) -> None:
    values = np.arange(24 * 24).reshape(SIZE).astype(np.uint16)
    with pytest.raises(ValueError, match="575 values, as photos do"):
        load(write(tmp_path, values))


def test_a_palette_of_greys_gives_no_colors(tmp_path: Path) -> None:
    spec = load(write(tmp_path, blocks(0, 1), suffix="gif"))
    assert all(entry.color is None for entry in spec.classes)
