"""Cross-validation, and the split that a run keeps."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_data import write_rectangles

from tiramisu.checkpoints.checkpoint import load_model
from tiramisu.checkpoints.trained_on import find_data
from tiramisu.data.dataset import ImageDataset
from tiramisu.data.splitting.split_record import read_record
from tiramisu.inference.ensemble import Ensemble
from tiramisu.inference.load import load_predictor
from tiramisu.training import folds as folds_module
from tiramisu.training.config import TrainConfig
from tiramisu.training.folds import train_folds
from tiramisu.training.preparing import prepare
from tiramisu.training.train import train

Quick = Callable[..., TrainConfig]


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    """Seven images without a split."""
    write_rectangles(tmp_path / "source", "train", count=7, seed=1)
    for kind in ("images", "masks"):
        shutil.move(tmp_path / "source" / kind / "train", tmp_path / "flat" / kind)
    return tmp_path / "flat"


def test_folds_are_trained_scored_together_and_resumed(
    quick: Quick, flat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    config = quick(data=str(flat), epochs=1, max_steps=1, keep="last", folds=2)
    result = train_folds(config)
    assert result.folder == tmp_path / "run"
    assert "2 folds and all samples together (in %)" in capsys.readouterr().out

    vals = [read_record(result.folder / f"fold{k}/split.yaml").val for k in (1, 2)]
    assert sorted(vals[0] + vals[1]) == [f"train{i}" for i in range(7)]
    # Each pixel is counted once, by the fold that did not learn it.
    files = [
        json.loads((result.folder / f"fold{k}/scores/scores.json").read_text()) for k in (1, 2)
    ]
    matrices = [np.array(file["confusion_matrix"]) for file in files]
    assert (result.scores.matrix == matrices[0] + matrices[1]).all()
    assert result.scores.matrix.sum() == 7 * 62 * 62
    saved = json.loads((result.folder / "scores/scores.json").read_text())
    assert saved["images"] == 7
    figures = [file["mean_iou"] for file in files]
    spread = saved["folds"]["mean_iou"]
    assert spread["folds"] == pytest.approx(figures, abs=1e-5)
    assert spread["mean"] == pytest.approx(np.mean(figures), abs=1e-5)
    assert spread["std"] == pytest.approx(np.std(figures, ddof=1), abs=1e-5)
    assert list(saved["folds"]["iou"]) == ["class_0", "class_1", "class_2"]

    ensemble = load_predictor(result.folder, accelerator="cpu")
    assert isinstance(ensemble, Ensemble)
    assert len(ensemble.members) == 2

    trained = []
    monkeypatch.setattr(folds_module, "train", lambda config: trained.append(config))
    again = train_folds(quick(**{**changes(config), "resume": str(result.folder), "out": None}))
    assert trained == []
    assert (again.scores.matrix == result.scores.matrix).all()
    (result.folder / "fold2/scores/scores.json").unlink()
    with pytest.raises(FileNotFoundError):  # nothing was trained here, so it is still missing
        train_folds(quick(**{**changes(config), "resume": str(result.folder), "out": None}))
    assert [c.resume for c in trained] == [str(result.folder / "fold2")]


def changes(config: TrainConfig) -> dict[str, object]:
    return {n: getattr(config, n) for n in ("data", "epochs", "max_steps", "keep", "folds")}


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ({"folds": 3, "fold": 1}, "--fold 1 is one of the folds, and `folds` trains all"),
        ({"val_fraction": 0.3}, "--folds and --val-fraction are two ways"),
        ({"split_file": "x.yaml"}, "--split-file names"),
        ({"val_split": "holdout"}, "--val-split is holdout; folds are made of train and val"),
        ({"folds": 8}, r"too few samples in train \(7\) for 8 folds"),
    ],
)
def test_settings_that_do_not_fit(
    quick: Quick, flat: Path, tmp_path: Path, setting: dict[str, object], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        train_folds(quick(data=str(flat), **setting))
    assert not (tmp_path / "run").exists()


def test_a_run_keeps_its_split(quick: Quick, flat: Path, tmp_path: Path) -> None:
    settings = quick(data=str(flat), epochs=1, max_steps=1, keep="last", split_seed=4)
    folder = train(settings).folder
    record = read_record(folder / "split.yaml")
    assert (record.seed, record.val_fraction, len(record.train), len(record.val)) == (4, 0.2, 6, 1)

    write_rectangles(tmp_path / "more", "new", count=9, seed=5)
    for kind in ("images", "masks"):
        shutil.copytree(tmp_path / "more" / kind / "new", flat / kind, dirs_exist_ok=True)
    info = load_model(folder).info
    for checkpoint in (folder, folder / "checkpoints/last.ckpt"):
        _, spec, root = find_data(info, checkpoint=checkpoint, data=None, data_root=None)
        for split, names in (("train", record.train), ("val", record.val)):
            assert tuple(ImageDataset(spec, split, root=root).names) == names

    resumed = quick(data=str(flat), epochs=3, keep="last", split_seed=4, resume=str(folder))
    (folder / "config.yaml").write_text(
        (folder / "config.yaml").read_text().replace("max_steps: 1", "max_steps: null")
    )
    data = prepare(resumed).data
    assert (tuple(data.train_set.names), tuple(data.val_set.names)) == (record.train, record.val)

    file = str(folder / "split.yaml")
    other = prepare(quick(data=str(flat), split_file=file, seed=2, out=str(tmp_path / "other")))
    assert tuple(other.data.val_set.names) == record.val
    assert other.spec.record == record

    for kind in ("images", "masks"):
        (flat / f"{kind}/{record.train[0]}.png").unlink()
    with pytest.raises(ValueError, match=rf"split\.yaml: 1 of its 7 samples .*{record.train[0]}"):
        find_data(info, checkpoint=folder, data=None, data_root=None)


def test_data_with_a_val_leave_no_split_in_the_run(quick: Quick) -> None:
    folder = train(quick(epochs=1, max_steps=1, keep="last")).folder
    assert not (folder / "split.yaml").exists()
