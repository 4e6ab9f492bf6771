"""Metrics of one's own: classes of torchmetrics, and functions of the confusion matrix."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torchmetrics import Metric

from tiramisu.own_parts import accepted, call, describe_error, describe_part, name_of
from tiramisu.text import in_one_line

Matrix = npt.NDArray[np.int64]


class OwnMetrics(nn.Module):
    """Collects predictions in metrics of one's own.

    A function gets the confusion matrix, int64 (C, C), with rows for ground truth, and gives a
    number. A class of torchmetrics is called with those of num_classes and ignore_index that it
    takes. If it takes ignore_index, it is updated with classes and labels (B, H, W), int64;
    otherwise with those of the labelled pixels, (N,).

    Args:
        parts: the functions and classes, or objects of these classes.
        num_classes: number of logits.
        ignore_index: label of void pixels.
        shared: whether several processes share the split; their counts are then added up.

    Raises:
        ValueError: one is of another kind, fails, or gives no number; two have the same name.
    """

    def __init__(
        self, parts: Sequence[Any], *, num_classes: int, ignore_index: int, shared: bool
    ) -> None:
        super().__init__()
        self.ignore_index = ignore_index
        self.functions: dict[str, Callable[[Matrix], Any]] = {}
        self.metrics = nn.ModuleDict()
        self.takes_void: dict[str, bool] = {}
        options = {"num_classes": num_classes, "ignore_index": ignore_index}
        for name, part in zip(metric_names(parts), parts, strict=True):
            asked = f"--metrics {name_of(part)}"
            is_class = isinstance(part, type) and issubclass(part, Metric)
            if is_class or isinstance(part, Metric):
                taken = accepted(part, options) if is_class else {}
                metric = call(part, taken, asked=asked) if is_class else part
                # Its own class may not take the keyword; torchmetrics keeps the value twice.
                metric.sync_on_compute = metric._to_sync = shared
                self.metrics[name] = metric
                ignored = getattr(metric, "ignore_index", None)
                self.takes_void[name] = "ignore_index" in taken or ignored == ignore_index
            elif callable(part) and not isinstance(part, type):
                self.functions[name] = part
            else:
                raise ValueError(
                    f"{asked} is {describe_part(part)}; expected a class of torchmetrics, or a "
                    "function of the confusion matrix"
                )
        self._try(num_classes)

    def update(self, classes: Tensor, labels: Tensor) -> None:
        """Add predicted classes and labels, integers (B, H, W) or (B,)."""
        if not self.metrics:
            return
        classes, labels = classes.long(), labels.long()
        known = labels != self.ignore_index
        for name, metric in self.metrics.items():
            if self.takes_void[name]:
                metric.update(classes, labels)  # type: ignore[operator]
            else:
                metric.update(classes[known], labels[known])  # type: ignore[operator]

    def compute(self, matrix: Matrix) -> dict[str, float]:
        """The value of each metric by its name, given the confusion matrix."""
        values: dict[str, float] = {}
        for name, function in self.functions.items():
            values[name] = float(function(matrix))
        for name, metric in self.metrics.items():
            values[name] = float(metric.compute())  # type: ignore[operator]
        return values

    def merge(self, other: "OwnMetrics") -> None:
        """Add what others of the same kind have collected.

        Raises:
            ValueError: a metric cannot be added up.
        """
        for name, metric in self.metrics.items():
            try:
                metric.merge_state(other.metrics[name])  # type: ignore[operator]
            except (RuntimeError, ValueError) as error:
                raise ValueError(
                    f"--metrics {name} cannot be added up over processes ({in_one_line(error)}); "
                    "evaluate in one process"
                ) from None

    def reset(self) -> None:
        """Forget all that was added."""
        for metric in self.metrics.values():
            metric.reset()  # type: ignore[operator]

    def _try(self, num_classes: int) -> None:
        """Raise ValueError unless each metric gives a number for a tiny prediction."""
        example = torch.arange(num_classes).view(1, 1, -1)  # (B, H, W)
        with torch.random.fork_rng([]):
            for name in [*self.functions, *self.metrics]:
                try:
                    if name in self.functions:
                        value = self.functions[name](np.eye(num_classes, dtype=np.int64))
                    else:
                        metric: Any = self.metrics[name]
                        known = example if self.takes_void[name] else example.flatten()
                        metric.update(known, known)
                        value = metric.compute()
                        metric.reset()
                except Exception as error:
                    raise ValueError(f"--metrics {name} fails: {describe_error(error)}") from None
                _check_number(value, name)


def _check_number(value: Any, name: str) -> None:
    """Raise ValueError unless the value of a metric is one number."""
    try:
        float(value)
    except (TypeError, ValueError, RuntimeError):
        shape = getattr(value, "shape", None)
        came = describe_part(value) if shape is None else f"values of the shape {tuple(shape)}"
        raise ValueError(f"--metrics {name} gives {came}; expected one number") from None


def metric_names(parts: Sequence[Any]) -> list[str]:
    """The name of each metric in tables: that of the function or class.

    Raises:
        ValueError: two are the same.
    """
    names = []
    for part in parts:
        name = name_of(part).rpartition(":")[2].rpartition(".")[2]
        name = re.sub(r"\W", "", name)
        if name in names:
            raise ValueError(f"--metrics: two are called {name}; expected different names")
        names.append(name)
    return names
