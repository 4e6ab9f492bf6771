import numpy as np
import pytest

from tiramisu.streets import draw_scene
from tiramisu.streets.scene import _blank_borders

SKY, BUILDING, POLE, ROAD, SIDEWALK, TREE, SIGN, FENCE, CAR, PEDESTRIAN, BICYCLIST = range(11)
VOID = 255


@pytest.fixture(scope="module")
def counts() -> np.ndarray:
    """Pixels of each label value (scenes, 256) in 40 small scenes."""
    labels = [draw_scene(seed, height=120, width=160)[1] for seed in range(40)]
    return np.stack([np.bincount(label.ravel(), minlength=256) for label in labels])


def test_a_seed_always_draws_the_same_bytes() -> None:
    first, again = (draw_scene(7, height=60, width=80) for _ in range(2))
    assert first[0].tobytes() == again[0].tobytes()
    assert first[1].tobytes() == again[1].tobytes()


def test_seeds_draw_different_streets() -> None:
    labels = [draw_scene(seed, height=60, width=80)[1] for seed in range(5)]
    for i, label in enumerate(labels):
        for other in labels[:i]:
            assert np.mean(label != other) > 0.1


@pytest.mark.parametrize(("height", "width"), [(32, 32), (33, 47), (121, 75), (360, 480)])
def test_any_size(height: int, width: int) -> None:
    image, label = draw_scene(3, height=height, width=width)
    assert image.shape == (height, width, 3)
    assert label.shape == (height, width)
    assert image.dtype == label.dtype == np.uint8
    assert set(np.unique(label)) <= {*range(11), VOID}
    assert image.std() > 20  # a picture, not a flat field


@pytest.mark.parametrize(("height", "width"), [(31, 64), (64, 31), (0, 0)])
def test_too_small_a_size_is_refused(height: int, width: int) -> None:
    with pytest.raises(ValueError, match=f"{height}x{width} pixels.*at least 32"):
        draw_scene(0, height=height, width=width)


@pytest.mark.parametrize("seed", range(4))
def test_a_seed_draws_the_same_street_at_every_size(seed: int) -> None:
    small = draw_scene(seed, height=90, width=120)[1]
    large = draw_scene(seed, height=270, width=360)[1][1::3, 1::3]
    seen = (small != VOID) & (large != VOID)
    assert np.mean(small[seen] == large[seen]) > 0.93


def test_classes_are_as_imbalanced_as_in_camvid(counts: np.ndarray) -> None:
    share = counts[:, :11].sum(0) / counts[:, :11].sum()
    assert 0.25 < share[ROAD] < 0.40
    assert 0.15 < share[BUILDING] < 0.30
    assert 0.12 < share[SKY] < 0.24
    assert 0.06 < share[TREE] < 0.16
    assert 0.03 < share[CAR] < 0.09
    assert 0.025 < share[SIDEWALK] < 0.08
    for rare in (POLE, SIGN, FENCE, PEDESTRIAN, BICYCLIST):
        assert 0.003 < share[rare] < 0.035


def test_every_class_is_in_at_least_half_of_the_scenes(counts: np.ndarray) -> None:
    assert np.all(np.mean(counts[:, :11] > 0, axis=0) >= 0.5)


def test_void_is_a_small_share(counts: np.ndarray) -> None:
    void = counts[:, VOID] / counts.sum(1)
    assert 0.015 < void.mean() < 0.05
    assert void.max() < 0.2


def test_borders_become_void_except_those_of_thin_classes() -> None:
    label = np.full((600, 8), SKY, np.uint8)  # so high that its whole border becomes void
    label[300:] = ROAD
    label[100:200, 4] = POLE
    _blank_borders(label, np.random.default_rng(0))
    assert np.all(label[299:301] == VOID)
    assert np.all(label[301:] == ROAD)
    assert np.all(label[100:200, 4] == POLE)
    assert label[150].tolist() == [SKY, SKY, SKY, VOID, POLE, VOID, SKY, SKY]


def test_colour_alone_does_not_give_the_class_away() -> None:
    """Guessing each pixel from its colour must stay far from a solved task."""
    scenes = [draw_scene(seed, height=60, width=80) for seed in range(40)]
    bins = [(image // 32).astype(int) @ (64, 8, 1) for image, _ in scenes]
    table = np.zeros((512, 256))
    for bin_, (_, label) in zip(bins[:30], scenes[:30], strict=True):
        np.add.at(table, (bin_.ravel(), label.ravel()), 1)
    guess = table[:, :11].argmax(1)
    hits = [
        np.mean(guess[b][label != VOID] == label[label != VOID])
        for b, (_, label) in zip(bins[30:], scenes[30:], strict=True)
    ]
    assert np.mean(hits) < 0.75
