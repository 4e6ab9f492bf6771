"""The state of a training in the last checkpoint of its run: whether the training can go on.

Lightning restores a state without looking at it: what is missing starts anew, and what is damaged
fails at some later step. So it is compared with the state of a fresh training first.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, cast

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import EarlyStopping
from pydantic import ConfigDict, Field, with_config
from torch import Tensor
from typing_extensions import TypedDict

from tiramisu.checkpoints.info import ModelInfo
from tiramisu.checkpoints.model_files import PlainTensor, read_checkpoint
from tiramisu.checkpoints.run_folder import LAST
from tiramisu.checkpoints.weights_file import check_weights
from tiramisu.data.entry import NotNegative
from tiramisu.data.json_file import validate
from tiramisu.data.spec import DatasetSpec
from tiramisu.text import in_one_line, list_some, show
from tiramisu.training.history import History
from tiramisu.training.task import TrainingTask

OPTIONAL = ("foreach", "capturable", "differentiable", "fused", "decoupled_weight_decay")
"""Settings of optimizers that older versions of torch do not save; nor do they some private ones,
whose names begin with an underscore."""
MOST_CLASSES = 10
"""Most classes that an error names."""

_One = Annotated[list[dict[str, Any]], Field(min_length=1, max_length=1)]


class _Counts(TypedDict):
    processed: NotNegative


class _EpochProgress(TypedDict):
    current: _Counts


class _FitLoop(TypedDict):
    epoch_progress: _EpochProgress


class _Loops(TypedDict):
    fit_loop: _FitLoop


_Version = TypedDict("_Version", {"pytorch-lightning_version": str})


@with_config(ConfigDict(strict=True))
class _State(_Version):
    """The parts of a checkpoint that a training goes on from, beside the model's."""

    epoch: NotNegative
    global_step: NotNegative
    loops: _Loops
    callbacks: dict[str, dict[str, Any]]
    optimizer_states: _One
    lr_schedulers: _One


class _Averages(TypedDict):
    """What a run with an average of its weights holds too."""

    current_model_state: dict[str, PlainTensor]
    averaging_state: dict[str, PlainTensor]


def read_state(folder: Path) -> dict[str, Any]:
    """The last checkpoint of a run, with all parts of the state of its training.

    Raises:
        ValueError: it is damaged, or a part is missing or of another kind.
    """
    checkpoint = read_checkpoint(folder / LAST)
    try:
        validate(_State, checkpoint)
    except ValueError as error:
        raise _cannot_go_on(folder, error) from None
    return checkpoint


def count_epochs(state: Mapping[str, Any]) -> int:
    """The number of epochs that were complete in a state from `read_state`."""
    return int(state["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"])


def check_classes(state: Mapping[str, Any], spec: DatasetSpec, *, folder: Path) -> None:
    """Raise ValueError if the classes of a data set have changed since the run was started."""
    saved = ModelInfo.from_dict(state["model_info"], origin=str(folder / LAST)).class_names
    if saved != spec.class_names:
        raise ValueError(
            f"--resume {folder}: the run was started with the classes "
            f"{list_some(saved, most=MOST_CLASSES)}, and its data set {spec.name} has "
            f"{list_some(spec.class_names, most=MOST_CLASSES)} now: put the classes back as they "
            f"were, or start a new run with --init-from {folder}"
        )


def check_state(
    state: Mapping[str, Any],
    *,
    folder: Path,
    task: TrainingTask,
    trainer: pl.Trainer,
    history: History,
) -> None:
    """Raise ValueError if a training cannot go on from the last checkpoint of its run.

    Args:
        state: from `read_state`.
        folder: of the run.
        task: what will go on.
        trainer: with the callbacks of the run.
        history: the rows of its metrics.csv.
    """
    try:
        saved, arch = state["model_info"]["arch"], task.model.info.arch
        if saved != arch:
            raise ValueError(f"model_info.arch: expected {arch}, not {show(saved)}")
        check_weights(state["state_dict"], expected=task.state_dict(), origin="state_dict")
        if task.config.ema_decay > 0:
            averages = validate(_Averages, state)["current_model_state"]
            check_weights(averages, expected=task.state_dict(), origin="current_model_state")
        _compare_loop(state, trainer)
        _compare_callbacks(state, trainer)
        _compare_optimizer(state, task)
    except ValueError as error:
        raise _cannot_go_on(folder, error) from None
    history.check_against(epochs=count_epochs(state), step=state["global_step"])


