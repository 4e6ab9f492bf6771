"""A run before it starts: everything that can fail before it starts; nothing is written."""

import dataclasses
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback

from tiramisu.checkpoints.info import ModelInfo
from tiramisu.checkpoints.model import ImageModel, build_image_model
from tiramisu.checkpoints.run_folder import LAST, find_split_file
from tiramisu.checkpoints.weights_file import WEIGHTS_NAME
from tiramisu.data.catalog import load_spec
from tiramisu.data.checking.check import check_dataset
from tiramisu.data.image_format import RGB, ImageFormat, describe_bands
from tiramisu.data.scaling import Scaling, choose_scaling, describe_scaling
from tiramisu.data.spec import DatasetSpec
from tiramisu.data.splitting.split_data import require_val
from tiramisu.devices import is_main_process
from tiramisu.evaluation.own_metrics import metric_names
from tiramisu.models.own_network import NetworkBuilder
from tiramisu.training.checks import (
    check_crops,
    check_image_size,
    check_machine,
    check_resume,
    check_task,
    check_whole_images,
    find_image_size,
)
from tiramisu.training.config import TrainConfig
from tiramisu.training.history import History
from tiramisu.training.loading import RunData, normalization
from tiramisu.training.losses import SumOfLosses, balance_classes, build_loss
from tiramisu.training.monitor import find_monitor
from tiramisu.training.resuming import check_classes, check_state
from tiramisu.training.run_settings import (
    choose_folder,
    use_absolute_paths,
)
from tiramisu.training.saving import KeepEpochIfValidationFails
from tiramisu.training.task import TrainingTask
from tiramisu.training.trainer import build_trainer
from tiramisu.training.user_parts import (
    NO_PARTS,
    OwnParts,
    build_own_loss,
    describe_lost,
    find_parts,
)
from tiramisu.training.warm_start import warm_start


@dataclasses.dataclass(frozen=True, kw_only=True)
class PreparedRun:
    """A run that is checked and built, and has written nothing yet."""

    config: TrainConfig
    """The settings, with absolute paths."""
    spec: DatasetSpec
    data: RunData
    task: TrainingTask
    trainer: pl.Trainer
    history: History
    """The epochs done so far: none, but for a resumed run."""
    folder: Path
    """The run's folder; a new run's does not exist yet, or is empty."""
    parts: OwnParts = NO_PARTS
    """Parts of one's own."""

    @property
    def checkpoint(self) -> Path | None:
        """The checkpoint to go on from; None for a run that has not saved its first step."""
        last = self.folder / LAST
        return last if last.is_file() else None

    @property
    def keeper(self) -> KeepEpochIfValidationFails:
        """What completes an epoch whose validation fails."""
        callbacks = cast(list[Callback], self.trainer.callbacks)  # type: ignore[attr-defined]
        return next(c for c in callbacks if isinstance(c, KeepEpochIfValidationFails))

    @property
    def has_learnt(self) -> bool:
        """Whether all steps of an epoch are done and have led to finite weights."""
        batches = self.trainer.global_step * self.config.accumulate
        weights = self.task.model.network.parameters()
        return batches >= self.data.batches_per_epoch and all(w.isfinite().all() for w in weights)

    @property
    def how_to_go_on(self) -> str:
        """What the user does after the run was broken off, for messages."""
        if self.checkpoint is None and self.config.resume is None:
            if (self.folder / WEIGHTS_NAME).is_file():
                return (
                    f"what was learnt is kept in {self.folder}: start a new run with --init-from "
                    f"{self.folder}"
                )
            return "start again: nothing was saved yet"
        return f"go on with --resume {self.folder}"


