"""`tiramisu compare`: whether a model is better than another, and on which images."""

import dataclasses
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_classes import write_classes
from tiny_data import write_rectangles
from web_page import Page

from tiramisu import commands
from tiramisu.checkpoints.checkpoint import save_model
from tiramisu.data.catalog import load_spec
from tiramisu.evaluation.config import EvalConfig
from tiramisu.evaluation.evaluate_checkpoint import evaluate_checkpoint
from tiramisu.evaluation.scores import score
from tiramisu.runs import comparing
from tiramisu.runs.comparing import compare_models, measure
from tiramisu.runs.config import CompareConfig
from tiramisu.runs.model_comparison import Comparison
from tiramisu.training.config import ClassifierTrainConfig, TrainConfig
from tiramisu.training.preparing import build_model_for
from tiramisu.training.train import train
from tiramisu.visual.page import hex_color

FIELDS = {field.name for field in dataclasses.fields(CompareConfig)}


@pytest.fixture(scope="module")
def rectangles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve images to compare on."""
    root = tmp_path_factory.mktemp("rectangles")
    write_rectangles(root, "train", count=12, seed=1)
    write_rectangles(root, "val", count=2, seed=2)
    return root


@pytest.fixture(scope="module")
def models(rectangles: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Three networks with different random weights."""
    folder = tmp_path_factory.mktemp("runs")
    for number, name in enumerate("abc"):
        config = TrainConfig(arch="fc56", data=str(rectangles), seed=number)
        model = build_model_for(load_spec(str(rectangles)), config)
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):  # so that all classes are predicted
                module.running_mean.uniform_(-0.5, 0.5)
                module.running_var.uniform_(0.5, 2)
        save_model(model, folder / name)
    return [str(folder / name) for name in "abc"]


def compare(models: list[str], data: Path, **settings: object) -> Comparison:
    settings = {"split": "train"} | settings
    return compare_models(
        CompareConfig(models=models, data=str(data), accelerator="cpu", **settings)
    )


def test_models(models: list[str], rectangles: Path, tmp_path: Path) -> None:
    comparison = compare(models, rectangles)
    own = [
        evaluate_checkpoint(
            EvalConfig(
                checkpoint=path,
                data=str(rectangles),
                split="train",
                out=str(tmp_path / str(n)),
                accelerator="cpu",
            )
        )
        for n, path in enumerate(models)
    ]
    assert comparison.first.values[0] == pytest.approx(own[0].mean_iou)
    for other, scores in zip(comparison.others, own[1:], strict=True):
        assert other.difference[0] == pytest.approx(scores.mean_iou - own[0].mean_iou)
        assert other.difference[1:] == pytest.approx(scores.iou - own[0].iou)
        assert (other.low <= other.difference + 1e-9).all()
        assert (other.difference <= other.high + 1e-9).all()
        images = zip(own[0].images, scores.images, strict=True)
        changes = [after.mean_iou - before.mean_iou for before, after in images]
        assert all(changes)
        assert comparison.rank_images(other) == np.argsort(changes, kind="stable").tolist()
    assert all(other.difference[0] for other in comparison.others)
    text = str(comparison)
    assert [other.model.name for other in comparison.others] == ["b", "c"]
    assert f"{100 * (own[1].mean_iou - own[0].mean_iou):+.1f}" in text
    with pytest.raises(ValueError, match="two models or more; 1 is given"):
        CompareConfig(models=models[:1])


def test_equal_models_do_not_differ(models: list[str], rectangles: Path) -> None:
    (other,) = compare([models[0]] * 2, rectangles).others
    assert (other.difference == 0).all()
    assert (other.low == 0).all()
    assert not other.is_certain.any()


def test_an_interval_is_that_of_a_plain_resampling(models: list[str], rectangles: Path) -> None:
    comparison = compare(models[:2], rectangles, split="train")
    (other,) = comparison.others
    counts = [comparison.first.counts, other.model.counts]
    rng = np.random.default_rng(5)
    differences = []
    for _ in range(2000):
        drawn = rng.integers(0, len(counts[0]), len(counts[0]))
        means = []
        for rows in counts:
            right, labelled, predicted = rows[drawn].sum(axis=0)
            means.append((right / (labelled + predicted - right)).mean())
        differences.append(means[1] - means[0])
    expected = np.percentile(differences, [2.5, 97.5])
    spread = expected[1] - expected[0]
    assert [other.low[0], other.high[0]] == pytest.approx(expected, abs=0.15 * spread)


