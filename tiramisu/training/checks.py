"""Checks of settings against the machine, the data and an earlier run; nothing is written yet."""

import functools
import os
from typing import Any

from torch import nn

from tiramisu.checkpoints.run_folder import CONFIG_NAME, LAST, find_run, read_settings
from tiramisu.data.dataset import ImageDataset
from tiramisu.data.spec import DatasetSpec
from tiramisu.devices import check_precision, count_devices, is_main_process, pick_device
from tiramisu.inference.tester import as_tile
from tiramisu.inference.tiles import DEFAULT_TILE
from tiramisu.inference.whole_images import check_batch, describe_smaller
from tiramisu.machine import count_cores
from tiramisu.models import list_models, task_of
from tiramisu.settings import explain
from tiramisu.summary.meta_run import run_on_meta
from tiramisu.text import list_some
from tiramisu.training.config import TrainConfig, settings_of, smallest_crop
from tiramisu.training.history import HISTORY_NAME, read_history
from tiramisu.training.loading import RunData
from tiramisu.training.optim import lr_factor
from tiramisu.training.resuming import count_epochs, read_state

CHANGEABLE = (
    "epochs",
    "patience",
    "keep",
    "data_root",
    "check_data",
    "out",
    "cache",
    "num_workers",
    "eval_batch_size",
    "tile",
    "accelerator",
    "compile",
    "channels_last",
    "memory_efficient",
)
"""Settings that a resumed run may change: none of them changes what an epoch learns."""

LOSSES_OF_IMAGES = ("cross_entropy", "bce", "focal")
MOST_CLASSES = 20
"""Most classes that an error names."""
CLUSTER_VARIABLES = ("MASTER_ADDR", "SLURM_NTASKS", "LSB_JOBID", "OMPI_COMM_WORLD_SIZE")
"""Environment variables that tell Lightning where the other machines are."""
SURELY_LARGE = 64
"""Side of an image that every network takes."""


def check_machine(config: TrainConfig) -> None:
    """Raise ValueError if this machine lacks a device that the settings need."""
    device = pick_device(config.accelerator)
    check_precision(config.precision, device)
    if config.sync_bn and device.type != "cuda":
        raise ValueError("--sync-bn needs GPUs")
    most = count_devices(device)
    if config.devices > most:
        kind = "processes on the CPU" if device.type == "cpu" else "GPUs"
        raise ValueError(explain("devices", config.devices, f"at most {most} {kind} here"))
    cores = count_cores()
    if config.num_workers != "auto" and config.num_workers > max(8, 4 * cores):
        expected = f"at most {max(8, 4 * cores)} on a machine with {cores} cores"
        raise ValueError(explain("num_workers", config.num_workers, expected))
    if config.num_nodes > 1 and not any(name in os.environ for name in CLUSTER_VARIABLES):
        raise ValueError(
            f"--num-nodes is {config.num_nodes}, but this process was not told where the other "
            "machines are; start it by torchrun or SLURM, or set MASTER_ADDR, MASTER_PORT and "
            "NODE_RANK on each machine"
        )


def check_crops(network: nn.Module, config: TrainConfig) -> None:
    """Raise ValueError if a batch of crops cannot fit into memory, before anything is allocated."""
    if config.crop is not None:
        flags = f"--batch-size {config.batch_size} with --crop [{config.crop[0]},{config.crop[1]}]"
        check_batch(
            network,
            size=config.crop,
            batch=config.batch_size,
            precision=config.precision,
            device=pick_device(config.accelerator),
            flags=flags,
        )


def check_image_size(network: nn.Module, data: RunData, config: TrainConfig) -> None:
    """Raise ValueError if whole images are too small for the network, or a batch of them too large.

    Only the first image of each split is looked at. In the validation, an image that is larger than
    a tile takes the memory of one tile.
    """
    height, width = _first_size(data.val_set)
    is_resized = config.image_scale < 1 or config.resize is not None
    if is_resized and min(height, width) < SURELY_LARGE:
        try:
            run_on_meta(network, height=height, width=width)
        except ValueError as error:
            if config.resize is not None:
                raise ValueError(explain("resize", list(config.resize), str(error))) from None
            expected = f"a larger factor for this data: {error}"
            raise ValueError(explain("image_scale", config.image_scale, expected)) from None
    device, precision = pick_device(config.accelerator), config.precision
    if config.crop is None or config.final_epochs:
        size = _first_size(data.train_set)
        epochs = f" in the --final-epochs {config.final_epochs}" if config.crop else ""
        check_batch(
            network,
            size=size,
            batch=min(config.batch_size, len(data.train_set)),
            precision=precision,
            device=device,
            flags=f"--batch-size {config.batch_size} with whole images of {size[0]}x{size[1]} "
            f"pixels{epochs}",
            training=True,
            remedy=functools.partial(_describe_remedy, size=size, config=config),
        )
    batch = min(config.eval_batch_size, len(data.val_set))
    flags = f"--eval-batch-size {config.eval_batch_size} with images of {height}x{width} pixels"
    tile = as_tile(config.tile)
    side = DEFAULT_TILE if tile == "auto" else tile
    if side is not None and max(height, width) > side and data.val_set.spec.task == "segmentation":
        height, width, batch = min(height, side), min(width, side), 1
        flags = f"--tile {side}, for the validation,"
    check_batch(
        network,
        size=(height, width),
        batch=batch,
        precision=precision,
        device=device,
        flags=flags,
        remedy=lambda _: "give fewer or smaller images, or a smaller --tile",
    )


