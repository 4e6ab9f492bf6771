"""Every setting of an export changes what it names: a test for each field of `ExportConfig`.

Writing a file and loading it again have their own tests; here both are replaced, and the tests look
at what they are given.
"""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from setting_tests import missing_tests
from standin_runtime import standin_files, write_folder
from torch import Tensor

from tiramisu.checkpoints.checkpoint import load_model, save_model
from tiramisu.checkpoints.info import ModelInfo
from tiramisu.checkpoints.model import SegmentationModel
from tiramisu.evaluation.scores import SegmentationScores, score
from tiramisu.export import exporting
from tiramisu.export.config import ExportConfig
from tiramisu.export.exporting import ExportReport, export_checkpoint

Run = Callable[..., ExportReport]


def test_every_field_has_its_test() -> None:
    assert missing_tests(ExportConfig, globals()) == []


@dataclasses.dataclass
class Calls:
    """What an export asked for."""

    path: Path | None = None
    int8: bool | None = None
    calibration: list[Tensor] = dataclasses.field(default_factory=list)
    evaluated: list[tuple[str, int | None]] = dataclasses.field(default_factory=list)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    calls = Calls()

    def write(model: Any, path: Path, *, calibration: list[Tensor], int8: bool) -> Path:
        calls.path, calls.int8, calls.calibration = path, int8, calibration
        path.write_bytes(b"exported")
        if path.suffix == ".xml":
            path.with_suffix(".bin").write_bytes(b"weights")
        save_model(model, path.parent / "model")
        return path

    def evaluate(model: Any, dataset: Any, *, limit: int | None) -> SegmentationScores:
        calls.evaluated.append((dataset.split, limit))
        return score(torch.eye(3, dtype=torch.int64))

    monkeypatch.setattr(exporting, "export_model", write)
    monkeypatch.setattr(exporting, "load_exported", lambda path: load_model(path.parent / "model"))
    monkeypatch.setattr(exporting, "check_packages", lambda *_, **__: None)
    monkeypatch.setattr(exporting, "evaluate", evaluate)
    monkeypatch.setattr(exporting, "PARITY_SIZES", ((1, 32, 32),))
    return calls


@pytest.fixture
def run(calls: Calls, model: SegmentationModel, rectangles: Path, tmp_path: Path) -> Run:
    save_model(model, tmp_path / "run")
    base = {"checkpoint": str(tmp_path / "run"), "data": str(rectangles)}
    return lambda **changes: export_checkpoint(ExportConfig(**{**base, **changes}))


def test_a_classifier_is_compared_at_its_size() -> None:
    info = ModelInfo(
        arch="densenet121",
        class_names=("a", "b"),
        colors=((0, 0, 0), (9, 9, 9)),
        task="classification",
        image_size=(32, 40),
    )
    first, second = exporting._parity_images(info)
    assert (first.shape, second.shape) == ((1, 3, 32, 40), (2, 3, 37, 48))
    assert torch.equal(first, next(iter(exporting._parity_images(info))))


def test_checkpoint(run: Run, calls: Calls, tmp_path: Path) -> None:
    (tmp_path / "run").rename(tmp_path / "other")
    report = run(checkpoint=str(tmp_path / "other"))
    assert report.checkpoint == str(tmp_path / "other")
    assert (tmp_path / "other" / "model.onnx").is_file()


@pytest.mark.parametrize(
    ("name", "suffix"), [("onnx", ".onnx"), ("openvino", ".xml"), ("pt2", ".pt2")]
)
def test_format(run: Run, calls: Calls, tmp_path: Path, name: str, suffix: str) -> None:
    assert run(format=name).format == name
    assert (tmp_path / "run" / f"model{suffix}").is_file()


def test_runtime(run: Run, calls: Calls, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "runtime", standin_files("4.5.6"))
    report = run(format="html", runtime=str(folder))
    page = tmp_path / "run" / "model.html"
    assert (report.format, report.file) == ("html", str(page))
    assert report.bytes == page.stat().st_size
    assert "ONNX Runtime Web 4.5.6" in page.read_text()
    assert calls.path is not None
    assert calls.path.suffix == ".onnx"
    assert sorted(path.name for path in page.parent.glob("model.*")) == [
        "model.html",
        "model.html.json",
        "model.json",
        "model.safetensors",
    ]
    with pytest.raises(FileNotFoundError, match="--runtime"):
        run(format="html", runtime=str(tmp_path / "nowhere"), overwrite=True)
    with pytest.raises(ValueError, match="--runtime with --format onnx"):
        run(runtime=str(folder))
    with pytest.raises(ValueError, match="--int8 with --format html"):
        run(format="html", int8=True)


