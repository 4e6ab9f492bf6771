"""Scores that follow from a confusion matrix, and their table and JSON."""

import json

import numpy as np
import pytest
import torch

from tiramisu.data.catalog import load_spec
from tiramisu.evaluation.meter import Meter
from tiramisu.evaluation.score_files import format_scores, scores_to_json
from tiramisu.evaluation.scores import score, score_classes


def test_scores_by_hand() -> None:
    # Ground truth 0: 3 right, 1 predicted as 1. Ground truth 1: 2 right, 2 predicted as 0.
    scores = score(np.array([[3, 1], [2, 2]]))
    assert scores.iou == pytest.approx([3 / 6, 2 / 5])
    assert scores.mean_iou == pytest.approx(0.45)
    assert scores.pixel_accuracy == pytest.approx(5 / 8)
    assert scores.mean_accuracy == pytest.approx((3 / 4 + 2 / 4) / 2)
    assert scores.precision == pytest.approx([3 / 5, 2 / 3])
    assert scores.dice == pytest.approx([2 * 3 / (4 + 5), 2 * 2 / (4 + 3)])
    assert scores.mean_precision == pytest.approx((3 / 5 + 2 / 3) / 2)
    assert scores.mean_dice == pytest.approx((6 / 9 + 4 / 7) / 2)


def test_an_absent_class_is_left_out_of_the_means() -> None:
    scores = score(np.array([[4, 0, 0], [0, 0, 0], [0, 0, 4]]))
    assert scores.absent == [1]
    assert scores.mean_iou == 1
    assert scores.mean_accuracy == 1


def test_a_class_that_is_only_predicted_has_iou_0() -> None:
    scores = score(np.array([[3, 1], [0, 0]]))
    assert scores.iou == pytest.approx([0.75, 0])
    assert scores.mean_iou == pytest.approx(0.375)
    assert scores.mean_accuracy == pytest.approx(0.75)  # of the only class in the labels
    assert scores.dice == pytest.approx([6 / 7, 0])
    assert scores.precision == pytest.approx([1, 0])


def test_a_class_that_is_never_predicted_has_no_precision() -> None:
    scores = score(np.array([[3, 0], [1, 0]]))
    assert scores.precision[0] == pytest.approx(0.75)
    assert np.isnan(scores.precision[1])
    assert scores.mean_precision == pytest.approx(0.75)
    assert scores.mean_dice == pytest.approx((6 / 7) / 2)


def test_a_split_without_labels_has_no_scores() -> None:
    scores = score(np.zeros((3, 3), int))
    assert np.isnan(scores.mean_iou)
    assert scores.absent == [0, 1, 2]


def test_table_and_json_show_absent_classes_and_published_scores() -> None:
    spec = load_spec("camvid")
    matrix = np.diag(np.arange(10, 21))
    matrix[2, 2] = 0
    scores = score(matrix)
    table = format_scores(scores, spec, arch="fc103")
    assert "left out of the mean: Pole." in table
    assert "66.9" in table  # the paper's mean IoU
    assert max(map(len, table.splitlines())) <= 100
    heading, sky, *rest = table.splitlines()
    assert heading.split()[:5] == ["IoU", "Dice", "precision", "recall", "pixels"]
    assert sky.split()[:5] == ["Sky", *4 * ["100.0"]]
    assert sky.index("100.0", 50) + 5 == heading.index("recall") + 6  # below its heading
    assert {line.split("  ")[0] for line in rest} >= {"mean Dice", "mean precision"}
    values = json.loads(scores_to_json(scores, spec, settings={"split": "val"}))
    assert values["split"] == "val"
    assert values["iou"]["Pole"] is None
    assert values["iou"]["Sky"] == 1


def test_there_is_no_top5_of_five_classes() -> None:
    meter = Meter("classification", 5, ignore_index=-1)
    meter.update_logits(torch.eye(5), torch.arange(5))
    assert meter.compute().top1 == 1
    assert np.isnan(meter.compute().top5)


def test_table_and_json_of_a_classification() -> None:
    spec = load_spec("objects")
    matrix = np.diag([5] * 10)
    matrix[0, 1] = 5
    scores = score_classes(matrix, top5=0.98)
    table = format_scores(scores, spec, arch="densenet_bc100_12").splitlines()
    assert table[1].split() == ["car", "50.0", "100.0", "10"]
    assert table[2].split() == ["van", "100.0", "50.0", "5"]
    assert ["top-5", "98.0"] in [line.split() for line in table]
    assert table[-1].split() == ["class", "accuracy", "95.0"]
    published = format_scores(scores, load_spec("cifar10"), arch="densenet_bc100_12").splitlines()
    notes = ["", "DenseNet-BC-100, k = 12 (paper), test split: top-1 95.49"]
    assert published[len(table) :] == notes
    values = json.loads(scores_to_json(scores, spec, settings={}))
    assert values["top1"] == pytest.approx(50 / 55, abs=1e-6)
    assert values["precision"]["van"] == 0.5
    assert np.array(values["confusion_matrix"]).tolist() == matrix.tolist()
