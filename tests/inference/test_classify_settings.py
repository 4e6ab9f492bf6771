"""Every setting of `tiramisu predict_cls` changes what it names: a test for each field."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from setting_tests import missing_tests

from tiramisu import commands
from tiramisu.checkpoints.info import ModelInfo
from tiramisu.checkpoints.model import ClassificationModel
from tiramisu.inference import load as load_module
from tiramisu.inference.config import ClassifyConfig

Run = Callable[..., Path]


def test_every_field_has_its_test() -> None:
    assert missing_tests(ClassifyConfig, globals()) == []


@pytest.fixture
def calls() -> list[tuple[object, ...]]:
    """What models were loaded, and the shapes of their batches."""
    return []


@pytest.fixture
def run(calls: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Classifies five images on the command line; returns the folder of the results."""
    (tmp_path / "images").mkdir()
    for number in range(5):
        pixels = np.full((32, 32, 3), 50 * number, np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
    info = ModelInfo(
        arch="densenet_bc40_12",
        class_names=("a", "b", "c"),
        colors=((0, 0, 0),) * 3,
        task="classification",
        image_size=(32, 32),
    )

    def load(checkpoint: str, *, accelerator: str) -> ClassificationModel:
        calls.append((checkpoint, accelerator))
        model = ClassificationModel.build(info).eval()
        model.register_forward_pre_hook(lambda _, args: calls.append(tuple(args[0].shape)))
        return model

    monkeypatch.setattr(load_module, "load_predictor", load)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Path:
        calls.clear()
        commands.predict_classes([str(tmp_path / "images"), "--checkpoint", "model", *arguments])
        return tmp_path / "predictions"

    return run


def test_checkpoint(run: Run, calls: list) -> None:
    run()
    assert calls[0] == ("model", "auto")


def test_accelerator(run: Run, calls: list) -> None:
    run("--accelerator", "cpu")
    assert calls[0] == ("model", "cpu")


def test_out(run: Run, tmp_path: Path) -> None:
    run("--out", str(tmp_path / "here"))
    assert (tmp_path / "here" / "classes.csv").is_file()
    assert not (tmp_path / "predictions").exists()


@pytest.mark.parametrize("top", [1, 2])
def test_top(run: Run, top: int) -> None:
    folder = run("--top", str(top))
    rows = list(csv.reader((folder / "classes.csv").open()))
    assert [len(row) for row in rows] == [1 + 2 * top] * 6
    probabilities = [[float(cell) for cell in row[2::2]] for row in rows[1:]]
    assert all(row == sorted(row, reverse=True) for row in probabilities)
    assert all(row[0] >= 0.333 for row in probabilities)


def test_batch_size(run: Run, calls: list) -> None:
    run("--batch-size", "2")
    assert calls[1:] == [(2, 3, 32, 32), (2, 3, 32, 32), (1, 3, 32, 32)]


def test_overwrite(run: Run) -> None:
    run()
    with pytest.raises(ValueError, match="--overwrite"):
        run()
    run("--overwrite")
