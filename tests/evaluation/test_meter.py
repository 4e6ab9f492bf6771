"""Counting predictions over a split."""

import numpy as np
import pytest
import torch

from tiramisu.evaluation.meter import Meter, count_pixels, score_images
from tiramisu.inference.tester import best_class, log_likelihood


def test_the_matrix_ignores_void_pixels_and_adds_up_updates() -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice([0, 1, 2, 255], (4, 9, 7))
    predicted = rng.integers(0, 3, (4, 9, 7))
    expected = np.zeros((3, 3), int)
    for t, p in zip(labels.ravel(), predicted.ravel(), strict=True):
        if t != 255:
            expected[t, p] += 1
    meter = Meter("segmentation", 3, ignore_index=255)
    for i in range(4):
        logits = torch.nn.functional.one_hot(torch.tensor(predicted[i : i + 1]), 3).movedim(-1, 1)
        meter.update(*best_class(logits.float()), torch.tensor(labels[i : i + 1]))
    counted = meter.compute().matrix
    assert counted.dtype == np.int64
    assert counted.tolist() == expected.tolist()
    meter.reset()
    assert meter.compute().matrix.sum() == 0


def test_cross_entropy_is_that_of_all_labelled_pixels() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 5 * torch.randn(3, 4, 9, 7, generator=generator)
    labels = torch.randint(0, 4, (3, 9, 7), generator=generator)
    labels[0] = labels[1, :4] = 255
    meter = Meter("segmentation", 4, ignore_index=255)
    for image, label in zip(logits.split(1), labels.split(1), strict=True):
        likelihood = log_likelihood(image, label.to(torch.uint8))
        meter.update(*best_class(image), label, log_likelihood=likelihood)
    expected = torch.nn.functional.cross_entropy(logits, labels, ignore_index=255)
    assert meter.compute().cross_entropy == pytest.approx(float(expected), abs=1e-5)
    meter.reset()
    sure = torch.tensor([[200.0, 0]])  # of the wrong class: its probability is 0 in float32
    classifier = Meter("classification", 2, ignore_index=-1)
    classifier.update_logits(sure.repeat(2, 1), torch.tensor([1, -1]))
    assert classifier.compute().cross_entropy == pytest.approx(200)


def test_images_have_scores_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = torch.tensor([[[0, 0, 1, 255]], [[1, 1, 1, 1]], [[255, 255, 255, 255]]])
    classes = torch.tensor([[[0, 1, 1, 2]], [[1, 1, 1, 0]], [[0, 1, 2, 0]]]).to(torch.uint8)
    monkeypatch.setattr("tiramisu.evaluation.meter.COUNTED_AT_ONCE", 3)
    counts = count_pixels(classes, labels, num_classes=3, ignore_index=255)
    assert counts[0].tolist() == [[1, 1, 0], [2, 1, 0], [1, 2, 0]]
    first, second, void = score_images(["a", "b", "c"], counts, [np.zeros(3)] * 3)
    assert (first.name, first.accuracy) == ("a", pytest.approx(2 / 3))
    assert first.iou[:2] == pytest.approx([1 / 2, 1 / 2])
    assert np.isnan(first.iou[2])
    assert second.mean_iou == pytest.approx((3 / 4 + 0) / 2)
    assert np.isnan([void.accuracy, void.mean_iou]).all()


def test_classification_counts_top1_and_top5() -> None:
    logits = torch.tensor([[9.0, 8, 7, 6, 5, 4, 3]] * 4)
    labels = torch.tensor([0, 4, 5, -1])  # most likely, fifth, sixth; and one that is ignored
    meter = Meter("classification", 7, ignore_index=-1)
    for i in range(4):
        meter.update_logits(logits[i : i + 1], labels[i : i + 1])
    scores = meter.compute()
    assert scores.matrix.sum() == 3
    assert scores.top1 == pytest.approx(1 / 3)
    assert scores.top5 == pytest.approx(2 / 3)
    assert scores.recall[[0, 4, 5]].tolist() == [1, 0, 0]
    assert scores.precision[0] == pytest.approx(1 / 3)
    assert np.isnan(scores.precision[1])
    assert scores.mean_accuracy == pytest.approx(1 / 3)
