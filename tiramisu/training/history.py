"""The figures of every epoch of a run: metrics.csv."""

import csv
import math
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from tiramisu.atomic import write_then_rename
from tiramisu.evaluation.metrics import FIGURES

HISTORY_NAME = "metrics.csv"
COUNTS = ("epoch", "step")
"""Columns with whole numbers; the others are rounded to six digits."""

Row = dict[str, float]


class History(Callback):
    """Writes metrics.csv, one row per epoch; a resumed run adds to the rows of its file.

    Args:
        folder: the run's folder, which need not exist yet.
        task: "segmentation" or "classification".
    """

    def __init__(self, folder: Path, *, task: str) -> None:
        self.figures = FIGURES[task]
        self.path = folder / HISTORY_NAME
        self.rows = read_history(self.path)
        self.images_per_second = 0.0
        self._validated = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Epochs after the checkpoint are trained again, so their rows are dropped.
        self.rows = [row for row in self.rows if row["step"] <= trainer.global_step]

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start = time.monotonic()
        self._images = 0
        self._loss: Tensor | float = 0.0  # sum over the images
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

    @property
    def best(self) -> float:
        """Highest validation score so far, in percent; NaN before the first validation."""
        scores = [row[f"val_{self.figures[0].key}"] for row in self.rows]
        return max((score for score in scores if not math.isnan(score)), default=math.nan)


def read_history(path: Path) -> list[Row]:
    """Rows of a metrics.csv; none if there is no such file."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def write_history(path: Path, rows: list[Row]) -> None:
    """Write a metrics.csv, replacing an earlier one only when the new one is complete."""
    with write_then_rename(path) as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        for row in rows:
            whole = {name: int(row[name]) for name in COUNTS}
            writer.writerow({name: f"{value:.6g}" for name, value in row.items()} | whole)
