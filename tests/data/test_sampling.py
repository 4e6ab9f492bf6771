from collections import Counter

import numpy as np
import pytest

from tiramisu.data.loader import EpochSampler
from tiramisu.data.sample import SampleKey
from tiramisu.data.sampling import RareClassSampling
from tiramisu.data.transforms import TrainTransform

COUNTS = np.array([[900, 100, 0, 0]] * 9 + [[880, 100, 20, 0]])
"""Ten samples; class 2 is in the last one only, and class 3 in none."""


def epochs(sampler: EpochSampler, number: int) -> list[SampleKey]:
    keys = []
    for epoch in range(number):
        sampler.set_epoch(epoch)
        keys += list(sampler)
    return keys


def make(**options: int) -> EpochSampler:
    sampling = RareClassSampling(counts=COUNTS, until=options.pop("until", None))
    return EpochSampler(range(10), shuffle=True, seed=3, sampling=sampling, **options)


def test_rare_classes_come_more_often():
    keys = epochs(make(), 200)
    focused = [key for key in keys if key.focus is not None]
    assert 0.45 < len(focused) / len(keys) < 0.55
    classes = Counter(key.focus for key in focused)
    assert set(classes) == {0, 1, 2}
    # By the square root of the shares 0.898, 0.1 and 0.002.
    for common, rare, share in ((0, 1, 0.898 / 0.1), (1, 2, 0.1 / 0.002)):
        assert classes[rare] / classes[common] == pytest.approx(share**0.5, rel=0.25)
    assert {key.index for key in focused if key.focus == 2} == {9}
    assert {key.index for key in focused if key.focus == 1} == set(range(10))
    plain = Counter(key.index for key in keys if key.focus is None)
    assert all(plain[index] == pytest.approx(100, rel=0.35) for index in range(10))


def test_samples_depend_on_seed_and_epoch_alone():
    assert epochs(make(), 3) == epochs(make(), 3)
    later = make()
    later.set_epoch(2)
    assert list(later) == epochs(make(), 3)[20:]
    assert list(later) != epochs(make(), 1)


def test_no_two_samples_of_an_epoch_are_the_same():
    keys = epochs(make(crops_per_image=30), 1)
    assert len(keys) == len(set(keys)) == 300


def test_final_epochs_show_each_sample_once():
    keys = epochs(make(until=1), 2)
    assert any(key.focus is not None for key in keys[:10])
    assert sorted(key.index for key in keys[10:]) == list(range(10))
    assert all(key.focus is None for key in keys[10:])


def test_processes_share_the_samples():
    shares = [epochs(make(rank=rank, world_size=2), 1) for rank in range(2)]
    assert set(shares[0]) | set(shares[1]) == set(epochs(make(), 1))
    assert not set(shares[0]) & set(shares[1])


def test_nothing_is_chosen_where_no_pixel_is_labelled():
    sampling = RareClassSampling(counts=np.zeros((2, 3), np.int64))
    keys = [SampleKey(0), SampleKey(1)]
    assert sampling.choose(keys, seed=0, epoch=0) == keys


def test_several_crops_of_an_image():
    sampler = EpochSampler(range(3), shuffle=True, seed=0, crops_per_image=4)
    keys = list(sampler)
    assert len(sampler) == len(set(keys)) == 12
    assert Counter(key.index for key in keys) == {0: 4, 1: 4, 2: 4}


@pytest.mark.parametrize("scale", [(1.0, 1.0), (0.5, 2.0)])
@pytest.mark.parametrize("place", [(0, 0), (59, 79), (30, 2)])
def test_a_crop_shows_its_class(place: tuple[int, int], scale: tuple[float, float]):
    label = np.zeros((60, 80), np.uint8)
    rows, columns = (slice(max(0, middle - 2), middle + 3) for middle in place)
    label[rows, columns] = 2
    image = np.repeat(label[..., None], 3, axis=-1)
    transform = TrainTransform(crop=(16, 16), scale=scale, flip=True)
    chance = [(transform(image, label, seed=seed)[1] == 2).any() for seed in range(60)]
    focused = [(transform(image, label, seed=seed, focus=2)[1] == 2).any() for seed in range(60)]
    assert sum(chance) < 40
    assert all(focused)


def test_the_class_is_at_any_place_of_the_crop():
    label = np.zeros((100, 100), np.uint8)
    label[50, 50] = 1
    transform = TrainTransform(crop=(10, 10), flip=False)
    image = np.repeat(label[..., None], 3, axis=-1)
    places = [
        tuple(np.argwhere(transform(image, label, seed=seed, focus=1)[1] == 1)[0])
        for seed in range(300)
    ]
    assert {row for row, _ in places} == {column for _, column in places} == set(range(10))


def test_a_class_that_is_not_there_leaves_the_crop_at_random():
    label = np.random.default_rng(0).integers(0, 2, (60, 80)).astype(np.uint8)
    image = np.repeat(label[..., None], 3, axis=-1)
    transform = TrainTransform(crop=(16, 16), flip=True)
    for seed in range(10):
        usual, other = (
            transform(image, label, seed=seed),
            transform(image, label, seed=seed, focus=7),
        )
        assert all(np.array_equal(a, b) for a, b in zip(usual, other, strict=True))
