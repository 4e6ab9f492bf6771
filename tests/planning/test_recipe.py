from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from tiramisu.commands import plan as plan_command
from tiramisu.commands import train as train_command
from tiramisu.data.catalog import load_spec
from tiramisu.data.checking.check import check_dataset
from tiramisu.data.dataset import ImageDataset
from tiramisu.planning import recipe
from tiramisu.planning.facts import gather_facts
from tiramisu.planning.recipe import plan_training
from tiramisu.planning.speed import Speed, measure_speed
from tiramisu.training.config import TrainConfig


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of known speed."""
    speed = Speed(train=1e-4, predict=1e-5, train_bytes=1e4)
    monkeypatch.setattr(recipe, "measure_speed", lambda *args, **options: speed)


def test_thickness_and_shares(tmp_path: Path, rectangles: Path):
    spec = load_spec(str(rectangles))
    report = check_dataset(spec, splits=["train", "val"])
    facts = gather_facts(report, ImageDataset(spec, "train", root=None))
    assert (facts.num_train, facts.num_val, facts.height, facts.width) == (6, 3, 64, 64)
    assert facts.shares.sum() == pytest.approx(1)
    assert facts.class_names[facts.rarest] == "class_2"
    # The squares of class 2 have sides of 21 pixels: a pixel is a sixth of them from the border.
    assert facts.thickness[2] == pytest.approx(4 * 21 / 6, rel=0.1)


@pytest.mark.parametrize("width", [1, 2, 5, 12])
def test_thickness_of_a_strip(tmp_path: Path, width: int):
    for number, split in enumerate(("train", "val")):
        image, mask = np.full((64, 64, 3), number, np.uint8), np.zeros((64, 64), np.uint8)
        mask[:, 20 : 20 + width] = 1
        for folder, array in (("images", image), ("masks", mask)):
            path = tmp_path / folder / split / "a.png"
            path.parent.mkdir(parents=True)
            Image.fromarray(array).save(path)
    spec = load_spec(str(tmp_path))
    report = check_dataset(spec, splits=["train", "val"])
    facts = gather_facts(report, ImageDataset(spec, "train", root=None))
    assert facts.thinnest == 1
    assert facts.thickness[1] == pytest.approx(width, abs=1)


def test_speed_is_measured():
    speed = measure_speed(
        "fc56", channels=2, num_classes=3, side=32, batch=2, device=torch.device("cpu")
    )
    assert 1e-7 < speed.predict < speed.train < 1e-2
    assert 100 < speed.train_bytes < 1e6


def test_a_plan_of_a_folder(rectangles: Path, slow: None):
    plan = plan_training(TrainConfig(data=str(rectangles)), minutes=2)
    text = str(plan)
    for decision in plan.decisions:
        assert getattr(plan.config, decision.setting) == decision.value
        assert f"--{decision.setting.replace('_', '-')} " in text
        assert decision.reason in text
    assert plan.config.crop == (64, 64)
    assert 0.2 < plan.expected_minutes <= 2
    assert plan.config.recalibrate


def test_plan_writes_a_recipe_for_train(
    rectangles: Path, tmp_path: Path, slow: None, capsys: pytest.CaptureFixture[str]
):
    file = tmp_path / "recipe.yaml"
    argv = [str(rectangles), "--minutes", "2", "--lr", "0.01", "--recipe", str(file)]
    plan_command(argv)
    settings = yaml.safe_load(file.read_text())
    assert settings["lr"] == 0.01
    assert settings["schedule"] == "onecycle"
    with pytest.raises(ValueError, match="exists already"):
        plan_command(argv)
    capsys.readouterr()
    train_command(["--data", str(rectangles), "--minutes", "2", "--lr", "0.01", "--print_config"])
    assert yaml.safe_load(capsys.readouterr().out) == settings
    train_command(["--config", str(file), "--print_config"])
    assert yaml.safe_load(capsys.readouterr().out) == settings


def test_train_follows_a_plan(
    rectangles: Path, tmp_path: Path, slow: None, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "run"
    argv = ["--data", str(rectangles), "--epochs", "1", "--crop", "[32,32]", "--out", str(out)]
    train_command([*argv, "--crops-per-image", "1"])
    assert "This takes about" in capsys.readouterr().out
    settings = yaml.safe_load((out / "config.yaml").read_text())
    assert (settings["epochs"], settings["crop"], settings["lr"]) == (1, [32, 32], 3e-3)
    (out / "scores" / "scores.json").stat()


def test_a_recipe_takes_no_minutes():
    with pytest.raises(
        ValueError, match=r"--minutes is for data without a recipe, and .*56\.yaml is"
    ):
        train_command(["--data", "streets", "--minutes", "3"])
    with pytest.raises(ValueError, match="minutes"):
        plan_command(["streets", "--minutes", "0"])


def test_processes_that_start_together_do_not_plan(
    rectangles: Path, monkeypatch: pytest.MonkeyPatch
):
    for name, number in (("RANK", "0"), ("WORLD_SIZE", "2")):
        monkeypatch.setenv(name, number)
    with pytest.raises(ValueError, match="several processes cannot plan one training"):
        plan_training(TrainConfig(data=str(rectangles)))


def test_a_process_of_a_run_takes_its_settings(
    rectangles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    (tmp_path / "config.yaml").write_text(f"data: {rectangles}\nepochs: 37\n")
    monkeypatch.setenv("TIRAMISU_RUN_FOLDER", str(tmp_path))
    monkeypatch.setenv("LOCAL_RANK", "1")
    train_command(["--data", str(rectangles), "--minutes", "3", "--print_config"])
    assert yaml.safe_load(capsys.readouterr().out)["epochs"] == 37
