"""Parts of one's own in a run: from names and from objects, saved with it, and found again."""

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_parts
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from tiramisu.checkpoints.checkpoint import load_model
from tiramisu.checkpoints.run_folder import read_settings
from tiramisu.evaluation.config import EvalConfig
from tiramisu.evaluation.evaluate_checkpoint import evaluate_checkpoint
from tiramisu.training.config import TrainConfig
from tiramisu.training.history import read_history
from tiramisu.training.preparing import prepare
from tiramisu.training.train import train
from tiramisu.training.user_parts import (
    NO_PARTS,
    SERVICES,
    OwnParts,
    build_own_loss,
    describe_lost,
    find_parts,
)

Quick = Callable[..., TrainConfig]
NAMES = {
    "arch": "tiny_parts:TinyNet",
    "loss": "tiny_parts:TinyLoss",
    "augment": "tiny_parts:noise",
    "metrics": ["tiny_parts:recall_of_first", "tiny_parts:Pixels"],
    "callbacks": ["tiny_parts:Steps"],
    "logger": ["tiny_parts:TinyLogger"],
}
OBJECTS = OwnParts(
    network=tiny_parts.TinyNet,
    loss=tiny_parts.TinyLoss,
    augmentation=tiny_parts.noise,
    metrics=[tiny_parts.recall_of_first, tiny_parts.Pixels],
    callbacks=[tiny_parts.Steps],
    loggers=[tiny_parts.TinyLogger],
)


def test_a_whole_run_by_names(quick: Quick, tmp_path: Path) -> None:
    before = tiny_parts.Steps.count
    run = train(quick(**NAMES))
    assert tiny_parts.Steps.count == before + 4
    saved = read_settings(run.folder / "config.yaml")
    assert {name: saved[name] for name in NAMES} == NAMES
    assert type(load_model(run.folder).network.network) is tiny_parts.TinyNet
    rows = read_history(run.folder / "metrics.csv")
    assert [row["val_Pixels"] for row in rows] == [3 * 62 * 62] * 2  # within the void frames
    assert all(0 <= row["val_recall_of_first"] <= 1 for row in rows)
    scores = json.loads((run.folder / "scores" / "scores.json").read_text())
    assert scores["own_metrics"]["Pixels"] == 3 * 62 * 62
    assert "recall_of_first" in (run.folder / "scores" / "scores.txt").read_text()
    logged = next(run.folder.rglob("lightning_logs/version_0/metrics.csv")).read_text()
    assert "val/recall_of_first" in logged
    assert (run.folder / "tensorboard").is_dir()

    # An evaluation takes metrics of its own.
    shared = {"checkpoint": str(run.folder), "accelerator": "cpu"}
    alone = evaluate_checkpoint(EvalConfig(**shared, out=str(tmp_path / "a")))
    assert alone.own == {}
    config = EvalConfig(**shared, out=str(tmp_path / "b"), metrics="tiny_parts:recall_of_first")
    assert evaluate_checkpoint(config).own == {"recall_of_first": alone.recall[0]}

    # The run goes on with its parts.
    config = dataclasses.replace(quick(**NAMES), epochs=3, out=None, resume=str(run.folder))
    train(config)
    assert tiny_parts.Steps.count == before + 6
    with pytest.raises(
        ValueError, match=r"--loss is cross_entropy, but the run .* was started with"
    ):
        train(dataclasses.replace(config, epochs=4, loss="cross_entropy"))


def test_objects_are_the_same_as_their_names(quick: Quick) -> None:
    config, parts = find_parts(quick(), OBJECTS)
    by_names, found = find_parts(quick(**NAMES))
    assert config == by_names == quick(**NAMES)
    for field in dataclasses.fields(OwnParts):
        one, other = getattr(parts, field.name), getattr(found, field.name)
        assert one == other or list(one) == list(other), field.name
    assert describe_lost(OBJECTS) == []
    assert find_parts(quick())[1] == NO_PARTS


