"""Parts of one's own in a run: what the settings name, or what Python gives, ready to be used."""

import dataclasses
import importlib.util
import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger, MLFlowLogger, WandbLogger
from torch import Tensor, nn

from tiramisu.models.own_network import NetworkBuilder, find_network
from tiramisu.models.zoo import is_own_network
from tiramisu.own_parts import (
    accepted,
    as_list,
    call,
    describe_error,
    describe_part,
    find_part_by_name,
    is_importable,
    is_own_name,
    name_of,
)
from tiramisu.training.config import TrainConfig
from tiramisu.training.losses import SumOfLosses

SERVICES: dict[str, type[Logger]] = {"wandb": WandbLogger, "mlflow": MLFlowLogger}
"""Lightning's loggers by the words of --logger."""
WITH_WORDS = ("loss", "final_loss")
"""Settings that hold either a word of ours or the name of a part of one's own."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OwnParts:
    """Parts of one's own as Python objects; each goes before the setting that names one."""

    network: NetworkBuilder | None = None
    """A class or function, called with num_classes and in_channels; see `models.own_network`."""
    loss: type[nn.Module] | Callable[..., Tensor] | None = None
    """Takes logits (B, C, H, W), float32, and labels (B, H, W), int64 (a classifier: (B, C) and
    (B,)), and gives one number. A class is called first, with those of ignore_index, weight and
    label_smoothing that it takes; a function gets them too."""
    final_loss: type[nn.Module] | Callable[..., Tensor] | None = None
    """The same, for the final epochs."""
    augmentation: Any = None
    """A transform of albumentations, or a function (image, mask) -> (image, mask) of arrays (H, W,
    C) and (H, W). It comes after the augmentation of the settings. Its random numbers are those of
    the run's seed."""
    metrics: Sequence[Any] = ()
    """Classes or objects of torchmetrics, updated with classes and labels (B, H, W); or functions
    of the confusion matrix, int64 (C, C), with rows for ground truth, that give a number."""
    callbacks: Sequence[Any] = ()
    """Lightning's callbacks, or classes of them."""
    loggers: Sequence[Any] = ()
    """Lightning's loggers, beside that of TensorBoard; or classes, called with save_dir."""


NO_PARTS = OwnParts()


def find_parts(config: TrainConfig, given: OwnParts = NO_PARTS) -> tuple[TrainConfig, OwnParts]:
    """Import what the settings name, and name in the settings what is given.

    Returns:
        The settings, and all parts of one's own; no other code imports one.

    Raises:
        ValueError: a module or a name is not there, or a part is of the wrong kind.
    """
    names: dict[str, Any] = {}
    parts: dict[str, Any] = {}
    if given.network is not None:
        names["arch"], parts["network"] = name_of(given.network), given.network
    elif is_own_network(config.arch):
        parts["network"] = find_network(config.arch)
    for field in ("loss", "final_loss", "augmentation"):
        setting = "augment" if field == "augmentation" else field
        part, name = getattr(given, field), getattr(config, setting)
        if part is not None:
            names[setting], parts[field] = name_of(part), part
        elif is_own_name(name):
            parts[field] = find_part_by_name(name, flag=f"--{setting.replace('_', '-')}")
    for field in ("metrics", "callbacks", "loggers"):
        several, setting = getattr(given, field), {"loggers": "logger"}.get(field, field)
        if isinstance(several, str) or not isinstance(several, Sequence):
            raise ValueError(f"{field} is {describe_part(several)}; expected a list: [{field}]")
        if several:
            names[setting], parts[field] = [name_of(part) for part in several], tuple(several)
        else:
            found = as_list(getattr(config, setting))
            parts[field] = tuple(_find_or_service(name, flag=f"--{setting}") for name in found)
    return dataclasses.replace(config, **names), OwnParts(**parts)


def _find_or_service(name: str, *, flag: str) -> Any:
    """What MODULE:NAME stands for, or Lightning's logger of a service."""
    if name not in SERVICES:
        return find_part_by_name(name, flag=flag)
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:  # a folder of results has this name too
        raise ValueError(
            f'{flag} {name} needs the package {name}: pip install "tiramisu-seg[{name}]"'
        )
    return SERVICES[name]


def describe_lost(given: OwnParts) -> list[str]:
    """What has to be given again later, because no module has it by a name; lines for the user."""
    lines = []
    if given.network is not None and not is_importable(given.network):
        lines.append(
            f"the network {name_of(given.network)} cannot be imported by its name: give it again, "
            "load_model(path, network=...), or put it at the top of a module"
        )
    others = [given.loss, given.final_loss, given.augmentation]
    others += [*given.metrics, *given.callbacks, *given.loggers]
    names = [name_of(p) for p in others if p is not None and not is_importable(p)]
    if names:
        lines.append(
            f"{', '.join(names)}: to resume this run, give these again, train(config, parts=...)"
        )
    return lines


