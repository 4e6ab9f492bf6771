"""Callbacks: bad losses stop a run in time, steps do not wait for the device, weight averages."""

import io
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch.utils._python_dispatch import TorchDispatchMode

from tiramisu.checkpoints.checkpoint import load_model
from tiramisu.checkpoints.model_files import read_checkpoint
from tiramisu.training import callbacks
from tiramisu.training.config import TrainConfig
from tiramisu.training.history import read_history
from tiramisu.training.preparing import prepare
from tiramisu.training.task import TrainingTask
from tiramisu.training.train import fit, train

Quick = Callable[..., TrainConfig]


class BadBatch:
    """Makes the loss NaN in one batch, and remembers the samples of all batches."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, epoch: int, batch: int) -> None:
        self.samples: list[tuple[int, int, list[int]]] = []
        learn = TrainingTask.training_step

        def step(task: TrainingTask, batch_: dict, batch_index: int) -> torch.Tensor:
            self.samples.append((task.current_epoch, batch_index, batch_["index"].tolist()))
            bad = (task.current_epoch, batch_index) == (epoch, batch)
            return learn(task, batch_, batch_index) * (float("nan") if bad else 1.0)

        monkeypatch.setattr(TrainingTask, "training_step", step)


def test_bad_loss_is_described_and_nothing_of_its_epoch_is_saved(
    quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = BadBatch(monkeypatch, epoch=1, batch=0)
    config = quick(epochs=3, schedule="exponential", lr_decay=0.5)
    with pytest.raises(ValueError, match="loss is nan") as error:
        train(config)
    (samples,) = (samples for epoch, batch, samples in steps.samples if (epoch, batch) == (1, 0))
    images = ", ".join(f"train{i}" for i in samples)
    said = f"epoch 2, batch 1 (step 3, learning rate 0.0015, images {images})"
    assert said in str(error.value)
    folder = Path(str(config.out))
    assert [row["epoch"] for row in read_history(folder / "metrics.csv")] == [1]
    for path in (folder, folder / "checkpoints/best.ckpt", folder / "checkpoints/last.ckpt"):
        weights = load_model(path).network.state_dict().values()
        assert all(bool(weight.isfinite().all()) for weight in weights)
    assert read_checkpoint(folder / "checkpoints" / "last.ckpt")["epoch"] == 0


def test_bad_loss_stops_within_an_epoch(quick: Quick, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callbacks, "LOSSES_PER_CHECK", 2)
    steps = BadBatch(monkeypatch, epoch=0, batch=2)
    with pytest.raises(ValueError, match="epoch 1, batch 3"):
        train(quick(batch_size=1, crop=(64, 64)))
    assert [batch for _, batch, _ in steps.samples] == [0, 1, 2, 3]


def test_bad_loss_in_the_last_of_max_steps(quick: Quick, monkeypatch: pytest.MonkeyPatch) -> None:
    BadBatch(monkeypatch, epoch=1, batch=0)
    config = quick(epochs=5, max_steps=3, keep="last")
    with pytest.raises(ValueError, match=r"epoch 2, batch 1 \(step 3"):
        train(config)
    folder = Path(str(config.out))
    assert [row["step"] for row in read_history(folder / "metrics.csv")] == [2]
    assert bool(load_model(folder).network.classifier.weight.isfinite().all())


class ReadsFromDevice(TorchDispatchMode):
    """Records operations for which a GPU has to finish its work: their result is read."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.active = False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        by_mask = func.overloadpacket in (torch.ops.aten.index, torch.ops.aten.index_put_) and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        waits = func.overloadpacket in (
            torch.ops.aten._local_scalar_dense,  # item(), bool(), float(), int(), `if tensor`
            torch.ops.aten.nonzero,
            torch.ops.aten.masked_select,
            torch.ops.aten.equal,
        )
        if self.active and (waits or by_mask):
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))


class Watch(Callback):
    """Watches each step from the first callback of its start to the last of its end."""

    def __init__(self, reads: ReadsFromDevice) -> None:
        self.reads = reads
        self.steps = 0

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        self.reads.active = True

    def on_before_zero_grad(self, *_) -> None:
        self.steps += 1


