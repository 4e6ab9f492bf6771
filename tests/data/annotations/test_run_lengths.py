import numpy as np
import pytest
from tiny_annotations import brush, pack

from tiramisu.data.annotations.run_lengths import (
    RunLengths,
    as_counts,
    from_mask,
    read_brush,
    read_coco_counts,
)

RING = np.zeros((7, 9), bool)
RING[1:6, 2:8] = True
RING[3, 4:6] = False


def test_holes_survive() -> None:
    np.testing.assert_array_equal(from_mask(RING).decode(), RING)


@pytest.mark.parametrize("mask", [np.ones((2, 3), bool), np.zeros((2, 3), bool)])
def test_masks_of_one_value(mask) -> None:
    np.testing.assert_array_equal(from_mask(mask).decode(), mask)


@pytest.mark.parametrize("counts", [[5], [7], [2**31 - 1, 7], []])
def test_wrong_counts(counts) -> None:
    with pytest.raises(ValueError, match="do not give 2 x 3 pixels"):
        RunLengths(height=2, width=3, counts=as_counts(counts))


@pytest.mark.parametrize("count", [-1, 2**31])
def test_absurd_counts(count) -> None:
    with pytest.raises(ValueError, match="a run length below 0 or above"):
        as_counts([3, count])


def test_coco_strings_are_read_as_pycocotools_does() -> None:
    coco = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(0)
    for height, width, share in [(7, 9, 0.5), (300, 200, 0.01), (40, 2000, 0.999), (1, 1, 1)]:
        mask = rng.random((height, width)) < share
        text = coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
        counts = read_coco_counts(text)
        runs = RunLengths(height=height, width=width, counts=counts, by_columns=True)
        np.testing.assert_array_equal(runs.decode(), mask)


@pytest.mark.parametrize("text", ["", "o", "0o", "0123\x00", "\u00e9", "p" * 4, "o" * 8 + "0"])
def test_damaged_coco_strings(text) -> None:
    with pytest.raises(ValueError, match="no run lengths in COCO's compressed form"):
        read_coco_counts(text)


@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.parametrize("sizes", [(3, 4, 8, 16), (1, 2, 3, 11)])
def test_brush_strokes(equal, sizes) -> None:
    runs = read_brush(pack(brush(RING), sizes=sizes, equal=equal), height=7, width=9)
    np.testing.assert_array_equal(runs.decode(), RING)


def test_brush_strokes_of_two_bits() -> None:
    values = [min(value, 3) for value in brush(RING)]
    runs = read_brush(pack(values, word=2), height=7, width=9)
    np.testing.assert_array_equal(runs.decode(), RING)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rle: rle[:-2], "ends too early"),
        (lambda rle: rle[:3], "ends too early"),
        (lambda rle: [255, *rle[1:]], "expected 4 for each of 7 x 9 pixels"),
        (lambda rle: [*rle[:-1], 256], "a byte is below 0 or above 255"),
    ],
)
def test_damaged_brush_strokes(change, message) -> None:
    with pytest.raises(ValueError, match=message):
        read_brush(change(pack(brush(RING))), height=7, width=9)


def test_a_brush_stroke_with_too_many_values() -> None:
    rle = pack([0] * 500)
    rle[:4] = list((7 * 9 * 4).to_bytes(4, "big"))
    with pytest.raises(ValueError, match="it holds too many values"):
        read_brush(rle, height=7, width=9)
