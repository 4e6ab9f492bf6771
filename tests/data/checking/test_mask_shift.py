"""Shifts of masks that fit and of masks that are moved: on real data where they are there."""

import os
from pathlib import Path

import numpy as np
import pytest

from tiramisu.data.catalog import load_spec
from tiramisu.data.checking.mask_shift import find_shifts, measure_agreement
from tiramisu.data.readers.open_reader import open_reader

SAMPLES = os.environ.get("TIRAMISU_SAMPLES")
CAMVID = os.environ.get("TIRAMISU_CAMVID")
no_samples = pytest.mark.skipif(SAMPLES is None, reason="TIRAMISU_SAMPLES names no folder")
no_camvid = pytest.mark.skipif(CAMVID is None, reason="TIRAMISU_CAMVID names no folder of CamVid")
SHIFTS = [(4, 0), (0, -4), (3, -4), (-6, 5), (8, -8)]
MOST = 60  # samples of a data set that are read


def read(data: str, root: str | None, split: str) -> list[tuple[np.ndarray, np.ndarray]]:
    reader = open_reader(load_spec(data), split, root)
    step = max(1, len(reader.names) // MOST)
    pairs = (reader.read(i) for i in range(0, len(reader.names), step))
    return [(image.mean(axis=2, dtype=np.float32), label) for image, label in pairs]


def move(pairs: list[tuple[np.ndarray, np.ndarray]], shift: tuple[int, int]) -> list:
    return [measure_agreement(image, np.roll(label, shift, (0, 1))) for image, label in pairs]


def check_data(data: str, root: str | None, split: str) -> None:
    """No mask is reported as it is; all and single ones are where they are moved."""
    pairs = read(data, root, split)
    fitting = move(pairs, (0, 0))
    assert find_shifts(fitting) == []
    for shift in SHIFTS:
        moved = move(pairs, shift)
        [found] = find_shifts(moved)
        assert found.is_common
        assert len(found.masks) >= 0.85 * len(pairs)
        # Slices of the microscope lie a pixel beside their masks as they are.
        assert np.abs(np.subtract((found.down, found.right), shift)).max() <= 1
        alone = 0
        for i in range(len(pairs)):
            singles = find_shifts([*fitting[:i], moved[i], *fitting[i + 1 :]])
            assert {k for single in singles for k in single.masks} <= {i}
            assert not any(single.is_common for single in singles)
            alone += bool(singles)
        assert alone >= 0.7 * len(pairs)


def test_streets():
    check_data("streets", None, "val")


@no_samples
@pytest.mark.parametrize("name", ["cracks", "membrane"])
def test_samples(name: str):
    check_data(str(Path(str(SAMPLES), name)), None, "train")


@no_camvid
@pytest.mark.parametrize("split", ["train", "val"])
def test_camvid(split: str):
    check_data("camvid", CAMVID, split)


def test_agreement_needs_borders_and_edges():
    rng = np.random.default_rng(0)
    image = rng.normal(0, 1, (90, 90)).astype(np.float32)
    label = np.zeros((90, 90), np.uint8)
    assert measure_agreement(image, label) is None
    label[20:60, 20:60] = 1
    assert measure_agreement(np.zeros_like(image), label) is None
    assert measure_agreement(image[:40], label[:40]) is None
    assert measure_agreement(image[:55, :55], label[:55, :55]) is None  # 68 places of borders
    agreement = measure_agreement(image, label)
    assert agreement is not None
    assert agreement.shape == (21, 21)
    assert agreement.mean() == pytest.approx(0, abs=1e-5)
    assert agreement.std() == pytest.approx(1, abs=1e-5)


def peak(row: int, column: int) -> np.ndarray:
    agreement = np.zeros((21, 21), np.float32)
    agreement[row + 10, column + 10] = 4
    return agreement


def test_masks_that_disagree_say_nothing():
    assert find_shifts([peak(d, 5) for d in range(-8, 9, 2)]) == []


def test_few_masks_say_nothing():
    assert find_shifts([peak(-5, 0)] * 4) == []
    assert find_shifts([None, *[peak(-5, 0)] * 4]) == []
    [shift] = find_shifts([None, *[peak(-5, 1)] * 5])
    assert (shift.down, shift.right, shift.masks) == (5, -1, (1, 2, 3, 4, 5))


def test_shifts_beyond_the_range_are_not_reported():
    assert find_shifts([peak(10, 0)] * 6) == []


def test_of_single_masks_the_clearest_comes_first():
    weak = peak(6, 0)
    weak[10, 10] = 2
    shifts = find_shifts([*[peak(0, 0)] * 6, weak, peak(0, -4)])
    assert [shift.masks for shift in shifts] == [(7,), (6,)]
    assert [(shift.down, shift.right) for shift in shifts] == [(0, 4), (-6, 0)]


def test_where_few_masks_fit_single_ones_say_nothing():
    scattered = [peak(down, 6) for down in (-8, -5, -2, 2, 5)]
    assert find_shifts([*[peak(0, 0)] * 3, *scattered]) == []
    assert len(find_shifts([*[peak(0, 0)] * 9, *scattered])) == 5
