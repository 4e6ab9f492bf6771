"""Faults of machines and disks: what was complete stays, and every run can go on."""

import json
import os
import random
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from faults import run_limited, start, start_or_resume
from PIL import Image
from runs import assert_same_run, interrupt

from tiramisu import commands
from tiramisu.atomic import PARTIAL
from tiramisu.checkpoints.checkpoint import save_model
from tiramisu.checkpoints.model import SegmentationModel
from tiramisu.checkpoints.model_files import read_checkpoint
from tiramisu.checkpoints.weights_file import read_weights
from tiramisu.training.config import TrainConfig
from tiramisu.training.history import read_history
from tiramisu.training.train import train

Quick = Callable[..., TrainConfig]
KILLS = 20


def read_table(path: Path) -> None:
    """The epochs of a run, or the scores of images; each line has the same columns."""
    if path.name == "metrics.csv":
        read_history(path)
    assert len({line.count(",") for line in path.read_text().splitlines()}) == 1


def assert_all_complete(folder: Path) -> None:
    """Every file under a folder can be read to its end, and none is left half-written."""
    readers: dict[str, Callable[[Path], object]] = {
        ".ckpt": read_checkpoint,
        ".csv": read_table,
        ".json": lambda path: json.loads(path.read_text()),
        ".png": lambda path: Image.open(path).load(),
        ".safetensors": read_weights,
    }
    for path in folder.rglob("config.yaml"):
        assert yaml.safe_load(path.read_text())["arch"] == "fc56"
    for path in folder.rglob("*"):
        assert PARTIAL not in path.name
        if path.suffix in readers:
            readers[path.suffix](path)