def test_seed(models: list[str], rectangles: Path) -> None:
    lows = [compare(models[:2], rectangles, seed=seed).others[0].low[0] for seed in (1, 1, 2)]
    assert lows[0] == lows[1] != lows[2]


def test_few_images_have_no_interval(models: list[str], rectangles: Path) -> None:
    for settings in ({"limit": 9}, {"together": r"^train[0-3]?"}):
        (other,) = compare(models[:2], rectangles, **settings).others
        assert np.isnan(other.low).all()
        assert not other.is_certain.any()
    assert "What is in fewer than 10 images has no interval" in str(
        compare(models[:2], rectangles, limit=9)
    )


def test_equal_models_seldom_differ_by_more_than_chance() -> None:
    """Predictions that are right by the same chance, on images of two classes."""
    rng = np.random.default_rng(0)
    certain = []
    for _ in range(60):
        model = [
            SimpleNamespace(counts=count_right(rng.binomial(100, 0.7, (30, 2)))) for _ in range(2)
        ]
        groups = np.arange(30)
        weights = comparing._resample(30, seed=1)
        first, other = (comparing._score(weights, m, groups, task="segmentation") for m in model)
        values = [measure(m.counts.sum(axis=0), task="segmentation") for m in model]
        for m, value in zip(model, values, strict=True):
            m.values = value
        difference = comparing._differ(model[1], model[0], other - first, groups)
        certain.append(difference.is_certain[0])
    assert np.mean(certain) < 0.17


def count_right(right: np.ndarray) -> np.ndarray:
    """Counts (N, 3, 2) of images with 100 pixels of each class, from the right ones (N, 2)."""
    wrong = 100 - right[:, ::-1]
    return np.stack([right, np.full_like(right, 100), right + wrong], axis=1)


def test_together(models: list[str], rectangles: Path) -> None:
    """The first two images are drawn together, the others one by one."""
    wide = compare(models[:2], rectangles, split="train", together="^(train)[01]$")
    plain = compare(models[:2], rectangles, split="train")
    assert (wide.others[0].low[0], wide.others[0].high[0]) != (
        plain.others[0].low[0],
        plain.others[0].high[0],
    )
    with pytest.raises(ValueError, match="--together is 'nothing', which matches no sample"):
        compare(models[:2], rectangles, together="nothing")


def test_limit(models: list[str], rectangles: Path) -> None:
    assert len(compare(models[:2], rectangles, limit=2).image_names) == 2


def test_split(models: list[str], rectangles: Path) -> None:
    assert compare(models[:2], rectangles, split="val").title.endswith("val, 2 images")


def test_data(models: list[str], rectangles: Path) -> None:
    assert compare(models[:2], rectangles).spec.name == rectangles.name


def test_data_root(models: list[str], rectangles: Path) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match="gone"):
        compare(models[:2], rectangles, data_root=str(rectangles / "gone"))


