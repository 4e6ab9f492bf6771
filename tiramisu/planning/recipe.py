"""Plan a training: look at the data, measure the machine, decide the settings."""

import dataclasses
from collections.abc import Collection
from typing import Any

import torch
import yaml

from tiramisu.data.catalog import load_spec
from tiramisu.data.checking.check import check_dataset
from tiramisu.data.dataset import ImageDataset
from tiramisu.data.splitting.split_data import require_val
from tiramisu.devices import pick_device
from tiramisu.environment import read_rank
from tiramisu.free_memory import free_memory
from tiramisu.planning.facts import gather_facts
from tiramisu.planning.rules import Decision, Limits, Rules, Schedule, show_time
from tiramisu.planning.speed import measure_speed
from tiramisu.settings import show
from tiramisu.text import format_table
from tiramisu.training.checks import check_machine, check_task
from tiramisu.training.config import TrainConfig, settings_of
from tiramisu.training.folds import FOLDS
from tiramisu.training.monitor import find_monitor
from tiramisu.training.user_parts import NO_PARTS, find_parts

CPU_MINUTES, GPU_MINUTES = 60.0, 10.0
MEMORY_SHARE = 0.5
"""Part of the free memory that a training may take unless the user says otherwise."""
PROBE_SIDE, SMALL_PROBE_SIDE, PROBE_BATCH = 160, 96, 4
LONG_MINUTES = 10.0
"""From which time on the larger images are worth it: their steps are timed more exactly."""
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

    def to_yaml(self) -> str:
        """All settings as a recipe, with the reasons as comments."""
        reasons = {decision.setting: decision.reason for decision in self.decisions}
        lines = [f"# A plan for {self.title}, for {self.minutes:g} minutes."]
        for name, value in settings_of(self.config).items():
            text = yaml.safe_dump(value, default_flow_style=True, width=1000)
            line = name + ": " + text.splitlines()[0]  # a number is followed by a line of dots
            lines.append(f"{line}  # {reasons[name]}" if name in reasons else line)
        return "\n".join(lines) + "\n"

    def __str__(self) -> str:
        rows = [["", "value", "why"]]
        rows += [
            [f"--{d.setting.replace('_', '-')}", _show_value(d.value), d.reason]
            for d in self.decisions
        ]
        schedule = self.schedule
        lines = [
            f"Plan for {self.title}:",
            format_table(rows, left=3),
            f"This takes about {self.expected_minutes:.2g} of {self.minutes:g} minutes: "
            f"{show_time(schedule.training)} of training, {schedule.validations} "
            f"{'validation' if schedule.validations == 1 else 'validations'} of "
            f"{show_time(schedule.validation)}, the start and the end.",
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
    if any((read_rank(name) or 1) > 1 for name in ("WORLD_SIZE", "SLURM_NTASKS")):
        raise ValueError(
            "several processes cannot plan one training, each for itself: write its recipe by "
            "`tiramisu plan DATA --recipe FILE`, and give --config FILE"
        )
    if config.resume is not None:
        raise ValueError("--resume goes on with the settings of its run: leave it out of a plan")
    check_machine(config)
    find_parts(config, NO_PARTS)  # only to raise its errors
    number = (config.folds or FOLDS) if folds else 1
    options = dataclasses.replace(config, folds=number, fold=1) if folds else config
    spec = load_spec(config.data, options, root=config.data_root, val_split=config.val_split)
    if spec.task != "segmentation":
        raise ValueError(
            f"{spec.name} is for classification, and plans are for segmentation; use "
            "`tiramisu train_cls`"
        )
    check_task(spec, config)
    find_monitor(config.monitor, spec)  # only to raise its error
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
            side=PROBE_SIDE if minutes >= LONG_MINUTES else SMALL_PROBE_SIDE,
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
        config=_replace(start, rules.settings, minutes=minutes),
        decisions=tuple(rules.decisions),
        schedule=schedule,
        minutes=minutes / number,
    )


def _show_value(value: object) -> str:
    """A value as a flag takes it."""
    return str(list(value)).replace(" ", "") if isinstance(value, tuple) else show(value)


def _replace(start: TrainConfig, settings: dict[str, Any], *, minutes: float) -> TrainConfig:
    try:
        return dataclasses.replace(start, **settings)
    except ValueError as error:
        raise ValueError(f"{error} (in a plan for {minutes:g} minutes)") from None
