"""Runs that Ctrl-C or SIGTERM stops within an epoch: the step is saved, and nothing is lost."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.callbacks import Callback
from runs import assert_same_run

from tiramisu.checkpoints.model_files import read_checkpoint
from tiramisu.interrupts import Terminated
from tiramisu.training.config import TrainConfig
from tiramisu.training.preparing import prepare
from tiramisu.training.train import fit, train

Quick = Callable[..., TrainConfig]


class SendSignals(Callback):
    """Sends signals to this process at one moment of the run."""

    def __init__(self, numbers: list[int], *, epoch: int, batch: int | None = None) -> None:
        self.numbers, self.epoch, self.batch = numbers, epoch, batch

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, index: int) -> None:
        if (trainer.current_epoch, index) == (self.epoch, self.batch):
            self.send()

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        if trainer.current_epoch == self.epoch and self.batch is None:
            self.send()

    def send(self) -> None:
        for number in self.numbers:
            signal.raise_signal(number)


def stop(config: TrainConfig, sender: SendSignals, *, kind: type, match: str) -> Path:
    prepared = prepare(config)
    prepared.trainer.callbacks.insert(0, sender)
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt, match=match) as stopped:
        fit(prepared)
    assert type(stopped.value) is kind
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    return prepared.folder


CHANGES: dict[str, dict[str, Any]] = {
    "plain": {},
    "averaged weights": {"ema_decay": 0.8, "optimizer": "rmsprop", "schedule": "onecycle"},
    "accumulated": {"accumulate": 2, "optimizer": "sgd", "color": 0.5},
    "workers": {"num_workers": 1, "patience": 5, "warmup_epochs": 1.0},
    "final epochs": {"final_epochs": 1, "final_loss": "cross_entropy+lovasz"},
}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_resumed_within_an_epoch_equals_uninterrupted(
    quick: Quick, tmp_path: Path, changes: dict[str, Any]
) -> None:
    changes = {"batch_size": 2, "dropout": 0.2, **changes}  # three batches an epoch
    whole = train(quick(**changes, out=str(tmp_path / "whole"))).folder
    broken = stop(
        quick(**changes, out=str(tmp_path / "broken")),
        SendSignals([signal.SIGTERM], epoch=0, batch=0),
        kind=Terminated,
        match=rf"stopped in epoch 1 of 2, after {changes.get('accumulate', 1)} of its 3 batches; "
        "go on with --resume .*broken$",
    )
    assert not (broken / "metrics.csv").exists()
    stop(
        quick(**changes, resume=str(broken)),
        SendSignals([signal.SIGINT], epoch=1, batch=1),
        kind=KeyboardInterrupt,
        match=r"stopped in epoch 2 of 2, after 2 of its 3 batches; go on with --resume .*broken$",
    )
    train(quick(**changes, resume=str(broken)))
    assert_same_run(broken, whole)


@pytest.mark.parametrize("batch", [2, None], ids=["last batch", "validation"])
def test_the_end_of_an_epoch_is_completed(quick: Quick, batch: int | None) -> None:
    sender = SendSignals([signal.SIGTERM], epoch=0, batch=batch)
    folder = stop(
        quick(batch_size=2),
        sender,
        kind=Terminated,
        match="stopped after 1 of 2 epochs; go on",
    )
    assert len((folder / "metrics.csv").read_text().splitlines()) == 2
    assert read_checkpoint(folder / "checkpoints" / "last.ckpt")["global_step"] == 3


def test_the_last_epoch_is_completed_and_resuming_publishes_it(quick: Quick) -> None:
    folder = stop(
        quick(epochs=1),
        SendSignals([signal.SIGINT], epoch=0),
        kind=KeyboardInterrupt,
        match="stopped after 1 of 1 epochs; go on",
    )
    train(quick(epochs=1, resume=str(folder)))
    assert (folder / "scores" / "scores.json").is_file()


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_stops_at_once(quick: Quick, second: signal.Signals) -> None:
    folder = stop(
        quick(batch_size=2),
        SendSignals([signal.SIGINT, second], epoch=1, batch=1),
        kind=Terminated if second == signal.SIGTERM else KeyboardInterrupt,
        match="stopped after 1 of 2 epochs; go on",
    )
    # The end of the first epoch is what was saved last.
    assert read_checkpoint(folder / "checkpoints" / "last.ckpt")["global_step"] == 3


def test_nothing_is_left_of_a_run_without_a_step(quick: Quick) -> None:
    sender = SendSignals([signal.SIGINT, signal.SIGINT], epoch=0, batch=0)
    folder = stop(quick(), sender, kind=KeyboardInterrupt, match="nothing was saved yet")
    assert not folder.exists()


def test_a_killed_run_that_saved_nothing_is_started_again(quick: Quick, tmp_path: Path) -> None:
    whole = train(quick(epochs=1, out=str(tmp_path / "whole"))).folder
    killed = tmp_path / "killed"
    killed.mkdir()
    config = (whole / "config.yaml").read_text()
    (killed / "config.yaml").write_text(config.replace(str(whole), str(killed)))
    (killed / ".0123456789ab.partial.yaml").write_text("cut")
    # The same command says how to go on.
    with pytest.raises(ValueError, match=f"--resume {killed}"):
        prepare(quick(epochs=1, out=str(killed)))
    train(quick(epochs=1, resume=str(killed)))
    assert_same_run(killed, whole)
    assert not (killed / ".0123456789ab.partial.yaml").exists()


def test_a_start_that_was_killed_before_its_settings_is_no_obstacle(
    quick: Quick, tmp_path: Path
) -> None:
    folder = tmp_path / "killed"
    folder.mkdir()
    (folder / ".0123456789ab.partial.yaml").write_text("cut")
    assert prepare(quick(out=str(folder))).folder == folder