def test_tile(models: list[str], rectangles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    evaluate = comparing.evaluate
    monkeypatch.setattr(
        comparing, "evaluate", lambda *a, tile, **b: asked.append(tile) or evaluate(*a, **b)
    )
    for tile in ("off", 64, "auto"):
        compare(models[:2], rectangles, tile=tile, split="val")
    assert asked == [None, None, 64, 64, "auto", "auto"]


def test_accelerator(models: list[str], rectangles: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("has a GPU")
    with pytest.raises(ValueError, match="--accelerator gpu"):
        compare_models(CompareConfig(models=models, data=str(rectangles), accelerator="gpu"))


def test_report(models: list[str], rectangles: Path, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    argv = [*models, "--data", str(rectangles), "--split", "train", "--report", str(path)]
    commands.compare(argv)
    page = Page(path)
    figures = [attributes for tag, attributes in page.elements if tag == "figure"]
    assert len(figures) == 2 * 12  # two models beside the first, twelve images
    assert page.count("img") == 4 * len(figures)
    comparison = compare(models, rectangles)
    for part, other in enumerate(comparison.others):
        order = comparison.rank_images(other)
        change = 100 * (other.model.of_images - comparison.first.of_images)[order]
        shown = [json.loads(a["data-values"]) for a in figures[12 * part :][:12]]
        for row, values in zip(shown, change, strict=True):
            assert row == [None if np.isnan(v) else round(float(v), 1) for v in values]
    assert "http" not in page.source
    assert page.text.startswith("3 models on ")
    commands.compare([*models[:2], *argv[len(models) :], "--overwrite"])
    page = Page(path)
    names = [model.name for model in (comparison.others[0].model, comparison.first)]
    assert page.text.startswith(f"{names[0]} beside {names[1]} on ")
    colors = {hex_color(color) for color in comparison.spec.colors}
    keys = re.findall(r'<p class="key small">(.*?)</p>', page.source, re.DOTALL)
    assert [set(re.findall(r"background: (#\w+)", key)) for key in keys] == [colors]
    assert "var(--void)" in keys[0]


def test_overwrite(models: list[str], rectangles: Path, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("")
    argv = [*models[:2], "--data", str(rectangles), "--accelerator", "cpu", "--report", str(path)]
    with pytest.raises(ValueError, match="--overwrite"):
        commands.compare(argv)
    commands.compare([*argv, "--overwrite"])
    assert path.read_text()


@pytest.mark.parametrize(
    "name", ["val_fraction", "split_seed", "groups", "folds", "fold", "split_file", "unlabelled"]
)
def test_the_split_is_that_of_the_evaluation(
    name: str, models: list[str], rectangles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    find = "tiramisu.runs.comparing.find_data"
    monkeypatch.setattr(find, lambda *_, options, **__: seen.append(options) or 1 / 0)
    value = {"val_fraction": 0.3, "split_seed": 4, "groups": "^.", "folds": 3, "fold": 2}.get(name)
    settings = {
        name: "background" if name == "unlabelled" else "a.yaml" if value is None else value
    }
    settings |= {"folds": 3} if name == "fold" else {}
    with pytest.raises(ZeroDivisionError):
        compare(models, rectangles, **settings)
    assert getattr(seen[0], name) == settings[name]


val_fraction = split_seed = groups = folds = fold = split_file = unlabelled = None


def test_every_field_has_its_test() -> None:
    assert all(f"test_{name}" in globals() or name in globals() for name in FIELDS)


def test_models_with_other_classes_are_refused(
    models: list[str], rectangles: Path, tmp_path: Path
) -> None:
    config = TrainConfig(arch="fc56", data="streets")
    save_model(build_model_for(load_spec("streets"), config), tmp_path / "other")
    with pytest.raises(ValueError, match="class"):
        compare([models[0], str(tmp_path / "other")], rectangles)


def test_values_of_a_split_and_of_its_classes() -> None:
    matrix = np.array([[5, 1, 0], [2, 7, 0], [0, 0, 0]])
    counts = np.stack([np.diagonal(matrix), matrix.sum(axis=1), matrix.sum(axis=0)])
    values = measure(counts, task="segmentation")
    assert values[0] == pytest.approx(score(matrix).mean_iou)
    assert values[1:3] == pytest.approx(score(matrix).iou[:2])
    assert np.isnan(values[3])
    classes = measure(counts, task="classification")
    assert classes[:3] == pytest.approx([12 / 15, 5 / 6, 7 / 9])


def test_classifiers(tmp_path: Path) -> None:
    names = [f"{split}/{name}" for split in ("train", "val") for name in ("a", "b")]
    data = write_classes(tmp_path / "data", dict.fromkeys(names, 6))
    for seed in (1, 2):
        config = ClassifierTrainConfig(
            data=str(data), epochs=1, out=str(tmp_path / f"run{seed}"), seed=seed, batch_size=4
        )
        train(config)
    path = tmp_path / "page.html"
    commands.compare([str(tmp_path / f"run{n}") for n in (1, 2)] + ["--report", str(path)])
    page = Page(path)
    assert "top-1 and recall of each class" in page.text
    assert page.count("img") == page.count("figure")


def test_models_with_other_splits_are_named(
    rectangles: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = tmp_path / "data"
    write_rectangles(data, "train", count=12, seed=1)
    for seed in (1, 2):
        train(
            TrainConfig(
                data=str(data),
                epochs=1,
                max_steps=1,
                keep="last",
                crop=(32, 32),
                split_seed=seed,
                out=str(tmp_path / f"run{seed}"),
                accelerator="cpu",
            )
        )
    compare_models(CompareConfig(models=[str(tmp_path / "run1"), str(tmp_path / "run2")]))
    assert "were trained with different splits" in caplog.text
