import numpy as np
import pytest

from tiramisu.data.image_format import ImageFormat
from tiramisu.data.scaling import choose_scaling, describe_scaling, measure_scaling

DEEP = ImageFormat(channels=1, pixel_type="uint16")


@pytest.mark.parametrize(
    ("pixel_type", "ends"),
    [("uint8", (0, 255)), ("uint16", (0, 65535)), ("int16", (-32768, 32767)), ("float32", (0, 1))],
)
def test_by_type_all_values_of_a_type_count(pixel_type: str, ends: tuple[float, float]):
    format = ImageFormat(channels=2, pixel_type=pixel_type)
    assert choose_scaling("type", format, []).value_range == (ends, ends)


def test_8_bits_are_scaled_by_type_and_others_are_measured():
    ramp = np.arange(4096, dtype=np.uint16).reshape(64, 64, 1)
    assert not choose_scaling(None, ImageFormat(), [ramp]).is_measured
    measured = choose_scaling(None, DEEP, [ramp])
    assert measured.is_measured
    [(low, high)] = measured.value_range
    assert low == pytest.approx(4095 * 0.001, abs=1)
    assert high == pytest.approx(4095 * 0.999, abs=1)
    assert measured.mean == pytest.approx((0.5,), abs=1e-3)
    assert measured.std == pytest.approx((1 / np.sqrt(12),), abs=2e-3)
    assert describe_scaling(measured).endswith("by statistics of the training images")


def test_a_range_is_taken_as_it_is():
    scaling = choose_scaling((0.0, 4095.0), DEEP, [])
    assert scaling.value_range == ((0, 4095),)
    assert describe_scaling(scaling) == "0 to 4095 become 0 to 1"


def test_each_band_has_its_own_statistics_and_nan_is_left_out():
    rng = np.random.default_rng(0)
    image = rng.normal([0, 1000], [1, 50], (50, 60, 2)).astype(np.float32)
    image[:10] = np.nan
    scaling = measure_scaling([image, image], channels=2)
    low, high = np.array(scaling.value_range).T
    means, stds = low + (high - low) * scaling.mean, (high - low) * scaling.std
    assert means == pytest.approx(np.nanmean(image, axis=(0, 1)), rel=1e-3, abs=1e-3)
    assert stds == pytest.approx(np.nanstd(image, axis=(0, 1)), rel=1e-3)


def test_a_band_without_differences_is_named():
    image = np.ones((8, 8, 2), np.float32)
    image[0, 0, 0] = 2
    with pytest.raises(ValueError, match="band 2 of the training images is 1 everywhere; leave it"):
        measure_scaling([image], channels=2)