def test_a_run_killed_twenty_times_equals_an_uninterrupted_one(
    quick: Quick, tmp_path: Path
) -> None:
    config = quick(out=None, dropout=0.2, batch_size=2, ema_decay=0.8)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    begin = time.monotonic()
    process = start(start_or_resume, config, whole)
    process.join()
    assert process.exitcode == 0
    longest = time.monotonic() - begin
    moments = [random.uniform(0, longest) for _ in range(KILLS)]
    for moment in moments:
        process = start(start_or_resume, config, killed)
        process.join(moment)
        process.kill()
        process.join()
        assert process.exitcode in (0, -9), moments
    process = start(start_or_resume, config, killed)
    process.join()
    assert process.exitcode == 0, moments
    assert_all_complete(killed)
    assert_same_run(killed, whole)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A disk of a given size, which can be given another one; needs the rights to mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def resize(size: str) -> Path:
        options = ("remount," if os.path.ismount(disk) else "") + f"size={size}"
        mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)]
        try:
            subprocess.run(mount, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no disk can be mounted here: {error}")
        return disk

    yield resize
    subprocess.run(["umount", str(disk)], check=False, capture_output=True)


def test_a_full_disk_keeps_the_last_epoch(
    quick: Quick, tmp_path: Path, small_disk: Callable[[str], Path]
) -> None:
    whole = train(quick(out=str(tmp_path / "whole"))).folder
    checkpoint = (whole / "checkpoints" / "last.ckpt").stat().st_size
    # Room for two checkpoints and a half: the second epoch needs a third to replace the best one.
    folder = small_disk(str(5 * checkpoint // 2)) / "run"
    with pytest.raises(OSError, match=r"cannot write .*\.ckpt: No space left.*--resume") as full:
        train(quick(out=str(folder)))
    assert len(str(full.value).splitlines()) == 1
    assert_all_complete(folder)
    steps = read_checkpoint(folder / "checkpoints" / "last.ckpt")["global_step"]
    assert steps == read_history(folder / "metrics.csv")[0]["step"]
    small_disk("200m")
    train(quick(resume=str(folder)))
    assert_same_run(folder, whole)


def test_a_limit_on_the_size_of_files_keeps_the_last_epoch(quick: Quick, tmp_path: Path) -> None:
    whole = train(quick(out=str(tmp_path / "whole"))).folder
    folder = interrupt(quick(), epoch=1)
    code, errors = run_limited(["train", "--resume", str(folder)], limit=1_000_000)
    assert code == 2
    assert re.search("cannot write .* --resume", errors)
    assert len(errors.splitlines()) == 1
    assert_all_complete(folder)
    train(quick(resume=str(folder)))
    assert_same_run(folder, whole)


class FailingDisk:
    """Counts the files that are written, and fails at one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.written = 0
        self.fails_at: int | None = None
        fsync = os.fsync

        def count(file: int) -> None:
            self.written += 1
            if self.written == self.fails_at:
                raise OSError(28, "No space left on device")
            fsync(file)

        monkeypatch.setattr(os, "fsync", count)


def test_an_error_at_any_write_of_a_training_loses_nothing(
    quick: Quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FailingDisk(monkeypatch)
    whole = train(quick(out=str(tmp_path / "whole"), epochs=1)).folder
    writes = disk.written
    assert writes > 8  # settings, history, two checkpoints, and what is published
    for number in range(1, writes + 1):
        folder = tmp_path / f"run{number}"
        disk.written, disk.fails_at = 0, number
        with pytest.raises(OSError, match=r"cannot write .*: No space left on device"):
            train(quick(out=str(folder), epochs=1))
        disk.fails_at = None
        assert_all_complete(folder)
        has_settings = (folder / "config.yaml").exists()
        place = {"resume": str(folder)} if has_settings else {"out": str(folder)}
        train(quick(**place, epochs=1))
        assert_same_run(folder, whole)


@pytest.mark.parametrize("name", ["predict", "eval", "publish"])
def test_an_error_at_any_write_leaves_no_half_file(
    model: SegmentationModel,
    rectangles: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    save_model(model, tmp_path / "model")
    disk = FailingDisk(monkeypatch)

    def run(out: Path) -> None:
        places = {"model": tmp_path / "model", "data": rectangles, "out": out}
        command, *argv = (word.format(**places) for word in COMMANDS[name])
        commands.COMMANDS[command](argv)

    run(tmp_path / "whole")
    writes = disk.written
    assert writes > 2
    for number in range(1, writes + 1):
        disk.written, disk.fails_at = 0, number
        out = tmp_path / f"out{number}"
        with pytest.raises(OSError, match=f"^cannot write {out}/.*: No space left on device$"):
            run(out)
        assert_all_complete(out)


MODEL = ("--checkpoint", "{model}")
COMMANDS = {
    "predict": ("predict", "{data}/images/val", *MODEL, "--out", "{out}"),
    "eval": ("eval", *MODEL, "--data", "{data}", "--out", "{out}"),
    "export onnx": ("export", *MODEL, "--format", "onnx", "--out", "{out}/model.onnx"),
    "export openvino": ("export", *MODEL, "--format", "openvino", "--out", "{out}/model.xml"),
    "export pt2": ("export", *MODEL, "--format", "pt2", "--out", "{out}/model.pt2"),
    "publish": ("publish", *MODEL, "--out", "{out}"),
    "summary": ("summary", "--arch", "densenet40_12", "--graph", "{out}/network.svg"),
    "benchmark": (
        *("benchmark", "--arch", "densenet40_12", "--contenders", "[ours]", "--memory", "false"),
        *("--rounds", "1", "--batch", "1", "--out", "{out}"),
    ),
}


@pytest.mark.parametrize("limit", [0, 5_000])
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_full_disk_is_one_line_and_no_half_file(
    model: SegmentationModel, rectangles: Path, tmp_path: Path, command: tuple[str, ...], limit: int
) -> None:
    save_model(model, tmp_path / "model")
    out = tmp_path / "out"
    out.mkdir()
    places = {"model": tmp_path / "model", "data": rectangles, "out": out}
    code, errors = run_limited([word.format(**places) for word in command], limit=limit)
    assert code == 2
    assert "Traceback" not in errors
    assert re.search(r"error: cannot write .*/out/", errors.splitlines()[-1])
    assert_all_complete(out)
