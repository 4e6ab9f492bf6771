"""Ctrl-C in a terminal while workers compute: one line, and nothing is left behind."""

import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs the signals of Unix")
def test_ctrl_c_is_one_line_and_the_same_command_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="Dask's distributed is not installed")
    (tmp_path / "in").mkdir()
    (tmp_path / "tmp").mkdir()
    rng = np.random.default_rng(0)
    for number in range(60):
        image = rng.integers(0, 256, (240, 320, 3), dtype=np.uint8)
        Image.fromarray(image).save(tmp_path / "in" / f"{number:02}.png")
    words = ["predict", "in", "--checkpoint", "fc56_camvid_half", "--out", "out", "--workers", "2"]
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp"), "OMP_NUM_THREADS": "1"}

    def begin() -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "tiramisu", *words],
            cwd=tmp_path,
            env=environment,
            start_new_session=True,
            # A process in the background of a shell ignores Ctrl-C, and so do its children.
            preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    process = begin()
    while len(list((tmp_path / "out").glob("*.json"))) < 5:
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    (line,) = errors.strip().splitlines()
    assert line.startswith("stopped: at least ")
    assert line.endswith("; the same command goes on")
    left = [p.name for p in (tmp_path / "tmp").rglob("tiramisu-*")]
    assert left == []
    process = begin()
    said, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    assert "were done before" in said
    assert len(list((tmp_path / "out").glob("*_mask.png"))) == 60
