"""Whole training runs on a data set of a few coloured rectangles."""

import logging
import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from lightning.pytorch.callbacks import Callback
from runs import assert_same_weights, checkpoint_weights
from torch import Tensor

from tiramisu.checkpoints.checkpoint import load_model
from tiramisu.checkpoints.model_files import read_checkpoint
from tiramisu.evaluation.config import EvalConfig
from tiramisu.evaluation.evaluate_checkpoint import evaluate_checkpoint
from tiramisu.training.config import TrainConfig
from tiramisu.training.preparing import prepare
from tiramisu.training.task import TrainingTask
from tiramisu.training.train import fit, train
from tiramisu.training.user_parts import OwnParts

Quick = Callable[..., TrainConfig]


def test_files_of_a_run(quick: Quick) -> None:
    run = train(quick())
    for name in (
        "config.yaml",
        "metrics.csv",
        "model.safetensors",
        "model.json",
        "curves.png",
        "samples.png",
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
        "scores/scores.txt",
        "scores/scores.json",
        "scores/confusion.png",
        "scores/images.csv",
        "report.html",
    ):
        assert (run.folder / name).is_file(), name
    assert list((run.folder / "tensorboard").glob("events*"))
    assert [row["epoch"] for row in run.history] == [1, 2]
    assert all(row["images_per_second"] > 0 for row in run.history)
    # The published model is that of the best epoch, evaluated again.
    best = max(row["val_miou"] for row in run.history)
    assert run.model.info.metrics["mean_iou"] == pytest.approx(best, abs=0.01)


def test_a_network_can_memorize_a_few_images(quick: Quick) -> None:
    run = train(quick(epochs=12, train_split="val", crop=None, dropout=0.0, flip=False, lr=1e-2))
    assert run.model.info.metrics["mean_iou"] > 90
    losses = [row["train_loss"] for row in run.history]
    assert losses[-1] < 0.2 * losses[0]


def test_final_epochs_have_whole_images_and_their_own_loss(quick: Quick, tmp_path: Path) -> None:
    settings = {"epochs": 3, "scale": (0.5, 0.9), "lr": 1e-4}
    plain = train(quick(**settings, out=str(tmp_path / "plain")))
    config = quick(
        **settings, final_epochs=1, final_loss="cross_entropy+dice", out=str(tmp_path / "final")
    )
    shapes: list[tuple[int, ...]] = []

    class ShapesRecorded(TrainingTask):
        def training_step(self, batch, batch_index):
            shapes.append(tuple(batch["image"].shape))
            return super().training_step(batch, batch_index)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tiramisu.training.preparing.TrainingTask", ShapesRecorded)
        final = train(config)
    assert shapes == 4 * [(3, 3, 32, 32)] + 2 * [(3, 3, 64, 64)]
    losses, usual = ([row["train_loss"] for row in run.history] for run in (final, plain))
    assert losses[:2] == usual[:2]
    assert losses[2] > usual[2] + 0.2  # the sum of two losses


def test_a_network_is_validated_with_statistics_that_fit_its_weights(quick: Quick) -> None:
    """After a few steps at a high rate, running averages are those of other networks."""

    def val_score(*, recalibrate: bool) -> float:
        out = str(Path(quick().out or "") / str(recalibrate))
        changes = {"epochs": 3, "lr": 1e-2, "schedule": "constant", "keep": "last", "out": out}
        return train(quick(recalibrate=recalibrate, **changes)).history[-1]["val_miou"]

    assert val_score(recalibrate=True) > val_score(recalibrate=False) + 3


def test_recalibrated_statistics_are_published(quick: Quick) -> None:
    def statistics(path: Path) -> Tensor:
        norm = load_model(path).network.get_submodule("features.denseblock1.denselayer1.norm1")
        return torch.stack([norm.running_mean, norm.running_var])

    folder = Path(quick().out or "")
    for keep in ("best", "last"):
        run = folder / keep
        train(quick(keep=keep, out=str(run)))
        assert torch.equal(statistics(run), statistics(run / f"checkpoints/{keep}.ckpt"))
    plain = folder / "plain"
    train(quick(recalibrate=False, keep="last", out=str(plain)))
    name = "model.network.classifier.weight"
    weights = [checkpoint_weights(run, "last")[name] for run in (plain, folder / "last")]
    assert torch.equal(*weights)
    assert not torch.allclose(statistics(plain), statistics(folder / "last"), rtol=1e-2)
    # Without a validation they are measured for the published model alone.
    short = folder / "short"
    train(quick(max_steps=1, keep="last", out=str(short)))
    assert not torch.allclose(
        statistics(short), statistics(short / "checkpoints/last.ckpt"), rtol=1e-2
    )


def test_averaged_weights_are_the_published_ones(quick: Quick) -> None:
    folder = train(quick(ema_decay=0.9, keep="last")).folder
    last = read_checkpoint(folder / "checkpoints" / "last.ckpt")
    name = "model.network.classifier.weight"
    assert not torch.equal(last["state_dict"][name], last["current_model_state"][name])
    published = load_model(folder).network.state_dict()["classifier.weight"]
    assert torch.equal(published, last["state_dict"][name])