def test_objects_go_before_names(quick: Quick) -> None:
    given = OwnParts(loss=tiny_parts.tiny_loss, metrics=[tiny_parts.Shape])
    config, parts = find_parts(quick(**NAMES), given)
    assert (config.loss, config.metrics) == ("tiny_parts:tiny_loss", ["tiny_parts:Shape"])
    assert parts.loss is tiny_parts.tiny_loss
    assert parts.network is tiny_parts.TinyNet


def test_objects_without_a_name_are_announced(quick: Quick, capsys) -> None:
    parts = OwnParts(
        network=lambda num_classes, in_channels: tiny_parts.TinyNet(num_classes, in_channels),
        loss=lambda logits, labels: F.cross_entropy(logits, labels, ignore_index=255),
    )
    run = train(quick(epochs=1), parts=parts)
    out = capsys.readouterr().out
    assert "Note: the network test_user_parts:test_objects_without_a_name" in out
    assert "load_model(path, network=...)" in out
    assert "to resume this run, give these again" in out
    with pytest.raises(ValueError, match=r"needs the network .*load_model\(path, network=\.\.\.\)"):
        load_model(run.folder)
    assert load_model(run.folder, network=parts.network).info == run.model.info
    train(quick(epochs=2, out=None, resume=str(run.folder)), parts=parts)
    assert len(read_history(run.folder / "metrics.csv")) == 2


def test_starting_from_ones_own(quick: Quick, tmp_path: Path, capsys) -> None:
    torch.save(tiny_parts.TinyNet(3, 3).state_dict(), tmp_path / "weights.pth")
    path = str(tmp_path / "weights.pth")
    model = prepare(quick(arch="tiny_parts:TinyNet", init_from=path)).task.model
    assert f"--init-from {path}: all 3 layers loaded" in capsys.readouterr().out
    expected = torch.load(path)["down.weight"]
    assert torch.equal(model.network.get_submodule("network.down").weight, expected)
    made = lambda num_classes: tiny_parts.TinyNet(num_classes, 3)  # noqa: E731
    first = train(quick(epochs=1), parts=OwnParts(network=made)).folder
    second = quick(init_from=str(first), out=str(tmp_path / "second"))
    prepare(second, given=OwnParts(network=made))
    assert f"--init-from {first}: all weights" in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"^--init-from .*none of the 3 layers fits"):
        prepare(quick(init_from=path, out=str(tmp_path / "third")))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arch": "tiny_parts:Small"}, r"--arch tiny_parts:Small returns logits \(1, 3, 16, 16\)"),
        ({"arch": "tiny_parts:Classifier"}, "for segmentation"),
        ({"arch": "tiny_parts:tiny_net", "dropout": 0.1}, "has no dropout=0.1"),
        ({"loss": "tiny_parts:loss_of_each_pixel"}, r"returns \(2, 8, 8\) .*of one number"),
        ({"loss": "tiny_parts:loss_without_gradient"}, "without a gradient"),
        ({"loss": "tiny_parts:turns"}, "object of Compose|fails"),
        ({"loss": "tiny_parts:Steps"}, "is the class Steps; expected a class that derives from nn"),
        ({"loss": "tiny_parts:tiny_loss", "class_weights": "capped"}, "takes no weight: leave out"),
        (
            {"loss": "tiny_parts:TinyLoss", "label_smoothing": 0.1},
            "takes no label_smoothing: leave",
        ),
        ({"loss": "tiny_parts:Gone"}, "has no Gone"),
        ({"final_loss": "tiny_parts:Gone", "final_epochs": 1}, "--final-loss tiny_parts:Gone"),
        ({"augment": "tiny_parts:as_floats"}, "--augment tiny_parts:as_floats returns image"),
        ({"augment": "tiny_parts:TinyLoss"}, "expected an object of albumentations"),
        ({"metrics": "tiny_parts:correct_of_each"}, r"of the shape \(3,\); expected one number"),
        ({"metrics": ["tiny_parts:Pixels"] * 2}, "two are called Pixels"),
        ({"callbacks": "tiny_parts:TinyLoss"}, "is the class TinyLoss; expected .*Callback"),
        ({"callbacks": "tiny_parts:Unsaved"}, r"state_dict\(\) holds objects"),
        ({"logger": "tiny_parts:Steps"}, "is the class Steps; expected .*Logger"),
        ({"logger": "no_such_module:X"}, "--logger no_such_module:X: there is no module"),
    ],
    ids=str,
)
def test_refused_before_anything_is_written(
    quick: Quick, changes: dict[str, Any], message: str
) -> None:
    config = quick(**changes)
    with pytest.raises(ValueError, match=message) as error:
        prepare(config)
    assert "\n" not in str(error.value)
    assert not Path(str(config.out)).exists()


