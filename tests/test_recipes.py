"""Recipes: a file that is wrong is named in one line, with the setting; flags go before recipes."""

import os
from pathlib import Path

import pytest
import yaml

from tiramisu import cli
from tiramisu.training.config import TrainConfig

WRONG = {
    "empty": ("", "is empty; expected a file that holds the recipe"),
    "only comments": ("# epochs: 3\n", "not nothing"),
    "null": ("null", "not nothing"),
    "list": ("- lr\n- 0.1\n", "line 1: expected a line such as"),
    "number": ("3", "not 3"),
    "word": ("hello", "not hello"),
    "binary": (bytes(range(128, 255)), "not text in UTF-8"),
    "latin-1": ("data: caf\xe9".encode("latin-1"), "not text in UTF-8"),
    "utf-16 without a mark": ("lr: 0.1".encode("utf-16-le"), "not YAML"),
    "nul": ("arch: fc56\0", "not YAML"),
    "broken": ("arch: [fc56\n", "line 2: not YAML: expected ',' or ']'"),
    "two documents": ("lr: 0.1\n---\nlr: 0.2\n", "another document"),
    "python tag": ("data: !!python/object/apply:os.mkdir [mark]", "not YAML"),
    "deep": ("data: " + "[" * 10_000, "too deep"),
    "ring": ("data: &a [*a]", "too many values"),
    "large": ("# comment\n" * 200_000, "more than 1,000,000 bytes"),
    "twice": ("lr: 0.1\nlr: 0.2\n", "line 2: lr is given twice"),
    "unknown": ("lr: 0.1\nepoch: 3\n", "line 2: epoch: there is no such setting; did you mean epo"),
    "dashes": ("batch-size: 3\n", "did you mean batch_size?"),
    "config": ("config: camvid_fc56\n", "config: there is no such setting"),
    "download": ("download: true\n", "download: there is no such setting"),
    "resume": ("resume: runs/a\n", "resume: there is no such setting"),
    "odd time": ("out: !!timestamp x\n", "not YAML"),
    "odd number": ("lr: !!int ''\n", "not YAML"),
    "odd truth": ("flip: !!bool x\n", "not YAML"),
    "number as name": ("3: 4\n", "3: there is no such setting"),
    "list as name": ("? [a, b]\n: 4\n", "not YAML"),
    "word for a number": ("arch: fc56\nlr: fast\n", "line 2: lr: expected a number, above 0"),
    "mapping for a number": ("lr: {a: 1}\n", "lr: expected a number"),
    "boolean for a number": ("epochs: true\n", "epochs: expected a whole number"),
    "fraction": ("epochs: 1.5\n", "epochs: expected a whole number"),
    "nan": ("lr: .nan\n", "lr: expected a number"),
    "infinity": ("lr: .inf\n", "lr: expected a number"),
    "large number": ("epochs: 1000000000000\n", "epochs: expected a whole number, 1 to"),
    "400 digits": (f"lr: {'9' * 400}\n", "lr: expected a number"),
    "5000 digits": (f"lr: {'9' * 5000}\n", "not YAML"),
    "three sides": ("crop: [64, 64, 64]\n", "crop: expected two numbers"),
    "null side": ("crop: [64, null]\n", "crop: expected two numbers"),
    "empty text": ("out: ''\n", "out: expected printable text"),
    "two lines": ('out: "a\\nb"\n', "out: expected printable text"),
    "zero byte": ('out: "a\\0b"\n', "out: expected printable text"),
    "date": ("data: 2024-01-01\n", "data: expected printable text"),
    "scale upside down": ("scale: [2, 1]\n", "the smaller factor first"),
}


def fails(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    """Run a training that must end in one line; returns the line."""
    with pytest.raises(SystemExit) as exit_info:
        cli.run("train", [str(word) for word in argv])
    message = capsys.readouterr().err.strip()
    assert exit_info.value.code == 2
    assert len(message.splitlines()) == 1
    return message


def resolve(capsys: pytest.CaptureFixture[str], *argv: object) -> dict[str, object]:
    with pytest.raises(SystemExit) as exit_info:
        cli.run("train", [*map(str, argv), "--print_config"])
    assert exit_info.value.code == 0
    return dict(yaml.safe_load(capsys.readouterr().out))


@pytest.mark.parametrize(("content", "expected"), WRONG.values(), ids=WRONG)
def test_the_file_is_named(
    content: str | bytes, expected: str, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("my recipe.yaml")
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    message = fails(capsys, "--config", path)
    assert str(path) in message
    assert expected in message
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "name", [n for n, f in TrainConfig.__dataclass_fields__.items() if f.default is not None]
)
def test_null_names_the_setting(name: str, tmp_path: Path, capsys) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(f"{name}: null\n")
    assert f"c.yaml, line 1: {name}: expected" in fails(capsys, "--config", path)


@pytest.mark.parametrize("kind", ["folder", "pipe", "link to nowhere", "long name", "no name"])
def test_what_is_no_file(kind: str, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    names = {"long name": "x" * 300, "no name": ""}
    name = names.get(kind, "thing")
    if kind == "folder":
        Path(name).mkdir()
    elif kind == "pipe":
        os.mkfifo(name)
    elif kind == "link to nowhere":
        Path(name).symlink_to("nowhere")
    assert name[:100] in fails(capsys, f"--config={name}")


def test_flags_go_before_the_recipe_wherever_they_stand(tmp_path: Path, capsys) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("lr: 1e-3\nbatch_size: 7\n")
    for argv in (["--config", path, "--batch-size", 9], ["--batch-size", 9, "--config", path]):
        values = resolve(capsys, *argv)
        assert (values["lr"], values["batch_size"]) == (0.001, 9)


@pytest.mark.parametrize("flag", ["--data=camvid", "--data camvid"])
def test_a_recipe_is_found_by_the_data_set(flag: str, capsys) -> None:
    values = resolve(capsys, *flag.split(), "--arch=fc103")
    assert values["optimizer"] == "rmsprop"
    assert values["out"] is None


def test_resume_takes_no_recipe(tmp_path: Path, capsys) -> None:
    message = fails(capsys, "--resume", tmp_path, "--config", "camvid_fc56")
    assert "leave out --config" in message


def test_printed_settings_are_read_back(tmp_path: Path, capsys) -> None:
    values = resolve(capsys, "--config", "camvid_fc103_fast", "--lr", "0.25")
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(values))
    assert resolve(capsys, "--config", path) == values
