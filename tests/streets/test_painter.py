"""The painter: where shapes are drawn, in which order, and in which colours."""

import numpy as np
import pytest

from tiramisu.streets.classes import CAR, POLE, ROAD, SKY
from tiramisu.streets.painter import Camera, Light, Painter
from tiramisu.streets.palette import BLACK, mixed, pick, shaded
from tiramisu.streets.polygons import box

RED = (200.0, 0.0, 0.0)


@pytest.fixture
def painter() -> Painter:
    """Without haze. At 10 m, a metre is 9.6 columns and 12.8 rows; the horizon is row 50."""
    camera = Camera(height=2.0, center=0.5, horizon=0.5, bend=0.0)
    light = Light(
        zenith=BLACK, haze=BLACK, cloud=BLACK, cloudiness=0, sun=0, sun_side=1, tint=(1, 1, 1),
        exposure=1, visibility=1e9,
    )  # fmt: skip
    return Painter(np.random.default_rng(0), camera, light, height=100, width=100)


def find_limits(label: np.ndarray, value: int) -> list[int]:
    """First and last row, first and last column of a class."""
    rows, columns = np.nonzero(label == value)
    return [int(limit) for limit in (rows.min(), rows.max(), columns.min(), columns.max())]


def test_a_shape_stands_at_its_place(painter: Painter) -> None:
    painter.stand(1.0, 10.0, box(0, 2, 2, 4), RED, POLE)
    assert find_limits(painter.label, POLE) == pytest.approx([50 - 25.6, 50, 59.6, 78.8], abs=1)
    assert painter.image[painter.label == POLE].max(axis=0).tolist() == [200, 0, 0]


def test_a_shape_along_the_street_is_smaller_farther_away(painter: Painter) -> None:
    painter.stand_along(5.0, 10.0, box(0, 0, 10, 2), RED, POLE)  # from 10 to 20 m
    limits = find_limits(painter.label, POLE)
    assert limits == pytest.approx([50, 50 + 25.6, 50 + 24, 50 + 48], abs=1)
    heights = (painter.label == POLE).sum(axis=0)
    assert heights[96] > 1.7 * heights[76]


def test_a_shape_that_lies_is_below_the_horizon(painter: Painter) -> None:
    painter.lay(box(-1, 10, 1, 20), RED, ROAD)
    limits = find_limits(painter.label, ROAD)
    assert limits == pytest.approx([50 + 12.8, 50 + 25.6, 50 - 9.6, 50 + 9.6], abs=1)


def test_without_a_colour_only_the_label_is_painted(painter: Painter) -> None:
    painter.stand(0, 10.0, box(-1, 1, 1, 3), None, POLE)
    assert (painter.label == POLE).any()
    assert not painter.image.any()


def test_without_a_label_only_the_image_is_painted(painter: Painter) -> None:
    painter.stand(0, 10.0, box(-1, 1, 1, 3), RED)
    assert np.all(painter.label == SKY)
    assert painter.image.any()


def test_each_overlapping_shape_has_its_colour(painter: Painter) -> None:
    shapes = np.stack([box(-2, 0, 2, 4), box(-1, 1, 1, 3)])
    painter.stand_each(0, 10.0, shapes, [RED, (0, 90, 0)], POLE)
    assert painter.image[50, 50].tolist() == [0, 90, 0]
    assert painter.image[50, 35].tolist() == [200, 0, 0]
    assert painter.label[50, 50] == painter.label[50, 35] == POLE


def test_near_objects_hide_far_ones(painter: Painter) -> None:
    for z, label in ((10.0, CAR), (20.0, POLE)):  # the near one first
        painter.queue(z, painter.stand, 0, z, box(-1, 1, 1, 3), RED, label=label)
    assert np.all(painter.label == SKY)  # they wait
    painter.paint_queue()
    assert painter.label[50, 50] == CAR


def test_objects_that_are_too_near_are_left_out(painter: Painter) -> None:
    for z, label in ((10.0, CAR), (20.0, POLE)):
        painter.queue(z, painter.stand, 0, z, box(-1, 1, 1, 3), RED, label=label)
    painter.paint_queue(beyond=10.0)
    painter.paint_queue()  # nothing waits any longer
    assert painter.label[50, 50] == POLE
    assert not np.any(painter.label == CAR)


def test_far_colours_fade_into_the_haze(painter: Painter) -> None:
    light = Light(**{**vars(painter.light), "haze": (0.0, 0.0, 100.0), "visibility": 10.0})
    painter.light = light
    painter.stand(0, 10.0, box(-1, 1, 1, 3), RED, POLE)
    faded = np.exp(-1)
    assert painter.image[50, 50] == pytest.approx([200 * faded, 0, 100 * (1 - faded)], abs=1)


def test_colours_are_mixed_and_picked() -> None:
    assert shaded((10, 20, 30), 0.5) == (5, 10, 15)
    assert mixed((0, 100, 200), (100, 100, 0), 0.25) == (25, 100, 150)
    rng = np.random.default_rng(0)
    picked = np.array([pick(rng, ((100, 100, 100), (200, 200, 200))) for _ in range(200)])
    assert np.all((picked > 80) & (picked < 122) | (picked > 160) & (picked < 243))
    assert 60 < np.sum(picked[:, 0] > 150) < 140
    assert len(np.unique(picked)) == picked.size
