"""Runs that classify: the engine of segmentation, on an image folder told by colour."""

import csv
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tiramisu.engine.checkpoint import load_model, read_checkpoint
from tiramisu.engine.config import ClassifierTrainConfig, EvalConfig, TrainConfig
from tiramisu.engine.evaluate import evaluate_checkpoint
from tiramisu.engine.model import ClassificationModel
from tiramisu.engine.train import train

Write = Callable[..., Path]


@pytest.fixture
def quick(colored_classes: Write, tmp_path: Path) -> Callable[..., TrainConfig]:
    """Settings of a run of two epochs on three colours; changes come as keywords."""
    base = ClassifierTrainConfig(
        data=str(colored_classes("blue", "green", "red")),
        out=str(tmp_path / "run"),
        epochs=2,
        batch_size=4,
        pad=2,
        crop=(32, 32),
        lr=0.05,
        accelerator="cpu",
    )
    return lambda **changes: dataclasses.replace(base, **changes)


def test_learns_and_leaves_everything_behind(quick, capsys: pytest.CaptureFixture[str]) -> None:
    folder = train(quick())
    for name in (
        "config.yaml",
        "model.safetensors",
        "curves.png",
        "samples.png",
        "scores/scores.txt",
    ):
        assert (folder / name).is_file(), name
    model = load_model(folder)
    assert isinstance(model, ClassificationModel)
    assert model.info.class_names == ("blue", "green", "red")
    assert model.info.image_size == (16, 16)
    assert model.info.metrics["top1"] > 90  # three colours
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["val_top1"]) for row in rows][-1] > 90
    assert rows[0]["val_top5"] == "nan"  # of three classes
    scores = json.loads((folder / "scores/scores.json").read_text())
    assert scores["top1"] == pytest.approx(model.info.metrics["top1"] / 100, abs=1e-5)
    printed = capsys.readouterr().out
    assert "val top-1" in printed
    assert "precision" in printed


def test_resumed_equals_uninterrupted(quick, tmp_path: Path) -> None:
    whole = train(quick(out=str(tmp_path / "whole"), dropout=0.2))
    part = train(quick(out=str(tmp_path / "part"), dropout=0.2, epochs=1, schedule="constant"))
    straight = train(quick(out=str(tmp_path / "straight"), dropout=0.2, schedule="constant"))
    resumed = train(quick(resume=str(part), out=None, dropout=0.2, schedule="constant"))
    states = [
        read_checkpoint(folder / "checkpoints/last.ckpt")["state_dict"]
        for folder in (straight, resumed, whole)
    ]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert any(not torch.equal(states[0][name], states[2][name]) for name in states[0])


def test_transfer_to_other_classes(
    quick, colored_classes: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = train(quick())
    start = load_model(first).network.state_dict()
    other = colored_classes("red", "white", name="two")
    capsys.readouterr()
    second = train(
        quick(data=str(other), init_from=str(first), lr=1e-12, out=str(tmp_path / "second"))
    )
    assert "layers taken; new: classifier" in capsys.readouterr().out
    model = load_model(second)
    assert model.info.class_names == ("red", "white")
    state = model.network.state_dict()
    assert state["classifier.weight"].shape[0] == 2
    # The learning rate is next to nothing, so that what was taken is still there.
    torch.testing.assert_close(
        state["features.denseblock1.denselayer1.conv1.weight"],
        start["features.denseblock1.denselayer1.conv1.weight"],
    )


def test_same_number_of_other_classes_gets_a_new_head(
    quick, colored_classes: Write, tmp_path: Path
) -> None:
    first = train(quick(epochs=1))
    other = colored_classes("red", "white", "blue", name="others")
    second = train(
        quick(data=str(other), init_from=str(first), epochs=1, lr=1e-12, out=str(tmp_path / "b"))
    )
    heads = [load_model(f).network.state_dict()["classifier.weight"] for f in (first, second)]
    assert heads[0].shape == heads[1].shape
    assert not torch.allclose(heads[0], heads[1], atol=1e-3)


def test_evaluates_in_every_way(quick) -> None:
    folder = train(quick())
    for change in ({}, {"tta": True}, {"bn": "recalibrated"}, {"bn": "batch"}, {"batch_size": 5}):
        scores = evaluate_checkpoint(
            EvalConfig(
                checkpoint=str(folder), out=str(folder / f"eval{len(change)}{change}"), **change
            )
        )
        assert scores.matrix.sum() == 9
        assert scores.top1 > 0.6
    assert (folder / "eval0{}" / "confusion.png").is_file()


def test_losses_and_weights_for_classes(quick, tmp_path: Path) -> None:
    train(quick(epochs=1, class_weights="capped", label_smoothing=0.1, out=str(tmp_path / "a")))
    train(quick(epochs=1, loss="focal", ema_decay=0.5, out=str(tmp_path / "b")))
    with pytest.raises(ValueError, match=r"--loss cross_entropy\+dice is for segmentation"):
        train(quick(loss="cross_entropy+dice"))


def test_network_and_data_must_be_for_the_same_task(quick) -> None:
    with pytest.raises(ValueError, match=r"fc56 is for segmentation, colors for classification"):
        train(quick(arch="fc56"))
    with pytest.raises(ValueError, match=r"densenet_bc40_12 is for classification, streets for"):
        train(quick(data="streets"))
