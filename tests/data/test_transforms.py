import pickle

import numpy as np
import pytest

from tiramisu.data.transforms import TrainTransform

FULL = {"scale": (0.5, 2.0), "flip": True, "color": 1.0}


def colour_of(label: np.ndarray) -> np.ndarray:
    """An image that shows its label: one far-apart grey a value."""
    return np.repeat(label[..., None], 3, axis=-1)


def blocks(seed: int, *, height: int = 60, width: int = 80, side: int = 10) -> np.ndarray:
    """uint8 (H, W): squares of the values 0, 50, 100, 150, 200 and 250."""
    small = np.random.default_rng(seed).integers(0, 6, (height // side, width // side)) * 50
    return np.kron(small, np.ones((side, side))).astype(np.uint8)


@pytest.mark.parametrize("crop", [(32, 40), (100, 30), (100, 120), None])
def test_no_label_value_is_invented(crop: tuple[int, int] | None):
    """Single pixels of a rare value among another: any interpolation would show in between."""
    transform = TrainTransform(crop=crop, **FULL)
    for seed in range(60):
        rng = np.random.default_rng(seed)
        label = np.where(rng.random((60, 80)) < 0.05, 200, 3).astype(np.uint8)
        image = rng.integers(0, 256, (60, 80, 3), np.uint8)
        changed, changed_label = transform(image, label, seed=seed)
        assert changed.dtype == changed_label.dtype == np.uint8
        assert set(np.unique(changed_label)) <= {3, 200, 255}
        assert changed.shape == (*changed_label.shape, 3)
        assert crop is None or changed_label.shape == crop


@pytest.mark.parametrize("axis", [0, 1])
def test_image_and_label_stay_aligned(axis: int):
    """On a ramp, a shift between image and label by a part of a pixel shows as a bias."""
    ramp = np.tile(np.arange(200, dtype=np.uint8), (200, 1))
    ramp = ramp if axis == 1 else np.ascontiguousarray(ramp.T)
    transform = TrainTransform(crop=(120, 120), scale=(0.5, 2.0), flip=True)
    for seed in range(40):
        image, label = transform(colour_of(ramp), ramp, seed=seed)
        inside = label != 255
        error = (image[..., 0].astype(int) - label)[inside]
        if (np.diff(label.astype(int), axis=axis)[0, 0]) < 0:
            error = -error
        assert np.abs(error).max() <= 1
        assert abs(error.mean()) < 0.26


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.0, 1.3, 2.0])
def test_a_crop_shows_the_image_at_its_scale(factor: float):
    """As if the image were resized and then cut: label 255 is beyond it."""
    rows, columns = np.mgrid[:90, :120].astype(np.uint8)
    transform = TrainTransform(crop=(60, 50), scale=(factor, factor), flip=False)
    for seed in range(20):
        for ramp, axis in ((rows, 0), (columns, 1)):
            image, label = transform(colour_of(ramp), ramp, seed=seed)
            line = label.min(axis=1 - axis)
            assert image.shape == (60, 50, 3)
            shown = line[line != 255].astype(float)
            assert len(shown) == min(label.shape[axis], round(ramp.shape[axis] * factor))
            assert abs((shown[-1] - shown[0]) / (len(shown) - 1) - 1 / factor) < 0.03


@pytest.mark.parametrize("crop", [(32, 40), None])
@pytest.mark.parametrize("keep_shape", [False, True])
def test_turns_keep_image_and_label_together(crop: tuple[int, int] | None, keep_shape: bool):
    transform = TrainTransform(crop=crop, flip=False, rotate=True, keep_shape=keep_shape)
    label = blocks(0)
    shapes, corners = set(), set()
    for seed in range(40):
        image, turned = transform(colour_of(label), label, seed=seed)
        assert (image[..., 0] == turned).all()
        assert min(image.strides) > 0  # torch takes no others
        shapes.add(turned.shape)
        if crop is None:
            corners.add(tuple(int(value) for value in turned[[0, 0, -1], [0, -1, 0]]))
    if crop is not None:
        assert shapes == {crop}
    else:
        assert shapes == ({(60, 80)} if keep_shape else {(60, 80), (80, 60)})
        assert len(corners) == (2 if keep_shape else 4)


def test_turns_of_square_images_and_of_the_final_epochs():
    square = blocks(0, height=60, width=60)
    transform = TrainTransform(crop=None, flip=False, rotate=True, keep_shape=True)
    shown = {transform(colour_of(square), square, seed=s)[1].tobytes() for s in range(30)}
    assert shown == {np.rot90(square, n).tobytes() for n in range(4)}
    final = TrainTransform(crop=(32, 40), flip=False, rotate=True, keep_shape=True, whole_from=3)
    label = blocks(1)
    shapes = {final(colour_of(label), label, seed=s, epoch=3)[1].shape for s in range(20)}
    assert shapes == {(60, 80)}
    image, of_image = transform(colour_of(square), np.array(4), seed=1)
    assert of_image == 4
    assert image.shape == (60, 60, 3)


def test_padding_is_void_and_nothing_else_is():
    transform = TrainTransform(crop=(40, 50), flip=False)
    label = np.full((20, 30), 7, np.uint8)
    image = np.full((20, 30, 3), 9, np.uint8)
    corners = set()
    for seed in range(20):
        changed, changed_label = transform(image, label, seed=seed)
        assert (changed_label == 7).sum() == 20 * 30
        assert ((changed == 9).all(axis=-1) == (changed_label == 7)).all()
        assert (changed[changed_label == 255] == (124, 116, 104)).all()
        corners.add(tuple(np.argwhere(changed_label == 7)[0]))
    assert len(corners) > 10  # the place is random


