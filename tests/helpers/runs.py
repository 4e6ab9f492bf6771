"""Training runs that are interrupted, and the weights in their checkpoints."""

from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import Callback

from tiramisu.checkpoints.model_files import read_checkpoint
from tiramisu.training.config import TrainConfig
from tiramisu.training.history import read_history
from tiramisu.training.preparing import prepare
from tiramisu.training.train import fit


class _Interrupt(Callback):
    """Interrupts the given epoch, counted from 0, after its first batch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, trainer, *_) -> None:
        if trainer.current_epoch == self.epoch:
            # As Python does on Ctrl-C; a test in the background would not get the signal.
            raise KeyboardInterrupt


def interrupt(config: TrainConfig, *, epoch: int) -> Path:
    """The folder of a run that is interrupted in the given epoch, counted from 0."""
    prepared = prepare(config)
    prepared.trainer.callbacks.append(_Interrupt(epoch))
    expected = f"stopped after {epoch} of.*--resume" if epoch else "nothing was saved yet"
    with pytest.raises(KeyboardInterrupt, match=expected):
        fit(prepared)
    return prepared.folder


def checkpoint_weights(folder: Path, name: str = "last") -> dict[str, torch.Tensor]:
    """The weights in best.ckpt or last.ckpt, with the names of the training task."""
    return read_checkpoint(folder / "checkpoints" / f"{name}.ckpt")["state_dict"]


def assert_same_weights(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def assert_same_run(a: Path, b: Path) -> None:
    """Same checkpoints, published model and history, but for times and the images per second."""
    for name in ("last", "best"):
        assert_same_weights(checkpoint_weights(a, name), checkpoint_weights(b, name))
    assert (a / "model.safetensors").read_bytes() == (b / "model.safetensors").read_bytes()
    rows, others = (read_history(folder / "metrics.csv") for folder in (a, b))
    for row, other in zip(rows, others, strict=True):
        for name in row.keys() - {"images_per_second", "seconds"}:
            assert row[name] == other[name], name
