"""The examples of docs/own_parts.md run as they stand there."""

import dataclasses
import shlex
import sys
from pathlib import Path

import pytest
from doc_pages import DOCS, find_blocks

from tiramisu import commands
from tiramisu.training import train as train_module
from tiramisu.training.history import read_history

QUICK = ["--epochs", "1", "--max-steps", "1", "--keep", "last", "--crop", "[32,32]"]
QUICK += ["--batch-size", "160", "--crops-per-image", "1", "--accelerator", "cpu", "--out", "run"]


def blocks() -> list[str]:
    return find_blocks(DOCS / "own_parts.md", r"\w+")


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with mine.py in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    (tmp_path / "mine.py").write_text(blocks()[0])
    return tmp_path


def test_command(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program, command, *flags = shlex.split(blocks()[1].replace("\\\n", " "))
    assert (program, command) == ("tiramisu", "train")
    commands.train([*flags, *QUICK])
    out = capsys.readouterr().out
    assert "the training starts\n" in out
    (row,) = read_history(mine / "run" / "metrics.csv")
    assert 0 <= row["val_worst_recall"] <= 1
    saved = (mine / "run" / "config.yaml").read_text()
    for name in ("TinyNet", "smooth_loss", "turns", "worst_recall", "Hello"):
        assert f"mine:{name}" in saved
    commands.evaluate(["--checkpoint", "run", "--metrics", "mine:worst_recall"])
    commands.predict(["run/samples.png", "--checkpoint", "run", "--out", "predicted"])


def test_python(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare = train_module.prepare
    quick = {"epochs": 1, "batch_size": 160, "keep": "last", "crop": (32, 32), "accelerator": "cpu"}
    monkeypatch.setattr(
        train_module,
        "prepare",
        lambda config, **given: prepare(dataclasses.replace(config, **quick), **given),
    )
    monkeypatch.syspath_prepend(mine)
    values: dict[str, object] = {}
    exec(blocks()[2], values)
    assert type(values["model"].network.network).__name__ == "TinyNet"
    assert "worst_recall" in values["run"].scores.own