class StopWatching(Callback):
    def __init__(self, reads: ReadsFromDevice) -> None:
        self.reads = reads

    def on_train_batch_end(self, *_) -> None:
        self.reads.active = False


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": "rmsprop", "clip_norm": 1.0, "schedule": "onecycle"},
        {"class_weights": "capped", "label_smoothing": 0.1, "warmup_epochs": 1.0},
        {"ema_decay": 0.9, "accumulate": 2},
        # Dice and Tversky are left out: on a CPU, and only there, torch checks their labels.
        {"class_weights": [0.0, 1.0, 2.0]},
        {"class_weights": [0.0, 1.0, 2.0], "loss": "bce"},
        {"precision": "bf16", "memory_efficient": True},
    ],
    ids=lambda changes: " ".join(changes) or "plain",
)
def test_steps_do_not_wait_for_the_device(
    quick: Quick, monkeypatch: pytest.MonkeyPatch, changes: dict
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)  # with the progress bar
    monkeypatch.setattr(callbacks, "SECONDS_PER_REDRAW", 1e9)
    checks = []
    check = callbacks.StopAtBadLoss._check

    def counted(callback, task) -> None:
        checks.append(reads.active)
        reads.active = False  # the one place that may wait, once an epoch here
        check(callback, task)

    monkeypatch.setattr(callbacks.StopAtBadLoss, "_check", counted)
    # AdamW is left out: it reads its own count of steps, which is on the CPU.
    prepared = prepare(quick(**{"optimizer": "sgd", "epochs": 1, "batch_size": 2, **changes}))
    reads = ReadsFromDevice()
    watch = Watch(reads)
    prepared.trainer.callbacks = [watch, *prepared.trainer.callbacks, StopWatching(reads)]
    with reads:
        fit(prepared)
    assert watch.steps > 0
    # At the end of the last batch, then nothing is left: end of the epoch, and two checkpoints.
    assert checks == [True, False, False, False]
    assert reads.found == []


def test_waiting_would_be_found(quick: Quick, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = ReadsFromDevice()
    reads.active = True
    values = torch.ones(3)
    with reads:
        values.sum().item()
        float(values[0])
        if values[1] > 0:
            values[values > 0]
    assert len(reads.found) == 4


def test_progress_bar_shows_the_mean_loss(quick: Quick, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(callbacks, "SECONDS_PER_REDRAW", 0.0)
    values = iter([2.0, 4.0, 3.0, 3.0])
    learn = TrainingTask.training_step
    monkeypatch.setattr(
        TrainingTask, "training_step", lambda *args: learn(*args) * 0 + next(values)
    )
    train(quick(epochs=2, accumulate=2))
    # A running mean: each loss moves it by a twentieth.
    shown = re.findall(r"epoch (\d)/2.*?loss (\d\.\d+), \d", terminal.getvalue())
    assert list(dict.fromkeys(shown)) == [
        ("1", "2.000"),
        ("1", "2.100"),
        ("2", "2.145"),
        ("2", "2.188"),
    ]


class Remember(Callback):
    """Keeps one tensor of the task after each optimiser step."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.values: list[torch.Tensor] = []

    def on_train_batch_end(self, trainer, pl_module, *_) -> None:
        if trainer.global_step > len(self.values):
            self.values.append(pl_module.state_dict()[self.name].clone())


@pytest.mark.parametrize(
    ("name", "accumulate"),
    [
        ("classifier.weight", 1),
        ("classifier.weight", 2),
        ("features.denseblock1.denselayer1.norm1.running_mean", 1),
    ],
)
def test_average_of_the_weights(quick: Quick, name: str, accumulate: int) -> None:
    name = f"model.network.{name}"
    prepared = prepare(
        quick(ema_decay=0.75, batch_size=1, crop=(64, 64), accumulate=accumulate, recalibrate=False)
    )
    remember = Remember(name)
    prepared.trainer.callbacks.insert(0, remember)
    fit(prepared)
    expected, *others = remember.values
    assert len(others) == 12 // accumulate - 1
    for values in others:
        expected = 0.75 * expected + 0.25 * values
    saved = read_checkpoint(prepared.folder / "checkpoints" / "last.ckpt")
    torch.testing.assert_close(saved["state_dict"][name], expected)
    torch.testing.assert_close(saved["current_model_state"][name], remember.values[-1])
