"""Two processes on a CPU give the same results as one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tiramisu.checkpoints.checkpoint import load_model
from tiramisu.data.catalog import load_spec
from tiramisu.training.config import TrainConfig
from tiramisu.training.loading import RunData

VALIDATE = """
import json, sys
from pathlib import Path
import lightning.pytorch as pl
import torch
from tiramisu.data.catalog import load_spec
from tiramisu.training.config import TrainConfig
from tiramisu.training.loading import RunData
from tiramisu.training.losses import build_loss
from tiramisu.training.task import TrainingTask
from tiramisu.training.preparing import build_model_for

data, out, devices = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
config = TrainConfig(data=data, devices=devices, eval_batch_size=1, recalibrate=False)
spec = load_spec(data)

class MatrixSaved(TrainingTask):
    def on_validation_epoch_end(self):
        matrix = self.meter.confusion.compute()
        if self.global_rank == 0:
            out.write_text(json.dumps(matrix.tolist()))
        super().on_validation_epoch_end()

task = MatrixSaved(
    build_model_for(spec, config), config,
    loss=build_loss("cross_entropy", ignore_index=255), ignore_index=255,
    batches_per_epoch=1, train_set=RunData(spec, config).train_set,
)
trainer = pl.Trainer(
    accelerator="cpu", devices=devices, strategy="ddp" if devices > 1 else "auto", logger=False,
    use_distributed_sampler=False, enable_progress_bar=False, enable_checkpointing=False,
)
trainer.validate(task, datamodule=RunData(spec, config), verbose=False)
"""

TRAIN = """
import sys
from pathlib import Path
import lightning.pytorch as pl
import torch
from tiramisu.data.catalog import load_spec
from tiramisu.training.config import TrainConfig
from tiramisu.training.loading import RunData
from tiramisu.training.losses import build_loss
from tiramisu.training.task import TrainingTask
from tiramisu.training.preparing import build_model_for

precision, memory_efficient = sys.argv[2], sys.argv[3] == "True"
config = TrainConfig(
    data=sys.argv[1], devices=2, batch_size=3, dropout=0.0, optimizer="sgd",
    memory_efficient=memory_efficient,
)
spec = load_spec(config.data)
data = RunData(spec, config)

class WeightsSaved(TrainingTask):
    def training_step(self, batch, batch_index):
        torch.save(batch["index"], f"seen{self.global_rank}.pt")
        return super().training_step(batch, batch_index)

    def on_train_end(self):
        torch.save(dict(self.named_parameters()), f"weights{self.global_rank}.pt")

task = WeightsSaved(
    build_model_for(spec, config), config,
    loss=build_loss("cross_entropy", ignore_index=255), ignore_index=255,
    batches_per_epoch=data.batches_per_epoch, train_set=data.train_set,
)
torch.save(dict(task.named_parameters()), "before.pt")
trainer = pl.Trainer(
    accelerator="cpu", devices=2, strategy="ddp", logger=False, max_epochs=1,
    use_distributed_sampler=False, enable_progress_bar=False, enable_checkpointing=False,
    num_sanity_val_steps=0, limit_val_batches=0, precision=precision,
)
trainer.fit(task, datamodule=data)
"""


def run(arguments: list[str], cwd: Path) -> None:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_two_processes_validate_each_image_once(rectangles: Path, tmp_path: Path) -> None:
    (tmp_path / "validate.py").write_text(VALIDATE)
    matrices = []
    for devices in (1, 2):
        out = tmp_path / f"{devices}.json"
        run(["validate.py", str(rectangles), str(out), str(devices)], tmp_path)
        matrices.append(torch.tensor(json.loads(out.read_text())))
    # Three images for two processes: one of them is padded, and its padding is ignored.
    assert matrices[0].sum() == 3 * 62 * 62
    assert matrices[0].equal(matrices[1])


def test_two_processes_train_by_the_command(rectangles: Path, tmp_path: Path) -> None:
    command = "from tiramisu.cli import run; run('train')"
    (tmp_path / "train.py").write_text(command)
    flags = "--crop [32,32] --crops-per-image 1 --batch-size 2 --epochs 1 --devices 2"
    flags += " --minutes 5 --accelerator cpu"
    run(["train.py", "--data", str(rectangles), *flags.split(), "--out", "run"], tmp_path)
    folder = tmp_path / "run"
    assert load_model(folder).info.metrics["mean_iou"] > 0
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == ["run"]
    rows = (folder / "metrics.csv").read_text().splitlines()
    assert rows[1].split(",")[:2] == ["1", "1"]  # six images, two processes, pairs: one step


# In mixed precision a CPU does not take its fused path, and recomputes as GPUs do.
@pytest.mark.parametrize(
    ("precision", "memory_efficient"), [("32-true", False), ("bf16-mixed", True)]
)
def test_two_processes_learn_the_same_from_different_images(
    rectangles: Path, tmp_path: Path, precision: str, memory_efficient: bool
) -> None:
    (tmp_path / "train_twice.py").write_text(TRAIN)
    run(["train_twice.py", str(rectangles), precision, str(memory_efficient)], tmp_path)

    def load(name: str):
        return torch.load(tmp_path / f"{name}.pt", weights_only=True)

    seen = torch.cat([load("seen0"), load("seen1")])
    assert sorted(seen.tolist()) == [0, 1, 2, 3, 4, 5]
    before, first, second = load("before"), load("weights0"), load("weights1")
    name = "model.network.classifier.weight"
    assert not torch.equal(first[name], before[name])
    # Equal only if the gradients of both were averaged: each saw other images.
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("devices", [1, 2, 4])
def test_batches_per_epoch_are_the_loaders(rectangles: Path, devices: int) -> None:
    class Place:
        global_rank = 0

        class fit_loop:  # noqa: N801
            class epoch_progress:  # noqa: N801
                class current:  # noqa: N801
                    started = processed = 0

    for batch_size in (1, 2, 4, 7):
        config = TrainConfig(data=str(rectangles), devices=devices, batch_size=batch_size)
        data = RunData(load_spec(str(rectangles)), config)
        data.trainer = Place()  # type: ignore[assignment]
        assert len(data.train_dataloader()) == data.batches_per_epoch
