"""What a check finds in the masks."""

import shutil

import numpy as np
import pytest
from photos import SIZE, Photos

from tiramisu.data.catalog import load_spec
from tiramisu.data.checking.check import check_dataset
from tiramisu.data.checking.findings import DatasetReport, Finding


def check(photos: Photos) -> DatasetReport:
    return check_dataset(load_spec(str(photos.root)))


def found(photos: Photos, title: str) -> list[Finding]:
    return [finding for finding in check(photos).findings if finding.title == title]


def speckle(count: int, *, value: int = 2):
    """Sets pixels that do not touch each other to a class."""

    def change(label: np.ndarray) -> np.ndarray:
        changed = label.copy()
        rows, columns = np.divmod(np.arange(count), SIZE // 4 - 1)
        for row, column in zip(2 + 4 * rows, 2 + 4 * columns, strict=True):
            changed[row - 1 : row + 2, column - 1 : column + 2] = 0  # ground around it
            changed[row, column] = value
        return changed

    return change


@pytest.mark.parametrize(
    ("shift", "words"),
    [
        ((4, 0), "4 pixels below"),
        ((-4, 0), "4 pixels above"),
        ((0, 5), "5 pixels right"),
        ((3, -1), "3 pixels below and 1 pixel left"),
    ],
)
def test_shifted_masks(photos: Photos, shift: tuple[int, int], words: str):
    photos.change("masks", "train", lambda label: np.roll(label, shift, (0, 1)))
    [finding] = check(photos).findings
    assert finding.text.startswith(f"train: the masks lie {words} of what they should cover (1")
    assert finding.text.endswith("of 12 agree)")
    assert finding.is_warning
    assert finding.is_close_up
    assert len(finding.examples) == 6


def test_a_small_shift_is_no_finding(photos: Photos):
    photos.change("masks", "train", lambda label: np.roll(label, 2, 0))
    assert check(photos).findings == ()


def test_a_single_shifted_mask(photos: Photos):
    photos.change("masks", "val", lambda label: np.roll(label, (5, 3), (0, 1)), indices=range(6, 7))
    [finding] = check(photos).findings
    assert finding.text.startswith("val: 1 of 10 masks is probably beside what should be covered")
    [example] = finding.examples
    assert example.name == "images/val/06.png"
    assert example.note == "5 pixels below and 3 pixels right"


def test_masks_that_are_void_everywhere(photos: Photos):
    photos.change("masks", "train", lambda label: np.full_like(label, 255), indices=range(2))
    [finding] = check(photos).findings
    assert finding.text == "train: 2 of 12 masks are void everywhere"
    assert finding.is_warning
    report = check(photos).splits[0]
    assert report.void_images == 2


def test_images_of_one_class(photos: Photos):
    photos.change("masks", "train", np.zeros_like, indices=range(1, 4))
    photos.change("masks", "train", lambda label: np.where(label == 2, 255, 0), indices=range(5, 6))
    [finding] = check(photos).findings
    assert finding.text == "train: 4 of 12 masks are ground alone"
    assert [e.index for e in finding.examples] == [1, 2, 3, 5]
    assert not finding.is_warning


def test_equal_masks_of_different_images(photos: Photos):
    shutil.copy(photos.path("masks", "val", 3), photos.path("masks", "val", 4))
    [finding] = found(photos, "equal masks")
    assert finding.text.startswith("val: 2 images share their masks, pixel by pixel")
    assert finding.line.endswith("images/val/03.png (like images/val/04.png)")
    assert finding.is_warning
    shutil.copy(photos.path("images", "val", 3), photos.path("images", "val", 4))
    assert found(photos, "equal masks") == []  # the same image twice has one mask


def test_masks_of_one_class_are_not_equal_masks(photos: Photos):
    photos.change("masks", "val", np.zeros_like, indices=range(3))
    assert found(photos, "equal masks") == []


def test_isolated_pixels(photos: Photos):
    photos.change("masks", "val", speckle(60))
    [finding] = found(photos, "isolated pixels")
    total = 10 * SIZE**2
    val = check(photos).splits[1]
    assert val.isolated_shares[2] == pytest.approx(600 / val.class_counts[2], abs=0.01)
    assert f"val: {100 * 600 / total:.1f} % of the labelled pixels are isolated" in finding.text
    assert f"of car {100 * val.isolated_shares[2]:.0f} %" in finding.text
    assert finding.is_close_up


def test_isolated_pixels_of_a_single_mask(photos: Photos):
    photos.change("masks", "train", speckle(150), indices=range(7, 8))
    [finding] = found(photos, "isolated pixels")
    assert finding.examples[0].name == "images/train/07.png"
    assert finding.examples[0].note == f"{100 * 150 / SIZE**2:.1f} %"


def test_some_isolated_pixels_are_no_finding(photos: Photos):
    photos.change("masks", "train", speckle(10))
    assert found(photos, "isolated pixels") == []


def test_classes_in_few_images(photos: Photos):
    photos.change("masks", "train", lambda label: np.where(label == 2, 1, label), indices=range(11))
    [finding] = found(photos, "classes in few images")
    assert finding.text == "train has hardly any images of car (1)"
    assert [e.index for e in finding.examples] == [11]
    assert check(photos).splits[0].class_images.tolist() == [12, 12, 1]


def test_rare_classes(photos: Photos):
    def thin(label: np.ndarray) -> np.ndarray:
        changed = np.where(label == 2, 0, label)
        changed[0, :20] = 2
        return changed

    photos.change("masks", "train", thin)
    [finding] = found(photos, "rare classes")
    assert finding.text == f"train: some classes are rare: car {100 * 20 / SIZE**2:.2f} %"


def test_object_sizes(photos: Photos):
    def squares(label: np.ndarray) -> np.ndarray:
        changed = np.zeros_like(label)
        for row, side in ((5, 4), (20, 6), (40, 20)):
            changed[row : row + side, 30 : 30 + side] = 1
        changed[70:72, 10:12] = 2  # the only regions of this class are tiny
        changed[80, 5:9] = 1  # tiny regions of others are no objects
        return changed

    photos.change("masks", "train", squares)
    train = check(photos).splits[0]
    assert train.region_areas[1].tolist() == [16, 36, 400]
    assert train.object_areas[1] == 400  # most pixels of the class lie in the large square
    assert train.object_sides[1] == 20
    assert train.object_areas[2] == 4
    assert train.isolated_shares[1] == pytest.approx(4 / (16 + 36 + 400 + 4))


def test_warnings_come_first_and_before_a_training_alone(photos: Photos):
    photos.change("images", "val", lambda image: image // 3 * 2)
    photos.change("masks", "train", lambda label: np.full_like(label, 255), indices=range(2))
    report = check(photos)
    assert [finding.is_warning for finding in report.findings] == [True, False]
    [alert] = report.alerts
    assert alert == (
        "train: 2 of 12 masks are void everywhere: images/train/00.png, images/train/01.png; "
        "label these images, or remove them: nothing is learnt from them"
    )
    text = str(report)
    assert "\nWarning: train: 2 of 12 masks are void everywhere: " in text
    assert "\nFinding: val is darker than train" in text
    assert "\n  label these images" in text


def test_a_training_gets_few_lines():
    finding = Finding(title="a", text="b", suggestion="c", is_warning=True)
    base = check_dataset(load_spec("streets"), splits=["val"])
    report = DatasetReport(
        **{**vars(base), "warnings": ("no val",), "findings": (finding,) * 7},
    )
    assert report.alerts[:5] == ("no val", *["b; c"] * 4)
    assert report.alerts[5:] == ("and 3 more; `tiramisu check` lists them all",)
