"""What a run finds out before it starts: nothing is written for one that cannot end well."""

from pathlib import Path

from tiramisu.checkpoints.checkpoint import read_checkpoint
from tiramisu.checkpoints.run_folder import CONFIG_NAME, LAST, find_run, read_settings
from tiramisu.data.dataset import ClassificationDataset, ImageDataset
from tiramisu.data.spec import DatasetSpec
from tiramisu.devices import pick_device
from tiramisu.models import list_models, task_of
from tiramisu.training.callbacks import HISTORY_NAME, read_history
from tiramisu.training.config import TrainConfig, smallest_crop
from tiramisu.training.optim import lr_factor
from tiramisu.training.run import is_main_process


def check_task(spec: DatasetSpec, config: TrainConfig) -> None:
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
    for flag, loss in (("--loss", config.loss), ("--final-loss", config.final_loss)):
        if spec.task == "classification" and "+" in (loss or ""):
            raise ValueError(f"{flag} {loss} is for segmentation; expected cross_entropy or focal")


def find_image_size(dataset: ClassificationDataset, config: TrainConfig) -> tuple[int, int] | None:
    """The size at which images are classified, if they have one."""
    size = dataset.find_size()
    if size is None and config.eval_batch_size > 1:
        raise ValueError(
            f"the images of {dataset.spec.name}'s split {dataset.split} differ in size, and a "
            "batch needs images of one: give the data set's YAML a `size: [H, W]` to bring them "
            "to, or --eval-batch-size 1"
        )
    return size


def check_whole_images(dataset: ImageDataset, config: TrainConfig) -> None:
    """Refuse final epochs that could not be batched, before all others are trained."""
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


def check_steps_left(config: TrainConfig) -> None:
    """Read a run's last checkpoint, and refuse a run that --max-steps has ended.

    Its schedule is over, and Lightning miscounts epochs when it goes on from there.
    """
    steps = read_checkpoint(Path(str(config.resume), LAST))["global_step"]
    if config.max_steps is not None and steps >= config.max_steps:
        raise ValueError(
            f"the run {config.resume} is complete: it has done its --max-steps {config.max_steps}. "
            f"To learn on, start a new run with --init-from {config.resume}"
        )


def announce_other_epochs(config: TrainConfig) -> None:
    """Say what becomes of the schedule where a resumed run is to be longer, or shorter."""
    folder = find_run(str(config.resume))
    planned = read_settings(folder / CONFIG_NAME).get("epochs", config.epochs)
    if planned == config.epochs or not is_main_process():
        return
    done = len(read_history(folder / HISTORY_NAME))
    rate = config.lr * lr_factor(config, epoch=done, epochs=config.epochs)
    print(
        f"--epochs {config.epochs} in place of {planned}: the learning rate goes on as that of "
        f"such a run after epoch {done}, at {rate:.3g}"
        + (", and the final epochs come at its end" if config.final_epochs else "")
    )


def check_machine(config: TrainConfig) -> None:
    """Refuse what this machine cannot do, before anything is written."""
    device = pick_device(config.accelerator)
    if config.precision == "fp16" and device.type == "cpu":
        raise ValueError("--precision fp16 needs a GPU; on a CPU use bf16 or fp32")
    if config.sync_bn and device.type != "cuda":
        raise ValueError("--sync-bn needs GPUs")
