"""Training of classifiers on an image folder whose classes differ in colour."""

import csv
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tiramisu.checkpoints.checkpoint import load_model
from tiramisu.checkpoints.model import ClassificationModel
from tiramisu.checkpoints.model_files import read_checkpoint
from tiramisu.data.catalog import load_spec
from tiramisu.data.dataset import open_split
from tiramisu.evaluation.batch_norm import recalibrate_batch_norm
from tiramisu.evaluation.config import EvalConfig
from tiramisu.evaluation.evaluate_checkpoint import evaluate_checkpoint
from tiramisu.training.config import ClassifierTrainConfig, TrainConfig
from tiramisu.training.train import train

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


def test_files_and_scores_of_a_run(quick, capsys: pytest.CaptureFixture[str]) -> None:
    folder = train(quick()).folder
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
    whole = train(quick(out=str(tmp_path / "whole"), dropout=0.2)).folder
    constant = {"dropout": 0.2, "schedule": "constant"}
    part = train(quick(**constant, out=str(tmp_path / "part"), epochs=1)).folder
    straight = train(quick(**constant, out=str(tmp_path / "straight"))).folder
    resumed = train(quick(**constant, resume=str(part), out=None)).folder
    states = [
        read_checkpoint(folder / "checkpoints/last.ckpt")["state_dict"]
        for folder in (straight, resumed, whole)
    ]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert any(not torch.equal(states[0][name], states[2][name]) for name in states[0])


