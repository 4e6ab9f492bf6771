"""`tiramisu runs`: what is read from the folders of runs, and how it is shown."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from tiny_data import write_rectangles
from web_page import Page

from tiramisu import commands
from tiramisu.runs.config import RunsConfig
from tiramisu.runs.run_summary import find_runs, list_differences
from tiramisu.training.config import TrainConfig
from tiramisu.training.train import train

Quick = Callable[..., TrainConfig]
FIELDS = {field.name for field in dataclasses.fields(RunsConfig)}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs whose rates differ, one of them in a folder within the folder."""
    root = tmp_path_factory.mktemp("runs")
    data = root / "rectangles"
    write_rectangles(data, "train", count=4, seed=1)
    write_rectangles(data, "val", count=2, seed=2)
    for name, lr in (("first", 1e-3), ("folds/second", 1e-4)):
        train(
            TrainConfig(
                data=str(data),
                epochs=2,
                lr=lr,
                crop=(32, 32),
                batch_size=2,
                out=str(root / "all" / name),
                accelerator="cpu",
            )
        )
    return root / "all"


def test_folder(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commands.list_runs([str(trained)])
    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading.split()[:5] == ["run", "data", "network", "mIoU", "accuracy"]
    runs = find_runs(trained)
    assert [line.split()[0] for line in lines] == [run.name for run in runs]
    for run, line in zip(runs, lines, strict=True):
        scores = json.loads((run.folder / "scores/scores.json").read_text())
        assert f"{100 * scores['mean_iou']:.1f}" in line
        assert " 2/2 " in line
        assert f"lr={run.settings['lr']}" in line
        assert "epochs=" not in line
        assert "out=" not in line
        assert run.seconds > 0
    assert runs[0].scores["mean_iou"] >= runs[1].scores["mean_iou"]  # the best comes first
    assert {run.name for run in runs} == {"first", "folds/second"}


def test_a_single_run_is_listed_too(trained: Path) -> None:
    assert [run.name for run in find_runs(trained / "first")] == ["first"]


def test_only_differing_settings_are_shown(trained: Path) -> None:
    for differences in list_differences(find_runs(trained)):
        assert list(differences) == ["lr"]


def test_runs_that_are_not_complete(
    trained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy = shutil.copytree(trained / "first", tmp_path / "all" / "run")
    (copy / "scores/scores.json").write_text("{")
    (copy / "origin.json").unlink()
    (run,) = find_runs(tmp_path / "all")
    assert run.scores == {}
    assert run.origin == {}
    (copy / "metrics.csv").unlink()
    (run,) = find_runs(tmp_path / "all")
    assert run.seconds == 0
    assert not run.history
    shutil.copytree(trained / "first", tmp_path / "all" / "other")
    shutil.copytree(trained / "first", copy / "wandb" / "files")  # of a logger
    (copy / "to_nothing").symlink_to(tmp_path / "gone")
    assert [run.name for run in find_runs(tmp_path / "all")] == ["other", "run"]
    for content, said in (("[", "not YAML"), ("[1]", "does not hold"), ("a: 1", "does not hold")):
        (copy / "config.yaml").write_text(content)
        assert [run.name for run in find_runs(tmp_path / "all")] == ["other"]
        assert said in caplog.messages[-1]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["gone"], "there is no folder gone"),
        (["."], "there is no run in ."),
        ([".", "--report", "x.txt"], "expected a file that ends in .html"),
    ],
)
def test_errors(
    argv: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        commands.list_runs(argv)


def test_report(trained: Path, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    commands.list_runs([str(trained), "--report", str(path)])
    page = Page(path)
    labels = [a["aria-label"] for tag, a in page.elements if tag == "svg"]
    assert "validation mIoU, % over the epochs of the runs" in labels
    assert "training loss over the epochs of the runs" in labels
    assert "folds/second" in page.text
    assert "lr=0.0001" in page.text
    for words in ("command", "torch", "processor"):
        assert f" {words} " in page.text
    assert "http" not in page.source


def test_overwrite(trained: Path, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("")
    with pytest.raises(ValueError, match="--overwrite"):
        commands.list_runs([str(trained), "--report", str(path)])
    commands.list_runs([str(trained), "--report", str(path), "--overwrite"])
    assert "first" in path.read_text()


def test_every_field_has_its_test() -> None:
    assert all(f"test_{name}" in globals() for name in FIELDS)


def test_a_run_records_how_it_was_made(trained: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(trained / "first", tmp_path / "run")
    train(TrainConfig(**_settings(copy, epochs=3)))
    first, second = json.loads((copy / "origin.json").read_text())
    for start in (first, second):
        assert {"command", "tiramisu-seg", "torch", "lightning", "python", "date"} <= start.keys()
        assert start["processor"]
        assert start["threads"] >= 1
    assert first["date"] < second["date"]
    assert find_runs(tmp_path)[0].origin == second


def _settings(folder: Path, **changes: object) -> dict[str, object]:
    settings = yaml.safe_load((folder / "config.yaml").read_text())
    settings = {n: tuple(v) if isinstance(v, list) else v for n, v in settings.items()}
    return settings | {"resume": str(folder), "out": None} | changes