def test_int8(run: Run, calls: Calls, tmp_path: Path) -> None:
    assert run().precision == "fp32"
    assert calls.int8 is False
    assert calls.calibration == []
    assert run(int8=True).precision == "int8"
    assert calls.int8 is True
    assert len(calls.calibration) == 6
    assert (tmp_path / "run" / "model_int8.onnx").is_file()


def test_data(run: Run, calls: Calls, rectangles: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(rectangles, other)
    for folder in ("images", "masks"):
        next((other / folder / "train").iterdir()).unlink()
    run(int8=True, data=str(other))
    assert len(calls.calibration) == 5


def test_val_fraction(run: Run, calls: Calls, rectangles: Path, tmp_path: Path) -> None:
    for kind in ("images", "masks"):
        shutil.copytree(rectangles / kind / "train", tmp_path / "flat" / kind)
    report = run(int8=True, data=str(tmp_path / "flat"), val_fraction=0.34)
    assert len(calls.calibration) == 4
    assert report.accuracy is not None
    assert report.accuracy.images == 2


@pytest.fixture
def calibrated(
    run: Run, calls: Calls, rectangles: Path, tmp_path: Path
) -> Callable[..., tuple[bytes, ...]]:
    """The images that calibrate, of six images without a split val; sorted, as bytes."""
    for kind in ("images", "masks"):
        shutil.copytree(rectangles / kind / "train", tmp_path / "six" / kind)

    def export(**changes: Any) -> tuple[bytes, ...]:
        run(int8=True, data=str(tmp_path / "six"), overwrite=True, **changes)
        return tuple(sorted(image.numpy().tobytes() for image in calls.calibration))

    return export


def test_split_seed(calibrated: Callable[..., tuple[bytes, ...]]) -> None:
    assert len({calibrated(split_seed=seed) for seed in range(6)}) > 2


def test_groups(calibrated: Callable[..., tuple[bytes, ...]]) -> None:
    assert len(calibrated(val_fraction=0.5)) == 3
    assert len(calibrated(groups="train[0-1]$|train(?=[2-5])", val_fraction=0.5)) != 3


def test_folds(calibrated: Callable[..., tuple[bytes, ...]]) -> None:
    assert len(calibrated(folds=2, fold=1)) < len(calibrated(folds=6, fold=1))


def test_fold(calibrated: Callable[..., tuple[bytes, ...]]) -> None:
    assert calibrated(folds=3, fold=1) != calibrated(folds=3, fold=2)


def test_split_file(calibrated: Callable[..., tuple[bytes, ...]], tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("data: six\nmade_of: [train]\nseed: 1\ntrain: [train0]\nval: [train2]\n")
    assert len(calibrated(split_file=str(file))) == 1


def test_unlabelled(run: Run) -> None:
    with pytest.raises(ValueError, match="--unlabelled is void, but"):
        run(int8=True, unlabelled="void")  # masks have no annotations


def test_data_root(run: Run, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere"):
        run(int8=True, data_root=str(tmp_path / "nowhere"))


def test_train_split(run: Run, calls: Calls) -> None:
    run(int8=True, train_split="val")
    assert len(calls.calibration) == 3


def test_samples(run: Run, calls: Calls) -> None:
    run(int8=True, samples=2)
    assert len(calls.calibration) == 2


def test_seed(run: Run, calls: Calls) -> None:
    drawn = []
    for seed in (0, 0, 1, 2, 3):
        run(int8=True, samples=2, seed=seed, overwrite=True)
        drawn.append(torch.cat(calls.calibration))
    assert torch.equal(drawn[0], drawn[1])
    assert any(not torch.equal(drawn[0], other) for other in drawn[2:])


def test_val_split(run: Run, calls: Calls) -> None:
    report = run(int8=True, val_split="train")
    assert calls.evaluated == [("train", None)] * 2  # before and after
    assert report.accuracy is not None
    assert report.accuracy.images == 6


def test_limit(run: Run, calls: Calls) -> None:
    report = run(int8=True, limit=2)
    assert calls.evaluated == [("val", 2)] * 2
    assert report.accuracy is not None
    assert report.accuracy.images == 2


def test_out(run: Run, tmp_path: Path) -> None:
    report = run(out=str(tmp_path / "here.onnx"))
    assert report.file == str(tmp_path / "here.onnx")
    assert (tmp_path / "here.onnx").is_file()
    assert (tmp_path / "here.onnx.json").is_file()


def test_overwrite(run: Run) -> None:
    run()
    with pytest.raises(ValueError, match="--overwrite"):
        run()
    run(overwrite=True)
