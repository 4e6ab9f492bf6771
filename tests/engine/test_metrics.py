"""Scores against a count by hand and by plain loops."""

import json

import numpy as np
import pytest
import torch

from tiramisu.data.spec import load_spec
from tiramisu.engine.metrics import new_confusion_matrix, score
from tiramisu.engine.report import format_scores, scores_to_json


def test_scores_by_hand() -> None:
    # Truth 0: 3 right, 1 taken for 1. Truth 1: 2 right, 2 taken for 0.
    scores = score(np.array([[3, 1], [2, 2]]))
    assert scores.iou == pytest.approx([3 / 6, 2 / 5])
    assert scores.mean_iou == pytest.approx(0.45)
    assert scores.pixel_accuracy == pytest.approx(5 / 8)
    assert scores.mean_accuracy == pytest.approx((3 / 4 + 2 / 4) / 2)


def test_class_in_neither_is_left_out_of_the_means_and_said() -> None:
    scores = score(np.array([[4, 0, 0], [0, 0, 0], [0, 0, 4]]))
    assert scores.absent == [1]
    assert scores.mean_iou == 1
    assert scores.mean_accuracy == 1


def test_class_only_predicted_scores_zero() -> None:
    scores = score(np.array([[3, 1], [0, 0]]))
    assert scores.iou == pytest.approx([0.75, 0])
    assert scores.mean_iou == pytest.approx(0.375)
    assert scores.mean_accuracy == pytest.approx(0.75)  # of the one class in the truth


def test_matrix_counts_no_void_pixel_and_pools_over_updates() -> None:
    rng = np.random.default_rng(0)
    truth = rng.choice([0, 1, 2, 255], (4, 9, 7))
    predicted = rng.integers(0, 3, (4, 9, 7))
    expected = np.zeros((3, 3), int)
    for t, p in zip(truth.ravel(), predicted.ravel(), strict=True):
        if t != 255:
            expected[t, p] += 1
    matrix = new_confusion_matrix(3)
    for i in range(4):
        matrix.update(torch.tensor(predicted[i : i + 1]), torch.tensor(truth[i : i + 1]))
    counted = matrix.compute()
    assert counted.dtype == torch.int64
    assert counted.tolist() == expected.tolist()


def test_matrix_of_void_alone_scores_nothing() -> None:
    scores = score(np.zeros((3, 3), int))
    assert np.isnan(scores.mean_iou)
    assert scores.absent == [0, 1, 2]


def test_table_and_json_name_absent_classes_and_the_papers_row() -> None:
    spec = load_spec("camvid")
    matrix = np.diag(np.arange(10, 21))
    matrix[2, 2] = 0
    scores = score(matrix)
    table = format_scores(scores, spec, arch="fc103")
    assert "in no mean: Pole" in table
    assert "66.9" in table  # the paper's mean IoU
    assert max(map(len, table.splitlines())) <= 100
    values = json.loads(scores_to_json(scores, spec, settings={"split": "val"}))
    assert values["split"] == "val"
    assert values["iou"]["Pole"] is None
    assert values["iou"]["Sky"] == 1
