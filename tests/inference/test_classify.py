import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tiramisu.checkpoints.checkpoint import save_model
from tiramisu.checkpoints.info import ModelInfo
from tiramisu.checkpoints.model import ClassificationModel, SegmentationModel
from tiramisu.commands import predict_classes
from tiramisu.data.readers.image_file import read_image
from tiramisu.inference.classify import classify, classify_files
from tiramisu.inference.config import ClassifyConfig
from tiramisu.inference.predict import predict


class MeanColor(nn.Module):
    """Takes an image for the colour it has most of."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        assert images.shape[2:] == (8, 8)
        return 10 * images.mean(dim=(2, 3))


@pytest.fixture
def model() -> ClassificationModel:
    info = ModelInfo(
        arch="densenet_bc40_12",
        class_names=("red", "green", "blue"),
        colors=((0, 0, 0),) * 3,
        task="classification",
        image_size=(8, 8),
    )
    return ClassificationModel(MeanColor(), info).eval()


def paint(color: tuple[int, int, int], *, height: int = 20, width: int = 30) -> np.ndarray:
    return np.full((height, width, 3), color, np.uint8)


def test_classifies_arrays_of_any_size(model: ClassificationModel) -> None:
    result = classify(model, paint((200, 10, 20)))
    assert result.class_name == "red"
    assert result.probabilities.sum() == pytest.approx(1)
    assert [name for name, _ in result.top(2)] == ["red", "blue"]
    assert classify(model, paint((0, 0, 9), height=3, width=100)).class_name == "blue"
    # The middle counts: what is too much on both sides is cut.
    flag = np.hstack(
        [paint((255, 0, 0), width=10), paint((0, 255, 0), width=20), paint((255, 0, 0), width=10)]
    )
    assert classify(model, flag).class_name == "green"


def test_files_to_csv_and_json(
    model: ClassificationModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, color in (("a", (200, 0, 0)), ("b", (0, 0, 200))):
        Image.fromarray(paint(color)).save(tmp_path / f"{name}.png")
    (tmp_path / "c.png").write_bytes(b"no image")
    out = tmp_path / "out"
    config = ClassifyConfig(checkpoint="x", out=str(out), top=2, batch_size=1)
    with pytest.raises(ValueError, match=r"1 of 3 files failed, the others are done.*c.png"):
        classify_files(model, [tmp_path], config=config)
    with (out / "classes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["class_1"], row["class_2"]) for row in rows] == [("red", "green"), ("blue", "red")]
    described = json.loads((out / "classes.json").read_text())
    assert [value["class"] for value in described.values()] == ["red", "blue"]
    assert sum(described[str(tmp_path / "a.png")]["probabilities"].values()) == pytest.approx(1)
    assert "blue 9" in capsys.readouterr().out
    with pytest.raises(ValueError, match="already holds results"):
        classify_files(model, [tmp_path / "a.png"], config=config)


def test_the_table_has_no_more_columns_than_classes(model, tmp_path: Path) -> None:
    Image.fromarray(paint((200, 0, 0))).save(tmp_path / "a.png")
    config = ClassifyConfig(checkpoint="x", out=str(tmp_path / "out"), top=9)
    classify_files(model, [tmp_path / "a.png"], config=config)
    heading, row = csv.reader((tmp_path / "out/classes.csv").read_text().splitlines())
    assert heading[-1] == "probability_3"
    assert len(heading) == len(row) == 7


def test_models_of_the_wrong_task_say_where_to_go(model: ClassificationModel) -> None:
    with pytest.raises(ValueError, match=r"classifies whole images.*predict_cls"):
        predict(model, paint((1, 2, 3)))
    info = ModelInfo(arch="fc56", class_names=("a", "b"), colors=((0, 0, 0),) * 2)
    with pytest.raises(ValueError, match=r"predicts every pixel.*predict_seg"):
        classify(SegmentationModel.build(info).eval(), paint((1, 2, 3)))
    with pytest.raises(ValueError, match=r"training mode"):
        classify(model.train(), paint((1, 2, 3)))


def test_videos_are_refused(model: ClassificationModel, tmp_path: Path) -> None:
    (tmp_path / "drive.mp4").write_bytes(b"")
    with pytest.raises(ValueError, match=r"drive\.mp4 is a video; expected images"):
        classify_files(model, [tmp_path], config=ClassifyConfig(checkpoint="x", out=str(tmp_path)))


def test_a_saved_model_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    info = ModelInfo(
        arch="densenet_bc40_12",
        class_names=("red", "green", "blue"),
        colors=((0, 0, 0),) * 3,
        task="classification",
        image_size=(16, 16),
    )
    save_model(ClassificationModel.build(info), tmp_path / "run")
    Image.fromarray(paint((9, 9, 9))).save(tmp_path / "a.png")
    arguments = [str(tmp_path / "a.png"), "--checkpoint", str(tmp_path / "run")]
    predict_classes([*arguments, "--out", str(tmp_path / "out"), "--top", "1"])
    assert "%" in capsys.readouterr().out
    assert (tmp_path / "out" / "classes.csv").read_text().startswith("file,class_1,probability_1")


def test_logits_that_are_no_numbers_are_an_error(model: ClassificationModel) -> None:
    model.network.register_forward_hook(lambda *call: call[-1] * float("nan"))
    with pytest.raises(ValueError, match="gives NaN or infinity"):
        classify(model, paint((200, 10, 20)))


def test_an_interrupt_keeps_what_is_classified(
    model: ClassificationModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / f"{i}.png" for i in range(4)]
    for path in paths:
        Image.new("RGB", (40, 40), (9 * len(path.name), 20, 30)).save(path)

    def read(path: Path, format: object) -> object:
        if path == paths[3]:
            raise KeyboardInterrupt
        return read_image(path, format)

    monkeypatch.setattr("tiramisu.inference.classify.read_image", read)
    config = ClassifyConfig(checkpoint="run", out=str(tmp_path / "out"), batch_size=2)
    with pytest.raises(KeyboardInterrupt, match=r"stopped: \d of 4 files are done"):
        classify_files(model, paths, config=config)
    rows = (tmp_path / "out" / "classes.csv").read_text().splitlines()
    assert len(rows) >= 3