def prepare(config: TrainConfig, *, given: OwnParts = NO_PARTS) -> PreparedRun:
    """Check everything that can be wrong, and build all that a run needs. Writes no files.

    Args:
        config: the settings.
        given: parts of one's own as objects.
    """
    check_machine(config)
    config, parts = find_parts(config, given)
    config = use_absolute_paths(config)
    state = check_resume(config) if config.resume is not None else None
    spec = load_spec(
        config.data,
        config,
        root=config.data_root,
        val_split=config.val_split,
        split_file=find_split_file(Path(config.resume, LAST)) if config.resume else None,
    )
    check_task(spec, config)
    monitor = find_monitor(config.monitor, spec)
    require_val(spec, config.val_split)
    for note in [*spec.notes, *describe_lost(given)] if is_main_process() else ():
        print(f"Note: {note}")
    folder = choose_folder(config, data_name=spec.name)
    if state is not None:
        check_classes(state, spec, folder=folder)
    if config.check_data and not spec.drawn and is_main_process():
        splits = [config.train_split, config.val_split]
        checked = check_dataset(spec, root=config.data_root, splits=splits)
        for warning in checked.alerts:
            print(f"Warning: {warning}")
    trained = None
    if state is not None:
        trained = ModelInfo.from_dict(state["model_info"], origin=str(folder / LAST))
    data = RunData(spec, config, trained=trained, augmentation=parts.augmentation)
    if is_main_process() and (data.scaling.is_measured or data.format != RGB):
        print(
            f"images: bands {describe_bands(data.format)}, {data.format.pixel_type}, values "
            f"{describe_scaling(data.scaling)} (--bands and --scaling change this)"
        )
    model = build_model_for(
        spec, config, format=data.format, scaling=data.scaling, network=parts.network
    )
    check_crops(model.network, config)
    if spec.task == "classification":
        size = find_image_size(data.val_set, config)
        model.info = dataclasses.replace(model.info, image_size=size)
    check_whole_images(data.train_set, config)
    check_image_size(model.network, data, config)
    task = build_task(model, data, config, parts=parts)
    history = History(folder, task=spec.task, monitor=monitor, own=metric_names(parts.metrics))
    trainer = build_trainer(config, folder, history, parts)
    if state is not None:
        check_state(state, folder=folder, task=task, trainer=trainer, history=history)
    return PreparedRun(
        config=config,
        spec=spec,
        data=data,
        task=task,
        trainer=trainer,
        history=history,
        folder=folder,
        parts=parts,
    )


def build_model_for(
    spec: DatasetSpec,
    config: TrainConfig,
    *,
    format: ImageFormat = RGB,
    scaling: Scaling | None = None,
    network: NetworkBuilder | None = None,
) -> ImageModel:
    """The network of a run, freshly initialised or with the weights it starts from.

    Args:
        spec: the data set.
        config: the settings.
        format: the bands and the type of the images.
        scaling: of their values; None for all values of the type.
        network: one's own; None for that of `config.arch`.
    """
    pl.seed_everything(config.seed, verbose=False)
    scaling = scaling or choose_scaling("type", format, [])
    mean, std = normalization(config, scaling)
    info = ModelInfo(
        arch=config.arch,
        class_names=spec.class_names,
        colors=tuple((int(r), int(g), int(b)) for r, g, b in spec.colors),
        pixel_type=format.pixel_type,
        bands=format.bands,
        value_range=scaling.value_range,
        mean=mean,
        std=std,
        image_scale=config.image_scale,
        image_size=config.resize,
        dropout=config.dropout,
        task=spec.task,
        dataset=spec.name,
    )
    model = build_image_model(info, memory_efficient=config.memory_efficient, network=network)
    is_fresh = config.resume is None or not Path(config.resume, LAST).is_file()
    if config.init_from is not None and is_fresh:
        warm_start(model, config.init_from, builder=network)
    if config.channels_last:
        model.network.to(memory_format=torch.channels_last)
    if config.compile:
        model.network.compile()
    return model


def build_task(
    model: ImageModel, data: RunData, config: TrainConfig, *, parts: OwnParts = NO_PARTS
) -> TrainingTask:
    """The model with its loss, ready to be trained."""
    weight = None
    if isinstance(config.class_weights, list):
        weight = torch.tensor(config.class_weights, dtype=torch.float32)
    elif config.class_weights != "none":
        labels = torch.from_numpy(data.label_counts.sum(axis=0))
        weight = balance_classes(labels, capped=config.class_weights == "capped")
    ignore_index = data.train_set.spec.ignore_index
    options: Any = {
        "ignore_index": ignore_index,
        "weight": weight,
        "label_smoothing": config.label_smoothing,
    }

    def build(name: Any, own: Any, *, flag: str) -> SumOfLosses:
        if own is None:
            return build_loss(name, **options)
        size = len(model.info.class_names)
        return build_own_loss(own, flag=flag, num_classes=size, task=model.task, **options)

    return TrainingTask(
        model,
        config,
        loss=build(config.loss, parts.loss, flag="--loss"),
        final_loss=(
            build(config.final_loss, parts.final_loss, flag="--final-loss")
            if config.final_loss
            else None
        ),
        batches_per_epoch=data.batches_per_epoch,
        train_set=data.train_set,
        ignore_index=ignore_index,
        monitor=find_monitor(config.monitor, data.train_set.spec),
        metrics=parts.metrics,
    )
