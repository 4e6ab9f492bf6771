"""What a shell offers, asked as argcomplete's shell functions ask."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tiramisu.commands import COMMANDS

pytest.importorskip("argcomplete", reason="it comes with the extra `completion`")
Offers = Callable[..., list[str]]


@pytest.fixture
def offers(tmp_path: Path) -> Offers:
    # Python finds this file first: a completion that loads torch fails, as it would take seconds.
    (tmp_path / "torch.py").write_text("raise SystemExit('torch is loaded')")

    def ask(line: str) -> list[str]:
        asked = {"_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line))}
        how = {"COMP_TYPE": "9", "_ARGCOMPLETE_IFS": "\n"}
        answer = {"_ARGCOMPLETE_STDOUT_FILENAME": str(tmp_path / ".answer")}
        subprocess.run(
            [sys.executable, "-m", "tiramisu"],
            cwd=tmp_path,
            env={**os.environ, **asked, **how, **answer},
            check=True,
        )
        return [word.strip() for word in (tmp_path / ".answer").read_text().split("\n")]

    return ask


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("tiramisu tr", ["train", "train_cls"]),
        ("tiramisu train --ar", ["--arch"]),
        ("tiramisu check data --unl", ["--unlabelled"]),
        ("tiramisu train_cls --data-r", ["--data-root"]),
        ("tiramisu train --arch fc56 --norm", ["--normalize"]),
        (
            "tiramisu train --loss c",
            [f"cross_entropy{more}" for more in ("", "+dice", "+tversky", "+lovasz")],
        ),
        ("tiramisu train --loss t", ["tversky"]),
        ("tiramisu train --flip v", ["vertical"]),
        ("tiramisu predict photo.jpg --tile ", ["auto", "off"]),
        ("tiramisu eval --tta t", ["true"]),
        ("tiramisu train --lr ", [""]),
        ("tiramisu trian --arc", [""]),
    ],
)
def test_commands_flags_and_words(line: str, offered: list[str], offers: Offers) -> None:
    assert offers(line) == offered


def test_all_commands(offers: Offers) -> None:
    assert {*COMMANDS, "--help", "--version"} <= set(offers("tiramisu "))


@pytest.mark.parametrize(
    "line", ["tiramisu predict ph", "tiramisu check ph", "tiramisu export --checkpoint ph"]
)
def test_files(line: str, offers: Offers, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").touch()
    assert offers(line) == ["photo.jpg"]
