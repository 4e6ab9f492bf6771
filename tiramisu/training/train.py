"""A training run from its settings to its published model, tables and pictures."""

import dataclasses
import functools
import math
import shutil
import signal
from pathlib import Path

import lightning.pytorch as pl
import torch

from tiramisu.checkpoints.checkpoint import load_model, save_model
from tiramisu.checkpoints.info import ModelInfo
from tiramisu.checkpoints.model import IMAGENET_MEAN, IMAGENET_STD, ImageModel, build_image_model
from tiramisu.checkpoints.run_folder import BEST, LAST
from tiramisu.data.catalog import load_spec
from tiramisu.data.checking.check import check_dataset
from tiramisu.data.dataset import ClassificationDataset, ImageDataset, open_split
from tiramisu.data.spec import DatasetSpec
from tiramisu.devices import is_out_of_memory, pick_device
from tiramisu.evaluation.batch_norm import recalibrate_batch_norm
from tiramisu.evaluation.config import EvalConfig
from tiramisu.evaluation.evaluate import evaluate_checkpoint
from tiramisu.evaluation.metrics import FIGURES
from tiramisu.evaluation.plots import plot_curves
from tiramisu.evaluation.samples import save_samples
from tiramisu.training.callbacks import History
from tiramisu.training.checks import (
    announce_other_epochs,
    check_machine,
    check_steps_left,
    check_task,
    check_whole_images,
    find_image_size,
)
from tiramisu.training.config import TrainConfig
from tiramisu.training.loading import RunData, count_labels
from tiramisu.training.losses import balance_classes, build_loss
from tiramisu.training.run import (
    check_resumable,
    is_main_process,
    open_run_folder,
    save_config,
    use_absolute_paths,
)
from tiramisu.training.task import TrainingTask
from tiramisu.training.trainer import build_trainer
from tiramisu.training.warm_start import warm_start
from tiramisu.visual.pictures import save_png


def train(config: TrainConfig) -> Path:
    """Run a training from beginning to end; returns the run's folder.

    The folder then holds config.yaml, metrics.csv, TensorBoard's events, checkpoints/, the
    published model (model.safetensors, model.json), scores, and pictures.

    Raises:
        ValueError, FileNotFoundError: something the user can mend; the message says how.
        KeyboardInterrupt: stopped by the user, after all that was learnt has been saved.
    """
    check_machine(config)
    config = use_absolute_paths(config)
    if config.resume is not None:
        check_resumable(config)
        check_steps_left(config)
        announce_other_epochs(config)
    spec = load_spec(config.data)
    root = Path(config.data_root) if config.data_root else None
    check_task(spec, config)
    model = build_model_for(spec, config)
    if config.check_data and not spec.drawn and is_main_process():
        checked = check_dataset(spec, root=root, splits=[config.train_split, config.val_split])
        for warning in checked.warnings:
            print(f"Warning: {warning}")
    data = RunData(spec, config)
    if isinstance(data.val_set, ClassificationDataset):
        model.info = dataclasses.replace(
            model.info, image_size=find_image_size(data.val_set, config)
        )
    check_whole_images(data.train_set, config)
    task = build_task(model, data, config)

    folder = open_run_folder(config, data_name=spec.name)
    history = History(folder, task=spec.task)
    trainer = build_trainer(config, folder, history)
    if is_main_process():
        save_config(config, folder)
        print(f"{config.arch} on {spec.title}: {len(data.train_set)} images, run in {folder}")
    rows_before = list(history.rows)
    steps_before = rows_before[-1]["step"] if config.resume and rows_before else 0
    try:
        fit(trainer, task, data, resume=folder / LAST if config.resume else None)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"stopped after {len(history.rows)} of {config.epochs} epochs; go on with --resume "
            f"{folder}"
            if history.rows
            else "stopped within the first epoch: nothing is kept"
        ) from None
    finally:
        if trainer.is_global_zero:
            keep_what_was_learnt(folder, history, rows_before=rows_before, config=config)
    if trainer.is_global_zero:
        if trainer.global_step == steps_before:
            print("nothing was left to train; raise --epochs to go on")
        if config.recalibrate:
            recalibrate(folder, spec, config)
        report(folder, data.val_set, config)
    return folder


