"""Ctrl-C and SIGTERM as a user or a scheduler sends them to a command."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-c", "from tiramisu.cli import main; main()"]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"]
)
def test_a_training_says_how_to_go_on(
    rectangles: Path, tmp_path: Path, number: signal.Signals, code: int, workers: int
) -> None:
    """A terminal sends the signal to the loading processes too."""
    run = tmp_path / "run"
    process = subprocess.Popen(
        [
            *(
                *COMMAND,
                "train",
                "--data",
                str(rectangles),
                "--crop",
                "[32,32]",
                "--epochs",
                "1000",
            ),
            *("--accelerator", "cpu", "--out", str(run)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch"):
            break
    os.killpg(process.pid, number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == code
    how = "(after .* of 1000 epochs|in epoch .* of 1000, after .* batches); go on with --resume"
    assert re.fullmatch(f"\nstopped {how} {run}\n", errors)
    assert (run / "model.safetensors").is_file()
