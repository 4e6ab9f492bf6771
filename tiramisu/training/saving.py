"""How a run saves its checkpoints: complete or not at all, and also when it is stopped."""

import io
import signal
from pathlib import Path
from threading import current_thread, main_thread
from types import FrameType
from typing import Any, Literal

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from tiramisu.atomic import write_file
from tiramisu.interrupts import STOP_SIGNALS, Terminated, raise_interrupt


class CheckpointWriter(TorchCheckpointIO):
    """Writes checkpoints as all files are written.

    Lightning's own writer goes through the folder for temporary files, which may be on another
    disk, and leaves half a checkpoint in place of the last one when the disk is full.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()  # torch ends the process where it cannot write to a file
        torch.save(checkpoint, content)
        write_file(Path(path), content.getbuffer())


class BestCheckpoint(ModelCheckpoint):
    """Keeps best.ckpt, the epoch with the best score, even if the run's folder is moved."""

    def __init__(self, folder: Path, *, monitor: str, mode: Literal["min", "max"]) -> None:
        super().__init__(
            folder,
            filename="best",
            monitor=monitor,
            mode=mode,
            save_on_train_epoch_end=False,
            enable_version_counter=False,
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if state_dict["best_model_score"] is None:  # it was stopped before its first validation
            return
        # Lightning drops the best score if the folder's path has changed.
        assert self.dirpath is not None
        best = str(Path(self.dirpath) / "best.ckpt")
        moved = {
            "dirpath": self.dirpath,
            "best_model_path": best,
            "kth_best_model_path": best,
            "best_k_models": {best: state_dict["best_model_score"]},
        }
        super().load_state_dict({**state_dict, **moved})


class KeepEpochIfValidationFails(Callback):
    """Completes an epoch whose validation fails, so that what it has learnt is saved.

    Lightning saves an epoch only after its validation. So an error there is kept until the epoch
    has ended, without scores, and raised then. Several processes would have to agree on it, so
    there it is raised at once.
    """

    def __init__(self) -> None:
        self.error: Exception | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        loop = trainer.fit_loop.epoch_loop.val_loop
        validate = loop.run

        def run() -> Any:
            try:
                return validate()
            except OSError:  # the disk: what it would save now is saved when the epoch is repeated
                raise
            except Exception as error:
                self.error = error
                if trainer.world_size > 1:
                    raise
                return []

        loop.run = run  # type: ignore[method-assign]

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._raise_if_failed()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._raise_if_failed()

    def _raise_if_failed(self) -> None:
        if self.error is not None:
            raise self.error


class SaveWhenStopped(Callback):
    """Ends a run at Ctrl-C or SIGTERM after the step it is in, and saves that step.

    In the last step of an epoch, and in the validation after it, the epoch is completed first: its
    end saves it. The second signal stops at once, and what was saved last stays. Several processes
    would have to agree on a step, so they stop at once too.

    Args:
        path: the checkpoint to write.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._signal: int | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # `restored_handlers` around the run gives the signals their former handlers back.
        if trainer.world_size == 1 and current_thread() is main_thread():
            for number in STOP_SIGNALS:
                signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._signal is not None:
            raise_interrupt(number)
        self._signal = number

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        batches = batch_idx + 1
        # Gradients that are still accumulated would be lost.
        is_step = batches % trainer.accumulate_grad_batches == 0
        if self._signal is None or not is_step or trainer.is_last_batch:
            return
        trainer.save_checkpoint(self.path)
        kind = Terminated if self._signal == signal.SIGTERM else KeyboardInterrupt
        raise kind(
            f"stopped in epoch {trainer.current_epoch + 1} of {trainer.max_epochs}, after "
            f"{batches} of its {trainer.num_training_batches} batches"
        )

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop_if_asked()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop_if_asked()

    def _stop_if_asked(self) -> None:
        if self._signal is not None:
            raise_interrupt(self._signal)
