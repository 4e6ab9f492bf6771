import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_data import random_label

from tiramisu.data.catalog import load_spec
from tiramisu.data.checking.check import check_dataset
from tiramisu.data.spec_parts import DrawnSplit


def check(tiny: Path, **kwargs):
    return check_dataset(load_spec(str(tiny)), **kwargs)


def problems(tiny: Path, **kwargs) -> str:
    with pytest.raises(ValueError, match="problem") as caught:
        check(tiny, **kwargs)
    return str(caught.value)


def change_masks(tiny: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    for path in (tiny.parent / "files").glob("*annot/*.png"):
        Image.fromarray(change(np.asarray(Image.open(path)))).save(path)


def test_the_report_counts(tiny: Path):
    report = check(tiny)
    train, val = report.splits
    labels = np.stack([random_label(i) for i in range(5)])
    assert train.num_samples == 5
    assert train.sizes == ((12, 16),)
    assert train.class_counts.tolist() == [(labels == i).sum() for i in range(3)]
    assert train.void_count == (labels == 255).sum()
    assert train.void_share + train.class_shares.sum() == pytest.approx(1)
    assert val.num_samples == 2
    assert report.warnings == ()


def test_the_report_is_a_table(tiny: Path):
    lines = str(check(tiny)).splitlines()
    assert lines[0] == "Tiny"
    assert lines[1].split() == ["train", "val"]
    assert lines[2].split() == ["samples", "5", "2"]
    assert lines[3].split()[-6:] == ["12", "x", "16"] * 2
    assert lines[4].split() == ["bands", "3", "(RGB)", "3", "(RGB)"]
    assert lines[5].split() == ["values", *["uint8:", "0", "to", "255", "uint8:", "0", "to", "255"]]
    assert lines[6].split() == ["brightness", "0.50", "+-", "0.01", "0.50", "+-", "0.01"]
    assert lines[7].split()[0] == "contrast"
    assert len({len(line) for line in lines[2:8]}) == 1  # the columns line up
    assert lines[9].split("   ")[-3:] == ["% of pixels", "images with", "object side, px"]
    assert lines[10].split() == ["train", "val"] * 3
    assert [line.split()[0] for line in lines[11:15]] == ["ground", "tree", "fruit", "void"]
    assert len({len(line) for line in lines[9:14]}) == 1
    for column in (1, 2):
        percents = (float(line.split()[column]) for line in lines[11:15])
        assert sum(percents) == pytest.approx(100, abs=0.1)
    assert lines[11].split()[3:5] == ["5", "2"]  # images with ground
    assert lines[15] == "Values are scaled: 0 to 255 become 0 to 1 (--scaling changes this)."


def test_everything_is_listed_at_once(tiny: Path):
    files = tiny.parent / "files"
    (files / "trainannot/0.png").unlink()
    (files / "train/1.png").unlink()
    (files / "train/2.png").write_bytes((files / "train/2.png").read_bytes()[:-200])
    Image.open(files / "trainannot/3.png").crop((0, 0, 5, 5)).save(files / "trainannot/3.png")
    (files / "trainannot/4.png").write_bytes(b"")
    shutil.rmtree(files / "valannot")
    shutil.rmtree(files / "val")
    message = problems(tiny)
    assert message.startswith(f"tiny in {files}: 6 problems\n")
    for part in (
        "train: images without a mask (1): train/0.png",
        "train: masks without an image (1): trainannot/1.png",
        "train: unreadable image: train/2.png",
        "train: image and mask differ in size: train/3.png (12 x 16 and 5 x 5)",
        "unreadable mask: trainannot/4.png",
        "val: empty; no file matches val/*.png",
    ):
        assert part in message


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
def test_truncated_images_are_found(tiny: Path, edit: Callable[[str, str], Path], suffix: str):
    edit("train/*.png", f"train/*.{suffix}")
    for path in sorted((tiny.parent / "files/train").iterdir()):
        Image.open(path).resize((160, 120)).save(path.with_suffix(f".{suffix}"), lossless=True)
        mask = tiny.parent / "files/trainannot" / path.name
        Image.open(mask).resize((160, 120), Image.Resampling.NEAREST).save(mask)
    assert check(tiny, splits=["train"]).splits[0].num_samples == 5
    path = tiny.parent / f"files/train/3.{suffix}"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert f"unreadable image: train/3.{suffix}" in problems(tiny)


def test_a_missing_folder_is_one_problem(tiny: Path):
    with pytest.raises(ValueError, match=r"nowhere: no such folder"):
        check(tiny, root="nowhere")


@pytest.mark.parametrize(
    ("change", "values", "cause"),
    [
        (
            lambda x: np.where(x == 2, 9, x),
            "1 label value belongs to no class: 9",
            "Give them to a class",
        ),
        (lambda x: np.where(x == 255, 3, x + 1), "3 (", "raw: [1] to [3]"),
        (
            lambda x: np.arange(x.size).reshape(x.shape),
            "189 label values belong to no class",
            "interpolation",
        ),
    ],
)
def test_unknown_values_get_their_likely_cause(
    tiny: Path, change: Callable[[np.ndarray], np.ndarray], values: str, cause: str
):
    change_masks(tiny, lambda label: change(label).astype(np.uint8))
    message = problems(tiny, splits=["train"])
    assert values in message
    assert cause in message
    assert "first trainannot/0.png" in message


def test_the_pixels_and_masks_of_an_unknown_value_are_counted(tiny: Path):
    for i in (1, 3):
        label = random_label(i)
        label[:] = 0
        label[0, :i] = 7
        Image.fromarray(label).save(tiny.parent / f"files/trainannot/{i}.png")
    assert "7 (4 pixels, masks: 2, first trainannot/1.png)" in problems(tiny)


def test_jpeg_masks_are_recognised(tiny: Path, edit: Callable[[str, str], Path]):
    edit("trainannot/*.png", "trainannot/*.jpg")
    for path in (tiny.parent / "files/trainannot").iterdir():
        Image.open(path).save(path.with_suffix(".jpg"))
    assert "JPEG changes label values" in problems(tiny)


def test_masks_of_0_and_255_are_recognised(tiny: Path, edit: Callable[[str, str], Path]):
    change_masks(tiny, lambda label: np.where(label > 0, 255, 0).astype(np.uint8))
    warnings = check(tiny).warnings
    assert "train has no pixel of tree, fruit" in warnings
    assert any("give it raw: [255]" in warning for warning in warnings)
    edit("splits:", "ignore: []\nsplits:")
    assert "in masks of 0 and 255 it is a class: raw: [255]" in problems(tiny)


def test_an_absent_class_is_only_a_warning(tiny: Path):
    change_masks(tiny, lambda label: np.where(label == 1, 0, label))
    report = check(tiny)
    assert report.warnings == ("train has no pixel of tree", "val has no pixel of tree")
    assert "\nWarning: val has no pixel of tree\n" in str(report)


def test_the_same_image_in_two_splits(tiny: Path, edit: Callable[[str, str], Path]):
    files = tiny.parent / "files"
    shutil.copy(files / "train/2.png", files / "val/5.png")  # by content
    assert "train and val share images (1): train/2.png = val/5.png" in problems(tiny)
    edit('"val/*.png", masks: "valannot/*.png"', '"train/*.png", masks: "trainannot/*.png"')
    message = problems(tiny)  # by path
    assert "train and val share images (5): train/0.png, train/1.png" in message


def test_splits_of_other_names_may_overlap(tiny: Path, edit: Callable[[str, str], Path]):
    split = '{images: "train/*.png", masks: "trainannot/*.png"'
    edit(
        "  val:",
        f"  trainval: {split}}}\n  a_train: {split}}}\n  a_val: {split}, keys: ['1']}}\n  val:",
    )
    names = ["train", "val", "trainval", "a_train"]
    assert len(check(tiny, splits=names).splits) == 4
    assert [split.name for split in check(tiny).splits] == ["train", "val"]
    assert "a_train and a_val share images (1)" in problems(tiny, splits=[*names, "a_val"])


def test_long_lists_are_cut(tiny: Path):
    files = tiny.parent / "files"
    for i in range(100, 142):
        shutil.copy(files / "train/0.png", files / f"train/{i}.png")
    assert "images without a mask (42): train/100.png" in problems(tiny)
    assert "train/104.png and 37 more" in problems(tiny)
    assert "train/105.png" not in problems(tiny)
    for i in range(200, 300):
        shutil.copy(files / "train/0.png", files / f"train/{i}.png")
    for i in (*range(100, 142), *range(200, 300)):
        (files / f"trainannot/{i}.png").write_bytes(b"")
    message = problems(tiny)
    assert "trainannot/257.png" in message
    assert "... and 42 more" in message


def test_drawn_scenes_are_counted():
    spec = load_spec("streets")
    report = check_dataset(spec, splits=["val"])
    assert report.splits[0].num_samples == 40
    assert report.splits[0].sizes == ((144, 192),)
    assert report.splits[0].class_counts.min() > 0


def test_a_scene_in_two_splits_is_found():
    spec = load_spec("streets")
    train, val = (DrawnSplit(first_seed=first, count=3) for first in (0, 2))
    with pytest.raises(ValueError, match=r"train and val share images \(1\): scene_000002"):
        check_dataset(spec.model_copy(update={"splits": {"train": train, "val": val}}))


def test_problems_for_training_are_warnings(tiny: Path):
    spec = load_spec(str(tiny))
    only_train = spec.model_copy(update={"splits": {"train": spec.splits["train"]}})
    (warning,) = check_dataset(only_train).warnings
    assert "no split val" in warning
    assert "--val-split" in warning
    assert check_dataset(only_train, splits=["train"]).warnings == ()  # as training calls it


def test_a_photo_that_exif_turns_is_named_where_sizes_do_not_tell(tiny: Path):
    image = tiny.parent / "files/train/1.png"
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.open(image).save(image, exif=exif)
    [warning] = check(tiny).warnings
    assert warning.startswith(
        "train has photos that EXIF turns, but not masks: 1 (train/1.png); see"
    )
    mask = tiny.parent / "files/trainannot/1.png"
    Image.open(mask).save(mask, exif=exif)
    assert check(tiny).warnings == ()
