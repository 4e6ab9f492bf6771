"""An augmentation of one's own comes last, and depends on the seed alone."""

import random

import albumentations as A
import numpy as np
import numpy.typing as npt
import pytest
import tiny_parts
import torch

from tiramisu.data.own_transform import OwnTransform
from tiramisu.data.sample import DataError
from tiramisu.data.transforms import TrainTransform

FIRST = TrainTransform(crop=None, flip=False)
RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (16, 16, 3)).astype(np.uint8)
MASK = RNG.integers(0, 3, (16, 16)).astype(np.uint8)
LABEL = np.array(2)


def apply(own: object, *, seed: int = 1, label: npt.NDArray[np.generic] = MASK):
    return OwnTransform(FIRST, own)(IMAGE, label, seed=seed, epoch=0)


@pytest.mark.parametrize("own", [tiny_parts.turns, A.RandomRotate90(p=1), tiny_parts.noise])
def test_the_seed_decides(own: object) -> None:
    images = {}
    for seed in range(8):
        image, mask = apply(own, seed=seed)
        again, mask_again = apply(own, seed=seed)
        np.testing.assert_array_equal(image, again)
        np.testing.assert_array_equal(mask, mask_again)
        images[seed] = image.tobytes()
    assert len(set(images.values())) > 2


def test_image_and_mask_turn_together() -> None:
    image, mask = OwnTransform(FIRST, A.RandomRotate90(p=1))(
        np.stack([MASK] * 3, axis=2), MASK, seed=3, epoch=0
    )
    np.testing.assert_array_equal(image[..., 0], mask)
    assert any((np.rot90(MASK, k) == mask).all() for k in range(4))


def test_it_comes_after_the_other_transform() -> None:
    first = TrainTransform(crop=(8, 8), flip=False)
    seen = []

    def look(image, mask):
        seen.append((image.shape, mask.shape))
        return image, mask

    expected = first(IMAGE, MASK, seed=5, epoch=0)
    found = OwnTransform(first, look)(IMAGE, MASK, seed=5, epoch=0)
    assert seen == [((8, 8, 3), (8, 8))]
    for before, after in zip(expected, found, strict=True):
        np.testing.assert_array_equal(before, after)


def test_global_random_numbers_go_on_as_before() -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), np.random.random(), float(torch.rand(()))  # noqa: NPY002

    for seeded in (random.seed, np.random.seed, torch.manual_seed):
        seeded(9)
    expected = draw()
    for seeded in (random.seed, np.random.seed, torch.manual_seed):
        seeded(9)
    apply(tiny_parts.noise)
    assert draw() == expected


def test_the_originals_are_not_changed() -> None:
    def paint(image, mask):
        image[:] = 0
        mask[:] = 1
        return image, mask

    before = IMAGE.copy(), MASK.copy()
    apply(paint)
    np.testing.assert_array_equal(IMAGE, before[0])
    np.testing.assert_array_equal(MASK, before[1])


@pytest.mark.parametrize("own", [tiny_parts.turns, tiny_parts.noise])
def test_whole_images_keep_their_label(own: object) -> None:
    image, label = apply(own, label=LABEL)
    assert image.shape == IMAGE.shape
    assert label.shape == ()
    assert label == 2


def broken(image, mask):
    return 1 / 0


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (tiny_parts.as_floats, r"image \(16, 16, 3\) float64; expected \(16, 16, 3\) uint8"),
        (A.RandomCrop(8, 8), r"image \(8, 8, 3\) uint8; expected \(16, 16, 3\)"),
        (tiny_parts.only_image, "returns an object of ndarray; expected two arrays"),
        (
            lambda image, mask: (image, torch.zeros(3)),
            "an object of Tensor as mask; expected an array",
        ),
        (broken, r"test_own_transform\.py, line \d+: ZeroDivisionError"),
        (lambda image: image, "TypeError"),
    ],
)
def test_wrong_results(own: object, message: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        apply(own)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("own", [A.HorizontalFlip, 3, tiny_parts.TinyLoss])
def test_wrong_kinds(own: object) -> None:
    with pytest.raises(ValueError, match="expected an object of albumentations, such as"):
        apply(own)
