from collections import Counter
from typing import Any

import cv2
import numpy as np
import pytest

from tiramisu.streets import OBJECTS, draw_object, objects


def test_a_seed_always_draws_the_same_bytes():
    (first, kind), (again, same) = (draw_object(17, size=32) for _ in range(2))
    assert first.tobytes() == again.tobytes()
    assert kind == same == 17 % len(OBJECTS)


@pytest.mark.parametrize("size", [16, 32, 45])
def test_any_size_shows_the_same_object(size: int):
    for seed in range(len(OBJECTS)):
        image, kind = draw_object(seed, size=size)
        assert image.shape == (size, size, 3)
        assert image.dtype == np.uint8
        assert kind == seed
        large = cv2.resize(
            draw_object(seed, size=64)[0], (size, size), interpolation=cv2.INTER_AREA
        )
        assert np.corrcoef(image.ravel(), large.ravel())[0, 1] > 0.8


def test_a_size_too_small_is_refused():
    with pytest.raises(ValueError, match="an object of 15 pixels was asked for; give a size of 16"):
        draw_object(0, size=15)


def test_seeds_differ():
    count = len(OBJECTS)
    images = [draw_object(seed, size=32)[0].astype(int) for seed in range(0, 20 * count, count)]
    for i, image in enumerate(images):
        assert image.std() > 10  # a picture, not a flat field
        assert all(np.abs(image - other).mean() > 10 for other in images[:i])


def test_the_picture_alone_tells_the_classes_apart():
    """A plain nearest-mean rule on coarse pictures is far above chance, and far from perfect."""
    count, pictures = len(OBJECTS), []
    for seed in range(40 * count):
        gray = cv2.cvtColor(draw_object(seed, size=32)[0], cv2.COLOR_RGB2GRAY).astype(np.float32)
        small = cv2.resize(gray, (8, 8), interpolation=cv2.INTER_AREA)
        pictures.append(((small - small.mean()) / (small.std() + 1)).ravel())
    data = np.stack(pictures).reshape(40, count, -1)
    means = data[:30].mean(axis=0)
    guess = np.linalg.norm(data[30:, :, None] - means, axis=-1).argmin(axis=-1)
    assert 0.2 < np.mean(guess == np.arange(count)) < 0.9


def test_lamp_posts_bollards_and_clutter_stand_beside_the_object(monkeypatch: pytest.MonkeyPatch):
    placed: list[tuple[int, str, dict[str, Any]]] = []
    seeds = range(OBJECTS.index("pedestrian"), 600, len(OBJECTS))
    for kind in ("draw_lamp_post", "draw_bollard", "draw_clutter"):
        monkeypatch.setattr(
            objects, kind, lambda painter, kind=kind, **place: placed.append((seed, kind, place))
        )
    for seed in seeds:
        draw_object(seed, size=16)

    assert set(Counter(seed for seed, _, _ in placed).values()) == {1, 2}
    assert len({seed for seed, _, _ in placed}) < len(seeds)  # and sometimes there is none
    kinds = Counter(kind for _, kind, _ in placed)
    assert len(kinds) == 3
    assert min(kinds.values()) > len(placed) / 6
    sides = Counter(np.sign(place["x"]) for _, _, place in placed)
    assert min(sides[-1], sides[1]) > len(placed) / 4
    for _, kind, place in placed:
        assert 0.45 * 1.8 <= abs(place["x"]) <= 1.1 * 1.8  # a pedestrian is 1.8 m tall, at x = 0
        if kind == "draw_lamp_post":  # its arm reaches to the middle
            assert np.sign(place["x"]) == place["side"]
