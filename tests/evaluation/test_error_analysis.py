"""Boundary IoU and where errors lie, against plain computations."""

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from tiramisu.evaluation import error_analysis
from tiramisu.evaluation.error_analysis import DISTANCES, SIDES, ErrorMeter

Mask = npt.NDArray[np.bool_]


def draw(seed: int, *, height: int = 60, width: int = 80) -> npt.NDArray[np.uint8]:
    blocks = np.random.default_rng(seed).integers(0, 4, (6, 8)).astype(np.uint8)
    return cv2.resize(blocks, (width, height), interpolation=cv2.INTER_NEAREST)


def erode(mask: Mask, times: int) -> Mask:
    """What is left of a mask, step by step; outside the image it is empty."""
    for _ in range(times):
        rows = np.pad(mask, 1)
        shifts = [
            rows[y : y + mask.shape[0], x : x + mask.shape[1]] for y in range(3) for x in range(3)
        ]
        mask = np.logical_and.reduce(shifts)
    return mask


def test_boundary_iou_is_that_of_the_paper():
    labels = [draw(0), draw(1, height=100, width=50)]
    meter, counts = ErrorMeter(4, 255), np.zeros((2, 4))
    for label in labels:
        label[:7] = 255
        prediction = np.roll(label, 1, axis=1)
        width = round(0.02 * np.hypot(*label.shape))
        seen = np.where(label == 255, 255, prediction)
        own = np.zeros((2, 4))
        for index in range(4):
            bands = [mask & ~erode(mask, width) for mask in (seen == index, label == index)]
            own[:, index] = (bands[0] & bands[1]).sum(), (bands[0] | bands[1]).sum()
        assert meter.update(prediction, label) == pytest.approx(own[0] / own[1])
        counts += own
    analysis = meter.compute()
    assert analysis.boundary_iou == pytest.approx(counts[0] / counts[1])
    assert analysis.mean_boundary_iou == pytest.approx((counts[0] / counts[1]).mean())


def test_a_perfect_prediction_and_absent_classes():
    label = draw(0)
    meter = ErrorMeter(6, 255)
    meter.update(label, label)
    analysis = meter.compute()
    assert analysis.boundary_iou[:4] == pytest.approx(1)
    assert np.isnan(analysis.boundary_iou[4:]).all()
    assert analysis.mean_boundary_iou == 1
    assert analysis.near_border[1].sum() == analysis.by_size[2].sum() == 0


def test_errors_by_distance_to_borders():
    label = np.zeros((40, 100), np.uint8)
    label[:, 60:] = 1  # the border is between columns 59 and 60
    label[:, 90:] = 255  # that of void is none
    prediction = label.copy()
    prediction[:, [59, 57, 40]] = 1
    prediction[:, 95] = 0  # void
    meter = ErrorMeter(2, 255)
    meter.update(prediction, label)
    known, wrong = meter.compute().near_border
    distances = np.concatenate([np.arange(60)[::-1], np.arange(30)])
    for index, start in enumerate(DISTANCES):
        end = [*DISTANCES, 1000][index + 1]
        assert known[index] == 40 * ((distances >= start) & (distances < end)).sum()
    assert wrong.tolist() == [40, 40, 0, 0, 40, 0]  # at distances 0, 2 and 19


def test_an_image_of_one_class_is_far_from_borders():
    meter = ErrorMeter(2, 255)
    meter.update(np.zeros((8, 9), np.uint8), np.zeros((8, 9), np.uint8))
    assert meter.compute().near_border[0].tolist() == [0] * (len(DISTANCES) - 1) + [72]


def test_errors_by_the_size_of_objects():
    label = np.full((100, 100), 255, np.uint8)
    label[:4, :4] = 0  # two objects of side 4, which do not touch
    label[10:14, :4] = 0
    label[30:70, 30:70] = 1
    prediction = label.copy()
    prediction[0, :4] = 1
    prediction[30:70, 30:40] = 0
    meter = ErrorMeter(2, 255)
    meter.update(prediction, label)
    objects, pixels, wrong = meter.compute().by_size
    assert objects.tolist() == [2, 0, 0, 1, 0, 0]
    assert pixels.tolist() == [32, 0, 0, 1600, 0, 0]
    assert wrong.tolist() == [4, 0, 0, 400, 0, 0]
    assert SIDES[3] == 32


def test_a_large_image_is_analysed_in_parts(monkeypatch: pytest.MonkeyPatch):
    label, prediction = draw(0, height=64, width=64), draw(1, height=64, width=64)
    whole = ErrorMeter(4, 255)
    whole.update(prediction, label)
    monkeypatch.setattr(error_analysis, "_LONGEST", 30)
    parts = ErrorMeter(4, 255)
    parts.update(prediction, label)
    for kind in ("near_border", "by_size"):
        one, many = (getattr(meter.compute(), kind) for meter in (whole, parts))
        assert one[-2:].sum() == pytest.approx(many[-2:].sum())  # no pixel is lost, or seen twice
        assert one[-1].sum() == many[-1].sum() == (label != prediction).sum()
