"""A training run from its settings to its published model, tables and pictures."""

import dataclasses
import math
import shutil
import signal
from pathlib import Path

import lightning.pytorch as pl
import torch

from tiramisu.data.check import check_dataset
from tiramisu.data.dataset import ClassificationDataset, ImageDataset
from tiramisu.data.spec import load_spec
from tiramisu.data.table import DatasetSpec
from tiramisu.engine.batch_norm import recalibrate_batch_norm
from tiramisu.engine.callbacks import HISTORY_NAME, History, read_history
from tiramisu.engine.checkpoint import load_model, read_checkpoint, save_model
from tiramisu.engine.config import EvalConfig, TrainConfig
from tiramisu.engine.devices import is_out_of_memory, pick_device
from tiramisu.engine.evaluate import evaluate_checkpoint, open_split
from tiramisu.engine.loading import RunData, count_labels
from tiramisu.engine.losses import balance_classes, build_loss
from tiramisu.engine.metrics import FIGURES
from tiramisu.engine.model import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    ImageModel,
    ModelInfo,
    build_image_model,
)
from tiramisu.engine.optim import lr_factor
from tiramisu.engine.pictures import save_png
from tiramisu.engine.plots import plot_curves
from tiramisu.engine.run import (
    BEST,
    CONFIG_NAME,
    LAST,
    check_resumable,
    find_run,
    is_main_process,
    open_run_folder,
    read_settings,
    save_config,
    use_absolute_paths,
)
from tiramisu.engine.samples import save_samples
from tiramisu.engine.task import TrainingTask
from tiramisu.engine.trainer import build_trainer
from tiramisu.engine.warm_start import warm_start
from tiramisu.models import list_models, task_of


