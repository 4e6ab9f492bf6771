"""Plan a training: look at the data, measure the machine, decide the settings."""

import dataclasses
from collections.abc import Collection

import torch

from tiramisu.data.catalog import load_spec
from tiramisu.data.checking.check import check_dataset
from tiramisu.data.dataset import ImageDataset
from tiramisu.data.splitting.split_data import require_val
from tiramisu.devices import pick_device
from tiramisu.environment import read_rank
from tiramisu.free_memory import free_memory
from tiramisu.planning.facts import gather_facts
from tiramisu.planning.rules import Decision, Limits, Rules, Schedule
from tiramisu.planning.speed import measure_speed
from tiramisu.settings import show
from tiramisu.text import format_table
from tiramisu.training.checks import check_machine, check_task
from tiramisu.training.config import TrainConfig
from tiramisu.training.folds import FOLDS

CPU_MINUTES, GPU_MINUTES = 60.0, 10.0
MEMORY_SHARE = 0.5
"""Part of the free memory that a training may take unless the user says otherwise."""
PROBE_SIDE, PROBE_BATCH = 160, 4
GPU_ARCHS = ("fc103", "fc67", "fc56")
"""What is tried on a GPU: the first that is fast enough."""
GPU_PASSES = 40


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """The settings of a training for some data on this machine. str() gives a table."""

    title: str
    config: TrainConfig
    """All settings, for `train`."""
    decisions: tuple[Decision, ...]
    schedule: Schedule
    minutes: float
    """What the training may take."""

    @property
    def expected_minutes(self) -> float:
        """What it will take on this machine, if nothing else runs there."""
        return self.schedule.total / 60

    def __str__(self) -> str:
        rows = [["", "value", "why"]]
        rows += [
            [f"--{d.setting.replace('_', '-')}", _show_value(d.value), d.reason]
            for d in self.decisions
        ]
        epochs, evaluations = self.schedule.epochs, self.schedule.validations + 1
        lines = [
            f"Plan for {self.title}:",
            format_table(rows, left=3),
            f"This takes about {self.expected_minutes:.2g} of {self.minutes:g} minutes: {epochs} "
            f"{'epoch' if epochs == 1 else 'epochs'} of {self.schedule.epoch:.0f} s, {evaluations} "
            f"evaluations of {self.schedule.validation:.0f} s, and the start.",
        ]
        if self.expected_minutes > self.minutes:
            lines.append("It is more than there is: give more --minutes, or fewer --epochs.")
        return "\n".join(lines)


def plan_training(
    config: TrainConfig,
    *,
    given: Collection[str] = (),
    minutes: float | None = None,
    memory: float | None = None,
    folds: bool = False,
) -> TrainingPlan:
    """Plan a training for segmentation.

    The data are checked, some steps of the network are timed, and every setting that matters and is
    not given follows by a rule; see `Rules`.

    Args:
        config: the settings to start from; those that no rule decides stay as they are.
        given: names of settings that the user has chosen and no rule may change.
        minutes: what the training may take in all; None for an hour on a CPU, ten minutes on a GPU.
        memory: what it may take, in GiB; None for half of what is free.
        folds: whether it is a cross-validation, whose trainings share the minutes.

    Raises:
        ValueError, FileNotFoundError: something is wrong with the data or the settings.
    """
    if any(read_rank(name) is not None for name in ("RANK", "SLURM_PROCID")):
        raise ValueError(
            "several processes cannot plan one training, each for itself: write its recipe by "
            "`tiramisu plan DATA --recipe FILE`, and give --config FILE"
        )
    check_machine(config)
    number = (config.folds or FOLDS) if folds else 1
    options = dataclasses.replace(config, folds=number, fold=1) if folds else config
    spec = load_spec(config.data, options, root=config.data_root, val_split=config.val_split)
    check_task(spec, config)
    require_val(spec, config.val_split)
    splits = [config.train_split, config.val_split]
    report = check_dataset(spec, root=config.data_root, splits=splits)
    train_set = ImageDataset(spec, config.train_split, root=config.data_root)
    facts = gather_facts(report, train_set)
    device = pick_device(config.accelerator)
    on_gpu = device.type == "cuda"
    minutes = minutes or (GPU_MINUTES if on_gpu else CPU_MINUTES)
    free = torch.cuda.mem_get_info(device)[0] if on_gpu else free_memory()
    limits = Limits(
        seconds=60 * minutes / number, memory=memory * 2**30 if memory else MEMORY_SHARE * free
    )

    archs = GPU_ARCHS if on_gpu and "arch" not in given else (config.arch,)
    for arch in archs:
        speed = measure_speed(
            arch,
            channels=facts.channels,
            num_classes=len(facts.class_names),
            side=PROBE_SIDE,
            batch=PROBE_BATCH,
            device=device,
            bf16=config.precision == "bf16",
        )
        start = dataclasses.replace(config, arch=arch)
        rules = Rules(facts, speed, limits, given=given, start=start, on_gpu=on_gpu)
        if rules.count_passes(1.0) >= GPU_PASSES:
            break
    schedule = rules.decide()
    return TrainingPlan(
        title=f"{spec.title}, {facts.num_train} images to train on, {facts.num_val} for validation",
        config=dataclasses.replace(start, **rules.settings),
        decisions=tuple(rules.decisions),
        schedule=schedule,
        minutes=minutes / number,
    )


def _show_value(value: object) -> str:
    return show(list(value) if isinstance(value, tuple) else value)
