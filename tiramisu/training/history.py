"""The figures of every epoch of a run: metrics.csv."""

import csv
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from pydantic import Field
from torch import Tensor
from typing_extensions import TypedDict

from tiramisu.atomic import write_then_rename
from tiramisu.data.json_file import validate
from tiramisu.evaluation.scores import FIGURES, Figure
from tiramisu.training.monitor import list_figures

HISTORY_NAME = "metrics.csv"
COUNTS = ("epoch", "step")
"""Columns with whole numbers; the others are rounded to six digits."""
REMEDY = (
    "Copy the file again, or remove it: then the run can be resumed without the figures of its "
    "first epochs"
)

Row = dict[str, float]
_Count = Annotated[int, Field(ge=1)]
_Number = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Columns(TypedDict):
    """The columns beside those of the validation, which may be NaN."""

    epoch: _Count
    step: _Count
    lr: _Number
    train_loss: Annotated[float, Field(allow_inf_nan=False)]
    images_per_second: _Number
    seconds: _Number


class History(Callback):
    """Writes metrics.csv, one row per epoch; a resumed run adds to the rows of its file.

    Args:
        folder: the run's folder, which need not exist yet.
        task: "segmentation" or "classification".
        monitor: the score that decides which epoch is the best; None for the first one of the task.
        own: names of metrics of one's own.
    """

    def __init__(
        self,
        folder: Path,
        *,
        task: str,
        monitor: Figure | None = None,
        own: Sequence[str] = (),
    ) -> None:
        self.monitor = monitor or FIGURES[task][0]
        self.figures = list_figures(task, monitor)
        self.own = tuple(own)
        self.path = folder / HISTORY_NAME
        scores = [f"val_{name}" for name in (*(f.key for f in self.figures), *self.own)]
        columns = [*COUNTS, "lr", "train_loss", *scores, "images_per_second", "seconds"]
        # Older versions wrote fewer columns.
        self.rows = [
            {name: row.get(name, math.nan) for name in columns} | row
            for row in read_history(self.path)
        ]
        self.images_per_second = 0.0
        self._validated = False
        self._start, self._images, self._lr = time.monotonic(), 0, 0.0
        self._loss: Tensor | float = 0.0  # sum over the images of the epoch

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Epochs after the checkpoint are trained again, so their rows are dropped.
        self.rows = [row for row in self.rows if row["step"] <= trainer.global_step]

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start, self._images, self._loss = time.monotonic(), 0, 0.0
        self._lr = trainer.optimizers[0].param_groups[0]["lr"]
        self._validated = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._validated = True

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        images = len(batch["image"])
        # Lightning has divided the loss. It stays on the device: to read it is to wait.
        self._loss += images * trainer.accumulate_grad_batches * outputs["loss"]
        self._images += images * trainer.world_size
        self.images_per_second = self._images / (time.monotonic() - self._start)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        metrics = trainer.callback_metrics if self._validated else {}
        loss = trainer.strategy.reduce(self._loss, reduce_op="sum") / self._images
        pl_module.log("train/loss", loss)
        row = {
            "epoch": trainer.current_epoch + 1,
            "step": trainer.global_step,
            "lr": self._lr,
            "train_loss": float(loss),
            **{f"val_{f.key}": float(metrics.get(f"val/{f.key}", math.nan)) for f in self.figures},
            **{f"val_{name}": float(metrics.get(f"val/{name}", math.nan)) for name in self.own},
            "images_per_second": self.images_per_second,
            "seconds": time.monotonic() - self._start,
        }
        # As in the file, so that a resumed run goes on with the same numbers.
        self.rows.append(
            {name: v if name in COUNTS else float(f"{v:.6g}") for name, v in row.items()}
        )
        if trainer.is_global_zero:
            write_history(self.path, self.rows)

    def state_dict(self) -> dict[str, Any]:
        """What the epoch has counted so far, for a run that is stopped within it."""
        return {
            "seconds": time.monotonic() - self._start,
            "images": self._images,
            "loss": float(self._loss),
            "lr": self._lr,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._start = time.monotonic() - state_dict["seconds"]
        self._images, self._loss = state_dict["images"], state_dict["loss"]
        self._lr = state_dict["lr"]

    def check_against(self, *, epochs: int, step: int) -> None:
        """Raise ValueError if the rows are not those of a checkpoint after so many epochs."""
        # A run that was killed while it saved the checkpoint has a row more.
        done = max((row["epoch"] for row in self.rows if row["step"] <= step), default=0)
        if self.rows and done != epochs:
            raise ValueError(
                f"{self.path} does not belong to the last checkpoint: up to step {step} it has "
                f"{done:.0f} epochs, the checkpoint {epochs}. {REMEDY}"
            )

    @property
    def best(self) -> float:
        """Best value of the monitor so far; NaN before the first validation."""
        values = [row[f"val_{self.monitor.key}"] for row in self.rows]
        known = [value for value in values if not math.isnan(value)]
        choose = min if self.monitor.is_loss else max
        return choose(known, default=math.nan)


def read_history(path: Path) -> list[Row]:
    """Rows of a metrics.csv; none if there is no such file.

    Raises:
        ValueError: it is damaged; the message has the line and the column.
    """
    if not path.is_file():
        return []
    try:
        text = path.read_text(encoding="utf-8")
        lines = list(csv.DictReader(text.splitlines(), restkey="more", restval=""))
        if not lines or not text.endswith("\n"):
            raise ValueError("it ends too early")
    except (ValueError, csv.Error) as error:  # also what is not UTF-8
        raise ValueError(f"{path} is no table of numbers ({error}). {REMEDY}") from None
    rows: list[Row] = []
    for number, line in enumerate(lines, start=2):
        try:
            row = validate(dict[str, float], line)
            _check_row(row, before=rows[-1] if rows else None)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}. {REMEDY}") from None
        rows.append(row)
    return rows


def _check_row(row: Row, *, before: Row | None) -> None:
    """Raise ValueError if a row lacks a column, or does not follow the row before it."""
    validate(_Columns, row)
    figures = [f"val_{figure.key}" for figures in FIGURES.values() for figure in figures]
    if not any(name in row for name in figures):
        raise ValueError(f"missing: one of {', '.join(figures)}")
    if before is None:
        return
    if row.keys() != before.keys() or row["epoch"] != before["epoch"] + 1:
        raise ValueError(f"epoch {row['epoch']:.0f} does not follow {before['epoch']:.0f}")
    if row["step"] <= before["step"]:
        raise ValueError(f"step {row['step']:.0f} does not follow {before['step']:.0f}")


def write_history(path: Path, rows: list[Row]) -> None:
    """Write a metrics.csv, replacing an earlier one only when the new one is complete."""
    with write_then_rename(path) as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        for row in rows:
            whole = {name: int(row[name]) for name in COUNTS}
            writer.writerow({name: f"{value:.6g}" for name, value in row.items()} | whole)
