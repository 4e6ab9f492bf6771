"""The ways in: `tiramisu COMMAND`, `python tools/COMMAND_seg.py`, `import tiramisu`, the YAML."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
import yaml

import tiramisu
from tiramisu import commands
from tiramisu.data.catalog import list_datasets, load_spec
from tiramisu.models import list_models
from tiramisu.shipped import find_shipped, list_shipped
from tiramisu.training.config import TrainConfig

CLONE = Path(__file__).parents[1]
TOOLS = sorted((CLONE / "tools").glob("*.py"))
HEAVY = ("torch", "lightning", "albumentations", "cv2", "matplotlib")
CONSOLE = f"""
import sys
from tiramisu.cli import main
try:
    main()
finally:
    loaded = [name for name in {HEAVY} if name in sys.modules]
    if loaded:
        print("slow imports:", *loaded, file=sys.stderr)
"""

Parse = Callable[..., TrainConfig]


def python(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    # The width of the terminal is the width of the help.
    environment = os.environ | {"COLUMNS": "100", "LINES": "50"}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def console(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What the console command does, and a line on stderr if it imported what is slow to."""
    return python("-c", CONSOLE, *arguments)


@pytest.mark.parametrize("command", commands.COMMANDS)
def test_help_is_complete_and_imports_nothing_slow(command: str) -> None:
    done = console(command, "--help")
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.startswith(f"usage: tiramisu {command}")
    assert not re.search(r"--[\w-]+\+", done.stdout)  # jsonargparse's flags that append to a list


@pytest.mark.parametrize("tool", TOOLS, ids=lambda path: path.stem)
def test_a_tool_is_the_command_by_another_door(tool: Path) -> None:
    # train_seg is `tiramisu train`, train_cls is `tiramisu train_cls`.
    command = tool.stem.removesuffix("_seg")
    assert command in commands.COMMANDS
    assert len(tool.read_text().splitlines()) <= 10
    through_tool = python(tool, "--help")
    assert through_tool.returncode == 0
    assert through_tool.stdout == console(command, "--help").stdout


def test_there_is_a_tool_for_each_step_of_the_work() -> None:
    steps = ("train", "eval", "predict")
    assert {f"{step}_{task}" for step in steps for task in ("seg", "cls")} <= {
        tool.stem for tool in TOOLS
    }


@pytest.mark.parametrize("command", commands.COMMANDS)
def test_an_unknown_flag_is_one_line(command: str) -> None:
    done = console(command, "--no-such-flag")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"tiramisu {command}: error: ")
    assert len(done.stderr.splitlines()) == 1


def test_an_unknown_command_is_one_line_that_names_the_known_ones() -> None:
    done = console("trian")
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert all(name in done.stderr for name in ("trian", *commands.COMMANDS))


def test_no_command_lists_them() -> None:
    for arguments, code in ([], 2), (["--help"], 0):
        done = console(*arguments)
        assert done.returncode == code
        for name, command in commands.COMMANDS.items():
            assert f"{name:12}{command.__doc__}" in done.stdout


def test_summary_counts_what_the_paper_counts(capsys: pytest.CaptureFixture[str]) -> None:
    commands.summary(["--arch", "fc103"])
    printed = capsys.readouterr().out
    assert "9,322,091" in printed
    assert "360x480" in printed


def test_public_names() -> None:
    assert {
        "Prediction",
        "build_model",
        "list_models",
        "load_model",
        "predict",
    } <= set(tiramisu.__all__)
    for name in tiramisu.__all__:
        assert getattr(tiramisu, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = tiramisu.no_such_name


def test_each_public_name_comes_from_where_the_stub_says() -> None:
    stub = ast.parse(Path(tiramisu.__file__).with_suffix(".pyi").read_text())
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    assert len(imports) == len(stub.body)
    for node in imports:
        home = import_module(f"tiramisu.{node.module}")
        for alias in node.names:
            assert alias.asname == alias.name  # the form that re-exports a name
            assert getattr(tiramisu, alias.name) is getattr(home, alias.name)


@pytest.mark.parametrize("folder", ["datasets", "configs"])
def test_tables_are_tables_not_code(folder: str) -> None:
    files = [path for path in (CLONE / folder).rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".yaml", ".sha256"}


@pytest.fixture
def parse(monkeypatch: pytest.MonkeyPatch) -> Parse:
    """The settings with which `tiramisu train ARGUMENTS` would start."""
    started: list[TrainConfig] = []
    monkeypatch.setattr("tiramisu.training.train.train", started.append)

    def parse(*arguments: str, command: str = "train") -> TrainConfig:
        commands.COMMANDS[command](arguments)
        return started.pop()

    return parse


@pytest.mark.parametrize("recipe", list_shipped("configs"))
def test_the_command_line_reads_every_recipe(recipe: str, parse: Parse) -> None:
    settings = yaml.safe_load(find_shipped("configs", recipe).read_text())
    task = load_spec(settings["data"]).task
    config = parse("--config", recipe, command="train" if task == "segmentation" else "train_cls")
    for name, value in settings.items():
        parsed = getattr(config, name)
        assert (list(parsed) if isinstance(parsed, tuple) else parsed) == value, name
    assert config.arch in list_models(task)
    assert config.data in list_datasets()
    # `--arch ARCH --data DATA` finds DATA_ARCH, a variant adds a word; or DATA, for any network.
    assert recipe == config.data or f"{recipe}_".startswith(f"{config.data}_{config.arch}_")


def test_data_and_network_pick_their_recipe_where_there_is_one(parse: Parse) -> None:
    assert parse("--data", "camvid", "--arch=fc67") == parse("--config", "camvid_fc67")
    with pytest.raises(ValueError, match="data/voc2012: no such folder"):
        parse("--data", "voc2012", "--arch", "fc103")  # it has none, so the data are looked at
    cifar = parse("--data", "cifar10", "--arch", "densenet_bc190_40", command="train_cls")
    assert (cifar.arch, cifar.epochs, cifar.schedule) == ("densenet_bc190_40", 300, "steps")
    tiny = parse("--data", "camvid", "--arch", "densenet121", command="train_cls")
    assert (tiny.arch, tiny.optimizer) == ("densenet121", "sgd")