def build_model_for(spec: DatasetSpec, config: TrainConfig) -> ImageModel:
    """The network of a run, freshly initialised or with the weights it starts from."""
    pl.seed_everything(config.seed, verbose=False)
    imagenet = config.normalize == "imagenet"
    info = ModelInfo(
        arch=config.arch,
        class_names=spec.class_names,
        colors=tuple((int(r), int(g), int(b)) for r, g, b in spec.colors),
        mean=IMAGENET_MEAN if imagenet else (0.0, 0.0, 0.0),
        std=IMAGENET_STD if imagenet else (1.0, 1.0, 1.0),
        image_scale=config.image_scale,
        dropout=config.dropout,
        task=spec.task,
        dataset=spec.name,
    )
    model = build_image_model(info, memory_efficient=config.memory_efficient)
    if config.init_from is not None and config.resume is None:
        warm_start(model, config.init_from)
    if config.channels_last:
        model.network.to(memory_format=torch.channels_last)
    if config.compile:
        model.network.compile()
    return model


def build_task(model: ImageModel, data: RunData, config: TrainConfig) -> TrainingTask:
    """The model with its loss, ready to be fitted."""
    weight = None
    if config.class_weights != "none":
        labels = count_labels(data.train_set)
        weight = balance_classes(labels, capped=config.class_weights == "capped")
    build = functools.partial(
        build_loss,
        ignore_index=data.train_set.spec.ignore_index,
        weight=weight,
        label_smoothing=config.label_smoothing,
    )
    return TrainingTask(
        model,
        config,
        loss=build(config.loss),
        final_loss=build(config.final_loss) if config.final_loss else None,
        batches_per_epoch=data.batches_per_epoch,
        names=data.train_set.names,
        ignore_index=data.train_set.spec.ignore_index,
    )


def fit(trainer: pl.Trainer, task: TrainingTask, data: RunData, *, resume: Path | None) -> None:
    """Train; Ctrl-C raises KeyboardInterrupt once Lightning has put everything away."""
    previous = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(task, datamodule=data, ckpt_path=resume, weights_only=True)
    except SystemExit:
        # Lightning leaves this way after Ctrl-C, with further ones ignored.
        signal.signal(signal.SIGINT, previous)
        raise KeyboardInterrupt from None
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        final_from = task.config.final_from
        if final_from is not None and trainer.current_epoch >= final_from > 0:
            raise ValueError(
                f"the memory is too small for whole images, {task.config.batch_size} at a time, in "
                f"the final epochs: those before them are kept, in {trainer.default_root_dir}. Go "
                "on by a new run with --init-from that folder, a smaller --batch-size, and "
                "--epochs equal to --final-epochs"
            ) from None
        raise ValueError(
            "the memory is too small for this training: give a smaller --batch-size (and "
            "--accumulate to make up for it) or a smaller --crop"
        ) from None


def keep_what_was_learnt(
    folder: Path, history: History, *, rows_before: list[dict[str, float]], config: TrainConfig
) -> None:
    """Whatever ended a run: make its epochs ready for use, or leave no trace if there are none."""
    if not (folder / LAST).is_file():
        shutil.rmtree(folder)
    elif history.rows != rows_before:
        # Stopped before the first validation, there is no best epoch yet.
        best = folder / (BEST if config.keep == "best" else LAST)
        save_model(load_model(best if best.is_file() else folder / LAST), folder)
        curves = plot_curves(history.rows, task=history.task, final_from=config.final_from)
        save_png(folder / "curves.png", curves)


def recalibrate(folder: Path, spec: DatasetSpec, config: TrainConfig) -> None:
    """Publish the run's model with batch norm's statistics of the whole training images."""
    model = load_model(folder, device=pick_device(config.accelerator))
    measured_on = open_split(
        spec, config.train_split, root=config.data_root, image_scale=config.image_scale
    )
    try:
        save_model(recalibrate_batch_norm(model, measured_on), folder)
    except ValueError as error:
        print(f"Warning: the model keeps its running statistics: {error}")


def report(folder: Path, val_set: ImageDataset, config: TrainConfig) -> None:
    """Evaluate the published model by itself, and write and print what it can do."""
    scores = evaluate_checkpoint(
        EvalConfig(
            checkpoint=str(folder),
            data=config.data,
            data_root=config.data_root,
            split=config.val_split,
            batch_size=config.eval_batch_size,
            out=str(folder / "scores"),
            overwrite=True,
            accelerator=config.accelerator,
        )
    )
    model = load_model(folder)
    attributes = [figure.attribute for figure in FIGURES[model.task]]
    metrics = {name: 100 * getattr(scores, name) for name in attributes}
    # JSON knows no NaN.
    metrics = {name: value for name, value in metrics.items() if not math.isnan(value)}
    model.info = dataclasses.replace(model.info, metrics=metrics)
    save_model(model, folder)
    save_samples(model, val_set, folder / "samples.png")
    print(f"the model, curves.png and samples.png are in {folder}")