def test_transfer_to_other_classes(
    quick, colored_classes: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = train(quick()).folder
    start = load_model(first).network.state_dict()
    other = colored_classes("red", "white", name="two")
    capsys.readouterr()
    second = train(
        quick(data=str(other), init_from=str(first), lr=1e-12, out=str(tmp_path / "second"))
    ).folder
    assert "layers loaded; random weights: classifier" in capsys.readouterr().out
    model = load_model(second)
    assert model.info.class_names == ("red", "white")
    state = model.network.state_dict()
    assert state["classifier.weight"].shape[0] == 2
    # The learning rate is so low that the loaded weights stay as they were.
    torch.testing.assert_close(
        state["features.denseblock1.denselayer1.conv1.weight"],
        start["features.denseblock1.denselayer1.conv1.weight"],
    )


def test_same_number_of_other_classes_gets_a_new_head(
    quick, colored_classes: Write, tmp_path: Path
) -> None:
    first = train(quick(epochs=1)).folder
    other = colored_classes("red", "white", "blue", name="others")
    second = train(
        quick(data=str(other), init_from=str(first), epochs=1, lr=1e-12, out=str(tmp_path / "b"))
    ).folder
    heads = [load_model(f).network.state_dict()["classifier.weight"] for f in (first, second)]
    assert heads[0].shape == heads[1].shape
    assert not torch.allclose(heads[0], heads[1], atol=1e-3)


def test_evaluates_in_every_way(quick) -> None:
    folder = train(quick()).folder
    for change in ({}, {"tta": True}, {"bn": "recalibrated"}, {"bn": "batch"}, {"batch_size": 5}):
        scores = evaluate_checkpoint(
            EvalConfig(
                checkpoint=str(folder), out=str(folder / f"eval{len(change)}{change}"), **change
            )
        )
        assert scores.matrix.sum() == 9
        assert scores.top1 > 0.6
    assert (folder / "eval0{}" / "confusion.png").is_file()


def test_the_mean_of_random_passes_is_evaluated(quick) -> None:
    folder = train(quick(dropout=0.2)).folder
    scores = evaluate_checkpoint(EvalConfig(checkpoint=str(folder), mc_dropout=5))
    assert scores.matrix.sum() == 9
    assert scores.reliability.count.sum() == 9
    (out,) = (folder / "eval").glob("*_mc5")
    assert {path.name for path in out.iterdir()} == {
        "scores.txt",
        "scores.json",
        "confusion.png",
        "reliability.png",
        "report.html",
    }


def test_losses_and_weights_for_classes(quick, tmp_path: Path) -> None:
    train(quick(epochs=1, class_weights="capped", label_smoothing=0.1, out=str(tmp_path / "a")))
    train(quick(epochs=1, loss="focal", ema_decay=0.5, out=str(tmp_path / "b")))
    with pytest.raises(ValueError, match=r"--loss cross_entropy\+dice is for segmentation"):
        train(quick(loss="cross_entropy+dice"))
    with pytest.raises(ValueError, match=r"--final-loss cross_entropy\+dice is for segmentation"):
        train(quick(final_epochs=1, final_loss="cross_entropy+dice"))


def test_network_and_data_must_be_for_the_same_task(quick) -> None:
    with pytest.raises(ValueError, match=r"fc56 is for segmentation, colors for classification"):
        train(quick(arch="fc56"))
    with pytest.raises(ValueError, match=r"densenet_bc40_12 is for classification, streets for"):
        train(quick(data="streets"))


def test_images_of_several_sizes(quick, tmp_path: Path) -> None:
    root = tmp_path / "several"
    for split, change in (("train", 0), ("val", 5)):
        for label, color in (("dark", 40 + change), ("light", 220 + change)):
            (root / split / label).mkdir(parents=True)
            for i, size in enumerate(((20, 24), (24, 20), (18, 18), (30, 19))):
                image = np.full((*size, 3), color, np.uint8)
                Image.fromarray(image).save(root / split / label / f"{i}.png")
    yaml = tmp_path / "several.yaml"
    yaml.write_text(
        "name: several\ntitle: Several\ntask: classification\nclasses: [dark, light]\n"
        "splits: {train: {folder: train}, val: {folder: val}}\n"
    )
    settings = {"data": str(yaml), "data_root": str(root), "epochs": 1, "pad": 8}
    with pytest.raises(ValueError, match=r"split val differ in size.*size: \[H, W\]"):
        train(quick(**settings))
    assert not (tmp_path / "run").exists()
    folder = train(quick(**settings, eval_batch_size=1)).folder
    assert load_model(folder).info.image_size is None


def test_published_info_is_valid_json(quick) -> None:
    folder = train(quick(epochs=1)).folder  # three classes have no top-5
    info = json.loads((folder / "model.json").read_text(), parse_constant=pytest.fail)
    assert set(info["metrics"]) == {"top1"}


def test_resumed_before_its_first_validation(quick, tmp_path: Path) -> None:
    part = train(quick(epochs=1, val_every=2, keep="last")).folder
    resumed = train(quick(resume=str(part), out=None, epochs=4, val_every=2, keep="last")).folder
    with (resumed / "metrics.csv").open() as file:
        scores = [row["val_top1"] for row in csv.DictReader(file)]
    assert [score == "nan" for score in scores] == [True, False, True, False]
    assert (resumed / "checkpoints/best.ckpt").is_file()


def test_a_resumed_run_does_not_look_for_what_it_started_from(quick, tmp_path: Path) -> None:
    first = train(quick(epochs=1)).folder
    second = train(quick(epochs=1, init_from=str(first), out=str(tmp_path / "second"))).folder
    first.rename(tmp_path / "gone")
    train(quick(epochs=2, init_from=str(first), resume=str(second), out=None))


def test_missing_weights_to_start_from(quick) -> None:
    with pytest.raises(FileNotFoundError, match="there is no checkpoint my_run"):
        train(quick(init_from="my_run"))
    with pytest.raises(ValueError, match=r"no published weights .* for densenet_bc40_12"):
        train(quick(init_from="IMAGENET1K_V1"))


def test_frozen_statistics_are_recalibrated(quick) -> None:
    model = train(quick(epochs=1)).model
    data = open_split(load_spec(quick().data), "train", root=None, image_scale=1.0)
    expected = recalibrate_batch_norm(model, data)
    model.network.freeze()
    measured = recalibrate_batch_norm(model, data)
    name = "network.features.norm5.running_mean"
    torch.testing.assert_close(measured.state_dict()[name], expected.state_dict()[name])
    assert not model.network.features.norm5.weight.requires_grad  # the model itself stays frozen
