"""The page of an evaluation: report.html."""

import base64
import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_classes import write_classes
from web_page import Page

from tiramisu.checkpoints.checkpoint import save_model
from tiramisu.checkpoints.model import SegmentationModel
from tiramisu.data.catalog import load_spec
from tiramisu.data.dataset import ImageDataset
from tiramisu.evaluation.config import EvalConfig
from tiramisu.evaluation.evaluate_checkpoint import evaluate_checkpoint
from tiramisu.evaluation.gallery import pick_images
from tiramisu.evaluation.score_page import write_score_page
from tiramisu.evaluation.scores import SegmentationScores, score
from tiramisu.training.config import ClassifierTrainConfig, TrainConfig
from tiramisu.training.train import train
from tiramisu.visual import pictures


@pytest.fixture
def saved(model: SegmentationModel, tmp_path: Path) -> Path:
    save_model(model, tmp_path / "run")
    return tmp_path / "run"


def show(saved: Path, data: Path, **settings: object) -> tuple[Page, SegmentationScores]:
    out = saved / "shown"
    config = EvalConfig(
        checkpoint=str(saved),
        data=str(data),
        out=str(out),
        overwrite=True,
        accelerator="cpu",
        **settings,
    )
    scores = evaluate_checkpoint(config)
    assert isinstance(scores, SegmentationScores)
    return Page(out / "report.html"), scores


def decode(address: str | None) -> np.ndarray:
    assert address is not None
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))))


def test_scores_and_classes_are_on_the_page(saved: Path, rectangles: Path):
    page, scores = show(saved, rectangles)
    for name, value in (
        ("mean IoU", scores.mean_iou),
        ("pixel accuracy", scores.pixel_accuracy),
        ("mean boundary IoU", scores.errors.mean_boundary_iou),
        ("mean Dice", scores.mean_dice),
    ):
        assert f"{name} {100 * value:.1f}" in page.text
    for index, name in enumerate(("class_0", "class_1", "class_2")):
        cells = [
            scores.iou,
            scores.errors.boundary_iou,
            scores.dice,
            scores.precision,
            scores.recall,
        ]
        shown = [value[index] for value in cells]
        text = " ".join("-" if np.isnan(value) else f"{100 * value:.1f}" for value in shown)
        assert f"{name} {text}" in page.text
    for words in ("checkpoint", "processor", "torch", "command", "date", "batch_size"):
        assert f" {words} " in page.text


def test_images_are_shown_with_their_predictions_the_worst_first(
    saved: Path, rectangles: Path, model: SegmentationModel
):
    page, scores = show(saved, rectangles)
    figures = [attributes for tag, attributes in page.elements if tag == "figure"]
    values = [json.loads(attributes["data-values"]) for attributes in figures]
    assert [v[0] for v in values] == sorted(round(100 * i.mean_iou, 1) for i in scores.images)
    images = sorted(scores.images, key=lambda image: image.mean_iou)
    for row, image in zip(values, images, strict=True):
        expected = [None if np.isnan(iou) else round(100 * iou, 1) for iou in image.iou]
        assert row[1:] == expected
    addresses = [attributes["src"] for tag, attributes in page.elements if tag == "img"]
    assert len(addresses) == 4 * len(images)
    spec = load_spec(str(rectangles))
    dataset = ImageDataset(spec, "val", root=None)
    place = dataset.names.index(images[0].name)
    label = dataset.read(place)[1]
    prediction = model(dataset[place]["image"][None])[0].argmax(0).numpy().astype(np.uint8)
    truth = pictures.color_labels(label, spec.colors)
    assert (decode(addresses[1]) == truth).all()
    assert (decode(addresses[2]) == pictures.color_labels(prediction, spec.colors)).mean() > 0.999
    wrong = (label != prediction) & (label != 255)
    red = decode(addresses[3]).astype(int)
    redness = red[..., 0] - red[..., 1]  # colors of the picture are not exact
    assert redness[wrong].mean() > 60 + redness[~wrong].mean()


