"""What users do wrong: one clear line, exit code 2, no traceback, and nothing overwritten."""

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from tiramisu import cli
from tiramisu.checkpoints.checkpoint import save_model
from tiramisu.checkpoints.info import ModelInfo
from tiramisu.checkpoints.model import SegmentationModel
from tiramisu.training.config import TrainConfig
from tiramisu.training.run_settings import save_config

Run = Callable[..., str]


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command that must fail; returns what it printed."""
    monkeypatch.delenv("TIRAMISU_TRACEBACK", raising=False)

    def run(command: str, *argv: object) -> str:
        with pytest.raises(SystemExit) as exit_info:
            cli.run(command, [str(a) for a in argv])
        assert exit_info.value.code == 2
        shown = capsys.readouterr().err
        assert "Traceback" not in shown
        prefix = f"tiramisu {command}: error: "
        assert shown.count("error: ") == 1
        message = shown[shown.index(prefix) :].strip()
        # One line; only the report on a data set goes on, a line for each problem.
        assert all(line.startswith("  ") for line in message.splitlines()[1:])
        return message

    return run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A bare folder with two images each for training and validation."""
    root = tmp_path / "data"
    for first, split in ((0, "train"), (2, "val")):
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True)
        for i in range(2):
            rng = np.random.default_rng(first + i)
            image = rng.integers(0, 256, (64, 64, 3), np.uint8)
            Image.fromarray(image).save(root / "images" / split / f"{split}{i}.png")
            label = rng.integers(0, 3, (64, 64)).astype(np.uint8)
            Image.fromarray(label).save(root / "masks" / split / f"{split}{i}.png")
    return root


