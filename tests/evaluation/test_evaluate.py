"""Evaluation of a model: its scores in all modes, and the files it writes."""

import csv
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from tiramisu.checkpoints.checkpoint import load_model, save_model
from tiramisu.checkpoints.model import SegmentationModel
from tiramisu.data.catalog import load_spec
from tiramisu.data.dataset import ImageDataset
from tiramisu.evaluation.batch_norm import recalibrate_batch_norm, use_batch_statistics
from tiramisu.evaluation.config import EvalConfig
from tiramisu.evaluation.evaluate import evaluate
from tiramisu.evaluation.evaluate_checkpoint import evaluate_checkpoint
from tiramisu.evaluation.scores import score
from tiramisu.inference import tester as tester_module
from tiramisu.inference.averaging import Passes, augmented_logits
from tiramisu.training.config import TrainConfig
from tiramisu.training.train import train

Settings = Callable[..., EvalConfig]


def count(
    run: Callable[[Tensor], Tensor], dataset: ImageDataset, *, indices: range | None = None
) -> npt.NDArray[np.int64]:
    """The confusion matrix of a data set, counted image by image."""
    matrix = np.zeros((3, 3), np.int64)
    for i in indices or range(len(dataset)):
        label = dataset.read(i)[1]
        with torch.inference_mode():
            predicted = run(dataset[i]["image"][None])[0].argmax(0).numpy()
        known = label != 255
        np.add.at(matrix, (label[known], predicted[known]), 1)
    return matrix


