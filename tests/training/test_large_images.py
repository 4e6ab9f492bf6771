"""Training on crops of images that are larger than a tile, and what is kept where it fails."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from runs import checkpoint_weights
from tiny_data import write_pair
from torch import Tensor, nn

from tiramisu.checkpoints.checkpoint import load_model
from tiramisu.evaluation.batch_norm import cut, recalibrate_batch_norm
from tiramisu.evaluation.config import EvalConfig
from tiramisu.evaluation.evaluate_checkpoint import evaluate_checkpoint
from tiramisu.evaluation.samples import save_samples
from tiramisu.training.callbacks import WeightAverage
from tiramisu.training.config import TrainConfig
from tiramisu.training.history import read_history
from tiramisu.training.preparing import prepare
from tiramisu.training.train import fit, train

Quick = Callable[..., TrainConfig]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two images of 160x160 for training, and one for the validation; a frame of each is void."""
    root = tmp_path_factory.mktemp("large")
    label = np.pad(np.arange(158, dtype=np.uint8)[:, None] // 60 + np.zeros(158, np.uint8), 1)
    label[[0, -1]] = label[:, [0, -1]] = 255
    for seed, name in enumerate(("train/a.png", "train/b.png", "val/c.png")):
        write_pair(root / "images" / name, root / "masks" / name, label.astype(np.uint8), seed=seed)
    return root


@pytest.fixture
def large_run(quick: Quick, large: Path) -> Quick:
    """One epoch of one step on crops."""

    def make(**changes: object) -> TrainConfig:
        return quick(**{"data": str(large), "epochs": 1, "batch_size": 2, "tile": 64, **changes})

    return make


class Limit:
    """A limit for everything that a network is shown; remembers the largest side."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, side: int = 10**6) -> None:
        self.seen: set[int] = set()
        forward = nn.Module.__call__

        def limited(module: nn.Module, *args: object, **kwargs: object) -> object:
            images = args[0] if args else None
            is_network = type(module).__name__ == "FCDenseNet" and isinstance(images, Tensor)
            if is_network and images.device.type != "meta":
                self.seen.add(max(images.shape[-2:]))
                if max(images.shape[-2:]) > side:
                    raise torch.OutOfMemoryError("out of memory")
            return forward(module, *args, **kwargs)

        monkeypatch.setattr(nn.Module, "__call__", limited)


def test_no_part_of_a_run_shows_more_than_a_tile(
    large_run: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = Limit(monkeypatch)
    run = train(large_run(recalibrate=True))
    assert limit.seen == {32, 64}
    assert (run.folder / "samples.png").is_file()
    assert run.scores is not None
    assert run.scores.matrix.sum() == 158 * 158
    limit.seen.clear()
    settings = {"checkpoint": str(run.folder), "accelerator": "cpu", "tile": 64}
    evaluate_checkpoint(EvalConfig(**settings, mc_dropout=2))
    assert limit.seen == {64}
    assert list(run.folder.glob("eval/*_mc2/uncertainty.png"))
    evaluate_checkpoint(EvalConfig(**settings, bn="recalibrated"))
    # 160 pixels are cut in two for batch norm, whose parts have 128 pixels or less.
    assert limit.seen == {64, 80}
    limit.seen.clear()
    evaluate_checkpoint(EvalConfig(**settings, tta=True))
    assert limit.seen == {64}


def test_memory_that_runs_out_in_the_validation_makes_smaller_tiles(
    large_run: Quick, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    Limit(monkeypatch, side=128)
    run = train(large_run(tile=150))
    assert run.scores is not None
    assert run.scores.matrix.sum() == 158 * 158
    assert "out of memory with tiles of 150 pixels; going on with 128" in caplog.text


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_an_epoch_is_kept_if_its_validation_runs_out_of_memory(
    large_run: Quick, monkeypatch: pytest.MonkeyPatch, ema_decay: float
) -> None:
    averages: list[int] = []
    on_save = WeightAverage.on_save_checkpoint
    monkeypatch.setattr(
        WeightAverage,
        "on_save_checkpoint",
        lambda self, *args: averages.append(self._is_swapped) or on_save(self, *args),
    )
    with monkeypatch.context() as patched:
        Limit(patched, side=100)
        prepared = prepare(large_run(tile="off", ema_decay=ema_decay))
        message = (
            r"the memory is too small for the validation, though not for the training: go on with "
            r"--resume .*run, with --tile auto, or where more memory is free"
        )
        with pytest.raises(ValueError, match=message):
            fit(prepared)
    assert averages == [False] * bool(ema_decay)
    folder = prepared.folder
    (row,) = read_history(folder / "metrics.csv")
    assert row["val_miou"] != row["val_miou"]
    assert checkpoint_weights(folder)
    assert (folder / "model.safetensors").is_file()
    # The epoch is complete, and goes on with tiles.
    run = train(large_run(tile=64, ema_decay=ema_decay, epochs=2, resume=str(folder)))
    assert [row["epoch"] for row in run.history] == [1, 2]
    assert run.scores is not None


def test_an_epoch_is_kept_if_its_validation_fails_otherwise(
    large_run: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = prepare(large_run(epochs=2, check_data=False))
    read = prepared.data.val_set.read_scaled
    monkeypatch.setattr(prepared.data.val_set, "preload", lambda **_: None)

    def fail(index: int) -> object:
        raise ValueError("a.png is damaged") if prepared.trainer.global_step else read(index)

    monkeypatch.setattr(prepared.data.val_set, "read_scaled", fail)
    with pytest.raises(ValueError, match=r"the validation failed: a\.png is damaged\. .*--resume"):
        fit(prepared)
    assert len(read_history(prepared.folder / "metrics.csv")) == 1
    assert load_model(prepared.folder)


def test_memory_that_runs_out_in_training_leaves_nothing(
    large_run: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    Limit(monkeypatch, side=16)
    prepared = prepare(large_run())
    with pytest.raises(ValueError, match=r"too small for this training: give a smaller --batch-s"):
        fit(prepared)
    assert not prepared.folder.exists()
    whole = prepare(large_run(crop=None, batch_size=1))
    with pytest.raises(ValueError, match=r"give a --crop, such as --crop \[256,256\], a smaller"):
        fit(whole)


def test_memory_that_runs_out_in_the_evaluation_leaves_the_model(
    large_run: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = prepare(large_run(val_every=2))  # no validation before the evaluation
    fit(prepared)
    Limit(monkeypatch, side=16)
    with pytest.raises(ValueError, match=r"too small to evaluate the trained model"):
        train(large_run(resume=str(prepared.folder), val_every=2))
    assert (prepared.folder / "model.safetensors").is_file()
    settings = EvalConfig(checkpoint=str(prepared.folder), accelerator="cpu", bn="recalibrated")
    with pytest.raises(ValueError, match="out of memory in the evaluation; give a smaller --batch"):
        evaluate_checkpoint(settings)


def test_parts_for_batch_norm_cover_the_image_once() -> None:
    image = torch.arange(300 * 129).view(1, 1, 300, 129)
    parts = list(cut(image, side=64))  # counts as 128
    assert sorted(torch.cat([part.flatten() for part in parts]).tolist()) == list(range(300 * 129))
    sides = {side for part in parts for side in part.shape[-2:]}
    assert min(sides) >= 64
    assert max(sides) <= 128
    assert [part.shape for part in cut(image, side=None)] == [image.shape]


def test_batch_norm_is_measured_with_smaller_parts_where_memory_runs_out(
    large: Path, large_run: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = prepare(large_run())
    limit = Limit(monkeypatch, side=100)
    model = recalibrate_batch_norm(prepared.task.model, prepared.data.val_set)
    assert max(limit.seen) == 160
    assert 80 in limit.seen
    save_samples(model.eval(), prepared.data.val_set, large / "samples.png", tile=64)