def _describe_remedy(share: float, *, size: tuple[int, int], config: TrainConfig) -> str:
    smaller = describe_smaller(share, size=size, image_scale=config.image_scale)
    if config.crop is not None:
        return "give --final-epochs 0, or shrink" + smaller.partition("or shrink")[2]
    return smaller + (", or a smaller --batch-size" if config.batch_size > 1 else "")


def _first_size(dataset: ImageDataset) -> tuple[int, int]:
    """Height and width of the first image as the network sees it, without augmentation."""
    height, width = dataset.read_scaled(0)[0].shape[:2]
    return height, width


def check_task(spec: DatasetSpec, config: TrainConfig) -> None:
    """Raise ValueError if the network or a loss is for another task than the data set."""
    if task_of(config.arch) not in (spec.task, None):
        raise ValueError(
            f"{config.arch} is for {task_of(config.arch)}, {spec.name} for {spec.task}: give "
            f"another --data, or --arch with one of {', '.join(list_models(spec.task))} "
            "(tools/train_seg.py labels pixels, tools/train_cls.py whole images)"
        )
    for flag, loss in (("--loss", config.loss), ("--final-loss", config.final_loss)):
        if spec.task == "classification" and loss not in (None, *LOSSES_OF_IMAGES):
            expected = f"{', '.join(LOSSES_OF_IMAGES[:-1])} or {LOSSES_OF_IMAGES[-1]}"
            raise ValueError(f"{flag} {loss} is for segmentation; expected {expected}")
    if spec.task == "classification" and config.resize is not None:
        raise ValueError(
            f"--resize is for segmentation; give the YAML of {spec.name} a `size: [height, width]`"
        )
    weights = config.class_weights
    if isinstance(weights, list) and len(weights) != spec.num_classes:
        classes = list_some(spec.class_names, most=MOST_CLASSES)
        expected = f"{spec.num_classes} numbers, one for each class of {spec.name}: {classes}"
        raise ValueError(explain("class_weights", weights, expected))


def find_image_size(dataset: ImageDataset, config: TrainConfig) -> tuple[int, int] | None:
    """Height and width of all images of a split; None if they differ.

    Raises:
        ValueError: they differ, and `eval_batch_size` needs images of one size.
    """
    size = dataset.find_size()
    if size is None and config.eval_batch_size > 1:
        raise ValueError(
            f"the images of {dataset.spec.name}'s split {dataset.split} differ in size, and a "
            "batch needs images of one: give the data set's YAML a `size: [H, W]` to which all "
            "are resized, or give --eval-batch-size 1"
        )
    return size


def check_whole_images(dataset: ImageDataset, config: TrainConfig) -> None:
    """Raise ValueError if the whole images of the final epochs do not fit into batches."""
    if not config.final_epochs:
        return
    what = (
        f"--final-epochs {config.final_epochs} show whole images, {config.batch_size} at a time, "
        f"and those of {dataset.spec.name}'s split {dataset.split}"
    )
    sizes = dataset.find_sizes()
    if config.batch_size > 1 and len(sizes) > 1:
        raise ValueError(f"{what} differ in size; give --final-epochs 0, or --batch-size 1")
    side, smallest = min(map(min, sizes)), smallest_crop(config.batch_size)
    if side < smallest:
        raise ValueError(
            f"{what} have sides of {side} pixels; batch norm needs several values, and so sides "
            f"of {smallest} or more: give --final-epochs 0"
        )


def check_resume(config: TrainConfig) -> dict[str, Any] | None:
    """Check that a run can be resumed with these settings; prints what another length means.

    Returns:
        The last checkpoint of the run; None if it was killed before it saved one.

    Raises:
        FileNotFoundError: there is no such run.
        ValueError: settings differ that a resumed run may not change, its last checkpoint is
            damaged, or `max_steps` has ended it.
    """
    assert config.resume is not None
    folder = find_run(config.resume)
    saved = read_settings(folder / CONFIG_NAME)
    for name, value in settings_of(config).items():
        if name in saved and name not in CHANGEABLE and value != saved[name]:
            raise ValueError(
                f"--{name.replace('_', '-')} is {value}, but the run {config.resume} was started "
                f"with {saved[name]}; a resumed run may change only {', '.join(CHANGEABLE)}. To "
                "train on with other settings, start a new run with --init-from"
            )
    if not (folder / LAST).is_file():
        if len(read_history(folder / HISTORY_NAME)) > 1:
            raise FileNotFoundError(
                f"{folder / LAST} is missing, so the run cannot go on: copy it again, or start a "
                "new run"
            )
        return None  # it was killed before it saved its first step
    # Its schedule is over, and Lightning counts epochs wrongly when it goes on from there.
    state = read_state(folder)
    if config.max_steps is not None and state["global_step"] >= config.max_steps:
        raise ValueError(
            f"the run {config.resume} is complete: it has done its --max-steps {config.max_steps}. "
            f"To train on, start a new run with --init-from {config.resume}"
        )
    done = count_epochs(state)
    if config.epochs < done:
        raise ValueError(
            f"--epochs is {config.epochs}, but the run {config.resume} has done {done} epochs "
            f"already; expected {done} or more"
        )
    prepared = saved.get("epochs", config.epochs)
    if prepared != config.epochs and is_main_process():
        rate = config.lr * lr_factor(config, epoch=done, epochs=config.epochs)
        print(
            f"--epochs {config.epochs} in place of {prepared}: from now on the learning rate "
            f"follows the schedule of {config.epochs} epochs; it is {rate:.3g} after epoch {done}"
            + (". The final epochs are the last of all epochs" if config.final_epochs else "")
        )
    return state
