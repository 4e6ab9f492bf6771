"""What a run shows and writes while it trains: a progress bar, and a row of figures per epoch."""

import csv
import math
import sys
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from tqdm import tqdm

from tiramisu.evaluation.metrics import FIGURES

HISTORY_NAME = "metrics.csv"


class History(Callback):
    """Writes metrics.csv, a row for each epoch; a resumed run goes on with its earlier rows."""

    def __init__(self, folder: Path, *, task: str) -> None:
        self.task = task
        self.figures = FIGURES[task]
        self.path = folder / HISTORY_NAME
        self.rows = read_history(self.path)
        self.images_per_second = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # What the checkpoint has not seen is trained again, so its rows, if there are any, go.
        self.rows = [row for row in self.rows if row["step"] <= trainer.global_step]

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._start = time.monotonic()
        self._images = 0
        self._lr = trainer.optimizers[0].param_groups[0]["lr"]
        self._validated = False

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._validated = True

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        self._images += len(batch["image"]) * trainer.world_size
        self.images_per_second = self._images / (time.monotonic() - self._start)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        metrics = trainer.callback_metrics if self._validated else {}
        nan = float("nan")
        row = {
            "epoch": trainer.current_epoch + 1,
            "step": trainer.global_step,
            "lr": self._lr,
            "train_loss": float(trainer.callback_metrics["train/loss"]),
            **{f"val_{f.key}": float(metrics.get(f"val/{f.key}", nan)) for f in self.figures},
            "images_per_second": self.images_per_second,
            "seconds": time.monotonic() - self._start,
        }
        self.rows.append(row)
        if trainer.is_global_zero:
            write_history(self.path, self.rows)

    @property
    def best(self) -> float:
        """Highest validation score so far, in percent; NaN before the first validation."""
        scores = [row[f"val_{self.figures[0].key}"] for row in self.rows]
        return max((score for score in scores if not math.isnan(score)), default=float("nan"))


def read_history(path: Path) -> list[dict[str, float]]:
    """Rows of a metrics.csv; none where there is no such file."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def write_history(path: Path, rows: list[dict[str, float]]) -> None:
    """Write a metrics.csv anew, complete or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        for row in rows:
            whole = {name: int(row[name]) for name in ("epoch", "step")}
            writer.writerow({name: f"{value:.6g}" for name, value in row.items()} | whole)
    partial.replace(path)


class BestCheckpoint(ModelCheckpoint):
    """Keeps best.ckpt, the epoch with the highest score, wherever the run's folder is moved."""

    def __init__(self, folder: Path, *, monitor: str) -> None:
        super().__init__(
            folder,
            filename="best",
            monitor=monitor,
            mode="max",
            save_on_train_epoch_end=False,
            enable_version_counter=False,
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if state_dict["best_model_score"] is None:  # it was stopped before its first validation
            return
        # Lightning forgets the best score where the folder has another path than it had.
        assert self.dirpath is not None
        best = str(Path(self.dirpath) / "best.ckpt")
        moved = {
            "dirpath": self.dirpath,
            "best_model_path": best,
            "kth_best_model_path": best,
            "best_k_models": dict.fromkeys([best], state_dict["best_model_score"]),
        }
        super().load_state_dict({**state_dict, **moved})


class Progress(Callback):
    """One bar over the whole run with the time left, and a line for each epoch.

    Where the output is no terminal (a log file), only the lines appear.
    """

    def __init__(self, history: History) -> None:
        self.history = history

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._loss = float("nan")
        self._bar = tqdm(
            total=int(trainer.estimated_stepping_batches),
            initial=trainer.global_step,
            disable=not (trainer.is_global_zero and sys.stderr.isatty()),
            dynamic_ncols=True,
            smoothing=0.05,
            bar_format="{desc} {percentage:3.0f}% |{bar}| {elapsed} < {remaining}{postfix}",
        )

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        best = self.history.best
        loss = float(outputs["loss"].detach())
        self._loss = loss if math.isnan(self._loss) else 0.95 * self._loss + 0.05 * loss
        self._bar.set_description_str(
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}", refresh=False
        )
        self._bar.set_postfix_str(
            f"loss {self._loss:.3f}, {self.history.images_per_second:.1f} img/s"
            + ("" if math.isnan(best) else f", val {self.history.figures[0].name} {best:.1f}"),
            refresh=False,
        )
        self._bar.update(trainer.global_step - self._bar.n)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._bar.set_description_str("validating")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        rows = self.history.rows
        row = rows[-1]
        seconds_per_step = sum(r["seconds"] for r in rows) / row["step"]
        left = (trainer.estimated_stepping_batches - row["step"]) * seconds_per_step
        line = f"epoch {row['epoch']:>3.0f}/{trainer.max_epochs}   loss {row['train_loss']:6.3f}   "
        figure = self.history.figures[0]
        score = row[f"val_{figure.key}"]
        if not math.isnan(score):
            line += f"val {figure.name} {score:4.1f} (best {self.history.best:.1f})   "
        line += f"{row['images_per_second']:.1f} img/s   {tqdm.format_interval(left)} left"
        tqdm.write(line, file=sys.stdout)
        sys.stdout.flush()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._bar.close()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        if hasattr(self, "_bar"):
            self._bar.close()