def test_scale_flip_and_place_are_drawn_independently():
    """albumentations' own seeding would give each step the same numbers."""
    ramp = np.tile(np.arange(200, dtype=np.uint8), (100, 1))  # a column's value is its place
    transform = TrainTransform(crop=(50, 50), scale=(0.5, 2.0), flip=True)
    rows = []
    for seed in range(400):
        _, label = transform(colour_of(ramp), ramp, seed=seed)
        inside = label[25][label[25] != 255].astype(float)
        step = (inside[-1] - inside[0]) / (len(inside) - 1)
        rows.append((1 / abs(step), step < 0, (inside.min() + inside.max()) / 2))
    scale, flipped, place = np.array(rows, float).T
    assert scale.min() < 0.6
    assert scale.max() > 1.9
    assert 0.4 < flipped.mean() < 0.6
    for a, b in ((scale, flipped), (scale, place), (flipped, place)):
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.15


def test_color_changes_the_image_only_and_grows_with_strength():
    label = blocks(0)
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)

    def change(color: float) -> float:
        transform = TrainTransform(crop=None, flip=False, color=color)
        total = 0.0
        for seed in range(20):
            changed, same = transform(image, label, seed=seed)
            assert np.array_equal(same, label)
            total += np.abs(changed.astype(int) - image).mean()
        return total / 20

    assert change(0.0) == 0
    assert 1 < change(0.3) < change(1.0) < 60


def test_the_seed_chooses_the_changes_of_color():
    label = blocks(0)
    image = np.full((60, 80, 3), (200, 90, 90), np.uint8)
    transform = TrainTransform(crop=None, flip=False, color=1.0)
    changed = [transform(image, label, seed=seed)[0] for seed in range(100)]
    # Brightness, contrast, gamma and hue: each is left out sometimes, and rarely all of them.
    assert 85 <= sum(not np.array_equal(other, image) for other in changed) <= 99
    # Only a change of hue sets green and blue apart.
    assert 20 <= sum((other[..., 1] != other[..., 2]).any() for other in changed) <= 80


def test_the_seed_alone_decides():
    label = blocks(1)
    transform = TrainTransform(crop=(32, 32), **FULL)
    copy = pickle.loads(pickle.dumps(transform))
    first = transform(colour_of(label), label, seed=5)
    transform(colour_of(label), label, seed=6)
    for again in (transform, copy):
        for a, b in zip(first, again(colour_of(label), label, seed=5), strict=True):
            assert np.array_equal(a, b)


def test_images_stay_whole_from_the_epoch_asked_for():
    label = blocks(3)
    transform = TrainTransform(crop=(32, 32), whole_from=2, **FULL)
    for epoch, size in ((0, (32, 32)), (1, (32, 32)), (2, label.shape), (3, label.shape)):
        image, seen = transform(colour_of(label), label, seed=7, epoch=epoch)
        assert seen.shape == image.shape[:2] == size
    assert np.array_equal(seen, label) or np.array_equal(seen, label[:, ::-1])


def test_nothing_asked_nothing_changed():
    label = blocks(2)
    image, same = TrainTransform(crop=None, flip=False)(colour_of(label), label, seed=0)
    assert np.array_equal(image, colour_of(label))
    assert np.array_equal(same, label)


def test_a_margin_lets_the_crop_lie_beside_the_image():
    ramps = np.mgrid[:32, :32].astype(np.uint8)  # the row and the column of each pixel
    transform = TrainTransform(crop=(32, 32), flip=False, pad=4)
    shifts = set()
    for seed in range(300):
        shift = []
        for axis, ramp in enumerate(ramps):
            image, label = transform(colour_of(ramp), ramp, seed=seed)
            void = label == 255
            assert image.shape == (32, 32, 3)
            assert (image[void] == (124, 116, 104)).all()
            assert np.array_equal(image[~void][:, 0], label[~void])
            line = label.min(axis=1 - axis).astype(int)
            places = np.flatnonzero(line != 255)
            assert len({*(line[places] - places)}) == 1  # moved, not resized
            shift.append(int(line[places[0]] - places[0]))
        shifts.add(tuple(shift))
    assert {step for shift in shifts for step in shift} == set(range(-4, 5))
    assert len(shifts) > 70  # of 81


@pytest.mark.parametrize("crop", [(32, 40), (100, 120), None])
def test_the_class_of_an_image_stays_what_it_is(crop: tuple[int, int] | None):
    """And the image is changed as that of a segmentation is."""
    transform = TrainTransform(crop=crop, **FULL, pad=0 if crop is None else 3)
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    for seed in range(20):
        changed, label = transform(image, np.array(300), seed=seed)
        assert np.array_equal(label, np.array(300))
        assert label.shape == ()
        assert np.array_equal(changed, transform(image, blocks(0), seed=seed)[0])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"crop": (0, 10)}, "crop is"),
        ({"scale": (2.0, 1.0)}, "scale is"),
        ({"scale": (0.0, 1.0)}, "scale is"),
        ({"color": 1.5}, "color is"),
        ({"pad": -1, "crop": (8, 8)}, "pad is -1"),
        ({"pad": 4}, "pad is 4, crop None; expected .* only with a crop"),
    ],
)
def test_values_out_of_range_are_refused(wrong: dict, message: str):
    with pytest.raises(ValueError, match=message):
        TrainTransform(**{"crop": None, "flip": False, **wrong})
