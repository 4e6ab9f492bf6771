"""Every setting of an evaluation changes what it names: a test for each field of `EvalConfig`."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from pretended_workers import pretend_workers
from setting_tests import missing_tests
from torch import Tensor

from tiramisu import commands
from tiramisu.checkpoints.checkpoint import save_model
from tiramisu.checkpoints.model import SegmentationModel
from tiramisu.data.catalog import load_spec
from tiramisu.data.dataset import ImageDataset
from tiramisu.evaluation import evaluate_checkpoint as evaluating
from tiramisu.evaluation.config import EvalConfig
from tiramisu.evaluation.evaluate_checkpoint import evaluate_checkpoint
from tiramisu.evaluation.scores import SegmentationScores, score
from tiramisu.training.config import TrainConfig
from tiramisu.training.preparing import build_model_for

Make = Callable[..., EvalConfig]


def test_every_field_has_its_test() -> None:
    assert missing_tests(EvalConfig, globals()) == []


@pytest.fixture
def run(model: SegmentationModel, tmp_path: Path) -> Path:
    """An untrained model, saved."""
    save_model(model, tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def make(run: Path, rectangles: Path) -> Make:
    return lambda **changes: EvalConfig(
        **{"checkpoint": str(run), "data": str(rectangles), "accelerator": "cpu", **changes}
    )


@pytest.fixture
def shapes(model: SegmentationModel) -> list[tuple[int, ...]]:
    """Shapes of what the network is shown."""
    seen: list[tuple[int, ...]] = []
    model.network.register_forward_pre_hook(lambda _, args: seen.append(tuple(args[0].shape)))
    return seen


def saved(folder: Path) -> dict[str, object]:
    return json.loads((folder / "scores.json").read_text())


def first_norm(model: SegmentationModel) -> torch.nn.BatchNorm2d:
    return model.network.get_submodule("features.denseblock1.denselayer1.norm1")


def test_checkpoint(make: Make, model: SegmentationModel, tmp_path: Path) -> None:
    before = evaluate_checkpoint(make(out=str(tmp_path / "a")))
    with torch.no_grad():
        model.network.classifier.bias[:] = torch.tensor([0.0, 0.0, 1e6])
    save_model(model, tmp_path / "other")
    after = evaluate_checkpoint(make(checkpoint=str(tmp_path / "other"), out=str(tmp_path / "b")))
    assert after.matrix[:, 2].sum() == after.matrix.sum()
    assert before.matrix[:, 2].sum() < before.matrix.sum()


def test_data(make: Make, rectangles: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(rectangles, other)
    for folder in ("images", "masks"):
        next((other / folder / "val").iterdir()).unlink()
    for data, images in ((rectangles, 3), (other, 2)):
        evaluate_checkpoint(make(data=str(data), out=str(tmp_path / data.name)))
        assert saved(tmp_path / data.name)["images"] == images


def test_val_fraction(make: Make, rectangles: Path, tmp_path: Path) -> None:
    for kind in ("images", "masks"):
        shutil.copytree(rectangles / kind / "train", tmp_path / "flat" / kind)
    data = str(tmp_path / "flat")
    for fraction, images in ((0.34, 2), (0.5, 3)):
        out = tmp_path / f"out{images}"
        evaluate_checkpoint(make(data=data, val_fraction=fraction, out=str(out)))
        assert saved(out)["images"] == images


@pytest.fixture
def val_of(
    make: Make, rectangles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[str]]:
    """The names that are evaluated, of six images without a split val."""
    for kind in ("images", "masks"):
        shutil.copytree(rectangles / kind / "train", tmp_path / "six" / kind)
    seen: list[list[str]] = []

    def evaluate(model: object, dataset: ImageDataset, **options: object) -> SegmentationScores:
        seen.append(dataset.names)
        return score(torch.eye(3, dtype=torch.int64))

    monkeypatch.setattr(evaluating, "evaluate", evaluate)

    def run(**changes: object) -> list[str]:
        data, out = str(tmp_path / "six"), str(tmp_path / "out")
        evaluate_checkpoint(make(data=data, out=out, overwrite=True, **changes))
        return seen[-1]

    return run


def test_split_seed(val_of: Callable[..., list[str]]) -> None:
    assert len({tuple(val_of(split_seed=seed)) for seed in range(6)}) > 2


def test_groups(val_of: Callable[..., list[str]]) -> None:
    together = {"train3", "train4", "train5"}
    for seed in range(4):
        val = val_of(groups="train[0-2]$|train(?=[3-5])", split_seed=seed, val_fraction=0.5)
        assert together & set(val) in (set(), together)


def test_folds(val_of: Callable[..., list[str]]) -> None:
    assert len(val_of(folds=2, fold=1)) > len(val_of(folds=6, fold=1))


def test_fold(val_of: Callable[..., list[str]]) -> None:
    assert not set(val_of(folds=3, fold=1)) & set(val_of(folds=3, fold=2))


def test_split_file(val_of: Callable[..., list[str]], tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("data: six\nmade_of: [train]\nseed: 1\ntrain: [train0]\nval: [train2]\n")
    assert val_of(split_file=str(file)) == ["train2"]


def test_unlabelled(make: Make) -> None:
    with pytest.raises(ValueError, match="--unlabelled is void, but"):
        evaluate_checkpoint(make(unlabelled="void"))  # masks have no annotations


def test_data_root(make: Make, tmp_path: Path) -> None:
    root = tmp_path / "files"
    for folder in ("val", "valannot"):
        (root / folder).mkdir(parents=True)
    Image.new("RGB", (64, 64)).save(root / "val" / "a.png")
    Image.new("L", (64, 64), 3).save(root / "valannot" / "a.png")
    camvid = build_model_for(load_spec("camvid"), TrainConfig(arch="fc56", data="camvid"))
    save_model(camvid, tmp_path / "camvid")
    scores = evaluate_checkpoint(
        make(checkpoint=str(tmp_path / "camvid"), data="camvid", data_root=str(root))
    )
    assert scores.matrix[3].sum() == 64 * 64


def test_split(make: Make, run: Path) -> None:
    for split, images in (("val", 3), ("train", 6)):
        evaluate_checkpoint(make(split=split))
        (folder,) = (run / "eval").glob(f"*_{split}_running")
        assert saved(folder)["images"] == images


def statistics(make: Make, model: SegmentationModel, **changes: object) -> Tensor | None:
    """The running mean with which the first batch norm of an evaluation computes."""
    seen: list[Tensor | None] = []
    hook = first_norm(model).register_forward_pre_hook(
        lambda norm, _: seen.append(None if norm.running_mean is None else norm.running_mean + 0)
    )
    evaluate_checkpoint(make(overwrite=True, **changes), model=model)
    hook.remove()
    return seen[-1]


def test_limit(make: Make, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    evaluate_checkpoint(make(out=str(folder), limit=2))
    assert saved(folder)["images"] == 2
    assert len((folder / "images.csv").read_text().splitlines()) == 3
    evaluate_checkpoint(make(out=str(folder), limit=200, overwrite=True))
    assert saved(folder)["images"] == 3
    evaluate_checkpoint(make(limit=2))
    evaluate_checkpoint(make())  # does not replace it


def test_bn(make: Make, model: SegmentationModel) -> None:
    stored = first_norm(model).running_mean.clone()
    running = statistics(make, model, bn="running")
    recalibrated = statistics(make, model, bn="recalibrated")
    assert statistics(make, model, bn="batch") is None  # only the batch to go by
    assert running is not None
    assert recalibrated is not None
    assert torch.equal(running, stored)
    assert not torch.allclose(recalibrated, stored, atol=1e-3)
    assert torch.equal(first_norm(model).running_mean, stored)  # the model itself is unchanged


def test_train_split(make: Make, model: SegmentationModel) -> None:
    means = [
        statistics(make, model, bn="recalibrated", train_split=split) for split in ("train", "val")
    ]
    assert not torch.equal(means[0], means[1])


def test_batch_size(make: Make, model: SegmentationModel, shapes: list) -> None:
    evaluate_checkpoint(make(batch_size=2), model=model)
    assert shapes == [(2, 3, 64, 64), (1, 3, 64, 64)]
    shapes.clear()
    evaluate_checkpoint(make(overwrite=True), model=model)
    assert shapes == [(1, 3, 64, 64)] * 3
    shapes.clear()
    evaluate_checkpoint(make(bn="batch"), model=model)
    assert shapes == [(3, 3, 64, 64)]  # up to ten, as the authors of the paper did


def test_tile(
    make: Make, model: SegmentationModel, shapes: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sides(**changes: object) -> set[int]:
        shapes.clear()
        evaluate_checkpoint(make(overwrite=True, **changes), model=model)
        return {shape[-1] for shape in shapes}

    assert sides() == {64}  # smaller than the usual tiles
    monkeypatch.setattr("tiramisu.inference.tester.DEFAULT_TILE", 48)
    monkeypatch.setattr("tiramisu.evaluation.evaluate_checkpoint.DEFAULT_TILE", 48)
    assert sides(tile="auto") == {48}
    assert sides(tile="off") == {64}
    assert sides(tile="auto", bn="batch") == {64}


def test_whole_batches_that_cannot_fit_are_refused(
    make: Make, model: SegmentationModel, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr("tiramisu.evaluation.evaluate_checkpoint.DEFAULT_TILE", 48)
    evaluate_checkpoint(make(tile="auto", bn="batch"), model=model)
    said = "--bn batch, which predicts whole batches without tiles: 10 images of 64x64 pixels"
    assert said in capsys.readouterr().out
    monkeypatch.setattr("tiramisu.inference.whole_images.SURELY_FITS", 5000)
    monkeypatch.setattr("tiramisu.free_memory.free_memory", lambda: 10_000)
    with pytest.raises(ValueError, match=f"{said} takes .*; give --bn recalibrated, or a smaller"):
        evaluate_checkpoint(make(tile="auto", bn="batch", overwrite=True), model=model)


def test_tta(make: Make, model: SegmentationModel, shapes: list) -> None:
    evaluate_checkpoint(make(tta=True), model=model)
    assert sorted(shape[-1] for shape in shapes) == sorted(3 * 2 * [48, 64, 80])


def test_mc_dropout(make: Make, model: SegmentationModel, shapes: list) -> None:
    evaluate_checkpoint(make(mc_dropout=4), model=model)
    # Four passes over each image for the scores, and again for the picture of uncertainty.
    assert len(shapes) in (12, 24)


def test_out(make: Make, tmp_path: Path) -> None:
    evaluate_checkpoint(make(out=str(tmp_path / "here")))
    assert (tmp_path / "here" / "scores.json").is_file()


def test_overwrite(make: Make, tmp_path: Path) -> None:
    evaluate_checkpoint(make(out=str(tmp_path / "here")))
    with pytest.raises(ValueError, match="--overwrite"):
        evaluate_checkpoint(make(out=str(tmp_path / "here")))
    evaluate_checkpoint(make(out=str(tmp_path / "here"), overwrite=True))


def test_accelerator(make: Make) -> None:
    if torch.cuda.is_available():
        pytest.skip("has a GPU")
    with pytest.raises(ValueError, match="--accelerator gpu"):
        evaluate_checkpoint(make(accelerator="gpu"))


def test_metrics(make: Make, tmp_path: Path) -> None:
    evaluate_checkpoint(make(out=str(tmp_path / "a")))
    assert "own_metrics" not in saved(tmp_path / "a")
    for name, metrics in (("b", "tiny_parts:Pixels"), ("c", ["tiny_parts:Pixels"])):
        evaluate_checkpoint(make(out=str(tmp_path / name), metrics=metrics))
        assert saved(tmp_path / name)["own_metrics"] == {"Pixels": 3 * 62 * 62}
    with pytest.raises(ValueError, match=r"--metrics tiny_parts:Gone: .* has no Gone"):
        evaluate_checkpoint(make(out=str(tmp_path / "d"), metrics="tiny_parts:Gone"))


def test_workers(make: Make, run: Path, monkeypatch: pytest.MonkeyPatch, rectangles: Path) -> None:
    workers = pretend_workers(monkeypatch)
    argv = ["--checkpoint", str(run), "--data", str(rectangles), "--overwrite"]
    commands.evaluate([*argv, "--workers", "3"])
    assert workers.asked == {"number": 3, "scheduler": None}
    assert sum(workers.chunks) == 3
    with pytest.raises(ValueError, match="--workers starts processes here, --scheduler joins"):
        make(workers=1, scheduler="tcp://a:1")


def test_scheduler(run: Path, monkeypatch: pytest.MonkeyPatch, rectangles: Path) -> None:
    workers = pretend_workers(monkeypatch)
    argv = ["--checkpoint", str(run), "--data", str(rectangles)]
    commands.evaluate([*argv, "--scheduler", "tcp://a:1"])
    assert workers.asked == {"number": None, "scheduler": "tcp://a:1"}
    assert sum(workers.chunks) == 3