def _cannot_go_on(folder: Path, error: ValueError) -> ValueError:
    return ValueError(
        f"{folder / LAST} is damaged, so the training cannot go on ({error}); copy it again, or "
        f"start a new run with --init-from {folder}"
    )


def _compare_loop(state: Mapping[str, Any], trainer: pl.Trainer) -> None:
    fresh = type(trainer.fit_loop)(trainer)
    found = state["loops"]["fit_loop"]
    _compare(fresh.state_dict(), found, "loops.fit_loop")
    try:
        fresh.load_state_dict(found)
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"loops.fit_loop: {in_one_line(error)}") from None
    counted = fresh.epoch_progress.current.completed, fresh.epoch_loop.global_step
    if counted != (state["epoch"], state["global_step"]):
        raise ValueError(
            f"loops: epoch and step are {counted}; expected those of epoch and global_step, "
            f"{(state['epoch'], state['global_step'])}"
        )


def _compare_callbacks(state: Mapping[str, Any], trainer: pl.Trainer) -> None:
    for callback in cast(list[pl.Callback], trainer.callbacks):  # type: ignore[attr-defined]
        fresh, found = callback.state_dict(), state["callbacks"].get(callback.state_key)
        # The patience may change when a run is resumed; older versions saved no state of History.
        may_lack = isinstance(callback, EarlyStopping | History)
        if fresh and not (found is None and may_lack):
            _compare(fresh, found, f"callbacks.{type(callback).__name__}")


def _compare_optimizer(state: Mapping[str, Any], task: TrainingTask) -> None:
    parts = task.configure_optimizers()
    optimizer, schedule = parts["optimizer"], parts["lr_scheduler"]["scheduler"]
    (found,), (found_schedule,) = state["optimizer_states"], state["lr_schedulers"]
    _compare(schedule.state_dict(), found_schedule, "lr_schedulers.0")
    groups = optimizer.state_dict()["param_groups"]
    _compare(groups, found.get("param_groups"), "optimizer_states.0.param_groups")
    for group, other in zip(groups, found["param_groups"], strict=True):
        for name in group.keys() & other.keys() - {"lr", "initial_lr", "params", *OPTIONAL}:
            if group[name] != other[name]:
                raise ValueError(
                    f"optimizer_states.0.param_groups: {name} is {show(other[name])}; expected "
                    f"{show(group[name])}"
                )
    # A step of length 0 makes the state that a parameter has.
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    for parameter in task.model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad()
    fresh, saved = optimizer.state_dict()["state"], found.get("state")
    if not isinstance(saved, dict) or bool(saved) != bool(fresh and state["global_step"]):
        raise ValueError(
            f"optimizer_states.0.state: expected one of each parameter, not {show(saved)}"
        )
    for number, values in saved.items():  # a parameter that was never used has none
        _compare(fresh.get(number), values, f"optimizer_states.0.state.{number}")


def _compare(fresh: object, found: object, place: str) -> None:
    """Raise ValueError unless values are of the same kinds as those of a fresh training."""
    if isinstance(fresh, dict) and isinstance(found, dict):
        for key, value in fresh.items():
            if key in found:
                _compare(value, found[key], f"{place}.{key}")
            elif key not in OPTIONAL and not key.startswith("_"):
                raise ValueError(f"{place}.{key}: missing")
    elif isinstance(fresh, list | tuple) and isinstance(found, list | tuple):
        if len(fresh) != len(found):
            raise ValueError(f"{place}: expected {len(fresh)} values, not {len(found)}")
        for i, (value, other) in enumerate(zip(fresh, found, strict=True)):
            _compare(value, other, f"{place}.{i}")
    elif not _is_same_kind(fresh, found):
        raise ValueError(f"{place}: {show(found)} is not of the kind of {show(fresh)}")


def _is_same_kind(fresh: object, found: object) -> bool:
    if isinstance(found, Tensor):
        # A score that a fresh training does not have yet is None there.
        shape = fresh.shape if isinstance(fresh, Tensor) else torch.Size()
        return (
            (fresh is None or isinstance(fresh, Tensor))
            and found.shape == shape
            and not bool(found.isnan().any())
        )
    if type(fresh) is float:
        return type(found) in (int, float) and found == found
    if type(fresh) is int:
        return type(found) is int and found >= 0
    return type(fresh) is type(found)
