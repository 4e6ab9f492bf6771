"""What a check finds in the images."""

import shutil

import numpy as np
import pytest
from photos import SIZE, Photos
from PIL import Image
from tiny_classes import write_classes

from tiramisu.data.catalog import load_spec
from tiramisu.data.checking import image_findings
from tiramisu.data.checking.check import check_dataset
from tiramisu.data.checking.findings import DatasetReport, Finding


def check(photos: Photos) -> DatasetReport:
    return check_dataset(load_spec(str(photos.root)))


def only(photos: Photos) -> Finding:
    [finding] = check(photos).findings
    return finding


def names(finding: Finding) -> list[str]:
    return [example.name for example in finding.examples]


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3), np.uint8)


def test_nothing_is_found_in_healthy_photos(photos: Photos):
    report = check(photos)
    assert report.findings == ()
    assert report.alerts == ()
    assert "Finding" not in str(report)
    assert "Warning" not in str(report)


def test_brightness_and_contrast_are_those_of_8_bits(photos: Photos):
    half = np.full((SIZE, SIZE, 3), 51, np.uint8)
    half[:, ::2] = 153
    photos.change("images", "val", lambda _: half)
    _, val = check(photos).splits
    assert val.brightness == pytest.approx([0.4] * 10)
    assert val.contrast == pytest.approx([0.2] * 10)


def test_brightness_of_16_bits_is_within_the_values_of_the_data(photos: Photos):
    for split in ("train", "val"):
        for path in (photos.root / "images" / split).iterdir():
            grey = np.asarray(Image.open(path).convert("L")).astype(np.uint16)
            Image.fromarray(grey * 4 + 1000).save(path)
    train, _ = check(photos).splits
    assert 0.2 < train.brightness.mean() < 0.8
    assert train.values[0] >= 1000


@pytest.mark.parametrize(
    ("change", "word"),
    [(lambda image: image // 6, "darker"), (lambda image: 255 - image // 6, "brighter")],
)
def test_an_image_far_from_the_rest(photos: Photos, change, word: str):
    photos.change("images", "train", change, indices=range(4, 5))
    finding = only(photos)
    assert finding.text.startswith(f"train: 1 of 12 images is far {word} than the rest (median")
    assert names(finding) == ["images/train/04.png"]
    seen = np.asarray(Image.open(photos.path("images", "train", 4))).mean() / 255
    assert finding.examples[0].note == f"{seen:.2f}"
    assert not finding.is_warning


def test_the_darkest_comes_first_and_examples_are_few(photos: Photos):
    for split, count in (("train", 40), ("val", 40)):
        for i in range(count):
            path = photos.path("masks", split, 0)
            photos.write(split, i, noise(i + 100 * (split == "val")), np.asarray(Image.open(path)))
    photos.change("images", "train", lambda image: image // 4, indices=range(2, 11))
    photos.change("images", "train", lambda image: image // 2, indices=range(5, 6))
    finding = next(f for f in check(photos).findings if "darker" in f.title)
    assert "9 of 40 images are far darker" in finding.text
    assert len(finding.examples) == 6
    assert names(finding)[0] == "images/train/05.png"


def test_a_val_split_of_another_brightness(photos: Photos):
    photos.change("images", "val", lambda image: image // 3 * 2)
    finding = only(photos)
    assert finding.text.startswith("val is darker than train: mean brightness 0.3")
    photos.change("images", "train", lambda image: image // 3 * 2)
    assert check(photos).findings == ()


def test_images_of_one_colour(photos: Photos):
    photos.change("images", "val", lambda image: np.full_like(image, 7), indices=range(3))
    findings = check(photos).findings
    assert [f.title for f in findings] == ["images of one colour"]  # and not dark as well
    assert findings[0].text == "val: 3 of 10 images are nearly of one colour"
    assert findings[0].is_warning


def test_near_duplicates_between_splits(photos: Photos):
    image = Image.open(photos.path("images", "train", 5))
    image.point(lambda value: value * 9 // 10).save(photos.path("images", "val", 2))
    finding = only_with_right_masks(photos, (5, 2))
    assert finding.text == "val: 1 of 10 images is nearly the same as one of train"
    assert finding.line.endswith(": images/val/02.png (like images/train/05.png)")
    assert finding.is_warning
    assert check(photos).alerts == (f"{finding.line}; {finding.suggestion}",)


def only_with_right_masks(photos: Photos, pair: tuple[int, int]) -> Finding:
    """The only finding, where an image of train and its mask were copied to val."""
    mask = np.asarray(Image.open(photos.path("masks", "train", pair[0])))
    Image.fromarray(mask).save(photos.path("masks", "val", pair[1]))
    return only(photos)


def test_near_duplicates_within_train(photos: Photos):
    for i, other in ((5, 7), (5, 8)):
        image = Image.open(photos.path("images", "train", i))
        image.point(lambda value, off=other: value * (100 - off) // 100).save(
            photos.path("images", "train", other)
        )
        shutil.copy(photos.path("masks", "train", i), photos.path("masks", "train", other))
    findings = [f for f in check(photos).findings if "near" in f.title]
    assert [f.text for f in findings] == [
        "train: 3 of 12 images are nearly the same as another one"
    ]
    assert not findings[0].is_warning
    assert [e.other.name for e in findings[0].examples if e.other] == ["images/train/05.png"] * 2


def test_near_duplicates_within_val_are_no_finding(photos: Photos):
    image = Image.open(photos.path("images", "val", 5))
    image.point(lambda value: value * 9 // 10).save(photos.path("images", "val", 7))
    shutil.copy(photos.path("masks", "val", 5), photos.path("masks", "val", 7))
    assert not [f for f in check(photos).findings if "near" in f.title]


def test_of_many_images_some_are_compared(photos: Photos, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(image_findings, "_MOST_COMPARED", 4)
    photos.change("images", "train", lambda _: noise(1), indices=range(12))
    finding = next(f for f in check(photos).findings if "near" in f.title)
    assert "(compared: 4 of 22 images)" in finding.text


def test_classification_gets_what_makes_sense(tmp_path):
    root = write_classes(tmp_path, {"train/cat": 9, "train/dog": 9, "val/cat": 2, "val/dog": 8})
    for i in range(9):
        path = tmp_path / f"train/dog/{i}.png"
        Image.fromarray(np.full((8, 10, 3), i, np.uint8)).save(path)
    copied = noise(7)
    Image.fromarray(copied).save(tmp_path / "train/cat/3.png")
    Image.fromarray(copied // 2).save(tmp_path / "val/cat/1.png")
    report = check_dataset(load_spec(str(root)))
    assert {f.title for f in report.findings if f.is_warning} == {
        "near-duplicates between splits",
        "images of one colour",
    }
    assert report.splits[0].class_images.tolist() == [9, 9]
    assert np.isnan(report.splits[0].object_areas).all()
    assert len(report.splits[0].brightness) == 18