@pytest.fixture
def model(tmp_path: Path) -> Path:
    info = ModelInfo(
        arch="fc56", class_names=("a", "b", "c"), colors=((0, 0, 0), (9, 9, 9), (99, 99, 99))
    )
    save_model(SegmentationModel.build(info), tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--arch", "fc57"], "fc67"),
        (
            ["--arch", "densenet121"],
            "densenet121 is for classification, and train for segmentation",
        ),
        (["--data", "objects"], "use `tiramisu train_cls`"),
        (["--data", "camvidd"], "there is no file camvidd"),
        (["--data", ""], "--data is ''; expected printable text"),
        (["--data", "camvid", "--data-root", "nowhere"], "nowhere"),
        (["--lr", "fast"], "--lr is fast; expected a number"),
        (
            ["--crop", "32"],
            "--crop is 32; expected two numbers, 32 to 16384, such as [224,224], or null",
        ),
        (["--scale", "2"], "--scale is 2; expected two numbers"),
        (["--epochs", "1.5"], "--epochs is 1.5; expected a whole number"),
        (["--flip", "perhaps"], "--flip is perhaps; expected true or false"),
        (["--cache", "perhaps"], "--cache is perhaps; expected auto, yes, no"),
        (
            ["--num-workers", "many"],
            "--num-workers is many; expected a whole number, 0 to 256, or auto",
        ),
        (
            ["--final-epochs", "1", "--final-loss", "x"],
            "--final-loss is x; expected cross_entropy,",
        ),
        (["--lr", "-1"], "--lr"),
        (["--optimizer", "adamx"], "adamw"),
        (["--class-weights", "[1,x]"], "or a list of numbers, 0 to 1000, such as [0.2,0.8]"),
        (["--class-weights", "[1,2]"], "--class-weights is [1.0, 2.0]; expected 11 numbers, one"),
        (["--loss", "dice", "--class-weights", "capped"], "one with cross_entropy or bce, which"),
        (["--loss", "bce", "--label-smoothing", "0.1"], "one with cross_entropy, which"),
        (["--loss", "dice+bce"], "--loss is dice+bce; expected cross_entropy, cross_entropy+dice,"),
        (["--flip", "up"], "expected true or false, or horizontal, vertical, both"),
        (["--rotate", "45"], "--rotate is 45; expected 0, 90"),
        (["--resize", "[64,64]", "--image-scale", "0.5"], "give one of the two"),
        (["--monitor", "iou/rod"], "did you mean iou/"),
        (["--bogus", "1"], "--bogus"),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
        (["--resume", "nowhere"], "nowhere"),
        (["--init-from", "nowhere"], "nowhere"),
        (["--train-split", "dev"], "dev"),
        (["--accelerator", "cpu", "--precision", "fp16"], "fp16"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_train(argv: list[str], expected: str, fails: Run, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert expected in fails("train", *argv)
    assert list(tmp_path.iterdir()) == []


def test_unknown_key_of_a_config_file_is_named(fails: Run, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("arch: fc56\nlearning_rate: 0.1\n")
    assert "learning_rate" in fails("train", "--config", tmp_path / "c.yaml")


def test_labels_that_do_not_fit_are_all_listed(fails: Run, data: Path, tmp_path: Path) -> None:
    (data / "classes.txt").write_text("sky\nroad\n")
    line = fails("train", "--data", data, "--out", tmp_path / "run")
    assert all(f"masks/{split}/{split}0.png" in line for split in ("train", "val"))
    assert not (tmp_path / "run").exists()


def test_corrupt_image_is_named_before_training(fails: Run, data: Path, tmp_path: Path) -> None:
    path = data / "images" / "val" / "val1.png"
    path.write_bytes(path.read_bytes()[:300])
    assert "val1.png" in fails("train", "--data", data, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_out_that_exists(fails: Run, data: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "x").write_text("precious")
    assert "--resume" in fails("train", "--data", data, "--out", tmp_path / "run")
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["x"]


@pytest.mark.parametrize("command", ["eval", "predict"])
def test_checkpoints(command: str, fails: Run, data: Path, model: Path, tmp_path: Path) -> None:
    inputs = [data / "images" / "val"] if command == "predict" else []
    more = [*inputs, "--out", tmp_path / "out"]
    assert "nowhere" in fails(command, *more, "--checkpoint", tmp_path / "nowhere")
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    assert "truncated" in fails(command, *more, "--checkpoint", model)
    (tmp_path / "x.ckpt").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    assert "x.ckpt" in fails(command, *more, "--checkpoint", tmp_path / "x.ckpt")
    assert not (tmp_path / "out").exists()


def test_checkpoint_is_required(fails: Run) -> None:
    assert "--checkpoint is missing" in fails("eval")
    assert "--checkpoint is missing" in fails("predict", "x.jpg")
    assert "INPUT is missing" in fails("predict", "--checkpoint", "x")


def test_predict_goes_on_past_a_corrupt_image(
    fails: Run, data: Path, model: Path, tmp_path: Path
) -> None:
    folder = data / "images" / "val"
    (folder / "broken.png").write_bytes(b"no image")
    line = fails("predict", folder, "--checkpoint", model, "--out", tmp_path / "out")
    assert "broken.png" in line
    made = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert len([name for name in made if name.endswith("_mask.png")]) == 2


def test_predictions_are_not_overwritten(
    fails: Run, data: Path, model: Path, tmp_path: Path
) -> None:
    arguments = ("predict", [str(data / "images" / "val" / "val0.png"), "--checkpoint", str(model)])
    arguments[1].extend(["--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as exit_info:
        cli.run(*arguments)
    assert exit_info.value.code == 0
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").iterdir()}
    assert "--overwrite" in fails("predict", *arguments[1])
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "out").iterdir()}


@pytest.mark.parametrize("command", ["check", "download"])
def test_data_commands(command: str, fails: Run) -> None:
    assert "camvid" in fails(command, "camvidd")
    assert "cityscapes" in fails(command, "cityscapes", "--data-root", "nowhere")


def test_summary_of_an_unknown_network(fails: Run) -> None:
    assert "fc103" in fails("summary", "--arch", "fc104")


def test_unknown_command(capsys, monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["tiramisu", "trian"])
    with pytest.raises(SystemExit) as exit_info:
        cli.main()
    assert exit_info.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("tiramisu: error: unknown command 'trian'; expected one of train, plan")
    assert line.endswith("download; did you mean train?")


@pytest.mark.parametrize("argv", [[], ["--help"], ["eval", "--help"], ["trian"]], ids=str)
def test_python_runs_the_package_as_the_command(argv: list[str], capsys, monkeypatch) -> None:
    shown = []
    for start in (cli.main, lambda: runpy.run_module("tiramisu", run_name="__main__")):
        monkeypatch.setattr(sys, "argv", ["__main__.py", *argv])
        with pytest.raises(SystemExit) as exit_info:
            start()
        shown.append((exit_info.value.code, *capsys.readouterr()))
    assert shown[0] == shown[1]
    assert "__main__" not in str(shown)


def test_settings_come_from_recipe_then_file_then_flags(capsys, tmp_path: Path) -> None:
    def resolved(*argv: str) -> dict:
        with pytest.raises(SystemExit) as exit_info:
            cli.run("train", [*argv, "--print_config"])
        assert exit_info.value.code == 0
        return yaml.safe_load(capsys.readouterr().out)

    assert resolved("--arch", "fc103", "--data", "camvid")["optimizer"] == "rmsprop"
    assert resolved("--arch", "fc103", "--data", "camvid", "--lr", "0.5")["lr"] == 0.5
    assert resolved("--config", "camvid_fc67")["arch"] == "fc67"
    (tmp_path / "c.yaml").write_text("lr: 0.25\nbatch_size: 7\n")
    values = resolved("--config", str(tmp_path / "c.yaml"), "--batch-size", "9")
    assert (values["lr"], values["batch_size"]) == (0.25, 9)
    # Names may be written either way.
    assert resolved("--batch_size", "5", "--image-scale=0.5")["image_scale"] == 0.5


def test_recipes_are_found_by_name_either_way(capsys) -> None:
    for argv in (["--config", "camvid_fc67"], ["--config=camvid_fc67"]):
        with pytest.raises(SystemExit):
            cli.run("train", [*argv, "--print_config"])
        assert yaml.safe_load(capsys.readouterr().out)["arch"] == "fc67"


def test_settings_of_a_run_are_read_back_as_they_were(capsys, tmp_path: Path) -> None:
    config = TrainConfig(crop=(64, 96), scale=(0.5, 2.0), dropout=0.1, loss="cross_entropy+dice")
    save_config(config, tmp_path)
    with pytest.raises(SystemExit):
        cli.run("train", ["--config", str(tmp_path / "config.yaml"), "--print_config"])
    values = yaml.safe_load(capsys.readouterr().out)
    values.update(crop=tuple(values["crop"]), scale=tuple(values["scale"]))
    assert TrainConfig(**values) == config


def test_a_switch_may_be_bare(capsys) -> None:
    with pytest.raises(SystemExit):
        cli.run("train", ["--compile", "--print_config"])
    assert yaml.safe_load(capsys.readouterr().out)["compile"] is True


def test_config_and_resume_work_by_the_command(data: Path, tmp_path: Path) -> None:
    flags = ["--data", data, "--out", tmp_path / "run", "--crop", "[32,32]", "--batch-size", 2]
    flags += ["--accelerator", "cpu", "--epochs", 1]
    for argv in (flags, ["--resume", tmp_path / "run", "--epochs", 2]):
        with pytest.raises(SystemExit) as exit_info:
            cli.run("train", [str(a) for a in argv])
        assert exit_info.value.code == 0
    assert len((tmp_path / "run" / "metrics.csv").read_text().splitlines()) == 3
