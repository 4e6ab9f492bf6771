"""Resumed runs: the same weights as without an interruption, and what a run may change."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from runs import assert_same_weights, checkpoint_weights, interrupt

from tiramisu.training.config import TrainConfig
from tiramisu.training.history import read_history, write_history
from tiramisu.training.preparing import prepare
from tiramisu.training.train import fit, train

Quick = Callable[..., TrainConfig]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"ema_decay": 0.8, "optimizer": "rmsprop", "schedule": "onecycle", "warmup_epochs": 1.0},
        {"num_workers": 1, "optimizer": "sgd", "accumulate": 2, "color": 0.5, "scale": (0.8, 1.2)},
        {"num_workers": 1, "final_epochs": 2, "final_loss": "cross_entropy+lovasz"},
    ],
    ids=["plain", "ema", "workers", "final epochs"],
)
def test_interrupted_and_resumed_equals_uninterrupted(
    quick: Quick, tmp_path: Path, changes: dict
) -> None:
    changes = {"epochs": 3, "patience": 5, **changes}
    whole = train(quick(**changes, out=str(tmp_path / "whole")))
    broken = interrupt(quick(**changes, out=str(tmp_path / "broken")), epoch=1)
    (first,) = read_history(broken / "metrics.csv")
    assert first["epoch"] == 1

    resumed = train(quick(**changes, resume=str(broken)))
    assert resumed.folder == broken
    assert resumed.history[0] == first  # with its seconds: it was not trained again
    for name in ("last", "best"):
        assert_same_weights(
            checkpoint_weights(broken, name), checkpoint_weights(whole.folder, name)
        )
    for ours, theirs in zip(resumed.history, whole.history, strict=True):
        for name in ("epoch", "step", "lr", "train_loss", "val_miou"):
            assert ours[name] == theirs[name]


def test_settings_that_a_resumed_run_may_not_change(quick: Quick) -> None:
    folder = train(quick(epochs=1)).folder
    before = (folder / "config.yaml").read_text()
    for changes in ({"lr": 0.5}, {"arch": "fc67"}, {"optimizer": "sgd"}, {"ema_decay": 0.5}):
        with pytest.raises(ValueError, match="a resumed run may change only"):
            train(quick(epochs=2, resume=str(folder), **changes))
    assert (folder / "config.yaml").read_text() == before


def test_complete_run_that_was_moved_keeps_its_best_epoch(quick: Quick, tmp_path: Path) -> None:
    moved = train(quick()).folder.rename(tmp_path / "elsewhere")
    kept = ["metrics.csv", "curves.png", "model.safetensors", "checkpoints/best.ckpt"]
    before = [(moved / name).read_bytes() for name in kept]
    train(quick(resume=str(moved)))
    assert [(moved / name).read_bytes() for name in kept] == before
    # The best score is restored too: one more epoch cannot beat it.
    path = moved / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    for state in checkpoint["callbacks"].values():
        if state.get("monitor") == "val/miou" and "best_model_score" in state:
            state["best_model_score"] = torch.tensor(100.0)
    torch.save(checkpoint, path)
    train(quick(resume=str(moved), epochs=3))
    assert (moved / "checkpoints" / "best.ckpt").read_bytes() == before[-1]


@pytest.mark.parametrize("steps", [2, 3], ids=["end of an epoch", "within an epoch"])
def test_run_that_max_steps_ended_is_complete(quick: Quick, steps: int) -> None:
    folder = train(quick(max_steps=steps, epochs=2)).folder  # two steps an epoch
    with pytest.raises(ValueError, match="--init-from"):
        train(quick(max_steps=steps, epochs=2, resume=str(folder)))


def test_complete_run_can_be_resumed_for_more_epochs(quick: Quick, capsys) -> None:
    folder = train(quick(epochs=1)).folder
    train(quick(epochs=1, resume=str(folder)))
    assert "nothing was left to train" in capsys.readouterr().out
    run = train(quick(epochs=3, resume=str(folder)))
    printed = capsys.readouterr().out
    # Half a cosine from 3e-3 to 0, after one epoch of three.
    assert "--epochs 3 in place of 1: from now on the learning rate follows" in printed
    assert "it is 0.00225 after epoch 1" in printed
    assert "nothing was left to train" not in printed
    assert [row["epoch"] for row in run.history] == [1, 2, 3]
    assert [row["step"] for row in run.history] == [2, 4, 6]
    assert run.history[1]["lr"] == pytest.approx(0.00225)


class _Rates(Callback):
    """The learning rate of every optimiser step, in all groups of parameters."""

    def __init__(self) -> None:
        self.rates: list[list[float]] = []

    def on_before_optimizer_step(self, trainer, task, optimizer) -> None:
        self.rates.append([group["lr"] for group in optimizer.param_groups])


@pytest.mark.parametrize(
    "changes",
    [{}, {"schedule": "poly", "accumulate": 2}, {"schedule": "onecycle", "warmup_epochs": 0.5}],
    ids=["cosine", "poly", "onecycle"],
)
def test_run_with_more_epochs_steps_at_the_rates_of_the_longer_run(
    quick: Quick, tmp_path: Path, capsys, changes: dict
) -> None:
    def rates_of(config: TrainConfig) -> list[list[float]]:
        prepared = prepare(config)
        prepared.trainer.callbacks.append(rates := _Rates())
        fit(prepared)
        return rates.rates

    changes = {"crop": (32, 32), "batch_size": 2, "arch": "fc56", **changes}
    whole = rates_of(quick(**changes, epochs=3, out=str(tmp_path / "whole")))
    first = rates_of(quick(**changes, epochs=1, out=str(tmp_path / "run")))
    assert first[-1] != whole[len(first) - 1]
    capsys.readouterr()
    more = rates_of(quick(**changes, epochs=3, resume=str(tmp_path / "run")))
    assert len(first) + len(more) == len(whole)
    assert more == [pytest.approx(rates) for rates in whole[len(first) :]]
    assert min(min(rates) for rates in more) > 0
    assert f"it is {more[0][0]:.3g} after epoch 1" in capsys.readouterr().out
    rows = read_history(tmp_path / "run" / "metrics.csv")
    assert rows[1]["lr"] == pytest.approx(more[0][0], rel=1e-5)


def test_rows_after_the_last_checkpoint_are_replaced(quick: Quick) -> None:
    folder = train(quick(epochs=1)).folder
    rows = read_history(folder / "metrics.csv")
    # As if the run had been killed while it saved the checkpoint of its second epoch.
    write_history(folder / "metrics.csv", [*rows, {**rows[0], "epoch": 2, "step": 4, "lr": 7.0}])
    run = train(quick(resume=str(folder)))
    assert [row["epoch"] for row in run.history] == [1, 2]
    assert run.history[1]["lr"] < 7


def test_fewer_epochs_than_are_done_are_refused_and_change_nothing(quick: Quick) -> None:
    folder = train(quick(epochs=2)).folder
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match=r"--epochs is 1, .* has done 2 epochs already"):
        train(quick(epochs=1, resume=str(folder)))
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
