"""What `train` returns."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tiramisu import TrainingRun
from tiramisu.checkpoints.checkpoint import load_model
from tiramisu.evaluation.scores import score, score_classes
from tiramisu.training.history import read_history
from tiramisu.training.train import train


def test_run_of_a_training(quick) -> None:
    run = train(quick(epochs=2))
    assert isinstance(run, TrainingRun)
    assert run.folder == Path(quick().out)
    assert run.scores.matrix.sum() == 3 * 62 * 62  # 3 images of 64x64 with a void frame
    assert run.history == read_history(run.folder / "metrics.csv")
    published = load_model(run.folder).network.state_dict()
    assert all(
        torch.equal(value, published[n]) for n, value in run.model.network.state_dict().items()
    )
    assert run.model is run.model  # loaded once
    assert not run.model.training


SEGMENTED = score(np.array([[8, 2], [0, 10]]))
CLASSIFIED = score_classes(np.array([[1, 1], [0, 2]]), top5=float("nan"))


@pytest.mark.parametrize(
    ("task", "scores", "epochs", "expected"),
    [
        ("segmentation", SEGMENTED, 2, "2 epochs, mIoU 81.7 %, accuracy 90.0 %"),
        ("classification", CLASSIFIED, 1, "1 epoch, top-1 75.0 %"),
        ("segmentation", None, 3, "3 epochs"),
    ],
)
def test_repr_says_how_well_it_went(task: str, scores, epochs: int, expected: str) -> None:
    run = TrainingRun(folder=Path("runs/a"), task=task, history=[{}] * epochs, scores=scores)
    assert repr(run) == f"<TrainingRun runs/a: {expected}>"
