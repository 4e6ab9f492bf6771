"""Networks of segmentation-models-pytorch through our tools, from training to an exported file."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tiramisu.checkpoints.checkpoint import load_model
from tiramisu.evaluation.config import EvalConfig
from tiramisu.evaluation.evaluate_checkpoint import evaluate_checkpoint
from tiramisu.export.config import ExportConfig
from tiramisu.export.exporting import export_checkpoint
from tiramisu.inference.exported import load_exported
from tiramisu.inference.predict import predict, predict_probabilities
from tiramisu.models.smp import AnySize
from tiramisu.streets import draw_scene
from tiramisu.training.config import TrainConfig
from tiramisu.training.train import train

SIDES = (72, 88)  # no multiples of 32


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bare folder of drawn streets: 4 for training, 2 for validation."""
    root = tmp_path_factory.mktemp("streets")
    for split, seeds in (("train", range(4)), ("val", range(4, 6))):
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True)
        for seed in seeds:
            image, label = draw_scene(seed, height=SIDES[0], width=SIDES[1])
            Image.fromarray(image).save(root / "images" / split / f"{seed}.png")
            Image.fromarray(label).save(root / "masks" / split / f"{seed}.png")
    return root


@pytest.fixture(scope="module")
def run(streets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two training steps of a network whose encoder and decoder both are theirs."""
    config = TrainConfig(
        arch="smp:unet/resnet18",
        data=str(streets),
        out=str(tmp_path_factory.mktemp("run")),
        epochs=1,
        batch_size=2,
        crop=(64, 64),
        accelerator="cpu",
    )
    return train(config).folder


def test_trains_saves_loads_and_evaluates(run: Path, streets: Path) -> None:
    model = load_model(run)
    assert isinstance(model.network, AnySize)
    assert model.info.arch == "smp:unet/resnet18"
    weights = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    for name, value in model.network.state_dict().items():
        assert torch.equal(value, weights[f"model.network.{name}"]), name
    config = EvalConfig(checkpoint=str(run), data=str(streets), split="val", accelerator="cpu")
    scores = evaluate_checkpoint(config, model=model)
    assert scores


def test_predicts_an_odd_size(run: Path) -> None:
    model = load_model(run)
    image, _ = draw_scene(9, height=75, width=99)
    probabilities = predict_probabilities(model, image)
    assert probabilities.shape[-2:] == (75, 99)
    assert (predict(model, image).mask == np.asarray(probabilities).argmax(0)).all()


def test_exports_to_onnx(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason='onnxruntime comes with pip install -e ".[export]"')
    out = tmp_path / "model.onnx"
    export_checkpoint(ExportConfig(checkpoint=str(run), format="onnx", out=str(out)))
    exported, model = load_exported(out), load_model(run)
    for height, width in ((64, 96), (45, 71), (32, 33)):
        images = torch.rand(2, 3, height, width) * 255
        with torch.no_grad():
            torch.testing.assert_close(exported(images), model(images), rtol=1e-3, atol=1e-3)


def test_our_encoder_trains_with_dropout(streets: Path, tmp_path: Path) -> None:
    config = TrainConfig(
        arch="unet:densenet121",
        data=str(streets),
        out=str(tmp_path / "run"),
        epochs=1,
        max_steps=1,
        batch_size=2,
        crop=(32, 32),
        dropout=0.1,
        accelerator="cpu",
    )
    model = train(config).model
    assert model.info.arch == "unet:densenet121"
    assert model.info.dropout == 0.1
    theirs = dataclasses.replace(config, arch="smp:unet/resnet18", out=str(tmp_path / "other"))
    with pytest.raises(ValueError, match=r"smp:unet/resnet18 has no dropout=0\.1"):
        train(theirs)
