import itertools

import cv2
import numpy as np
import pytest

from tiramisu.inference.regions import Region, find_regions

VOID = 255
RING = np.array([[1, 1, 1, 1], [1, 0, 0, 1], [1, 0, 2, 1], [1, 1, 1, 1]], np.uint8)


def fill(region: Region, shape: tuple[int, int]) -> np.ndarray:
    """The pixels whose centers lie inside the outline and outside the holes, by even-odd."""
    inside = np.zeros(shape, bool)
    for ring in (region.outline, *region.holes):
        for (x, y), (other, end) in itertools.pairwise([*ring.tolist(), ring[0].tolist()]):
            if x == other:  # an upright edge turns over all that lies right of it
                inside[min(y, end) : max(y, end), x:] ^= True
    return inside


def draw(regions: list[Region], shape: tuple[int, int]) -> np.ndarray:
    mask = np.full(shape, VOID, np.uint8)
    for region in regions:
        inside = fill(region, shape)
        assert inside.sum() == region.area
        assert (mask[inside] == VOID).all(), "regions do not overlap"
        mask[inside] = region.class_id
    return mask


def area(ring: np.ndarray) -> float:
    x, y = ring.T
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum()) / 2


def assert_exact(mask: np.ndarray, *, cuts: tuple[int, ...] = ()) -> list[Region]:
    """The regions, drawn again, are the mask, and their rings are those of simple polygons."""
    regions = list(find_regions(np.split(mask, cuts)))
    assert (draw(regions, mask.shape) == mask).all()
    classes = np.setdiff1d(mask, [VOID])
    counts = [
        cv2.connectedComponents((mask == c).view(np.uint8), connectivity=4)[0] - 1 for c in classes
    ]
    assert len(regions) == sum(counts)
    for region in regions:
        assert area(region.outline) > 0
        assert all(area(hole) < 0 for hole in region.holes)
        for ring in (region.outline, *region.holes):
            assert len(np.unique(ring, axis=0)) == len(ring), "a ring does not touch itself"
            steps = np.roll(ring, -1, axis=0) - ring
            turns = steps[:, 0] * np.roll(steps, -1, axis=0)[:, 1]
            assert ((steps == 0).sum(axis=1) == 1).all()
            assert ((turns != 0) | (steps[:, 1] != 0)).all(), "each point is a corner"
    return regions


@pytest.mark.parametrize("seed", range(200))
def test_random_masks_are_drawn_again_exactly(seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 14, 2)
    classes = np.array([*range(rng.integers(1, 4)), *([VOID] if seed % 2 else [7])], np.uint8)
    mask = rng.choice(classes, (height, width))
    assert_exact(mask, cuts=tuple(sorted(set(rng.integers(1, height + 1, 2)) - {height})))


def test_smooth_masks_are_drawn_again_exactly() -> None:
    values = cv2.GaussianBlur(np.random.default_rng(0).random((90, 120)), (0, 0), 2)
    assert_exact(np.digitize(values, [0.45, 0.5, 0.55]).astype(np.uint8), cuts=(17, 18, 60))


def test_holes_and_islands_in_holes() -> None:
    outer, middle, inner = assert_exact(RING)
    assert (outer.class_id, outer.area, len(outer.holes)) == (1, 12, 1)
    assert outer.outline.tolist() == [[0, 0], [4, 0], [4, 4], [0, 4]]
    assert sorted(outer.holes[0].tolist()) == [[1, 1], [1, 3], [3, 1], [3, 3]]
    assert (middle.class_id, middle.area, middle.holes) == (0, 3, [])
    assert (inner.class_id, inner.area) == (2, 1)


def test_holes_belong_to_the_region_around_them() -> None:
    """A hole beside a hole, a ring in a hole, and a hole in that ring."""
    mask = np.zeros((11, 15), np.uint8)
    mask[2:9, 2:9] = VOID
    mask[3:8, 3:8] = 0
    mask[5, 5] = VOID
    mask[4:7, 11:13] = VOID
    regions = assert_exact(mask)
    assert [(region.area, len(region.holes)) for region in regions] == [(110, 2), (24, 1)]


def test_pixels_that_touch_by_corners_are_regions_of_their_own() -> None:
    mask = np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]], np.uint8)
    assert len(assert_exact(mask)) == 9


def test_a_hole_that_touches_the_outline_by_a_corner_is_a_hole() -> None:
    mask = np.array([[1, 1, VOID], [1, VOID, 1], [1, 1, 1]], np.uint8)
    (region,) = assert_exact(mask)
    assert len(region.holes) == 1
    mask = np.array([[1, 1, 1, 1], [1, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 1]], np.uint8)
    assert len(assert_exact(mask)[0].holes) == 2


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (6, 5)])
def test_a_mask_of_one_class_is_one_rectangle(size: tuple[int, int]) -> None:
    (region,) = assert_exact(np.full(size, 3, np.uint8))
    height, width = size
    assert region.outline.tolist() == [[0, 0], [width, 0], [width, height], [0, height]]


def test_nothing_has_no_polygon() -> None:
    assert assert_exact(np.full((4, 5), VOID, np.uint8)) == []
    assert list(find_regions([])) == []


def test_regions_do_not_depend_on_how_the_mask_is_read() -> None:
    mask = np.random.default_rng(0).integers(0, 3, (40, 30)).astype(np.uint8)
    whole, by_rows = list(find_regions([mask])), list(find_regions(np.split(mask, 40)))
    for one, other in zip(whole, by_rows, strict=True):
        assert one.outline.tolist() == other.outline.tolist()
        assert [h.tolist() for h in one.holes] == [h.tolist() for h in other.holes]
