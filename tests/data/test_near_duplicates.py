"""Near-duplicates are found among images of every type, and different images are none."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from tiramisu.data.near_duplicates import find_near_duplicates, fingerprint
from tiramisu.data.readers.image_file import read_image

Image = npt.NDArray[Any]


def scene(seed: int, *, height: int = 120, width: int = 160, bands: int = 3) -> Image:
    """A random texture with details of some pixels, uint8 (H, W, bands)."""
    noise = np.random.default_rng(seed).normal(size=(height, width, bands)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 4).reshape(height, width, bands)
    return np.asarray((128 + 40 * smooth / smooth.std()).clip(0, 255), np.uint8)


def jpeg(image: Image) -> Image:
    _, content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 60])
    return np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR))


CHANGES: dict[str, Callable[[Image], Image]] = {
    "jpeg": jpeg,
    "brighter": lambda image: (image * 1.1 + 8).clip(0, 255).astype(np.uint8),
    "shifted": lambda image: image[2:, 1:],
    "shrunk": lambda image: cv2.resize(image, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA),
    "enlarged": lambda image: cv2.resize(image, None, fx=1.7, fy=1.7),
    "16 bits": lambda image: image.astype(np.uint16) * 257,
    "shares": lambda image: image / 255,
    "large numbers": lambda image: image.astype(np.float64) + 1e5,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("count", [2, 40])
def test_changed_copy_is_a_near_duplicate_of_its_image_alone(
    change: Callable[[Image], Image], count: int
) -> None:
    images = [scene(seed) for seed in range(count)]
    prints = [fingerprint(image) for image in [*images, change(images[1])]]
    assert find_near_duplicates(np.array(prints)) == [(1, count)]


@pytest.mark.parametrize("bands", [1, 2, 4, 7])
def test_every_number_of_bands_has_a_fingerprint_of_length_one(bands: int) -> None:
    print_ = fingerprint(scene(0, bands=bands))
    assert print_.dtype == np.float32
    assert print_.ndim == 1
    assert np.linalg.norm(print_) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("hole", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_hardly_change_the_fingerprint(hole: float) -> None:
    image = scene(0).astype(np.float32)
    holed = image.copy()
    holed[:6, :6] = hole
    assert fingerprint(image) @ fingerprint(holed) > 0.95


@pytest.mark.parametrize("value", [0, 255, np.nan, 1e6])
def test_images_without_details_are_no_near_duplicates(value: float) -> None:
    flat = np.full((40, 50, 3), value, np.float32)
    prints = np.array([fingerprint(flat), fingerprint(flat), fingerprint(scene(0))])
    assert find_near_duplicates(prints) == []


def test_a_small_image_has_a_fingerprint() -> None:
    assert np.linalg.norm(fingerprint(scene(0, height=9, width=7))) == pytest.approx(1, abs=1e-5)


def test_a_border_that_all_images_share_makes_no_near_duplicates() -> None:
    images = [scene(seed) for seed in range(30)]
    for image in images:
        cv2.circle(image, (80, 60), 78, (0, 0, 0), thickness=40)
    images.append(jpeg(images[4]))
    assert find_near_duplicates(np.array([fingerprint(image) for image in images])) == [(4, 30)]


def test_pairs_in_different_blocks_are_found_once() -> None:
    rng = np.random.default_rng(0)
    prints = rng.normal(size=(2500, 64)).astype(np.float32)
    prints[[2400, 1500]] = prints[[3, 1200]]
    prints[2300] = prints[2299]
    prints /= np.linalg.norm(prints, axis=1, keepdims=True)
    assert find_near_duplicates(prints) == [(3, 2400), (1200, 1500), (2299, 2300)]


def test_threshold_is_the_smallest_similarity_of_a_pair() -> None:
    prints = np.array([[1, 0], [0.8, 0.6], [0, 1]], np.float32)
    assert find_near_duplicates(prints, threshold=0.79) == [(0, 1)]
    assert find_near_duplicates(prints, threshold=0.5) == [(0, 1), (1, 2)]


def test_no_image_has_no_pairs() -> None:
    assert find_near_duplicates(np.empty((0, 1024), np.float32)) == []


SAMPLES = Path(os.environ.get("TIRAMISU_SAMPLES", ""))
CAMVID = Path(os.environ.get("TIRAMISU_CAMVID", ""))


@pytest.mark.skipif("TIRAMISU_SAMPLES" not in os.environ, reason="TIRAMISU_SAMPLES is not set")
@pytest.mark.parametrize("folder", ["cracks/images", "membrane/image"])
def test_different_photos_of_one_material_are_no_near_duplicates(folder: str) -> None:
    paths = sorted((SAMPLES / folder).iterdir())
    assert find_near_duplicates(np.array([fingerprint(read_image(path)) for path in paths])) == []


@pytest.mark.skipif("TIRAMISU_CAMVID" not in os.environ, reason="TIRAMISU_CAMVID is not set")
def test_near_duplicates_of_a_video_are_close_in_time() -> None:
    paths = sorted((CAMVID / "train").iterdir())
    pairs = find_near_duplicates(np.array([fingerprint(read_image(path)) for path in paths]))
    neighbours = [(i, i + 1) for i in range(len(paths) - 1)]
    assert len(set(pairs) & set(neighbours)) >= 20
    assert all(j - i <= 8 for i, j in pairs)
    assert all(paths[i].name[:6] == paths[j].name[:6] for i, j in pairs)
