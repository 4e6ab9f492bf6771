"""Drawn data sets: other classes than those that are drawn are refused, before training."""

from pathlib import Path

import pytest
import yaml

from tiramisu import cli
from tiramisu.shipped import find_shipped
from tiramisu.streets import NAMES, OBJECTS


def write(folder: Path, name: str, **changes: object) -> Path:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({**load(name), "name": "mine", **changes}))
    return path


def load(name: str) -> dict[str, object]:
    return dict(yaml.safe_load(find_shipped("datasets", name).read_text()))


def fails(capsys: pytest.CaptureFixture[str], command: str, *argv: object) -> str:
    with pytest.raises(SystemExit) as exit_info:
        cli.run(command, [str(word) for word in argv])
    assert exit_info.value.code == 2
    return capsys.readouterr().err


def test_the_shipped_classes_are_those_that_are_drawn() -> None:
    assert tuple(entry["name"] for entry in load("streets")["classes"]) == NAMES
    assert tuple(load("objects")["classes"]) == OBJECTS


@pytest.mark.parametrize("classes", [NAMES[:3], NAMES[::-1], (*NAMES, "Dog")], ids=len)
@pytest.mark.parametrize("command", ["check", "train"])
def test_other_classes_are_refused(
    command: str, classes: tuple[str, ...], tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path, "streets", classes=list(classes))
    message = fails(capsys, command, *(["--data"] if command == "train" else []), path)
    assert "mine: its classes are" in message
    assert "draw_scene draws Sky, Building" in message
    assert [p.name for p in tmp_path.iterdir()] == ["mine.yaml"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"drawn": {"height": 10**6, "width": 192}}, "drawn.height"),
        ({"drawn": {"height": 144, "width": 0}}, "drawn.width"),
        ({"splits": {"train": {"first_seed": 0, "count": 10**12}}}, "count"),
        ({"splits": {"train": {"first_seed": 2**70, "count": 1}}}, "first_seed"),
        ({"splits": {"train": {"first_seed": -1, "count": 1}}}, "first_seed"),
    ],
    ids=str,
)
def test_sizes_and_seeds_out_of_reach(
    changes: dict[str, object], expected: str, tmp_path: Path, capsys
) -> None:
    message = fails(capsys, "check", write(tmp_path, "streets", **changes))
    assert "mine.yaml, line" in message
    assert expected in message
