import numpy as np
import pytest

from tiramisu.data.checking import sample_facts
from tiramisu.data.checking.mask_regions import find_busiest, measure_regions
from tiramisu.data.checking.sample_facts import measure_sample


def test_pixels_that_touch_at_a_corner_are_connected():
    label = np.zeros((8, 8), np.uint8)
    for i in range(6):
        label[i, i] = 1
    regions = measure_regions(label, num_classes=3)
    assert regions.areas[1].tolist() == [6]
    assert sorted(regions.areas) == [0, 1]
    assert regions.isolated.tolist() == [0, 0, 0]


def test_void_and_other_values_are_left_out():
    label = np.full((8, 8), 255, np.uint8)
    label[0, 0] = 254
    label[4, 4] = 1
    regions = measure_regions(label, num_classes=2)
    assert regions.areas.keys() == {1}
    assert regions.isolated.tolist() == [0, 1]


def test_of_very_many_areas_some_are_kept():
    label = np.zeros((200, 400), np.uint8)
    label[::3, ::8] = label[::3, 1::8] = label[::3, 2::8] = 1
    label[::3, 3::8] = label[::3, 4::8] = 1  # runs of five pixels
    label[197:] = 0
    label[199, :20] = 1
    areas = measure_regions(label, num_classes=2).areas[1]
    assert len(areas) == 1000
    assert areas[0] == 5
    assert areas[-1] == 20


def test_the_busiest_part():
    label = np.zeros((300, 500), np.uint8)
    label[200:220, 300:320:2] = 1
    rows, columns = find_busiest(label, side=64)
    assert label[rows, columns].sum() == label.sum()
    assert label[rows, columns].shape == (64, 64)
    small = label[:20, :30]
    assert small[find_busiest(small, side=64)].shape == (20, 30)


def test_a_large_mask_is_examined_in_part(monkeypatch):
    monkeypatch.setattr(sample_facts, "_LARGE", 10_000)
    monkeypatch.setattr(sample_facts, "_WINDOW", 64)
    label = np.zeros((200, 300), np.uint8)
    label[40:120, 50:150] = 1
    label[150:190:4, 200:240:4] = 1
    image = np.repeat(label[..., None] * 100, 3, axis=2).astype(np.uint8)
    facts = measure_sample(image, label, num_classes=2, with_fingerprint=False)
    assert facts.labels is not None
    assert facts.labels.areas[1].max() == pytest.approx(8000, rel=0.05)
    assert facts.labels.isolated[1] == 100
    assert facts.labels.examined.sum() == 64 * 64


def test_images_of_any_type_are_measured():
    image = np.full((40, 40, 5), np.nan, np.float32)
    facts = measure_sample(image, None, num_classes=2, with_fingerprint=True)
    assert np.isnan(facts.brightness)
    assert facts.contrast == 0
    image[:20] = 1000
    image[20:, :20] = 3000
    facts = measure_sample(image, None, num_classes=2, with_fingerprint=True)
    assert (facts.low, facts.high) == (1000, 3000)
    assert facts.brightness == np.float32(5000 / 3)
