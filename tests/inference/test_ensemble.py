"""An ensemble averages the probabilities of its members."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tiramisu.checkpoints.checkpoint import load_model, save_model
from tiramisu.checkpoints.info import ModelInfo
from tiramisu.checkpoints.model import ClassificationModel, SegmentationModel
from tiramisu.checkpoints.model_files import find_results_folder, list_members
from tiramisu.inference.averaging import random_dropout
from tiramisu.inference.classify import classify
from tiramisu.inference.ensemble import Ensemble
from tiramisu.inference.load import load_predictor
from tiramisu.inference.predict import predict_probabilities

Make = Callable[..., SegmentationModel]
IMAGE = np.random.default_rng(0).integers(0, 256, (96, 80, 3), np.uint8)


def different(make_model: Make, number: int, **changes: Any) -> list[SegmentationModel]:
    models = []
    for seed in range(number):
        torch.manual_seed(seed)
        network = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 3, padding=1, bias=False))
        network[0].weight.data *= 4
        models.append(make_model(network))
        models[-1].info = dataclasses.replace(models[-1].info, **changes)
    return models


@pytest.mark.parametrize("options", [{}, {"tile": 64}, {"tta": True}], ids=str)
@pytest.mark.parametrize("image_scale", [1.0, 0.5])
def test_probabilities_are_the_mean(
    make_model: Make, options: dict[str, Any], image_scale: float
) -> None:
    members = different(make_model, 3, image_scale=image_scale)
    together = predict_probabilities(Ensemble(members, names=list("abc")), IMAGE, **options)
    each = [predict_probabilities(member, IMAGE, **options) for member in members]
    mean = torch.stack(each).mean(dim=0)
    # Tiles and copies are blended and resized as logits, which is not exactly the same.
    exact = not options and image_scale == 1
    torch.testing.assert_close(together, mean, atol=1e-5 if exact else 0.1, rtol=0)
    assert (each[0] - each[1]).abs().max() > 0.2


def test_one_member_sure_of_another_class_is_outvoted_by_two_by_probability() -> None:
    class Says:
        training, device = False, torch.device("cpu")
        info = ModelInfo(arch="x", class_names=("a", "b"), colors=((0, 0, 0), (1, 1, 1)))

        def __init__(self, share: float) -> None:
            self.share = share

        def __call__(self, images: torch.Tensor, *, size: Any = None) -> torch.Tensor:
            return torch.tensor([self.share, 1 - self.share]).log().expand(len(images), 2)

    ensemble = Ensemble([Says(0.9), Says(0.4), Says(0.35)], names=list("abc"))
    mean = ensemble(torch.zeros(1, 3, 32, 32)).softmax(dim=1)
    torch.testing.assert_close(mean, torch.tensor([[0.55, 0.45]]))


def test_classifiers(make_model: Make) -> None:
    members = []
    for seed in range(2):
        torch.manual_seed(seed)
        pool = torch.nn.AdaptiveAvgPool2d(1)
        network = torch.nn.Sequential(pool, torch.nn.Flatten(), torch.nn.Linear(3, 2))
        info = ModelInfo(
            arch="densenet_bc40_12",
            class_names=("a", "b"),
            colors=((0, 0, 0), (9, 9, 9)),
            task="classification",
        )
        members.append(ClassificationModel(network, info).eval())
    together = classify(Ensemble(members, names=["a", "b"]), IMAGE).probabilities
    each = [classify(member, IMAGE).probabilities for member in members]
    np.testing.assert_allclose(together, np.mean(each, axis=0), atol=1e-6)
    assert abs(each[0] - each[1]).max() > 1e-3


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"class_names": ("sky", "wall", "car")}, "one classes: a has sky, wall, road, b has sky,"),
        ({"pixel_type": "uint16"}, "one type of values: a has uint8, b has uint16"),
        ({"bands": (3, 2, 1)}, r"one bands: a has 3 bands, b has \[3, 2, 1\]"),
        ({"image_scale": 0.5}, "one image scale: a has 1.0, b has 0.5"),
        ({"task": "classification"}, "one task: a has segmentation, b has classification"),
    ],
)
def test_members_fit_together(make_model: Make, changes: dict[str, Any], problem: str) -> None:
    first, second = different(make_model, 2)
    second.info = dataclasses.replace(second.info, **changes)
    with pytest.raises(ValueError, match=problem):
        Ensemble([first, second], names=["a", "b"])


def test_members_may_differ_in_network_and_normalization(make_model: Make) -> None:
    first, second = different(make_model, 2)
    second.info = dataclasses.replace(second.info, mean=(0.1,) * 3, arch="other")
    assert Ensemble([first, second], names=["a", "b"]).info.arch == "tiny+other"


def test_an_ensemble_has_no_random_dropout(make_model: Make) -> None:
    ensemble = Ensemble(different(make_model, 2), names=["a", "b"])
    with pytest.raises(ValueError, match=r"or an ensemble .* has no dropout"):
        random_dropout(ensemble).__enter__()


def test_a_member_in_training_mode_is_noticed(make_model: Make) -> None:
    members = different(make_model, 2)
    members[1].train()
    with pytest.raises(ValueError, match="in training mode"):
        predict_probabilities(Ensemble(members, names=["a", "b"]), IMAGE)


@pytest.fixture
def runs(model: SegmentationModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for number, name in enumerate(("a", "b", "a,b")):
        with torch.no_grad():
            model.network.classifier.bias[:] = torch.tensor([0.0, 1.0, 2.0 * number])
        save_model(model, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_list_is_an_ensemble_unless_there_is_such_a_folder(runs: Path) -> None:
    single = load_predictor("a,b", accelerator="cpu")
    assert not isinstance(single, Ensemble)
    (runs / "a,b").rename(runs / "c")
    both = load_predictor("a, b", accelerator="cpu")
    assert isinstance(both, Ensemble)
    each = [predict_probabilities(load_model(name), IMAGE) for name in ("a", "b")]
    torch.testing.assert_close(
        predict_probabilities(both, IMAGE), (each[0] + each[1]) / 2, atol=1e-5, rtol=0
    )
    assert find_results_folder("a,b") == Path()


@pytest.mark.parametrize(
    ("checkpoint", "problem"),
    [
        ("a,", "a name is missing; expected such as RUN1,RUN2,RUN3"),
        ("a,b,a", "a is named twice"),
        ("a,nothing", "there is no checkpoint nothing"),
    ],
)
def test_lists_with_a_mistake(runs: Path, checkpoint: str, problem: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=problem):
        load_predictor(checkpoint, accelerator="cpu")


def test_the_folder_of_folds_is_an_ensemble(runs: Path) -> None:
    for name, number in (("a", 2), ("b", 10), ("a,b", 1)):
        (runs / name).rename(runs / f"fold{number}")
    assert list_members(runs) == [str(runs)]
    (runs / "fold1.yaml").write_text("")
    (runs / "fold3").mkdir()  # is not trained yet
    assert list_members(runs) == [str(runs / f"fold{number}") for number in (1, 2, 10)]
    assert find_results_folder(runs) == runs
