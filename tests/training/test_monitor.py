"""The score that decides which epoch is the best, in all that follows it."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tiramisu.checkpoints.model_files import read_checkpoint
from tiramisu.data.catalog import load_spec
from tiramisu.data.spec import DatasetSpec
from tiramisu.evaluation.scores import LOSS, score
from tiramisu.training.config import TrainConfig
from tiramisu.training.history import History, read_history, write_history
from tiramisu.training.monitor import find_monitor
from tiramisu.training.train import train
from tiramisu.training.trainer import build_trainer

Quick = Callable[..., TrainConfig]


@pytest.fixture
def spec(rectangles: Path) -> DatasetSpec:
    return load_spec(str(rectangles))


def test_scores_are_found_by_their_names(spec: DatasetSpec) -> None:
    scores = score(np.array([[3, 1, 0], [2, 2, 0], [0, 0, 1]]))
    for name, expected in {
        "mean_iou": 100 * scores.mean_iou,
        "accuracy": 100 * 6 / 9,
        "mean_dice": 100 * scores.mean_dice,
        "iou/class_1": 40,
        "dice/class_1": 400 / 7,
        "precision/class_0": 60,
        "recall/class_0": 75,
    }.items():
        assert find_monitor(name, spec).read(scores) == pytest.approx(expected, abs=1e-6), name
    assert find_monitor("loss", spec) == LOSS
    recall = find_monitor("recall/car", load_spec("objects"))
    assert (recall.attribute, recall.class_index, recall.is_loss) == ("recall", 0, False)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("iou/clas_1", "expected iou/ and a class of rectangles0: class_0, class_1, class_2; did "),
        ("iou", "expected iou/ and a class"),
        (
            "mean_iuo",
            "; expected mean_iou, .* iou/, dice/, precision/ or recall/ and a class, ",
        ),
        ("top1", "expected mean_iou"),
    ],
)
def test_unknown_scores_are_refused_before_the_run(quick: Quick, name: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"--monitor is {name}.*{message}"):
        train(quick(monitor=name))
    assert not Path(str(quick().out)).exists()


@pytest.mark.parametrize("name", ["loss", "iou/class_2"])
def test_best_epoch_log_and_table_follow_the_monitor(quick: Quick, name: str, capsys) -> None:
    run = train(quick(monitor=name, epochs=4, lr=2e-2, schedule="constant"))
    values = [row[f"val_{name}"] for row in run.history]
    best = min(values) if name == "loss" else max(values)
    state = read_checkpoint(run.folder / "checkpoints" / "best.ckpt")
    assert state["epoch"] == values.index(best)
    printed = capsys.readouterr().out
    shown = {"loss": f"{best:.3f}", "iou/class_2": f"{best:.1f}"}[name]
    label = {"loss": "loss", "iou/class_2": "IoU of class_2"}[name]
    assert f"val {label} " in printed
    assert f"(best {shown})" in printed
    columns = (run.folder / "metrics.csv").read_text().splitlines()[0].split(",")
    extra = [] if name == "loss" else ["val_iou/class_2"]
    assert columns[4:] == [
        *("val_loss", "val_miou", "val_accuracy"),
        *extra,
        "images_per_second",
        "seconds",
    ]
    # The published model is evaluated again on the same images.
    assert run.scores is not None
    again = run.scores.cross_entropy if name == "loss" else 100 * run.scores.iou[2]
    assert again == pytest.approx(best, rel=1e-4)


def test_a_resumed_run_goes_on_with_its_monitor(quick: Quick) -> None:
    folder = train(quick(monitor="loss", epochs=1)).folder
    path = folder / "checkpoints" / "last.ckpt"
    state = torch.load(path, weights_only=True)
    (name,) = (n for n in state["callbacks"] if n.startswith("BestCheckpoint"))
    state["callbacks"][name]["best_model_score"] = torch.tensor(0.0)  # no epoch can beat it
    torch.save(state, path)
    best = (folder / "checkpoints" / "best.ckpt").read_bytes()
    train(quick(monitor="loss", epochs=2, resume=str(folder)))
    assert (folder / "checkpoints" / "best.ckpt").read_bytes() == best
    with pytest.raises(ValueError, match="--monitor is mean_iou, but the run"):
        train(quick(epochs=3, resume=str(folder)))


def test_a_table_of_an_older_version_gets_the_new_columns(quick: Quick) -> None:
    folder = train(quick(epochs=1)).folder
    path = folder / "metrics.csv"
    old = [{k: v for k, v in row.items() if k != "val_loss"} for row in read_history(path)]
    write_history(path, old)
    rows = train(quick(epochs=2, resume=str(folder))).history
    assert math.isnan(rows[0]["val_loss"])
    assert rows[1]["val_loss"] > 0
    assert [math.isnan(row["val_loss"]) for row in read_history(path)] == [True, False]
    assert list(rows[0]) == list(rows[1])


@pytest.mark.parametrize(("name", "mode"), [("loss", "min"), ("iou/class_1", "max")])
def test_patience_follows_the_monitor(
    quick: Quick, tmp_path: Path, spec: DatasetSpec, name: str, mode: str
) -> None:
    history = History(tmp_path, task="segmentation", monitor=find_monitor(name, spec))
    trainer = build_trainer(quick(patience=2), tmp_path, history)
    stopping = trainer.early_stopping_callback
    assert stopping is not None
    assert (stopping.monitor, stopping.mode) == (f"val/{name}", mode)
    # A class that an epoch neither has nor predicts is no reason to stop at once.
    trainer.callback_metrics[f"val/{name}"] = torch.tensor(math.nan)
    stopping._run_early_stopping_check(trainer)
    assert not trainer.should_stop
    assert stopping.wait_count == 1


def test_best_of_a_loss_is_the_lowest(tmp_path: Path) -> None:
    history = History(tmp_path, task="segmentation", monitor=LOSS)
    assert math.isnan(history.best)
    history.rows = [{"val_loss": value} for value in (0.5, 0.25, math.nan, 0.75)]
    assert history.best == 0.25
