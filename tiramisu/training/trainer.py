"""Lightning's Trainer, built from the settings of a run."""

import math
from pathlib import Path
from typing import Literal

import lightning.pytorch as pl
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import (
    Callback,
    EarlyStopping,
    LearningRateMonitor,
    ModelCheckpoint,
)
from lightning.pytorch.loggers import TensorBoardLogger

from tiramisu.checkpoints.run_folder import CHECKPOINTS, LAST
from tiramisu.training.callbacks import Progress, StopAtBadLoss, WeightAverage
from tiramisu.training.config import TrainConfig
from tiramisu.training.history import History
from tiramisu.training.saving import (
    BestCheckpoint,
    CheckpointWriter,
    KeepEpochIfValidationFails,
    SaveWhenStopped,
)
from tiramisu.training.user_parts import NO_PARTS, OwnParts, build_callbacks, build_loggers

PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


def build_trainer(
    config: TrainConfig, folder: Path, history: History, parts: OwnParts = NO_PARTS
) -> pl.Trainer:
    """Lightning's Trainer with the callbacks of a run. Writes no files; the folder need not exist.

    Args:
        config: the settings.
        folder: of the run.
        history: writes metrics.csv.
        parts: callbacks and loggers of one's own.

    Raises:
        ValueError: this machine has no such devices.
    """
    checkpoints = folder / CHECKPOINTS
    monitor = f"val/{history.monitor.key}"
    mode: Literal["min", "max"] = "min" if history.monitor.is_loss else "max"
    callbacks: list[Callback] = [
        # First, so that no other callback writes or shows an epoch with a bad loss.
        StopAtBadLoss(),
        KeepEpochIfValidationFails(),
        history,
        Progress(history),
        LearningRateMonitor(logging_interval="epoch"),
        BestCheckpoint(checkpoints, monitor=monitor, mode=mode),
    ]
    if config.ema_decay > 0:
        callbacks.append(WeightAverage(decay=config.ema_decay))
    if config.patience > 0:
        callbacks.append(
            EarlyStopping(
                monitor,
                mode=mode,
                # A class that is absent in an epoch has no score then; that is no better epoch.
                check_finite=False,
                patience=math.ceil(config.patience / config.val_every),
                # Checked when validation ends: not every epoch has one.
                check_on_train_epoch_end=False,
            )
        )
    callbacks += build_callbacks(parts)
    # Last, so that they save the state of all other callbacks after the step or the epoch.
    callbacks += [
        SaveWhenStopped(folder / LAST),
        ModelCheckpoint(
            checkpoints, filename="last", save_on_train_epoch_end=True, enable_version_counter=False
        ),
    ]
    try:
        return pl.Trainer(
            default_root_dir=folder,
            max_epochs=config.epochs,
            max_steps=config.max_steps or -1,
            accelerator=config.accelerator,
            devices=config.devices,
            num_nodes=config.num_nodes,
            strategy="ddp" if config.devices * config.num_nodes > 1 else "auto",
            precision=PRECISIONS[config.precision],  # type: ignore[arg-type]
            sync_batchnorm=config.sync_bn,
            gradient_clip_val=config.clip_norm or None,
            accumulate_grad_batches=config.accumulate,
            check_val_every_n_epoch=config.val_every,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            # EpochSampler splits an epoch between processes without using an image twice.
            use_distributed_sampler=False,
            logger=[
                TensorBoardLogger(folder, name="tensorboard", version="", default_hp_metric=False),
                *build_loggers(parts, folder),
            ],
            callbacks=callbacks,
            plugins=[CheckpointWriter()],
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    except (MisconfigurationException, RuntimeError) as error:
        raise ValueError(
            f"this machine cannot train with --accelerator {config.accelerator} --devices "
            f"{config.devices}: {' '.join(str(error).split())}"
        ) from None