def build_own_loss(
    part: Any,
    *,
    flag: str,
    num_classes: int,
    task: str,
    ignore_index: int,
    weight: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> SumOfLosses:
    """A loss of one's own as the run uses it, after a trial with a tiny batch.

    Args:
        part: see `OwnParts.loss`.
        flag: who names it, for errors.
        num_classes: number of logits.
        task: "segmentation" or "classification".
        ignore_index: label of void pixels; of a loss that does not take it, they are labels as
            others.
        weight: class weights (C,).
        label_smoothing: share of the target spread over all classes.

    Raises:
        ValueError: it fails, gives no number, or does not take a setting that was chosen.
    """
    asked = f"{flag} {name_of(part)}"
    if not callable(part) or (isinstance(part, type) and not issubclass(part, nn.Module)):
        raise ValueError(
            f"{asked} is {describe_part(part)}; expected a class that derives from nn.Module, or a "
            "function of logits and labels"
        )
    chosen: dict[str, Any] = {"weight": weight} if weight is not None else {}
    chosen |= {"label_smoothing": label_smoothing} if label_smoothing else {}
    options = {} if isinstance(part, nn.Module) else chosen | {"ignore_index": ignore_index}
    options = accepted(part, options)
    for name, setting in (("weight", "--class-weights"), ("label_smoothing", "--label-smoothing")):
        if name in chosen and name not in options:
            raise ValueError(f"{asked} takes no {name}: leave out {setting}, or add the parameter")
    if isinstance(part, nn.Module):
        loss = part
    elif isinstance(part, type):
        loss = call(part, options, asked=asked)
    else:
        loss = LossFunction(part, options)
    _try_loss(loss, asked, num_classes=num_classes, task=task)
    return SumOfLosses([loss], ignore_index=ignore_index)


class LossFunction(nn.Module):
    """A function of logits and labels as a module; its options may be tensors, such as weights."""

    def __init__(self, function: Callable[..., Tensor], options: dict[str, Any]) -> None:
        super().__init__()
        self.function = function
        self.options = options

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss, a scalar."""
        options = {
            name: value.to(logits.device) if isinstance(value, Tensor) else value
            for name, value in self.options.items()
        }
        return self.function(logits, labels, **options)


def _try_loss(loss: nn.Module, asked: str, *, num_classes: int, task: str) -> None:
    pixels = (8, 8) if task == "segmentation" else ()
    with torch.random.fork_rng([]):
        logits = torch.zeros((2, num_classes, *pixels), requires_grad=True)
        labels = torch.arange(2).view(2, *(1,) * len(pixels)).expand(2, *pixels).contiguous()
        shapes = f"logits {tuple(logits.shape)} and labels {tuple(labels.shape)}"
        try:
            value: object = loss(logits, labels % num_classes)
        except Exception as error:
            raise ValueError(f"{asked} fails on {shapes}: {describe_error(error)}") from None
    if not isinstance(value, Tensor) or value.numel() != 1:
        came = tuple(value.shape) if isinstance(value, Tensor) else describe_part(value)
        raise ValueError(f"{asked} returns {came} for {shapes}; expected a tensor of one number")
    if not value.requires_grad:
        raise ValueError(
            f"{asked} returns a number without a gradient; expected one computed from the "
            "logits by PyTorch alone, without detach, item or NumPy"
        )


def build_callbacks(parts: OwnParts) -> list[Callback]:
    """Lightning's callbacks of one's own.

    Raises:
        ValueError: one is of another kind, fails, or has a state that cannot be saved.
    """
    callbacks = []
    for part in parts.callbacks:
        asked = f"--callbacks {name_of(part)}"
        is_class = isinstance(part, type) and issubclass(part, Callback)
        callback = call(part, {}, asked=asked) if is_class else part
        if not isinstance(callback, Callback):
            raise ValueError(
                f"{asked} is {describe_part(part)}; expected a class or an object of "
                "lightning.pytorch.Callback"
            )
        saved = io.BytesIO()
        torch.save(callback.state_dict(), saved)
        saved.seek(0)
        try:
            torch.load(saved, weights_only=True)
        except Exception:
            raise ValueError(
                f"{asked}: its state_dict() holds objects that a checkpoint may not hold; expected "
                "numbers, texts, tensors, lists and dictionaries"
            ) from None
        callbacks.append(callback)
    return callbacks


def build_loggers(parts: OwnParts, folder: Path) -> list[Logger]:
    """Lightning's loggers of one's own; classes are called with `save_dir`, the run's folder.

    Raises:
        ValueError: one is of another kind, or fails.
    """
    loggers = []
    for part in parts.loggers:
        asked = f"--logger {name_of(part)}"
        is_class = isinstance(part, type) and issubclass(part, Logger)
        options = accepted(part, {"save_dir": str(folder)}) if is_class else {}
        if part is WandbLogger:
            options["name"] = folder.name
        elif part is MLFlowLogger:  # all runs go to one store, which `mlflow ui` shows
            store = os.environ.get("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
            options = {"tracking_uri": store, "run_name": folder.name}
        logger = call(part, options, asked=asked) if is_class else part
        if not isinstance(logger, Logger):
            raise ValueError(
                f"{asked} is {describe_part(part)}; expected a class or an object of "
                "lightning.pytorch.loggers.Logger"
            )
        loggers.append(logger)
    return loggers