def test_published_scores_stand_beside_the_measured_ones(tmp_path: Path):
    spec = load_spec("camvid")
    matrix = np.diag(np.arange(1, 12))
    matrix[10, 2] = 5
    matrix[4, 5] = 3
    write_score_page(
        tmp_path / "page.html",
        title="fc56 on camvid test",
        how=["3 images", "and more"],
        scores=score(matrix),
        spec=spec,
        arch="fc56",
        images=[],
        num_images=3,
        history=[],
        training={},
        settings={"bn": "running"},
        origin={},
    )
    page = Page(tmp_path / "page.html")
    assert "mean IoU 85.0 58.9" in page.text
    assert "[1] FC-DenseNet56 (paper), test split" in page.text
    assert "Sky 100.0 92.4" in page.text
    assert "3 images; and more" in page.text
    assert re.search(
        "Bicyclist taken for Pole 62.5 % Sidewalk taken for Tree 37.5 % Share", page.text
    )
    assert page.text.count("taken for") == 2
    assert "Sidewalk 62 38 Tree" in page.text  # rows of the confusion matrix
    assert "boundary" not in page.text
    assert page.count("script") == page.count("svg") == 0


def test_scores_are_kept_where_the_page_fails(
    saved: Path, rectangles: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object, **__: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("tiramisu.evaluation.evaluate_checkpoint.write_score_page", fail)
    with pytest.raises(OSError, match="no space"):
        show(saved, rectangles)
    assert json.loads((saved / "shown/scores.json").read_text())["images"] == 3
    assert (saved / "shown/images.csv").exists()


def test_nothing_is_requested_and_names_are_escaped(saved: Path, rectangles: Path, tmp_path: Path):
    rectangles = shutil.copytree(rectangles, tmp_path / "copy")
    for kind in ("images", "masks"):
        path = sorted((rectangles / kind / "val").iterdir())[0]
        path.rename(path.with_name("<b onload=alert(1)>.png"))
    page, _ = show(saved, rectangles)
    assert "<b onload=alert(1)>" in page.text
    assert not [a for _, attributes in page.elements for a in attributes if a.startswith("on")]
    source = re.sub(r"base64,[\w+/=]+", "", page.source)
    assert "http" not in source
    assert "//" not in source
    assert page.count("link") == page.count("iframe") == 0
    assert page.count("script") == 1
    for tag, attributes in page.elements:
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith(("data:image/webp;base64,", "#")), tag


def test_of_many_images_the_worst_of_each_class_and_some_others_are_shown():
    rng = np.random.default_rng(0)
    of_classes = rng.uniform(size=(1000, 5))
    of_classes[:, 4] = np.nan
    of_classes[7, 4] = 0.99  # the only image with this class
    scores = np.nanmean(of_classes, axis=1)
    scores[3] = np.nan
    picked = pick_images(scores, of_classes, most=60)
    assert len(picked) == len(set(picked)) == 60
    assert 7 in picked
    assert 3 not in picked
    assert list(scores[picked]) == sorted(scores[picked])
    for index in range(5):
        assert int(np.nanargmin(np.where(np.arange(1000) == 3, 2, of_classes[:, index]))) in picked
    assert set(np.argsort(scores)[:10]) <= set(picked)
    assert int(np.nanargmax(scores)) in picked
    many = rng.uniform(size=(900, 500))
    assert len(pick_images(many.mean(axis=1), many, most=60)) == 60
    assert pick_images(scores[:50], of_classes[:50], most=60) == [
        place for place in np.argsort(scores[:50], kind="stable") if place != 3
    ]


def test_a_classifier_has_its_page(tmp_path: Path):
    data = write_classes(
        tmp_path / "data",
        {f"{split}/{name}": 6 for split in ("train", "val") for name in ("a", "b", "c")},
    )
    run = train(
        ClassifierTrainConfig(
            data=str(data), epochs=1, out=str(tmp_path / "run"), accelerator="cpu", batch_size=4
        )
    )
    page = Page(run.folder / "report.html")
    assert f"top-1 {100 * run.scores.top1:.1f}" in page.text
    values = [
        json.loads(attributes["data-values"])[0]
        for tag, attributes in page.elements
        if tag == "figure"
    ]
    assert values == sorted(round(100 * image.likelihood, 1) for image in run.scores.images)
    assert sum(image.truth == image.prediction for image in run.scores.images) == np.trace(
        run.scores.matrix
    )
    assert page.text.count(", right") == np.trace(run.scores.matrix)


def test_a_run_has_its_curves(tmp_path: Path, rectangles: Path):
    config = TrainConfig(
        data=str(rectangles), epochs=2, out=str(tmp_path / "run"), accelerator="cpu", crop=(32, 32)
    )
    page = Page(train(config).folder / "report.html")
    labels = [a["aria-label"] for tag, a in page.elements if tag == "svg"]
    assert "loss over the epochs of the training" in labels
    assert "mIoU, % over the epochs of the training" in labels