def test_a_list_is_expected(quick: Quick) -> None:
    with pytest.raises(
        ValueError, match=r"metrics is the function recall_of_first; expected a list"
    ):
        find_parts(quick(), OwnParts(metrics=tiny_parts.recall_of_first))  # type: ignore[arg-type]


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    labels = torch.randint(0, 3, (2, 8, 8))
    labels[:, 0] = 255
    return torch.randn(2, 3, 8, 8), labels


def own_loss(part: object, **options: Any):
    usual = {"flag": "--loss", "num_classes": 3, "task": "segmentation", "ignore_index": 255}
    return build_own_loss(part, **{**usual, **options})


def test_what_a_loss_is_given(batch: tuple[Tensor, Tensor]) -> None:
    logits, labels = batch
    plain = F.cross_entropy(logits, labels, ignore_index=255)
    weight = torch.tensor([1.0, 2.0, 5.0])
    weighted = F.cross_entropy(logits, labels, weight, ignore_index=255)
    assert own_loss(tiny_parts.TinyLoss)(logits, labels) == 2 * plain
    assert own_loss(tiny_parts.TinyLoss, weight=weight)(logits, labels) == 2 * weighted
    assert own_loss(tiny_parts.tiny_loss)(logits, labels) == 3 * plain
    assert own_loss(torch.nn.CrossEntropyLoss(ignore_index=255))(logits, labels) == plain
    assert own_loss(tiny_parts.tiny_loss)(logits, torch.full_like(labels, 255)) == 0
    half = own_loss(tiny_parts.tiny_loss)(logits.bfloat16(), labels)
    assert half.dtype == torch.float32
    classes = own_loss(tiny_parts.tiny_loss, task="classification")
    assert classes(logits[..., 0, 0], labels[:, 1, 0]) == 3 * F.cross_entropy(
        logits[..., 0, 0], labels[:, 1, 0]
    )


def test_final_loss_is_used_at_the_end(quick: Quick) -> None:
    task = prepare(quick(final_epochs=1, final_loss="tiny_parts:tiny_loss", crop=None)).task
    assert task.final_loss is not None
    logits, labels = torch.randn(1, 3, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64)
    assert task.final_loss(logits, labels) == 3 * task.loss(logits, labels)


def test_tensorboard_stays(quick: Quick) -> None:
    trainer = prepare(quick(logger="tiny_parts:TinyLogger")).trainer
    assert [type(logger) for logger in trainer.loggers] == [
        TensorBoardLogger,
        tiny_parts.TinyLogger,
    ]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_needs_its_package(
    service: str, quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda *_: None)
    message = (
        f'--logger {service} needs the package {service}: pip install "tiramisu-seg[{service}]"'
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        prepare(quick(logger=[service]))


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_follows_the_run(
    service: str, quick: Quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(service, reason=f"needs {service}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run = train(quick(logger=service))
    found = run.folder / "wandb" if service == "wandb" else tmp_path / "mlflow.db"
    assert found.exists()


def test_a_service_that_fails_is_explained(quick: Quick) -> None:
    class NoKeyError(Exception):
        __module__ = "wandb.errors"

    class Fails(Callback):
        def on_train_start(self, *_: object) -> None:
            raise NoKeyError("No API key configured.\nLog in")

    expected = r"^--logger wandb fails: No API key configured\. Log in; start again"
    with pytest.raises(ValueError, match=expected):
        train(quick(), parts=OwnParts(callbacks=[Fails()]))
