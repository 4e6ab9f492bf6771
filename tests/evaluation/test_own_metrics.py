"""Metrics of one's own: what they are given, and what they may give."""

import numpy as np
import pytest
import tiny_parts
import torch
from torchmetrics.classification import MulticlassF1Score

from tiramisu.evaluation.meter import Meter
from tiramisu.evaluation.own_metrics import OwnMetrics, metric_names

LABELS = torch.tensor([[[0, 0, 1, 255], [2, 2, 255, 1]]])
CLASSES = torch.tensor([[[0, 1, 1, 0], [2, 2, 1, 0]]], dtype=torch.uint8)


def meter(*own: object) -> Meter:
    return Meter("segmentation", 3, ignore_index=255, own=own)


def scores(*own: object) -> dict[str, float]:
    made = meter(*own)
    made.update(CLASSES, torch.ones(1, 2, 4), LABELS)
    return dict(made.compute().own)


def test_values() -> None:
    found = scores(
        tiny_parts.recall_of_first, tiny_parts.Pixels, tiny_parts.Shape, MulticlassF1Score
    )
    # Class 0: 1 right of 2 labelled and 2 predicted; class 1: 1 of 2 and 2; class 2: 2 of 2 and 2.
    f1 = (0.5 + 0.5 + 1) / 3
    assert found == {
        "recall_of_first": 0.5,
        "Pixels": 6,
        "Shape": 3,
        "MulticlassF1Score": pytest.approx(f1),
    }
    assert scores(MulticlassF1Score(3, ignore_index=255))["MulticlassF1Score"] == pytest.approx(f1)
    assert scores(MulticlassF1Score(3))["MulticlassF1Score"] == pytest.approx(f1)
    assert scores() == {}


def test_batches_add_up_until_they_are_forgotten() -> None:
    made = meter(tiny_parts.Pixels)
    for expected in (6, 12):
        made.update(CLASSES, torch.ones(1, 2, 4), LABELS)
        assert made.compute().own["Pixels"] == expected
    made.reset()
    made.update(CLASSES, torch.ones(1, 2, 4), LABELS)
    assert made.compute().own["Pixels"] == 6


def test_the_matrix_has_rows_for_ground_truth() -> None:
    seen = []

    def look(matrix: np.ndarray) -> float:
        seen.append(matrix)
        return 0.0

    scores(look)
    assert seen[-1].dtype == np.int64
    assert seen[-1].tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 2]]


@pytest.mark.parametrize("shared", [False, True])
def test_processes_share_only_in_training(shared: bool) -> None:
    metrics = OwnMetrics([tiny_parts.Pixels], num_classes=3, ignore_index=255, shared=shared)
    assert metrics.metrics["Pixels"].sync_on_compute is shared
    assert metrics.metrics["Pixels"]._to_sync is shared


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (
            tiny_parts.correct_of_each,
            r"correct_of_each gives values of the shape \(3,\); expected one",
        ),
        (
            MulticlassF1Score(3, average=None),
            r"gives values of the shape \(3,\); expected one number",
        ),
        (lambda matrix: "much", "gives an object of str; expected one number"),
        (lambda matrix: 1 / 0, r"fails: .*test_own_metrics\.py, line \d+: ZeroDivisionError"),
        (tiny_parts.TinyLoss, "is the class TinyLoss; expected a class of torchmetrics, or a"),
        (3, "is an object of int; expected a class of torchmetrics"),
    ],
)
def test_wrong_metrics(own: object, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        meter(own)
    assert "\n" not in str(error.value)


def test_names_are_different() -> None:
    assert metric_names([tiny_parts.Pixels, tiny_parts.recall_of_first, lambda m: 0.0]) == [
        "Pixels", "recall_of_first", "lambda"
    ]  # fmt: skip
    with pytest.raises(ValueError, match="two are called Pixels; expected different names"):
        metric_names([tiny_parts.Pixels, tiny_parts.Pixels()])