def train(config: TrainConfig) -> Path:
    """Run a training from beginning to end; returns the run's folder.

    The folder then holds config.yaml, metrics.csv, TensorBoard's events, checkpoints/, the
    published model (model.safetensors, model.json), scores, and pictures.

    Raises:
        ValueError, FileNotFoundError: something the user can mend; the message says how.
        KeyboardInterrupt: stopped by the user, after all that was learnt has been saved.
    """
    _check_machine(config)
    config = use_absolute_paths(config)
    if config.resume is not None:
        check_resumable(config)
        _check_steps_left(config)
        _announce_other_epochs(config)
    spec = load_spec(config.data)
    root = Path(config.data_root) if config.data_root else None
    _check_task(spec, config)
    model = build_model_for(spec, config)
    if config.check_data and not spec.drawn and is_main_process():
        checked = check_dataset(spec, root=root, splits=[config.train_split, config.val_split])
        for warning in checked.warnings:
            print(f"Warning: {warning}")
    data = RunData(spec, config)
    if isinstance(data.val_set, ClassificationDataset):
        model.info = dataclasses.replace(
            model.info, image_size=_find_image_size(data.val_set, config)
        )
    _check_whole_images(data.train_set, config)
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
            keep_what_was_learnt(folder, history, rows_before=rows_before, keep=config.keep)
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
    loss, final_loss = (
        build_loss(
            name,
            ignore_index=data.train_set.spec.ignore_index,
            weight=weight,
            label_smoothing=config.label_smoothing,
        )
        for name in (config.loss, config.final_loss or config.loss)
    )
    return TrainingTask(
        model,
        config,
        loss=loss,
        final_loss=final_loss,
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
        raise ValueError(
            "the memory is too small for this training: give a smaller --batch-size (and "
            "--accumulate to make up for it) or a smaller --crop"
        ) from None


def keep_what_was_learnt(
    folder: Path, history: History, *, rows_before: list[dict[str, float]], keep: str
) -> None:
    """Whatever ended a run: make its epochs ready for use, or leave no trace if there are none."""
    if not (folder / LAST).is_file():
        shutil.rmtree(folder)
    elif history.rows != rows_before:
        # Stopped before the first validation, there is no best epoch yet.
        best = folder / (BEST if keep == "best" else LAST)
        save_model(load_model(best if best.is_file() else folder / LAST), folder)
        save_png(folder / "curves.png", plot_curves(history.rows, task=history.task))


def recalibrate(folder: Path, spec: DatasetSpec, config: TrainConfig) -> None:
    """Publish the run's model with batch norm's statistics of the whole training images."""
    model = load_model(folder, device=pick_device(config.accelerator))
    measured_on = open_split(
        spec, config.train_split, root=config.data_root, image_scale=config.image_scale
    )
    save_model(recalibrate_batch_norm(model, measured_on), folder)


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


def _check_task(spec: DatasetSpec, config: TrainConfig) -> None:
    """Refuse a network that does something else than what the data set's labels say."""
    if task_of(config.arch) != spec.task:
        raise ValueError(
            f"{config.arch} is for {task_of(config.arch)}, {spec.name} for {spec.task}: give "
            f"another --data, or --arch with one of {', '.join(list_models(spec.task))} "
            "(tools/train_seg.py labels pixels, tools/train_cls.py whole images)"
        )
    if spec.num_classes < 2:
        raise ValueError(
            f"{spec.name} has the class {spec.class_names[0]} and no other, so there is nothing to "
            "learn; expected two classes or more"
        )
    if spec.task == "classification" and "+" in config.loss:
        raise ValueError(
            f"--loss {config.loss} is for segmentation; expected cross_entropy or focal"
        )


def _find_image_size(dataset: ClassificationDataset, config: TrainConfig) -> tuple[int, int] | None:
    """The size at which images are classified, if they have one."""
    size = dataset.find_size()
    if size is None and config.eval_batch_size > 1:
        raise ValueError(
            f"the images of {dataset.spec.name}'s split {dataset.split} differ in size, and a "
            "batch needs images of one: give the data set's YAML a `size: [H, W]` to bring them "
            "to, or --eval-batch-size 1"
        )
    return size


def _check_whole_images(dataset: ImageDataset, config: TrainConfig) -> None:
    """Refuse final epochs that could not be batched, before all others are trained."""
    if config.final_epochs and config.batch_size > 1 and dataset.find_size() is None:
        raise ValueError(
            f"--final-epochs {config.final_epochs} show whole images, {config.batch_size} at a "
            f"time, and those of {dataset.spec.name}'s split {dataset.split} differ in size; give "
            "--final-epochs 0, or --batch-size 1"
        )


def _check_steps_left(config: TrainConfig) -> None:
    """Read a run's last checkpoint, and refuse a run that --max-steps has ended.

    Its schedule is over, and Lightning miscounts epochs when it goes on from there.
    """
    steps = read_checkpoint(Path(str(config.resume), LAST))["global_step"]
    if config.max_steps is not None and steps >= config.max_steps:
        raise ValueError(
            f"the run {config.resume} is complete: it has done its --max-steps {config.max_steps}. "
            f"To learn on, start a new run with --init-from {config.resume}"
        )


def _announce_other_epochs(config: TrainConfig) -> None:
    """Say what becomes of the schedule where a resumed run is to be longer, or shorter."""
    folder = find_run(str(config.resume))
    planned = read_settings(folder / CONFIG_NAME).get("epochs", config.epochs)
    if planned == config.epochs or not is_main_process():
        return
    done = len(read_history(folder / HISTORY_NAME))
    rate = config.lr * lr_factor(config, epoch=done, epochs=config.epochs)
    print(
        f"--epochs {config.epochs} in place of {planned}: the learning rate goes on as that of "
        f"such a run after {done} epochs, at {rate:.3g}"
    )


def _check_machine(config: TrainConfig) -> None:
    """Refuse what this machine cannot do, before anything is written."""
    device = pick_device(config.accelerator)
    if config.precision == "fp16" and device.type == "cpu":
        raise ValueError("--precision fp16 needs a GPU; on a CPU use bf16 or fp32")
    if config.sync_bn and device.type != "cuda":
        raise ValueError("--sync-bn needs GPUs")