@pytest.fixture
def saved(model: SegmentationModel, tmp_path: Path) -> Path:
    """The folder of a model with random weights and random batch norm statistics."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2)
    save_model(model, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def settings(saved: Path, rectangles: Path) -> Settings:
    def make(**changes: object) -> EvalConfig:
        values = {"checkpoint": str(saved), "data": str(rectangles), "accelerator": "cpu"}
        return EvalConfig(**{**values, **changes})

    return make


def read_scores(folder: Path) -> dict[str, object]:
    values: dict[str, object] = json.loads((folder / "scores.json").read_text())
    return values


def test_scores_are_those_of_a_plain_loop(dataset: ImageDataset, model: SegmentationModel) -> None:
    expected = count(model, dataset)
    for batch_size in (1, 2, 3):
        scores = evaluate(model, dataset, batch_size=batch_size)
        assert abs(scores.matrix - expected).sum() <= 4  # rounding differs with the batch size
    assert evaluate(model, dataset).mean_iou == pytest.approx(score(expected).mean_iou, abs=1e-3)


def test_limit_takes_images_at_even_distances(rectangles: Path, model: SegmentationModel) -> None:
    dataset = ImageDataset(load_spec(str(rectangles)), "train", root=None)
    assert len(dataset) == 6
    expected = count(model, dataset, indices=range(0, 6, 2))
    assert abs(evaluate(model, dataset, limit=3).matrix - expected).sum() <= 2
    assert evaluate(model, dataset, limit=99).matrix.sum() == 2 * expected.sum()


def test_time_augmentation_reaches_the_scores(
    dataset: ImageDataset, model: SegmentationModel
) -> None:
    expected = count(lambda images: augmented_logits(model, images), dataset)
    assert abs(evaluate(model, dataset, tta=True).matrix - expected).sum() <= 4
    assert abs(evaluate(model, dataset).matrix - expected).sum() > 4
    with pytest.raises(ValueError, match="give one of them"):
        evaluate(model, dataset, tta=True, mc_dropout=2)


def test_each_mode_of_batch_norm_has_its_folder_and_its_scores(
    settings: Settings, saved: Path, rectangles: Path, dataset: ImageDataset
) -> None:
    model = load_model(saved)
    train_set = ImageDataset(load_spec(str(rectangles)), "train", root=None)
    expected = {
        "running": evaluate(model, dataset),
        "recalibrated": evaluate(recalibrate_batch_norm(model, train_set), dataset),
        "batch": evaluate(use_batch_statistics(model), dataset, batch_size=10),
    }
    for bn, scores in expected.items():
        evaluate_checkpoint(settings(bn=bn))
        name = f"{rectangles.name}_val_{'batch10' if bn == 'batch' else bn}"
        values = read_scores(saved / "eval" / name)
        assert values["bn"] == bn
        assert values["batch_size"] == (10 if bn == "batch" else 1)
        assert values["mean_iou"] == pytest.approx(scores.mean_iou, abs=1e-6)
        assert values["confusion_matrix"] == scores.matrix.tolist()
    matrices = [scores.matrix.tolist() for scores in expected.values()]
    assert all(matrices.count(matrix) == 1 for matrix in matrices)


def test_split_and_batch_size_are_those_of_the_settings(
    settings: Settings, saved: Path, rectangles: Path
) -> None:
    evaluate_checkpoint(settings(bn="batch", batch_size=3, split="train"))
    values = read_scores(saved / "eval" / f"{rectangles.name}_train_batch3")
    assert (values["split"], values["images"], values["batch_size"]) == ("train", 6, 3)
    train_set = ImageDataset(load_spec(str(rectangles)), "train", root=None)
    scores = evaluate(use_batch_statistics(load_model(saved)), train_set, batch_size=3)
    assert values["confusion_matrix"] == scores.matrix.tolist()


def test_images_are_shrunk_as_the_model_wants_them_and_labels_are_not(
    settings: Settings, model: SegmentationModel, tmp_path: Path, dataset: ImageDataset
) -> None:
    model.info = dataclasses.replace(model.info, image_scale=0.5)
    save_model(model, tmp_path / "half")
    seen = []
    model.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[-2:]))
    scores = evaluate_checkpoint(settings(checkpoint=str(tmp_path / "half")), model=model)
    assert set(seen) == {(32, 32)}
    labels = [dataset.read(i)[1] for i in range(len(dataset))]
    assert scores.matrix.sum() == sum((label != 255).sum() for label in labels)
    # The same for a data set that was opened without regard to the model.
    assert evaluate(model, dataset).matrix.tolist() == scores.matrix.tolist()
    assert dataset.as_seen(image_scale=1.0, image_size=None) is dataset
    with pytest.raises(ValueError, match="expected sides of 64 pixels or more"):
        recalibrate_batch_norm(model, dataset)


def test_earlier_results_are_only_replaced_on_request(
    settings: Settings, saved: Path, rectangles: Path
) -> None:
    evaluate_checkpoint(settings())
    table = saved / "eval" / f"{rectangles.name}_val_running" / "scores.txt"
    table.write_text("old")
    with pytest.raises(ValueError, match="--overwrite"):
        evaluate_checkpoint(settings())
    assert table.read_text() == "old"
    evaluate_checkpoint(settings(overwrite=True))
    assert "mean IoU" in table.read_text()


def test_settings_that_do_not_fit_are_refused(
    settings: Settings, model: SegmentationModel, saved: Path
) -> None:
    with pytest.raises(ValueError, match="no split 'dev'"):
        evaluate_checkpoint(settings(split="dev"))
    with pytest.raises(ValueError, match=r"the model has the classes .*, the data set camvid"):
        evaluate_checkpoint(settings(data="camvid"))
    with pytest.raises(ValueError, match=r"the model \(fc56\) is for segmentation"):
        evaluate_checkpoint(settings(data="objects"))

    class Exported:
        info, training, device = model.info, False, torch.device("cpu")

    for bn in ("batch", "recalibrated"):
        with pytest.raises(ValueError, match=f"--bn {bn}.*exported model.*run's folder"):
            evaluate_checkpoint(settings(bn=bn), model=Exported())  # type: ignore[arg-type]
    assert not (saved / "eval").exists()


def test_results_of_an_epochs_checkpoint_stay_beside_it(
    quick: Callable[..., TrainConfig], dataset: ImageDataset
) -> None:
    run = train(quick(epochs=1)).folder
    checkpoint = run / "checkpoints" / "last.ckpt"
    evaluate_checkpoint(EvalConfig(checkpoint=str(checkpoint), accelerator="cpu"))
    assert (run / "checkpoints" / "eval").is_dir()
    assert not (run / "eval").exists()  # this one is for the published model
    published, best = load_model(run), load_model(run / "checkpoints" / "best.ckpt")
    image = dataset[0]["image"][None]
    with torch.inference_mode():
        assert torch.equal(published(image), best(image))


def test_the_worst_image_comes_first(settings: Settings, saved: Path) -> None:
    scores = evaluate_checkpoint(settings())
    (folder,) = (saved / "eval").iterdir()
    rows = list(csv.DictReader((folder / "images.csv").read_text().splitlines()))
    assert list(rows[0]) == [
        *("name", "accuracy", "mean_iou", "mean_boundary_iou"),
        *(f"{kind}_class_{index}" for kind in ("iou", "boundary_iou") for index in range(3)),
    ]
    assert [float(r["mean_iou"]) for r in rows] == sorted(float(r["mean_iou"]) for r in rows)
    by_name = {image.name: image for image in scores.images}
    assert sorted(by_name) == sorted(row["name"] for row in rows)
    assert len(rows) == 3
    for row in rows:
        image = by_name[row["name"]]
        assert float(row["accuracy"]) == pytest.approx(image.accuracy, abs=1e-5)
        assert float(row["iou_class_1"]) == pytest.approx(image.iou[1], abs=1e-5)
        boundary = image.boundary_iou[1]
        assert float(row["boundary_iou_class_1"]) == pytest.approx(boundary, abs=1e-5)
    pixels = [image.accuracy for image in scores.images]  # all have as many labelled pixels
    assert np.mean(pixels) == pytest.approx(scores.pixel_accuracy)
    assert read_scores(folder)["cross_entropy"] == pytest.approx(scores.cross_entropy, abs=1e-5)


def test_scores_of_classes_are_a_table(settings: Settings, saved: Path) -> None:
    scores = evaluate_checkpoint(settings())
    (folder,) = (saved / "eval").iterdir()
    rows = list(csv.DictReader((folder / "classes.csv").read_text().splitlines()))
    assert [row["name"] for row in rows] == ["class_0", "class_1", "class_2"]
    shares = scores.matrix.sum(axis=1) / scores.matrix.sum()
    for index, row in enumerate(rows):
        for name in ("iou", "dice", "precision", "recall"):
            assert float(row[name]) == pytest.approx(getattr(scores, name)[index], abs=1e-5)
        assert float(row["boundary_iou"]) == pytest.approx(
            scores.errors.boundary_iou[index], abs=1e-5
        )
        assert float(row["pixels"]) == pytest.approx(shares[index], abs=1e-5)


def test_the_mean_of_random_passes_is_evaluated(
    settings: Settings, saved: Path, dataset: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = np.zeros((3, 3), np.int64)
    run_passes = tester_module.run_passes

    labels = iter([torch.tensor(dataset.read(i)[1])[None] for i in range(len(dataset))])

    def watch(
        model: SegmentationModel, images: Tensor, *, size: tuple[int, int], passes: int
    ) -> Passes:
        passed = run_passes(model, images, size=size, passes=passes)
        assert passes == 4
        if (label := next(labels, None)) is not None:  # the picture comes after the scores
            known = label != 255
            np.add.at(expected, (label[known].numpy(), passed.mean.argmax(1)[known].numpy()), 1)
        return passed

    monkeypatch.setattr(tester_module, "run_passes", watch)
    scores = evaluate_checkpoint(settings(mc_dropout=4))
    assert scores.matrix.tolist() == expected.tolist()
    plain = evaluate_checkpoint(settings())
    assert scores.matrix.sum() == plain.matrix.sum()
    assert scores.matrix.tolist() != plain.matrix.tolist()
    (folder,) = (saved / "eval").glob("*_mc4")
    values = read_scores(folder)
    assert values["mc_dropout"] == 4
    assert scores.reliability is not None
    error = scores.reliability.expected_calibration_error
    assert values["expected_calibration_error"] == pytest.approx(error, abs=1e-6)
    assert f"calibration error{100 * error:9.1f}" in (folder / "scores.txt").read_text()
    assert {path.name for path in folder.iterdir()} == {
        *(
            "scores.json",
            "scores.txt",
            "confusion.png",
            "reliability.png",
            "uncertainty.png",
            "images.csv",
            "classes.csv",
            "report.html",
        )
    }


def test_a_model_without_dropout_has_no_random_passes(
    settings: Settings, model: SegmentationModel, tmp_path: Path
) -> None:
    model.info = dataclasses.replace(model.info, dropout=0.0)
    save_model(model, tmp_path / "plain")
    with pytest.raises(ValueError, match="without dropout"):
        evaluate_checkpoint(settings(checkpoint=str(tmp_path / "plain"), mc_dropout=4))


def test_logits_that_are_no_numbers_are_an_error(
    dataset: ImageDataset, model: SegmentationModel
) -> None:
    model.network.register_forward_hook(lambda *call: call[-1] * float("nan"))
    with pytest.raises(ValueError, match="gives NaN or infinity"):
        evaluate(model, dataset)
