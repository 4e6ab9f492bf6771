"""Calibration error, compared with values computed by hand."""

import math

import numpy as np
import pytest
import torch

from tiramisu.evaluation.calibration import BINS, ReliabilityMeter, reliability
from tiramisu.inference.averaging import as_logits
from tiramisu.inference.tester import best_class


def probabilities_of(*confidences: float) -> torch.Tensor:
    """(1, 2, 1, N), the first class with these probabilities."""
    first = torch.tensor(confidences)
    return torch.stack([first, 1 - first])[None, :, None]


def test_the_error_is_that_computed_by_hand() -> None:
    meter = ReliabilityMeter(ignore_index=255)
    # Two of the four pixels at 0.9 are right, and both at 0.6; the last one is void.
    logits = as_logits(probabilities_of(0.9, 0.9, 0.9, 0.9, 0.6, 0.6, 0.99))
    meter.update(*best_class(logits), torch.tensor([[[0, 0, 1, 1, 0, 0, 255]]]))
    found = reliability(meter.compute())
    assert found.count.sum() == 6
    assert found.count[[9, 13]].tolist() == [2, 4]
    assert found.confidence[[9, 13]] == pytest.approx([0.6, 0.9], abs=1e-5)
    assert found.accuracy[[9, 13]] == pytest.approx([1.0, 0.5])
    expected = (4 * abs(0.9 - 0.5) + 2 * abs(0.6 - 1.0)) / 6
    assert found.expected_calibration_error == pytest.approx(expected, abs=1e-5)
    assert np.isnan(found.confidence[0])


def test_updates_add_up_and_confidence_1_is_in_the_last_bin() -> None:
    meter = ReliabilityMeter(ignore_index=255)
    for _ in range(3):
        meter.update(
            *best_class(torch.tensor([[50.0, -50.0]])), torch.tensor([0])
        )  # (B, C), as a classifier's
    found = reliability(meter.compute())
    assert found.count[BINS - 1] == 3
    assert found.expected_calibration_error == pytest.approx(0, abs=1e-6)
    meter.update(*best_class(torch.tensor([[50.0, -50.0]])), torch.tensor([0]))
    assert found.count[BINS - 1] == 3  # as when it was computed
    meter.reset()
    assert math.isnan(reliability(meter.compute()).expected_calibration_error)


def test_labels_drawn_from_the_probabilities_give_no_error() -> None:
    generator = torch.Generator().manual_seed(0)
    probabilities = torch.rand(1, 3, 200, 200, generator=generator).softmax(dim=1)
    flat = probabilities.flatten(2)[0].T  # (H * W, C)
    labels = flat.multinomial(1, generator=generator).view(1, 200, 200)
    meter = ReliabilityMeter(ignore_index=255)
    meter.update(*best_class(as_logits(probabilities)), labels)
    assert reliability(meter.compute()).expected_calibration_error < 0.01


def test_logits_that_are_not_finite_have_no_confidence() -> None:
    meter = ReliabilityMeter(ignore_index=255)
    broken = torch.tensor([[math.nan, math.nan], [math.inf, 0.0], [-math.inf, -math.inf]])
    meter.update(*best_class(broken), torch.tensor([0, 1, 1]))
    found = reliability(meter.compute())
    assert found.count[0] == 3
    assert found.confidence[0] == 0