@pytest.fixture
def bad_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss of every batch is NaN."""
    step = TrainingTask.training_step
    monkeypatch.setattr(TrainingTask, "training_step", lambda *args: step(*args) * math.nan)


@pytest.mark.usefixtures("bad_loss")
def test_run_that_fails_in_its_first_epoch_leaves_no_folder(quick: Quick, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="loss is"):
        train(quick(epochs=1))
    assert not (tmp_path / "run").exists()


def test_out_of_memory_names_the_remedy(quick: Quick, monkeypatch) -> None:
    def fail(*_) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(TrainingTask, "training_step", fail)
    with pytest.raises(ValueError, match="--batch-size"):
        train(quick())


def test_out_of_memory_in_the_final_epochs_names_another_remedy(quick: Quick, monkeypatch) -> None:
    step = TrainingTask.training_step

    def fail_late(task: TrainingTask, batch, batch_index):
        if task.current_epoch == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return step(task, batch, batch_index)

    monkeypatch.setattr(TrainingTask, "training_step", fail_late)
    config = quick(final_epochs=1)
    with pytest.raises(ValueError, match="--init-from that folder"):
        train(config)
    load_model(config.out)  # the epoch before is kept


def test_learning_rates_are_those_of_their_epochs(quick: Quick) -> None:
    run = train(quick(epochs=3, schedule="exponential", lr_decay=0.5, lr=8e-4))
    assert [row["lr"] for row in run.history] == pytest.approx([8e-4, 4e-4, 2e-4])


def test_same_seed_same_weights_and_another_seed_others(quick: Quick, tmp_path: Path) -> None:
    runs = [
        checkpoint_weights(train(quick(epochs=1, seed=seed, out=str(tmp_path / name))).folder)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    assert_same_weights(runs[0], runs[1])
    name = "model.network.classifier.weight"
    assert not torch.equal(runs[0][name], runs[2][name])


@pytest.mark.usefixtures("bad_loss")
def test_loss_that_is_not_finite_stops_the_run(quick: Quick) -> None:
    with pytest.raises(ValueError, match=r"loss is nan in epoch 1, batch 1 .*train\d"):
        train(quick())


def test_weights_are_taken_from_another_run(
    quick: Quick,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    first = train(quick(out=str(tmp_path / "first"), keep="last")).folder
    changes = {"init_from": str(first), "lr": 1e-12}
    second = train(quick(**changes, out=str(tmp_path / "second"), epochs=1)).folder
    name = "model.network.classifier.weight"
    torch.testing.assert_close(checkpoint_weights(second)[name], checkpoint_weights(first)[name])
    out = capsys.readouterr().out
    assert f"--init-from {first}: all weights\n" in out
    assert "normalised differently" not in out
    other = {"arch": "fc67", "normalize": "unit"}
    third = train(quick(**changes, **other, out=str(tmp_path / "third"))).folder
    out = capsys.readouterr().out
    # Of another network only a few layers fit, the first convolution among them.
    (warning,) = (r.getMessage() for r in caplog.records if r.name.startswith("tiramisu"))
    assert re.match(r"only 0.\d+ % of the network's numbers were loaded; expected ", warning)
    assert re.search(rf"--init-from {first}: \d+ of \d+ layers loaded; random weights: ", out)
    assert f"--init-from {first} was trained on images that were normalised differently" in out
    name = "model.network.features.conv0.weight"
    torch.testing.assert_close(checkpoint_weights(third)[name], checkpoint_weights(first)[name])


def test_runs_are_numbered(quick: Quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = [train(quick(out=None, epochs=1, max_steps=1)).folder.name for _ in range(2)]
    assert names[1] == f"{names[0]}-2"


def test_steps_can_be_limited(quick: Quick) -> None:
    run = train(quick(max_steps=3, epochs=5))
    assert read_checkpoint(run.folder / "checkpoints" / "last.ckpt")["global_step"] == 3
    assert math.isnan(run.history[-1]["val_miou"])  # stopped within an epoch


def test_settings_are_saved(quick: Quick, tmp_path: Path) -> None:
    changes = {"max_steps": 1, "clip_norm": 1.0, "scale": (0.8, 1.2), "ema_decay": 0.5}
    config = quick(**changes)
    folder = train(config).folder
    saved = yaml.safe_load((folder / "config.yaml").read_text())
    assert saved.pop("scale") == [0.8, 1.2]
    assert saved.pop("crop") == [32, 32]
    assert "resume" not in saved
    for name, value in saved.items():
        assert value == getattr(config, name), name


def test_scaled_images_are_evaluated_at_the_size_of_the_labels(quick: Quick) -> None:
    folder = train(quick(epochs=1, image_scale=0.75)).folder
    scores = evaluate_checkpoint(
        EvalConfig(checkpoint=str(folder), accelerator="cpu", out=str(folder / "e"))
    )
    assert scores.matrix.sum() == 3 * 62 * 62  # 64x64 less the void frame


def test_random_numbers_differ_between_epochs(quick: Quick) -> None:
    seeds: list[int] = []

    class SeedsRecorded(Callback):
        def on_train_batch_start(self, *_) -> None:
            seeds.append(torch.initial_seed())

    prepared = prepare(quick(batch_size=6))
    prepared.trainer.callbacks.append(SeedsRecorded())
    fit(prepared)
    assert len(seeds) == len(set(seeds)) == 2


def test_a_run_shows_itself_in_a_notebook(quick: Quick) -> None:
    run = train(quick())
    shown = run._repr_html_()
    assert f"mIoU</th><td>{100 * run.scores.mean_iou:.1f} %" in shown
    assert shown.count('<img src="data:image/svg+xml;base64,') == 2  # loss and score
    assert "&lt;TrainingRun" in shown
    assert "<svg" not in shown  # JupyterLab would show only its texts


def test_libraries_are_quiet_while_training_from_python(quick: Quick) -> None:
    levels: list[int] = []

    class Watch(Callback):
        def on_train_start(self, *_) -> None:
            levels.append(logging.getLogger("lightning.pytorch").level)

    before = logging.getLogger("lightning.pytorch").level
    train(quick(), parts=OwnParts(callbacks=[Watch()]))
    assert levels == [logging.ERROR]
    assert logging.getLogger("lightning.pytorch").level == before
