"""Commands whose output nobody reads."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hostile_images import DAMAGED

COMMAND = [sys.executable, "-c", "from tiramisu.cli import main; main()"]
Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Start:
    def run(*argv: str, **options: Any) -> "subprocess.Popen[bytes]":
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.Popen([*COMMAND, *argv], **options)

    return run


def test_a_closed_pipe_ends_in_silence(start: Start) -> None:
    process = start("summary", "--arch", "fc103", "--table")
    assert process.stdout is not None
    process.stdout.close()
    _, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, b"")


@pytest.mark.parametrize("streams", [("stdout",), ("stdout", "stderr")])
def test_a_training_goes_on_when_its_reader_has_gone(
    start: Start, tmp_path: Path, rectangles: Path, streams: tuple[str, ...]
) -> None:
    process = start(
        *("train", "--data", str(rectangles), "--crop", "[32,32]", "--epochs", "2"),
        *("--accelerator", "cpu", "--out", str(tmp_path / "run")),
    )
    for name in streams:
        getattr(process, name).close()
    assert process.wait(timeout=300) == 0
    assert (tmp_path / "run" / "model.safetensors").is_file()
    assert len((tmp_path / "run" / "metrics.csv").read_text().splitlines()) == 3


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has /dev/full")
def test_a_full_disk_behind_the_output_ends_nothing(start: Start) -> None:
    with open("/dev/full", "wb") as full:
        process = start("summary", "--arch", "fc56", stdout=full)
        _, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, b"")


def test_closed_streams_are_no_error(start: Start) -> None:
    closed = "import os; os.close(1); os.close(2)"
    process = subprocess.Popen(
        [sys.executable, "-c", f"{closed}; os.execv({COMMAND[0]!r}, {[*COMMAND, 'summary']!r})"]
    )
    assert process.wait(timeout=120) == 0


@pytest.mark.parametrize("closed", ["os.close(1)", "os.close(2)"])
def test_work_goes_on_without_a_stream(tmp_path: Path, rectangles: Path, closed: str) -> None:
    """Python then has None in the place of the stream."""
    command = [*COMMAND, "check", str(rectangles)]
    start = f"import os; {closed}; os.execv({COMMAND[0]!r}, {command!r})"
    process = subprocess.run(
        [sys.executable, "-c", start], timeout=120, check=False, capture_output=True
    )
    assert (process.returncode, process.stderr) == (0, b"")


def test_names_that_a_terminal_cannot_show(start: Start, tmp_path: Path, rectangles: Path) -> None:
    rectangles = Path(shutil.copytree(rectangles, tmp_path / "data"))
    (rectangles / "classes.txt").write_text("Bäume\nStraße\nHäuser\n", encoding="utf-8")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    process = start("check", str(rectangles), env=environment)
    output, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, b"")
    assert b"Stra\\xdfe" in output


def test_what_decoders_say_about_damaged_files_is_not_printed(
    start: Start, tmp_path: Path, rectangles: Path
) -> None:
    shutil.copytree(rectangles, tmp_path / "data")
    name = "half.tif"
    (tmp_path / "data/images/train" / name).write_bytes(DAMAGED[name])
    shutil.copy(rectangles / "masks/train/train0.png", tmp_path / "data/masks/train/half.png")
    process = start("check", str(tmp_path / "data"))
    printed, errors = process.communicate(timeout=120)
    assert (process.returncode, printed) == (2, b"")
    first, second = errors.decode().splitlines()
    assert first.startswith("tiramisu check: error:")
    assert "unreadable image: images/train/half.tif" in second
