"""Inputs of `predict` and `predict_cls` that cannot be read never stop those that can."""

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hostile_images import BAD, GOOD, ODD_NAMES, PNG, write_bad
from PIL import Image
from torch import nn

from tiramisu.checkpoints.info import ModelInfo
from tiramisu.checkpoints.model import ClassificationModel, SegmentationModel
from tiramisu.data.readers.image_file import LIMIT_VARIABLE
from tiramisu.inference.classify import classify_files
from tiramisu.inference.config import ClassifyConfig, PredictConfig
from tiramisu.inference.files import predict_files
from tiramisu.inference.inputs import find_inputs

Run = Callable[..., object]


class MeanColor(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if min(images.shape[2:]) < 4:
            raise ValueError("expected at least 4x4 pixels")
        return images.mean(dim=(2, 3))


@pytest.fixture
def classifier() -> ClassificationModel:
    info = ModelInfo(
        arch="densenet_bc40_12",
        class_names=("red", "green", "two\nlines"),
        colors=((0, 0, 0),) * 3,
        task="classification",
    )
    return ClassificationModel(MeanColor(), info).eval()


@pytest.fixture(params=["predict", "predict_cls"])
def run(
    request: pytest.FixtureRequest,
    channel_model: SegmentationModel,
    classifier: ClassificationModel,
    tmp_path: Path,
) -> Run:
    """Predicts or classifies sources into tmp_path/out; returns the paths of the inputs done."""
    out = tmp_path / "out"

    def predict(*sources: str | Path) -> None:
        predict_files(channel_model, sources, config=PredictConfig(checkpoint="run", out=str(out)))

    def classify(*sources: str | Path) -> None:
        classify_files(classifier, sources, config=ClassifyConfig(checkpoint="run", out=str(out)))

    return predict if request.param == "predict" else classify


def done(out: Path) -> list[str]:
    """The inputs with results, by their JSON."""
    classes = out / "classes.json"
    if classes.is_file():
        with (out / "classes.csv").open(encoding="utf-8", newline="") as file:
            table = [row["file"] for row in csv.DictReader(file)]
        described = list(json.loads(classes.read_text()))
        assert table == described
        return described
    return [json.loads(path.read_text())["input"] for path in sorted(out.glob("*.json"))]


def test_every_bad_file_is_named_and_every_good_one_done(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in BAD:
        write_bad(folder / f"bad_{name}", name)
    for name, content in GOOD.items():
        (folder / f"good_{name}").write_bytes(content)
    (folder / "folder.png").mkdir()
    with pytest.raises(ValueError, match=f"{len(BAD)} of {len(BAD) + len(GOOD)} files") as caught:
        run(folder)
    message = str(caught.value)
    assert all(str(folder / f"bad_{name}") in message for name in BAD)
    assert "good_" not in message
    assert "\n" not in message
    assert len(done(tmp_path / "out")) == len(GOOD)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_alone_is_named_and_leaves_nothing(run: Run, tmp_path: Path, name: str) -> None:
    write_bad(tmp_path / name, name)
    with pytest.raises(ValueError, match="1 of 1 files failed") as caught:
        run(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert not list((tmp_path / "out").iterdir())


def test_files_of_any_name_get_results(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ODD_NAMES:
        (folder / name).write_bytes(PNG)
    run(folder)
    inputs = done(tmp_path / "out")
    assert len(inputs) == len(ODD_NAMES)
    assert not any("\udcff" in text for text in inputs)
    assert f"{folder}/\\xff.png" in inputs
    assert f"{folder}/two\nlines.png" in inputs
    printed = capsys.readouterr().out
    assert "\udcff" not in printed
    assert "\x1b" not in printed
    assert all(os.fsencode(path.name).decode() for path in (tmp_path / "out").iterdir())


def test_an_image_that_the_network_does_not_take_is_one_that_failed(
    classifier: ClassificationModel, tmp_path: Path
) -> None:
    Image.new("RGB", (1, 1)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(PNG)
    config = ClassifyConfig(checkpoint="run", out=str(tmp_path / "out"))
    with pytest.raises(ValueError, match=r"1 of 2 files failed.*a\.png: expected at least 4x4"):
        classify_files(classifier, [tmp_path / "a.png", tmp_path / "b.png"], config=config)
    assert done(tmp_path / "out") == [str(tmp_path / "b.png")]


def test_earlier_results_stay_if_every_file_fails(
    classifier: ClassificationModel, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    config = ClassifyConfig(checkpoint="run", out=str(tmp_path / "out"), overwrite=True)
    classify_files(classifier, [tmp_path / "a.png"], config=config)
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(ValueError, match="1 of 1 files failed"):
        classify_files(classifier, [tmp_path / "a.png"], config=config)
    assert done(tmp_path / "out") == [str(tmp_path / "a.png")]


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("out of memory")])
def test_too_little_memory_to_classify_is_said(
    classifier: ClassificationModel, tmp_path: Path, error: Exception
) -> None:
    def fail(_: torch.Tensor) -> torch.Tensor:
        raise error

    (tmp_path / "a.png").write_bytes(PNG)
    classifier.network.forward = fail  # type: ignore[method-assign]
    config = ClassifyConfig(checkpoint="run", out=str(tmp_path / "out"))
    with pytest.raises(ValueError, match=r"a\.png: out of memory; give a smaller --batch-size"):
        classify_files(classifier, [tmp_path / "a.png"], config=config)


@pytest.mark.parametrize("pattern", ["**/*", "**", "**/*.png", "**.png", "*.png", "**/**/*.png"])
def test_links_that_lead_in_circles_are_not_followed(tmp_path: Path, pattern: str) -> None:
    """Two of them give 2 ** 40 ways through the folder."""
    (tmp_path / "a.png").write_bytes(PNG)
    for name in ("one", "two"):
        (tmp_path / name).symlink_to(".")
    found = find_inputs([str(tmp_path / pattern), tmp_path, tmp_path / "one", tmp_path / "a.png"])
    assert len(found) == 1


def test_hidden_files_match_only_patterns_with_a_dot(tmp_path: Path) -> None:
    for name in ("a.png", ".b.png", ".c/d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(PNG)
    assert [item.path.name for item in find_inputs([str(tmp_path / "**/*.png")])] == ["a.png"]
    assert [item.path.name for item in find_inputs([str(tmp_path / ".*.png")])] == [".b.png"]


def test_a_wrong_limit_is_one_error(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    monkeypatch.setenv(LIMIT_VARIABLE, "much")
    with pytest.raises(ValueError, match=f"^the environment variable {LIMIT_VARIABLE} is 'much'"):
        run(tmp_path)
    assert not (tmp_path / "out").exists()


def test_an_empty_input_is_refused() -> None:
    with pytest.raises(ValueError, match="one of the inputs is empty"):
        find_inputs([""])


def test_names_of_results_fit_into_a_file_system(tmp_path: Path) -> None:
    for end in ("x", "y"):
        (tmp_path / f"{'long' * 60}{end}.png").write_bytes(PNG)
    names = [item.name for item in find_inputs([tmp_path])]
    assert len(set(names)) == 2
    assert all(len(name.encode()) < 200 for name in names)


@pytest.mark.parametrize("name", ["circle", "a/b/c"])
def test_folders_that_are_links_in_circles_are_refused(
    run: Run, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "circle").symlink_to("circle")
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, FileNotFoundError), match=name):
        run(name)
