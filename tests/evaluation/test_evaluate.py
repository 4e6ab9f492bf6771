"""Evaluation: scores, in all ways of measuring them, and the folder it leaves."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tiramisu.checkpoints.checkpoint import load_model
from tiramisu.evaluation.config import EvalConfig
from tiramisu.evaluation.evaluate import evaluate, evaluate_checkpoint
from tiramisu.evaluation.metrics import score
from tiramisu.training.config import TrainConfig
from tiramisu.training.train import train


def test_scores_are_those_of_a_plain_loop(dataset, model) -> None:
    expected = torch.zeros(3, 3, dtype=torch.int64)
    for i in range(len(dataset)):
        image, label = dataset.read(i)
        with torch.inference_mode():
            predicted = model(torch.from_numpy(image).permute(2, 0, 1)[None])[0].argmax(0)
        for t, p in zip(label.ravel().tolist(), predicted.ravel().tolist(), strict=True):
            if t != 255:
                expected[t, p] += 1
    for batch_size in (1, 2, 3):
        scores = evaluate(model, dataset, batch_size=batch_size)
        assert abs(scores.matrix - expected.numpy()).sum() <= 4  # ties, in another batch size
    assert evaluate(model, dataset).mean_iou == pytest.approx(score(expected).mean_iou, abs=1e-3)


def test_command_writes_its_folder_and_replaces_nothing(
    quick: Callable[..., TrainConfig], rectangles: Path
) -> None:
    run = train(quick(epochs=1)).folder
    for bn in ("running", "recalibrated", "batch"):
        config = EvalConfig(
            checkpoint=str(run), bn=bn, accelerator="cpu", overwrite=True, batch_size=3
        )
        scores = evaluate_checkpoint(config)
        name = f"{rectangles.name}_val_{'batch3' if bn == 'batch' else bn}"
        saved = json.loads((run / "eval" / name / "scores.json").read_text())
        assert saved["bn"] == bn
        assert saved["mean_iou"] == pytest.approx(scores.mean_iou, abs=1e-6)
        assert saved["confusion_matrix"] == scores.matrix.tolist()
    with pytest.raises(ValueError, match="--overwrite"):
        evaluate_checkpoint(EvalConfig(checkpoint=str(run), accelerator="cpu"))
    with pytest.raises(ValueError, match="no split 'dev'"):
        evaluate_checkpoint(EvalConfig(checkpoint=str(run), accelerator="cpu", split="dev"))
    with pytest.raises(ValueError, match="the model knows the classes"):
        evaluate_checkpoint(EvalConfig(checkpoint=str(run), accelerator="cpu", data="camvid"))


def test_checkpoint_file_and_published_model_agree(
    quick: Callable[..., TrainConfig], dataset
) -> None:
    run = train(quick(epochs=1)).folder
    ckpt = run / "checkpoints" / "last.ckpt"
    evaluate_checkpoint(EvalConfig(checkpoint=str(ckpt), accelerator="cpu"))
    assert not (run / "eval").exists()  # that is for the published model
    published, best = load_model(run), load_model(run / "checkpoints" / "best.ckpt")
    image = dataset[0]["image"][None]
    with torch.inference_mode():
        assert torch.equal(published(image), best(image))


def test_the_mean_of_random_passes_is_judged(quick: Callable[..., TrainConfig]) -> None:
    run = train(quick(epochs=1, dropout=0.3)).folder
    config = EvalConfig(checkpoint=str(run), accelerator="cpu", mc_dropout=4)
    scores = evaluate_checkpoint(config)
    plain = evaluate_checkpoint(EvalConfig(checkpoint=str(run), accelerator="cpu"))
    assert scores.matrix.sum() == plain.matrix.sum()
    assert scores.reliability.confidence.tolist() != plain.reliability.confidence.tolist()
    (folder,) = (run / "eval").glob("*_mc4")
    saved = json.loads((folder / "scores.json").read_text())
    assert saved["mc_dropout"] == 4
    error = scores.reliability.expected_calibration_error
    assert saved["expected_calibration_error"] == pytest.approx(error, abs=1e-6)
    assert sum(saved["reliability"]["count"]) == scores.matrix.sum()
    assert "calibration error" in (folder / "scores.txt").read_text()
    assert (folder / "reliability.png").is_file()
    assert (folder / "uncertainty.png").is_file()


def test_a_model_without_dropout_has_no_random_passes(quick: Callable[..., TrainConfig]) -> None:
    run = train(quick(epochs=1, dropout=0.0)).folder
    with pytest.raises(ValueError, match="without dropout"):
        evaluate_checkpoint(EvalConfig(checkpoint=str(run), accelerator="cpu", mc_dropout=4))
